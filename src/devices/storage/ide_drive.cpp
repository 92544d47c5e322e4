// SPDX-License-Identifier: Apache-2.0
// What ATA disks and ATAPI drives share.
#include "devices/storage/ide_drive.h"

#include <algorithm>
#include <cstring>

#include "base/bits.h"

namespace emu {

using namespace ata;

u8 IdeDrive::read_register(unsigned number, bool previous) const {
  const TaskFile& r = registers_;
  switch (number) {
    case kRegError:
      return r.error;
    case kRegSectorCount:
      return previous ? r.previous_count : r.count;
    case kRegLbaLow:
      return previous ? r.previous_low : r.low;
    case kRegLbaMid:
      return previous ? r.previous_mid : r.mid;
    case kRegLbaHigh:
      return previous ? r.previous_high : r.high;
    case kRegDevice:
      return r.device | kDeviceObsolete;
    default:
      return 0;
  }
}

void IdeDrive::write_register(unsigned number, u8 value) {
  if ((status_ & kBsy) != 0) return;
  TaskFile& r = registers_;
  switch (number) {
    case kRegError:
      r.previous_features = std::exchange(r.features, value);
      return;
    case kRegSectorCount:
      r.previous_count = std::exchange(r.count, value);
      return;
    case kRegLbaLow:
      r.previous_low = std::exchange(r.low, value);
      return;
    case kRegLbaMid:
      r.previous_mid = std::exchange(r.mid, value);
      return;
    case kRegLbaHigh:
      r.previous_high = std::exchange(r.high, value);
      return;
    case kRegDevice:
      r.device = value;
      return;
    default:
      return;
  }
}

void IdeDrive::write_command(u8 command) {
  clear_interrupt();
  // A busy drive ignores commands, except for the one that packet devices use to be stopped.
  if ((status_ & (kBsy | kDrq)) != 0 && command != kDeviceReset) return;
  registers_.error = 0;
  execute(command);
}

u32 IdeDrive::read_data(unsigned size) {
  if (phase_ != Phase::kDataIn) return 0;
  u32 value = 0;
  const u64 n = std::min<u64>(size, block_end_ - position_);
  std::memcpy(&value, buffer_->data() + position_, n);
  position_ += n;
  if (position_ == block_end_) block_ended();
  return value;
}

void IdeDrive::write_data(unsigned size, u32 value) {
  if (phase_ != Phase::kDataOut) return;
  const u64 n = std::min<u64>(size, block_end_ - position_);
  std::memcpy(buffer_->data() + position_, &value, n);
  position_ += n;
  if (position_ == block_end_) block_ended();
}

u64 IdeDrive::read_data_string(unsigned size, std::span<u8> out) {
  if (phase_ != Phase::kDataIn) return 0;
  const u64 n = align_down(std::min<u64>(out.size(), block_end_ - position_), size);
  if (n == 0) return 0;
  std::memcpy(out.data(), buffer_->data() + position_, n);
  position_ += n;
  if (position_ == block_end_) block_ended();
  return n;
}

u64 IdeDrive::write_data_string(unsigned size, std::span<const u8> in) {
  if (phase_ != Phase::kDataOut) return 0;
  const u64 n = align_down(std::min<u64>(in.size(), block_end_ - position_), size);
  if (n == 0) return 0;
  std::memcpy(buffer_->data() + position_, in.data(), n);
  position_ += n;
  if (position_ == block_end_) block_ended();
  return n;
}

void IdeDrive::block_ended() {
  if (position_ < data_end_) return begin_block(true);
  const Phase ended = phase_;
  phase_ = Phase::kIdle;
  if (ended == Phase::kDataIn) return data_in_done();
  data_out_done();
}

void IdeDrive::begin_block(bool interrupt) {
  const u64 n = std::min(block_bytes_, data_end_ - position_);
  block_end_ = position_ + n;
  block_begins(n);
  status_ = kDrdy | kDsc | kDrq;
  if (interrupt) raise_interrupt();
}

void IdeDrive::send_data(u64 data_bytes, u64 block_bytes) {
  EMU_CHECK(data_bytes != 0 && data_bytes <= kMaxBufferBytes && block_bytes != 0);
  phase_ = Phase::kDataIn;
  position_ = 0;
  data_end_ = data_bytes;
  block_bytes_ = block_bytes;
  begin_block(true);
}

void IdeDrive::receive_data(u64 data_bytes, u64 block_bytes, bool interrupt_first) {
  EMU_CHECK(data_bytes != 0 && data_bytes <= kMaxBufferBytes && block_bytes != 0);
  phase_ = Phase::kDataOut;
  position_ = 0;
  data_end_ = data_bytes;
  block_bytes_ = block_bytes;
  begin_block(interrupt_first);
}

void IdeDrive::clear_interrupt() {
  if (!interrupt_pending_) return;
  interrupt_pending_ = false;
  wires_.interrupt_changed();
}

void IdeDrive::raise_interrupt() {
  interrupt_pending_ = true;
  wires_.interrupt_changed();
}

void IdeDrive::succeed_quietly() {
  phase_ = Phase::kIdle;
  status_ = kDrdy | kDsc;
}

void IdeDrive::succeed() {
  succeed_quietly();
  raise_interrupt();
}

void IdeDrive::abort(u8 error) {
  phase_ = Phase::kIdle;
  registers_.error = error;
  status_ = kDrdy | kDsc | kErr;
  raise_interrupt();
}

void IdeDrive::cancel() {
  ++generation_;
  issue_waits_ = false;
  phase_ = Phase::kIdle;
  if (in_flight_ != 0) buffer_ = std::make_shared<std::vector<u8>>(kMaxBufferBytes);
}

void IdeDrive::soft_reset() {
  cancel();
  interrupt_pending_ = false;
  registers_ = {};
  registers_.error = 1;  // diagnostic code: no error
  set_signature();
  status_ = reset_status();
  wires_.interrupt_changed();
}

void IdeDrive::diagnose() {
  soft_reset();
  raise_interrupt();
}

void IdeDrive::power_on() {
  position_ = block_end_ = data_end_ = 0;
  block_bytes_ = kSectorBytes;
  std::fill(buffer_->begin(), buffer_->end(), u8{0});
  soft_reset();
}

void IdeDrive::wait_for_dma() {
  phase_ = Phase::kDmaWait;
  status_ = kDrdy | kDsc | kBsy;
  if (wires_.dma.is_active()) run_dma();
}

void IdeDrive::dma_started() {
  if (phase_ == Phase::kDmaWait) run_dma();
}

// The guest gave up in the middle; the command is over only after a reset.
void IdeDrive::dma_stopped() {
  if (phase_ != Phase::kBackend) return;
  cancel();
  phase_ = Phase::kDmaWait;
}

void IdeDrive::start_backend() {
  phase_ = Phase::kBackend;
  status_ = kDrdy | kDsc | kBsy;
  if (in_flight_ == 0) return issue();
  issue_waits_ = true;
}

void IdeDrive::submit(BlockRequest request, std::function<void(const Result<void>&)> then) {
  ++in_flight_;
  auto done = [this, then = std::move(then), generation = generation_,
               alive = std::weak_ptr<char>(alive_), keep = buffer_](const Result<void>& result) {
    if (alive.expired()) return;
    --in_flight_;
    if (generation == generation_) return then(result);
    if (in_flight_ == 0 && std::exchange(issue_waits_, false)) issue();
  };
  backend()->submit(std::move(request), std::move(done));
}

void IdeDrive::transfer(StateIo& io) {
  TaskFile& r = registers_;
  io.field(1, "features", r.features);
  io.field(2, "error", r.error);
  io.field(3, "count", r.count);
  io.field(4, "low", r.low);
  io.field(5, "mid", r.mid);
  io.field(6, "high", r.high);
  io.field(7, "device", r.device);
  io.field(8, "previous_features", r.previous_features);
  io.field(9, "previous_count", r.previous_count);
  io.field(10, "previous_low", r.previous_low);
  io.field(11, "previous_mid", r.previous_mid);
  io.field(12, "previous_high", r.previous_high);
  io.field(13, "status", status_);
  io.field(14, "interrupt_pending", interrupt_pending_);
  io.field(15, "phase", phase_);
  io.field(16, "position", position_);
  io.field(17, "block_end", block_end_);
  io.field(18, "data_end", data_end_);
  io.field(19, "block_bytes", block_bytes_);
  const u64 kept = io.loading() ? 0 : data_end_;
  std::vector<u8> data(buffer_->begin(), buffer_->begin() + static_cast<std::ptrdiff_t>(kept));
  io.field(20, "data", data, kMaxBufferBytes);
  if (!io.loading()) return;
  std::copy_n(data.begin(), std::min(data.size(), buffer_->size()), buffer_->begin());
  const bool moving = phase_ == Phase::kDataIn || phase_ == Phase::kDataOut;
  io.check(phase_ <= Phase::kBackend, "drive phase");
  io.check(position_ <= block_end_ && block_end_ <= data_end_ && data_end_ <= kMaxBufferBytes &&
               block_bytes_ != 0 && (!moving || position_ < block_end_),
           "drive buffer position");
  if (!io.ok()) {
    phase_ = Phase::kIdle;
    position_ = block_end_ = data_end_ = 0;
  }
}

// A request that was under way when the state was saved is made again; that reads or writes the
// same data.
void IdeDrive::resumed() {
  ++generation_;
  issue_waits_ = false;
  if (phase_ != Phase::kBackend) return;
  if (in_flight_ == 0) return issue();
  issue_waits_ = true;
}

}  // namespace emu
