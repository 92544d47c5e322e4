// SPDX-License-Identifier: Apache-2.0
// What split and packed rings have in common.
#include "devices/virtio/virtqueue.h"

#include <bit>

#include "devices/virtio/chain_builder.h"

namespace emu {
namespace {

bool map_all(const std::vector<VirtioBuffer>& buffers, const AddressSpace& memory, bool for_writing,
             DmaList& out) {
  for (const VirtioBuffer& buffer : buffers) {
    if (!out.add(memory, buffer.address, buffer.length_bytes, for_writing)) return false;
  }
  return true;
}

}  // namespace

bool VirtioChain::map_readable(const AddressSpace& memory, DmaList& out) const {
  return map_all(readable, memory, false, out);
}

bool VirtioChain::map_writable(const AddressSpace& memory, DmaList& out) const {
  return map_all(writable, memory, true, out);
}

// id, slots, number of readable buffers, then address and length of each buffer.
void VirtioChain::transfer(StateIo& io, u16 tag) {
  constexpr std::size_t kHeader = 6, kEntry = 12;
  std::vector<u8> bytes;
  const auto put = [&bytes](auto value) {
    bytes.resize(bytes.size() + sizeof value);
    store_le(&bytes[bytes.size() - sizeof value], value);
  };
  put(id);
  put(slots);
  put(static_cast<u16>(readable.size()));
  for (const auto* list : {&readable, &writable}) {
    for (const VirtioBuffer& buffer : *list) {
      put(buffer.address);
      put(buffer.length_bytes);
    }
  }
  io.field(tag, "chain", bytes, kHeader + kEntry * VirtQueue::kMaxDescriptors);
  if (!io.loading()) return;
  const bool whole = bytes.size() >= kHeader && (bytes.size() - kHeader) % kEntry == 0;
  io.check(whole, "virtio chain");
  *this = {};
  if (!whole) return;
  id = load_le<u16>(&bytes[0]);
  slots = load_le<u16>(&bytes[2]);
  const u16 split = load_le<u16>(&bytes[4]);
  for (std::size_t i = 0; kHeader + i * kEntry < bytes.size(); ++i) {
    const u8* entry = &bytes[kHeader + i * kEntry];
    (i < split ? readable : writable).push_back({load_le<u64>(entry), load_le<u32>(entry + 8)});
  }
}

VirtQueue::VirtQueue(AddressSpace& memory, u16 max_size)
    : memory_(memory), max_size_(max_size), size_(max_size) {
  EMU_CHECK(std::has_single_bit(max_size) && max_size <= kMaxSize);
}

void VirtQueue::set_size(u16 size) {
  if (!enabled_ && size >= 1 && size <= max_size_) size_ = size;
}

void VirtQueue::enable(u64 features) {
  features_ = features;
  enabled_ = true;
  mapped_ = false;
}

void VirtQueue::reset() {
  size_ = max_size_;
  enabled_ = false;
  layout_ = {};
  features_ = 0;
  next_available_ = next_used_ = last_signalled_ = 0;
  signalled_known_ = false;
  available_wrap_ = used_wrap_ = true;
  wants_notifications_ = true;
  mapped_ = false;
  complaint_ = {};
}

bool VirtQueue::ready() {
  if (!enabled_ || is_broken()) return false;
  if (!mapped_) mapped_ = map_parts();
  return mapped_;
}

// Sizes and alignments: 2.7 and 2.8.
bool VirtQueue::map_parts() {
  if (!is_packed() && !std::has_single_bit(size_)) {
    fail("the size of a split ring is not a power of two");
    return false;
  }
  const u64 n = size_;
  const u64 driver_bytes = is_packed() ? 4 : 6 + 2 * n;
  const u64 device_bytes = is_packed() ? 4 : 6 + 8 * n;
  const bool aligned = layout_.descriptors % 16 == 0 &&
                       layout_.driver % (is_packed() ? 4 : 2) == 0 && layout_.device % 4 == 0;
  const auto table =
      GuestWindow::map(memory_, layout_.descriptors, n * virtio::kDescriptorBytes, is_packed());
  const auto driver = GuestWindow::map(memory_, layout_.driver, driver_bytes, false);
  const auto device = GuestWindow::map(memory_, layout_.device, device_bytes, true);
  if (!aligned || !table || !driver || !device) {
    fail("a ring is not aligned, or not in RAM");
    return false;
  }
  descriptors_ = *table;
  driver_ = *driver;
  device_ = *device;
  return true;
}

// The last two words are flags and next in a split ring, id and flags in a packed one.
VirtQueue::Descriptor VirtQueue::descriptor(const GuestWindow& table, u64 index) const {
  const u64 at = index * virtio::kDescriptorBytes;
  const u16 first = table.load<u16>(at + 12);
  const u16 second = table.load<u16>(at + 14);
  return {table.load<u64>(at), table.load<u32>(at + 8), is_packed() ? second : first,
          is_packed() ? first : second};
}

// The chain continues in a table of its own (2.7.5.3, 2.8.7).
bool VirtQueue::take_indirect(const Descriptor& d, ChainBuilder& out) {
  const u64 entries = d.length_bytes / virtio::kDescriptorBytes;
  if ((features_ & virtio::kFeatureIndirect) == 0 || entries == 0 ||
      d.length_bytes % virtio::kDescriptorBytes != 0 || entries > kMaxDescriptors) {
    fail("an indirect descriptor table of impossible size");
    return false;
  }
  const auto table = GuestWindow::map(memory_, d.address, d.length_bytes, false);
  if (!table) {
    fail("an indirect descriptor table is not in RAM");
    return false;
  }
  if (!is_packed()) return walk_split(*table, entries, 0, out);
  for (u64 i = 0; i < entries; ++i) {
    const Descriptor entry = descriptor(*table, i);
    if (const auto wrong = out.add(entry.address, entry.length_bytes, entry.flags);
        !wrong.empty()) {
      fail(wrong);
      return false;
    }
  }
  return true;
}

std::optional<VirtioChain> VirtQueue::pop() {
  if (!ready()) return {};
  return is_packed() ? pop_packed() : pop_split();
}

void VirtQueue::push(const VirtioChain& chain, u32 written_bytes) {
  if (!ready()) return;
  if (is_packed()) return push_packed(chain, written_bytes);
  push_split(chain, written_bytes);
}

bool VirtQueue::take_interrupt() {
  if (!ready()) return false;
  // What was pushed is visible before the guest's wish is read.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return is_packed() ? take_interrupt_packed() : take_interrupt_split();
}

void VirtQueue::transfer(StateIo& io) {
  io.field(1, "size", size_);
  io.field(2, "enabled", enabled_);
  io.field(3, "descriptors", layout_.descriptors);
  io.field(4, "driver", layout_.driver);
  io.field(5, "device", layout_.device);
  io.field(6, "features", features_);
  io.field(7, "next_available", next_available_);
  io.field(8, "next_used", next_used_);
  io.field(9, "last_signalled", last_signalled_);
  io.field(10, "signalled_known", signalled_known_);
  io.field(11, "available_wrap", available_wrap_);
  io.field(12, "used_wrap", used_wrap_);
  io.field(13, "wants_notifications", wants_notifications_);
  if (!io.loading()) return;
  io.check(size_ >= 1 && size_ <= max_size_, "virtqueue size");
  io.check(!is_packed() || (next_available_ < size_ && next_used_ < size_), "virtqueue position");
}

void VirtQueue::resumed() {
  mapped_ = false;
  complaint_ = {};
}

}  // namespace emu
