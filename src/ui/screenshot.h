// SPDX-License-Identifier: Apache-2.0
// The guest's screen for scripts: as a picture file, as text, and waiting for a text to appear.
// Needs no window.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <thread>

#include "base/result.h"
#include "machine/control.h"

namespace emu {

// As PNG, or as PPM where the name ends in ".ppm". Takes the machine lock. Errors: no display
// device; see write_png().
[[nodiscard]] Result<void> save_screenshot(MachineControl& control, const std::string& path);

// The text on the screen in UTF-8, a line for each row, without trailing blanks; also what
// ConsoleReader makes of a graphical console. Empty for other pictures and without a display. Takes
// the machine lock.
[[nodiscard]] std::string screen_text(MachineControl& control);

// Waits until `text` is on the screen; false if the machine finished or `limit` passed first.
// Looks ten times a second.
[[nodiscard]] bool wait_for_screen_text(MachineControl& control, std::string_view text,
                                        std::chrono::milliseconds limit);

// Saves a screenshot on an own thread while the machine runs: `after` that many seconds, or when
// that text appears on the screen; if empty, or if the machine finishes first, at the end. Does
// nothing without a `path`. A failure is logged. Destroy it when the machine has finished.
class ScreenshotJob {
 public:
  ScreenshotJob(MachineControl& control, std::string path, std::string after);
  ~ScreenshotJob();
  ScreenshotJob(const ScreenshotJob&) = delete;
  ScreenshotJob& operator=(const ScreenshotJob&) = delete;

 private:
  std::thread thread_;
};

}  // namespace emu
