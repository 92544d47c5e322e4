// SPDX-License-Identifier: Apache-2.0
// The flattening walk. See flattener.h.
// Threads: the machine lock is held by every caller.
#include "memory/flattener.h"

#include <algorithm>

#include "base/check.h"

namespace emu {
namespace {

// Whether `b` goes on where `a` ends, with the same meaning.
bool continues(const FlatRange& a, const FlatRange& b) {
  const u64 n = a.length_bytes;
  const bool same_ram = a.ram == b.ram && (a.ram == nullptr || a.ram_offset + n == b.ram_offset);
  const bool same_handler = a.handler == b.handler && a.handler_size == b.handler_size &&
                            (a.handler == nullptr || a.handler_offset + n == b.handler_offset);
  return a.start + n == b.start && same_ram && same_handler && a.writable == b.writable &&
         a.name == b.name && a.sizes == b.sizes;
}

}  // namespace

std::vector<FlatRange> Flattener::flatten(const Region* root) {
  Flattener f;
  if (root != nullptr) f.render(*root, {0, {0, i128{root->size_bytes_}}, false, 0});
  f.merge_neighbours();
  return std::move(f.ranges_);
}

void Flattener::render(const Region& region, Place place) {
  EMU_CHECK(place.depth < kMaxDepth);
  if (!region.enabled_) return;
  place.clip.from = std::max(place.clip.from, place.base);
  place.clip.to = std::min(place.clip.to, place.base + i128{region.size_bytes_});
  if (place.clip.from >= place.clip.to) return;
  place.read_only = place.read_only || region.read_only_;
  ++place.depth;
  for (const Region* child : region.children_) {
    Place inner = place;
    inner.base += i128{child->offset_};
    render(*child, inner);
  }
  if (region.kind_ == Region::Kind::kAlias && region.target_ != nullptr) {
    Place inner = place;
    inner.base -= i128{region.ram_offset_};
    render(*region.target_, inner);
  } else if (region.kind_ != Region::Kind::kContainer && region.kind_ != Region::Kind::kAlias) {
    fill_free(region, place);
  }
}

void Flattener::fill_free(const Region& region, const Place& place) {
  std::vector<FlatRange> merged;
  merged.reserve(ranges_.size() + 4);
  i128 next = place.clip.from;  // the first byte of the window not yet covered
  auto fill_to = [&](i128 end) {
    end = std::min(end, place.clip.to);
    if (next < end) merged.push_back(piece(region, place, {next, end}));
  };
  for (const FlatRange& r : ranges_) {
    const i128 end = i128{r.start} + i128{r.length_bytes};
    if (end > next) {
      fill_to(i128{r.start});
      next = std::max(next, end);
    }
    merged.push_back(r);
  }
  fill_to(place.clip.to);
  ranges_ = std::move(merged);
}

FlatRange Flattener::piece(const Region& region, const Place& place, Window window) {
  const u64 offset = static_cast<u64>(window.from - place.base);
  FlatRange r;
  r.start = static_cast<u64>(window.from);
  r.length_bytes = static_cast<u64>(window.to - window.from);
  r.ram = region.ram_;
  r.ram_offset = region.ram_ != nullptr ? region.ram_offset_ + offset : 0;
  r.writable = region.kind_ == Region::Kind::kRam && !place.read_only;
  r.handler = region.handler_;
  r.handler_offset = region.handler_ != nullptr ? offset : 0;
  r.handler_size = region.handler_ != nullptr ? region.size_bytes_ : 0;
  r.sizes = region.sizes_;
  r.name = region.name_.c_str();
  return r;
}

void Flattener::merge_neighbours() {
  std::vector<FlatRange> merged;
  for (const FlatRange& r : ranges_) {
    if (!merged.empty() && continues(merged.back(), r))
      merged.back().length_bytes += r.length_bytes;
    else
      merged.push_back(r);
  }
  ranges_ = std::move(merged);
}

}  // namespace emu
