// SPDX-License-Identifier: Apache-2.0
// Split virtqueues: a descriptor table, an available ring (flags, index, heads, used_event) and a
// used ring (flags, index, {head, length}, avail_event).
// Source: VIRTIO 1.2: 2.7.
#include "devices/virtio/chain_builder.h"
#include "devices/virtio/virtqueue.h"

namespace emu {
namespace {

constexpr u64 kIndex = 2, kRing = 4, kUsedEntryBytes = 8;

// Whether index `event` lies in what was added when the index went from `before` to `now` (2.7.10).
bool passed(u16 event, u16 now, u16 before) {
  return static_cast<u16>(now - event - 1) < static_cast<u16>(now - before);
}

}  // namespace

bool VirtQueue::has_available() {
  if (!ready()) return false;
  if (is_packed()) {
    const u64 at = u64{next_available_} * virtio::kDescriptorBytes;
    return is_packed_available(descriptors_.load_acquire(at + 14));
  }
  return driver_.load_acquire(kIndex) != next_available_;
}

std::optional<VirtioChain> VirtQueue::pop_split() {
  const u16 waiting = static_cast<u16>(driver_.load_acquire(kIndex) - next_available_);
  if (waiting == 0) return {};
  if (waiting > size_) {
    fail("the available ring holds more than its size");
    return {};
  }
  const u16 head = driver_.load<u16>(kRing + 2u * (next_available_ % size_));
  ChainBuilder builder;
  builder.chain().id = head;
  if (!walk_split(descriptors_, size_, head, builder)) return {};
  ++next_available_;
  if (has_event_index() && wants_notifications_)
    device_.store(kRing + kUsedEntryBytes * size_, next_available_);
  return std::move(builder.chain());
}

bool VirtQueue::walk_split(const GuestWindow& table, u64 entries, u64 index, ChainBuilder& out) {
  for (;;) {
    if (index >= entries) {
      fail("a descriptor index is beyond its table");
      return false;
    }
    const Descriptor d = descriptor(table, index);
    if ((d.flags & virtio::kDescriptorIndirect) != 0) {
      const bool nested = &table != &descriptors_;
      if (nested || (d.flags & virtio::kDescriptorNext) != 0) {
        fail("an indirect descriptor inside an indirect table, or with a next one");
        return false;
      }
      return take_indirect(d, out);
    }
    if (const auto wrong = out.add(d.address, d.length_bytes, d.flags); !wrong.empty()) {
      fail(wrong);
      return false;
    }
    if ((d.flags & virtio::kDescriptorNext) == 0) return true;
    index = d.next;
  }
}

void VirtQueue::unpop(const VirtioChain& chain) {
  if (!is_packed()) {
    --next_available_;
    return;
  }
  if (next_available_ < chain.slots) {
    next_available_ = static_cast<u16>(next_available_ + size_);
    available_wrap_ = !available_wrap_;
  }
  next_available_ = static_cast<u16>(next_available_ - chain.slots);
}

void VirtQueue::push_split(const VirtioChain& chain, u32 written_bytes) {
  const u64 entry = kRing + kUsedEntryBytes * (next_used_ % size_);
  device_.store(entry, u32{chain.id});
  device_.store(entry + 4, written_bytes);
  ++next_used_;
  device_.store_release(kIndex, next_used_);
}

bool VirtQueue::take_interrupt_split() {
  const u16 before = last_signalled_;
  const bool known = signalled_known_;
  last_signalled_ = next_used_;
  signalled_known_ = true;
  if (!has_event_index()) return (driver_.load<u16>(0) & virtio::kAvailNoInterrupt) == 0;
  if (!known) return true;
  return passed(driver_.load<u16>(kRing + 2u * size_), next_used_, before);
}

void VirtQueue::want_notifications(bool wanted) {
  wants_notifications_ = wanted;
  if (!ready()) return;
  if (is_packed()) {
    want_packed(wanted);
  } else if (!has_event_index()) {
    device_.store<u16>(0, wanted ? 0 : virtio::kUsedNoNotify);
  } else if (wanted) {
    device_.store(kRing + kUsedEntryBytes * size_, next_available_);
  }
  // The wish is visible before the ring is looked at again.
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

}  // namespace emu
