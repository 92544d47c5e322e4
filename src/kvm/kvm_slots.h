// SPDX-License-Identifier: Apache-2.0
// The guest's memory slots: RAM and ROM ranges of the address space as the kernel maps them, and
// the dirty log of RAM that somebody watches.
// Source: Linux Documentation/virt/kvm/api.rst, KVM_SET_USER_MEMORY_REGION, KVM_GET_DIRTY_LOG.
// Threads: any, under the slots' own lock; replace() only while no processor runs guest code.
// Not modelled: parts of a page. They have no slot, so each access to them is an exit.
#pragma once

#include <map>
#include <mutex>
#include <set>
#include <vector>

#include "kvm/kvm_vm.h"
#include "memory/address_space.h"

namespace emu {

class KvmSlots {
 public:
  explicit KvmSlots(const KvmVm& vm) : vm_(vm) {}

  // Takes out the slots of `removed` and puts in those of `added`. Errors: the kernel has no more
  // slots, or does not map the memory.
  [[nodiscard]] Result<void> replace(const std::vector<FlatRange>& removed,
                                     const std::vector<FlatRange>& added);
  // From now on the kernel notes writes to this block's pages. Whether that was new.
  [[nodiscard]] Result<bool> watch(const GuestRam& ram);
  // Marks as written in their blocks what the guest wrote since the last call.
  [[nodiscard]] Result<void> collect_written();
  [[nodiscard]] bool watches_any();

 private:
  struct Slot {
    u32 number = 0;
    u64 start = 0;
    u64 length_bytes = 0;
    GuestRam* ram = nullptr;
    u64 ram_offset = 0;
    bool writable = false;
  };
  [[nodiscard]] Result<void> set(const Slot& slot, bool present);
  [[nodiscard]] Result<void> collect(const Slot& slot);
  [[nodiscard]] u32 free_number() const;

  const KvmVm& vm_;
  std::mutex mutex_;
  std::map<u64, Slot> slots_;  // by the start of the range they came from
  std::set<const GuestRam*> watched_;
};

}  // namespace emu
