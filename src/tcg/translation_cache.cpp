// SPDX-License-Identifier: Apache-2.0
#include "tcg/translation_cache.h"

#include <algorithm>

#include "base/bits.h"

namespace emu {
namespace {

constexpr u64 kRoomForOneBlock = 256 * kKiB;
// Dropped blocks keep their memory until clear(): one per so many bytes of code at most.
constexpr u64 kCodeBytesPerDroppedBlock = 512;

// vCPUs look at `to` without the lock.
void set_unlinked(ExitRecord& e) {
  __atomic_store_n(&e.to, static_cast<TranslatedBlock*>(nullptr), __ATOMIC_RELAXED);
  e.next_incoming = 0;
}

}  // namespace

TranslationCache::TranslationCache(CodeCache code, Mapping buckets, Mapping exits, Mapping order)
    : code_(std::move(code)),
      bucket_memory_(std::move(buckets)),
      exit_memory_(std::move(exits)),
      order_memory_(std::move(order)),
      buckets_(reinterpret_cast<std::atomic<TranslatedBlock*>*>(bucket_memory_.data())),
      exits_(reinterpret_cast<ExitRecord*>(exit_memory_.data())),
      order_(reinterpret_cast<TranslatedBlock**>(order_memory_.data())) {}

Result<std::unique_ptr<TranslationCache>> TranslationCache::create(u64 code_bytes) {
  Result<CodeCache> code = CodeCache::create(code_bytes);
  if (!code) return code.error();
  Result<Mapping> buckets = Mapping::anonymous(sizeof(void*) << kHashBits);
  if (!buckets) return buckets.error();
  Result<Mapping> exits = Mapping::anonymous(sizeof(ExitRecord) * u64{kMaxExits});
  if (!exits) return exits.error();
  Result<Mapping> order = Mapping::anonymous(sizeof(void*) * u64{kMaxBlocks});
  if (!order) return order.error();
  return std::unique_ptr<TranslationCache>(new TranslationCache(
      *std::move(code), *std::move(buckets), *std::move(exits), *std::move(order)));
}

bool TranslationCache::has_room() const {
  return code_.free_bytes() > kRoomForOneBlock && exit_count_ + 1024 < kMaxExits &&
         block_count_.load(std::memory_order_relaxed) + 1 < kMaxBlocks &&
         dropped_count_ < code_.size_bytes() / kCodeBytesPerDroppedBlock;
}

u64 TranslationCache::granules(u64 from, u64 to) {
  const u64 first = from >> kGranuleShift;
  const u64 last = (to - 1) >> kGranuleShift;
  return low_mask(static_cast<unsigned>(last - first + 1)) << first;
}

void TranslationCache::watch(TranslatedBlock& block, const PageUse& use, u64 from, u64 to) {
  if (use.ram == nullptr || from >= to) return;
  PageCode& page = pages_[use.host];
  page.ram = use.ram;
  page.page = use.page;
  page.granules |= granules(from, to);
  page.blocks.push_back(&block);
}

TranslatedBlock* TranslationCache::add(const BlockKey& key, u32 length_bytes, EmittedBlock& emitted,
                                       const PageUse& first, const PageUse& second, bool cached) {
  auto owned = std::make_unique<TranslatedBlock>();
  TranslatedBlock& block = *owned;
  block.key = key;
  block.length_bytes = length_bytes;
  block.code = code_.append(emitted.code.data(), emitted.code.size());
  block.code_bytes = static_cast<u32>(emitted.code.size());
  block.first_exit = exit_count_;
  block.exit_count = static_cast<u32>(emitted.exits.size());
  for (const DirectExit& e : emitted.exits) {
    exits_[exit_count_++] = {
        &block, nullptr, e.target_rip, block.code + e.patch_offset, block.code + e.cold_offset,
        0,      0};
  }
  block.map.assign(emitted.map.begin(), emitted.map.end());
  block.polls.assign(emitted.polls.begin(), emitted.polls.end());
  block.system_calls = std::move(emitted.system_calls);
  emitted.system_calls.clear();

  const u64 from = reinterpret_cast<u64>(key.guest) & (kPageBytes - 1);
  const u64 to = from + length_bytes;
  watch(block, first, from, std::min(to, kPageBytes));
  if (to > kPageBytes) {
    block.second_page = second.host;
    watch(block, second, 0, to - kPageBytes);
  }
  const u32 index = block_count_.load(std::memory_order_relaxed);
  order_[index] = &block;
  block_count_.store(index + 1, std::memory_order_release);
  blocks_.push_back(std::move(owned));
  if (cached) {
    auto& bucket = buckets_[hash(key)];
    block.hash_next.store(bucket.load(std::memory_order_relaxed), std::memory_order_relaxed);
    bucket.store(&block, std::memory_order_release);
  }
  if (!cached) ++dropped_count_;
  counters_.blocks.fetch_add(1, std::memory_order_relaxed);
  return &block;
}

void TranslationCache::link(u32 id, TranslatedBlock& target, const u8* entry) {
  ExitRecord& e = exits_[id];
  if (e.to != nullptr || !e.from->valid.load(std::memory_order_relaxed) ||
      !target.valid.load(std::memory_order_relaxed)) {
    return;
  }
  __atomic_store_n(&e.to, &target, __ATOMIC_RELAXED);
  e.next_incoming = target.incoming;
  target.incoming = id;
  code_.patch32(e.patch, static_cast<u32>(entry - (e.patch + 4)));
  counters_.links.fetch_add(1, std::memory_order_relaxed);
}

void TranslationCache::unlink_incoming(TranslatedBlock& block) {
  for (u32 id = block.incoming; id != 0;) {
    ExitRecord& e = exits_[id];
    const u32 next = e.next_incoming;
    code_.patch32(e.patch, static_cast<u32>(e.cold - (e.patch + 4)));
    set_unlinked(e);
    id = next;
  }
  block.incoming = 0;
}

void TranslationCache::unlink_outgoing(TranslatedBlock& block) {
  for (u32 id = block.first_exit; id < block.first_exit + block.exit_count; ++id) {
    ExitRecord& e = exits_[id];
    if (e.to == nullptr) continue;
    u32* at = &e.to->incoming;
    while (*at != 0 && *at != id) at = &exits_[*at].next_incoming;
    if (*at == id) *at = e.next_incoming;
    code_.patch32(e.patch, static_cast<u32>(e.cold - (e.patch + 4)));
    set_unlinked(e);
  }
}

void TranslationCache::drop(TranslatedBlock& block) {
  block.valid.store(false, std::memory_order_seq_cst);
  ++dropped_count_;
  unlink_incoming(block);
  unlink_outgoing(block);
  std::atomic<TranslatedBlock*>* at = &buckets_[hash(block.key)];
  for (TranslatedBlock* b = at->load(); b != nullptr; b = at->load()) {
    if (b == &block) {
      at->store(block.hash_next.load(), std::memory_order_release);
      break;
    }
    at = &b->hash_next;
  }
  counters_.invalidations.fetch_add(1, std::memory_order_relaxed);
}

void TranslationCache::invalidate(const GuestRam& ram, u64 ram_offset, u64 length_bytes,
                                  std::vector<TranslatedBlock*>& dropped) {
  const u64 end = ram_offset + length_bytes;
  for (u64 page = ram_offset / kPageBytes; page * kPageBytes < end; ++page) {
    const u8* host = ram.host() + page * kPageBytes;
    const auto found = pages_.find(host);
    if (found == pages_.end()) continue;
    const u64 from = std::max(ram_offset, page * kPageBytes) - page * kPageBytes;
    const u64 to = std::min(end, (page + 1) * kPageBytes) - page * kPageBytes;
    PageCode& code = found->second;
    if ((code.granules & granules(from, to)) == 0) continue;
    u64 left = 0;
    std::erase_if(code.blocks, [&](TranslatedBlock* b) {
      if (!b->valid.load(std::memory_order_relaxed)) return true;
      const bool is_second = b->second_page == host;
      const u64 start = is_second ? 0 : reinterpret_cast<u64>(b->key.guest) & (kPageBytes - 1);
      const u64 length = is_second ? (reinterpret_cast<u64>(b->key.guest) & (kPageBytes - 1)) +
                                         b->length_bytes - kPageBytes
                                   : b->length_bytes;
      const u64 stop = std::min(start + length, kPageBytes);
      if (start >= to || stop <= from) {
        left |= granules(start, stop);
        return false;
      }
      drop(*b);
      dropped.push_back(b);
      return true;
    });
    code.granules = left;
    if (code.blocks.empty()) {
      code.ram->set_code(code.page, false);
      pages_.erase(found);
    }
  }
}

void TranslationCache::clear() {
  for (auto& [host, code] : pages_) code.ram->set_code(code.page, false);
  pages_.clear();
  for (std::size_t i = 0; i < (std::size_t{1} << kHashBits); ++i) {
    buckets_[i].store(nullptr, std::memory_order_relaxed);
  }
  block_count_.store(0);
  exit_count_ = 1;
  dropped_count_ = 0;
  blocks_.clear();
  code_.truncate(kept_bytes_);
  counters_.clears.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace emu
