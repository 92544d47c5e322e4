// SPDX-License-Identifier: Apache-2.0
// Packed virtqueues: one ring of descriptors that driver and device both write, whose available and
// used bits change meaning at each wrap; and two event suppression structures.
// Source: VIRTIO 1.2: 2.8.
#include "devices/virtio/chain_builder.h"
#include "devices/virtio/virtqueue.h"

namespace emu {
namespace {

constexpr u64 kId = 12, kFlags = 14, kEventFlags = 2;
constexpr u16 kEventWrap = 1 << 15;

}  // namespace

bool VirtQueue::is_packed_available(u16 flags) const {
  const bool available = (flags & virtio::kPackedAvailable) != 0;
  const bool used = (flags & virtio::kPackedUsed) != 0;
  return available == available_wrap_ && used != available_wrap_;
}

void VirtQueue::advance(u16& position, bool& wrap, u16 slots) const {
  position = static_cast<u16>(position + slots);
  if (position < size_) return;
  position = static_cast<u16>(position - size_);
  wrap = !wrap;
}

std::optional<VirtioChain> VirtQueue::pop_packed() {
  const u64 first = u64{next_available_} * virtio::kDescriptorBytes;
  if (!is_packed_available(descriptors_.load_acquire(first + kFlags))) return {};
  ChainBuilder builder;
  u16 slots = 0;
  u16 position = next_available_;
  Descriptor d{};
  for (;;) {
    d = descriptor(descriptors_, position);
    ++slots;
    if ((d.flags & virtio::kDescriptorIndirect) != 0) {
      if (!take_indirect(d, builder)) return {};
    } else if (const auto wrong = builder.add(d.address, d.length_bytes, d.flags); !wrong.empty()) {
      fail(wrong);
      return {};
    }
    if ((d.flags & virtio::kDescriptorNext) == 0) break;
    if (slots == size_) {
      fail("a descriptor chain is longer than its ring");
      return {};
    }
    position = static_cast<u16>(position + 1 == size_ ? 0 : position + 1);
  }
  builder.chain().id = d.next;  // of the last one (2.8.2)
  builder.chain().slots = slots;
  advance(next_available_, available_wrap_, slots);
  if (has_event_index() && wants_notifications_) want_packed(true);
  return std::move(builder.chain());
}

void VirtQueue::push_packed(const VirtioChain& chain, u32 written_bytes) {
  const u64 at = u64{next_used_} * virtio::kDescriptorBytes;
  u16 flags = used_wrap_ ? virtio::kPackedAvailable | virtio::kPackedUsed : 0;
  if (written_bytes != 0) flags |= virtio::kDescriptorWrite;
  descriptors_.store(at + 8, written_bytes);
  descriptors_.store(at + kId, chain.id);
  descriptors_.store_release(at + kFlags, flags);
  const bool wrap = used_wrap_;
  advance(next_used_, used_wrap_, std::min(chain.slots, size_));
  if (used_wrap_ != wrap) signalled_known_ = false;  // positions before and after do not compare
}

bool VirtQueue::take_interrupt_packed() {
  const u16 before = last_signalled_;
  const bool known = signalled_known_;
  last_signalled_ = next_used_;
  signalled_known_ = true;
  const u16 flags = driver_.load<u16>(kEventFlags);
  if (flags == virtio::kEventsDisable) return false;
  if (flags != virtio::kEventsDescriptor || !known) return true;
  const u16 wish = driver_.load<u16>(0);
  int event = wish & (kEventWrap - 1);
  if (((wish & kEventWrap) != 0) != used_wrap_) event -= size_;
  return static_cast<u16>(next_used_ - event - 1) < static_cast<u16>(next_used_ - before);
}

void VirtQueue::want_packed(bool wanted) {
  if (!wanted) return device_.store(kEventFlags, virtio::kEventsDisable);
  if (!has_event_index()) return device_.store(kEventFlags, virtio::kEventsEnable);
  device_.store<u16>(0, static_cast<u16>(next_available_ | (available_wrap_ ? kEventWrap : 0)));
  device_.store_release(kEventFlags, virtio::kEventsDescriptor);
}

}  // namespace emu
