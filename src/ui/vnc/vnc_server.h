// SPDX-License-Identifier: Apache-2.0
// The machine's screen, keyboard and pointer for VNC clients, several at once, beside whatever
// other user interface there is. Ctrl+Alt+V types what a client copied. Only this folder knows
// LibVNCServer.
// Source: RFC 6143; rfb/rfb.h of LibVNCServer 0.9.14; the RFB community specification, "QEMU
// Extended Key Event".
// Threads: everything on an own thread, which takes the machine lock for single calls only: a
// client that stalls keeps other clients waiting, never the guest.
// Not modelled: TLS, the clipboard from the guest.
#pragma once

#include <memory>

#include "machine/control.h"
#include "ui/vnc/vnc_address.h"

namespace emu {

class VncServer {
 public:
  // Listens at once; clients are served after start(). Errors: as listen_at().
  [[nodiscard]] static Result<std::unique_ptr<VncServer>> open(const VncAddress& address);
  ~VncServer();  // stops
  VncServer(const VncServer&) = delete;
  VncServer& operator=(const VncServer&) = delete;

  // `control` must outlive the object or stop(). Once.
  void start(MachineControl& control);
  // Disconnects everybody, and removes a Unix socket's file.
  void stop();

 private:
  class Session;
  explicit VncServer(const VncAddress& address, UniqueFd listener);

  const VncAddress address_;
  UniqueFd listener_;
  std::unique_ptr<Session> session_;
};

}  // namespace emu
