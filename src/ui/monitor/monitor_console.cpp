// SPDX-License-Identifier: Apache-2.0
#include "ui/monitor/monitor_console.h"

namespace emu {
namespace {

constexpr std::string_view kPrompt = "(emu) ";
constexpr char kBackspace = '\b';
constexpr char kDelete = 0x7f;
constexpr char kControlU = 0x15;

}  // namespace

MonitorConsole::MonitorConsole(MachineControl& control, Style style, Output output)
    : monitor_(control), style_(style), output_(std::move(output)) {}

void MonitorConsole::open() {
  line_.clear();
  print(style_ == Style::kTyped ? "\n" : "");
  print(kPrompt);
}

void MonitorConsole::type(std::span<const u8> bytes) {
  for (const u8 byte : bytes) type_one(static_cast<char>(byte));
}

void MonitorConsole::type_one(char c) {
  if (c == '\n' || c == '\r') return finish_line();
  if (c == kBackspace || c == kDelete) {
    if (line_.empty()) return;
    line_.pop_back();
    if (style_ == Style::kTyped) output_("\b \b");
    return;
  }
  if (c == kControlU) {
    while (!line_.empty()) type_one(kBackspace);
    return;
  }
  if (static_cast<u8>(c) < ' ' || line_.size() >= kMaxLineBytes) return;
  line_ += c;
  if (style_ == Style::kTyped) output_({&c, 1});
}

void MonitorConsole::finish_line() {
  if (style_ == Style::kTyped) output_("\r\n");
  const std::string line = std::move(line_);
  line_.clear();
  print(monitor_.execute(line));
  print(kPrompt);
}

void MonitorConsole::print(std::string_view text) {
  if (style_ == Style::kScript) return output_(text);
  std::string with_returns;
  for (const char c : text) {
    if (c == '\n') with_returns += '\r';
    with_returns += c;
  }
  output_(with_returns);
}

}  // namespace emu
