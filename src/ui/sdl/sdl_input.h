// SPDX-License-Identifier: Apache-2.0
// SDL's keyboard and pointer events as the guest's, and the keys that are ours.
#pragma once

#include <SDL.h>

#include <bitset>
#include <optional>

#include "machine/control.h"

namespace emu {

class SdlInput {
 public:
  // Keys that the user presses with Ctrl+Alt for the emulator itself.
  enum class Command : u8 {
    kToggleGrab,
    kToggleFullScreen,
    kSendCtrlAltDel,
    kTogglePause,
    kScreenshot,
    kNaturalSize,
    kQuit,
  };

  SdlInput(MachineControl& control, SDL_Window* window) : control_(control), window_(window) {}
  ~SdlInput() { release_pointer(); }
  SdlInput(const SdlInput&) = delete;
  SdlInput& operator=(const SdlInput&) = delete;

  // Passes an input event to the guest, or says which command it is. Other events are ignored.
  // Takes the machine lock.
  std::optional<Command> handle(const SDL_Event& event);
  // Presses and releases Ctrl+Alt+Del in the guest. Takes the machine lock.
  void send_ctrl_alt_del();
  void toggle_grab() { grabbed_ ? release_pointer() : grab_pointer(); }
  [[nodiscard]] bool is_grabbed() const { return grabbed_; }

 private:
  std::optional<Command> key(const SDL_KeyboardEvent& event);
  void button(const SDL_MouseButtonEvent& event);
  void move(i32 dx, i32 dy, i32 wheel);
  // Lets go of every key the guest believes to be down: the window lost the keyboard.
  void release_keys();
  void send_key(KeyCode code, bool pressed);
  void grab_pointer();
  void release_pointer();

  MachineControl& control_;
  SDL_Window* window_;
  std::bitset<256> down_;       // keys the guest sees pressed
  std::bitset<256> swallowed_;  // keys whose press was a command
  bool grabbed_ = false;
};

}  // namespace emu
