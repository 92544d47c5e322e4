// SPDX-License-Identifier: Apache-2.0
// The board's disks: the IDE channels, controllers on PCI cards, the floppy controller; and what
// SeaBIOS calls each of them in its boot order.
// Source: SeaBIOS src/boot.c (bootprio_find_*) for the paths.
#include "devices/chipset/i8237.h"
#include "devices/storage/floppy_controller.h"
#include "devices/storage/ide_controller.h"
#include "devices/virtio/virtio_block.h"
#include "devices/virtio/virtio_pci.h"
#include "machine/pc.h"

namespace emu {
namespace {

constexpr AccessSizes kBytes{1, 1, false};
constexpr unsigned kFirstCardSlot = 3;

std::string serial_of(const DriveConfig& drive, std::size_t number) {
  return drive.serial.empty() ? fmt::format("EMU{:05}", number) : drive.serial;
}

}  // namespace

void Pc::add_disks() {
  auto& ide = own(std::make_unique<IdeController>(map_->memory(), irq(14), irq(15)));
  constexpr std::array<u16, 2> kCommandPorts{0x1f0, 0x170};
  constexpr std::array<u16, 2> kControlPorts{0x3f6, 0x376};
  for (unsigned i = 0; i < 2; ++i) {
    map_->add_port("ide.command", kCommandPorts[i], IdeController::kCommandBytes,
                   ide.command_ports(i), IdeController::kCommandSizes);
    map_->add_port("ide.control", kControlPorts[i], IdeController::kControlBytes,
                   ide.control_ports(i), IdeController::kByteSizes);
  }
  own(std::make_unique<Piix3Ide>(*pci_bus_, 1, ide.bus_master()));
  for (unsigned i = 0; i < kMaxIdeDrives; ++i) {
    const PcDrive& drive = host_.drives[i];
    const std::string path = fmt::format("/pci@i0cf8/ide@1,1/drive@{}/disk@{}", i / 2, i % 2);
    if (drive.kind == IdePlace::kCdrom) {
      boot_devices_.push_back({'d', path});
      ide.attach_cdrom(i / 2, i % 2, drive.backend);
    } else if (drive.kind == IdePlace::kDisk) {
      boot_devices_.push_back({'c', path});
      DriveIdentity identity;
      identity.serial = drive.serial.empty() ? fmt::format("EMU{:05}", i + 1) : drive.serial;
      ide.attach_disk(i / 2, i % 2, *drive.backend, identity);
    }
  }
}

// A board without floppy drives has no controller for them either.
void Pc::add_floppies() {
  if (std::ranges::all_of(host_.floppies, [](const BlockBackend* f) { return f == nullptr; }))
    return;
  auto& floppy = own(std::make_unique<FloppyController>(FloppyController::Wires{irq(6), *dma_, 2}));
  map_->add_port("floppy", 0x3f0, FloppyController::kPortBytes, floppy.ports(), kBytes);
  map_->add_port("floppy.change", 0x3f7, FloppyController::kChangePortBytes, floppy.change_port(),
                 kBytes);
  for (unsigned i = 0; i < kMaxFloppies; ++i) {
    if (host_.floppies[i] != nullptr) floppy.change_medium(i, host_.floppies[i]);
    floppy_types_[i] = floppy.cmos_type(i);
  }
}

// Each disk is a function in a slot of its own.
void Pc::add_disk_cards(const MachineConfig& config) {
  std::size_t number = kMaxIdeDrives;
  for (const PcDiskCard& card : host_.disk_cards) {
    const unsigned slot = pci_bus_->free_device(kFirstCardSlot);
    VirtioBlock::Options options;
    options.serial = serial_of(card.config, ++number);
    options.queues =
        card.config.queues != 0 ? card.config.queues : std::min(config.cpus, kMaxDriveQueues);
    auto disk = std::make_unique<VirtioBlock>(map_->memory(), *card.backend, options);
    disk->offer_packed_rings(card.config.packed_rings);
    own(std::make_unique<VirtioPci>(*pci_bus_, pci::devfn(slot, 0),
                                    fmt::format("virtio-block{}", number - kMaxIdeDrives - 1),
                                    std::move(disk)));
    boot_devices_.push_back({'c', fmt::format("/pci@i0cf8/scsi@{:x}/disk@0,0", slot)});
  }
}

}  // namespace emu
