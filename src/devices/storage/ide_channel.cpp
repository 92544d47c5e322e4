// SPDX-License-Identifier: Apache-2.0
// An IDE cable.
#include "devices/storage/ide_channel.h"

namespace emu {

using namespace ata;

IdeChannel::IdeChannel(AddressSpace& memory, IrqLine interrupt)
    : interrupt_(interrupt),
      bus_master_(
          memory,
          [this] {
            if (selected() != nullptr) selected()->dma_started();
          },
          [this] { each_drive([](IdeDrive& drive) { drive.dma_stopped(); }); }) {}

IdeDrive::Wires IdeChannel::wires() {
  return {bus_master_, [this] { update_interrupt(); }};
}

void IdeChannel::attach(unsigned unit, std::unique_ptr<IdeDrive> drive) {
  EMU_CHECK(unit < 2 && !drives_[unit]);
  drives_[unit] = std::move(drive);
  drives_[unit]->power_on();
}

// An empty place reads as zero: nobody drives the cable, and its pull-downs win.
u8 IdeChannel::status() const {
  if (selected() == nullptr) return 0;
  return (control_ & kControlSrst) != 0 ? kBsy : selected()->status();
}

u32 IdeChannel::read(unsigned number, unsigned size) {
  IdeDrive* drive = selected();
  if (drive == nullptr) return 0;
  if (number == kRegData) return drive->read_data(size);
  if (number != kRegStatus) return drive->read_register(number, (control_ & kControlHob) != 0);
  const u8 value = status();
  drive->clear_interrupt();
  return value;
}

void IdeChannel::write(unsigned number, unsigned size, u32 value) {
  if (number == kRegData) {
    if (selected() != nullptr) selected()->write_data(size, value);
    return;
  }
  control_ &= static_cast<u8>(~kControlHob);
  if (number == kRegStatus) return write_command(static_cast<u8>(value));
  write_shared(number, static_cast<u8>(value));
}

u64 IdeChannel::read_data_string(unsigned size, std::span<u8> out) {
  return selected() == nullptr ? 0 : selected()->read_data_string(size, out);
}

u64 IdeChannel::write_data_string(unsigned size, std::span<const u8> in) {
  return selected() == nullptr ? 0 : selected()->write_data_string(size, in);
}

// Both drives listen to everything but data and commands.
void IdeChannel::write_shared(unsigned number, u8 value) {
  each_drive([&](IdeDrive& drive) { drive.write_register(number, value); });
  if (number != kRegDevice) return;
  selected_ = (value & kDeviceOne) != 0 ? 1 : 0;
  update_interrupt();
}

void IdeChannel::write_command(u8 command) {
  if ((control_ & kControlSrst) != 0) return;
  if (command == kExecuteDiagnostic) return diagnose();
  if (selected() != nullptr) selected()->write_command(command);
}

// Device 0 answers for both.
void IdeChannel::diagnose() {
  const unsigned answering = drives_[0] ? 0 : 1;
  if (!drives_[answering]) return;
  if ((drives_[answering]->status() & (kBsy | kDrq)) != 0) return;
  selected_ = 0;
  each_drive([](IdeDrive& drive) { drive.soft_reset(); });
  drives_[answering]->diagnose();
}

void IdeChannel::write_control(u8 value) {
  const bool was_reset = (control_ & kControlSrst) != 0;
  control_ = value;
  const bool is_reset = (value & kControlSrst) != 0;
  if (is_reset != was_reset) {
    selected_ = 0;
    each_drive([](IdeDrive& drive) { drive.soft_reset(); });
  }
  update_interrupt();
}

bool IdeChannel::interrupt_level() const {
  return selected() != nullptr && selected()->interrupt_pending() && (control_ & kControlNien) == 0;
}

void IdeChannel::update_interrupt() {
  const bool level = interrupt_level();
  if (level == level_) return;
  level_ = level;
  if (level) bus_master_.note_interrupt();
  interrupt_.set(level);
}

void IdeChannel::reset() {
  control_ = 0;
  selected_ = 0;
  bus_master_.reset();
  each_drive([](IdeDrive& drive) { drive.power_on(); });
  level_ = false;
  interrupt_.set(false);
}

void IdeChannel::transfer(StateIo& io) {
  io.field(1, "control", control_);
  io.field(2, "selected", selected_);
  if (io.loading()) {
    io.check(selected_ < 2, "selected drive");
    selected_ &= 1;
  }
  io.section("bus-master", 1, [&] { bus_master_.transfer(io); });
  static constexpr const char* kNames[] = {"drive0", "drive1"};
  for (unsigned unit = 0; unit < 2; ++unit) {
    if (drives_[unit]) io.section(kNames[unit], 1, [&] { drives_[unit]->transfer(io); });
  }
}

void IdeChannel::resumed() {
  each_drive([](IdeDrive& drive) { drive.resumed(); });
  level_ = interrupt_level();
  interrupt_.restore(level_);
}

}  // namespace emu
