// SPDX-License-Identifier: Apache-2.0
#include "tcg/translation_cache.h"

#include <algorithm>

#include "base/bits.h"

namespace emu {
namespace {

constexpr u64 kRoomForOneBlock = 256 * kKiB;
constexpr std::chrono::seconds kSoon{60};
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
      limit_bytes_(std::max(code_.size_bytes() / 4, std::min(code_.size_bytes(), 2 * kMiB))),
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
  return code_.used_bytes() + kRoomForOneBlock < limit_bytes_ && exit_count_ + 1024 < kMaxExits &&
         block_count_.load(std::memory_order_relaxed) + 1 < kMaxBlocks &&
         dropped_count_ < limit_bytes_ / kCodeBytesPerDroppedBlock;
}

void TranslationCache::add_ram(const GuestRam& ram) {
  const std::lock_guard lock(mutex_);
  const unsigned count = ram_count_.load();
  if (count == kMaxRams) return;
  RamCode& r = rams_[count];
  r.host = ram.host();
  r.pages = ram.size_bytes() / kPageBytes;
  Result<Mapping> memory = Mapping::anonymous(r.pages * sizeof(u64));
  if (!memory) return;
  r.memory = *std::move(memory);
  r.granules = reinterpret_cast<std::atomic<u64>*>(r.memory.data());
  ram_count_.store(count + 1, std::memory_order_release);
}

TranslationCache::PageCode& TranslationCache::page_code(const PageUse& use) {
  const auto [at, added] = pages_.try_emplace(use.host);
  PageCode& page = at->second;
  if (!added) return page;
  page.ram = use.ram;
  page.page = use.page;
  for (unsigned i = 0; i < ram_count_.load(); ++i) {
    if (rams_[i].host == use.ram->host()) page.shared = rams_[i].granules + use.page;
  }
  return page;
}

void TranslationCache::set_granules(PageCode& page, u64 granules) {
  page.granules = granules;
  if (page.shared != nullptr) page.shared->store(granules, std::memory_order_seq_cst);
}

void TranslationCache::announce(const PageUse& use, u64 from, u64 to) {
  if (use.ram == nullptr || from >= to) return;
  PageCode& page = page_code(use);
  set_granules(page, page.granules | granules(from, to));
}

void TranslationCache::watch(TranslatedBlock& block, const PageUse& use, u64 from, u64 to) {
  if (use.ram == nullptr || from >= to) return;
  announce(use, from, to);
  page_code(use).blocks.push_back(&block);
}

void TranslationCache::publish(TranslatedBlock& block) {
  auto& bucket = buckets_[hash(block.key)];
  block.hash_next.store(bucket.load(std::memory_order_relaxed), std::memory_order_relaxed);
  bucket.store(&block, std::memory_order_release);
}

TranslatedBlock* TranslationCache::add(const BlockKey& key, std::span<const u8> bytes,
                                       EmittedBlock& emitted, const PageUse& first,
                                       const PageUse& second, bool cached) {
  TranslatedBlock& block = arena_.make<TranslatedBlock>();
  block.key = key;
  block.length_bytes = static_cast<u32>(bytes.size());
  block.bytes = arena_.copy(bytes);
  block.code = code_.append(emitted.code.data(), emitted.code.size());
  block.code_bytes = static_cast<u32>(emitted.code.size());
  block.first_exit = exit_count_;
  block.exit_count = static_cast<u32>(emitted.exits.size());
  for (const DirectExit& e : emitted.exits) {
    exits_[exit_count_++] = {
        &block, nullptr,    e.target_rip, block.code + e.patch_offset, block.code + e.cold_offset,
        0,      e.unshared, e.mode_change};
  }
  block.map = arena_.copy(std::span<const InstructionMapEntry>(emitted.map));
  block.polls = arena_.copy(std::span<const PollSite>(emitted.polls));
  for (auto& call : emitted.system_calls) system_calls_.push_back(std::move(call));
  emitted.system_calls.clear();

  const u64 from = reinterpret_cast<u64>(key.guest) & (kPageBytes - 1);
  const u64 to = from + bytes.size();
  watch(block, first, from, std::min(to, kPageBytes));
  if (to > kPageBytes) {
    block.second_page = second.host;
    watch(block, second, 0, to - kPageBytes);
  }
  enter(block);
  if (!cached) ++dropped_count_;
  if (!cached) return &block;
  publish(block);
  if (emitted.movable && block.second_page == nullptr) {
    block.movable = true;
    block.relocations = arena_.copy(std::span<const Relocation>(emitted.relocations));
    movable_[movable_index(key)] = &block;
  }
  return &block;
}

void TranslationCache::enter(TranslatedBlock& block) {
  const u32 index = block_count_.load(std::memory_order_relaxed);
  order_[index] = &block;
  block_count_.store(index + 1, std::memory_order_release);
  counters_.blocks.fetch_add(1, std::memory_order_relaxed);
}

std::size_t TranslationCache::movable_index(const BlockKey& key) {
  const u64 h = (reinterpret_cast<u64>(key.guest) + key.mode) * 0x9e3779b97f4a7c15u;
  return h >> (64 - kMovableBits);
}

const TranslatedBlock* TranslationCache::movable(const BlockKey& key) const {
  const TranslatedBlock* b = movable_[movable_index(key)];
  const bool fits = b != nullptr && b->key.guest == key.guest && b->key.mode == key.mode &&
                    b->valid.load(std::memory_order_relaxed) &&
                    (b->key.rip - key.rip) % kPageBytes == 0;
  return fits ? b : nullptr;
}

// moved_code_ = the code of `from` for code_.next(), with unlinked exits.
void TranslationCache::relocate(const TranslatedBlock& from, u64 rip_delta) {
  moved_code_.assign(from.code, from.code + from.code_bytes);
  for (u32 id = from.first_exit; id < from.first_exit + from.exit_count; ++id) {
    const ExitRecord& e = exits_[id];
    store_le(moved_code_.data() + (e.patch - from.code), static_cast<u32>(e.cold - (e.patch + 4)));
  }
  const auto host_delta = static_cast<u32>(code_.next() - from.code);
  for (const Relocation& r : from.relocations) {
    u8* field = moved_code_.data() + r.offset;
    switch (static_cast<Relocation::Kind>(r.kind)) {
      case Relocation::Kind::kStub:
        store_le(field, load_le<u32>(field) - host_delta);
        break;
      case Relocation::Kind::kRip:
        store_le(field, load_le<u64>(field) + rip_delta);
        break;
      case Relocation::Kind::kNegatedRip:
        store_le(field, load_le<u64>(field) - rip_delta);
        break;
      case Relocation::Kind::kExitId:
        store_le(field, load_le<u32>(field) - from.first_exit + exit_count_);
        break;
      case Relocation::Kind::kSystemCall: {
        auto call =
            std::make_unique<SystemCall>(*reinterpret_cast<SystemCall*>(load_le<u64>(field)));
        call->rip += rip_delta;
        store_le(field, reinterpret_cast<u64>(call.get()));
        system_calls_.push_back(std::move(call));
        break;
      }
    }
  }
}

TranslatedBlock* TranslationCache::move(const TranslatedBlock& from, const BlockKey& key,
                                        const PageUse& page) {
  const u64 rip_delta = key.rip - from.key.rip;
  relocate(from, rip_delta);
  TranslatedBlock& block = arena_.make<TranslatedBlock>();
  block.key = key;
  block.length_bytes = from.length_bytes;
  block.code = code_.append(moved_code_.data(), moved_code_.size());
  block.code_bytes = from.code_bytes;
  block.first_exit = exit_count_;
  block.exit_count = from.exit_count;
  for (u32 id = from.first_exit; id < from.first_exit + from.exit_count; ++id) {
    const ExitRecord& e = exits_[id];
    exits_[exit_count_++] = {&block,
                             nullptr,
                             e.target_rip + rip_delta,
                             block.code + (e.patch - from.code),
                             block.code + (e.cold - from.code),
                             0,
                             e.unshared,
                             e.mode_change};
  }
  // What does not depend on the address lives as long as both.
  block.map = from.map;
  block.polls = from.polls;
  block.bytes = from.bytes;
  block.relocations = from.relocations;
  block.check = from.check;
  block.movable = true;
  page_code(page).blocks.push_back(&block);
  enter(block);
  publish(block);
  movable_[movable_index(key)] = &block;
  counters_.moves.fetch_add(1, std::memory_order_relaxed);
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

// Nothing leads to the block any more, and it leads nowhere.
void TranslationCache::withdraw(TranslatedBlock& block) {
  block.valid.store(false, std::memory_order_seq_cst);
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
}

void TranslationCache::drop(TranslatedBlock& block) {
  withdraw(block);
  ++dropped_count_;
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
    const std::size_t dropped_before = dropped.size();
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
    if (dropped.size() != dropped_before) note_patch(host + from, to - from);
    set_granules(code, left);
    if (code.blocks.empty()) {
      code.ram->set_code(code.page, false);
      if (code.parked.empty()) pages_.erase(found);
    }
  }
}

void TranslationCache::note_patch(const u8* at, u64 length) {
  PatchSite& site = sites_[site_index(at)];
  if (site.at.load() == at && site.length.load() == length) {
    ++site.hits;
    return;
  }
  if (site.live.load()) return;
  site.at.store(at);
  site.length.store(static_cast<u32>(length));
  site.hits = 1;
}

bool TranslationCache::is_patched_often(const u8* at, u64 length) const {
  const PatchSite& site = sites_[site_index(at)];
  return site.at.load() == at && site.length.load() == length && site.hits >= kPatchesToBeLive;
}

void TranslationCache::settle_sites(const u8* from, u64 length_bytes,
                                    std::span<const u8* const> live) {
  if (live_sites_ == 0) return;
  for (PatchSite& site : sites_) {
    const u8* at = site.at.load();
    if (!site.live.load() || at + site.length.load() <= from || at >= from + length_bytes) continue;
    if (std::find(live.begin(), live.end(), at) != live.end()) continue;
    site.live.store(false);
    site.hits = 0;
    --live_sites_;
  }
}

bool TranslationCache::all_live(const PatchSite& site) const {
  const u8* at = site.at.load();
  const u64 in_page = reinterpret_cast<u64>(at) & (kPageBytes - 1);
  const auto page = pages_.find(at - in_page);
  if (page == pages_.end()) return false;
  const std::vector<TranslatedBlock*>& blocks = page->second.blocks;
  return std::all_of(blocks.begin(), blocks.end(), [&](const TranslatedBlock* b) {
    if (!b->valid.load() || b->second_page == page->first) return !b->valid.load();
    const bool apart =
        at + site.length.load() <= b->key.guest || at >= b->key.guest + b->length_bytes;
    const auto& own = b->live_immediates;
    return apart || std::find(own.begin(), own.end(), at) != own.end();
  });
}

void TranslationCache::set_live_immediates(TranslatedBlock& block,
                                           std::span<const u8* const> immediates) {
  block.live_immediates = arena_.copy(immediates);
  for (const u8* at : immediates) {
    PatchSite& site = sites_[site_index(at)];
    if (site.at.load() != at || site.live.load() || !all_live(site)) continue;
    site.live.store(true);
    ++live_sites_;
  }
}

void TranslationCache::park(const u8* host_page, std::vector<TranslatedBlock*>& dropped) {
  const auto found = pages_.find(host_page);
  if (found == pages_.end()) return;
  PageCode& code = found->second;
  counters_.parked.fetch_add(1, std::memory_order_relaxed);
  for (TranslatedBlock* b : code.blocks) {
    if (!b->valid.load(std::memory_order_relaxed)) continue;
    dropped.push_back(b);
    withdraw(*b);
    if (b->second_page != nullptr) {
      ++dropped_count_;
    } else {
      code.parked.push_back(b);
    }
  }
  code.blocks.clear();
  set_granules(code, 0);
  code.ram->set_code(code.page, false);
}

// The guest bytes of a block within one page are those it was made from.
bool TranslationCache::is_unchanged(const TranslatedBlock& block) {
  return std::equal(block.bytes.begin(), block.bytes.end(), block.key.guest);
}

bool TranslationCache::unpark(const u8* host_page) {
  const auto found = pages_.find(host_page);
  if (found == pages_.end() || found->second.parked.empty()) return false;
  PageCode& code = found->second;
  if (!code.ram->has_code(code.page)) return false;  // not watched (any more)
  const PageUse use{code.ram, code.page, host_page};
  std::vector<TranslatedBlock*> parked;
  parked.swap(code.parked);
  bool any = false;
  for (TranslatedBlock* b : parked) {
    const u64 from = reinterpret_cast<u64>(b->key.guest) & (kPageBytes - 1);
    if (find(b->key) != nullptr) {
      ++dropped_count_;
      continue;
    }
    const u64 before = code.granules;
    announce(use, from, from + b->length_bytes);
    settle_sites(b->key.guest, b->length_bytes, b->live_immediates);
    if (!is_unchanged(*b)) {
      set_granules(code, before);
      ++dropped_count_;
      continue;
    }
    code.blocks.push_back(b);
    b->valid.store(true, std::memory_order_seq_cst);
    publish(*b);
    counters_.unparked.fetch_add(1, std::memory_order_relaxed);
    any = true;
  }
  return any;
}

void TranslationCache::clear() {
  const auto now = std::chrono::steady_clock::now();
  if (now - cleared_at_ < kSoon) limit_bytes_ = std::min(2 * limit_bytes_, code_.size_bytes());
  cleared_at_ = now;
  for (auto& [host, code] : pages_) {
    code.ram->set_code(code.page, false);
    set_granules(code, 0);
  }
  pages_.clear();
  for (std::size_t i = 0; i < (std::size_t{1} << kHashBits); ++i) {
    buckets_[i].store(nullptr, std::memory_order_relaxed);
  }
  block_count_.store(0);
  std::fill_n(movable_.get(), std::size_t{1} << kMovableBits, nullptr);
  exit_count_ = 1;
  dropped_count_ = 0;
  arena_.clear();
  system_calls_.clear();
  for (PatchSite& site : sites_) {
    site.live.store(false);
    site.at.store(nullptr);
    site.hits = 0;
  }
  live_sites_ = 0;
  code_.truncate(kept_bytes_);
  counters_.clears.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace emu
