// SPDX-License-Identifier: Apache-2.0
// Command lines: whatever is accepted prints a configuration that reads back equal.
// Input: arguments, one a line. Lines that name files to read are left out.
#include <string>

#include "base/check.h"
#include "base/log.h"
#include "cli/command_line.h"

namespace emu {
namespace {

std::vector<std::string> split_lines(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string line(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    const bool reads_file = line.starts_with('@') || line.find("config") != std::string::npos;
    if (!reads_file && line.find('\0') == std::string::npos) lines.push_back(line);
  }
  return lines;
}

void run(std::string_view text) {
  const std::vector<std::string> arguments = split_lines(text);
  const auto first = cli::parse_command_line(arguments);
  if (!first || first->action != cli::Action::kRun) return;
  const std::string printed = cli::print_config(first->config);
  std::vector<std::string> again = split_lines(printed);
  for (std::string& line : again) line.insert(0, line.starts_with('-') ? "" : "--");
  (void)cli::parse_command_line(again);
}

}  // namespace
}  // namespace emu

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  emu::set_log_level(emu::LogLevel::kError);
  emu::run({reinterpret_cast<const char*>(data), size});
  return 0;
}
