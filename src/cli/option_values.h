// SPDX-License-Identifier: Apache-2.0
// The values of command-line options: text to configuration and back.
// Source: qemu(1), "Standard options" and "Block device options", for the spellings people know.
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "machine/machine_config.h"

namespace emu::cli {

// Pieces of "a,key=value,b"; ",," stands for one comma inside a piece. First is empty for a piece
// without '='.
using KeyValues = std::vector<std::pair<std::string, std::string>>;
[[nodiscard]] KeyValues split_key_values(std::string_view text);
// `text` with each comma doubled, so that split_key_values() gives it back.
[[nodiscard]] std::string escape_commas(std::string_view text);

// The value beside `word` in a table, or null.
template <class T, std::size_t N>
const T* find_word(const std::array<std::pair<std::string_view, T>, N>& words,
                   std::string_view word) {
  const auto it = std::find_if(words.begin(), words.end(),
                               [word](const auto& entry) { return entry.first == word; });
  return it == words.end() ? nullptr : &it->second;
}

// Each parser returns an error sentence that names `option` as the user spelled it.
// An unsigned decimal or 0x number in [low, high].
[[nodiscard]] Result<u64> parse_number(std::string_view option, std::string_view text, u64 low,
                                       u64 high);
// "on", "yes", "true" or "off", "no", "false"; `key` is what it is for.
[[nodiscard]] Result<bool> parse_switch(std::string_view option, std::string_view key,
                                        std::string_view text);
// "512" (MiB), "2G", "512M", "65536K", "size=2G"; kMinMemoryBytes..kMaxMemoryBytes, whole MiB.
[[nodiscard]] Result<u64> parse_memory(std::string_view option, std::string_view text);
// "2", "cpus=2,cores=2,threads=1", "4,sockets=4".
[[nodiscard]] Result<unsigned> parse_cpus(std::string_view option, std::string_view text);
// "kvm", "tcg", "auto", "kvm:tcg", "tcg,thread=multi", "kvm,irqchip=split": sets engine and
// kvm_chips.
[[nodiscard]] Result<void> parse_accel(std::string_view option, std::string_view text,
                                       MachineConfig& config);
// "file=disk.qcow2,format=qcow2,if=ide,media=disk,index=0,readonly=on,snapshot=on".
[[nodiscard]] Result<DriveConfig> parse_drive(std::string_view option, std::string_view text);
// "stdio", "mon:stdio", "null", "none", "file:PATH".
[[nodiscard]] Result<CharConfig> parse_char(std::string_view option, std::string_view text);
// "stdio", "unix:PATH", "unix:PATH,server=on,wait=off", "none" (the answer is empty).
[[nodiscard]] Result<std::string> parse_monitor(std::string_view option, std::string_view text);
// "auto", "window", "sdl", "gtk", "terminal", "term", "curses", "none".
[[nodiscard]] Result<DisplayKind> parse_display(std::string_view option, std::string_view text);
[[nodiscard]] Result<VgaKind> parse_vga(std::string_view option, std::string_view text);
// "cd", "order=cd,menu=on": sets boot_order and boot_menu.
[[nodiscard]] Result<void> parse_boot(std::string_view option, std::string_view text,
                                      MachineConfig& config);
// "utc", "base=localtime", "base=2026-01-31T12:00:00,clock=vm": sets rtc_base and its seconds.
[[nodiscard]] Result<void> parse_rtc(std::string_view option, std::string_view text,
                                     MachineConfig& config);
// "isa-debug-exit,iobase=0xf4", "usb-tablet", "usb-mouse", "usb-kbd".
[[nodiscard]] Result<void> parse_device(std::string_view option, std::string_view text,
                                        MachineConfig& config);
// "pc", "pc,accel=tcg,kernel-irqchip=split": may set engine and kvm_chips.
[[nodiscard]] Result<void> parse_machine(std::string_view option, std::string_view text,
                                         MachineConfig& config);
// "chain=off,max-block=8": switches of the translator.
[[nodiscard]] Result<void> parse_translator(std::string_view option, std::string_view text,
                                            TcgOptions& options);

// The inverse spellings, as --print-config writes them.
[[nodiscard]] std::string accel_text(const MachineConfig& config);
[[nodiscard]] std::string memory_text(u64 bytes);
[[nodiscard]] std::string drive_text(const DriveConfig& drive);
[[nodiscard]] std::string char_text(const CharConfig& config);
[[nodiscard]] std::string usb_text(const UsbConfig& device);
[[nodiscard]] std::string usb_controller_text(UsbController controller);
[[nodiscard]] std::string vga_text(VgaKind kind);
[[nodiscard]] std::string virtio_input_text(VirtioInputKind kind);
[[nodiscard]] std::string display_text(DisplayKind display);
[[nodiscard]] std::string translator_text(const TcgOptions& options);
[[nodiscard]] std::string rtc_text(const MachineConfig& config);

}  // namespace emu::cli
