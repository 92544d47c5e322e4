// SPDX-License-Identifier: Apache-2.0
// Publishing views: building, replacing and freeing them, and telling listeners the difference.
// Threads: changes need the machine lock; view() and pins are for any thread.
#include "memory/address_space.h"

#include <algorithm>

#include "base/check.h"
#include "memory/flattener.h"

namespace emu {
namespace {

// The ranges of `from` that are not, unchanged, in `to`. Both sorted by start.
template <class F>
void for_each_missing(std::span<const FlatRange> from, std::span<const FlatRange> to, F&& visit) {
  auto other = to.begin();
  for (const FlatRange& r : from) {
    while (other != to.end() && other->start < r.start) ++other;
    if (other == to.end() || !(*other == r)) visit(r);
  }
}

const char* kind_name(const FlatRange& r) {
  if (r.ram == nullptr) return "mmio";
  return r.writable ? "ram" : "rom";
}

}  // namespace

FlatView::FlatView(std::vector<FlatRange> ranges) : ranges_(std::move(ranges)) {
  starts_.reserve(ranges_.size());
  for (const FlatRange& r : ranges_) starts_.push_back(r.start);
}

u64 FlatView::next_start(u64 address) const {
  const auto next = std::upper_bound(starts_.begin(), starts_.end(), address);
  return next == starts_.end() ? ~u64{0} : *next;
}

AddressSpace::AddressSpace(Region& root) : root_(&root) {
  root.spaces_.push_back(this);
  owner_ = std::make_shared<FlatView>(Flattener::flatten(root_));
  current_.store(owner_.get());
}

AddressSpace::~AddressSpace() {
  if (root_ != nullptr) std::erase(root_->spaces_, this);
}

std::shared_ptr<const FlatView> AddressSpace::view() const {
  const Pin pin(*this);
  return pin->shared_from_this();
}

void AddressSpace::region_changed() {
  stale_ = true;
  if (transaction_depth_ == 0) publish();
}

void AddressSpace::root_destroyed() {
  root_ = nullptr;
  region_changed();
}

void AddressSpace::publish() {
  EMU_CHECK(!publishing_);  // a listener changed the tree
  stale_ = false;
  std::vector<FlatRange> ranges = Flattener::flatten(root_);
  if (std::ranges::equal(ranges, owner_->ranges())) return;
  publishing_ = true;
  const std::shared_ptr<const FlatView> before = std::move(owner_);
  owner_ = std::make_shared<FlatView>(std::move(ranges));
  current_.store(owner_.get());
  {
    const std::lock_guard lock(retired_mutex_);
    retired_.push_back(before);
    has_retired_.store(true);
  }
  for (AddressSpaceListener* listener : listeners_) {
    for_each_missing(before->ranges(), owner_->ranges(),
                     [&](const FlatRange& r) { listener->range_removed(r); });
    for_each_missing(owner_->ranges(), before->ranges(),
                     [&](const FlatRange& r) { listener->range_added(r); });
    listener->commit();
  }
  publishing_ = false;
  reclaim();
}

void AddressSpace::reclaim() const {
  std::vector<std::shared_ptr<const FlatView>> free_now;  // freed after the lock is left
  const std::lock_guard lock(retired_mutex_);
  if (readers_.load() != 0) return;  // the last of them comes here again
  free_now.swap(retired_);
  has_retired_.store(false);
}

void AddressSpace::add_listener(AddressSpaceListener& listener) {
  listeners_.push_back(&listener);
  for (const FlatRange& r : owner_->ranges()) listener.range_added(r);
  listener.commit();
}

void AddressSpace::remove_listener(AddressSpaceListener& listener) {
  std::erase(listeners_, &listener);
}

std::string AddressSpace::describe() const {
  std::string text;
  for (const FlatRange& r : owner_->ranges()) {
    text += fmt::format("{:016x}-{:016x} {} {}\n", r.start, r.start + (r.length_bytes - 1), r.name,
                        kind_name(r));
  }
  return text;
}

}  // namespace emu
