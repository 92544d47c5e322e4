// SPDX-License-Identifier: Apache-2.0
// The PCI function around a virtio device, and its modern interface.
#include "devices/virtio/virtio_pci.h"

#include <bit>

namespace emu {

using namespace virtio;

namespace {

constexpr unsigned kLegacyBar = 0, kMsixBar = 1, kModernBar = 4;
constexpr u32 kWindowBytes = 0x1000, kIsrAt = 0x1000, kDeviceAt = 0x2000, kNotifyAt = 0x3000;
constexpr u32 kModernBytes = 0x4000, kMsixBytes = 0x1000, kMsixPbaAt = 0x800;
constexpr u32 kNotifyMultiplier = 4;
constexpr unsigned kMaxVectors = kMsixPbaAt / MsixCapability::kEntryBytes;
constexpr AccessSizes kRegisters{1, 4, false};
// A virtio capability (4.1.4): fields behind the PCI ones.
constexpr u8 kCapBytes = 16, kCapNotifyBytes = 20, kCapPciBytes = 20;
constexpr unsigned kCapLengthAt = 2, kCapTypeAt = 3, kCapBarAt = 4, kCapOffsetAt = 8,
                   kCapSizeAt = 12, kCapExtraAt = 16;
constexpr u8 kHookPciWindow = pci::kHookDevice;

u32 low_bits(u64 value, unsigned size) {
  return static_cast<u32>(size >= 4 ? value : value & ((u64{1} << (8 * size)) - 1));
}

}  // namespace

// Transitional devices have ids and a revision of their own (4.1.2.3).
PciIdentity VirtioPci::pci_identity(const VirtioDevice& device, Interface interface) {
  static constexpr std::pair<u16, u16> kTransitionalIds[] = {
      {kTypeNet, 0},  {kTypeBlock, 1},   {kTypeBalloon, 2}, {kTypeConsole, 3},
      {kTypeScsi, 4}, {kTypeEntropy, 5}, {kType9p, 9},
  };
  const u16 type = device.identity().type;
  PciIdentity id;
  id.vendor = kVendor;
  id.device = static_cast<u16>(kModernBase + type);
  id.revision = 1;
  id.subsystem_vendor = kVendor;
  id.subsystem = 0x1100;
  id.class_code = device.identity().class_code;
  id.interrupt_pin = 1;
  if (interface == Interface::kModern) return id;
  id.subsystem = type;
  id.revision = 0;
  for (const auto& [known, number] : kTransitionalIds) {
    if (known == type) id.device = static_cast<u16>(kTransitionalBase + number);
  }
  EMU_CHECK(id.device < kModernBase);
  return id;
}

VirtioPci::VirtioPci(PciBus& bus, u8 devfn, const std::string& name,
                     std::unique_ptr<VirtioDevice> device, Interface interface)
    : PciDevice(bus, devfn, name, pci_identity(*device, interface)),
      device_(std::move(device)),
      interface_(interface),
      queue_vectors_(device_->queue_count(), kNoVector) {
  device_->attach(*this);
  add_modern_bar();
  if (interface == Interface::kTransitional) add_legacy_bar();
  add_capabilities();
}

VirtioPci::~VirtioPci() = default;

void VirtioPci::add_modern_bar() {
  auto bar = Region::container(std::string(name()) + ".modern", kModernBytes);
  const auto place = [&](std::string_view what, u32 at, IoHandler& handler) {
    auto region =
        Region::mmio(fmt::format("{}.{}", name(), what), kWindowBytes, handler, kRegisters);
    bar->add(*region, at);
    regions_.push_back(std::move(region));
  };
  place("common", 0, common_);
  place("isr", kIsrAt, isr_window_);
  place("device", kDeviceAt, device_window_);
  place("notify", kNotifyAt, notify_);
  add_bar(kModernBar, BarKind::kPrefetchable64, *bar);
  regions_.push_back(std::move(bar));

  const unsigned vectors = device_->queue_count() + 1;
  EMU_CHECK(vectors <= kMaxVectors);
  auto msix_bar = Region::container(std::string(name()) + ".msix", kMsixBytes);
  msix_ = &add_msix(vectors, {kMsixBar, *msix_bar, 0, kMsixPbaAt});
  add_bar(kMsixBar, BarKind::kMemory32, *msix_bar);
  regions_.push_back(std::move(msix_bar));
}

void VirtioPci::add_legacy_bar() {
  const u32 bytes = kLegacyMsixHeaderBytes + device_->identity().config_bytes;
  EMU_CHECK(bytes <= 256);
  auto bar =
      Region::mmio(std::string(name()) + ".legacy", std::bit_ceil(bytes), legacy_, kRegisters);
  add_bar(kLegacyBar, BarKind::kIo, *bar);
  regions_.push_back(std::move(bar));
}

u8 VirtioPci::add_virtio_capability(u8 kind, u32 offset, u32 length_bytes, u8 capability_bytes) {
  const u8 at = add_capability(pci::kCapabilityVendor, capability_bytes);
  const auto define = [&](unsigned n, u8 size, std::string_view what, u32 value) {
    config().define({static_cast<u16>(at + n), size, what, value});
  };
  define(kCapLengthAt, 1, "cap_len", capability_bytes);
  define(kCapTypeAt, 1, "cfg_type", kind);
  define(kCapBarAt, 1, "bar", kModernBar);
  define(kCapOffsetAt, 4, "offset", offset);
  define(kCapSizeAt, 4, "length", length_bytes);
  return at;
}

void VirtioPci::add_capabilities() {
  add_virtio_capability(kCapCommon, 0, kWindowBytes, kCapBytes);
  add_virtio_capability(kCapIsr, kIsrAt, kWindowBytes, kCapBytes);
  add_virtio_capability(kCapDevice, kDeviceAt, kWindowBytes, kCapBytes);
  const u8 notify = add_virtio_capability(kCapNotify, kNotifyAt, kWindowBytes, kCapNotifyBytes);
  config().define(
      {static_cast<u16>(notify + kCapExtraAt), 4, "notify_off_multiplier", kNotifyMultiplier});
  pci_window_at_ = add_virtio_capability(kCapPci, 0, 0, kCapPciBytes);
  const auto at = [this](unsigned n) { return static_cast<u16>(pci_window_at_ + n); };
  const RegisterSpec window[] = {
      {at(kCapBarAt), 1, "pci_cfg.bar", 0, 0xff},
      {at(kCapOffsetAt), 4, "pci_cfg.offset", 0, ~u32{0}},
      {at(kCapSizeAt), 4, "pci_cfg.length", 0, ~u32{0}},
      {at(kCapExtraAt), 4, "pci_cfg.data", 0, ~u32{0}, 0, kHookPciWindow},
  };
  config().define(window);
}

u16 VirtioPci::checked_vector(u64 vector) {
  return vector < msix_->vectors() ? static_cast<u16>(vector) : kNoVector;
}

void VirtioPci::raise(u16 vector, u8 isr_bit) {
  if (messages_enabled()) {
    if (vector != kNoVector) send_message(vector);
    return;
  }
  isr_ |= isr_bit;
  set_intx(true);
}

void VirtioPci::queue_interrupt(unsigned queue) {
  raise(queue_vectors_[queue], kIsrQueue);
}

void VirtioPci::config_interrupt() {
  raise(config_vector_, kIsrConfig);
}

u8 VirtioPci::take_isr() {
  const u8 isr = isr_;
  isr_ = 0;
  set_intx(false);
  return isr;
}

VirtQueue* VirtioPci::selected() {
  return queue_select_ < device_->queue_count() ? &device_->queue(queue_select_) : nullptr;
}

// The common configuration, four bytes at a time.
u32 VirtioPci::common_word(u32 offset) {
  switch (offset) {
    case kDeviceFeatureSelect:
      return device_feature_select_;
    case kDeviceFeature:
      return device_feature_select_ > 1
                 ? 0
                 : static_cast<u32>(device_->offered_features() >> (32 * device_feature_select_));
    case kDriverFeatureSelect:
      return driver_feature_select_;
    case kDriverFeature:
      return driver_feature_select_ > 1
                 ? 0
                 : static_cast<u32>(device_->driver_features() >> (32 * driver_feature_select_));
    case kConfigVector:
      return config_vector_ | device_->queue_count() << 16;
    case kDeviceStatus:
      return device_->status() | u32{device_->config_generation()} << 8 | u32{queue_select_} << 16;
    default:
      return queue_word(offset);
  }
}

u32 VirtioPci::queue_word(u32 offset) {
  const VirtQueue* queue = selected();
  if (queue == nullptr) return 0;
  switch (offset) {
    case kQueueSize:
      return queue->size() | u32{queue_vectors_[queue_select_]} << 16;
    case kQueueEnable:
      return (queue->enabled() ? 1u : 0u) | u32{queue_select_} << 16;  // notify_off: the number
    case kQueueDescriptors:
      return static_cast<u32>(queue->layout().descriptors);
    case kQueueDescriptors + 4:
      return static_cast<u32>(queue->layout().descriptors >> 32);
    case kQueueDriver:
      return static_cast<u32>(queue->layout().driver);
    case kQueueDriver + 4:
      return static_cast<u32>(queue->layout().driver >> 32);
    case kQueueDevice:
      return static_cast<u32>(queue->layout().device);
    case kQueueDevice + 4:
      return static_cast<u32>(queue->layout().device >> 32);
    default:
      return 0;
  }
}

u64 VirtioPci::read_common(u64 offset, unsigned size) {
  if (offset >= kCommonBytes) return 0;
  const u32 at = static_cast<u32>(offset);
  return low_bits(common_word(at & ~3u) >> (8 * (at & 3)), size);
}

void VirtioPci::write_common(u64 offset, unsigned size, u64 wide) {
  const u32 value = low_bits(wide, size);
  VirtQueue* queue = selected();
  switch (offset) {
    case kDeviceFeatureSelect:
      device_feature_select_ = value;
      return;
    case kDriverFeatureSelect:
      driver_feature_select_ = value;
      return;
    case kDriverFeature:
      return select_driver_features(value);
    case kConfigVector:
      config_vector_ = checked_vector(value);
      return;
    case kDeviceStatus:
      if ((value & 0xff) == 0) return reset_virtio();
      return device_->write_status(static_cast<u8>(value));
    case kQueueSelect:
      queue_select_ = static_cast<u16>(value);
      return;
    case kQueueSize:
      if (queue != nullptr) queue->set_size(static_cast<u16>(value));
      return;
    case kQueueVector:
      if (queue != nullptr) queue_vectors_[queue_select_] = checked_vector(value);
      return;
    case kQueueEnable:
      if (queue != nullptr && value == 1) device_->enable_queue(queue_select_);
      return;
    default:
      return write_queue_address(static_cast<u32>(offset), size, value);
  }
}

void VirtioPci::select_driver_features(u32 value) {
  if (driver_feature_select_ > 1) return;
  const unsigned shift = 32 * driver_feature_select_;
  const u64 kept = device_->driver_features() & ~(u64{0xffffffff} << shift);
  device_->set_driver_features(kept | u64{value} << shift);
}

void VirtioPci::write_queue_address(u32 offset, unsigned size, u32 value) {
  VirtQueue* queue = selected();
  if (queue == nullptr || queue->enabled() || size != 4) return;
  VirtQueue::Layout layout = queue->layout();
  u64* part = nullptr;
  if ((offset & ~4u) == kQueueDescriptors) part = &layout.descriptors;
  if ((offset & ~4u) == kQueueDriver) part = &layout.driver;
  if ((offset & ~4u) == kQueueDevice) part = &layout.device;
  if (part == nullptr) return;
  const unsigned shift = (offset & 4) * 8;
  *part = (*part & ~(u64{0xffffffff} << shift)) | u64{value} << shift;
  queue->set_layout(layout);
}

u64 VirtioPci::read_device(u64 offset, unsigned size) {
  return device_->read_config(offset, size);
}

void VirtioPci::write_device(u64 offset, unsigned size, u64 value) {
  device_->write_config(offset, size, value);
}

// The address tells the queue; what is written repeats it (4.1.5.2).
void VirtioPci::write_notify(u64 offset, unsigned, u64) {
  device_->notify(static_cast<unsigned>(offset / kNotifyMultiplier));
}

IoHandler* VirtioPci::window_at(u32 offset, u32& in_window) {
  in_window = offset % kWindowBytes;
  IoHandler* const windows[] = {&common_, &isr_window_, &device_window_, &notify_};
  return offset < kModernBytes ? windows[offset / kWindowBytes] : nullptr;
}

// 4.1.4.9: an access to pci_cfg_data is one of `length` bytes at `offset` of `bar`.
void VirtioPci::config_written(HookSet hooks) {
  if (!hooks.has(kHookPciWindow)) return;
  const u32 length = config().get<u32>(pci_window_at_ + kCapSizeAt);
  const u32 offset = config().get<u32>(pci_window_at_ + kCapOffsetAt);
  u32 at = 0;
  IoHandler* window = window_at(offset, at);
  const bool valid = (length == 1 || length == 2 || length == 4) && offset % length == 0 &&
                     config().get<u8>(pci_window_at_ + kCapBarAt) == kModernBar;
  if (!valid || window == nullptr) return;
  window->write(at, length, low_bits(config().get<u32>(pci_window_at_ + kCapExtraAt), length));
}

void VirtioPci::config_reading(u32 offset, unsigned size) {
  const u32 data = pci_window_at_ + kCapExtraAt;
  if (offset + size <= data || offset >= data + 4) return;
  const u32 length = config().get<u32>(pci_window_at_ + kCapSizeAt);
  const u32 from = config().get<u32>(pci_window_at_ + kCapOffsetAt);
  u32 at = 0;
  IoHandler* window = window_at(from, at);
  const bool valid = (length == 1 || length == 2 || length == 4) && from % length == 0 &&
                     config().get<u8>(pci_window_at_ + kCapBarAt) == kModernBar;
  if (!valid || window == nullptr) return;
  config().set<u32>(data, low_bits(window->read(at, length), length));
}

void VirtioPci::reset_virtio() {
  device_->reset();
  isr_ = 0;
  device_feature_select_ = driver_feature_select_ = 0;
  queue_select_ = 0;
  config_vector_ = kNoVector;
  std::ranges::fill(queue_vectors_, kNoVector);
  set_intx(false);
}

void VirtioPci::reset() {
  reset_virtio();
  reset_config();
}

void VirtioPci::transfer(StateIo& io) {
  io.section(name(), 1, [&] {
    transfer_config(io);
    io.field(1, "isr", isr_);
    io.field(2, "device_feature_select", device_feature_select_);
    io.field(3, "driver_feature_select", driver_feature_select_);
    io.field(4, "queue_select", queue_select_);
    io.field(5, "config_vector", config_vector_);
    io.transfer_bytes(6, "queue_vectors",
                      {reinterpret_cast<u8*>(queue_vectors_.data()), queue_vectors_.size() * 2});
    device_->transfer(io);
  });
  if (!io.loading()) return;
  const auto known = [this](u16 v) { return v == kNoVector || v < msix_->vectors(); };
  io.check(known(config_vector_) && std::ranges::all_of(queue_vectors_, known), "virtio vector");
}

void VirtioPci::resumed() {
  resume_config();
  device_->resumed();
}

}  // namespace emu
