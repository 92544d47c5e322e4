// SPDX-License-Identifier: Apache-2.0
// Accesses through an address space: guest RAM by pointer, devices through their handlers.
// Threads: RAM needs no lock; accesses that reach a device need the machine lock.
#include <algorithm>
#include <array>
#include <cstring>

#include "base/bits.h"
#include "base/check.h"
#include "memory/address_space.h"
#include "memory/device_access.h"

namespace emu {
namespace {

DeviceWindow window_of(const FlatRange& r) {
  return {*r.handler, r.handler_size, r.sizes};
}

// How many of `length` bytes from `address` on lie in `r`, or in the gap if `r` is null.
u64 uniform_bytes(const FlatView& view, const FlatRange* r, u64 address, u64 length) {
  const u64 left =
      r != nullptr ? r->length_bytes - (address - r->start) : view.next_start(address) - address;
  return std::clamp<u64>(left, 1, length);
}

void read_piece(const FlatRange* r, u64 address, std::span<u8> out) {
  if (r != nullptr && r->ram != nullptr) {
    // SAFETY: `out` was cut to end inside the range, and the range lies inside its GuestRam.
    std::memcpy(out.data(), r->host(address), out.size());
  } else if (r != nullptr && r->handler != nullptr) {
    device_read(window_of(*r), r->handler_offset + (address - r->start), out);
  } else {
    std::fill(out.begin(), out.end(), u8{0xFF});
  }
}

void write_piece(const FlatRange* r, u64 address, std::span<const u8> in) {
  if (r == nullptr) return;
  if (r->writable) {
    // SAFETY: as in read_piece(); `writable` ranges are RAM.
    std::memcpy(r->host(address), in.data(), in.size());
    r->ram->mark_written(r->ram_offset + (address - r->start), in.size());
  } else if (r->handler != nullptr) {
    device_write(window_of(*r), r->handler_offset + (address - r->start), in);
  }
}

// SAFETY (both): the caller checked that `size` bytes at `p` are inside guest RAM. Each is a single
// access, so that another thread sees aligned words whole.
u64 load_host(const u8* p, unsigned size) {
  switch (size) {
    case 1:
      return *p;
    case 2:
      return load_le<u16>(p);
    case 4:
      return load_le<u32>(p);
    default:
      return load_le<u64>(p);
  }
}

void store_host(u8* p, unsigned size, u64 value) {
  switch (size) {
    case 1:
      *p = static_cast<u8>(value);
      break;
    case 2:
      store_le(p, static_cast<u16>(value));
      break;
    case 4:
      store_le(p, static_cast<u32>(value));
      break;
    default:
      store_le(p, value);
      break;
  }
}

template <class T>
bool compare_exchange_host(u8* p, u64 expected, u64 desired) {
  // SAFETY: the caller checked size, alignment and that `p` is inside guest RAM.
  T old = static_cast<T>(expected);
  return std::atomic_ref<T>(*reinterpret_cast<T*>(p))
      .compare_exchange_strong(old, static_cast<T>(desired));
}

bool compare_exchange_host(u8* p, unsigned size, u64 expected, u64 desired) {
  switch (size) {
    case 1:
      return compare_exchange_host<u8>(p, expected, desired);
    case 2:
      return compare_exchange_host<u16>(p, expected, desired);
    case 4:
      return compare_exchange_host<u32>(p, expected, desired);
    default:
      return compare_exchange_host<u64>(p, expected, desired);
  }
}

// Whether [address, address + length) lies in `r`, which is not null and contains `address`.
bool is_inside(const FlatRange& r, u64 address, u64 length) {
  return range_fits(address - r.start, length, r.length_bytes);
}

// Whether an access is one of a device's own, neither split nor widened.
bool takes_whole(const FlatRange& r, u64 address, unsigned size) {
  const u64 offset = r.handler_offset + (address - r.start);
  return r.handler != nullptr && size >= r.sizes.min_bytes && size <= r.sizes.max_bytes &&
         is_inside(r, address, size) && (r.sizes.unaligned || offset % size == 0);
}

bool is_access_size(unsigned size) {
  return size == 1 || size == 2 || size == 4 || size == 8;
}

}  // namespace

void AddressSpace::read(u64 address, std::span<u8> out) const {
  const Pin pin(*this);
  while (!out.empty()) {
    const FlatRange* r = pin->find(address);
    const u64 n = uniform_bytes(*pin, r, address, out.size());
    read_piece(r, address, out.first(n));
    out = out.subspan(n);
    address += n;
  }
}

void AddressSpace::write(u64 address, std::span<const u8> in) const {
  const Pin pin(*this);
  while (!in.empty()) {
    const FlatRange* r = pin->find(address);
    const u64 n = uniform_bytes(*pin, r, address, in.size());
    write_piece(r, address, in.first(n));
    in = in.subspan(n);
    address += n;
  }
}

u64 AddressSpace::load(u64 address, unsigned size) const {
  EMU_CHECK(is_access_size(size));
  {
    const Pin pin(*this);
    const FlatRange* r = pin->find(address);
    if (r != nullptr && r->ram != nullptr && is_inside(*r, address, size))
      return load_host(r->host(address), size);
  }
  std::array<u8, 8> bytes{};
  read(address, std::span(bytes).first(size));
  return load_le<u64>(bytes.data());
}

void AddressSpace::store(u64 address, unsigned size, u64 value) const {
  EMU_CHECK(is_access_size(size));
  {
    const Pin pin(*this);
    const FlatRange* r = pin->find(address);
    if (r != nullptr && r->writable && is_inside(*r, address, size)) {
      store_host(r->host(address), size, value);
      r->ram->mark_written(r->ram_offset + (address - r->start), size);
      return;
    }
  }
  std::array<u8, 8> bytes{};
  store_le(bytes.data(), value);
  write(address, std::span(bytes).first(size));
}

u64 AddressSpace::read_string(u64 address, unsigned size, std::span<u8> out) const {
  const Pin pin(*this);
  const FlatRange* r = pin->find(address);
  if (r == nullptr || !takes_whole(*r, address, size)) return 0;
  return r->handler->read_string(r->handler_offset + (address - r->start), size, out);
}

u64 AddressSpace::write_string(u64 address, unsigned size, std::span<const u8> in) const {
  const Pin pin(*this);
  const FlatRange* r = pin->find(address);
  if (r == nullptr || !takes_whole(*r, address, size)) return 0;
  return r->handler->write_string(r->handler_offset + (address - r->start), size, in);
}

bool AddressSpace::compare_exchange(u64 address, unsigned size, u64 expected, u64 desired) const {
  EMU_CHECK(is_access_size(size));
  {
    const Pin pin(*this);
    const FlatRange* r = pin->find(address);
    if (r != nullptr && r->writable && is_inside(*r, address, size)) {
      u8* p = r->host(address);
      if (reinterpret_cast<std::uintptr_t>(p) % size == 0) {
        const bool swapped = compare_exchange_host(p, size, expected, desired);
        if (swapped) r->ram->mark_written(r->ram_offset + (address - r->start), size);
        return swapped;
      }
    }
  }
  if (load(address, size) != (expected & byte_mask(size))) return false;
  store(address, size, desired);
  return true;
}

std::span<u8> AddressSpace::ram_span(u64 address, u64 length_bytes, bool for_writing) const {
  const Pin pin(*this);
  const FlatRange* r = pin->find(address);
  if (r == nullptr || r->ram == nullptr || !is_inside(*r, address, length_bytes)) return {};
  if (for_writing && !r->writable) return {};
  // SAFETY: inside the range, which lies inside its GuestRam.
  return {r->host(address), length_bytes};
}

}  // namespace emu
