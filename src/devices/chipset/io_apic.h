// SPDX-License-Identifier: Apache-2.0
// I/O APIC with 24 inputs (82093AA with the later EOI register, version 20h).
// Source: Intel 82093AA data sheet (290566); Intel ICH9 data sheet (316972), 13.5 (EOI register).
// Threads: the machine lock is held by every caller.
// Not modelled: input polarity (inputs are active or not), delivery status (always idle), the APIC
// bus's arbitration id (reads as the id).
#pragma once

#include <array>
#include <functional>
#include <optional>

#include "devices/chipset/apic_bus.h"
#include "devices/device.h"

namespace emu {

// What is saved, and what an engine with its own I/O APIC exchanges with ours.
struct IoApicState {
  static constexpr unsigned kInputs = 24;
  u8 id = 0;
  u8 select = 0;                           // IOREGSEL
  u32 levels = 0;                          // of the inputs
  std::array<u64, kInputs> redirection{};  // IOREDTBL
};

// Edges on a masked input are lost, as the data sheet has it; levels are seen when unmasked.
class IoApic final : public Device, public IoHandler, public IrqSink, public EoiListener {
 public:
  static constexpr u64 kWindowBytes = 0x1000;
  static constexpr unsigned kInputs = IoApicState::kInputs;

  explicit IoApic(ApicBus& bus);
  ~IoApic() override;
  IoApic(const IoApic&) = delete;
  IoApic& operator=(const IoApic&) = delete;

  // Inputs 0..23; others are ignored.
  void set_irq(unsigned input, bool active) override;
  void restore_irq(unsigned input, bool active) override;

  // The window (at FEC00000h): AccessSizes{4, 4}.
  [[nodiscard]] u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, unsigned size, u64 value) override;

  void end_of_interrupt(u8 vector) override;
  // Hears that redirection entries may have changed.
  void set_listener(std::function<void()> changed) { changed_ = std::move(changed); }
  [[nodiscard]] bool is_level_triggered(unsigned input) const;
  // What a level-triggered input sends; nothing if it is masked and waits for no end, or is
  // triggered by edges.
  [[nodiscard]] std::optional<ApicMessage> level_message(unsigned input) const;

  // set_state() acts like a load: call resumed() after it.
  [[nodiscard]] const IoApicState& state() const { return state_; }
  void set_state(const IoApicState& state);

  [[nodiscard]] std::string_view name() const override { return "ioapic"; }
  void reset() override;
  void transfer(StateIo& io) override;

 private:
  [[nodiscard]] u32 read_register() const;
  void write_register(u32 value);
  void write_redirection(unsigned input, u64 value);
  [[nodiscard]] ApicMessage message(unsigned input) const;
  bool send(unsigned input);
  void serve_level(unsigned input);
  void sanitize();

  // wires
  ApicBus& bus_;
  std::function<void()> changed_;
  // state (saved)
  IoApicState state_;
};

}  // namespace emu
