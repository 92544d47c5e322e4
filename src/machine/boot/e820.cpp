// SPDX-License-Identifier: Apache-2.0
#include "machine/boot/e820.h"

#include "base/bits.h"

namespace emu {

std::vector<E820Entry> direct_boot_memory_map(const MemoryLayout& memory) {
  std::vector<E820Entry> map{
      {0, kEbdaBase, E820Entry::kRam},
      {kEbdaBase, kVgaHoleBase - kEbdaBase, E820Entry::kReserved},
      {kBiosShadowBase, kBiosShadowBytes, E820Entry::kReserved},
  };
  if (memory.low_bytes > kMiB) map.push_back({kMiB, memory.low_bytes - kMiB, E820Entry::kRam});
  map.push_back({0xfffc0000, 0x40000, E820Entry::kReserved});
  if (memory.high_bytes != 0) map.push_back({kHighMemoryBase, memory.high_bytes, E820Entry::kRam});
  return map;
}

std::vector<u8> pack_e820(const std::vector<E820Entry>& entries) {
  std::vector<u8> out(entries.size() * 20);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    store_le<u64>(out.data() + i * 20, entries[i].base);
    store_le<u64>(out.data() + i * 20 + 8, entries[i].length_bytes);
    store_le<u32>(out.data() + i * 20 + 16, entries[i].type);
  }
  return out;
}

}  // namespace emu
