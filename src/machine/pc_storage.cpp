// SPDX-License-Identifier: Apache-2.0
// The board's disks: the IDE channels, controllers on PCI cards, the floppy controller; and what
// SeaBIOS calls each of them in its boot order.
// Source: SeaBIOS src/boot.c (bootprio_find_*) for the paths.
#include "devices/chipset/i8237.h"
#include "devices/storage/ahci_controller.h"
#include "devices/storage/floppy_controller.h"
#include "devices/storage/ide_controller.h"
#include "devices/storage/nvme_controller.h"
#include "devices/virtio/virtio_block.h"
#include "devices/virtio/virtio_pci.h"
#include "machine/pc.h"

namespace emu {
namespace {

constexpr AccessSizes kBytes{1, 1, false};
constexpr unsigned kFirstCardSlot = 3;

std::string serial_of(const DriveConfig& drive, std::size_t number) {
  return drive.serial.empty() ? fmt::format("EMU{:05}", kMaxIdeDrives + 1 + number) : drive.serial;
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
      cdroms_[i] = &ide.attach_cdrom(i / 2, i % 2, drive.backend);
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
  floppy_ = &floppy;
  map_->add_port("floppy", 0x3f0, FloppyController::kPortBytes, floppy.ports(), kBytes);
  map_->add_port("floppy.change", 0x3f7, FloppyController::kChangePortBytes, floppy.change_port(),
                 kBytes);
  for (unsigned i = 0; i < kMaxFloppies; ++i) {
    if (host_.floppies[i] != nullptr) floppy.change_medium(i, host_.floppies[i]);
    floppy_types_[i] = floppy.cmos_type(i);
  }
}

// Each disk is a function in a slot of its own; SATA disks share one with six ports.
void Pc::add_disk_cards(const MachineConfig& config) {
  std::size_t number = 0;
  for (const PcDiskCard& card : host_.disk_cards) {
    if (card.config.interface == DriveInterface::kUsb) continue;  // see pc_usb.cpp
    if (card.config.interface == DriveInterface::kAhci) {
      add_sata_disk(card, number++);
      continue;
    }
    const unsigned slot = pci_bus_->free_device(kFirstCardSlot);
    const CardPlace place{pci::devfn(slot, 0), number++};
    if (card.config.interface == DriveInterface::kNvme) {
      add_nvme(card, place);
    } else {
      add_virtio_block(card, place, config.cpus);
    }
  }
}

void Pc::add_virtio_block(const PcDiskCard& card, const CardPlace& place, unsigned cpus) {
  VirtioBlock::Options options;
  options.serial = serial_of(card.config, place.number);
  options.queues = card.config.queues != 0 ? card.config.queues : std::min(cpus, kMaxDriveQueues);
  auto disk = std::make_unique<VirtioBlock>(map_->memory(), *card.backend, options);
  disk->offer_packed_rings(card.config.packed_rings);
  own(std::make_unique<VirtioPci>(*pci_bus_, place.devfn,
                                  fmt::format("virtio-block{}", place.number), std::move(disk)));
  boot_devices_.push_back({'c', fmt::format("/pci@i0cf8/scsi@{:x}/disk@0,0", place.devfn / 8)});
}

void Pc::add_sata_disk(const PcDiskCard& card, std::size_t number) {
  if (ahci_ == nullptr || ahci_port_ == AhciController::kPorts) {
    const u8 devfn = pci::devfn(pci_bus_->free_device(kFirstCardSlot), 0);
    ahci_ = &own(std::make_unique<AhciController>(*pci_bus_, devfn, fmt::format("ahci{}", number)));
    ahci_port_ = 0;
  }
  DriveIdentity identity;
  identity.serial = serial_of(card.config, number);
  boot_devices_.push_back(
      {'c', fmt::format("/pci@i0cf8/sata@{:x}/drive@{}/disk@0", ahci_->devfn() / 8, ahci_port_)});
  ahci_->attach_disk(ahci_port_++, *card.backend, identity);
}

void Pc::add_nvme(const PcDiskCard& card, const CardPlace& place) {
  own(std::make_unique<NvmeController>(*pci_bus_, place.devfn, fmt::format("nvme{}", place.number),
                                       *card.backend, serial_of(card.config, place.number)));
  boot_devices_.push_back(
      {'c', fmt::format("/pci@i0cf8/nvme@{:x}/namespace@1,0", place.devfn / 8)});
}

}  // namespace emu
