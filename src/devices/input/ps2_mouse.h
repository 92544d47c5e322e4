// SPDX-License-Identifier: Apache-2.0
// A PS/2 mouse that guests can switch to the IntelliMouse (wheel) and Explorer (five buttons)
// protocols.
// Source: IBM PS/2 Hardware Interface Technical Reference, "Mouse"; Adam Chapweske, "The PS/2
// Mouse Interface" (2003), for the two Microsoft extensions.
// Threads: the machine lock is held by every caller.
// Not modelled: the sample rate and resolution (kept and reported, but a new packet goes out as
// soon as the host has read the last one, with everything that moved meanwhile).
#pragma once

#include <array>

#include "devices/device.h"
#include "devices/input/ps2_device.h"
#include "devices/ports/input.h"

namespace emu {

class Ps2Mouse final : public Device, public Ps2Device, public MouseSink {
 public:
  Ps2Mouse() { reset(); }

  void move(i32 dx, i32 dy, i32 wheel) override;
  void button(MouseButton button, bool pressed) override;
  void write(u8 byte) override;

  [[nodiscard]] std::string_view name() const override { return "ps2-mouse"; }
  void reset() override;
  void transfer(StateIo& io) override;

 private:
  enum class Protocol : u8 { kStandard = 0, kWheel = 3, kExplorer = 4 };  // the ID byte
  enum class Mode : u8 { kStream, kRemote };

  void command(u8 byte);
  void argument(u8 byte);
  void set_defaults();
  void set_rate(u8 rate);
  void report_status();
  [[nodiscard]] bool streams() const;
  [[nodiscard]] bool moved() const { return dx_ != 0 || dy_ != 0 || wheel_ != 0; }
  void drained() override;
  void stream_packet();
  [[nodiscard]] std::size_t packet_bytes() const;
  [[nodiscard]] std::array<u8, 4> take_packet(bool scaled);

  // state (saved)
  Protocol protocol_ = Protocol::kStandard;
  Mode mode_ = Mode::kStream;
  bool wrap_ = false;
  bool enabled_ = false;
  bool scaling_2_to_1_ = false;
  u8 resolution_ = 2;
  u8 rate_ = 100;
  std::array<u8, 2> previous_rates_{};  // newest last: the knock that switches protocols
  u8 pending_command_ = 0;
  u8 buttons_ = 0;                   // bit n: MouseButton n
  bool unsent_ = false;              // a button changed while there was no room
  i32 dx_ = 0, dy_ = 0, wheel_ = 0;  // not sent yet: right, down, away from the user
};

}  // namespace emu
