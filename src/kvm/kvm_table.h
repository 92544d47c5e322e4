// SPDX-License-Identifier: Apache-2.0
// The kernel's structures that end in an array: a count, then the entries.
// Why not those of <linux/kvm.h>: in C++ its flexible arrays begin four bytes later than in C, and
// the sizes inside the request numbers are wrong.
// Source: Linux Documentation/virt/kvm/api.rst, 4.18, 4.19, 4.20, 4.46, 4.52.
#pragma once

#include <linux/kvm.h>

#include <algorithm>
#include <span>
#include <vector>

#include "base/types.h"

namespace emu {

// kvm_xsave without its extension: the standard image up to AVX-512 and PKRU.
struct KvmXsaveArea {
  u32 region[1024] = {};
};

struct KvmTableHeader {
  u32 count = 0;
  u32 padding = 0;
};

inline constexpr unsigned long kKvmGetSupportedCpuid = _IOWR(KVMIO, 0x05, KvmTableHeader),
                               kKvmGetMsrs = _IOWR(KVMIO, 0x88, KvmTableHeader),
                               kKvmSetMsrs = _IOW(KVMIO, 0x89, KvmTableHeader),
                               kKvmSetGsiRouting = _IOW(KVMIO, 0x6a, KvmTableHeader),
                               kKvmSetCpuid2 = _IOW(KVMIO, 0x90, KvmTableHeader),
                               kKvmGetXsave = _IOR(KVMIO, 0xa4, KvmXsaveArea),
                               kKvmSetXsave = _IOW(KVMIO, 0xa5, KvmXsaveArea);

// `Entry` is kvm_cpuid_entry2, kvm_msr_entry or kvm_irq_routing_entry: a multiple of 8 bytes long.
template <class Entry>
class KvmTable {
 public:
  static_assert(sizeof(Entry) % sizeof(u64) == 0);
  explicit KvmTable(std::size_t count)
      : memory_(1 + count * (sizeof(Entry) / sizeof(u64))), room_(count) {
    header().count = static_cast<u32>(count);
  }
  [[nodiscard]] KvmTableHeader& header() {
    return *reinterpret_cast<KvmTableHeader*>(memory_.data());
  }
  // As many as the header counts, which the kernel may have lowered.
  [[nodiscard]] std::span<Entry> entries() {
    return {reinterpret_cast<Entry*>(memory_.data() + 1),
            std::min<std::size_t>(header().count, room_)};
  }
  Entry& operator[](std::size_t i) { return entries()[i]; }

 private:
  std::vector<u64> memory_;
  std::size_t room_;
};

}  // namespace emu
