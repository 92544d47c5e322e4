// SPDX-License-Identifier: Apache-2.0
#include "devices/storage/ahci_controller.h"

#include "base/bits.h"

namespace emu {

using namespace ahci;

namespace {

constexpr PciIdentity kIdentity{
    .vendor = 0x8086, .device = 0x2922, .revision = 2, .class_code = 0x010601, .interrupt_pin = 1};
constexpr unsigned kAbar = 5;
constexpr u32 kBarBytes = 0x1000;
// CAP: 64-bit addresses, NCQ, AHCI only, 3 Gbit/s, 32 slots, six ports.
constexpr u32 kCapValue =
    1u << 31 | 1u << 30 | 1u << 18 | 2u << 20 | (kSlots - 1) << 8 | (AhciController::kPorts - 1);

}  // namespace

AhciController::AhciController(PciBus& bus, u8 devfn, const std::string& name)
    : PciDevice(bus, devfn, name, kIdentity) {
  for (unsigned i = 0; i < kPorts; ++i) {
    ports_.push_back(std::make_unique<AhciPort>(AhciPort::Wires{
        bus.wires().dma, [this] { return bus_master(); }, [this] { port_changed(); }}));
  }
  region_ = Region::mmio(name, kBarBytes, registers_, AccessSizes{4, 4, false});
  add_bar(kAbar, BarKind::kMemory32, *region_);
  add_msi(1, 0x80);
}

AhciController::~AhciController() = default;

void AhciController::attach_disk(unsigned port, BlockBackend& backend,
                                 const DriveIdentity& identity) {
  ports_.at(port)->attach(backend, identity);
}

CdromUnit& AhciController::attach_cdrom(unsigned port, BlockBackend* medium,
                                        const DriveIdentity& identity) {
  return ports_.at(port)->attach_cdrom(medium, identity);
}

u64 AhciController::read_register(u64 offset, unsigned) {
  if (offset >= kPortBase) {
    const u64 port = (offset - kPortBase) / kPortBytes;
    return port < kPorts ? ports_[port]->read(static_cast<u32>(offset % kPortBytes)) : 0;
  }
  switch (offset) {
    case kCap:
      return kCapValue;
    case kGhc:
      return kGhcAhci | (interrupts_ ? kGhcInterrupts : 0);
    case kIs:
      return is_;
    case kPi:
      return (1u << kPorts) - 1;
    case kVs:
      return 0x00010300;
    default:
      return 0;
  }
}

void AhciController::write_register(u64 offset, unsigned, u64 wide) {
  const u32 value = static_cast<u32>(wide);
  if (offset >= kPortBase) {
    const u64 port = (offset - kPortBase) / kPortBytes;
    if (port < kPorts) ports_[port]->write(static_cast<u32>(offset % kPortBytes), value);
    return port_changed();
  }
  if (offset == kGhc) {
    if ((value & kGhcReset) != 0) return reset_host();
    interrupts_ = (value & kGhcInterrupts) != 0;
  } else if (offset == kIs) {
    is_ &= ~value;
  }
  port_changed();
}

// A port's interrupt sets its bit in IS again for as long as it is pending (5.6.2); each new one
// sends a message.
void AhciController::port_changed() {
  const u32 before = is_;
  for (unsigned i = 0; i < kPorts; ++i) {
    if (ports_[i]->pending_interrupt()) is_ |= 1u << i;
  }
  const bool level = interrupts_ && is_ != 0;
  if (level && (is_ & ~before) != 0 && send_message(0)) return;
  set_intx(level && !messages_enabled());
}

void AhciController::reset_host() {
  interrupts_ = false;
  for (auto& port : ports_) port->reset();
  is_ = 0;
  set_intx(false);
}

void AhciController::reset() {
  reset_host();
  reset_config();
}

void AhciController::transfer(StateIo& io) {
  io.section(name(), 1, [&] {
    transfer_config(io);
    io.field(1, "interrupts", interrupts_);
    io.field(2, "is", is_);
    for (unsigned i = 0; i < kPorts; ++i)
      io.section(fmt::format("port{}", i), 1, [&] { ports_[i]->transfer(io); });
  });
}

void AhciController::resumed() {
  resume_config();
  for (auto& port : ports_) port->resumed();
}

}  // namespace emu
