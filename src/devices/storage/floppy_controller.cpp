// SPDX-License-Identifier: Apache-2.0
// Intel 82077AA floppy disk controller: registers, phases and commands that move no data.
#include "devices/storage/floppy_controller.h"

#include <algorithm>

namespace emu {

using namespace fdc;

FloppyController::FloppyController(Wires wires) : wires_(wires) {
  reset();
}

void FloppyController::change_medium(unsigned drive, BlockBackend* medium) {
  EMU_CHECK(drive < kDrives);
  Drive& d = drives_[drive];
  d.medium = medium;
  d.has_changed = true;
  if (medium == nullptr) return;
  d.format = kDefaultFormat;
  for (const Format& format : kFormats) {
    if (format.bytes() < medium->size_bytes()) continue;
    d.format = format;
    break;
  }
  if (d.cmos_type == 0) d.cmos_type = d.format.cmos_type;
}

u64 FloppyController::read(u64 offset, unsigned) {
  switch (offset) {
    case kRegDigitalOutput:
      return digital_output_;
    case kRegTapeDrive:
      return tape_drive_;
    case kRegMainStatus:
      return main_status();
    case kRegFifo:
      return read_fifo();
    default:  // status A and B exist in PS/2 mode only
      return 0xff;
  }
}

void FloppyController::write(u64 offset, unsigned, u64 value) {
  const u8 byte = static_cast<u8>(value);
  switch (offset) {
    case kRegDigitalOutput:
      return write_digital_output(byte);
    case kRegTapeDrive:
      tape_drive_ = byte & 0x03;
      return;
    case kRegMainStatus:
      data_rate_ = byte & 0x03;
      if ((byte & kDsrReset) == 0) return;
      controller_reset();  // this bit clears itself
      return leave_reset();
    case kRegFifo:
      return write_fifo(byte);
    default:
      return;
  }
}

u64 FloppyController::read_change(u64, unsigned) {
  const unsigned drive = digital_output_ & kDorSelect;
  const bool motor_on = drive < kDrives && (digital_output_ >> (4 + drive) & 1) != 0;
  if (!motor_on || drives_[drive].cmos_type == 0) return 0;
  const Drive& d = drives_[drive];
  return d.has_changed || d.medium == nullptr ? kDirChanged : u8{0};
}

void FloppyController::write_change(u64, unsigned, u64 value) {
  data_rate_ = value & 0x03;
}

void FloppyController::write_digital_output(u8 value) {
  const bool was_running = (digital_output_ & kDorNotReset) != 0;
  const bool is_running = (value & kDorNotReset) != 0;
  digital_output_ = value;
  if (was_running && !is_running) controller_reset();
  if (!was_running && is_running) leave_reset();
  update_interrupt();
}

void FloppyController::controller_reset() {
  ++generation_;
  issue_waits_ = false;
  phase_ = Phase::kCommand;
  command_length_ = result_length_ = result_at_ = 0;
  seek_status_ = 0;
  polls_left_ = 0;
  if (!is_locked_) configuration_ = {};
  perpendicular_ = 0;
  for (Drive& d : drives_) d.track = 0;
  set_interrupt(false);
}

// Coming out of reset, the chip polls its four drives and interrupts.
void FloppyController::leave_reset() {
  polls_left_ = 4;
  set_interrupt(true);
}

u8 FloppyController::main_status() const {
  if ((digital_output_ & kDorNotReset) == 0) return 0;
  switch (phase_) {
    case Phase::kCommand:
      return static_cast<u8>(kMsrRequest | (command_length_ != 0 ? kMsrBusy : 0));
    case Phase::kResult:
      return kMsrRequest | kMsrToHost | kMsrBusy;
    default:
      return kMsrBusy;
  }
}

u8 FloppyController::read_fifo() {
  if (phase_ != Phase::kResult) return 0xff;
  const u8 value = result_[result_at_++];
  set_interrupt(false);
  if (result_at_ == result_length_) phase_ = Phase::kCommand;
  return value;
}

// How many bytes the command has, the first included.
unsigned FloppyController::command_bytes(u8 command) {
  switch (command) {
    case kLock:
    case kVersion:
    case kDumpRegisters:
    case kSenseInterrupt:
    case kUnlock:
      return 1;
    case kSenseDrive:
    case kRecalibrate:
    case kPerpendicular:
      return 2;
    case kSpecify:
    case kSeek:
      return 3;
    case kConfigure:
      return 4;
    default:
      break;
  }
  switch (command & 0x1f) {
    case kRead:
    case kReadDeleted:
    case kWrite:
    case kWriteDeleted:
    case kReadTrack:
    case kVerify:
      return 9;
    case kReadId:
      return 2;
    case kFormat:
      return 6;
    default:
      return 1;
  }
}

void FloppyController::write_fifo(u8 value) {
  if (phase_ != Phase::kCommand || (digital_output_ & kDorNotReset) == 0) return;
  command_[command_length_++] = value;
  if (command_length_ < command_bytes(command_[0])) return;
  command_length_ = 0;
  execute();
}

void FloppyController::execute() {
  const u8 command = command_[0];
  switch (command) {
    case kLock:
    case kUnlock:
    case kVersion:
    case kDumpRegisters:
    case kSenseInterrupt:
    case kSenseDrive:
    case kRecalibrate:
    case kPerpendicular:
    case kSpecify:
    case kSeek:
    case kConfigure:
      return execute_control(command);
    default:
      break;
  }
  switch (command & 0x1f) {
    case kRead:
    case kReadDeleted:
    case kReadTrack:
    case kVerify:
      return start_read();
    case kWrite:
    case kWriteDeleted:
      return start_write();
    case kReadId:
      return read_id();
    case kFormat:
      return start_format();
    default:
      return give_result({kSt0Invalid}, false);
  }
}

void FloppyController::execute_control(u8 command) {
  switch (command) {
    case kLock:
    case kUnlock:
      is_locked_ = command == kLock;
      return give_result({static_cast<u8>(is_locked_ ? 0x10 : 0)}, false);
    case kVersion:
      return give_result({0x90}, false);  // an enhanced controller
    case kDumpRegisters:
      return dump_registers();
    case kSenseInterrupt:
      return sense_interrupt();
    case kSenseDrive:
      return sense_drive();
    case kRecalibrate:
      return seek(command_[1] & 3, 0);
    case kPerpendicular:
      perpendicular_ = command_[1];
      return;
    case kSpecify:
      timings_ = {command_[1], command_[2]};
      return;
    case kConfigure:
      configuration_ = {command_[1], command_[2], command_[3]};
      return;
    default:
      return seek(command_[1] & 3, command_[2]);
  }
}

void FloppyController::give_result(std::vector<u8> bytes, bool interrupt) {
  std::copy(bytes.begin(), bytes.end(), result_.begin());
  result_length_ = static_cast<unsigned>(bytes.size());
  result_at_ = 0;
  phase_ = Phase::kResult;
  if (interrupt) set_interrupt(true);
}

void FloppyController::set_interrupt(bool pending) {
  interrupt_pending_ = pending;
  update_interrupt();
}

void FloppyController::update_interrupt() {
  wires_.interrupt.set(interrupt_pending_ && (digital_output_ & kDorDmaGate) != 0);
}

// Steps resets the change line if there is a disk. A drive that does not exist never finds track 0.
void FloppyController::seek(unsigned drive, u8 track) {
  seek_drive_ = static_cast<u8>(drive);
  seek_status_ = static_cast<u8>(kSt0SeekEnd | drive);
  if (drive < kDrives && drives_[drive].cmos_type != 0) {
    Drive& d = drives_[drive];
    d.track = std::min<u8>(track, 83);
    if (d.medium != nullptr) d.has_changed = false;
  } else {
    seek_status_ |= kSt0Abnormal | 0x10;  // equipment check
  }
  set_interrupt(true);
}

void FloppyController::sense_interrupt() {
  if (polls_left_ != 0) {
    const u8 drive = static_cast<u8>(4 - polls_left_--);
    set_interrupt(false);
    return give_result({static_cast<u8>(kSt0Polling | drive), drives_[drive & 1].track}, false);
  }
  if (seek_status_ == 0) return give_result({kSt0Invalid}, false);
  const u8 status = std::exchange(seek_status_, u8{0});
  const u8 track = seek_drive_ < kDrives ? drives_[seek_drive_].track : u8{0};
  set_interrupt(false);
  give_result({status, track}, false);
}

// ST3: two sides, ready, at track 0, write-protected.
void FloppyController::sense_drive() {
  u8 st3 = static_cast<u8>(0x28 | (command_[1] & 7));
  const unsigned drive = command_[1] & 3;
  if (drive < kDrives) {
    const Drive& d = drives_[drive];
    if (d.track == 0) st3 |= 0x10;
    if (d.medium != nullptr && d.medium->read_only()) st3 |= 0x40;
  }
  give_result({st3}, false);
}

void FloppyController::dump_registers() {
  give_result({drives_[0].track, drives_[1].track, 0, 0, timings_[0], timings_[1],
               selected().format.sectors,
               static_cast<u8>((is_locked_ ? 0x80 : 0) | (perpendicular_ & 0x7f)),
               configuration_[1], configuration_[2]},
              false);
}

void FloppyController::reset() {
  is_locked_ = false;
  digital_output_ = 0;
  data_rate_ = 2;
  tape_drive_ = 0;
  timings_ = {};
  command_ = {};
  result_ = {};
  address_ = {};
  seek_drive_ = 0;
  buffer_ = std::make_shared<std::vector<u8>>();
  for (Drive& d : drives_) d.has_changed = true;
  controller_reset();
}

void FloppyController::transfer(StateIo& io) {
  io.section(name(), 1, [&] {
    io.field(1, "digital_output", digital_output_);
    io.field(2, "data_rate", data_rate_);
    io.field(3, "tape_drive", tape_drive_);
    io.field(4, "phase", phase_);
    io.field(5, "command", command_);
    io.field(6, "command_length", command_length_);
    io.field(7, "result", result_);
    io.field(8, "result_length", result_length_);
    io.field(9, "result_at", result_at_);
    io.field(10, "interrupt_pending", interrupt_pending_);
    io.field(11, "polls_left", polls_left_);
    io.field(12, "seek_status", seek_status_);
    io.field(13, "seek_drive", seek_drive_);
    io.field(14, "configuration", configuration_);
    io.field(15, "timings", timings_);
    io.field(16, "perpendicular", perpendicular_);
    io.field(17, "is_locked", is_locked_);
    io.field(18, "cylinder", address_.cylinder);
    io.field(19, "head", address_.head);
    io.field(20, "sector", address_.sector);
    io.field(21, "buffer", *buffer_, 128 * kKiB);
    io.field(22, "track0", drives_[0].track);
    io.field(23, "track1", drives_[1].track);
    io.field(24, "changed0", drives_[0].has_changed);
    io.field(25, "changed1", drives_[1].has_changed);
    if (!io.loading()) return;
    io.check(phase_ <= Phase::kResult && polls_left_ <= 4 && seek_drive_ < 4, "floppy state");
    const bool sound = command_length_ < command_bytes(command_[0]) || command_length_ == 0;
    io.check(sound && result_length_ <= result_.size(), "floppy command bytes");
    io.check(phase_ != Phase::kResult || result_at_ < result_length_, "floppy result bytes");
    if (io.ok()) return;
    phase_ = Phase::kCommand;
    command_length_ = result_length_ = result_at_ = 0;
    polls_left_ = seek_drive_ = 0;
  });
}

void FloppyController::resumed() {
  ++generation_;
  issue_waits_ = false;
  wires_.interrupt.restore(interrupt_pending_ && (digital_output_ & kDorDmaGate) != 0);
  if (phase_ != Phase::kBackendRead && phase_ != Phase::kBackendWrite) return;
  if (in_flight_ == 0) return issue();
  issue_waits_ = true;
}

}  // namespace emu
