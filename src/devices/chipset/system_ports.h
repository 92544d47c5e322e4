// SPDX-License-Identifier: Apache-2.0
// System control ports B (61h: speaker and refresh) and A (92h: A20 and fast reset).
// Source: Intel 82371AB (PIIX4) data sheet 4.2.4 "NMI Registers"; IBM PS/2 technical reference,
// "System Control Port A".
// Threads: the machine lock is held by every caller.
// Not modelled: parity and channel-check errors (their enable bits are kept); a real board's gate
// that ORs A20 of port 92h with the keyboard controller's: the machine wires both to one input and
// the last write wins, as under QEMU.
#pragma once

#include <functional>

#include "base/vm_time.h"
#include "devices/chipset/i8254.h"
#include "devices/device.h"
#include "memory/io_handler.h"

namespace emu {

class Port61 final : public Device, public IoHandler {
 public:
  Port61(I8254& pit, Clock& clock) : pit_(pit), clock_(clock) {}

  // One byte register.
  [[nodiscard]] IoHandler& ports() { return *this; }
  [[nodiscard]] u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, unsigned size, u64 value) override;
  // The level at the speaker.
  [[nodiscard]] bool speaker() { return (control_ & kSpeakerData) != 0 && pit_.out2(); }
  // Hears whether counter 2's tone is led to the speaker, when that changes.
  void set_tone_listener(std::function<void(bool)> listener) { tone_ = std::move(listener); }

  [[nodiscard]] std::string_view name() const override { return "port61"; }
  void reset() override;
  void transfer(StateIo& io) override;

 private:
  static constexpr u8 kGate2 = 0x01;
  static constexpr u8 kSpeakerData = 0x02;
  static constexpr u8 kWritable = 0x0f;
  static constexpr u8 kRefresh = 0x10;
  static constexpr u8 kOut2 = 0x20;

  void tell_tone();

  // wires
  I8254& pit_;
  Clock& clock_;
  std::function<void(bool)> tone_;
  // state (saved)
  u8 control_ = 0;
};

class Port92 final : public Device, public IoHandler {
 public:
  // `a20` is the address line's gate (active: address bit 20 passes); `request_reset` asks the
  // machine to reset the CPUs.
  Port92(IrqLine a20, std::function<void()> request_reset)
      : a20_(a20), request_reset_(std::move(request_reset)) {}

  // One byte register.
  [[nodiscard]] IoHandler& ports() { return *this; }
  [[nodiscard]] u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, unsigned size, u64 value) override;

  [[nodiscard]] std::string_view name() const override { return "port92"; }
  // Leaves the A20 wire to the keyboard controller's reset.
  void reset() override { control_ = kA20; }
  void transfer(StateIo& io) override;

 private:
  static constexpr u8 kFastReset = 0x01;
  static constexpr u8 kA20 = 0x02;

  // wires
  IrqLine a20_;
  std::function<void()> request_reset_;
  // state (saved)
  u8 control_ = kA20;
};

}  // namespace emu
