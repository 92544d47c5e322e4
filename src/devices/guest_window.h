// SPDX-License-Identifier: Apache-2.0
// Guest RAM as bus masters use it: rings and tables that a device looks at again and again, and the
// scattered buffers of one transfer, both without copies. Only plain RAM counts: a device whose
// guest points it at registers (its own, even) refuses, so no DMA ever re-enters a device.
// Threads: any; guest data races are the guest's own.
#pragma once

#include <atomic>
#include <optional>
#include <span>
#include <vector>

#include "base/bits.h"
#include "base/check.h"
#include "memory/address_space.h"

namespace emu {

// A piece of guest RAM that lies in one block.
class GuestWindow {
 public:
  GuestWindow() = default;
  // [address, address + length_bytes), writable if asked; nothing if that is not plain RAM in one
  // piece. Valid as long as the machine's RAM.
  [[nodiscard]] static std::optional<GuestWindow> map(const AddressSpace& memory, u64 address,
                                                      u64 length_bytes, bool for_writing);

  [[nodiscard]] u64 size_bytes() const { return bytes_.size(); }
  // Little-endian, `offset` + size inside the window.
  template <std::unsigned_integral T>
  [[nodiscard]] T load(u64 offset) const {
    EMU_CHECK(range_fits(offset, sizeof(T), bytes_.size()));
    return load_le<T>(bytes_.data() + offset);
  }
  template <std::unsigned_integral T>
  void store(u64 offset, T value) {
    EMU_CHECK(range_fits(offset, sizeof(T), bytes_.size()));
    store_le(bytes_.data() + offset, value);
    ram_->mark_written(ram_offset_ + offset, sizeof(T));
  }
  // The same, ordered: what the guest wrote before this value is seen after it, and the other way
  // round. `offset` is aligned, and so was the window's address.
  [[nodiscard]] u16 load_acquire(u64 offset) const;
  void store_release(u64 offset, u16 value);

  [[nodiscard]] std::span<const u8> bytes() const { return bytes_; }

 private:
  std::span<u8> bytes_;
  GuestRam* ram_ = nullptr;
  u64 ram_offset_ = 0;
};

// The memory of one transfer, in order.
class DmaList {
 public:
  // Appends [address, address + length_bytes). False, and nothing is appended, if a part is not
  // plain RAM (or not writable, if the device is to write there).
  bool add(const AddressSpace& memory, u64 address, u64 length_bytes, bool for_writing);
  // Host memory in transfer order; neighbours are joined.
  [[nodiscard]] const std::vector<std::span<u8>>& pieces() const { return pieces_; }
  [[nodiscard]] u64 length_bytes() const { return length_bytes_; }
  [[nodiscard]] bool empty() const { return length_bytes_ == 0; }
  // Copies between the list (from `offset` on) and one flat buffer; the bytes that there were.
  u64 read(u64 offset, std::span<u8> out) const;
  u64 write(u64 offset, std::span<const u8> in);
  // Drops what lies beyond `length_bytes`.
  void truncate(u64 length_bytes);
  // A list of [offset, offset + length_bytes) of this one, which has that much.
  [[nodiscard]] DmaList part(u64 offset, u64 length_bytes) const;
  // After the backend has put data into the pieces: what saw the old contents (translated code, the
  // display, a migration) hears of it.
  void publish() const;

 private:
  struct Place {
    GuestRam* ram;
    u64 offset;  // in ram
    u64 start;   // in the list
  };
  // The piece that has the list's byte `offset`, and `offset` in it; pieces_.size() behind the end.
  // Lists of hostile guests have many pieces.
  [[nodiscard]] std::size_t piece_with(u64& offset) const;
  std::vector<std::span<u8>> pieces_;
  std::vector<Place> places_;  // of pieces_, in step
  u64 length_bytes_ = 0;
};

}  // namespace emu
