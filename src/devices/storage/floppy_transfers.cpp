// SPDX-License-Identifier: Apache-2.0
// Intel 82077AA floppy disk controller: reading, writing and formatting.
#include <algorithm>

#include "devices/storage/floppy_controller.h"

namespace emu {

using namespace fdc;

// Command bytes: 0 command, 1 head and drive, 2 C, 3 H, 4 R, 5 N, 6 EOT, 7 GPL, 8 DTL.
// False: the result phase says what is wrong.
bool FloppyController::check_address() {
  const Drive& d = selected();
  address_ = {command_[2], command_[3], command_[4]};
  if ((command_[1] & 2) != 0 || d.medium == nullptr) {
    finish_transfer(kSt0Abnormal, kSt1NoData, 0);
    return false;
  }
  const bool seeks_itself = (configuration_[1] & 0x40) != 0;
  if (seeks_itself && address_.cylinder < d.format.tracks) selected().track = address_.cylinder;
  if (address_.cylinder != d.track) {
    finish_transfer(kSt0Abnormal, kSt1NoData, kSt2WrongCylinder);
    return false;
  }
  const bool exists = address_.cylinder < d.format.tracks && address_.head < d.format.heads &&
                      address_.head == (command_[1] >> 2 & 1) && address_.sector >= 1 &&
                      address_.sector <= d.format.sectors && command_[5] == kSizeCode;
  if (!exists) finish_transfer(kSt0Abnormal, kSt1NoData, 0);
  return exists;
}

// From the first sector to the last one that the command covers (EOT, both sides with MT).
u64 FloppyController::sectors_to_end() const {
  const Format& f = selected().format;
  const u64 last = std::clamp<u64>(command_[6], address_.sector, f.sectors);
  const bool both_sides = (command_[0] & 0x80) != 0 && address_.head == 0 && f.heads == 2;
  return last - address_.sector + 1 + (both_sides ? last : 0);
}

u64 FloppyController::byte_offset() const {
  const Format& f = selected().format;
  const u64 track = u64{address_.cylinder} * f.heads + address_.head;
  return (track * f.sectors + address_.sector - 1) * kSectorBytes;
}

void FloppyController::start_read() {
  if (!check_address()) return;
  buffer_ = std::make_shared<std::vector<u8>>(sectors_to_end() * kSectorBytes, u8{0});
  phase_ = Phase::kBackendRead;
  issue();
}

void FloppyController::start_write() {
  if (!check_address()) return;
  if (selected().medium->read_only()) return finish_transfer(kSt0Abnormal, kSt1NotWritable, 0);
  buffer_ = std::make_shared<std::vector<u8>>(sectors_to_end() * kSectorBytes, u8{0});
  const DmaTransfer moved = wires_.dma.from_memory(wires_.dma_channel, *buffer_);
  if (moved.bytes == 0) return finish_transfer(kSt0Abnormal, kSt1Overrun, 0);
  buffer_->resize((moved.bytes + kSectorBytes - 1) / kSectorBytes * kSectorBytes);
  phase_ = Phase::kBackendWrite;
  issue();
}

// FORMAT TRACK: 1 head and drive, 2 N, 3 sectors, 4 GPL, 5 filler. The sectors' ids come by DMA
// and are taken to be the usual ones.
void FloppyController::start_format() {
  Drive& d = selected();
  const u8 sectors = command_[3];
  const u8 filler = command_[5];
  const u8 head = command_[1] >> 2 & 1;
  const bool fits = d.medium != nullptr && command_[2] == kSizeCode && sectors != 0 &&
                    sectors <= d.format.sectors && d.track < d.format.tracks;
  address_ = {d.track, head, 1};
  if (!fits || (command_[1] & 2) != 0) return finish_transfer(kSt0Abnormal, kSt1NoData, 0);
  if (d.medium->read_only()) return finish_transfer(kSt0Abnormal, kSt1NotWritable, 0);
  std::vector<u8> ids(u64{sectors} * 4);
  if (wires_.dma.from_memory(wires_.dma_channel, ids).bytes == 0)
    return finish_transfer(kSt0Abnormal, kSt1Overrun, 0);
  buffer_ = std::make_shared<std::vector<u8>>(u64{sectors} * kSectorBytes, filler);
  phase_ = Phase::kBackendWrite;
  issue();
}

// Starts the backend request that phase, address and buffer describe.
void FloppyController::issue() {
  if (in_flight_ != 0) {  // from before a reset
    issue_waits_ = true;
    return;
  }
  BlockBackend* medium = selected().medium;
  const u64 offset = byte_offset();
  if (medium == nullptr || buffer_->empty()) return finish_transfer(kSt0Abnormal, kSt1NoData, 0);
  // An image may be shorter than its format; what is missing reads as zero.
  const u64 size = medium->size_bytes();
  const u64 there = offset < size ? std::min<u64>(buffer_->size(), size - offset) : 0;
  const bool reads = phase_ == Phase::kBackendRead;
  if (there == 0 && reads) return read_done({});
  BlockRequest request;
  request.op = reads ? BlockOp::kRead : BlockOp::kWrite;
  request.offset_bytes = offset;
  request.buffers = {std::span(*buffer_).first(reads ? there : buffer_->size())};
  ++in_flight_;
  medium->submit(std::move(request),
                 [this, reads, generation = generation_, alive = std::weak_ptr<char>(alive_),
                  keep = buffer_](const auto& result) {
                   if (alive.expired()) return;
                   --in_flight_;
                   if (generation == generation_)
                     return reads ? read_done(result) : write_done(result);
                   if (in_flight_ == 0 && std::exchange(issue_waits_, false)) issue();
                 });
}

void FloppyController::read_done(const Result<void>& result) {
  if (!result) {
    if (complaints_.pass()) log(LogLevel::kError, "floppy", "{}", result.error().message);
    return finish_transfer(kSt0Abnormal, kSt1DataError, kSt2DataError);
  }
  const u64 all = buffer_->size() / kSectorBytes;
  if ((command_[0] & 0x1f) == kVerify) {  // no data moves
    advance(all);
    return finish_transfer(0, 0, 0);
  }
  const DmaTransfer moved = wires_.dma.to_memory(wires_.dma_channel, *buffer_);
  advance(std::min((moved.bytes + kSectorBytes - 1) / kSectorBytes, all));
  if (moved.terminal_count) return finish_transfer(0, 0, 0);
  const u8 why = moved.bytes == 0 ? kSt1Overrun : kSt1EndOfCylinder;
  finish_transfer(kSt0Abnormal, why, 0);
}

void FloppyController::write_done(const Result<void>& result) {
  if (!result) {
    if (complaints_.pass()) log(LogLevel::kError, "floppy", "{}", result.error().message);
    return finish_transfer(kSt0Abnormal, kSt1DataError, kSt2DataError);
  }
  advance(buffer_->size() / kSectorBytes);
  finish_transfer(0, 0, 0);
}

// The result names the sector after the last one moved.
void FloppyController::advance(u64 sectors) {
  const Format& f = selected().format;
  const u64 last = std::clamp<u64>(command_[6], 1, f.sectors);
  const bool both_sides = (command_[0] & 0x80) != 0;
  for (; sectors != 0; --sectors) {
    if (address_.sector < last) {
      ++address_.sector;
      continue;
    }
    address_.sector = 1;
    if (!both_sides || address_.head == 1) ++address_.cylinder;
    if (both_sides) address_.head ^= 1;
  }
}

void FloppyController::finish_transfer(u8 st0, u8 st1, u8 st2) {
  buffer_ = std::make_shared<std::vector<u8>>();
  const u8 head = static_cast<u8>((address_.head & 1) << 2);
  const u8 drive = command_[1] & 3;
  give_result({static_cast<u8>(st0 | head | drive), st1, st2, address_.cylinder, address_.head,
               address_.sector, kSizeCode},
              true);
}

// The id of whatever sector comes by first.
void FloppyController::read_id() {
  const Drive& d = selected();
  const u8 head = command_[1] >> 2 & 1;
  address_ = {d.track, head, 1};
  const bool readable = d.medium != nullptr && (command_[1] & 2) == 0 &&
                        d.track < d.format.tracks && head < d.format.heads;
  finish_transfer(readable ? 0 : kSt0Abnormal, readable ? 0 : 0x01, 0);  // no address mark
}

}  // namespace emu
