// SPDX-License-Identifier: Apache-2.0
// One channel of a PIIX bus-master IDE interface.
#include "devices/storage/bus_master.h"

#include <algorithm>

#include "base/bits.h"
#include "devices/storage/ata_spec.h"

namespace emu {
namespace {

constexpr u64 kMaxBufferedBytes = 4 * kMiB;
constexpr unsigned kMaxRegions = 64 * kKiB / 8;  // a table does not cross a 64 KiB boundary

}  // namespace

void DmaMapping::publish(AddressSpace& memory) const {
  const auto view = memory.view();
  for (const Target& target : targets_) {
    const FlatRange* range = target.in_place ? view->find(target.address) : nullptr;
    if (!target.in_place) {
      memory.write(target.address, target.bytes);
    } else if (range != nullptr && range->ram != nullptr) {
      range->ram->mark_written(range->ram_offset + (target.address - range->start),
                               target.bytes.size());
    }
  }
}

BusMaster::BusMaster(AddressSpace& memory, std::function<void()> started,
                     std::function<void()> stopped)
    : memory_(memory), started_(std::move(started)), stopped_(std::move(stopped)) {}

u8 BusMaster::read(unsigned offset) const {
  switch (offset) {
    case 0:
      return command_;
    case 2:
      return status_;
    case 4:
    case 5:
    case 6:
    case 7:
      return static_cast<u8>(table_ >> (8 * (offset - 4)));
    default:
      return 0;
  }
}

void BusMaster::write(unsigned offset, u8 value) {
  switch (offset) {
    case 0:
      return write_command(value);
    case 2:
      // Error and interrupt are cleared by ones; the capable bits only remember.
      status_ = static_cast<u8>((status_ & ~ata::kBmDrivesCapable & ~(value & 0x06)) |
                                (value & ata::kBmDrivesCapable));
      return;
    case 4:
    case 5:
    case 6:
    case 7: {
      const unsigned shift = 8 * (offset - 4);
      table_ = ((table_ & ~(0xffu << shift)) | (u32{value} << shift)) & ~3u;
      return;
    }
    default:
      return;
  }
}

void BusMaster::write_command(u8 value) {
  const bool was_started = (command_ & ata::kBmStart) != 0;
  const bool is_started = (value & ata::kBmStart) != 0;
  command_ = value & (ata::kBmStart | ata::kBmToMemory);
  if (is_started && !was_started) {
    status_ |= ata::kBmActive;
    started_();
  }
  if (!is_started && was_started) {
    const bool was_active = is_active();
    status_ &= static_cast<u8>(~ata::kBmActive);
    if (was_active) stopped_();
  }
}

// u32 address, u16 byte count (0: 64 KiB), u16 flags (bit 15: last). Address and count are even.
BusMaster::Region BusMaster::read_region(unsigned index) const {
  u8 raw[8];
  memory_.read(u64{table_} + u64{index} * sizeof raw, raw);
  const u64 count = load_le<u16>(raw + 4) & 0xfffeu;
  return {load_le<u32>(raw) & ~u64{1}, count == 0 ? 64 * kKiB : count,
          (load_le<u16>(raw + 6) & 0x8000) != 0};
}

DmaMapping BusMaster::map(u64 length_bytes, bool to_memory) {
  DmaMapping mapping;
  table_has_more_ = true;
  for (unsigned i = 0; i < kMaxRegions && mapping.length_bytes_ < length_bytes; ++i) {
    const Region region = read_region(i);
    const u64 n = std::min(region.length_bytes, length_bytes - mapping.length_bytes_);
    if (!add(mapping, region.address, n, to_memory)) break;
    if (!region.is_last) continue;
    table_has_more_ = n < region.length_bytes;
    break;
  }
  return mapping;
}

// Adds [address, address + length_bytes), split where RAM ends. False: too much that is not RAM.
bool BusMaster::add(DmaMapping& mapping, u64 address, u64 length_bytes, bool to_memory) {
  while (length_bytes != 0) {
    u64 n = length_bytes;
    auto bytes = memory_.ram_span(address, n, to_memory);
    if (bytes.empty()) {  // across a border: page by page
      n = std::min(length_bytes, kPageBytes - address % kPageBytes);
      bytes = memory_.ram_span(address, n, to_memory);
    }
    const bool in_place = !bytes.empty();
    if (!in_place) {
      mapping.buffered_bytes_ += n;
      if (mapping.buffered_bytes_ > kMaxBufferedBytes) return false;
      bytes = mapping.buffers_.emplace_back(n);
      if (!to_memory) memory_.read(address, bytes);
    }
    mapping.pieces_.push_back(bytes);
    mapping.targets_.push_back({address, bytes, in_place});
    mapping.length_bytes_ += n;
    address += n;
    length_bytes -= n;
  }
  return true;
}

void BusMaster::finish() {
  if (!table_has_more_) status_ &= static_cast<u8>(~ata::kBmActive);
}

void BusMaster::run_dry() {
  status_ &= static_cast<u8>(~ata::kBmActive);
}

void BusMaster::fail() {
  status_ = static_cast<u8>((status_ & ~ata::kBmActive) | ata::kBmError);
}

void BusMaster::note_interrupt() {
  status_ |= ata::kBmInterrupt;
}

void BusMaster::reset() {
  command_ = 0;
  status_ = 0;
  table_ = 0;
  table_has_more_ = false;
}

void BusMaster::transfer(StateIo& io) {
  io.field(1, "command", command_);
  io.field(2, "status", status_);
  io.field(3, "table", table_);
  io.field(4, "table_has_more", table_has_more_);
}

}  // namespace emu
