// SPDX-License-Identifier: Apache-2.0
#include "ui/screenshot.h"

#include <charconv>
#include <optional>

#include "base/log.h"
#include "ui/console_reader.h"
#include "ui/png_file.h"
#include "ui/ppm_file.h"
#include "ui/terminal/code_page_437.h"

namespace emu {

Result<void> save_screenshot(MachineControl& control, const std::string& path) {
  DisplaySource* const display = control.display();
  if (display == nullptr) return fail("{} is not written: this machine has no display", path);
  Frame frame;
  {
    const MachineLock lock = control.lock();
    display->render(frame);
  }
  return path.ends_with(".ppm") ? write_ppm(path, frame) : write_png(path, frame);
}

namespace {

bool read_screen(MachineControl& control, DisplaySource& display, TextScreen& screen) {
  Frame frame;
  {
    const MachineLock lock = control.lock();
    if (display.text(screen)) return true;
    display.render(frame);
  }
  return ConsoleReader(control.text_font()).read(frame, screen);
}

}  // namespace

std::string screen_text(MachineControl& control) {
  DisplaySource* const display = control.display();
  if (display == nullptr) return {};
  TextScreen screen;
  if (!read_screen(control, *display, screen)) return {};
  std::string text;
  for (u32 row = 0; row < screen.rows; ++row) {
    std::size_t end = text.size();
    for (u32 column = 0; column < screen.columns; ++column) {
      const u8 character =
          static_cast<u8>(screen.cells[std::size_t{row} * screen.columns + column]);
      append_code_page_437(text, character);
      if (character != ' ' && character != 0) end = text.size();
    }
    text.resize(end);
    text += '\n';
  }
  return text;
}

namespace {

// "2.5" as milliseconds; nothing if `text` is no number of seconds.
std::optional<std::chrono::milliseconds> parse_seconds(const std::string& text) {
  double seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  const bool is_all = error == std::errc() && end == text.data() + text.size();
  if (!is_all || !(seconds >= 0 && seconds < 1e9)) return std::nullopt;
  return std::chrono::milliseconds(static_cast<i64>(seconds * 1000));
}

void wait_for_moment(MachineControl& control, const std::string& after) {
  constexpr std::chrono::hours kForever(24 * 365);
  if (after.empty()) {
    static_cast<void>(control.wait_finished(kForever));
  } else if (const auto seconds = parse_seconds(after)) {
    static_cast<void>(control.wait_finished(*seconds));
  } else {
    static_cast<void>(wait_for_screen_text(control, after, kForever));
  }
}

}  // namespace

ScreenshotJob::ScreenshotJob(MachineControl& control, std::string path, std::string after) {
  if (path.empty()) return;
  thread_ = std::thread([&control, path = std::move(path), after = std::move(after)] {
    wait_for_moment(control, after);
    const Result<void> saved = save_screenshot(control, path);
    if (!saved) log(LogLevel::kError, "screenshot", "{}", saved.error().message);
  });
}

ScreenshotJob::~ScreenshotJob() {
  if (thread_.joinable()) thread_.join();
}

bool wait_for_screen_text(MachineControl& control, std::string_view text,
                          std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (screen_text(control).find(text) == std::string::npos) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    if (control.wait_finished(std::chrono::milliseconds(100))) return false;
  }
  return true;
}

}  // namespace emu
