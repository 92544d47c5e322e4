// SPDX-License-Identifier: Apache-2.0
#include "tcg/translation_cache.h"

namespace emu {

std::size_t TranslationCache::hash(const BlockKey& key) {
  u64 h = reinterpret_cast<u64>(key.guest) * 0x9e3779b97f4a7c15u;
  h ^= key.rip + (u64{key.mode} << 32);
  h *= 0xd6e8feb86659fd93u;
  return h >> (64 - kHashBits);
}

TranslatedBlock* TranslationCache::find(const BlockKey& key) const noexcept {
  TranslatedBlock* b = buckets_[hash(key)].load(std::memory_order_acquire);
  while (b != nullptr && !(b->key == key)) b = b->hash_next.load(std::memory_order_acquire);
  return b;
}

const TranslatedBlock* TranslationCache::block_at(const u8* pc) const noexcept {
  u32 low = 0;
  u32 high = block_count_.load(std::memory_order_acquire);
  while (low < high) {
    const u32 middle = low + (high - low) / 2;
    if (order_[middle]->code <= pc) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (low == 0) return nullptr;
  const TranslatedBlock* b = order_[low - 1];
  return pc < b->code + b->code_bytes ? b : nullptr;
}

InstructionAt TranslationCache::instruction_at(const u8* pc) const noexcept {
  const TranslatedBlock* b = block_at(pc);
  if (b == nullptr || b->map.empty()) return {};
  const auto offset = static_cast<u32>(pc - b->code);
  const InstructionMapEntry* found = b->map.data();
  for (std::size_t i = 0, n = b->map.size(); i < n && b->map[i].host_offset <= offset; ++i) {
    found = &b->map[i];
  }
  return {b, b->key.rip + found->guest_offset, found->guest_length};
}

}  // namespace emu
