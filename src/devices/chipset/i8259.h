// SPDX-License-Identifier: Apache-2.0
// The cascaded pair of Intel 8259A interrupt controllers of a PC, with the edge/level registers.
// Source: Intel 8259A data sheet (order 231468); Intel 82371AB (PIIX4) data sheet 4.2.5 (ELCR).
// Threads: the machine lock is held by every caller.
// Not modelled: MCS-80/85 mode (the CPU is an x86), 8259s without cascade, and the transparent
// request latch of the edge mode: a pulse shorter than the acknowledge is kept, as in QEMU and KVM,
// because devices here pulse their lines.
#pragma once

#include <array>

#include "devices/device.h"
#include "devices/io_window.h"
#include "devices/irq_line.h"

namespace emu {

// One 8259A's registers, also what an engine with its own 8259 exchanges with ours.
struct I8259State {
  u8 lines = 0;            // input levels, one bit each
  u8 irr = 0;              // requests
  u8 imr = 0;              // masks (OCW1)
  u8 isr = 0;              // in service
  u8 elcr = 0;             // 1: level-triggered
  u8 vector_base = 0;      // ICW2, a multiple of 8
  u8 lowest_priority = 7;  // the input that loses every tie; the next one is the highest
  u8 icw_expected = 0;     // 0: initialized; 2, 3 or 4: the ICW that the next write to A0=1 is
  bool icw4_follows = false;
  bool single = false;  // ICW1.SNGL: no ICW3
  bool auto_eoi = false;
  bool rotate_on_auto_eoi = false;
  bool special_mask = false;
  bool special_fully_nested = false;
  bool reads_isr = false;  // OCW3: A0=0 reads ISR instead of IRR
  bool poll = false;       // OCW3: the next read acknowledges
};

// Inputs 0..7 are the master's, 8..15 the slave's; input 2 is the cascade and ignored.
class I8259Pair final : public Device, public IrqSink {
 public:
  // `intr` goes to the CPU (or the local APIC's LINT0).
  explicit I8259Pair(IrqLine intr);

  // The CPU's INTA cycle: returns the vector of the most important request and puts it in service.
  // With none left (it went away after INTR), the spurious vector 7 of the asked chip; never fails.
  [[nodiscard]] u8 acknowledge();
  // Whether INTR is active.
  [[nodiscard]] bool intr() const { return intr_level_; }

  // Ports 20h-21h, A0h-A1h and 4D0h-4D1h; all byte registers.
  [[nodiscard]] IoHandler& master_ports() { return master_ports_; }
  [[nodiscard]] IoHandler& slave_ports() { return slave_ports_; }
  [[nodiscard]] IoHandler& elcr_ports() { return elcr_ports_; }

  void set_irq(unsigned input, bool active) override;
  void restore_irq(unsigned input, bool active) override;

  // Chip 0 is the master. set_state() acts like a load: call resumed() when both are set.
  [[nodiscard]] const I8259State& state(unsigned chip) const { return chips_[chip & 1]; }
  void set_state(unsigned chip, const I8259State& state) { chips_[chip & 1] = state; }

  [[nodiscard]] std::string_view name() const override { return "i8259"; }
  void reset() override;
  void transfer(StateIo& io) override;
  void resumed() override;

 private:
  static constexpr unsigned kMaster = 0;
  static constexpr unsigned kSlave = 1;
  static constexpr int kNone = -1;

  u64 read_master(u64 offset, unsigned size);
  void write_master(u64 offset, unsigned size, u64 value);
  u64 read_slave(u64 offset, unsigned size);
  void write_slave(u64 offset, unsigned size, u64 value);
  u64 read_elcr(u64 offset, unsigned size);
  void write_elcr(u64 offset, unsigned size, u64 value);

  u8 read(unsigned chip, bool a0);
  void write_command(unsigned chip, u8 value);
  void write_data(unsigned chip, u8 value);
  static void begin_initialization(I8259State& s, u8 icw1);
  static void write_ocw2(I8259State& s, u8 value);
  static void write_ocw3(I8259State& s, u8 value);
  static void set_input(I8259State& s, unsigned input, bool active);
  [[nodiscard]] static int highest(const I8259State& s, u8 set);
  [[nodiscard]] int pending(unsigned chip) const;
  void take(unsigned chip, unsigned input);
  u8 poll(unsigned chip);
  void update();

  // wires
  IrqLine intr_;
  // parts
  IoWindow<I8259Pair> master_ports_{*this, &I8259Pair::read_master, &I8259Pair::write_master};
  IoWindow<I8259Pair> slave_ports_{*this, &I8259Pair::read_slave, &I8259Pair::write_slave};
  IoWindow<I8259Pair> elcr_ports_{*this, &I8259Pair::read_elcr, &I8259Pair::write_elcr};
  // state (saved)
  std::array<I8259State, 2> chips_{};
  // scratch (rebuilt)
  bool intr_level_ = false;
};

}  // namespace emu
