// SPDX-License-Identifier: Apache-2.0
#include "ui/guest_pointer.h"

#include <algorithm>

namespace emu {
namespace {

u16 scaled(i64 position, u32 extent) {
  if (extent < 2) return 0;
  const i64 clamped = std::clamp<i64>(position, 0, i64{extent} - 1);
  return static_cast<u16>(clamped * TabletSink::kRange / (i64{extent} - 1));
}

}  // namespace

TabletSink* GuestPointer::listening_tablet() {
  TabletSink* const tablet = control_.tablet();
  return tablet != nullptr && tablet->is_listening() ? tablet : nullptr;
}

bool GuestPointer::is_absolute() {
  const MachineLock lock = control_.lock();
  return listening_tablet() != nullptr;
}

void GuestPointer::point(i64 x, i64 y, u32 width, u32 height, i32 wheel) {
  x = std::clamp<i64>(x, 0, width);
  y = std::clamp<i64>(y, 0, height);
  const MachineLock lock = control_.lock();
  if (TabletSink* const tablet = listening_tablet()) {
    tablet->point(scaled(x, width), scaled(y, height), wheel);
  } else if (MouseSink* const mouse = control_.mouse()) {
    const i32 dx = has_last_ ? static_cast<i32>(x - last_x_) : 0;
    const i32 dy = has_last_ ? static_cast<i32>(y - last_y_) : 0;
    if (dx != 0 || dy != 0 || wheel != 0) mouse->move(dx, dy, wheel);
  }
  has_last_ = true;
  last_x_ = x;
  last_y_ = y;
}

void GuestPointer::move(i32 dx, i32 dy, i32 wheel) {
  MouseSink* const mouse = control_.mouse();
  if (mouse == nullptr || (dx == 0 && dy == 0 && wheel == 0)) return;
  const MachineLock lock = control_.lock();
  mouse->move(dx, dy, wheel);
}

void GuestPointer::button(MouseButton button, bool pressed) {
  const u32 mask = u32{1} << static_cast<unsigned>(button);
  if (((pressed_ & mask) != 0) == pressed) return;
  pressed_ ^= mask;
  const MachineLock lock = control_.lock();
  if (TabletSink* const tablet = listening_tablet()) {
    tablet->button(button, pressed);
  } else if (MouseSink* const mouse = control_.mouse()) {
    mouse->button(button, pressed);
  }
}

void GuestPointer::release() {
  for (const MouseButton which : {MouseButton::kLeft, MouseButton::kRight, MouseButton::kMiddle,
                                  MouseButton::kSide, MouseButton::kExtra}) {
    button(which, false);
  }
}

}  // namespace emu
