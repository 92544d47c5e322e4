// SPDX-License-Identifier: Apache-2.0
// Reads the guest's page tables as a TLB fill for ring 3 does, without any effect on them: only
// pages whose accessed bits are set are found, writable only with the dirty bit.
// Source: Intel SDM vol. 3 4.5, 4.6, 4.10.2.3 (what may be cached).
#pragma once

#include "base/types.h"
#include "memory/guest_ram.h"

namespace emu {

class TcgCpu;

inline constexpr u64 kUserRegionBytes = u64{2} << 20;
inline constexpr unsigned kUserRegionPages = 512;

// What ring 3 has in one page; ram_page counts from the start of guest RAM.
struct UserPage {
  bool mapped = false;
  bool writable = false;
  bool executable = false;
  u64 ram_page = 0;
};

class UserTables {
 public:
  UserTables(TcgCpu& cpu, const GuestRam& ram) : cpu_(cpu), ram_(ram) {}
  // Goes to the 2 MiB region with `linear`, in 4-level or PAE paging with CR3 as it is; false if
  // nothing in it can be mapped.
  bool select(u64 linear);
  // Page `index` of that region.
  [[nodiscard]] UserPage page(unsigned index);
  // Whether anything at all is mapped in it (by the page directory).
  [[nodiscard]] bool any() const { return present_; }

 private:
  [[nodiscard]] const u64* table_at(u64 physical);
  [[nodiscard]] bool ram_page_of(u64 physical, u64& page);

  TcgCpu& cpu_;
  const GuestRam& ram_;
  const u64* table_ = nullptr;  // null: one large page
  u64 large_entry_ = 0;
  u64 above_and_ = 0;  // of the entries above
  u64 above_or_ = 0;
  bool present_ = false;
};

}  // namespace emu
