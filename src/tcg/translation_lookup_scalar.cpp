// SPDX-License-Identifier: Apache-2.0
#include "tcg/translation_cache.h"

#include "base/bits.h"

namespace emu {

u64 TranslationCache::granules(u64 from, u64 to) noexcept {
  const u64 first = from >> kGranuleShift;
  const u64 last = (to - 1) >> kGranuleShift;
  return low_mask(static_cast<unsigned>(last - first + 1)) << first;
}

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

bool TranslationCache::touches_code(const u8* host_page, u64 from, u64 to) const noexcept {
  for (unsigned i = 0, n = ram_count_.load(std::memory_order_acquire); i < n; ++i) {
    const u64 offset = reinterpret_cast<u64>(host_page) - reinterpret_cast<u64>(rams_[i].host);
    if (offset / kPageBytes >= rams_[i].pages) continue;
    const u64 code = rams_[i].granules[offset / kPageBytes].load(std::memory_order_seq_cst);
    return (code & granules(from, to)) != 0;
  }
  return true;
}

unsigned TranslationCache::site_index(const u8* at) noexcept {
  return static_cast<unsigned>((reinterpret_cast<u64>(at) * 0x9e3779b97f4a7c15u) >> 56) %
         kPatchSites;
}

bool TranslationCache::is_live_immediate(const u8* at, u64 length) const noexcept {
  const PatchSite& site = sites_[site_index(at)];
  return site.at.load(std::memory_order_seq_cst) == at && site.length.load() == length &&
         site.live.load(std::memory_order_seq_cst);
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
