// SPDX-License-Identifier: Apache-2.0
#include "devices/chipset/i440fx.h"

namespace emu {
namespace {

constexpr u16 kPam0 = 0x59, kSmram = 0x72;
constexpr u8 kSmramOpen = 1 << 6, kSmramClosed = 1 << 5, kSmramLock = 1 << 4, kSmramEnable = 1 << 3;
constexpr u8 kSmramReset = 0x02;  // C_BASE_SEG: A0000h, the only value there is

enum Hook : u8 { kHookPam = pci::kHookDevice, kHookSmram };

constexpr PciIdentity kIdentity{
    .vendor = 0x8086,
    .device = 0x1237,
    .revision = 0x02,
    .class_code = 0x060000,
    .status = pci::kStatusFastBackToBack | pci::kStatusDevselMedium,
};

// Data sheet table 3-2. The DRAM registers only remember what firmware writes.
constexpr RegisterSpec kRegisters[] = {
    {pci::kCommand, 2, "PCICMD", pci::kCommandMemory | pci::kCommandMaster, pci::kCommandSerr},
    {0x50, 2, "PMCCFG", 0, 0xffff},
    {0x52, 1, "DETURBO", 0, 0xff},
    {0x53, 1, "DBC", 0x80, 0xff},
    {0x54, 1, "AXC", 0, 0xff},
    {0x55, 2, "DRT", 0, 0xffff},
    {0x57, 1, "DRAMC", 0x01, 0xff},
    {0x58, 1, "DRAMT", 0x10, 0xff},
    {0x59, 1, "PAM0", 0, 0x30, 0, kHookPam},
    {0x5a, 1, "PAM1", 0, 0x33, 0, kHookPam},
    {0x5b, 1, "PAM2", 0, 0x33, 0, kHookPam},
    {0x5c, 1, "PAM3", 0, 0x33, 0, kHookPam},
    {0x5d, 1, "PAM4", 0, 0x33, 0, kHookPam},
    {0x5e, 1, "PAM5", 0, 0x33, 0, kHookPam},
    {0x5f, 1, "PAM6", 0, 0x33, 0, kHookPam},
    {0x60, 4, "DRB0-3", 0x01010101, 0xffffffff},
    {0x64, 4, "DRB4-7", 0x01010101, 0xffffffff},
    {0x68, 1, "FDHC", 0, 0xc0},
    {0x70, 1, "MTT", 0, 0xf8},
    {0x71, 1, "CLT", 0x10, 0xff},
    {kSmram, 1, "SMRAM", kSmramReset, 0x78, 0, kHookSmram},
    {0x90, 1, "ERRCMD", 0, 0xff},
    {0x91, 1, "ERRSTS", 0, 0, 0x11},
};

// Segment 0 is the high nibble of PAM0; then low and high nibbles of PAM1..PAM6.
constexpr u8 pam_bits(u8 reg, unsigned index) {
  return index % 2 == 0 ? (reg >> 4) & 3 : reg & 3;
}
constexpr u32 pam_register(unsigned index) {
  return kPam0 + (index + 1) / 2;
}
constexpr u8 kPamRead = 1 << 0, kPamWrite = 1 << 1;

}  // namespace

I440fx::I440fx(PciBus& bus, HostBridgeMap& map)
    : PciDevice(bus, pci::devfn(0, 0), "i440fx", kIdentity), map_(map) {
  config().define(kRegisters);
}

void I440fx::reset() {
  reset_config();
  update_pam(true);
  update_smram(true);
}

void I440fx::resumed() {
  resume_config();
  update_pam(true);
  update_smram(true);
}

void I440fx::config_written(HookSet hooks) {
  if (hooks.has(kHookPam)) update_pam(false);
  if (hooks.has(kHookSmram)) update_smram(false);
}

void I440fx::update_pam(bool always) {
  for (unsigned i = 0; i < pam_.size(); ++i) {
    const u8 now = pam_bits(config().get<u8>(pam_register(i)), i);
    if (now == pam_[i] && !always) continue;
    pam_[i] = now;
    map_.set_pam(i, (now & kPamRead) != 0, (now & kPamWrite) != 0);
  }
}

// D_LCK closes SMRAM and makes itself, D_OPEN and G_SMRAME read-only until reset.
void I440fx::update_smram(bool always) {
  u8 value = config().get<u8>(kSmram);
  if (smram_.locked && !always) {
    value |= kSmramLock;
    value = static_cast<u8>(smram_.enabled ? value | kSmramEnable : value & ~kSmramEnable);
  }
  if ((value & kSmramLock) != 0) value = static_cast<u8>(value & ~kSmramOpen);
  config().set<u8>(kSmram, value);
  const SmramControl now{(value & kSmramEnable) != 0, (value & kSmramOpen) != 0,
                         (value & kSmramClosed) != 0, (value & kSmramLock) != 0};
  if (now == smram_ && !always) return;
  smram_ = now;
  map_.set_smram(now);
}

}  // namespace emu
