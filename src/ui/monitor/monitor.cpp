// SPDX-License-Identifier: Apache-2.0
#include "ui/monitor/monitor.h"

#include "ui/screenshot.h"

namespace emu {
namespace {

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

std::string help_line(std::string_view name, std::string_view parameters, std::string_view text) {
  return fmt::format("{:<38} {}\n", fmt::format("{} {}", name, parameters), text);
}

}  // namespace

Result<std::vector<std::string>> Monitor::split(std::string_view line) {
  std::vector<std::string> words;
  bool in_word = false;
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    char c = line[i];
    if (!quoted && is_blank(c)) {
      in_word = false;
      continue;
    }
    if (!in_word) words.emplace_back();
    in_word = true;
    if (c == '"') {
      quoted = !quoted;
      continue;
    }
    if (quoted && c == '\\' && i + 1 < line.size()) c = line[++i];
    words.back() += c;
  }
  if (quoted) return fail("a quote does not end");
  return words;
}

std::string Monitor::execute(std::string_view line) {
  const auto words = split(line);
  if (!words) return fmt::format("error: {}\n", words.error().message);
  if (words->empty()) return {};
  auto answer = run(*words);
  if (!answer) return fmt::format("error: {}\n", answer.error().message);
  return *answer;
}

Result<std::string> Monitor::run(std::span<const std::string> words) {
  const std::string& name = words[0];
  const auto rest = words.subspan(1);
  if (name == "help" || name == "?") return help(rest);
  if (name == "screendump") {
    if (rest.size() != 1) return fail("screendump takes the name of a PNG or PPM file");
    EMU_TRY(save_screenshot(control_, rest[0]));
    return std::string();
  }
  for (const ControlCommand& command : control_.commands()) {
    if (command.name == name) return command.run(rest);
  }
  return fail("there is no command '{}'; help lists all", name);
}

std::string Monitor::help(std::span<const std::string> words) const {
  std::string out;
  const auto add = [&](std::string_view name, std::string_view parameters, std::string_view text) {
    if (words.empty() || words[0] == name) out += help_line(name, parameters, text);
  };
  add("help", "[COMMAND]", "Show this");
  add("screendump", "FILE", "Save the screen as a picture: PNG, or PPM if FILE ends in .ppm");
  for (const ControlCommand& command : control_.commands()) {
    add(command.name, command.parameters, command.help);
  }
  if (out.empty()) return fmt::format("there is no command '{}'\n", words[0]);
  return out;
}

}  // namespace emu
