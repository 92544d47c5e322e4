// SPDX-License-Identifier: Apache-2.0
// The 8042 keyboard and auxiliary device controller of a PC: ports 60h and 64h.
// Source: IBM PS/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary Device
// Controller"; Intel 82C42PE data sheet; OSDev "8042 PS/2 Controller".
// Threads: the machine lock is held by every caller.
// Not modelled: the keyboard password (none is installed), the time that commands take (the input
// buffer is always empty).
#pragma once

#include <array>
#include <functional>
#include <memory>

#include "base/vm_time.h"
#include "devices/device.h"
#include "devices/input/byte_queue.h"
#include "devices/input/ps2_device.h"
#include "devices/io_window.h"
#include "devices/irq_line.h"

namespace emu {

class I8042 final : public Device, public Ps2Host {
 public:
  struct Wires {
    IrqLine keyboard_irq;  // IRQ 1
    IrqLine mouse_irq;     // IRQ 12
    // The address line's gate (active: address bit 20 passes). Whoever receives it saves its level;
    // see Port92, which drives the same input.
    IrqLine a20;
    std::function<void()> request_reset;  // asks the machine to reset the CPUs
  };

  I8042(Wires wires, Clock& clock, Ps2Device& keyboard, Ps2Device& mouse);

  // Ports 60h and 64h, one byte register each.
  [[nodiscard]] IoHandler& data_port() { return data_port_; }
  [[nodiscard]] IoHandler& command_port() { return command_port_; }

  void byte_ready() override { pump(); }

  [[nodiscard]] std::string_view name() const override { return "i8042"; }
  // Leaves the controller as PC firmware leaves it, so that small kernels find a working keyboard.
  void reset() override;
  void transfer(StateIo& io) override;
  void resumed() override;

 private:
  enum Source : u8 { kKeyboard, kMouse };

  u64 read_data(u64 offset, unsigned size);
  void write_data(u64 offset, unsigned size, u64 value);
  u64 read_status(u64 offset, unsigned size);
  void write_command(u64 offset, unsigned size, u64 value);

  void controller_reply(u8 byte, Source as = kKeyboard);
  void pump();
  bool pump_device(Ps2Device& device, Source source);
  void load(u8 byte, Source source);
  [[nodiscard]] u8 translated(u8 byte);
  [[nodiscard]] bool translates() const;
  [[nodiscard]] bool disabled(Source source) const;
  void set_disabled(Source source, bool is_disabled);
  [[nodiscard]] u8 output_port() const;
  void write_output_port(u8 value);
  void set_a20(bool on);
  [[nodiscard]] bool interrupts(Source source) const;
  void update_irqs();

  // wires
  Wires wires_;
  Clock& clock_;
  Ps2Device& keyboard_;
  Ps2Device& mouse_;
  // parts
  IoWindow<I8042> data_port_{*this, &I8042::read_data, &I8042::write_data};
  IoWindow<I8042> command_port_{*this, &I8042::read_status, &I8042::write_command};
  std::unique_ptr<Timer> gap_timer_;
  // state (saved)
  std::array<u8, 32> ram_{};    // [0] is the command byte
  u8 pending_command_ = 0;      // waits for its argument at port 60h; 0: none
  bool wrote_command_ = false;  // status bit 3
  bool output_full_ = false;
  u8 output_ = 0;
  u8 output_source_ = kKeyboard;
  bool a20_ = true;
  bool break_prefix_ = false;  // the translator has swallowed an F0
  ByteQueue<32> replies_;      // pairs of source and byte
  u64 gap_until_ns_ = 0;       // events are not loaded before
};

}  // namespace emu
