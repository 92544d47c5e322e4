// SPDX-License-Identifier: Apache-2.0
#include "devices/pci/pci_bus.h"

#include "base/bits.h"
#include "base/check.h"
#include "devices/pci/pci_spec.h"

namespace emu {
namespace {

constexpr u32 kAddressEnable = 1u << 31;
constexpr u32 kAddressBits = 0x80fffffc;  // PCI 3.0 figure 3-2
constexpr u64 kDataPort = 4;

}  // namespace

void PciBus::attach(u8 devfn, PciFunction& function) {
  EMU_CHECK(functions_[devfn] == nullptr);
  functions_[devfn] = &function;
}

void PciBus::detach(u8 devfn) {
  functions_[devfn] = nullptr;
  for (unsigned pin = 0; pin < 4; ++pin) set_irq(devfn * 4u + pin, false);
}

unsigned PciBus::free_device(unsigned first) const {
  for (unsigned device = first; device < 32; ++device) {
    bool used = false;
    for (unsigned function = 0; function < 8; ++function) {
      used |= functions_[pci::devfn(device, function)] != nullptr;
    }
    if (!used) return device;
  }
  return 32;
}

u32 PciBus::read_config(u8 bus, u8 devfn, u32 offset, unsigned size) {
  PciFunction* function = bus == 0 ? functions_[devfn] : nullptr;
  if (function == nullptr) return static_cast<u32>(byte_mask(size));
  return function->read_config(offset, size) & static_cast<u32>(byte_mask(size));
}

void PciBus::write_config(u8 bus, u8 devfn, u32 offset, unsigned size, u32 value) {
  PciFunction* function = bus == 0 ? functions_[devfn] : nullptr;
  if (function != nullptr) function->write_config(offset, size, value);
}

IrqLine PciBus::intx_line(u8 devfn, unsigned pin) {
  if (pin == 0) return {};
  EMU_CHECK(pin <= 4);
  return {*this, devfn * 4u + pin - 1};
}

unsigned PciBus::take_level(unsigned input, bool active) {
  const u8 devfn = static_cast<u8>(input / 4);
  const unsigned pirq = pirq_of(devfn, input % 4 + 1);
  levels_[pirq].set(devfn, active);
  return pirq;
}

void PciBus::set_irq(unsigned input, bool active) {
  const unsigned pirq = pirq_of(static_cast<u8>(input / 4), input % 4 + 1);
  const bool before = levels_[pirq].any();
  take_level(input, active);
  const bool after = levels_[pirq].any();
  if (router_ != nullptr && before != after) router_->set_irq(pirq, after);
}

void PciBus::restore_irq(unsigned input, bool active) {
  const unsigned pirq = take_level(input, active);
  if (router_ != nullptr) router_->restore_irq(pirq, levels_[pirq].any());
}

void PciConfigPorts::transfer(StateIo& io) {
  io.section(name(), 1, [&] { io.field(1, "CONFADD", address_); });
  address_ &= kAddressBits;
}

u64 PciConfigPorts::read(u64 offset, unsigned size) {
  if (offset < kDataPort) {
    if (size == 4) return address_;
    return others_ != nullptr ? others_->read(offset, size) : byte_mask(size);
  }
  if ((address_ & kAddressEnable) == 0) return byte_mask(size);
  return bus_.read_config(static_cast<u8>(address_ >> 16), static_cast<u8>(address_ >> 8),
                          (address_ & 0xfc) + static_cast<u32>(offset - kDataPort), size);
}

void PciConfigPorts::write(u64 offset, unsigned size, u64 value) {
  if (offset < kDataPort) {
    if (size == 4) {
      address_ = static_cast<u32>(value) & kAddressBits;
    } else if (others_ != nullptr) {
      others_->write(offset, size, value);
    }
    return;
  }
  if ((address_ & kAddressEnable) == 0) return;
  bus_.write_config(static_cast<u8>(address_ >> 16), static_cast<u8>(address_ >> 8),
                    (address_ & 0xfc) + static_cast<u32>(offset - kDataPort), size,
                    static_cast<u32>(value));
}

}  // namespace emu
