// SPDX-License-Identifier: Apache-2.0
#include "tcg/user/user_tables.h"

#include "base/bits.h"
#include "tcg/tcg_cpu.h"

namespace emu {
namespace {

constexpr u64 kPresent = 1u << 0, kWritable = 1u << 1, kUser = 1u << 2, kAccessed = 1u << 5,
              kDirty = 1u << 6, kLarge = 1u << 7;
constexpr u64 kUsable = kPresent | kUser | kAccessed;
constexpr u64 kNoExecute = u64{1} << 63;
constexpr u64 kFrame = 0x000f'ffff'ffff'f000;
constexpr u64 kLargeReserved = 0x1f'e000;  // bits 20 to 13

u64 entry_at(const u64* table, u64 index) {
  return __atomic_load_n(table + index, __ATOMIC_RELAXED);
}

}  // namespace

const u64* UserTables::table_at(u64 physical) {
  const FlatRange* r = cpu_.find_range(physical);
  if (r == nullptr || r->ram == nullptr || !r->contains(physical + kPageBytes - 1)) return nullptr;
  return reinterpret_cast<const u64*>(r->host(physical));
}

bool UserTables::ram_page_of(u64 physical, u64& page) {
  const FlatRange* r = cpu_.find_range(physical);
  if (r == nullptr || r->ram != &ram_ || !r->writable || !r->contains(physical + kPageBytes - 1)) {
    return false;
  }
  page = (r->ram_offset + (physical - r->start)) / kPageBytes;
  return true;
}

bool UserTables::select(u64 linear) {
  present_ = false;
  table_ = nullptr;
  above_and_ = kUsable | kWritable;
  above_or_ = 0;
  const CpuState& s = cpu_.cpu();
  u64 at = s.cr3 & kFrame;
  unsigned shift = 39;
  if (!s.long_mode()) {  // PAE
    if (linear >> 32 != 0) return false;
    const u64 entry = s.pdpte[bits(linear, 30, 2)];
    if ((entry & kPresent) == 0) return false;
    at = entry & kFrame;
    shift = 21;
  }
  for (; shift >= 21; shift -= 9) {
    const u64* table = table_at(at);
    if (table == nullptr) return false;
    const u64 entry = entry_at(table, bits(linear, shift, 9));
    if ((entry & kPresent) == 0) return false;
    above_and_ &= entry;
    above_or_ |= entry;
    if ((entry & kLarge) != 0) {
      present_ = true;
      large_entry_ = entry;
      return shift == 21 && (entry & kLargeReserved) == 0 && (above_and_ & kUsable) == kUsable;
    }
    at = entry & kFrame;
  }
  present_ = true;
  table_ = table_at(at);
  return table_ != nullptr && (above_and_ & kUsable) == kUsable;
}

UserPage UserTables::page(unsigned index) {
  const u64 leaf = table_ != nullptr ? entry_at(table_, index) : large_entry_;
  UserPage page;
  if ((leaf & kUsable) != kUsable) return page;
  u64 physical = leaf & kFrame;
  if (table_ == nullptr) {
    physical = (leaf & kFrame & ~(kUserRegionBytes - 1)) + index * kPageBytes;
  }
  if (!ram_page_of(physical, page.ram_page)) return page;
  page.mapped = true;
  page.writable = (above_and_ & leaf & kWritable) != 0 && (leaf & kDirty) != 0 &&
                  ram_.fast_writable(page.ram_page);
  page.executable = ((above_or_ | leaf) & kNoExecute) == 0;
  return page;
}

}  // namespace emu
