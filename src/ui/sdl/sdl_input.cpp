// SPDX-License-Identifier: Apache-2.0
// SDL scancodes are USB HID usages of page 7, as KeyCode is (SDL_scancode.h).
#include "ui/sdl/sdl_input.h"

#include <array>

namespace emu {
namespace {

using Command = SdlInput::Command;

std::optional<Command> command_of(SDL_Scancode code) {
  switch (code) {
    case SDL_SCANCODE_G:
      return Command::kToggleGrab;
    case SDL_SCANCODE_F:
      return Command::kToggleFullScreen;
    case SDL_SCANCODE_END:
      return Command::kSendCtrlAltDel;
    case SDL_SCANCODE_P:
      return Command::kTogglePause;
    case SDL_SCANCODE_S:
      return Command::kScreenshot;
    case SDL_SCANCODE_U:
      return Command::kNaturalSize;
    case SDL_SCANCODE_Q:
      return Command::kQuit;
    default:
      return std::nullopt;
  }
}

std::optional<MouseButton> button_of(u8 sdl_button) {
  switch (sdl_button) {
    case SDL_BUTTON_LEFT:
      return MouseButton::kLeft;
    case SDL_BUTTON_RIGHT:
      return MouseButton::kRight;
    case SDL_BUTTON_MIDDLE:
      return MouseButton::kMiddle;
    case SDL_BUTTON_X1:
      return MouseButton::kSide;
    case SDL_BUTTON_X2:
      return MouseButton::kExtra;
    default:
      return std::nullopt;
  }
}

}  // namespace

std::optional<Command> SdlInput::handle(const SDL_Event& event) {
  switch (event.type) {
    case SDL_KEYDOWN:
    case SDL_KEYUP:
      return key(event.key);
    case SDL_MOUSEMOTION:
      if (grabbed_) move(event.motion.xrel, event.motion.yrel, 0);
      break;
    case SDL_MOUSEBUTTONDOWN:
    case SDL_MOUSEBUTTONUP:
      button(event.button);
      break;
    case SDL_MOUSEWHEEL:
      if (grabbed_) {
        const bool flipped = event.wheel.direction == SDL_MOUSEWHEEL_FLIPPED;
        move(0, 0, flipped ? -event.wheel.y : event.wheel.y);
      }
      break;
    case SDL_WINDOWEVENT:
      if (event.window.event == SDL_WINDOWEVENT_FOCUS_LOST) {
        release_keys();
        release_pointer();
      }
      break;
    default:
      break;
  }
  return std::nullopt;
}

std::optional<Command> SdlInput::key(const SDL_KeyboardEvent& event) {
  const SDL_Scancode scancode = event.keysym.scancode;
  if (scancode <= 0 || scancode >= 256) return std::nullopt;  // SDL's own codes, no HID usage
  const std::size_t code = static_cast<std::size_t>(scancode);
  const bool pressed = event.type == SDL_KEYDOWN;
  if (!pressed && swallowed_[code]) {
    swallowed_[code] = false;
    return std::nullopt;
  }
  const bool chord = (event.keysym.mod & KMOD_CTRL) != 0 && (event.keysym.mod & KMOD_ALT) != 0;
  if (pressed && chord) {
    if (const auto command = command_of(scancode)) {
      const bool again = swallowed_[code];
      swallowed_[code] = true;
      return again ? std::nullopt : command;
    }
  }
  const MachineLock lock = control_.lock();
  send_key(static_cast<KeyCode>(code), pressed);
  return std::nullopt;
}

void SdlInput::send_key(KeyCode code, bool pressed) {
  KeyboardSink* const keyboard = control_.keyboard();
  if (keyboard == nullptr || (!pressed && !down_[code])) return;
  down_[code] = pressed;
  keyboard->key(code, pressed);
}

void SdlInput::release_keys() {
  const MachineLock lock = control_.lock();
  for (KeyCode code = 0; code < down_.size(); ++code) send_key(code, false);
  swallowed_.reset();
}

void SdlInput::send_ctrl_alt_del() {
  constexpr std::array<KeyCode, 3> kKeys{SDL_SCANCODE_LCTRL, SDL_SCANCODE_LALT,
                                         SDL_SCANCODE_DELETE};
  const MachineLock lock = control_.lock();
  for (const KeyCode code : kKeys) send_key(code, true);
  for (const KeyCode code : kKeys) send_key(code, false);
}

void SdlInput::button(const SDL_MouseButtonEvent& event) {
  if (!grabbed_) {
    if (event.type == SDL_MOUSEBUTTONDOWN && event.button == SDL_BUTTON_LEFT) grab_pointer();
    return;
  }
  const auto which = button_of(event.button);
  MouseSink* const mouse = control_.mouse();
  if (!which || mouse == nullptr) return;
  const MachineLock lock = control_.lock();
  mouse->button(*which, event.type == SDL_MOUSEBUTTONDOWN);
}

void SdlInput::move(i32 dx, i32 dy, i32 wheel) {
  MouseSink* const mouse = control_.mouse();
  if (mouse == nullptr || (dx == 0 && dy == 0 && wheel == 0)) return;
  const MachineLock lock = control_.lock();
  mouse->move(dx, dy, wheel);
}

void SdlInput::grab_pointer() {
  if (grabbed_ || control_.mouse() == nullptr) return;
  grabbed_ = true;
  SDL_SetRelativeMouseMode(SDL_TRUE);
  SDL_SetWindowKeyboardGrab(window_, SDL_TRUE);  // so that Alt+Tab goes to the guest
}

void SdlInput::release_pointer() {
  if (!grabbed_) return;
  grabbed_ = false;
  SDL_SetRelativeMouseMode(SDL_FALSE);
  SDL_SetWindowKeyboardGrab(window_, SDL_FALSE);
}

}  // namespace emu
