// SPDX-License-Identifier: Apache-2.0
// SDL scancodes are USB HID usages of page 7, as KeyCode is (SDL_scancode.h).
#include "ui/sdl/sdl_input.h"

#include <array>
#include <utility>

namespace emu {
namespace {

using Command = SdlInput::Command;

std::optional<Command> command_of(SDL_Scancode code) {
  switch (code) {
    case SDL_SCANCODE_G:
      return Command::kToggleGrab;
    case SDL_SCANCODE_F:
      return Command::kToggleFullScreen;
    case SDL_SCANCODE_P:
      return Command::kTogglePause;
    case SDL_SCANCODE_S:
      return Command::kScreenshot;
    case SDL_SCANCODE_U:
      return Command::kNaturalSize;
    case SDL_SCANCODE_M:
      return Command::kNextScaling;
    case SDL_SCANCODE_I:
      return Command::kToggleStatus;
    case SDL_SCANCODE_H:
      return Command::kToggleHelp;
    case SDL_SCANCODE_C:
      return Command::kNextConsole;
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

std::vector<std::string> SdlInput::help() {
  return {"With Ctrl+Alt:",
          "G  take or release the pointer   F  full screen",
          "U  window as large as picture    M  scaling: auto, whole multiples, smooth",
          "P  pause or go on                I  status line",
          "S  save a screenshot             V  type what the clipboard holds",
          "C  serial console, monitor       H  this list",
          "Q  shut down; twice: power off",
          "Sent to the guest:",
          "End or 1  Ctrl+Alt+Del           2  Ctrl+Alt+Backspace",
          "3  Alt+Tab                       4  Alt+F4",
          "5  Print Screen                  6  the GUI key",
          "7  Ctrl+Alt+F1                   8  Ctrl+Alt+F2"};
}

std::optional<Command> SdlInput::handle(const SDL_Event& event) {
  switch (event.type) {
    case SDL_KEYDOWN:
    case SDL_KEYUP:
      return key(event.key);
    case SDL_TEXTINPUT:
      if (elsewhere_ && (SDL_GetModState() & (KMOD_CTRL | KMOD_ALT)) == 0)
        elsewhere_(event.text.text);
      break;
    case SDL_MOUSEMOTION:
      motion(event.motion);
      break;
    case SDL_MOUSEBUTTONDOWN:
    case SDL_MOUSEBUTTONUP:
      button(event.button);
      break;
    case SDL_MOUSEWHEEL:
      wheel(event.wheel);
      break;
    case SDL_WINDOWEVENT:
      if (event.window.event == SDL_WINDOWEVENT_FOCUS_GAINED) aligns_locks_ = true;
      if (event.window.event == SDL_WINDOWEVENT_FOCUS_LOST) {
        release_keys();
        pointer_.release();
        release_pointer();
      }
      break;
    default:
      break;
  }
  return std::nullopt;
}

// --- Keys ---

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
    if (swallowed_[code]) return std::nullopt;
    const auto command = command_of(scancode);
    swallowed_[code] = command.has_value() || send_special(scancode);
    if (swallowed_[code]) return command;
  }
  if (elsewhere_) {
    if (pressed) type_elsewhere(event);
    return std::nullopt;
  }
  const MachineLock lock = control_.lock();
  send_key(static_cast<KeyCode>(code), pressed);
  return std::nullopt;
}

void SdlInput::step() {
  typer_.step(control_, std::chrono::steady_clock::now());
  if (std::exchange(aligns_locks_, false)) align_locks();
}

void SdlInput::align_locks() {
  const SDL_Keymod host = SDL_GetModState();
  const MachineLock lock = control_.lock();
  KeyboardSink* const keyboard = control_.keyboard();
  const auto guest = keyboard != nullptr ? keyboard->locks() : std::nullopt;
  if (!guest) return;
  const auto strike = [this](SDL_Scancode code) {
    send_key(static_cast<KeyCode>(code), true);
    send_key(static_cast<KeyCode>(code), false);
  };
  if (guest->num != ((host & KMOD_NUM) != 0)) strike(SDL_SCANCODE_NUMLOCKCLEAR);
  if (guest->caps != ((host & KMOD_CAPS) != 0)) strike(SDL_SCANCODE_CAPSLOCK);
}

void SdlInput::set_typing(std::function<void(std::string_view)> elsewhere) {
  release_keys();
  elsewhere_ = std::move(elsewhere);
}

// Printing characters come as text events.
void SdlInput::type_elsewhere(const SDL_KeyboardEvent& event) const {
  const SDL_Keycode key = event.keysym.sym;
  if ((event.keysym.mod & KMOD_CTRL) != 0 && key >= SDLK_a && key <= SDLK_z) {
    const char control = static_cast<char>(key - SDLK_a + 1);
    return elsewhere_(std::string_view(&control, 1));
  }
  switch (key) {
    case SDLK_RETURN:
    case SDLK_KP_ENTER:
      return elsewhere_("\r");
    case SDLK_BACKSPACE:
      return elsewhere_("\x7f");
    case SDLK_TAB:
      return elsewhere_("\t");
    case SDLK_ESCAPE:
      return elsewhere_("\x1b");
    case SDLK_UP:
      return elsewhere_("\x1b[A");
    case SDLK_DOWN:
      return elsewhere_("\x1b[B");
    case SDLK_RIGHT:
      return elsewhere_("\x1b[C");
    case SDLK_LEFT:
      return elsewhere_("\x1b[D");
    default:
      return;
  }
}

bool SdlInput::send_special(SDL_Scancode code) {
  switch (code) {
    case SDL_SCANCODE_END:
    case SDL_SCANCODE_1:
      send_keys({SDL_SCANCODE_LCTRL, SDL_SCANCODE_LALT, SDL_SCANCODE_DELETE});
      return true;
    case SDL_SCANCODE_2:
      send_keys({SDL_SCANCODE_LCTRL, SDL_SCANCODE_LALT, SDL_SCANCODE_BACKSPACE});
      return true;
    case SDL_SCANCODE_3:
      send_keys({SDL_SCANCODE_LALT, SDL_SCANCODE_TAB});
      return true;
    case SDL_SCANCODE_4:
      send_keys({SDL_SCANCODE_LALT, SDL_SCANCODE_F4});
      return true;
    case SDL_SCANCODE_5:
      send_keys({SDL_SCANCODE_PRINTSCREEN});
      return true;
    case SDL_SCANCODE_6:
      send_keys({SDL_SCANCODE_LGUI});
      return true;
    case SDL_SCANCODE_7:
      send_keys({SDL_SCANCODE_LCTRL, SDL_SCANCODE_LALT, SDL_SCANCODE_F1});
      return true;
    case SDL_SCANCODE_8:
      send_keys({SDL_SCANCODE_LCTRL, SDL_SCANCODE_LALT, SDL_SCANCODE_F2});
      return true;
    case SDL_SCANCODE_V: {
      release_keys();  // Ctrl and Alt are down, and would change what is typed
      const SdlPtr<char> text(SDL_GetClipboardText());
      if (text != nullptr) typer_.add(text.get());
      return true;
    }
    default:
      return false;
  }
}

void SdlInput::send_keys(std::initializer_list<SDL_Scancode> keys) {
  release_keys();
  const MachineLock lock = control_.lock();
  for (const SDL_Scancode code : keys) send_key(static_cast<KeyCode>(code), true);
  for (const SDL_Scancode code : keys) send_key(static_cast<KeyCode>(code), false);
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

// --- The pointer ---

// An absolute pointer follows the host's; a relative one only while it is grabbed.
void SdlInput::motion(const SDL_MouseMotionEvent& event) {
  if (grabbed_) return pointer_.move(event.xrel, event.yrel, 0);
  last_ = screen_.to_picture(event.x, event.y);
  if (!is_absolute()) return;
  const Size size = screen_.picture();
  pointer_.point(last_.x, last_.y, static_cast<u32>(size.width), static_cast<u32>(size.height), 0);
}

void SdlInput::wheel(const SDL_MouseWheelEvent& event) {
  const i32 notches = event.direction == SDL_MOUSEWHEEL_FLIPPED ? -event.y : event.y;
  if (grabbed_) return pointer_.move(0, 0, notches);
  if (!is_absolute()) return;
  const Size size = screen_.picture();
  pointer_.point(last_.x, last_.y, static_cast<u32>(size.width), static_cast<u32>(size.height),
                 notches);
}

void SdlInput::button(const SDL_MouseButtonEvent& event) {
  if (!grabbed_ && !is_absolute()) {
    if (event.type == SDL_MOUSEBUTTONDOWN && event.button == SDL_BUTTON_LEFT) grab_pointer();
    return;
  }
  if (const auto which = button_of(event.button)) {
    pointer_.button(*which, event.type == SDL_MOUSEBUTTONDOWN);
  }
}

void SdlInput::grab_pointer() {
  if (grabbed_ || control_.mouse() == nullptr) return;
  grabbed_ = true;
  SDL_SetRelativeMouseMode(SDL_TRUE);
  SDL_SetWindowKeyboardGrab(screen_.window(), SDL_TRUE);  // so that Alt+Tab goes to the guest
}

void SdlInput::release_pointer() {
  if (!grabbed_) return;
  grabbed_ = false;
  SDL_SetRelativeMouseMode(SDL_FALSE);
  SDL_SetWindowKeyboardGrab(screen_.window(), SDL_FALSE);
}

}  // namespace emu
