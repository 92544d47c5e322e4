// SPDX-License-Identifier: Apache-2.0
// Byte-addressed register storage described by a table, as data sheets list registers.
#pragma once

#include <algorithm>
#include <array>
#include <span>
#include <string_view>

#include "base/bits.h"
#include "base/check.h"
#include "base/state_io.h"
#include "base/types.h"

namespace emu {

// One register. Bits in none of the masks keep their reset value.
struct RegisterSpec {
  u16 offset = 0;
  u8 size_bytes = 1;  // 1, 2 or 4
  std::string_view name;
  u32 reset = 0;
  u32 writable = 0;
  u32 write1_clears = 0;
  u8 hook = 0;   // 1..31: reported by write() when a byte of the register is written; 0: no hook
  u32 live = 0;  // read-only bits that the device itself changes
};

// The set of hooks a write touched.
class HookSet {
 public:
  constexpr HookSet() = default;
  constexpr void add(unsigned hook) { bits_ |= hook == 0 ? 0u : 1u << (hook & 31); }
  [[nodiscard]] constexpr bool has(unsigned hook) const {
    return ((bits_ >> (hook & 31)) & 1) != 0;
  }

 private:
  u32 bits_ = 0;
};

// `kBytes` bytes of registers; bytes that no table row covers are read-only zeros.
template <std::size_t kBytes>
class RegisterFile {
 public:
  // Adds a register and gives it its reset value. A later row replaces an earlier one.
  void define(const RegisterSpec& spec) {
    EMU_CHECK(spec.size_bytes <= 4 && range_fits(spec.offset, spec.size_bytes, kBytes));
    for (unsigned i = 0; i < spec.size_bytes; ++i) {
      Rule& rule = rules_[spec.offset + i];
      rule.reset = static_cast<u8>(spec.reset >> (8 * i));
      rule.writable = static_cast<u8>(spec.writable >> (8 * i));
      rule.write1_clears = static_cast<u8>(spec.write1_clears >> (8 * i));
      rule.live = static_cast<u8>(spec.live >> (8 * i));
      rule.hook = spec.hook;
      values_[spec.offset + i] = rule.reset;
    }
  }
  void define(std::span<const RegisterSpec> table) {
    for (const RegisterSpec& spec : table) define(spec);
  }

  void reset() {
    for (std::size_t i = 0; i < kBytes; ++i) values_[i] = rules_[i].reset;
  }

  // A guest's read of 1..4 bytes; what lies beyond the file reads as zero.
  [[nodiscard]] u32 read(u32 offset, unsigned size) const {
    u32 value = 0;
    for (unsigned i = 0; i < size && offset + i < kBytes; ++i) {
      value |= u32{values_[offset + i]} << (8 * i);
    }
    return value;
  }

  // A guest's write of 1..4 bytes, under the masks. Returns the hooks of the registers touched.
  HookSet write(u32 offset, unsigned size, u32 value) {
    HookSet hooks;
    for (unsigned i = 0; i < size && offset + i < kBytes; ++i) {
      const Rule& rule = rules_[offset + i];
      const u8 in = static_cast<u8>(value >> (8 * i));
      u8& now = values_[offset + i];
      now = static_cast<u8>((now & ~rule.writable) | (in & rule.writable));
      now = static_cast<u8>(now & ~(in & rule.write1_clears));
      hooks.add(rule.hook);
    }
    return hooks;
  }

  // The device's own access, past the masks. Only bits in a mask survive a load.
  template <std::unsigned_integral T>
  [[nodiscard]] T get(std::size_t offset) const {
    EMU_CHECK(range_fits(offset, sizeof(T), kBytes));
    return load_le<T>(values_.data() + offset);
  }
  template <std::unsigned_integral T>
  void set(std::size_t offset, T value) {
    EMU_CHECK(range_fits(offset, sizeof(T), kBytes));
    store_le(values_.data() + offset, value);
  }

  // Saves or loads all values as field `tag`; read-only bits are not taken from a stream.
  void transfer(StateIo& io, u16 tag) {
    io.field(tag, "registers", values_);
    if (!io.loading()) return;
    for (std::size_t i = 0; i < kBytes; ++i) {
      const u8 variable = rules_[i].writable | rules_[i].write1_clears | rules_[i].live;
      values_[i] = static_cast<u8>((values_[i] & variable) | (rules_[i].reset & ~variable));
    }
  }

 private:
  struct Rule {
    u8 reset = 0, writable = 0, write1_clears = 0, live = 0, hook = 0;
  };
  std::array<Rule, kBytes> rules_{};
  std::array<u8, kBytes> values_{};
};

}  // namespace emu
