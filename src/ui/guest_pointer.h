// SPDX-License-Identifier: Apache-2.0
// The user's pointer as the guest's: its tablet if it listens to one, else its mouse.
#pragma once

#include "machine/control.h"

namespace emu {

class GuestPointer {
 public:
  explicit GuestPointer(MachineControl& control) : control_(control) {}

  // Whether positions reach the guest as they are: then nobody needs to grab the host's pointer.
  // Takes the machine lock.
  [[nodiscard]] bool is_absolute();
  // The pointer is at (x, y) of a picture of width * height pixels, which are clamped to it; wheel
  // notches away from the user. A guest without a tablet gets the difference to the last call.
  // Takes the machine lock.
  void point(i64 x, i64 y, u32 width, u32 height, i32 wheel);
  // Counts to the right and down. Takes the machine lock.
  void move(i32 dx, i32 dy, i32 wheel);
  // Takes the machine lock.
  void button(MouseButton button, bool pressed);
  // Lets go of every button. Takes the machine lock.
  void release();

 private:
  [[nodiscard]] TabletSink* listening_tablet();

  MachineControl& control_;
  u32 pressed_ = 0;  // bits by MouseButton
  bool has_last_ = false;
  i64 last_x_ = 0, last_y_ = 0;
};

}  // namespace emu
