// SPDX-License-Identifier: Apache-2.0
// The legacy interface of a transitional virtio device: an I/O BAR with a short header, split rings
// in one piece of memory that is given by its page number, and the device's configuration behind.
// Source: VIRTIO 1.2: 2.7.2 (ring layout), 3.1.2, 4.1.4.10, 4.1.5.1.3.1.
#include "base/bits.h"
#include "devices/virtio/virtio_pci.h"

namespace emu {

using namespace virtio;

// The vectors are there only while the guest uses MSI-X.
u32 VirtioPci::legacy_header_bytes() const {
  return messages_enabled() ? kLegacyMsixHeaderBytes : kLegacyHeaderBytes;
}

u64 VirtioPci::read_legacy(u64 offset, unsigned size) {
  if (offset >= legacy_header_bytes())
    return device_->read_config(offset - legacy_header_bytes(), size);
  const u64 value = legacy_register(static_cast<u32>(offset));
  return size >= 4 ? value : value & ((u64{1} << (8 * size)) - 1);
}

u32 VirtioPci::legacy_register(u32 offset) {
  VirtQueue* queue = selected();
  switch (offset) {
    case kLegacyDeviceFeatures:
      return static_cast<u32>(device_->offered_features());
    case kLegacyDriverFeatures:
      return static_cast<u32>(device_->driver_features());
    case kLegacyQueueAddress:
      return queue == nullptr || !queue->enabled()
                 ? 0
                 : static_cast<u32>(queue->layout().descriptors / kLegacyQueueAlignment);
    case kLegacyQueueSize:
      return queue == nullptr ? 0 : queue->max_size();
    case kLegacyQueueSelect:
      return queue_select_;
    case kLegacyStatus:
      return device_->status();
    case kLegacyIsr:
      return take_isr();
    case kLegacyConfigVector:
      return config_vector_;
    case kLegacyQueueVector:
      return queue == nullptr ? kNoVector : queue_vectors_[queue_select_];
    default:
      return 0;
  }
}

void VirtioPci::write_legacy(u64 offset, unsigned size, u64 value) {
  if (offset >= legacy_header_bytes())
    return device_->write_config(offset - legacy_header_bytes(), size, value);
  write_legacy_register(static_cast<u32>(offset), static_cast<u32>(value));
}

void VirtioPci::write_legacy_register(u32 offset, u32 value) {
  switch (offset) {
    case kLegacyDriverFeatures:
      return device_->set_driver_features(value & device_->offered_features());
    case kLegacyQueueAddress:
      return set_legacy_queue(value);
    case kLegacyQueueSelect:
      queue_select_ = static_cast<u16>(value);
      return;
    case kLegacyQueueNotify:
      return device_->notify(value & 0xffff);
    case kLegacyStatus:
      if ((value & 0xff) == 0) return reset_virtio();
      return device_->write_status(static_cast<u8>(value));
    case kLegacyConfigVector:
      config_vector_ = checked_vector(value & 0xffff);
      return;
    case kLegacyQueueVector:
      if (selected() != nullptr) queue_vectors_[queue_select_] = checked_vector(value & 0xffff);
      return;
    default:
      return;
  }
}

void VirtioPci::set_legacy_queue(u32 page) {
  VirtQueue* queue = selected();
  if (queue == nullptr) return;
  if (page == 0) return queue->reset();
  if (queue->enabled()) return;
  const u64 n = queue->max_size();
  VirtQueue::Layout layout;
  layout.descriptors = u64{page} * kLegacyQueueAlignment;
  layout.driver = layout.descriptors + n * kDescriptorBytes;
  layout.device = align_up(layout.driver + 6 + 2 * n, kLegacyQueueAlignment);
  queue->set_layout(layout);
  device_->enable_queue(queue_select_);
}

}  // namespace emu
