// SPDX-License-Identifier: Apache-2.0
// Which of several keyboards and mice the user's input goes to: the one on USB once the guest has
// configured it, else the one at the 8042.
// Threads: the machine lock is held by every caller.
#pragma once

#include <bitset>

#include "devices/ports/input.h"
#include "devices/usb/usb_device.h"

namespace emu {

class InputChoice final : public KeyboardSink, public MouseSink {
 public:
  InputChoice(KeyboardSink& keyboard, MouseSink& mouse) : keyboard_(keyboard), mouse_(mouse) {}
  void prefer(UsbDevice& device, KeyboardSink& keyboard) {
    usb_keyboard_device_ = &device;
    usb_keyboard_ = &keyboard;
  }
  void prefer(UsbDevice& device, MouseSink& mouse) {
    usb_mouse_device_ = &device;
    usb_mouse_ = &mouse;
  }

  // A key is released where it was pressed.
  void key(KeyCode code, bool pressed) override {
    const bool usb = pressed ? is_ready(usb_keyboard_device_) : on_usb_[code & 0xff];
    on_usb_[code & 0xff] = usb && pressed;
    (usb ? *usb_keyboard_ : keyboard_).key(code, pressed);
  }
  void move(i32 dx, i32 dy, i32 wheel) override { mouse().move(dx, dy, wheel); }
  void button(MouseButton button, bool pressed) override { mouse().button(button, pressed); }

 private:
  [[nodiscard]] static bool is_ready(const UsbDevice* device) {
    return device != nullptr && device->is_configured();
  }
  [[nodiscard]] MouseSink& mouse() { return is_ready(usb_mouse_device_) ? *usb_mouse_ : mouse_; }

  KeyboardSink& keyboard_;
  MouseSink& mouse_;
  UsbDevice* usb_keyboard_device_ = nullptr;
  KeyboardSink* usb_keyboard_ = nullptr;
  UsbDevice* usb_mouse_device_ = nullptr;
  MouseSink* usb_mouse_ = nullptr;
  std::bitset<256> on_usb_;  // keys pressed on the USB keyboard
};

}  // namespace emu
