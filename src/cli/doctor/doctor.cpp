// SPDX-License-Identifier: Apache-2.0
#include "cli/doctor/doctor.h"

#include <fmt/core.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "machine/boot/firmware.h"
#include "machine/engine_report.h"
#include "ui/sdl/sdl_window.h"

namespace emu::cli {
namespace {

using State = HostCheck::State;

HostCheck kvm_check(const EngineReport& report) {
  const KvmVerdict& v = report.kvm;
  if (v.usable()) {
    const std::string& missing = report.kernel_chips_missing;
    return {"kvm", State::kOk,
            fmt::format("real and fast ({:.1f} ns an instruction), interrupt controllers in {}",
                        v.ns_per_instruction,
                        missing.empty() ? "the kernel" : "user space: " + missing),
            ""};
  }
  return {"kvm", State::kProblem, fmt::format("{}: {}", kvm_state_word(v.state), v.reason),
          v.fix.empty() ? "the translator runs guests"
                        : v.fix + "; until then the translator runs guests"};
}

HostCheck translator_check(const EngineReport& report) {
  if (!report.translator_missing.empty())
    return {"translator", State::kProblem, report.translator_missing, "use a newer host, or KVM"};
  if (report.native_user_missing.empty())
    return {"translator", State::kOk, "runs here, guests' 64-bit programs at the host's speed", ""};
  return {"translator", State::kOk,
          fmt::format("runs here, guests' programs two to four times slower than it could: {} (a "
                      "container may need ptrace allowed)",
                      report.native_user_missing),
          ""};
}

HostCheck processor_check(const EngineReport& report) {
  std::string offered;
  for (const std::string& word : report.guest_level)
    offered += (offered.empty() ? "" : ", ") + word;
  return {"processor", State::kOk,
          fmt::format("{}; a guest is offered {}", report.processor, offered), ""};
}

HostCheck display_check() {
  if (has_graphical_display()) return {"display", State::kOk, "a window can be opened", ""};
  return {"display", State::kOff, "no DISPLAY or WAYLAND_DISPLAY: guests use this terminal", ""};
}

HostCheck sound_check() {
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  const std::string folder = runtime == nullptr ? "/nonexistent" : runtime;
  for (const char* name : {"/pipewire-0", "/pulse/native"}) {
    if (::access((folder + name).c_str(), F_OK) == 0) {
      return {"sound", State::kOk, "a sound server runs (" + folder + name + ")", ""};
    }
  }
  if (::access("/dev/snd/controlC0", R_OK | W_OK) == 0) {
    return {"sound", State::kOk, "a sound card (ALSA)", ""};
  }
  return {"sound", State::kOff, "no sound server and no sound card", ""};
}

bool has_net_admin() {
  constexpr int kCapNetAdmin = 12;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with("CapEff:")) continue;
    return (std::strtoull(line.c_str() + 7, nullptr, 16) >> kCapNetAdmin & 1) != 0;
  }
  return false;
}

HostCheck tap_check() {
  if (::access("/dev/net/tun", F_OK) != 0) {
    return {"tap", State::kOff, "no /dev/net/tun; the user network needs none", ""};
  }
  if (::access("/dev/net/tun", R_OK | W_OK) == 0 && has_net_admin()) {
    return {"tap", State::kOk, "this process may make TAP interfaces", ""};
  }
  return {"tap", State::kOff,
          "only TAP interfaces made for you can be used; the user network needs none", ""};
}

HostCheck memory_check() {
  struct sysinfo info {};
  u64 available = 0;
  std::ifstream meminfo("/proc/meminfo");
  for (std::string line; std::getline(meminfo, line);) {
    if (line.starts_with("MemAvailable:")) {
      available = std::strtoull(line.c_str() + 13, nullptr, 10) / 1024;
    }
  }
  if (::sysinfo(&info) != 0) return {"memory", State::kOff, "unknown", ""};
  const u64 total = u64{info.totalram} * info.mem_unit / kMiB;
  const std::string text = fmt::format("{} of {} MiB available", available, total);
  if (available >= 512) return {"memory", State::kOk, text, ""};
  return {"memory", State::kProblem, text, "close something, or give guests little (-m 128M)"};
}

HostCheck firmware_check() {
  const auto found = Firmware::find("", "");
  if (!found)
    return {"firmware", State::kProblem, found.error().message, "apt-get install seabios"};
  return {"firmware", State::kOk, "SeaBIOS and its VGA BIOS are installed", ""};
}

const char* state_word(State state) {
  return state == State::kOk ? "ok" : state == State::kOff ? "off" : "problem";
}

}  // namespace

std::vector<HostCheck> check_host() {
  const EngineReport report = inspect_engines();
  return {kvm_check(report), translator_check(report), processor_check(report), memory_check(),
          firmware_check(),  display_check(),          sound_check(),           tap_check()};
}

std::string describe_checks(const std::vector<HostCheck>& checks, bool json) {
  const bool well =
      std::ranges::none_of(checks, [](const HostCheck& c) { return c.state == State::kProblem; });
  if (json) {
    nlohmann::ordered_json out = {{"ok", well}, {"checks", nlohmann::ordered_json::array()}};
    for (const HostCheck& c : checks) {
      out["checks"].push_back(
          {{"name", c.name}, {"state", state_word(c.state)}, {"text", c.text}, {"fix", c.fix}});
    }
    return out.dump(2) + "\n";
  }
  std::string out;
  for (const HostCheck& c : checks) {
    out += fmt::format("{:<8} {:<11} {}\n", state_word(c.state), c.name, c.text);
    if (!c.fix.empty()) out += fmt::format("{:<20} -> {}\n", "", c.fix);
  }
  return out + (well ? "all is well\n" : "something is to be fixed\n");
}

int run_doctor(std::span<const std::string> arguments) {
  bool json = false;
  for (const std::string& argument : arguments) {
    if (argument == "--json") {
      json = true;
    } else {
      const bool help = argument == "--help" || argument == "-h";
      fmt::print(
          help ? stdout : stderr,
          "{}usage: emu doctor [--json]\nWhat this host has for guests, and what to do about "
          "the rest. Exit status: 0 all is well, 1 something is to be fixed.\n",
          help ? "" : "emu doctor: unknown argument " + argument + "\n");
      return help ? 0 : 2;
    }
  }
  const auto checks = check_host();
  fmt::print("{}", describe_checks(checks, json));
  const bool problem =
      std::ranges::any_of(checks, [](const HostCheck& c) { return c.state == State::kProblem; });
  return problem ? 1 : 0;
}

}  // namespace emu::cli
