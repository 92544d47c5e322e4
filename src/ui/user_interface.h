// SPDX-License-Identifier: Apache-2.0
// A user interface: what owns the main thread while a machine runs.
#pragma once

#include <memory>

#include "base/result.h"
#include "machine/control.h"

namespace emu {

class SerialView;

class UserInterface {
 public:
  virtual ~UserInterface() = default;
  // Shows the machine and passes input to it until control.finished(). Call once, on the main
  // thread, without the machine lock, after the machine was started. A closed window asks
  // control.request_quit() and then still waits for finished().
  virtual void run(MachineControl& control) = 0;
  // A serial port that nobody else is at: it may be shown, and typed into. Before run(); it
  // outlives that.
  virtual void show_serial(SerialView& serial) { static_cast<void>(serial); }
};

}  // namespace emu
