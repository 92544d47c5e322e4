// SPDX-License-Identifier: Apache-2.0
// The PC's board: every chip, its wires, ports and windows. It knows nothing of engines, threads or
// run control.
// Source: the data sheets of the chips; QEMU's "pc" machine for what is where.
// Threads: the machine lock is held by every caller, or nothing runs yet.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <vector>

#include "block/block_backend.h"
#include "devices/chipset/i8259.h"
#include "devices/chipset/io_apic.h"
#include "devices/chipset/irq_fan_out.h"
#include "devices/chipset/mc146818.h"
#include "devices/chipset/piix3.h"
#include "devices/ports/audio.h"
#include "devices/ports/character.h"
#include "devices/ports/display.h"
#include "devices/ports/input.h"
#include "devices/serial/debug_ports.h"
#include "devices/serial/uart16550.h"
#include "machine/boot/firmware_items.h"
#include "machine/machine_config.h"
#include "machine/network.h"
#include "machine/processor.h"

namespace emu {

class AcpiPm;
class AhciController;
class CdromUnit;
class FloppyController;
class I8237Pair;
class I8254;
class InputChoice;
class Piix4Pm;
class Port61;
class UsbDevice;
class UsbPorts;
class Vga;
class VirtioScsi;

// A place on the IDE channels.
struct PcDrive {
  IdePlace kind = IdePlace::kEmpty;
  BlockBackend* backend = nullptr;  // null: a CD-ROM drive without a medium
  std::string serial{};             // empty: made up
  int boot_index = -1;
};

// A disk with a PCI controller of its own.
struct PcDiskCard {
  DriveConfig config;
  BlockBackend* backend = nullptr;  // null: a CD-ROM drive without a medium
};

// What the board asks of the machine around it. The functions only note the request.
struct PcHost {
  std::mutex& machine_lock;
  VmClock& clock;
  IoThread& io;
  CharBackend& serial;
  CharBackend* debug_console = nullptr;  // null: no port
  AudioSink* audio = nullptr;            // null: nobody listens
  std::array<PcDrive, kMaxIdeDrives> drives{};
  std::vector<PcDiskCard> disk_cards{};
  std::array<BlockBackend*, kMaxFloppies> floppies{};  // null: no such drive
  std::array<int, kMaxFloppies> floppy_boot_indexes{-1, -1};
  std::vector<PcNic> nics{};
  std::function<void()> request_reset{};
  std::function<void()> request_power_off{};
  std::function<void(u32)> request_exit{};  // debug-exit
  std::function<i64()> wall_clock{};        // seconds for the RTC
  std::span<const u8> vga_rom{};
};

class Pc final : private IrqSink {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Pc>> create(const MachineConfig& config,
                                                          const PcHost& host);
  ~Pc() override;

  // Power-on state of every device (not of the vCPUs).
  void reset();
  // Every device, not the contents of memory_blocks(); then resumed() of every device when loading.
  void transfer(StateIo& io);
  // RAM and video memory.
  [[nodiscard]] std::vector<GuestRam*> memory_blocks();
  void press_power_button();
  [[nodiscard]] bool hears_power_button() const;
  // Whether the processors have system management mode; from the next reset on.
  void set_has_smm(bool has);

  [[nodiscard]] MemoryMap& map() { return *map_; }
  [[nodiscard]] std::vector<std::unique_ptr<Processor>>& processors() { return processors_; }
  [[nodiscard]] Mc146818& rtc() { return *rtc_; }
  // CD-ROM drives at the IDE places, then those of disk_cards; null: that is something else. And
  // the floppy controller; null: there is none.
  struct CdromDrive {
    CdromUnit* unit = nullptr;
    std::string name{};  // QEMU's
  };
  [[nodiscard]] const CdromDrive& cdrom(std::size_t place) const { return cdroms_[place]; }
  [[nodiscard]] FloppyController* floppy() { return floppy_; }
  [[nodiscard]] DisplaySource* display() { return display_; }
  [[nodiscard]] KeyboardSink* keyboard() { return keyboard_; }
  [[nodiscard]] MouseSink* mouse() { return mouse_; }
  [[nodiscard]] TabletSink* tablet() { return tablet_; }
  // In the order of PcHost::nics.
  [[nodiscard]] std::span<NetCard* const> net_cards() const { return net_cards_; }

 private:
  Pc(const PcHost& host, std::unique_ptr<MemoryMap> map);
  void add_processors(unsigned count);
  void add_system_controllers();
  void add_timers();
  void add_pci();
  void add_serial(const MachineConfig& config);
  [[nodiscard]] Result<void> add_video(const MachineConfig& config);
  void place_vga(Vga& vga);
  void add_input();
  void add_sound(const MachineConfig& config);
  void add_sound_blaster(AudioSink& sink);
  [[nodiscard]] Result<void> add_usb(const MachineConfig& config);
  void add_usb_controller(const MachineConfig& config, UsbPorts& ports);
  [[nodiscard]] Result<void> add_usb_disk(const PcDiskCard& card, std::size_t number,
                                          UsbPorts& ports);
  [[nodiscard]] std::unique_ptr<UsbDevice> make_usb_device(UsbKind kind, const std::string& name);
  void add_virtio_inputs(const MachineConfig& config);
  void add_disks();
  void add_disk_cards(const MachineConfig& config);
  struct CardPlace {
    u8 devfn;
    std::size_t number;  // among the cards, from 0
  };
  void add_virtio_block(const PcDiskCard& card, const CardPlace& place, unsigned cpus);
  void add_sata_drive(const PcDiskCard& card, std::size_t number);
  void add_scsi_drive(const PcDiskCard& card, std::size_t number, const MachineConfig& config);
  void add_scsi_host(const MachineConfig& config);
  void add_nvme(const PcDiskCard& card, const CardPlace& place);
  void add_floppies();
  void add_network();
  void add_firmware_interface(const MachineConfig& config);
  // ISA interrupt `irq` as driven by `source`.
  enum IrqSource : unsigned { kFromIsa, kFromPci, kFromPm, kFromHpet };
  [[nodiscard]] IrqLine irq(unsigned number, IrqSource source = kFromIsa);
  template <class T>
  T& own(std::unique_ptr<T> device) {
    T& reference = *device;
    devices_.push_back(&reference);
    owned_.push_back(std::move(device));
    return reference;
  }
  // IrqSink: the 8259's INTR, to LINT0 of every processor.
  void set_irq(unsigned input, bool active) override;
  void restore_irq(unsigned input, bool active) override;

  PcHost host_;
  std::unique_ptr<MemoryMap> map_;
  ApicBus apic_bus_;
  std::vector<std::unique_ptr<Processor>> processors_;
  std::vector<std::unique_ptr<IrqOrGate>> gates_;
  std::unique_ptr<IrqFanOut> fan_out_;
  std::unique_ptr<PciBus> pci_bus_;
  std::vector<std::unique_ptr<Device>> owned_;
  std::vector<Device*> devices_;  // in order of reset and of the snapshot
  I8259Pair* pic_ = nullptr;
  IoApic* io_apic_ = nullptr;
  I8237Pair* dma_ = nullptr;
  AcpiPm* pm_ = nullptr;
  Piix4Pm* power_ = nullptr;
  Mc146818* rtc_ = nullptr;
  Piix3Isa* isa_bridge_ = nullptr;
  std::vector<BootDevice> boot_devices_;
  std::vector<NetCard*> net_cards_;
  std::array<u8, kMaxFloppies> floppy_types_{};  // as CMOS has them
  std::vector<CdromDrive> cdroms_;
  FloppyController* floppy_ = nullptr;
  VirtioScsi* scsi_ = nullptr;
  u8 scsi_devfn_ = 0;
  AhciController* ahci_ = nullptr;  // the one with free ports
  unsigned ahci_port_ = 0;          // its next free one
  unsigned ahci_count_ = 0;
  GuestRam* vram_ = nullptr;  // null: no display card
  DisplaySource* display_ = nullptr;
  KeyboardSink* keyboard_ = nullptr;
  MouseSink* mouse_ = nullptr;
  TabletSink* tablet_ = nullptr;
  std::unique_ptr<InputChoice> input_;
  NullAudio no_audio_;
  I8254* pit_ = nullptr;
  Port61* port61_ = nullptr;
};

}  // namespace emu
