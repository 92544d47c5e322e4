// SPDX-License-Identifier: Apache-2.0
#include <linux/kvm.h>

#include <algorithm>
#include <bit>

#include "base/bits.h"
#include "kvm/kvm_slots.h"

namespace emu {

Result<void> KvmSlots::replace(const std::vector<FlatRange>& removed,
                               const std::vector<FlatRange>& added) {
  const std::lock_guard guard(mutex_);
  for (const FlatRange& range : removed) {
    const auto found = slots_.find(range.start);
    if (found == slots_.end()) continue;
    EMU_TRY(collect(found->second));
    EMU_TRY(set(found->second, false));
    slots_.erase(found);
  }
  for (const FlatRange& range : added) {
    if (range.ram == nullptr) continue;
    const u64 skipped = align_up(range.start, kPageBytes) - range.start;
    if (skipped >= range.length_bytes) continue;
    Slot slot;
    slot.number = free_number();
    slot.start = range.start + skipped;
    slot.length_bytes = align_down(range.length_bytes - skipped, kPageBytes);
    slot.ram = range.ram;
    slot.ram_offset = range.ram_offset + skipped;
    slot.writable = range.writable;
    if (slot.length_bytes == 0 || slot.ram_offset % kPageBytes != 0) continue;
    EMU_TRY(set(slot, true));
    slots_[range.start] = slot;
  }
  return {};
}

Result<void> KvmSlots::set(const Slot& slot, bool present) {
  kvm_userspace_memory_region region{};
  region.slot = slot.number;
  region.guest_phys_addr = slot.start;
  region.memory_size = present ? slot.length_bytes : 0;
  // SAFETY: the address space promises [ram_offset, ram_offset + length) to lie in the block, and
  // the block outlives its place there; the slot goes when the range does.
  region.userspace_addr = reinterpret_cast<u64>(slot.ram->host() + slot.ram_offset);
  if (!slot.writable) region.flags |= KVM_MEM_READONLY;
  if (watched_.contains(slot.ram)) region.flags |= KVM_MEM_LOG_DIRTY_PAGES;
  const long r = vm_.call_with(KVM_SET_USER_MEMORY_REGION, region);
  if (r >= 0) return {};
  return kvm_error(r, fmt::format("{} {} KiB of guest memory at {:#x}", present ? "map" : "unmap",
                                  slot.length_bytes / kKiB, slot.start));
}

u32 KvmSlots::free_number() const {
  std::vector<bool> used(slots_.size() + 1);
  for (const auto& [start, slot] : slots_) {
    if (slot.number < used.size()) used[slot.number] = true;
  }
  return static_cast<u32>(std::find(used.begin(), used.end(), false) - used.begin());
}

Result<bool> KvmSlots::watch(const GuestRam& ram) {
  const std::lock_guard guard(mutex_);
  if (!watched_.insert(&ram).second) return false;
  for (const auto& [start, slot] : slots_) {
    if (slot.ram == &ram) EMU_TRY(set(slot, true));
  }
  return true;
}

bool KvmSlots::watches_any() {
  const std::lock_guard guard(mutex_);
  return !watched_.empty();
}

Result<void> KvmSlots::collect_written() {
  const std::lock_guard guard(mutex_);
  for (const auto& [start, slot] : slots_) EMU_TRY(collect(slot));
  return {};
}

Result<void> KvmSlots::collect(const Slot& slot) {
  if (!slot.writable || !watched_.contains(slot.ram)) return {};
  const u64 pages = slot.length_bytes / kPageBytes;
  std::vector<u64> bitmap((pages + 63) / 64);
  kvm_dirty_log log{};
  log.slot = slot.number;
  log.dirty_bitmap = bitmap.data();
  const long r = vm_.call_with(KVM_GET_DIRTY_LOG, log);
  if (r < 0) return kvm_error(r, fmt::format("tell what was written at {:#x}", slot.start));
  for (std::size_t word = 0; word < bitmap.size(); ++word) {
    for (u64 rest = bitmap[word]; rest != 0; rest &= rest - 1) {
      const u64 page = word * 64 + static_cast<u64>(std::countr_zero(rest));
      if (page < pages) slot.ram->mark_written(slot.ram_offset + page * kPageBytes, kPageBytes);
    }
  }
  return {};
}

}  // namespace emu
