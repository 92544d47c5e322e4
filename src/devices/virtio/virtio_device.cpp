// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/virtio_device.h"

namespace emu {

using namespace virtio;

VirtioDevice::VirtioDevice(AddressSpace& memory, Identity identity,
                           const std::vector<u16>& queue_sizes)
    : memory_(memory), identity_(std::move(identity)) {
  EMU_CHECK(identity_.config_bytes <= 256);
  for (const u16 size : queue_sizes) queues_.push_back(std::make_unique<VirtQueue>(memory, size));
}

u64 VirtioDevice::offered_features() const {
  return model_features() | kFeatureIndirect | kFeatureEventIndex | kFeatureVersion1 |
         (packed_ ? kFeaturePacked : 0);
}

// Features are final once accepted (3.1.1); a driver that changes its mind resets first.
void VirtioDevice::set_driver_features(u64 features) {
  if ((status_ & (kFeaturesOk | kDriverOk)) == 0) driver_features_ = features;
}

u8 VirtioDevice::status() const {
  return status_;
}

void VirtioDevice::write_status(u8 status) {
  if (status == 0) return reset();
  const u8 before = status_;
  status_ = static_cast<u8>(status | (before & kNeedsReset));
  if ((status & ~before & kFeaturesOk) != 0 && (driver_features_ & ~offered_features()) != 0)
    status_ &= static_cast<u8>(~kFeaturesOk);
  if ((status & ~before & kDriverOk) == 0) return;
  driver_features_ &= offered_features();  // a legacy driver has no FEATURES_OK
  for (unsigned i = 0; i < queue_count(); ++i) {
    if (queue(i).enabled()) enable_queue(i);  // with what is final now
  }
  driver_ready();
  // What was made available before the driver was ready.
  for (unsigned i = 0; i < queue_count(); ++i) notify(i);
}

void VirtioDevice::enable_queue(unsigned index) {
  queue(index).enable(driver_features_ & offered_features());
}

// Legacy drivers use their queues before they set DRIVER_OK (3.1.2).
bool VirtioDevice::is_running() const {
  const u8 enough = has_feature(kFeatureVersion1) ? kDriverOk : kDriverOk | kDriver;
  return (status_ & enough) != 0 && (status_ & kNeedsReset) == 0 && transport_ != nullptr &&
         transport_->may_access_memory();
}

void VirtioDevice::notify(unsigned queue_index) {
  if (queue_index < queue_count() && is_running() && queue(queue_index).enabled())
    notified(queue_index);
}

u64 VirtioDevice::read_config(u64 offset, unsigned size) {
  std::vector<u8> bytes(identity_.config_bytes);
  fill_config(bytes);
  u64 value = 0;
  for (unsigned i = 0; i < size && offset + i < bytes.size(); ++i)
    value |= u64{bytes[offset + i]} << (8 * i);
  return value;
}

void VirtioDevice::write_config(u64 offset, unsigned size, u64 value) {
  if (offset >= identity_.config_bytes) return;
  std::vector<u8> bytes;
  for (unsigned i = 0; i < size && offset + i < identity_.config_bytes; ++i)
    bytes.push_back(static_cast<u8>(value >> (8 * i)));
  config_written(offset, bytes);
}

std::optional<VirtioChain> VirtioDevice::next_chain(unsigned index) {
  if (!is_running()) return {};
  auto chain = queue(index).pop();
  if (queue(index).is_broken()) fail(queue(index).complaint());
  return chain;
}

void VirtioDevice::complete(unsigned index, const VirtioChain& chain, u32 written_bytes) {
  push(index, chain, written_bytes);
  interrupt(index);
}

void VirtioDevice::push(unsigned index, const VirtioChain& chain, u32 written_bytes) {
  if (is_running()) queue(index).push(chain, written_bytes);
}

void VirtioDevice::interrupt(unsigned index) {
  if (is_running() && queue(index).take_interrupt()) transport_->queue_interrupt(index);
}

void VirtioDevice::config_changed() {
  ++config_generation_;
  if ((status_ & kDriverOk) != 0 && transport_ != nullptr) transport_->config_interrupt();
}

void VirtioDevice::fail(std::string_view complaint) {
  if ((status_ & kNeedsReset) != 0) return;
  if (complaints_.pass())
    log(LogLevel::kWarning, "virtio", "{}: {}; the device waits for a reset", identity_.name,
        complaint);
  const bool was_running = (status_ & kDriverOk) != 0;
  status_ |= kNeedsReset;
  if (was_running && transport_ != nullptr) transport_->config_interrupt();
}

void VirtioDevice::reset() {
  reset_model();
  status_ = 0;
  driver_features_ = 0;
  config_generation_ = 0;
  for (auto& queue : queues_) queue->reset();
}

void VirtioDevice::transfer(StateIo& io) {
  io.section("virtio", 1, [&] {
    io.field(1, "status", status_);
    io.field(2, "config_generation", config_generation_);
    io.field(3, "driver_features", driver_features_);
    for (std::size_t i = 0; i < queues_.size(); ++i)
      io.section(fmt::format("queue{}", i), 1, [&] { queues_[i]->transfer(io); });
    io.section("model", 1, [&] { transfer_model(io); });
  });
}

void VirtioDevice::resumed() {
  for (auto& queue : queues_) queue->resumed();
  resumed_model();
}

}  // namespace emu
