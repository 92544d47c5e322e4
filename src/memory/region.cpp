// SPDX-License-Identifier: Apache-2.0
// The region tree: making, placing and changing its nodes.
// Threads: the machine lock is held by every caller.
#include <algorithm>
#include <bit>

#include "base/bits.h"
#include "base/check.h"
#include "memory/address_space.h"
#include "memory/flattener.h"

namespace emu {

Region::Region(std::string name, Kind kind, u64 size_bytes)
    : name_(std::move(name)), kind_(kind), size_bytes_(size_bytes) {
  EMU_CHECK(size_bytes != 0);
}

std::unique_ptr<Region> Region::container(std::string name, u64 size_bytes) {
  return std::unique_ptr<Region>(new Region(std::move(name), Kind::kContainer, size_bytes));
}

std::unique_ptr<Region> Region::ram(std::string name, GuestRam& ram, u64 ram_offset,
                                    u64 size_bytes) {
  EMU_CHECK(range_fits(ram_offset, size_bytes, ram.size_bytes()));
  std::unique_ptr<Region> r(new Region(std::move(name), Kind::kRam, size_bytes));
  r->ram_ = &ram;
  r->ram_offset_ = ram_offset;
  return r;
}

std::unique_ptr<Region> Region::rom(std::string name, GuestRam& ram, u64 ram_offset, u64 size_bytes,
                                    IoHandler* on_write) {
  EMU_CHECK(range_fits(ram_offset, size_bytes, ram.size_bytes()));
  std::unique_ptr<Region> r(new Region(std::move(name), Kind::kRom, size_bytes));
  r->ram_ = &ram;
  r->ram_offset_ = ram_offset;
  r->read_only_ = true;
  r->handler_ = on_write;
  return r;
}

std::unique_ptr<Region> Region::mmio(std::string name, u64 size_bytes, IoHandler& handler,
                                     AccessSizes sizes) {
  EMU_CHECK(std::has_single_bit(sizes.min_bytes) && std::has_single_bit(sizes.max_bytes));
  EMU_CHECK(sizes.min_bytes <= sizes.max_bytes && sizes.max_bytes <= 8);
  EMU_CHECK(size_bytes % sizes.min_bytes == 0);
  std::unique_ptr<Region> r(new Region(std::move(name), Kind::kMmio, size_bytes));
  r->handler_ = &handler;
  r->sizes_ = sizes;
  return r;
}

std::unique_ptr<Region> Region::alias(std::string name, Region& target, u64 target_offset,
                                      u64 size_bytes) {
  std::unique_ptr<Region> r(new Region(std::move(name), Kind::kAlias, size_bytes));
  r->target_ = &target;
  r->ram_offset_ = target_offset;
  target.aliases_.push_back(r.get());
  return r;
}

Region::~Region() {
  if (parent_ != nullptr) parent_->remove(*this);
  if (target_ != nullptr) std::erase(target_->aliases_, this);
  for (Region* child : children_) child->parent_ = nullptr;
  children_.clear();
  for (Region* alias : std::exchange(aliases_, {})) {
    alias->target_ = nullptr;
    alias->changed();
  }
  for (AddressSpace* space : std::exchange(spaces_, {})) space->root_destroyed();
}

void Region::add(Region& child, u64 offset, int priority) {
  EMU_CHECK(child.parent_ == nullptr && &child != this);
  child.parent_ = this;
  child.offset_ = offset;
  child.priority_ = priority;
  const auto place = std::find_if(children_.begin(), children_.end(),
                                  [&](const Region* r) { return r->priority_ <= priority; });
  children_.insert(place, &child);
  changed();
}

void Region::remove(Region& child) {
  EMU_CHECK(child.parent_ == this);
  std::erase(children_, &child);
  child.parent_ = nullptr;
  changed();
}

void Region::set_offset(u64 offset) {
  if (offset == offset_) return;
  offset_ = offset;
  changed();
}

void Region::set_enabled(bool enabled) {
  if (enabled == enabled_) return;
  enabled_ = enabled;
  changed();
}

void Region::set_alias_offset(u64 target_offset) {
  EMU_CHECK(kind_ == Kind::kAlias);
  if (target_offset == ram_offset_) return;
  ram_offset_ = target_offset;
  changed();
}

void Region::set_read_only(bool read_only) {
  EMU_CHECK(kind_ != Kind::kRom && kind_ != Kind::kMmio);
  if (read_only == read_only_) return;
  read_only_ = read_only;
  changed();
}

void Region::collect_spaces(std::vector<AddressSpace*>& found, int depth) const {
  EMU_CHECK(depth < Flattener::kMaxDepth);
  for (AddressSpace* space : spaces_) {
    if (std::find(found.begin(), found.end(), space) == found.end()) found.push_back(space);
  }
  for (const Region* alias : aliases_) alias->collect_spaces(found, depth + 1);
  if (parent_ != nullptr) parent_->collect_spaces(found, depth + 1);
}

void Region::changed() {
  std::vector<AddressSpace*> found;
  collect_spaces(found, 0);
  for (AddressSpace* space : found) space->region_changed();
}

}  // namespace emu
