// SPDX-License-Identifier: Apache-2.0
#include "devices/pci/pci_device.h"

#include <algorithm>
#include <bit>

#include "base/bits.h"
#include "base/check.h"
#include "devices/guest_window.h"

namespace emu {
namespace {

using namespace pci;

constexpr u32 bar_offset(unsigned index) {
  return kBar0 + 4 * index;
}

}  // namespace

PciDevice::PciDevice(PciBus& bus, u8 devfn, std::string name, const PciIdentity& identity)
    : bus_(bus),
      devfn_(devfn),
      name_(std::move(name)),
      pin_(bus.intx_line(devfn, identity.interrupt_pin)) {
  const u8 header = identity.multi_function ? kHeaderMultiFunction : u8{0};
  config_.define(kCommonHeader);
  const RegisterSpec identity_table[] = {
      {kVendorId, 2, "VID", identity.vendor},
      {kDeviceId, 2, "DID", identity.device},
      {kStatus, 2, "PCISTS", identity.status, 0, kStatusErrors},
      {kRevision, 1, "RID", identity.revision},
      {kClass, 1, "PI", identity.class_code & 0xff},
      {kClass + 1, 2, "CLASSC", identity.class_code >> 8},
      {kHeaderType, 1, "HEDT", header},
      {kSubsystemVendor, 2, "SVID", identity.subsystem_vendor},
      {kSubsystem, 2, "SID", identity.subsystem},
      {kInterruptPin, 1, "INTPN", identity.interrupt_pin},
  };
  config_.define(identity_table);
  bus_.attach(devfn_, *this);
}

PciDevice::~PciDevice() {
  bus_.detach(devfn_);
}

u32 PciDevice::read_config(u32 offset, unsigned size) {
  config_reading(offset, size);
  u32 value = config_.read(offset, size);
  // Interrupt Status shows the request even while Command bit 10 keeps it off the wire (6.2.3).
  if (intx_ && offset <= kStatus && kStatus < offset + size) {
    value |= u32{kStatusInterrupt} << (8 * (kStatus - offset));
  }
  return value;
}

void PciDevice::write_config(u32 offset, unsigned size, u32 value) {
  const HookSet hooks = config_.write(offset, size, value);
  if (hooks.has(kHookCommand) || hooks.has(kHookBars)) update_bars();
  if (hooks.has(kHookCommand)) update_intx();
  if (hooks.has(kHookMsi)) msi_->written();
  if (hooks.has(kHookMsix)) msix_->written();
  config_written(hooks);
}

// Plain RAM only: a guest that points a function at registers, its own even, would have DMA
// re-enter a device.
bool PciDevice::dma_read(u64 address, std::span<u8> out) {
  DmaList list;
  if (bus_master() && list.add(bus_.wires().dma, address, out.size(), false)) {
    list.read(0, out);
    return true;
  }
  std::ranges::fill(out, u8{0xff});
  return false;
}

bool PciDevice::dma_write(u64 address, std::span<const u8> in) {
  DmaList list;
  if (!bus_master() || !list.add(bus_.wires().dma, address, in.size(), true)) return false;
  list.write(0, in);
  return true;
}

void PciDevice::place(Region& region, bool io) {
  region.set_enabled(false);
  (io ? bus_.wires().ports : bus_.wires().memory).add(region, 0, 1);
}

void PciDevice::add_bar(unsigned index, BarKind kind, Region& region) {
  const bool io = kind == BarKind::kIo;
  const bool wide = kind == BarKind::kMemory64 || kind == BarKind::kPrefetchable64;
  const u64 size = region.size_bytes();
  EMU_CHECK(std::has_single_bit(size) && size >= (io ? 4u : 16u) && (!io || size <= 256));
  EMU_CHECK(index + (wide ? 1u : 0u) < kBarCount && bars_[index].region == nullptr);
  EMU_CHECK(wide || size <= 2 * kGiB);
  u32 type = io ? kBarIo : 0;
  if (wide) type |= kBar64;
  if (kind == BarKind::kPrefetchable32 || kind == BarKind::kPrefetchable64) {
    type |= kBarPrefetchable;
  }
  const u64 mask = ~(size - 1);
  const u16 offset = static_cast<u16>(bar_offset(index));
  config_.define({offset, 4, "BAR", type, static_cast<u32>(mask), 0, kHookBars});
  if (wide) {
    const u16 upper = static_cast<u16>(offset + 4);
    config_.define({upper, 4, "BAR (upper)", 0, static_cast<u32>(mask >> 32), 0, kHookBars});
  }
  bars_[index] = {&region, io, wide, size};
  place(region, io);
}

void PciDevice::add_rom_bar(Region& region) {
  const u64 size = region.size_bytes();
  EMU_CHECK(std::has_single_bit(size) && size >= 2 * kKiB && size <= 16 * kMiB);
  const u32 mask = static_cast<u32>(~(size - 1));
  config_.define({kRomBar, 4, "EROM", 0, mask | kRomEnable, 0, kHookBars});
  bars_[kRomIndex] = {&region, false, false, size};
  place(region, false);
}

void PciDevice::plug_rom(std::vector<u8> image) {
  EMU_CHECK(!option_rom_ && !image.empty());
  option_rom_ = std::make_unique<OptionRom>(std::move(image), config_.get<u16>(kVendorId),
                                            config_.get<u16>(kDeviceId));
  add_rom_bar(option_rom_->region());
}

u8 PciDevice::add_capability(u8 id, u8 length_bytes, u8 offset) {
  const u16 place = offset != 0 ? offset : capability_end_;
  EMU_CHECK(place >= 0x40 && place % 4 == 0 && place + length_bytes <= 256);
  const u8 at = static_cast<u8>(place);
  if (last_capability_ == 0) {
    const u16 status = config_.get<u16>(kStatus) | kStatusCapabilities;
    config_.define({kStatus, 2, "PCISTS", status, 0, kStatusErrors});
    config_.define({kCapabilities, 1, "CAPP", at});
  } else {
    const u16 link = static_cast<u16>(last_capability_ + 1);
    config_.define({link, 1, "NXT", at});
  }
  config_.define({at, 1, "CAPID", id});
  config_.define({static_cast<u16>(at + 1), 1, "NXT", 0});
  last_capability_ = at;
  capability_end_ = std::max(capability_end_, static_cast<u16>(align_up(place + length_bytes, 4)));
  return at;
}

u64 PciDevice::bar_address(unsigned index) const {
  const Bar& bar = bars_[index];
  const u32 offset = index == kRomIndex ? kRomBar : bar_offset(index);
  u64 address = config_.get<u32>(offset);
  if (bar.wide) address |= u64{config_.get<u32>(offset + 4)} << 32;
  return address & ~(bar.size_bytes - 1);
}

void PciDevice::update_bars() {
  const AddressSpace::Transaction grouped(bus_.wires().dma);
  for (unsigned i = 0; i <= kRomIndex; ++i) {
    const Bar& bar = bars_[i];
    if (bar.region == nullptr) continue;
    bool enabled = (command() & (bar.io ? kCommandIo : kCommandMemory)) != 0;
    if (i == kRomIndex) enabled &= (config_.get<u32>(kRomBar) & kRomEnable) != 0;
    update_bar(*bar.region, enabled, bar_address(i),
               bar.io ? bus_.wires().ports : bus_.wires().memory);
  }
}

// Guests size BARs with decoding enabled: address zero and an address whose window ends at the top
// of 32 or 64 bits (all ones under the mask) are "nowhere", or RAM and the reset vector would be
// hidden meanwhile.
void PciDevice::update_bar(Region& region, bool enabled, u64 address, const Region& container) {
  const u64 last = address + region.size_bytes() - 1;
  enabled &= address != 0 && last != 0xffffffffu &&
             range_fits(address, region.size_bytes(), container.size_bytes());
  if (!enabled) {
    if (region.enabled()) region.set_enabled(false);
    return;
  }
  if (region.offset() != address) region.set_offset(address);
  if (!region.enabled()) region.set_enabled(true);
}

MsiCapability& PciDevice::add_msi(unsigned vectors, u8 offset) {
  EMU_CHECK(!msi_);
  const u8 at = add_capability(kCapabilityMsi, MsiCapability::kLengthBytes, offset);
  MsiSink& master = *this;
  msi_ = std::make_unique<MsiCapability>(config_, at, vectors, master);
  return *msi_;
}

MsixCapability& PciDevice::add_msix(unsigned vectors, const MsixCapability::Place& place,
                                    u8 offset) {
  EMU_CHECK(!msix_);
  const u8 at = add_capability(kCapabilityMsix, MsixCapability::kLengthBytes, offset);
  MsiSink& master = *this;
  msix_ = std::make_unique<MsixCapability>(config_, at, vectors, place, master);
  return *msix_;
}

bool PciDevice::messages_enabled() const {
  return (msix_ && msix_->enabled()) || (msi_ && msi_->enabled());
}

bool PciDevice::send_message(unsigned vector) {
  if (!messages_enabled()) return false;
  if (msix_ && msix_->enabled()) {
    msix_->send(vector);
  } else {
    msi_->send(vector);
  }
  return true;
}

void PciDevice::set_intx(bool active) {
  if (intx_ == active) return;
  intx_ = active;
  update_intx();
}

void PciDevice::update_intx() {
  const bool level = intx_ && (command() & kCommandIntxDisable) == 0;
  if (level == pin_level_) return;
  pin_level_ = level;
  pin_.set(level);
}

void PciDevice::reset_config() {
  config_.reset();
  intx_ = false;
  if (msix_) msix_->reset();
  update_bars();
  update_intx();
}

void PciDevice::transfer_config(StateIo& io) {
  io.section("pci", 1, [&] {
    config_.transfer(io, 1);
    io.field(2, "intx", intx_);
    if (msix_) msix_->transfer(io);
  });
}

void PciDevice::resume_config() {
  update_bars();
  pin_level_ = intx_ && (command() & kCommandIntxDisable) == 0;
  pin_.restore(pin_level_);
}

}  // namespace emu
