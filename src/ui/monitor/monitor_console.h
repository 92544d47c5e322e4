// SPDX-License-Identifier: Apache-2.0
// A monitor that somebody types on: echo, erasing, a prompt. Bytes in, bytes out.
// Threads: as Monitor.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "ui/monitor/monitor.h"

namespace emu {

class MonitorConsole {
 public:
  using Output = std::function<void(std::string_view)>;
  // kTyped: a raw terminal, which wants an echo and CR LF. kScript: a pipe or socket: neither.
  enum class Style : u8 { kTyped, kScript };

  MonitorConsole(MachineControl& control, Style style, Output output);

  // Prints the prompt, as when the monitor is opened.
  void open();
  // What was typed. Every complete line is run before this returns. A line longer than
  // kMaxLineBytes is cut.
  void type(std::span<const u8> bytes);

  static constexpr std::size_t kMaxLineBytes = 4096;

 private:
  void type_one(char c);
  void finish_line();
  void print(std::string_view text);

  Monitor monitor_;
  const Style style_;
  const Output output_;
  std::string line_;
};

}  // namespace emu
