// SPDX-License-Identifier: Apache-2.0
#include "machine/boot/firmware_items.h"

#include <algorithm>

#include "base/bits.h"
#include "machine/acpi/acpi_tables.h"
#include "machine/boot/e820.h"
#include "machine/smbios/smbios_tables.h"

namespace emu {
namespace {

template <class T>
std::vector<u8> bytes_of(T value) {
  std::vector<u8> out(sizeof value);
  store_le(out.data(), value);
  return out;
}

// etc/e820: RAM only; firmware adds what it uses itself.
std::vector<E820Entry> ram_map(const MemoryLayout& memory) {
  std::vector<E820Entry> map{{0, memory.low_bytes, E820Entry::kRam}};
  if (memory.high_bytes != 0) map.push_back({kHighMemoryBase, memory.high_bytes, E820Entry::kRam});
  return map;
}

// A CMOS boot device number of SeaBIOS.
u8 boot_device(char letter) {
  switch (letter) {
    case 'a':
      return 1;
    case 'c':
      return 2;
    case 'd':
      return 3;
    case 'n':
      return 4;
    default:
      return 0;
  }
}

void set_cmos_word(Mc146818& rtc, u8 index, u64 value) {
  rtc.set_cmos(index, static_cast<u8>(value));
  rtc.set_cmos(static_cast<u8>(index + 1), static_cast<u8>(value >> 8));
}

}  // namespace

std::string boot_order_file(const std::string& order, std::span<const BootDevice> devices) {
  std::vector<BootDevice> first(devices.begin(), devices.end());
  std::erase_if(first, [](const BootDevice& device) { return device.index < 0; });
  std::ranges::stable_sort(first, {}, &BootDevice::index);
  std::string out;
  for (const BootDevice& device : first) out += device.path + "\n";
  for (const char letter : order) {
    for (const BootDevice& device : devices) {
      if (device.letter == letter && device.index < 0) out += device.path + "\n";
    }
  }
  return out;
}

void add_firmware_items(FwCfg& fw_cfg, const MachineConfig& config,
                        std::span<const BootDevice> devices) {
  const auto cpus = static_cast<u16>(config.cpus);
  fw_cfg.add_value<u64>(FwCfg::kRamSize, MemoryLayout::of(config.memory_bytes).low_bytes);
  fw_cfg.add(FwCfg::kUuid, std::vector<u8>(16));
  fw_cfg.add_value<u16>(FwCfg::kNoGraphic, 0);
  fw_cfg.add_value<u16>(FwCfg::kCpuCount, cpus);
  fw_cfg.add_value<u16>(FwCfg::kMaxCpus, cpus);
  fw_cfg.add_value<u16>(FwCfg::kBootMenu, config.boot_menu ? 1 : 0);
  fw_cfg.add_value<u8>(FwCfg::kIrq0Override, 1);

  fw_cfg.add_file("etc/e820", pack_e820(ram_map(MemoryLayout::of(config.memory_bytes))));
  fw_cfg.add_file("etc/max-cpus", bytes_of<u16>(cpus));
  // S3 and S4 are not offered: bit 7 of their bytes is clear.
  fw_cfg.add_file("etc/system-states", {128, 0, 0, 1, 2, 128});
  fw_cfg.add_file("etc/boot-fail-wait", bytes_of<u32>(~u32{0}));
  if (!config.boot_menu) fw_cfg.add_file("etc/boot-menu-wait", bytes_of<u32>(0));

  const AcpiTables acpi({.cpus = config.cpus, .hpet = true});
  fw_cfg.add_file(acpi.tables().file(), acpi.tables().bytes());
  fw_cfg.add_file(acpi.rsdp().file(), acpi.rsdp().bytes());
  fw_cfg.add_file("etc/table-loader", acpi.loader_script());

  const SmbiosTables smbios = SmbiosTables::build({config.memory_bytes, config.cpus});
  const auto anchor = smbios.entry_point_2(0);
  fw_cfg.add_file("etc/smbios/smbios-tables", smbios.structures);
  fw_cfg.add_file("etc/smbios/smbios-anchor", {anchor.begin(), anchor.end()});

  // Without a screen, the BIOS and what it starts show their text on the serial port.
  if (config.display == DisplayKind::kNone && config.serial.kind != SerialKind::kNone) {
    fw_cfg.add_file("etc/sercon-port", bytes_of<u16>(0x3f8));
  }
  std::string order = boot_order_file(config.boot_order, devices);
  if (!order.empty()) {
    order.back() = '\0';  // instead of the last line's end
    fw_cfg.add_file("bootorder", {order.begin(), order.end()});
  }
  // UEFI firmware waits minutes for network servers, unless it is told not to (edk2,
  // OvmfPkg/RUNTIME_CONFIG.md).
  if (config.boot_order.find('n') == std::string::npos) {
    for (const char* what : {"IPv4Support", "IPv6Support", "IPv4PXESupport", "IPv6PXESupport"}) {
      fw_cfg.add_file(std::string("opt/org.tianocore/") + what, {'n', 'o'});
    }
  }
  fw_cfg.finish();
}

void set_firmware_cmos(Mc146818& rtc, const MachineConfig& config,
                       const std::array<u8, kMaxFloppies>& floppy_types) {
  const MemoryLayout memory = MemoryLayout::of(config.memory_bytes);
  const u64 above_1m = memory.low_bytes > kMiB ? (memory.low_bytes - kMiB) / kKiB : 0;
  const u64 above_16m =
      memory.low_bytes > 16 * kMiB ? (memory.low_bytes - 16 * kMiB) / (64 * kKiB) : 0;
  const u64 above_4g = memory.high_bytes / (64 * kKiB);
  set_cmos_word(rtc, 0x15, 640);
  set_cmos_word(rtc, 0x17, std::min<u64>(above_1m, 0xffff));
  set_cmos_word(rtc, 0x30, std::min<u64>(above_1m, 0xffff));
  set_cmos_word(rtc, 0x34, std::min<u64>(above_16m, 0xffff));
  set_cmos_word(rtc, 0x5b, above_4g);
  rtc.set_cmos(0x5d, static_cast<u8>(above_4g >> 16));
  rtc.set_cmos(0x5f, static_cast<u8>(config.cpus - 1));
  const unsigned floppies = (floppy_types[0] != 0 ? 1u : 0u) + (floppy_types[1] != 0 ? 1u : 0u);
  rtc.set_cmos(0x10, static_cast<u8>(floppy_types[0] << 4 | floppy_types[1]));
  // Equipment: coprocessor, PS/2 mouse, floppy drives; the display by its own ROM.
  rtc.set_cmos(0x14, static_cast<u8>(0x06 | (floppies != 0 ? 1 | (floppies - 1) << 6 : 0)));
  const std::string& order = config.boot_order;
  const auto device = [&order](std::size_t i) {
    return i < order.size() ? boot_device(order[i]) : 0;
  };
  rtc.set_cmos(0x3d, static_cast<u8>(device(1) << 4 | device(0)));
  rtc.set_cmos(0x38, static_cast<u8>(device(2) << 4));
}

}  // namespace emu
