// SPDX-License-Identifier: Apache-2.0
// What the window shows over the picture in place of it: the serial console, or the monitor. What
// is typed then goes there.
// Threads: the window's.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ui/monitor/monitor_console.h"
#include "ui/serial_view.h"
#include "ui/text_lines.h"

namespace emu {

class SdlConsoles {
 public:
  enum class View : u8 { kPicture, kSerial, kMonitor };
  // `serial` may be null: there is nothing to show of it.
  SdlConsoles(MachineControl& control, SerialView* serial)
      : control_(control),
        serial_(serial),
        monitor_(control, MonitorConsole::Style::kTyped,
                 [this](std::string_view text) { monitor_lines_.add(text); }) {}

  [[nodiscard]] View view() const { return view_; }
  // The serial console, the monitor, the picture, and so on.
  void next();
  // Bytes as a terminal would send them. Takes the machine lock.
  void type(std::string_view text);
  // What to draw: as many lines as fit, the first one a heading. Empty: the picture.
  [[nodiscard]] std::vector<std::string> lines(std::size_t most) const;

 private:
  MachineControl& control_;
  SerialView* const serial_;
  TextLines monitor_lines_;
  MonitorConsole monitor_;
  View view_ = View::kPicture;
  bool monitor_open_ = false;
};

}  // namespace emu
