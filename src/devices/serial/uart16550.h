// SPDX-License-Identifier: Apache-2.0
// A 16550A serial port: eight byte registers, 16-byte receive FIFO.
// Source: National Semiconductor PC16550D data sheet (June 1995).
// Threads: the machine lock is held by every caller.
// Not modelled: the time that transmission takes (a byte leaves at once, so the holding register
// and shift register always read as empty); the PC's gating of the interrupt by MCR.OUT2, which
// small kernels that were only ever tried on emulators do not set; parity and stop bits; a break
// sent by the guest, for which the host's streams have no sign; DMA signals.
#pragma once

#include <array>
#include <memory>
#include <string>

#include "base/vm_time.h"
#include "devices/device.h"
#include "devices/irq_line.h"
#include "devices/ports/character.h"
#include "memory/io_handler.h"

namespace emu {

class Uart16550 final : public Device, public IoHandler, public CharReceiver {
 public:
  // `name` is unique within the machine ("com1"). The backend outlives the port.
  Uart16550(std::string name, IrqLine irq, Clock& clock, CharBackend& backend);
  ~Uart16550() override;

  // The eight registers (3F8h..3FFh for COM1); byte accesses.
  [[nodiscard]] IoHandler& ports() { return *this; }
  [[nodiscard]] u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, unsigned size, u64 value) override;

  // From the host's side of the line.
  [[nodiscard]] std::size_t can_receive() const override;
  void receive(std::span<const u8> bytes) override;
  // A break condition on the line: arrives as a zero byte with LSR.BI.
  void receive_break();
  // The modem inputs as MSR bits 7..4 (kMsrDcd and so on); all but the ring are active at reset.
  void set_modem_inputs(u8 lines);

  [[nodiscard]] std::string_view name() const override { return name_; }
  void reset() override;
  void transfer(StateIo& io) override;
  void resumed() override;

 private:
  static constexpr u8 kFifoBytes = 16;

  [[nodiscard]] bool fifos_enabled() const;
  [[nodiscard]] bool loopback() const;
  [[nodiscard]] u8 capacity() const { return fifos_enabled() ? kFifoBytes : 1; }
  [[nodiscard]] u8 trigger_level() const;
  [[nodiscard]] u64 four_characters_ns() const;

  u8 read_rbr();
  u8 read_lsr();
  u8 read_msr();
  u8 read_iir();
  void transmit(u8 byte);
  void write_fcr(u8 value);
  void write_mcr(u8 value);
  void push(u8 byte, u8 errors);
  void clear_receiver();
  [[nodiscard]] u8 line_status() const;
  void set_modem_status(u8 lines);
  [[nodiscard]] u8 interrupt_id() const;
  [[nodiscard]] bool interrupting() const;
  void update_irq();
  void restart_timeout();

  // wires
  std::string name_;
  IrqLine irq_;
  Clock& clock_;
  CharBackend& backend_;
  // parts
  std::unique_ptr<Timer> timeout_timer_;
  // state (saved)
  u8 ier_ = 0;
  u8 fcr_ = 0;
  u8 lcr_ = 0;
  u8 mcr_ = 0;
  u8 msr_ = 0;
  u8 scr_ = 0;
  u16 divisor_ = 0;
  u8 modem_inputs_ = 0;
  bool overrun_ = false;
  bool transmitter_interrupt_ = false;  // THRE: the holding register became empty
  bool timed_out_ = false;
  u64 timeout_at_ns_ = kNever;
  std::array<u8, kFifoBytes> fifo_bytes_{};
  std::array<u8, kFifoBytes> fifo_errors_{};  // LSR bits that come with each byte
  u8 fifo_first_ = 0;
  u8 fifo_count_ = 0;
};

}  // namespace emu
