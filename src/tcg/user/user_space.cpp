// SPDX-License-Identifier: Apache-2.0
#include "tcg/user/user_space.h"

#include <algorithm>

#include "base/bits.h"
#include "tcg/user/user_scan.h"

namespace emu {
namespace {

constexpr std::size_t kMostFlushed = 64;  // regions; more are a flush
constexpr std::size_t kMostRevoked = 4096;
constexpr unsigned kCodeSpan = 16;  // code pages looked at for one fault

// How many pages around a fault are mapped with it: more, the more often a region is asked for.
unsigned span_of(u32 faults) {
  return faults < 2 ? 16 : faults < 5 ? 64 : kUserRegionPages;
}

u64 region_of(u64 linear) {
  return linear & ~(kUserRegionBytes - 1);
}

unsigned index_of(u64 linear) {
  return static_cast<unsigned>((linear / kPageBytes) % kUserRegionPages);
}

// Four lanes, so that the multiplications overlap.
u64 hash_of(const u8* page) {
  constexpr u64 kFactor = 0x9e3779b97f4a7c15u;
  u64 lanes[4] = {1, 2, 3, 4};
  for (u64 i = 0; i < kPageBytes; i += 32) {
    for (unsigned n = 0; n < 4; ++n)
      lanes[n] = (lanes[n] ^ load_le<u64>(page + i + 8 * n)) * kFactor;
  }
  return lanes[0] ^ (lanes[1] >> 7) ^ (lanes[2] >> 13) ^ (lanes[3] >> 21);
}

UserSpace::Entry make_entry(const UserPage& page, bool refused) {
  u32 packed = static_cast<u32>(page.ram_page + 1) << 3;
  if (page.writable) packed |= UserSpace::Entry::kWritable;
  if (page.executable) {
    packed |= refused ? UserSpace::Entry::kRefused : UserSpace::Entry::kExecutable;
  }
  return {packed};
}

}  // namespace

bool UserSpace::assign(u64 cr3) {
  cr3_ = cr3;
  stale_ = false;
  flushed_.clear();
  revoked_.clear();
  regions_.clear();
  changes_.clear();
  calls_ = 0;
  return process_->clear();
}

bool UserSpace::set_code_size(bool code32) {
  if (code32 == code32_) return true;
  code32_ = code32;
  return assign(cr3_);
}

void UserSpace::flush_page(u64 linear) {
  const u64 region = region_of(linear);
  if (stale_ || (!flushed_.empty() && flushed_.back() == region)) return;
  if (flushed_.size() == kMostFlushed) {
    stale_ = true;
    flushed_.clear();
    return;
  }
  flushed_.push_back(region);
}

void UserSpace::revoke(u64 page) {
  // Validation asks GuestRam again, so that a flush does it as well.
  if (revoked_.size() < kMostRevoked) {
    revoked_.push_back(page);
  } else {
    stale_ = true;
  }
}

// Changes `entry`, whose page is at `linear`; neighbours of equal kind become one mapping.
void UserSpace::set(u64 linear, Entry& entry, Entry value) {
  entry = value;
  if (value.writable()) maybe_writable_[value.ram_page()] = true;
  const UserProcess::Change now =
      value.mapped() ? UserProcess::map(linear, kPageBytes, value.ram_page() * kPageBytes,
                                        value.writable(), value.executable())
                     : UserProcess::unmap(linear, kPageBytes);
  if (!changes_.empty()) {
    UserProcess::Change& last = changes_.back();
    if (last.call == now.call && last.protection == now.protection &&
        last.address + last.length_bytes == linear &&
        (!value.mapped() || last.ram_offset + last.length_bytes == now.ram_offset)) {
      last.length_bytes += kPageBytes;
      return;
    }
  }
  changes_.push_back(now);
}

bool UserSpace::send(Counts& counts) {
  calls_ += changes_.size();
  counts.calls += changes_.size();
  constexpr u64 kCallNs = 3500, kPageNs = 300;
  for (const UserProcess::Change& c : changes_) {
    mapping_ns_ += kCallNs + c.length_bytes / kPageBytes * kPageNs;
  }
  const bool done = process_->apply(changes_);
  changes_.clear();
  return done;
}

void UserSpace::validate(u64 base, Region& region, UserTables& tables) {
  const bool any = tables.select(base);
  for (unsigned i = 0; i < kUserRegionPages; ++i) {
    Entry& e = region.pages[i];
    if (!e.mapped()) continue;
    const u64 linear = base + i * kPageBytes;
    const UserPage now = any ? tables.page(i) : UserPage{};
    const bool same = now.mapped && now.ram_page == e.ram_page() &&
                      now.executable == (e.executable() || e.refused());
    if (!same) {
      set(linear, e, now.mapped && !now.executable ? make_entry(now, false) : Entry{});
    } else if (e.writable() && !now.writable) {
      set(linear, e, {e.packed & ~Entry::kWritable});
    }
  }
}

bool UserSpace::catch_up(UserTables& tables, Counts& counts) {
  if (calls_ > kMostCalls) return assign(cr3_);
  if (!stale_ && flushed_.empty() && revoked_.empty()) return true;
  if (stale_) {
    ++counts.flushes;
    for (auto& [base, region] : regions_) validate(base, *region, tables);
  } else {
    std::sort(flushed_.begin(), flushed_.end());
    flushed_.erase(std::unique(flushed_.begin(), flushed_.end()), flushed_.end());
    for (const u64 base : flushed_) {
      ++counts.page_flushes;
      const auto found = regions_.find(base);
      if (found != regions_.end()) validate(base, *found->second, tables);
    }
  }
  if (!stale_ && !revoked_.empty()) {
    std::sort(revoked_.begin(), revoked_.end());
    for (auto& [base, region] : regions_) {
      for (unsigned i = 0; i < kUserRegionPages; ++i) {
        Entry& e = region->pages[i];
        if (!e.writable() || !std::binary_search(revoked_.begin(), revoked_.end(), e.ram_page())) {
          continue;
        }
        set(base + i * kPageBytes, e, {e.packed & ~Entry::kWritable});
      }
    }
  }
  stale_ = false;
  flushed_.clear();
  revoked_.clear();
  return changes_.empty() || send(counts) || assign(cr3_);
}

UserSpace::Entry UserSpace::entry(u64 linear) const {
  const auto found = regions_.find(region_of(linear));
  return found == regions_.end() ? Entry{} : found->second->pages[index_of(linear)];
}

// Whether the code of page `index` of the selected region must not run natively.
bool UserSpace::refuses(UserTables& tables, unsigned index, Counts& counts) {
  constexpr std::size_t kMostScans = 1 << 16;
  const u64 page = tables.page(index).ram_page;
  const u64 hash = hash_of(ram_.host() + page * kPageBytes) ^ (code32_ ? 1 : 0);
  if (scans_.size() > kMostScans) scans_.clear();
  const auto [at, added] = scans_.try_emplace(page);
  if (added || at->second.hash != hash) {
    ++counts.scans;
    at->second = {hash, scan(tables, index)};
    if (at->second.refused) ++counts.refusals;
  }
  return at->second.refused;
}

bool UserSpace::scan(UserTables& tables, unsigned index) {
  constexpr std::size_t kBehind = 16;
  std::vector<u8> code;
  code.reserve(kScanRunUpBytes + kPageBytes + kBehind);
  const auto append = [&](unsigned at, std::size_t from, std::size_t length) {
    if (at >= kUserRegionPages) return;
    const UserPage page = tables.page(at);
    if (!page.mapped) return;
    const u8* bytes = ram_.host() + page.ram_page * kPageBytes + from;
    code.insert(code.end(), bytes, bytes + length);
  };
  append(index - 1, kPageBytes - kScanRunUpBytes, kScanRunUpBytes);
  const std::size_t first = code.size();
  append(index, 0, kPageBytes);
  const std::size_t last = code.size();
  append(index + 1, 0, kBehind);
  return shows_host(code, first, last, {code32_, xgetbv_});
}

bool UserSpace::fill(u64 linear, UserTables& tables, Counts& counts) {
  const u64 base = region_of(linear);
  if (!tables.select(base)) return true;
  auto& region = regions_[base];
  if (region == nullptr) region = std::make_unique<Region>();
  const unsigned wanted = index_of(linear);
  const unsigned span = span_of(region->faults++);
  const unsigned first = wanted & ~(span - 1);
  for (unsigned i = first; i < first + span; ++i) {
    Entry& e = region->pages[i];
    if (e.mapped() && i != wanted) continue;
    const UserPage page = tables.page(i);
    if (!page.mapped) continue;
    if (page.executable &&
        (i < (wanted & ~(kCodeSpan - 1)) || i >= (wanted & ~(kCodeSpan - 1)) + kCodeSpan)) {
      continue;
    }
    const bool known = e.mapped() && e.ram_page() == page.ram_page && page.executable &&
                       (e.executable() || e.refused());
    const bool refused = page.executable && (known ? e.refused() : refuses(tables, i, counts));
    const Entry value = make_entry(page, refused);
    if (value.packed == e.packed) continue;
    ++counts.pages;
    set(base + i * kPageBytes, e, value);
  }
  return changes_.empty() || send(counts) || assign(cr3_);
}

}  // namespace emu
