// SPDX-License-Identifier: Apache-2.0
// An ATAPI CD/DVD-ROM drive: the packet commands.
#include <algorithm>

#include "base/bits.h"
#include "devices/storage/atapi_cdrom.h"

namespace emu {

using namespace atapi;

// A new disc is announced once, before anything else is done with it.
bool AtapiCdrom::is_medium_missing() {
  if (has_changed_) {
    has_changed_ = false;
    check_condition(kMediumChanged);
    return true;
  }
  if (medium().present()) return false;
  check_condition(is_tray_open_ ? kNoMediumTrayOpen : kNoMedium);
  return true;
}

void AtapiCdrom::run_packet() {
  switch (packet_[0]) {
    case kTestUnitReady:
      return test_unit_ready();
    case kRequestSense:
      return request_sense();
    case kInquiry:
      return reply(inquiry(identity_), packet16(3));
    case kModeSense6:
      return mode_sense(false);
    case kModeSense10:
      return mode_sense(true);
    case kStartStop:
      return start_stop();
    case kPreventAllow:
      return prevent_allow();
    case kGetConfiguration:
      return reply(get_configuration(packet_, medium()), packet16(7));
    case kGetEventStatus:
      return get_event_status();
    case kMechanismStatus:
      return mechanism_status();
    case kSetCdSpeed:
      return finish_packet();
    default:
      return run_read_operation();
  }
}

void AtapiCdrom::run_read_operation() {
  switch (packet_[0]) {
    case kRead10:
      return read_blocks(packet32(2), packet16(7), kBlockBytes);
    case kRead12:
      return read_blocks(packet32(2), packet32(6), kBlockBytes);
    case kReadCd:
      return read_cd();
    case kSeek10:
      return read_blocks(packet32(2), 0, kBlockBytes);
    default:
      return run_information_operation();
  }
}

void AtapiCdrom::run_information_operation() {
  std::optional<std::vector<u8>> answer;
  u64 limit = packet16(7);
  switch (packet_[0]) {
    case kReadCapacity:
    case kReadToc:
    case kReadDiscInformation:
    case kReadTrackInformation:
    case kReadDvdStructure:
    case kReadSubChannel:
      if (is_medium_missing()) return;
      break;
    default:
      return check_condition(kInvalidOperation);
  }
  switch (packet_[0]) {
    case kReadCapacity:
      return read_capacity();
    case kReadToc:
      answer = read_toc(packet_, medium());
      break;
    case kReadDiscInformation:
      answer = disc_information();
      break;
    case kReadTrackInformation:
      answer = track_information(medium());
      break;
    case kReadDvdStructure:
      limit = packet16(8);
      if (medium().is_dvd()) answer = dvd_structure(packet_[7], medium());
      break;
    default:  // READ SUB-CHANNEL: no audio is playing
      answer = std::vector<u8>{0, 0x15, 0, 0};
      break;
  }
  if (!answer) return check_condition(kInvalidField);
  reply(std::move(*answer), limit);
}

void AtapiCdrom::test_unit_ready() {
  if (!is_medium_missing()) finish_packet();
}

// Sense data is given once. Without an older complaint a pending unit attention is it.
void AtapiCdrom::request_sense() {
  if (sense_ == kNoSense && std::exchange(has_changed_, false)) sense_ = kMediumChanged;
  std::vector<u8> out(18);
  out[0] = 0x70;
  out[2] = sense_.key;
  out[7] = 10;  // bytes that follow
  out[12] = sense_.code;
  out[13] = sense_.qualifier;
  sense_ = kNoSense;
  reply(std::move(out), packet_[4]);
}

void AtapiCdrom::read_capacity() {
  std::vector<u8> out(8);
  store_be<u32>(&out[0], static_cast<u32>(medium().blocks - 1));
  store_be<u32>(&out[4], static_cast<u32>(kBlockBytes));
  reply(std::move(out), out.size());
}

void AtapiCdrom::mode_sense(bool is_ten) {
  if (packet_[2] >> 6 == 3) return check_condition({5, 0x39, 0x00});  // no saved values
  auto pages = mode_pages(packet_[2] & 0x3f, is_locked_);
  if (!pages) return check_condition(kInvalidField);
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
  reply(std::move(out), is_ten ? packet16(7) : packet_[4]);
}

void AtapiCdrom::start_stop() {
  const bool start = (packet_[4] & 1) != 0;
  const bool tray = (packet_[4] & 2) != 0;
  if (!tray) return finish_packet();
  if (!start && is_locked_) return check_condition(kRemovalPrevented);
  if (is_tray_open_ && start) {
    has_changed_ = medium_ != nullptr;
    event_ = medium_ != nullptr ? MediaEvent::kNew : MediaEvent::kNone;
  }
  is_tray_open_ = !start;
  finish_packet();
}

void AtapiCdrom::prevent_allow() {
  is_locked_ = (packet_[4] & 1) != 0;
  finish_packet();
}

// Only polling is known, and only the media class.
void AtapiCdrom::get_event_status() {
  constexpr u8 kMediaClass = 4;
  if ((packet_[1] & 1) == 0) return check_condition(kInvalidField);
  std::vector<u8> out(4);
  out[3] = 1 << kMediaClass;
  if ((packet_[4] & 1 << kMediaClass) == 0) {
    out[1] = 2;
    out[2] = 0x80;  // no event of the classes asked for
  } else {
    out[1] = 6;
    out[2] = kMediaClass;
    out.push_back(static_cast<u8>(std::exchange(event_, MediaEvent::kNone)));
    out.push_back(static_cast<u8>((is_tray_open_ ? 1 : 0) | (medium().present() ? 2 : 0)));
    out.resize(8);
  }
  reply(std::move(out), packet16(7));
}

void AtapiCdrom::mechanism_status() {
  std::vector<u8> out(8);
  out[1] = is_tray_open_ ? 0x10 : 0x00;
  reply(std::move(out), packet16(8));
}

// Byte 9 says which parts of a block are wanted: 10h the data, F8h all of it.
void AtapiCdrom::read_cd() {
  const u32 lba = packet32(2);
  const u32 count = packet32(5) & 0xff'ffff;
  switch (packet_[9] & 0xf8) {
    case 0x00:
      return read_blocks(lba, 0, kBlockBytes);
    case 0x10:
      return read_blocks(lba, count, kBlockBytes);
    case 0xf8:
      return read_blocks(lba, count, kRawBlockBytes);
    default:
      return check_condition(kInvalidField);
  }
}

}  // namespace emu
