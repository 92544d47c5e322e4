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
#include "devices/virtio/virtio_scsi.h"
#include "machine/pc.h"

namespace emu {
namespace {

constexpr AccessSizes kBytes{1, 1, false};
constexpr unsigned kFirstCardSlot = 3;

std::string serial_of(const DriveConfig& drive, std::size_t number) {
  return drive.serial.empty() ? fmt::format("EMU{:05}", kMaxIdeDrives + 1 + number) : drive.serial;
}

bool is_cdrom(const PcDiskCard& card) {
  return card.config.media == DriveMedia::kCdrom;
}

DriveIdentity identity_of(const PcDiskCard& card, std::size_t number) {
  DriveIdentity identity;
  identity.serial = serial_of(card.config, number);
  if (is_cdrom(card)) identity.model = "EMU CD-ROM";
  return identity;
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
  cdroms_.resize(kMaxIdeDrives + host_.disk_cards.size());
  for (unsigned i = 0; i < kMaxIdeDrives; ++i) {
    const PcDrive& drive = host_.drives[i];
    const std::string path = fmt::format("/pci@i0cf8/ide@1,1/drive@{}/disk@{}", i / 2, i % 2);
    if (drive.kind == IdePlace::kCdrom) {
      boot_devices_.push_back({'d', path, drive.boot_index});
      cdroms_[i] = {&ide.attach_cdrom(i / 2, i % 2, drive.backend).unit(),
                    fmt::format("ide{}-cd{}", i / 2, i % 2)};
    } else if (drive.kind == IdePlace::kDisk) {
      boot_devices_.push_back({'c', path, drive.boot_index});
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
    if (host_.floppies[i] == nullptr) continue;
    boot_devices_.push_back(
        {'a', fmt::format("/pci@i0cf8/isa@1/fdc@03f0/floppy@{}", i), host_.floppy_boot_indexes[i]});
  }
}

// Each disk is a function in a slot of its own; SATA drives share one with six ports, SCSI
// drives one with all targets.
void Pc::add_disk_cards(const MachineConfig& config) {
  std::size_t number = 0;
  for (const PcDiskCard& card : host_.disk_cards) {
    if (card.config.interface == DriveInterface::kUsb) {  // see pc_usb.cpp
      ++number;
      continue;
    }
    if (card.config.interface == DriveInterface::kAhci) {
      add_sata_drive(card, number++);
      continue;
    }
    if (card.config.interface == DriveInterface::kScsi) {
      add_scsi_drive(card, number++, config);
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
  boot_devices_.push_back(
      {'c', fmt::format("/pci@i0cf8/scsi@{:x}/disk@0,0", place.devfn / 8), card.config.boot_index});
}

void Pc::add_sata_drive(const PcDiskCard& card, std::size_t number) {
  if (ahci_ == nullptr || ahci_port_ == AhciController::kPorts) {
    const u8 devfn = pci::devfn(pci_bus_->free_device(kFirstCardSlot), 0);
    ahci_ = &own(std::make_unique<AhciController>(*pci_bus_, devfn, fmt::format("ahci{}", number)));
    ahci_port_ = 0;
    ++ahci_count_;
  }
  boot_devices_.push_back(
      {is_cdrom(card) ? 'd' : 'c',
       fmt::format("/pci@i0cf8/sata@{:x}/drive@{}/disk@0", ahci_->devfn() / 8, ahci_port_),
       card.config.boot_index});
  const DriveIdentity identity = identity_of(card, number);
  if (is_cdrom(card)) {
    cdroms_[kMaxIdeDrives + number] = {&ahci_->attach_cdrom(ahci_port_, card.backend, identity),
                                       fmt::format("sata{}-cd{}", ahci_count_ - 1, ahci_port_)};
  } else {
    ahci_->attach_disk(ahci_port_, *card.backend, identity);
  }
  ++ahci_port_;
}

void Pc::add_scsi_host(const MachineConfig& config) {
  unsigned queues = 0;
  bool packed = false;
  for (const PcDiskCard& card : host_.disk_cards) {
    if (card.config.interface != DriveInterface::kScsi) continue;
    queues = std::max(queues, card.config.queues);
    packed |= card.config.packed_rings;
  }
  if (queues == 0) queues = std::min(config.cpus, kMaxDriveQueues);
  auto host = std::make_unique<VirtioScsi>(map_->memory(), queues);
  host->offer_packed_rings(packed);
  scsi_ = host.get();
  scsi_devfn_ = pci::devfn(pci_bus_->free_device(kFirstCardSlot), 0);
  own(std::make_unique<VirtioPci>(*pci_bus_, scsi_devfn_, "virtio-scsi0", std::move(host)));
}

// A drive without a target gets the first one that nobody has or asks for.
void Pc::add_scsi_drive(const PcDiskCard& card, std::size_t number, const MachineConfig& config) {
  if (scsi_ == nullptr) add_scsi_host(config);
  const auto is_wanted = [this](int target) {
    return std::ranges::any_of(host_.disk_cards, [target](const PcDiskCard& other) {
      return other.config.scsi_target == target;
    });
  };
  VirtioScsi::Place place{0, static_cast<u8>(card.config.scsi_lun)};
  if (card.config.scsi_target >= 0) {
    place.target = static_cast<u8>(card.config.scsi_target);
  } else {
    while (is_wanted(place.target) || !scsi_->is_free(place)) ++place.target;
  }
  boot_devices_.push_back({is_cdrom(card) ? 'd' : 'c',
                           fmt::format("/pci@i0cf8/scsi@{:x}/channel@0/disk@{:x},{:x}",
                                       scsi_devfn_ / 8, place.target, place.lun),
                           card.config.boot_index});
  const DriveIdentity identity = identity_of(card, number);
  if (!is_cdrom(card)) return scsi_->attach_disk(place, *card.backend, identity);
  cdroms_[kMaxIdeDrives + number] = {&scsi_->attach_cdrom(place, card.backend, identity),
                                     fmt::format("scsi{}-cd{}", place.lun, place.target)};
}

void Pc::add_nvme(const PcDiskCard& card, const CardPlace& place) {
  own(std::make_unique<NvmeController>(*pci_bus_, place.devfn, fmt::format("nvme{}", place.number),
                                       *card.backend, serial_of(card.config, place.number)));
  boot_devices_.push_back({'c', fmt::format("/pci@i0cf8/nvme@{:x}/namespace@1,0", place.devfn / 8),
                           card.config.boot_index});
}

}  // namespace emu
