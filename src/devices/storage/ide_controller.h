// SPDX-License-Identifier: Apache-2.0
// The two IDE channels of a PIIX, at their legacy ports, with bus-master registers.
// Source: ATA/ATAPI-7; Intel 82371SB data sheet (290550) 2.5, 3.4.
// Threads: the machine lock is held by every caller.
// Not modelled: native mode, timing.
#pragma once

#include <array>
#include <string_view>

#include "devices/device.h"
#include "devices/io_window.h"
#include "devices/storage/ata_identify.h"
#include "devices/storage/atapi_cdrom.h"
#include "devices/storage/ide_channel.h"

namespace emu {

class IdeController final : public Device {
 public:
  static constexpr u64 kCommandBytes = 8;     // ports 1F0h, 170h
  static constexpr u64 kControlBytes = 1;     // ports 3F6h, 376h
  static constexpr u64 kBusMasterBytes = 16;  // where the PCI function's BAR 4 is
  // Access sizes of the windows: the data port is up to four bytes wide.
  static constexpr AccessSizes kCommandSizes{1, 4, false};
  static constexpr AccessSizes kByteSizes{1, 1, false};

  // `memory` is where DMA goes; the interrupts are ISA 14 and 15.
  IdeController(AddressSpace& memory, IrqLine primary, IrqLine secondary);

  // Adds a drive; `channel` and `unit` are 0 or 1, and the place must be empty. The backend must
  // outlive this and be drained before it goes.
  void attach_disk(unsigned channel, unsigned unit, BlockBackend& backend,
                   DriveIdentity identity = {});
  // The same for a CD-ROM drive, with a disc or (null) without. The reference lasts as long as
  // this.
  AtapiCdrom& attach_cdrom(unsigned channel, unsigned unit, BlockBackend* medium);
  // The cable, for drives of other kinds.
  [[nodiscard]] IdeChannel& channel(unsigned number) { return channels_[number]; }

  [[nodiscard]] IoHandler& command_ports(unsigned channel) { return command_[channel]; }
  [[nodiscard]] IoHandler& control_ports(unsigned channel) { return control_[channel]; }
  [[nodiscard]] IoHandler& bus_master() { return bus_master_; }

  [[nodiscard]] std::string_view name() const override { return "ide"; }
  void reset() override;
  void transfer(StateIo& io) override;
  void resumed() override;

 private:
  class CommandPorts final : public IoHandler {
   public:
    explicit CommandPorts(IdeChannel& channel) : channel_(channel) {}
    [[nodiscard]] u64 read(u64 offset, unsigned size) override;
    void write(u64 offset, unsigned size, u64 value) override;
    [[nodiscard]] u64 read_string(u64 offset, unsigned size, std::span<u8> out) override;
    [[nodiscard]] u64 write_string(u64 offset, unsigned size, std::span<const u8> in) override;

   private:
    IdeChannel& channel_;
  };
  class ControlPorts final : public IoHandler {
   public:
    explicit ControlPorts(IdeChannel& channel) : channel_(channel) {}
    [[nodiscard]] u64 read(u64, unsigned) override { return channel_.read_alternate_status(); }
    void write(u64, unsigned, u64 value) override {
      channel_.write_control(static_cast<u8>(value));
    }

   private:
    IdeChannel& channel_;
  };
  class BusMasterPorts final : public IoHandler {
   public:
    explicit BusMasterPorts(IdeController& owner) : owner_(owner) {}
    [[nodiscard]] u64 read(u64 offset, unsigned size) override;
    void write(u64 offset, unsigned size, u64 value) override;

   private:
    IdeController& owner_;
  };

  // parts
  std::array<IdeChannel, 2> channels_;
  std::array<CommandPorts, 2> command_{CommandPorts(channels_[0]), CommandPorts(channels_[1])};
  std::array<ControlPorts, 2> control_{ControlPorts(channels_[0]), ControlPorts(channels_[1])};
  BusMasterPorts bus_master_{*this};
};

}  // namespace emu
