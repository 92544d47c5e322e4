// SPDX-License-Identifier: Apache-2.0
#include "devices/chipset/piix3.h"

namespace emu {
namespace {

constexpr u16 kPirqRoute = 0x60;
constexpr u8 kPirqOff = 1 << 7;   // PIRQRC bit 7: not steered
constexpr u64 kResetControl = 1;  // CF9h, from CF8h
constexpr u8 kResetCpu = 1 << 2, kResetHard = 1 << 1;
constexpr unsigned kBusMasterBar = 4;

enum Hook : u8 { kHookPirq = pci::kHookDevice };

constexpr PciIdentity kIsaIdentity{
    .vendor = 0x8086,
    .device = 0x7000,
    .class_code = 0x060100,
    .multi_function = true,
    .status = pci::kStatusDevselMedium,
};

// Data sheet table 4. What steers parts that are not modelled only remembers.
constexpr RegisterSpec kIsaRegisters[] = {
    {pci::kCommand, 2, "PCICMD", pci::kCommandIo | pci::kCommandMemory | pci::kCommandMaster,
     pci::kCommandSerr},
    {0x4c, 1, "IORT", 0x4d, 0x7f},
    {0x4e, 2, "XBCS", 0x0003, 0x01ff},
    {kPirqRoute + 0, 1, "PIRQRCA", kPirqOff, 0x8f, 0, kHookPirq},
    {kPirqRoute + 1, 1, "PIRQRCB", kPirqOff, 0x8f, 0, kHookPirq},
    {kPirqRoute + 2, 1, "PIRQRCC", kPirqOff, 0x8f, 0, kHookPirq},
    {kPirqRoute + 3, 1, "PIRQRCD", kPirqOff, 0x8f, 0, kHookPirq},
    {0x69, 1, "TOM", 0x02, 0xfe},
    {0x6a, 2, "MSTAT", 0, 0x8080},
    {0x70, 1, "MBIRQ0", 0x80, 0xef},
    {0x76, 1, "MBDMA0", 0x0c, 0x8f},
    {0x77, 1, "MBDMA1", 0x0c, 0x8f},
    {0x78, 2, "PCSC", 0x0002, 0xffff},
    {0x80, 1, "APICBASE", 0, 0x7f},
    {0x82, 1, "DLC", 0, 0x0f},
    {0xa0, 1, "SMICNTL", 0x08, 0x1f},
    {0xa2, 2, "SMIEN", 0, 0x01ff},
    {0xa4, 4, "SEE", 0, 0xf001ffff},
    {0xa8, 1, "FTMR", 0x0f, 0xff},
    {0xaa, 2, "SMIREQ", 0, 0x01ff},
    {0xac, 1, "CTLTMR", 0, 0xff},
    {0xae, 1, "CTHTMR", 0, 0xff},
};

constexpr PciIdentity kIdeIdentity{
    .vendor = 0x8086,
    .device = 0x7010,
    .class_code = 0x010180,  // bus master, both channels in compatibility mode
    .status = pci::kStatusFastBackToBack | pci::kStatusDevselMedium,
};

constexpr RegisterSpec kIdeRegisters[] = {
    {0x40, 2, "IDETIM (primary)", 0, 0xffff},
    {0x42, 2, "IDETIM (secondary)", 0, 0xffff},
    {0x44, 1, "SIDETIM", 0, 0xff},
};

}  // namespace

Piix3Isa::Piix3Isa(PciBus& bus, unsigned device, const IsaLines& isa,
                   std::function<void()> request_reset)
    : PciDevice(bus, pci::devfn(device, 0), "piix3-isa", kIsaIdentity),
      isa_(isa),
      request_reset_(std::move(request_reset)) {
  config().define(kIsaRegisters);
  bus.set_router(this);
}

Piix3Isa::~Piix3Isa() {
  bus().set_router(nullptr);
}

int Piix3Isa::route(unsigned pirq) const {
  const u8 control = config().get<u8>(kPirqRoute + pirq % PciBus::kPirqCount);
  return (control & kPirqOff) != 0 ? -1 : control & 0x0f;
}

void Piix3Isa::reset() {
  reset_config();
  reset_control_ = 0;
  update_lines();
}

void Piix3Isa::transfer(StateIo& io) {
  io.section(name(), 1, [&] {
    transfer_config(io);
    io.field(1, "RC", reset_control_);
  });
  reset_control_ &= kResetHard;
}

void Piix3Isa::resumed() {
  resume_config();
  driven_ = isa_levels();
  for (unsigned i = 0; i < isa_.size(); ++i) isa_[i].restore(bit(driven_, i));
}

u16 Piix3Isa::isa_levels() const {
  unsigned levels = 0;
  for (unsigned pirq = 0; pirq < PciBus::kPirqCount; ++pirq) {
    const int irq = route(pirq);
    if (irq >= 0 && bit(pirq_levels_, pirq)) levels |= 1u << irq;
  }
  return static_cast<u16>(levels);
}

void Piix3Isa::update_lines() {
  const u16 now = isa_levels();
  const u16 changed = now ^ driven_;
  driven_ = now;
  for (unsigned i = 0; i < isa_.size(); ++i) {
    if (bit(changed, i)) isa_[i].set(bit(now, i));
  }
}

void Piix3Isa::config_written(HookSet hooks) {
  if (hooks.has(kHookPirq)) update_lines();
}

void Piix3Isa::set_irq(unsigned input, bool active) {
  const unsigned mask = 1u << (input % PciBus::kPirqCount);
  pirq_levels_ = static_cast<u8>(active ? pirq_levels_ | mask : pirq_levels_ & ~mask);
  update_lines();
}

void Piix3Isa::restore_irq(unsigned input, bool active) {
  const unsigned mask = 1u << (input % PciBus::kPirqCount);
  pirq_levels_ = static_cast<u8>(active ? pirq_levels_ | mask : pirq_levels_ & ~mask);
  const int irq = route(input % PciBus::kPirqCount);
  driven_ = isa_levels();
  if (irq >= 0) isa_[static_cast<unsigned>(irq)].restore(bit(driven_, static_cast<unsigned>(irq)));
}

u64 Piix3Isa::read(u64 offset, unsigned size) {
  return offset == kResetControl && size == 1 ? reset_control_ : byte_mask(size);
}

// Real hardware resets on the 0 to 1 step of bit 2; the bit cannot be left set here, as the reset
// clears it, so every write of a one is that step.
void Piix3Isa::write(u64 offset, unsigned size, u64 value) {
  if (offset != kResetControl || size != 1) return;
  reset_control_ = static_cast<u8>(value & kResetHard);
  if ((value & kResetCpu) != 0) request_reset_();
}

Piix3Ide::Piix3Ide(PciBus& bus, unsigned device, IoHandler& bus_master)
    : PciDevice(bus, pci::devfn(device, 1), "piix3-ide", kIdeIdentity),
      window_(Region::mmio("ide-bus-master", kBusMasterBytes, bus_master)) {
  config().define(kIdeRegisters);
  add_bar(kBusMasterBar, BarKind::kIo, *window_);
}

}  // namespace emu
