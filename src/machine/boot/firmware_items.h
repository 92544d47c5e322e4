// SPDX-License-Identifier: Apache-2.0
// What firmware is told about the machine: fw_cfg items and CMOS memory.
// Source: QEMU docs/specs/fw_cfg.rst; SeaBIOS docs/Runtime_config.md; hw/i386/pc.c pc_cmos_init for
// the meaning of CMOS bytes.
#pragma once

#include <array>
#include <span>
#include <string>

#include "devices/chipset/mc146818.h"
#include "machine/fw_cfg.h"
#include "machine/machine_config.h"

namespace emu {

// What sits on the two IDE channels, in order: primary master, primary slave, secondary master, ...
enum class IdePlace : u8 { kEmpty, kDisk, kCdrom };
using IdePlaces = std::array<IdePlace, kMaxIdeDrives>;

// What firmware may start from: its letter in a boot order, its OpenFirmware path, and its place
// before all letters; -1: none.
struct BootDevice {
  char letter = 'c';
  std::string path;
  int index = -1;
};

// Fills `fw_cfg`, and calls finish().
void add_firmware_items(FwCfg& fw_cfg, const MachineConfig& config,
                        std::span<const BootDevice> devices);
// Memory sizes, boot order and processor count in CMOS.
// `floppy_types` are the drives' types as byte 10h has them, 0 for none.
void set_firmware_cmos(Mc146818& rtc, const MachineConfig& config,
                       const std::array<u8, kMaxFloppies>& floppy_types);
// SeaBIOS's "bootorder" file: OpenFirmware device paths, one a line: those with an index, then the
// others in the order of their letters.
[[nodiscard]] std::string boot_order_file(const std::string& order,
                                          std::span<const BootDevice> devices);

}  // namespace emu
