// SPDX-License-Identifier: Apache-2.0
#include "ui/key_typer.h"

namespace emu {

void KeyTyper::add(std::string_view text) {
  std::vector<u8> typed;
  char last = 0;
  for (const char c : text) {
    if (typed.size() + strokes_.size() >= kMostStrokes) break;
    const bool is_line_end = c == '\n' || c == '\r';
    const bool is_second_half = c == '\n' && last == '\r';
    last = c;
    if (is_second_half) continue;
    if (is_line_end || c == '\t' || (c >= ' ' && c <= '~')) typed.push_back(static_cast<u8>(c));
  }
  std::vector<KeyStroke> strokes;
  append_key_strokes(typed, strokes);
  strokes_.insert(strokes_.end(), strokes.begin(), strokes.end());
}

void KeyTyper::step(MachineControl& control, std::chrono::steady_clock::time_point now) {
  if (strokes_.empty() || now < next_ || control.paused()) return;
  next_ = now + kPause;
  const KeyStroke stroke = strokes_.front();
  strokes_.pop_front();
  const MachineLock lock = control.lock();
  if (KeyboardSink* const keyboard = control.keyboard()) type_key_stroke(*keyboard, stroke);
}

}  // namespace emu
