// SPDX-License-Identifier: Apache-2.0
// The two IDE channels of a PIIX.
#include "devices/storage/ide_controller.h"

#include "devices/storage/ata_disk.h"

namespace emu {

IdeController::IdeController(AddressSpace& memory, IrqLine primary, IrqLine secondary)
    : channels_{IdeChannel(memory, primary), IdeChannel(memory, secondary)} {}

void IdeController::attach_disk(unsigned channel, unsigned unit, BlockBackend& backend,
                                DriveIdentity identity) {
  IdeChannel& cable = channels_.at(channel);
  cable.attach(unit, std::make_unique<AtaDisk>(cable.wires(), backend, std::move(identity)));
}

AtapiCdrom& IdeController::attach_cdrom(unsigned channel, unsigned unit, BlockBackend* medium) {
  IdeChannel& cable = channels_.at(channel);
  auto drive = std::make_unique<AtapiCdrom>(cable.wires(), medium);
  AtapiCdrom& attached = *drive;
  cable.attach(unit, std::move(drive));
  return attached;
}

// Only the data register is wider than a byte; a wide access elsewhere is several registers.
u64 IdeController::CommandPorts::read(u64 offset, unsigned size) {
  if (offset == ata::kRegData) return channel_.read(ata::kRegData, size);
  u64 value = 0;
  for (unsigned i = 0; i < size; ++i)
    value |= u64{channel_.read(static_cast<unsigned>(offset) + i, 1)} << (8 * i);
  return value;
}

void IdeController::CommandPorts::write(u64 offset, unsigned size, u64 value) {
  if (offset == ata::kRegData) return channel_.write(ata::kRegData, size, static_cast<u32>(value));
  for (unsigned i = 0; i < size; ++i)
    channel_.write(static_cast<unsigned>(offset) + i, 1, static_cast<u8>(value >> (8 * i)));
}

u64 IdeController::CommandPorts::read_string(u64 offset, unsigned size, std::span<u8> out) {
  return offset == ata::kRegData ? channel_.read_data_string(size, out) : 0;
}

u64 IdeController::CommandPorts::write_string(u64 offset, unsigned size, std::span<const u8> in) {
  return offset == ata::kRegData ? channel_.write_data_string(size, in) : 0;
}

u64 IdeController::BusMasterPorts::read(u64 offset, unsigned size) {
  u64 value = 0;
  for (unsigned i = 0; i < size; ++i) {
    const unsigned at = static_cast<unsigned>(offset) + i;
    value |= u64{owner_.channels_[at / 8 & 1].bus_master().read(at % 8)} << (8 * i);
  }
  return value;
}

void IdeController::BusMasterPorts::write(u64 offset, unsigned size, u64 value) {
  for (unsigned i = 0; i < size; ++i) {
    const unsigned at = static_cast<unsigned>(offset) + i;
    owner_.channels_[at / 8 & 1].bus_master().write(at % 8, static_cast<u8>(value >> (8 * i)));
  }
}

void IdeController::reset() {
  for (IdeChannel& channel : channels_) channel.reset();
}

void IdeController::transfer(StateIo& io) {
  io.section(name(), 1, [&] {
    io.section("primary", 1, [&] { channels_[0].transfer(io); });
    io.section("secondary", 1, [&] { channels_[1].transfer(io); });
  });
}

void IdeController::resumed() {
  for (IdeChannel& channel : channels_) channel.resumed();
}

}  // namespace emu
