// SPDX-License-Identifier: Apache-2.0
#include "ui/sdl/sdl_consoles.h"

namespace emu {
namespace {

constexpr std::string_view kNextKey = "Ctrl+Alt+C: next";

}  // namespace

void SdlConsoles::next() {
  switch (view_) {
    case View::kPicture:
      view_ = serial_ != nullptr ? View::kSerial : View::kMonitor;
      break;
    case View::kSerial:
      view_ = View::kMonitor;
      break;
    case View::kMonitor:
      view_ = View::kPicture;
      break;
  }
  if (view_ != View::kMonitor || monitor_open_) return;
  monitor_open_ = true;
  monitor_.open();
}

void SdlConsoles::type(std::string_view text) {
  if (view_ == View::kSerial) serial_->type(control_, text);
  if (view_ == View::kMonitor) monitor_.type(std::vector<u8>(text.begin(), text.end()));
}

std::vector<std::string> SdlConsoles::lines(std::size_t most) const {
  if (view_ == View::kPicture || most < 2) return {};
  const bool is_serial = view_ == View::kSerial;
  std::vector<std::string> out =
      is_serial ? serial_->last(most - 1) : monitor_lines_.last(most - 1);
  out.back() += '_';
  out.insert(out.begin(),
             fmt::format("-- {} -- {}", is_serial ? "serial console" : "monitor", kNextKey));
  return out;
}

}  // namespace emu
