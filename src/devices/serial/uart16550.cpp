// SPDX-License-Identifier: Apache-2.0
#include "devices/serial/uart16550.h"

#include <algorithm>

#include "devices/serial/uart_spec.h"

namespace emu {

using namespace uart;

namespace {

constexpr u64 kInputClockHz = 1'843'200;
constexpr u64 kClocksPerBit = 16;
constexpr u64 kBitsPerCharacter = 10;
constexpr u16 kResetDivisor = 12;  // 9600 baud; the data sheet leaves it undefined

constexpr u8 kConnected = kMsrDcd | kMsrDsr | kMsrCts;

}  // namespace

Uart16550::Uart16550(std::string name, IrqLine irq, Clock& clock, CharBackend& backend)
    : name_(std::move(name)), irq_(irq), clock_(clock), backend_(backend) {
  timeout_timer_ = clock_.create_timer([this] {
    timeout_at_ns_ = kNever;
    timed_out_ = fifo_count_ != 0;
    update_irq();
  });
  reset();
  backend_.set_receiver(this);
}

Uart16550::~Uart16550() {
  backend_.set_receiver(nullptr);
}

void Uart16550::reset() {
  ier_ = fcr_ = lcr_ = mcr_ = scr_ = 0;
  divisor_ = kResetDivisor;
  modem_inputs_ = kConnected;
  msr_ = kConnected;
  transmitter_interrupt_ = false;
  clear_receiver();
  overrun_ = false;
  update_irq();
}

bool Uart16550::fifos_enabled() const {
  return (fcr_ & kFcrEnable) != 0;
}

bool Uart16550::loopback() const {
  return (mcr_ & kMcrLoopback) != 0;
}

u8 Uart16550::trigger_level() const {
  static constexpr std::array<u8, 4> kLevels{1, 4, 8, 14};
  return fifos_enabled() ? kLevels[fcr_ >> 6] : 1;
}

u64 Uart16550::four_characters_ns() const {
  const u64 divisor = divisor_ == 0 ? 1 : divisor_;
  return 4 * kBitsPerCharacter * kClocksPerBit * divisor * kNsPerSecond / kInputClockHz;
}

// The enabled interrupt of the highest priority (data sheet, table IV).
u8 Uart16550::interrupt_id() const {
  if ((ier_ & kIerLineStatus) != 0 && (line_status() & kLsrErrors) != 0) return kIirLineStatus;
  if ((ier_ & kIerReceivedData) != 0) {
    if (fifo_count_ >= trigger_level()) return kIirReceivedData;
    if (timed_out_) return kIirTimeout;
  }
  if ((ier_ & kIerTransmitterEmpty) != 0 && transmitter_interrupt_) return kIirTransmitterEmpty;
  if ((ier_ & kIerModemStatus) != 0 && (msr_ & kMsrDeltas) != 0) return kIirModemStatus;
  return kIirNone;
}

bool Uart16550::interrupting() const {
  return interrupt_id() != kIirNone;
}

void Uart16550::update_irq() {
  irq_.set(interrupting());
}

u8 Uart16550::line_status() const {
  u8 lsr = kLsrTransmitterHoldingEmpty | kLsrTransmitterEmpty;
  if (overrun_) lsr |= kLsrOverrun;
  if (fifo_count_ == 0) return lsr;
  lsr |= static_cast<u8>(kLsrDataReady | fifo_errors_[fifo_first_]);
  if (fifos_enabled()) {
    for (u8 i = 0; i < fifo_count_; ++i) {
      if (fifo_errors_[(fifo_first_ + i) % kFifoBytes] != 0) lsr |= kLsrErrorInFifo;
    }
  }
  return lsr;
}

// Reading LSR takes the errors back, those of the byte at the FIFO's head included.
u8 Uart16550::read_lsr() {
  const u8 lsr = line_status();
  if ((lsr & kLsrErrors) != 0) {
    overrun_ = false;
    fifo_errors_[fifo_first_] = 0;
    update_irq();
  }
  return lsr;
}

u8 Uart16550::read_msr() {
  const u8 msr = msr_;
  if ((msr & kMsrDeltas) != 0) {
    msr_ = static_cast<u8>(msr & ~kMsrDeltas);
    update_irq();
  }
  return msr;
}

u8 Uart16550::read_iir() {
  const u8 id = interrupt_id();
  if (id == kIirTransmitterEmpty) {
    transmitter_interrupt_ = false;
    update_irq();
  }
  return fifos_enabled() ? static_cast<u8>(id | kIirFifosEnabled) : id;
}

u8 Uart16550::read_rbr() {
  if (fifo_count_ == 0) return 0;
  const u8 byte = fifo_bytes_[fifo_first_];
  fifo_errors_[fifo_first_] = 0;
  fifo_first_ = static_cast<u8>((fifo_first_ + 1) % kFifoBytes);
  --fifo_count_;
  restart_timeout();
  update_irq();
  if (fifo_count_ == 0 && !loopback()) backend_.receiver_ready();
  return byte;
}

// The receiver's timeout runs from the last byte that came or went (data sheet, "FIFO interrupt
// mode operation").
void Uart16550::restart_timeout() {
  timed_out_ = false;
  const bool waits = fifos_enabled() && fifo_count_ != 0;
  timeout_at_ns_ = waits ? clock_.now_ns() + four_characters_ns() : kNever;
  timeout_timer_->arm(timeout_at_ns_);
}

void Uart16550::push(u8 byte, u8 errors) {
  if (fifo_count_ == capacity()) {
    overrun_ = true;
    // Without FIFO the new byte replaces the unread one; with it, the new byte is lost.
    if (fifos_enabled()) return;
    fifo_count_ = 0;
  }
  const std::size_t at = (fifo_first_ + fifo_count_) % kFifoBytes;
  fifo_bytes_[at] = byte;
  fifo_errors_[at] = errors;
  ++fifo_count_;
}

void Uart16550::clear_receiver() {
  fifo_bytes_.fill(0);
  fifo_errors_.fill(0);
  fifo_first_ = fifo_count_ = 0;
  restart_timeout();
}

std::size_t Uart16550::can_receive() const {
  return loopback() ? 0 : capacity() - fifo_count_;
}

void Uart16550::receive(std::span<const u8> bytes) {
  if (loopback()) return;
  for (const u8 byte : bytes) push(byte, 0);
  restart_timeout();
  update_irq();
}

void Uart16550::receive_break() {
  if (loopback()) return;
  push(0, kLsrBreak);
  restart_timeout();
  update_irq();
}

void Uart16550::transmit(u8 byte) {
  // Writing clears the interrupt; the byte leaves at once and the empty register raises it again.
  transmitter_interrupt_ = false;
  if ((ier_ & kIerTransmitterEmpty) != 0) update_irq();
  if (loopback()) {
    push(byte, 0);
    restart_timeout();
  } else {
    backend_.send(std::span<const u8>(&byte, 1));
  }
  transmitter_interrupt_ = true;
  update_irq();
}

void Uart16550::write_fcr(u8 value) {
  const bool toggled = ((value ^ fcr_) & kFcrEnable) != 0;
  // The other bits are only programmed while bit 0 is written as 1.
  fcr_ = (value & kFcrEnable) != 0 ? value & 0xc9 : 0;
  if (toggled || (value & kFcrResetReceiver) != 0) {
    clear_receiver();
    if (!loopback()) backend_.receiver_ready();
  }
  update_irq();
}

void Uart16550::write_mcr(u8 value) {
  const bool was_loopback = loopback();
  mcr_ = value & 0x1f;
  if (!loopback()) {
    set_modem_status(modem_inputs_);
    if (was_loopback && can_receive() != 0) backend_.receiver_ready();
    return;
  }
  u8 lines = 0;
  if ((mcr_ & kMcrRts) != 0) lines |= kMsrCts;
  if ((mcr_ & kMcrDtr) != 0) lines |= kMsrDsr;
  if ((mcr_ & kMcrOut1) != 0) lines |= kMsrRing;
  if ((mcr_ & kMcrOut2) != 0) lines |= kMsrDcd;
  if (!was_loopback && (lcr_ & kLcrBreak) != 0) push(0, kLsrBreak);
  set_modem_status(lines);
}

void Uart16550::set_modem_status(u8 lines) {
  const u8 before = msr_ & 0xf0;
  u8 deltas = static_cast<u8>((before ^ lines) >> 4);
  // The ring indicator counts only its trailing edge.
  if ((lines & kMsrRing) != 0) deltas &= static_cast<u8>(~kMsrRingEnded);
  msr_ = static_cast<u8>(lines | (msr_ & kMsrDeltas) | deltas);
  update_irq();
}

void Uart16550::set_modem_inputs(u8 lines) {
  modem_inputs_ = lines & 0xf0;
  if (!loopback()) set_modem_status(modem_inputs_);
}

u64 Uart16550::read(u64 offset, unsigned) {
  const bool latch = (lcr_ & kLcrDivisorLatch) != 0;
  switch (static_cast<Register>(offset & 7)) {
    case kRbrThr:
      return latch ? divisor_ & 0xff : read_rbr();
    case kIer:
      return latch ? divisor_ >> 8 : ier_;
    case kIirFcr:
      return read_iir();
    case kLcr:
      return lcr_;
    case kMcr:
      return mcr_;
    case kLsr:
      return read_lsr();
    case kMsr:
      return read_msr();
    case kScr:
      return scr_;
  }
  return 0xff;
}

void Uart16550::write(u64 offset, unsigned, u64 value) {
  const u8 byte = static_cast<u8>(value);
  const bool latch = (lcr_ & kLcrDivisorLatch) != 0;
  switch (static_cast<Register>(offset & 7)) {
    case kRbrThr:
      if (!latch) return transmit(byte);
      divisor_ = static_cast<u16>((divisor_ & 0xff00) | byte);
      break;
    case kIer:
      if (latch) {
        divisor_ = static_cast<u16>((divisor_ & 0x00ff) | byte << 8);
        break;
      }
      // Enabling the interrupt while the register is empty raises it.
      if ((byte & ~ier_ & kIerTransmitterEmpty) != 0) transmitter_interrupt_ = true;
      ier_ = byte & 0x0f;
      update_irq();
      break;
    case kIirFcr:
      write_fcr(byte);
      break;
    case kLcr:
      // In loopback the break comes back to the receiver.
      if (loopback() && (byte & ~lcr_ & kLcrBreak) != 0) push(0, kLsrBreak);
      lcr_ = byte;
      update_irq();
      break;
    case kMcr:
      write_mcr(byte);
      break;
    case kLsr:  // a factory test register
    case kMsr:
      break;
    case kScr:
      scr_ = byte;
      break;
  }
}

void Uart16550::transfer(StateIo& io) {
  io.section(name(), 1, [&] {
    io.field(1, "ier", ier_);
    io.field(2, "fcr", fcr_);
    io.field(3, "lcr", lcr_);
    io.field(4, "mcr", mcr_);
    io.field(5, "msr", msr_);
    io.field(6, "scr", scr_);
    io.field(7, "divisor", divisor_);
    io.field(8, "modem_inputs", modem_inputs_);
    io.field(9, "overrun", overrun_);
    io.field(10, "transmitter_interrupt", transmitter_interrupt_);
    io.field(11, "timed_out", timed_out_);
    io.field(12, "timeout_at_ns", timeout_at_ns_);
    io.field(13, "fifo_bytes", fifo_bytes_);
    io.field(14, "fifo_errors", fifo_errors_);
    io.field(15, "fifo_first", fifo_first_);
    io.field(16, "fifo_count", fifo_count_);
    io.check(fifo_first_ < kFifoBytes, "fifo_first is outside the FIFO");
    io.check(fifo_count_ <= capacity(), "fifo_count is more than the FIFO holds");
  });
}

void Uart16550::resumed() {
  timeout_timer_->arm(timeout_at_ns_);
  irq_.restore(interrupting());
}

}  // namespace emu
