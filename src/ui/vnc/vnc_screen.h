// SPDX-License-Identifier: Apache-2.0
// A LibVNCServer screen that shows the machine's picture and takes its clients' input.
// Threads: one, the server's.
#pragma once

#include <rfb/rfb.h>

#include <array>
#include <bitset>
#include <memory>
#include <string>

#include "base/unique_fd.h"
#include "machine/control.h"
#include "ui/guest_pointer.h"
#include "ui/key_typer.h"

namespace emu {

class VncScreen {
 public:
  // An empty password lets everybody in.
  VncScreen(MachineControl& control, std::string password);
  ~VncScreen();
  VncScreen(const VncScreen&) = delete;
  VncScreen& operator=(const VncScreen&) = delete;

  // Greets whoever is connected there.
  void add_client(UniqueFd socket);
  [[nodiscard]] unsigned client_count() const { return clients_; }
  // Brings the picture up to date, sends what changed, and handles messages, waiting up to
  // `wait_ms` for one. Takes the machine lock.
  void serve(int wait_ms);

  // What LibVNCServer calls.
  void key_event(bool pressed, u32 keysym);
  void xt_key_event(bool pressed, u32 xt_code);
  void pointer_event(u32 buttons, i64 x, i64 y);
  void client_came() { ++clients_; }
  void client_gone();
  // A client would like the picture to have this size. Takes the machine lock.
  void size_asked(u32 width, u32 height);
  void set_clipboard(std::string_view text) { clipboard_ = text; }

 private:
  struct Deleter {
    void operator()(rfbScreenInfo* screen) const;
  };
  void refresh();
  // The clients' pixels are those of frame_ from now on.
  void resize();
  void send_key(KeyCode code, bool pressed);
  void release_keys();

  MachineControl& control_;
  std::string password_;
  std::array<char*, 2> passwords_{};  // as rfbCheckPasswordByList() wants them
  Frame frame_;
  GuestPointer pointer_;
  KeyTyper typer_;
  std::string clipboard_;
  std::bitset<256> down_;
  u32 buttons_ = 0;
  unsigned clients_ = 0;
  std::unique_ptr<rfbScreenInfo, Deleter> screen_;
};

}  // namespace emu
