// SPDX-License-Identifier: Apache-2.0
#include "devices/storage/cdrom_unit.h"

#include <algorithm>

#include "base/bits.h"
#include "devices/storage/atapi_spec.h"

namespace emu {

using namespace atapi;
using namespace scsi;

namespace {

u16 word(std::span<const u8> command, unsigned at) {
  return load_be<u16>(&command[at]);
}
u32 wide(std::span<const u8> command, unsigned at) {
  return load_be<u32>(&command[at]);
}

}  // namespace

CdromUnit::CdromUnit(BlockBackend* medium, DriveIdentity identity, Link link)
    : medium_(medium), identity_(std::move(identity)), link_(link) {}

void CdromUnit::reset() {
  remember(kNoSense);
  has_changed_ = is_tray_open_ = is_locked_ = false;
  event_ = MediaEvent::kNone;
}

void CdromUnit::watch_medium(std::function<void()> changing, std::function<void()> changed) {
  changing_ = std::move(changing);
  changed_ = std::move(changed);
}

void CdromUnit::change_medium(BlockBackend* medium) {
  changing_();
  const bool had_medium = medium_ != nullptr;
  medium_ = medium;
  is_tray_open_ = medium == nullptr;
  is_locked_ = is_locked_ && medium != nullptr;
  has_changed_ = medium != nullptr;
  if (medium != nullptr) {
    event_ = MediaEvent::kNew;
  } else if (had_medium) {
    event_ = MediaEvent::kRemoved;
  }
  changed_();
}

void CdromUnit::request_eject() {
  event_ = MediaEvent::kEjectRequest;
  changed_();
}

Medium CdromUnit::medium() const {
  if (medium_ == nullptr || is_tray_open_) return {};
  return {std::min<u64>(medium_->size_bytes() / kBlockBytes, 0xffff'ffff)};
}

Sense CdromUnit::medium_complaint() {
  if (std::exchange(has_changed_, false)) return kMediumChanged;
  if (medium().present()) return kNoSense;
  return is_tray_open_ ? kNoMediumTrayOpen : kNoMedium;
}

ScsiPlan CdromUnit::plan(std::span<const u8> command, const Parameters&) {
  switch (command[0]) {
    case kTestUnitReady:
      return ScsiPlan::failure(medium_complaint());
    case kRequestSense:
      return request_sense(command[4]);
    case kInquiry:
      return inquiry(command);
    case kModeSense6:
    case kModeSense10:
      return mode_sense(command, command[0] == kModeSense10);
    case kStartStop:
      return start_stop(command[4]);
    case kPreventAllow:
      is_locked_ = (command[4] & 1) != 0;
      return {};
    case kGetConfiguration:
      return ScsiPlan::answer(
          get_configuration(command, medium(), link_ == Link::kAtapi ? u8{2} : u8{1}),
          word(command, 7));
    case kGetEventStatus:
      return event_status(command);
    case kMechanismStatus:
      return mechanism_status(word(command, 8));
    case kSetCdSpeed:
      return {};
    case kRead10:
      return read(wide(command, 2), word(command, 7), false);
    case kRead12:
      return read(wide(command, 2), wide(command, 6), false);
    case kSeek10:
      return read(wide(command, 2), 0, false);
    case kReadCd:
      return read_cd(command);
    default:
      return tell_of_medium(command);
  }
}

// Vital product data is for those who know SCSI; ATAPI drives always gave the standard data.
ScsiPlan CdromUnit::inquiry(std::span<const u8> command) const {
  const u16 limit = word(command, 3);
  if (link_ == Link::kAtapi) return ScsiPlan::answer(atapi::inquiry(identity_), limit);
  const InquiryText text{identity_.model, identity_.firmware};
  if ((command[1] & 1) == 0)
    return ScsiPlan::answer(standard_inquiry(kTypeCdrom, true, text), limit);
  static constexpr u8 kPages[] = {0x00, 0x80, 0x83};
  switch (command[2]) {
    case 0x00:
      return ScsiPlan::answer(vpd_pages(kTypeCdrom, kPages), limit);
    case 0x80:
      return ScsiPlan::answer(vpd_serial(kTypeCdrom, identity_.serial), limit);
    case 0x83:
      return ScsiPlan::answer(vpd_identification(kTypeCdrom, text, identity_.serial), limit);
    default:
      return ScsiPlan::failure(kInvalidField);
  }
}

ScsiPlan CdromUnit::read(u64 lba, u64 count, bool is_raw) {
  if (const Sense wrong = medium_complaint(); wrong != kNoSense) return ScsiPlan::failure(wrong);
  if (!range_fits(lba, count, medium().blocks)) return ScsiPlan::failure(kOutOfRange);
  ScsiPlan plan;
  plan.reads = count != 0;
  plan.offset_bytes = lba * kBlockBytes;
  plan.length_bytes = count * kBlockBytes;
  plan.is_raw = is_raw;
  return plan;
}

// Byte 9 says which parts of a block are wanted: 10h the data, F8h all of it.
ScsiPlan CdromUnit::read_cd(std::span<const u8> command) {
  const u32 lba = wide(command, 2);
  const u32 count = wide(command, 5) & 0xff'ffff;
  switch (command[9] & 0xf8) {
    case 0x00:
      return read(lba, 0, false);
    case 0x10:
      return read(lba, count, false);
    case 0xf8:
      return read(lba, count, true);
    default:
      return ScsiPlan::failure(kInvalidField);
  }
}

ScsiPlan CdromUnit::tell_of_medium(std::span<const u8> command) {
  static constexpr u8 kKnown[] = {kReadCapacity,         kReadToc,          kReadDiscInformation,
                                  kReadTrackInformation, kReadDvdStructure, kReadSubChannel};
  if (std::ranges::find(kKnown, command[0]) == std::end(kKnown))
    return ScsiPlan::failure(kInvalidOperation);
  if (const Sense wrong = medium_complaint(); wrong != kNoSense) return ScsiPlan::failure(wrong);
  std::optional<std::vector<u8>> answer;
  u64 limit = word(command, 7);
  switch (command[0]) {
    case kReadCapacity:
      limit = 8;
      answer.emplace(8);
      store_be<u32>(&(*answer)[0], static_cast<u32>(medium().blocks - 1));
      store_be<u32>(&(*answer)[4], static_cast<u32>(kBlockBytes));
      break;
    case kReadToc:
      answer = read_toc(command, medium());
      break;
    case kReadDiscInformation:
      answer = disc_information();
      break;
    case kReadTrackInformation:
      answer = track_information(medium());
      break;
    case kReadDvdStructure:
      limit = word(command, 8);
      if (medium().is_dvd()) answer = dvd_structure(command[7], medium());
      break;
    default:  // READ SUB-CHANNEL: no audio is playing
      answer = std::vector<u8>{0, 0x15, 0, 0};
      break;
  }
  if (!answer) return ScsiPlan::failure(kInvalidField);
  return ScsiPlan::answer(std::move(*answer), limit);
}

// Sense data is given once. Without an older complaint a pending unit attention is it.
ScsiPlan CdromUnit::request_sense(u8 limit) {
  Sense& sense = pending_sense();
  if (sense == kNoSense && std::exchange(has_changed_, false)) sense = kMediumChanged;
  return ScsiPlan::answer(fixed_sense(std::exchange(sense, kNoSense)), limit);
}

ScsiPlan CdromUnit::mode_sense(std::span<const u8> command, bool is_ten) const {
  if (command[2] >> 6 == 3) return ScsiPlan::failure(kNoSavedPages);
  const auto pages = mode_pages(command[2] & 0x3f, is_locked_);
  if (!pages) return ScsiPlan::failure(kInvalidField);
  std::vector<u8> out(is_ten ? 8 : 4);
  const u8 medium_type = medium().present() ? 0x01 : 0x70;  // data disc; no disc
  if (is_ten) {
    store_be<u16>(out.data(), static_cast<u16>(pages->size() + 6));
    out[2] = medium_type;
  } else {
    out[0] = static_cast<u8>(pages->size() + 3);
    out[1] = medium_type;
  }
  out.insert(out.end(), pages->begin(), pages->end());
  return ScsiPlan::answer(std::move(out), is_ten ? word(command, 7) : command[4]);
}

ScsiPlan CdromUnit::start_stop(u8 what) {
  const bool start = (what & 1) != 0;
  const bool tray = (what & 2) != 0;
  if (!tray) return {};
  if (!start && is_locked_) return ScsiPlan::failure(kRemovalPrevented);
  if (is_tray_open_ && start) {
    has_changed_ = medium_ != nullptr;
    event_ = medium_ != nullptr ? MediaEvent::kNew : MediaEvent::kNone;
  }
  is_tray_open_ = !start;
  return {};
}

// Only polling is known, and only the media class.
ScsiPlan CdromUnit::event_status(std::span<const u8> command) {
  constexpr u8 kMediaClass = 4;
  if ((command[1] & 1) == 0) return ScsiPlan::failure(kInvalidField);
  std::vector<u8> out(4);
  out[3] = 1 << kMediaClass;
  if ((command[4] & 1 << kMediaClass) == 0) {
    out[1] = 2;
    out[2] = 0x80;  // no event of the classes asked for
  } else {
    out[1] = 6;
    out[2] = kMediaClass;
    out.push_back(static_cast<u8>(std::exchange(event_, MediaEvent::kNone)));
    out.push_back(static_cast<u8>((is_tray_open_ ? 1 : 0) | (medium().present() ? 2 : 0)));
    out.resize(8);
  }
  return ScsiPlan::answer(std::move(out), word(command, 7));
}

ScsiPlan CdromUnit::mechanism_status(u64 limit) const {
  std::vector<u8> out(8);
  out[1] = is_tray_open_ ? 0x10 : 0x00;
  return ScsiPlan::answer(std::move(out), limit);
}

void CdromUnit::transfer(StateIo& io) {
  transfer_sense(io);
  io.field(112, "has_changed", has_changed_);
  io.field(113, "is_tray_open", is_tray_open_);
  io.field(114, "is_locked", is_locked_);
  io.field(115, "event", event_);
  if (io.loading()) io.check(event_ <= MediaEvent::kRemoved, "media event");
}

}  // namespace emu
