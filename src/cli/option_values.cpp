// SPDX-License-Identifier: Apache-2.0
#include "cli/option_values.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>
#include <ranges>

namespace emu::cli {
namespace {

bool parse_unsigned(std::string_view text, u64& out) {
  int base = 10;
  if (text.starts_with("0x") || text.starts_with("0X")) {
    text.remove_prefix(2);
    base = 16;
  }
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, out, base);
  return error == std::errc{} && stop == end && !text.empty();
}

constexpr std::array<std::pair<std::string_view, DisplayKind>, 9> kDisplayWords{{
    {"auto", DisplayKind::kAuto},
    {"window", DisplayKind::kWindow},
    {"terminal", DisplayKind::kTerminal},
    {"none", DisplayKind::kNone},
    {"sdl", DisplayKind::kWindow},
    {"gtk", DisplayKind::kWindow},
    {"term", DisplayKind::kTerminal},
    {"curses", DisplayKind::kTerminal},
    {"default", DisplayKind::kAuto},
}};

constexpr std::array<std::pair<std::string_view, VgaKind>, 4> kVgaWords{{
    {"std", VgaKind::kStd},
    {"virtio", VgaKind::kVirtio},
    {"cirrus", VgaKind::kCirrus},
    {"none", VgaKind::kNone},
}};

constexpr std::array<std::pair<std::string_view, VirtioInputKind>, 6> kVirtioInputWords{{
    {"virtio-keyboard", VirtioInputKind::kKeyboard},
    {"virtio-mouse", VirtioInputKind::kMouse},
    {"virtio-tablet", VirtioInputKind::kTablet},
    {"virtio-keyboard-pci", VirtioInputKind::kKeyboard},
    {"virtio-mouse-pci", VirtioInputKind::kMouse},
    {"virtio-tablet-pci", VirtioInputKind::kTablet},
}};

constexpr std::array<std::pair<std::string_view, UsbKind>, 4> kUsbWords{{
    {"usb-tablet", UsbKind::kTablet},
    {"usb-mouse", UsbKind::kMouse},
    {"usb-kbd", UsbKind::kKeyboard},
    {"usb-hub", UsbKind::kHub},
}};

constexpr std::array<std::pair<std::string_view, UsbController>, 3> kUsbControllerWords{{
    {"piix3-usb-uhci", UsbController::kUhci},
    {"qemu-xhci", UsbController::kXhci},
    {"nec-usb-xhci", UsbController::kNecXhci},
}};

constexpr std::array<std::pair<std::string_view, EngineChoice>, 4> kEngineWords{{
    {"auto", EngineChoice::kAuto},
    {"kvm", EngineChoice::kKvm},
    {"tcg", EngineChoice::kTcg},
    {"kvm:tcg", EngineChoice::kKvmOrTcg},
}};

// The first of each kind is how it is written.
constexpr std::array<std::pair<std::string_view, ChipPlace>, 5> kIrqchipWords{{
    {"kernel", ChipPlace::kKernel},
    {"split", ChipPlace::kSplit},
    {"user", ChipPlace::kUser},
    {"on", ChipPlace::kKernel},
    {"off", ChipPlace::kUser},
}};

constexpr std::array<std::pair<std::string_view, bool TcgOptions::*>, 17> kTranslatorSwitches{{
    {"chain", &TcgOptions::chain},
    {"jump-cache", &TcgOptions::jump_cache},
    {"share-checks", &TcgOptions::share_checks},
    {"predict-pages", &TcgOptions::predict_pages},
    {"dead-flags", &TcgOptions::dead_flags},
    {"pair-returns", &TcgOptions::pair_returns},
    {"one-insn", &TcgOptions::one_instruction_blocks},
    {"decode-cache", &TcgOptions::decode_cache},
    {"stay-inside", &TcgOptions::stay_inside},
    {"inline-modes", &TcgOptions::inline_modes},
    {"inline-strings", &TcgOptions::inline_strings},
    {"host-xsave", &TcgOptions::host_xsave},
    {"park-pages", &TcgOptions::park_pages},
    {"live-immediates", &TcgOptions::live_immediates},
    {"move-code", &TcgOptions::move_code},
    {"tag-tlb", &TcgOptions::tag_tlb},
    {"perf-map", &TcgOptions::perf_map},
}};

constexpr std::array<std::pair<std::string_view, NativeUser>, 3> kNativeUserWords{{
    {"off", NativeUser::kOff},
    {"on", NativeUser::kComputing},
    {"always", NativeUser::kAlways},
}};

// Seconds since 1970 of "2026-01-31T12:00:00" or "2026-01-31", or false.
bool parse_date(const std::string& text, i64& seconds) {
  std::tm tm{};
  const char* end = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &tm);
  if (end == nullptr) {
    tm = {};
    end = ::strptime(text.c_str(), "%Y-%m-%d", &tm);
  }
  if (end == nullptr || *end != '\0') return false;
  seconds = ::timegm(&tm);
  return true;
}

}  // namespace

Result<bool> parse_switch(std::string_view option, std::string_view key, std::string_view text) {
  if (text == "on" || text == "yes" || text == "true") return true;
  if (text == "off" || text == "no" || text == "false") return false;
  return fail("{}: {}={} is neither on nor off", option, key, text);
}

KeyValues split_key_values(std::string_view text) {
  KeyValues out;
  std::string piece;
  const auto flush = [&] {
    const std::size_t equals = piece.find('=');
    if (equals == std::string::npos) {
      out.emplace_back("", piece);
    } else {
      out.emplace_back(piece.substr(0, equals), piece.substr(equals + 1));
    }
    piece.clear();
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != ',') {
      piece += text[i];
    } else if (i + 1 < text.size() && text[i + 1] == ',') {
      piece += ',';
      ++i;
    } else {
      flush();
    }
  }
  flush();
  return out;
}

std::string escape_commas(std::string_view text) {
  std::string out;
  for (const char c : text) out.append(c == ',' ? 2 : 1, c);
  return out;
}

Result<u64> parse_number(std::string_view option, std::string_view text, u64 low, u64 high) {
  u64 value = 0;
  if (!parse_unsigned(text, value)) return fail("{}: '{}' is not a number", option, text);
  if (value < low || value > high) {
    return fail("{}: {} is out of range; it may be {} to {}", option, text, low, high);
  }
  return value;
}

Result<u64> parse_memory(std::string_view option, std::string_view text) {
  std::string_view digits = text;
  if (digits.starts_with("size=")) digits.remove_prefix(5);
  u64 unit = kMiB;
  if (!digits.empty()) {
    constexpr std::array<std::pair<std::string_view, u64>, 8> kUnits{{{"K", kKiB},
                                                                      {"k", kKiB},
                                                                      {"M", kMiB},
                                                                      {"m", kMiB},
                                                                      {"G", kGiB},
                                                                      {"g", kGiB},
                                                                      {"T", kTiB},
                                                                      {"t", kTiB}}};
    if (digits.ends_with("iB")) digits.remove_suffix(2);
    if (digits.ends_with("B")) digits.remove_suffix(1);
    const u64* found =
        digits.empty() ? nullptr : find_word(kUnits, digits.substr(digits.size() - 1));
    if (found != nullptr) {
      unit = *found;
      digits.remove_suffix(1);
    }
  }
  u64 count = 0;
  if (!parse_unsigned(digits, count)) {
    return fail("{}: '{}' is not an amount of memory; write it like 512M or 2G", option, text);
  }
  u64 bytes = 0;
  if (__builtin_mul_overflow(count, unit, &bytes) || bytes > kMaxMemoryBytes ||
      bytes < kMinMemoryBytes || bytes % kMiB != 0) {
    return fail("{}: {} is not possible; it may be 1M to 1T, in whole megabytes", option, text);
  }
  return bytes;
}

Result<unsigned> parse_cpus(std::string_view option, std::string_view text) {
  u64 total = 0;
  u64 product = 1;
  for (const auto& [key, value] : split_key_values(text)) {
    const auto number = parse_number(option, value, 1, kMaxCpus);
    if (!number) return number.error();
    if (key.empty() || key == "cpus") {
      total = *number;
    } else if (key == "sockets" || key == "cores" || key == "threads" || key == "dies") {
      product = std::min<u64>(product * *number, kMaxCpus + 1);
    } else if (key != "maxcpus") {
      return fail("{}: unknown key {}; known are cpus, sockets, cores, threads", option, key);
    }
  }
  if (total == 0) total = product;
  if (total > kMaxCpus) return fail("{}: {} processors at most", option, kMaxCpus);
  return static_cast<unsigned>(total);
}

// `key` names KVM's interrupt controllers: takes `value`. False: it is another key.
Result<bool> parse_irqchip(std::string_view option, const std::string& key,
                           const std::string& value, MachineConfig& config) {
  if (key != "irqchip" && key != "kernel-irqchip" && key != "kernel_irqchip") return false;
  const auto* place = find_word(kIrqchipWords, value);
  if (place == nullptr) {
    return fail("{}: {}={} is not known: use kernel (or on), split, or user (or off)", option, key,
                value);
  }
  config.kvm_chips = *place;
  return true;
}

Result<void> parse_accel(std::string_view option, std::string_view text, MachineConfig& config) {
  for (const auto& [key, value] : split_key_values(text)) {
    if (key.empty()) {
      const EngineChoice* engine = find_word(kEngineWords, value);
      if (engine == nullptr) {
        return fail("{}: the engine is auto, kvm, tcg or kvm:tcg, not '{}'", option, value);
      }
      config.engine = *engine;
      continue;
    }
    const auto known = parse_irqchip(option, key, value, config);
    if (!known) return known.error();
  }
  const bool in_kernel = config.kvm_chips.value_or(ChipPlace::kUser) != ChipPlace::kUser;
  if (in_kernel && config.engine == EngineChoice::kTcg) {
    return fail("{}: only KVM has interrupt controllers in the kernel, and tcg is asked for",
                option);
  }
  return {};
}

Result<CharConfig> parse_char(std::string_view option, std::string_view text) {
  if (text == "stdio" || text == "mon:stdio") return CharConfig{SerialKind::kStdio, {}};
  if (text == "null") return CharConfig{SerialKind::kNull, {}};
  if (text == "none") return CharConfig{SerialKind::kNone, {}};
  if (text.starts_with("file:") && text.size() > 5) {
    return CharConfig{SerialKind::kFile, std::string(text.substr(5))};
  }
  return fail("{}: '{}' is not a place for bytes; use stdio, file:PATH, null or none", option,
              text);
}

Result<std::string> parse_monitor(std::string_view option, std::string_view text) {
  const KeyValues pieces = split_key_values(text);
  const std::string& where = pieces.front().second;
  if (where == "none") return std::string();
  if (where == "stdio" || (where.starts_with("unix:") && where.size() > 5)) return where;
  return fail("{}: '{}' is no place for the monitor; use stdio, unix:PATH or none", option, text);
}

Result<DisplayKind> parse_display(std::string_view option, std::string_view text) {
  const std::string word = split_key_values(text).front().second;
  const DisplayKind* display = find_word(kDisplayWords, word);
  if (display == nullptr) {
    return fail("{}: the display is auto, window, terminal or none, not '{}'", option, word);
  }
  return *display;
}

Result<VgaKind> parse_vga(std::string_view option, std::string_view text) {
  const VgaKind* const card = find_word(kVgaWords, text);
  if (card == nullptr)
    return fail("{}: the display card is std, virtio, cirrus or none, not '{}'", option, text);
  return *card;
}

Result<void> parse_boot(std::string_view option, std::string_view text, MachineConfig& config) {
  for (const auto& [key, value] : split_key_values(text)) {
    if (key.empty() || key == "order" || key == "once") {
      if (value.empty() || value.find_first_not_of("acdn") != std::string::npos) {
        return fail(
            "{}: '{}' is not a boot order; use letters of a (floppy), c (disk), "
            "d (CD-ROM), n (network)",
            option, value);
      }
      config.boot_order = value;
    } else if (key == "menu") {
      const auto on = parse_switch(option, key, value);
      if (!on) return on.error();
      config.boot_menu = *on;
    } else if (key != "strict" && key != "splash" && key != "splash-time") {
      return fail("{}: unknown key {}; known are order, once, menu", option, key);
    }
  }
  return {};
}

Result<void> parse_rtc(std::string_view option, std::string_view text, MachineConfig& config) {
  for (const auto& [key, value] : split_key_values(text)) {
    if (key == "clock" || key == "driftfix") continue;
    if (!key.empty() && key != "base")
      return fail("{}: unknown key {}; known is base", option, key);
    if (value == "utc") {
      config.rtc_base = RtcBase::kUtc;
    } else if (value == "localtime") {
      config.rtc_base = RtcBase::kLocalTime;
    } else if (parse_date(value, config.rtc_fixed_seconds)) {
      config.rtc_base = RtcBase::kFixed;
    } else {
      return fail("{}: base is utc, localtime or a date like 2026-01-31T12:00:00, not '{}'", option,
                  value);
    }
  }
  return {};
}

namespace {

Result<void> add_usb_device(std::string_view option, const KeyValues& pieces, UsbKind kind,
                            MachineConfig& config) {
  UsbConfig device{kind, {}};
  for (const auto& [key, value] : pieces) {
    if (!key.empty() && key != "id" && key != "bus" && key != "port")
      return fail("{}: {} has no property {}", option, pieces.front().second, key);
    if (key == "port") device.port = value;
  }
  if (config.usb_devices.size() >= kMaxUsbDevices)
    return fail("{}: at most {} USB devices", option, kMaxUsbDevices);
  config.usb_devices.push_back(device);
  return {};
}

Result<void> set_usb_controller(std::string_view option, const KeyValues& pieces,
                                UsbController controller, MachineConfig& config) {
  for (const auto& [key, value] : pieces) {
    if (!key.empty() && key != "id" && key != "bus" && key != "addr")
      return fail("{}: {} has no property {}", option, pieces.front().second, key);
  }
  config.usb = true;
  if (config.usb_controller != UsbController::kUhci && config.usb_controller != controller)
    return fail("{}: there is one xHCI controller, qemu-xhci or nec-usb-xhci", option);
  config.usb_controller = controller;
  return {};
}

// The codecs are QEMU's names for what sits on the HDA controller's link.
bool is_sound_card(std::string_view name) {
  return name == "AC97" || name == "ac97" || name == "intel-hda" || name == "sb16" ||
         name == "hda-duplex" || name == "hda-output";
}

Result<void> add_sound_card(std::string_view option, const KeyValues& pieces,
                            MachineConfig& config) {
  const std::string& name = pieces.front().second;
  for (const auto& [key, value] : pieces) {
    if (!key.empty() && key != "id" && key != "audiodev" && key != "bus")
      return fail("{}: {} has no property {}", option, name, key);
  }
  if (name == "sb16") {
    config.sb16 = true;
    return {};
  }
  const bool is_ac97 = name == "AC97" || name == "ac97";
  (is_ac97 ? config.ac97 : config.hda) = true;
  if (config.ac97 && config.hda)
    return fail("{}: there is one PCI sound card, AC97 or intel-hda", option);
  return {};
}

Result<void> add_virtio_input(std::string_view option, const KeyValues& pieces,
                              VirtioInputKind kind, MachineConfig& config) {
  for (const auto& [key, value] : pieces) {
    if (!key.empty() && key != "id" && key != "bus" && key != "addr")
      return fail("{}: {} has no property {}", option, pieces.front().second, key);
  }
  if (config.virtio_inputs.size() >= kMaxVirtioInputs)
    return fail("{}: at most {} virtio input devices", option, kMaxVirtioInputs);
  config.virtio_inputs.push_back(kind);
  return {};
}

}  // namespace

Result<void> parse_device(std::string_view option, std::string_view text, MachineConfig& config) {
  const KeyValues pieces = split_key_values(text);
  if (const UsbKind* kind = find_word(kUsbWords, pieces.front().second); kind != nullptr) {
    return add_usb_device(option, pieces, *kind, config);
  }
  if (const auto* controller = find_word(kUsbControllerWords, pieces.front().second);
      controller != nullptr) {
    return set_usb_controller(option, pieces, *controller, config);
  }
  if (const auto* kind = find_word(kVirtioInputWords, pieces.front().second); kind != nullptr) {
    return add_virtio_input(option, pieces, *kind, config);
  }
  if (is_sound_card(pieces.front().second)) return add_sound_card(option, pieces, config);
  if (pieces.front().second != "isa-debug-exit") {
    return fail(
        "{}: there is no device {}; to ask for by name are isa-debug-exit, usb-tablet, usb-mouse, "
        "usb-kbd, usb-hub, qemu-xhci, nec-usb-xhci, virtio-tablet, virtio-mouse, virtio-keyboard, "
        "AC97, intel-hda and sb16 (the PC's own "
        "devices are "
        "always there)",
        option, pieces.front().second);
  }
  config.debug_exit_port = 0x501;
  for (const auto& [key, value] : pieces) {
    if (key.empty() || key == "iosize" || key == "id") continue;
    if (key != "iobase") return fail("{}: isa-debug-exit has no property {}", option, key);
    const auto port = parse_number(option, value, 0, 0xfffc);
    if (!port) return port.error();
    config.debug_exit_port = static_cast<u16>(*port);
  }
  return {};
}

Result<void> parse_machine(std::string_view option, std::string_view text, MachineConfig& config) {
  for (const auto& [key, value] : split_key_values(text)) {
    const auto irqchip = parse_irqchip(option, key, value, config);
    if (!irqchip) return irqchip.error();
    if (*irqchip) continue;
    if (key == "accel") {
      EMU_TRY(parse_accel(option, value, config));
    } else if (key.empty() || key == "type") {
      if (value != "pc" && !value.starts_with("pc-i440fx")) {
        return fail("{}: machine {} is not built yet; use pc", option, value);
      }
    }
  }
  return {};
}

Result<void> parse_translator(std::string_view option, std::string_view text, TcgOptions& options) {
  for (const auto& [key, value] : split_key_values(text)) {
    if (const auto* member = find_word(kTranslatorSwitches, key); member != nullptr) {
      const auto on = parse_switch(option, key, value);
      if (!on) return on.error();
      options.*(*member) = *on;
    } else if (key == "native-user") {
      const auto* when = find_word(kNativeUserWords, value);
      if (when == nullptr) {
        return fail("{}: native-user={} is not known: use off, on or always", option, value);
      }
      options.native_user = *when;
    } else if (key == "max-block") {
      const auto count = parse_number(option, value, 1, 1024);
      if (!count) return count.error();
      options.max_block_instructions = static_cast<unsigned>(*count);
    } else if (key == "lock-step") {
      const auto count = parse_number(option, value, 0, 1'000'000);
      if (!count) return count.error();
      options.lock_step_runs = static_cast<unsigned>(*count);
    } else if (key == "code-cache") {
      const auto bytes = parse_memory(option, value);
      if (!bytes) return bytes.error();
      options.code_cache_bytes = *bytes;
    } else {
      return fail("{}: unknown switch '{}'; see emu --help", option, key.empty() ? value : key);
    }
  }
  return {};
}

std::string accel_text(const MachineConfig& config) {
  std::string text = "auto";
  for (const auto& [word, value] : kEngineWords) {
    if (value == config.engine) text = word;
  }
  for (const auto& [word, value] : kIrqchipWords) {
    if (config.kvm_chips == value) return fmt::format("{},irqchip={}", text, word);
  }
  return text;
}

std::string memory_text(u64 bytes) {
  return bytes % kGiB == 0 ? fmt::format("{}G", bytes / kGiB) : fmt::format("{}M", bytes / kMiB);
}

std::string char_text(const CharConfig& config) {
  switch (config.kind) {
    case SerialKind::kNone:
      return "none";
    case SerialKind::kNull:
      return "null";
    case SerialKind::kStdio:
      return "stdio";
    case SerialKind::kFile:
      return "file:" + config.path;
  }
  return "none";
}

std::string usb_text(const UsbConfig& device) {
  for (const auto& [word, value] : kUsbWords) {
    if (value != device.kind) continue;
    return device.port.empty() ? std::string(word) : fmt::format("{},port={}", word, device.port);
  }
  return {};
}

std::string usb_controller_text(UsbController controller) {
  for (const auto& [word, value] : kUsbControllerWords) {
    if (value == controller) return std::string(word);
  }
  return {};
}

std::string virtio_input_text(VirtioInputKind kind) {
  for (const auto& [word, value] : kVirtioInputWords) {
    if (value == kind) return std::string(word);
  }
  return {};
}

std::string vga_text(VgaKind kind) {
  for (const auto& [word, value] : kVgaWords) {
    if (value == kind) return std::string(word);
  }
  return {};
}

std::string display_text(DisplayKind display) {
  for (const auto& [word, value] : kDisplayWords) {
    if (value == display) return std::string(word);
  }
  return "auto";
}

std::string translator_text(const TcgOptions& options) {
  std::string out =
      fmt::format("max-block={},code-cache={},lock-step={}", options.max_block_instructions,
                  memory_text(options.code_cache_bytes), options.lock_step_runs);
  for (const auto& [word, member] : kTranslatorSwitches) {
    out += fmt::format(",{}={}", word, options.*member ? "on" : "off");
  }
  return out;
}

std::string rtc_text(const MachineConfig& config) {
  if (config.rtc_base == RtcBase::kUtc) return "base=utc";
  if (config.rtc_base == RtcBase::kLocalTime) return "base=localtime";
  const std::time_t seconds = config.rtc_fixed_seconds;
  std::tm tm{};
  ::gmtime_r(&seconds, &tm);
  std::array<char, 64> text{};
  const std::size_t length = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &tm);
  return "base=" + std::string(text.data(), length);
}

}  // namespace emu::cli
