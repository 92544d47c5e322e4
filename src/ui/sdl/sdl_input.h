// SPDX-License-Identifier: Apache-2.0
// SDL's keyboard and pointer events as the guest's, and the keys that are ours.
#pragma once

#include <SDL.h>

#include <bitset>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "machine/control.h"
#include "ui/guest_pointer.h"
#include "ui/key_typer.h"
#include "ui/sdl/sdl_screen.h"

namespace emu {

class SdlInput {
 public:
  // Keys that the user presses with Ctrl+Alt for the emulator itself.
  enum class Command : u8 {
    kToggleGrab,
    kToggleFullScreen,
    kTogglePause,
    kScreenshot,
    kNaturalSize,
    kNextScaling,
    kToggleStatus,
    kToggleHelp,
    kNextConsole,
    kQuit,
  };

  SdlInput(MachineControl& control, SdlScreen& screen)
      : control_(control), screen_(screen), pointer_(control) {}
  ~SdlInput() { release_pointer(); }
  SdlInput(const SdlInput&) = delete;
  SdlInput& operator=(const SdlInput&) = delete;

  // Passes an input event to the guest, or says which command it is. Other events are ignored.
  // Takes the machine lock.
  std::optional<Command> handle(const SDL_Event& event);
  // Types what was pasted, a stroke at a time, and brings the guest's Num Lock and Caps Lock in
  // step with the host's after the window got the keyboard; call it for every frame. Takes the
  // machine lock.
  void step();
  // What is typed goes to `elsewhere` as a terminal would send it; empty: to the guest again. Takes
  // the machine lock.
  void set_typing(std::function<void(std::string_view)> elsewhere);
  [[nodiscard]] bool is_typing() const { return typer_.is_busy(); }
  void toggle_grab() { grabbed_ ? release_pointer() : grab_pointer(); }
  [[nodiscard]] bool is_grabbed() const { return grabbed_; }
  // Whether the guest has an absolute pointer. Takes the machine lock.
  [[nodiscard]] bool is_absolute() { return pointer_.is_absolute(); }
  // What the keys do, a line each.
  [[nodiscard]] static std::vector<std::string> help();

 private:
  std::optional<Command> key(const SDL_KeyboardEvent& event);
  // Keys with Ctrl+Alt that end in the guest: combinations the host would take, and pasting.
  bool send_special(SDL_Scancode code);
  void send_keys(std::initializer_list<SDL_Scancode> keys);
  // A key of a terminal, for whoever set_typing() named.
  void type_elsewhere(const SDL_KeyboardEvent& event) const;
  void align_locks();
  void button(const SDL_MouseButtonEvent& event);
  void motion(const SDL_MouseMotionEvent& event);
  void wheel(const SDL_MouseWheelEvent& event);
  // Lets go of every key the guest believes to be down: the window lost the keyboard.
  void release_keys();
  void send_key(KeyCode code, bool pressed);
  void grab_pointer();
  void release_pointer();

  MachineControl& control_;
  SdlScreen& screen_;
  GuestPointer pointer_;
  KeyTyper typer_;
  std::bitset<256> down_;       // keys the guest sees pressed
  std::bitset<256> swallowed_;  // keys whose press was a command
  std::function<void(std::string_view)> elsewhere_;
  bool aligns_locks_ = false;  // the window just got the keyboard
  bool grabbed_ = false;
  SDL_Point last_{0, 0};  // where the pointer is, in the picture
};

}  // namespace emu
