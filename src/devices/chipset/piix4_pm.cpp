// SPDX-License-Identifier: Apache-2.0
#include "devices/chipset/piix4_pm.h"

namespace emu {
namespace {

constexpr u16 kPmba = 0x40, kDevactb = 0x58, kPmRegMisc = 0x80, kSmbba = 0x90,
              kSmbHostConfig = 0xd2;
constexpr u32 kDevactbApmEnable = 1 << 25;
constexpr u8 kPmIoEnable = 1 << 0, kSmbHostEnable = 1 << 0;

enum Hook : u8 { kHookWindows = pci::kHookDevice };

constexpr PciIdentity kIdentity{
    .vendor = 0x8086,
    .device = 0x7113,
    .revision = 0x03,
    .class_code = 0x068000,
    .interrupt_pin = 1,
    .status = pci::kStatusFastBackToBack | pci::kStatusDevselMedium,
};

// Data sheet 7.1. PMBA and SMBBA say in bit 0 that they are I/O.
constexpr RegisterSpec kRegisters[] = {
    {kPmba, 4, "PMBA", 1, 0xffc0, 0, kHookWindows},
    {0x44, 4, "CNTA", 0, 0xffffffff},
    {0x48, 4, "CNTB", 0, 0xffffffff},
    {0x4c, 4, "GPICTL", 0, 0xffffffff},
    {0x50, 4, "DEVRESD", 0, 0xffffffff},
    {0x54, 4, "DEVACTA", 0, 0xffffffff},
    {kDevactb, 4, "DEVACTB", 0, 0xffffffff},
    {0x5c, 4, "DEVRESA", 0, 0xffffffff},
    {0x60, 4, "DEVRESB", 0, 0xffffffff},
    {0x64, 4, "DEVRESC", 0, 0xffffffff},
    {0x68, 4, "DEVRESE", 0, 0xffffffff},
    {0x6c, 4, "DEVRESF", 0, 0xffffffff},
    {0x70, 4, "DEVRESG", 0, 0xffffffff},
    {0x74, 4, "DEVRESH", 0, 0xffffffff},
    {0x78, 4, "DEVRESI", 0, 0xffffffff},
    {0x7c, 4, "DEVRESJ", 0, 0xffffffff},
    {kPmRegMisc, 1, "PMREGMISC", 0, 0x01, 0, kHookWindows},
    {kSmbba, 4, "SMBBA", 1, 0xfff0, 0, kHookWindows},
    {kSmbHostConfig, 1, "SMBHSTCFG", 0, 0x0f, 0, kHookWindows},
    {0xd3, 1, "SMBSLVC", 0, 0xff},
    {0xd4, 1, "SMBSHDW1", 0, 0xff},
    {0xd5, 1, "SMBSHDW2", 0, 0xff},
};

// Data sheet 7.3.
constexpr u64 kSmbHostControl = 2;
constexpr u8 kSmbStart = 1 << 6;
constexpr u8 kSmbDeviceError = 1 << 2;
constexpr RegisterSpec kSmbusRegisters[] = {
    {0x0, 1, "SMBHSTSTS", 0, 0, 0x1e}, {0x1, 1, "SMBSLVSTS", 0, 0, 0x3c},
    {0x2, 1, "SMBHSTCNT", 0, 0x1f},    {0x3, 1, "SMBHSTCMD", 0, 0xff},
    {0x4, 1, "SMBHSTADD", 0, 0xff},    {0x5, 1, "SMBHSTDAT0", 0, 0xff},
    {0x6, 1, "SMBHSTDAT1", 0, 0xff},   {0x7, 1, "SMBBLKDAT", 0, 0xff},
    {0x8, 1, "SMBSLVCNT", 0, 0x0f},    {0xa, 2, "SMBSLVEVT", 0, 0xffff},
};

}  // namespace

Piix4Smbus::Piix4Smbus() {
  registers_.define(kSmbusRegisters);
}

u64 Piix4Smbus::read(u64 offset, unsigned size) {
  return registers_.read(static_cast<u32>(offset), size);
}

void Piix4Smbus::write(u64 offset, unsigned size, u64 value) {
  registers_.write(static_cast<u32>(offset), size, static_cast<u32>(value));
  if (offset != kSmbHostControl || (value & kSmbStart) == 0) return;
  registers_.set<u8>(0, registers_.get<u8>(0) | kSmbDeviceError);
}

void Piix4Smbus::transfer(StateIo& io) {
  io.section("smbus", 1, [&] { registers_.transfer(io, 1); });
}

Piix4Pm::Piix4Pm(PciBus& bus, unsigned device, Wires wires)
    : PciDevice(bus, pci::devfn(device, 3), "piix4-pm", kIdentity),
      wires_(std::move(wires)),
      pm_window_(Region::mmio("acpi-pm", kPmWindowBytes, wires_.pm_registers, wires_.pm_sizes)),
      smbus_window_(Region::mmio("smbus", Piix4Smbus::kWindowBytes, smbus_, kByteRegisters)) {
  config().define(kRegisters);
  for (Region* window : {pm_window_.get(), smbus_window_.get()}) {
    window->set_enabled(false);
    bus.wires().ports.add(*window, 0, 1);
  }
}

u16 Piix4Pm::pm_base() const {
  if ((config().get<u8>(kPmRegMisc) & kPmIoEnable) == 0) return 0;
  return config().get<u16>(kPmba) & 0xffc0;
}

// A base of zero is one that nobody programmed.
void Piix4Pm::place(Region& region, bool enabled, u16 base) {
  enabled &= base != 0;
  if (!enabled) {
    if (region.enabled()) region.set_enabled(false);
    return;
  }
  if (region.offset() != base) region.set_offset(base);
  if (!region.enabled()) region.set_enabled(true);
}

void Piix4Pm::place_windows() {
  place(*pm_window_, true, pm_base());
  place(*smbus_window_, (config().get<u8>(kSmbHostConfig) & kSmbHostEnable) != 0,
        config().get<u16>(kSmbba) & 0xfff0);
}

void Piix4Pm::config_written(HookSet hooks) {
  if (hooks.has(kHookWindows)) place_windows();
}

u64 Piix4Pm::read_apm(u64 offset, unsigned) {
  return offset == 0 ? apm_control_ : apm_status_;
}

void Piix4Pm::write_apm(u64 offset, unsigned, u64 value) {
  if (offset != 0) {
    apm_status_ = static_cast<u8>(value);
    return;
  }
  apm_control_ = static_cast<u8>(value);
  wires_.apm_command(apm_control_);
  if ((config().get<u32>(kDevactb) & kDevactbApmEnable) != 0) wires_.raise_smi();
}

void Piix4Pm::reset() {
  reset_config();
  smbus_.reset();
  apm_control_ = 0;
  apm_status_ = 0;
  if (smm_absent_) config().set<u32>(kDevactb, kDevactbApmEnable);
  place_windows();
}

void Piix4Pm::transfer(StateIo& io) {
  io.section(name(), 1, [&] {
    transfer_config(io);
    smbus_.transfer(io);
    io.field(1, "APMC", apm_control_);
    io.field(2, "APMS", apm_status_);
  });
}

void Piix4Pm::resumed() {
  resume_config();
  place_windows();
}

}  // namespace emu
