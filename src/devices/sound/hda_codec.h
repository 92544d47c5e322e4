// SPDX-License-Identifier: Apache-2.0
// A High Definition Audio codec: a line-out jack behind a converter with volume, and a line-in
// jack. Source: Intel High Definition Audio Specification 1.0a, chapter 7 (codec features and
// verbs). Threads: the machine lock is held by every caller. Not modelled: jack detection,
// unsolicited responses, digital outputs, GPIO.
#pragma once

#include <array>

#include "base/state_io.h"
#include "base/types.h"

namespace emu {

class HdaCodec {
 public:
  HdaCodec() { reset(); }
  void reset();
  void transfer(StateIo& io);

  // The response to a verb (bits 27-20 node, 19-0 verb and payload); 0 to those it does not know.
  [[nodiscard]] u32 execute(u32 command);
  // The stream whose samples the line-out jack plays, 1..15; 0: none.
  [[nodiscard]] u8 output_stream() const { return widgets_[kDac].stream >> 4; }
  // What the volume makes of a sample; side 0 is left.
  [[nodiscard]] double output_gain(unsigned side) const;

 private:
  enum Node : u8 { kRoot, kFunctionGroup, kDac, kAdc, kLineOut, kLineIn, kNodes };
  struct Widget {
    u8 stream = 0;  // stream number, channel
    u8 pin_control = 0;
    u8 power = 0;
    u8 connection = 0;
    u8 unsolicited = 0;
    u16 format = 0;
    std::array<u8, 4> amplifiers{};  // out left, out right, in left, in right: mute and gain
  };

  [[nodiscard]] static u32 parameter(u8 node, u8 number);
  [[nodiscard]] u32 short_verb(u8 node, u32 verb, u8 payload);
  void set_amplifier(Widget& widget, u16 payload);
  [[nodiscard]] static u32 amplifier(const Widget& widget, u16 payload);

  // state (saved)
  std::array<Widget, kNodes> widgets_;
};

}  // namespace emu
