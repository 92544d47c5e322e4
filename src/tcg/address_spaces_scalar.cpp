// SPDX-License-Identifier: Apache-2.0
// Leaving one address space for another, and coming back.
// Source: Intel SDM vol. 3 4.10.4.1 (MOV to CR3, INVPCID).
#include "tcg/address_spaces.h"

#include "tcg/tcg_cpu.h"

namespace emu {
namespace {

constexpr u64 kOffsetMask = kPageBytes - 1;
constexpr u64 kPcidMask = 0xfff;

}  // namespace

SavedSpace* AddressSpaces::find(u16 pcid) noexcept {
  for (unsigned i = 0; i < kSpaces; ++i) {
    if (spaces_[i].used && spaces_[i].pcid == pcid) return &spaces_[i];
  }
  return nullptr;
}

SavedSpace& AddressSpaces::room_for(u16 pcid) noexcept {
  SavedSpace* room = find(pcid);
  for (unsigned i = 0; room == nullptr && i < kSpaces; ++i) {
    if (!spaces_[i].used) room = &spaces_[i];
  }
  if (room == nullptr) {
    room = &spaces_[0];
    for (unsigned i = 1; i < kSpaces; ++i) {
      if (spaces_[i].last_use < room->last_use) room = &spaces_[i];
    }
  }
  room->used = true;
  room->pcid = pcid;
  room->last_use = ++uses_;
  return *room;
}

void AddressSpaces::forget(u16 pcid) noexcept {
  if (SavedSpace* space = find(pcid)) space->used = false;
}

void AddressSpaces::forget_all() noexcept {
  for (unsigned i = 0; i < kSpaces; ++i) spaces_[i].used = false;
}

// CR3 was loaded. `keeps_entries`: those that the new PCID had may be used (bit 63 was set).
void TcgCpu::switch_address_space(bool keeps_entries) noexcept {
  const CpuState& s = frame_->cpu;
  const bool pcids = (s.cr4 & kCr4Pcide) != 0 && engine_.options().tag_tlb;
  const auto pcid = static_cast<u16>(pcids ? s.cr3 & kPcidMask : 0);
  if (!pcids || pcid == other_spaces_.current()) {
    if (!pcids || !keeps_entries) flush_tlb(false);
    return;
  }
  save_address_space(other_spaces_.room_for(other_spaces_.current()));
  flush_tlb(false);
  other_spaces_.set_current(pcid);
  SavedSpace* space = other_spaces_.find(pcid);
  if (space == nullptr) return;
  if (keeps_entries) restore_address_space(*space);
  space->used = false;
}

// INVPCID of one context or one address in it.
void TcgCpu::flush_pcid(u16 pcid) noexcept {
  other_spaces_.forget(pcid);
  if ((frame_->cpu.cr4 & kCr4Pcide) == 0 || (frame_->cpu.cr3 & kPcidMask) == pcid) flush_tlb(false);
}

void TcgCpu::save_address_space(SavedSpace& to) noexcept {
  to.fill_count = to.fetch_count = to.jump_count = 0;
  to.invalidations = engine_.invalidation_count();
  const FillLog& fills = fill_log_[0];
  for (u32 i = fills.count; i-- > 0 && to.fill_count < SavedSpace::kMaxFills;) {
    const TlbInfo& e = tlb_info_[fills.at[i]];
    if (e.linear_page == 1 || e.global || e.large || e.host == nullptr) continue;
    to.fills[to.fill_count++] = {fills.at[i], e};
  }
  const ExecLog& fetches = exec_log_[0];
  for (u32 i = fetches.count; i-- > 0 && to.fetch_count < SavedSpace::kMaxFetches;) {
    const u16 at = fetches.at[i];
    const ExecInfo& x = exec_info_[at];
    if (x.linear_page == 1 || x.global || x.large) continue;
    to.fetches[to.fetch_count++] = {at, frame_->itlb_id[at], x};
  }
  const JumpLog& jumps = jump_log_[0];
  for (u32 i = jumps.count; i-- > 0 && to.jump_count < SavedSpace::kMaxJumps;) {
    const u32 at = jumps.at[i];
    const JumpCacheSlot& slot = frame_->jump_cache[at / kJumpCacheEntries];
    const u64 negated =
        __atomic_load_n(&slot.negated_rip[at % kJumpCacheEntries], __ATOMIC_RELAXED);
    if (negated == 0) continue;
    to.jumps[to.jump_count++] = {at, negated, slot.code[at % kJumpCacheEntries]};
  }
}

void TcgCpu::restore_address_space(const SavedSpace& from) noexcept {
  for (u32 i = from.fill_count; i-- > 0;) {
    const SavedSpace::Fill& fill = from.fills[i];
    drop_tlb_entry(fill.at);
    TlbInfo& e = tlb_info_[fill.at];
    const u8 logged = e.logged;
    e = fill.info;
    e.logged = logged;
    const unsigned set = fill.at / kTlbEntries;
    log_fill(set, fill.at % kTlbEntries);
    install(e, set, fill.at % kTlbEntries);
  }
  for (u32 i = from.fetch_count; i-- > 0;) {
    const SavedSpace::Fetch& fetch = from.fetches[i];
    exec_info_[fetch.at] = fetch.info;
    frame_->itlb_id[fetch.at] = fetch.id;
    exec_log_[0].at[exec_log_[0].count++] = fetch.at;
  }
  if (from.invalidations == engine_.invalidation_count()) restore_jumps(from);
}

// Whoever drops a block counts that before he looks for it in jump caches.
void TcgCpu::restore_jumps(const SavedSpace& from) noexcept {
  JumpLog& log = jump_log_[0];
  for (u32 i = from.jump_count; i-- > 0;) {
    const SavedSpace::Jump& jump = from.jumps[i];
    JumpCacheSlot& slot = frame_->jump_cache[jump.at / kJumpCacheEntries];
    const u64 page = (u64{0} - jump.negated_rip) >> 12;
    jump_pages_[page & 63] |= u64{1} << ((page >> 6) & 63);
    log.at[log.count++] = jump.at;
    __atomic_store_n(&slot.code[jump.at % kJumpCacheEntries], jump.code, __ATOMIC_RELAXED);
    __atomic_store_n(&slot.negated_rip[jump.at % kJumpCacheEntries], jump.negated_rip,
                     __ATOMIC_RELAXED);
  }
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  if (from.invalidations != engine_.invalidation_count()) flush_jump_cache(false);
}

}  // namespace emu
