// SPDX-License-Identifier: Apache-2.0
// Which of several keyboards and mice the user's input goes to: the first one that the guest has
// a driver for, else the one at the 8042.
// Threads: the machine lock is held by every caller.
#pragma once

#include <array>
#include <functional>
#include <utility>
#include <vector>

#include "devices/ports/input.h"

namespace emu {

class InputChoice final : public KeyboardSink, public MouseSink {
 public:
  InputChoice(KeyboardSink& keyboard, MouseSink& mouse) : keyboard_(keyboard), mouse_(mouse) {}
  // Goes before the others while `is_ready()`: the guest has a driver for it.
  void prefer(KeyboardSink& keyboard, std::function<bool()> is_ready) {
    keyboards_.push_back({&keyboard, std::move(is_ready)});
  }
  void prefer(MouseSink& mouse, std::function<bool()> is_ready) {
    mice_.push_back({&mouse, std::move(is_ready)});
  }

  // A key is released where it was pressed.
  void key(KeyCode code, bool pressed) override {
    KeyboardSink*& holder = held_by_[code & 0xff];
    KeyboardSink* const to = !pressed && holder != nullptr ? holder : &first(keyboards_, keyboard_);
    holder = pressed ? to : nullptr;
    to->key(code, pressed);
  }
  [[nodiscard]] std::optional<KeyLocks> locks() const override {
    return first(keyboards_, keyboard_).locks();
  }
  void move(i32 dx, i32 dy, i32 wheel) override { mouse().move(dx, dy, wheel); }
  void button(MouseButton button, bool pressed) override { mouse().button(button, pressed); }

 private:
  template <class Sink>
  struct Choice {
    Sink* sink;
    std::function<bool()> is_ready;
  };
  template <class Sink>
  [[nodiscard]] static Sink& first(const std::vector<Choice<Sink>>& choices, Sink& otherwise) {
    for (const Choice<Sink>& choice : choices) {
      if (choice.is_ready()) return *choice.sink;
    }
    return otherwise;
  }
  [[nodiscard]] MouseSink& mouse() { return first(mice_, mouse_); }

  KeyboardSink& keyboard_;
  MouseSink& mouse_;
  std::vector<Choice<KeyboardSink>> keyboards_;
  std::vector<Choice<MouseSink>> mice_;
  std::array<KeyboardSink*, 256> held_by_{};  // where a key was pressed
};

}  // namespace emu
