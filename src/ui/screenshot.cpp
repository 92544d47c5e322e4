// SPDX-License-Identifier: Apache-2.0
#include "ui/screenshot.h"

#include "ui/png_file.h"
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
  return write_png(path, frame);
}

std::string screen_text(MachineControl& control) {
  DisplaySource* const display = control.display();
  if (display == nullptr) return {};
  TextScreen screen;
  {
    const MachineLock lock = control.lock();
    if (!display->text(screen)) return {};
  }
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
