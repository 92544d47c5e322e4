// SPDX-License-Identifier: Apache-2.0
// What a vCPU remembers of address spaces that it left for another one with its own PCID: the TLB
// entries, execute-TLB entries and jump targets used last, so that coming back costs a copy.
// Source: Intel SDM vol. 3 4.10.1 (PCIDs), 4.10.4.1 (what must be forgotten).
// Threads: the vCPU's own.
// Not modelled: entries of large pages, and more than fits here, are forgotten; hardware may do so.
#pragma once

#include <memory>

#include "memory/guest_ram.h"

namespace emu {

// What the soft TLB knows about a page besides what generated code reads.
struct TlbInfo {
  u64 linear_page = 1;  // page address; 1: empty
  u64 phys_page = 0;
  u8* host = nullptr;  // RAM or ROM contents; null: MMIO or open bus
  GuestRam* ram = nullptr;
  u64 ram_page = 0;  // index in *ram
  bool readable = false;
  bool writable = false;      // the page tables allow it and the dirty bit is set
  bool ram_writable = false;  // writes reach the memory
  bool global = false;
  bool large = false;
  u8 logged = 0;  // bit 0: in the log of entries that a CR3 load drops, bit 1: of global ones
};

// The execute TLB's knowledge, parallel to VcpuFrame::itlb_id.
struct ExecInfo {
  u64 linear_page = 1;  // page address, with bit 0 set for user-mode fetches | 2: valid
  u8* host = nullptr;
  GuestRam* ram = nullptr;
  u64 ram_page = 0;
  bool global = false;
  bool large = false;
};

// One address space that is not in CR3. No entry of a global page is in it.
struct SavedSpace {
  static constexpr u32 kMaxFills = 64, kMaxFetches = 48, kMaxJumps = 160;
  struct Fill {
    u32 at;  // set * kTlbEntries + index
    TlbInfo info;
  };
  struct Fetch {
    u16 at;
    u32 id;  // VcpuFrame::itlb_id
    ExecInfo info;
  };
  struct Jump {
    u32 at;  // slot * kJumpCacheEntries + index
    u64 negated_rip;
    const u8* code;
  };

  bool used = false;
  u16 pcid = 0;
  u64 last_use = 0;
  u64 invalidations = 0;  // the engine's count when `jumps` were current
  u32 fill_count = 0, fetch_count = 0, jump_count = 0;
  Fill fills[kMaxFills];
  Fetch fetches[kMaxFetches];
  Jump jumps[kMaxJumps];
};

// The saved ones. Linux uses six PCIDs at a time.
class AddressSpaces {
 public:
  // Whose entries the TLB holds now.
  [[nodiscard]] u16 current() const noexcept { return current_; }
  void set_current(u16 pcid) noexcept { current_ = pcid; }
  // The one with this PCID; null if there is none.
  [[nodiscard]] SavedSpace* find(u16 pcid) noexcept;
  // Room for this PCID: its own, a free one, or that left longest ago.
  [[nodiscard]] SavedSpace& room_for(u16 pcid) noexcept;
  void forget(u16 pcid) noexcept;
  void forget_all() noexcept;

 private:
  static constexpr unsigned kSpaces = 8;
  std::unique_ptr<SavedSpace[]> spaces_ = std::make_unique<SavedSpace[]>(kSpaces);
  u16 current_ = 0;
  u64 uses_ = 0;
};

}  // namespace emu
