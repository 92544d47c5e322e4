// SPDX-License-Identifier: Apache-2.0
// The SCSI commands of a USB disk.
// Source: SPC-4 (INQUIRY, MODE SENSE, REQUEST SENSE), SBC-3 (READ, WRITE, READ CAPACITY).
#include <algorithm>

#include "devices/usb/usb_storage.h"

namespace emu {
namespace {

enum Command : u8 {
  kTestUnitReady = 0x00,
  kRequestSense = 0x03,
  kInquiry = 0x12,
  kModeSense6 = 0x1a,
  kStartStop = 0x1b,
  kPreventRemoval = 0x1e,
  kReadFormatCapacities = 0x23,
  kReadCapacity10 = 0x25,
  kRead10 = 0x28,
  kWrite10 = 0x2a,
  kVerify10 = 0x2f,
  kSynchronize10 = 0x35,
  kModeSense10 = 0x5a,
  kRead16 = 0x88,
  kWrite16 = 0x8a,
  kSynchronize16 = 0x91,
  kServiceActionIn16 = 0x9e,
  kReportLuns = 0xa0,
};
constexpr u8 kReadCapacity16 = 0x10;  // service action
// Sense: key and additional sense code.
constexpr u8 kNotReady = 2, kIllegalRequest = 5, kDataProtect = 7;
constexpr u8 kInvalidOperation = 0x20, kOutOfRange = 0x21, kInvalidField = 0x24,
             kWriteProtected = 0x27, kNoMedium = 0x3a;

u64 big(std::span<const u8> bytes) {
  u64 value = 0;
  for (const u8 byte : bytes) value = value << 8 | byte;
  return value;
}

void append(std::vector<u8>& out, u64 value, unsigned bytes) {
  for (unsigned i = bytes; i-- > 0;) out.push_back(static_cast<u8>(value >> 8 * i));
}

void append_text(std::vector<u8>& out, std::string_view text, std::size_t length) {
  for (std::size_t i = 0; i < length; ++i)
    out.push_back(i < text.size() ? static_cast<u8>(text[i]) : u8{' '});
}

}  // namespace

void UsbStorage::reply(std::vector<u8> bytes, std::size_t allocated) {
  bytes.resize(std::min(bytes.size(), allocated));
  // More than the guest takes, or in the other direction: phase error (6.7).
  if (!bytes.empty() && (expected_ == 0 || !expects_in_)) {
    result_ = 2;
    bytes.clear();
  }
  *buffer_ = std::move(bytes);
  position_ = 0;
  data_stage();
}

void UsbStorage::fail(Sense sense) {
  result_ = 1;
  sense_ = {sense.key, sense.code};
  blocks_left_ = 0;
  writes_ = flushes_ = false;
  buffer_ = std::make_shared<std::vector<u8>>();
  position_ = 0;
  data_stage();
}

void UsbStorage::start_blocks(u64 first, u64 count, bool writes) {
  if (first > blocks() || count > blocks() - first) return fail({kIllegalRequest, kOutOfRange});
  if (writes && backend_.read_only()) return fail({kDataProtect, kWriteProtected});
  if (count == 0) return data_stage();
  if (expected_ != count * 512 || expects_in_ == writes) {
    result_ = 2;
    return data_stage();
  }
  writes_ = writes;
  next_block_ = first;
  blocks_left_ = static_cast<u32>(count);
  next_chunk();
}

std::vector<u8> UsbStorage::inquiry() const {
  if ((command_[1] & 1) != 0) {  // vital product data
    std::vector<u8> out{0, command_[2], 0, 0};
    if (command_[2] == 0x00) out.insert(out.end(), {0x00, 0x80, 0x83});
    if (command_[2] == 0x80) append_text(out, serial_, serial_.size());
    if (command_[2] == 0x83) {
      out.insert(out.end(), {2, 1, 0, static_cast<u8>(8 + serial_.size())});  // T10 vendor id
      append_text(out, "emu", 8);
      append_text(out, serial_, serial_.size());
    }
    out[3] = static_cast<u8>(out.size() - 4);
    return out;
  }
  std::vector<u8> out{0, 0, 5, 2, 31, 0, 0, 0};  // a disk, not removable, SPC-3
  append_text(out, "emu", 8);
  append_text(out, "USB DISK", 16);
  append_text(out, "1.0", 4);
  return out;
}

// Caching (page 8): a write cache that SYNCHRONIZE CACHE empties.
std::vector<u8> UsbStorage::mode_pages(bool long_header) const {
  const u8 page = command_[2] & 0x3f;
  const u8 protection = backend_.read_only() ? 0x80 : 0;
  std::vector<u8> pages;
  if (page == 8 || page == 0x3f) {
    pages = {8, 0x12, static_cast<u8>((command_[2] >> 6) == 1 ? 0 : 4)};
    pages.resize(20);
  }
  std::vector<u8> out;
  if (long_header) {
    append(out, 6 + pages.size(), 2);
    out.insert(out.end(), {0, protection, 0, 0, 0, 0});
  } else {
    out = {static_cast<u8>(3 + pages.size()), 0, protection, 0};
  }
  out.insert(out.end(), pages.begin(), pages.end());
  return out;
}

void UsbStorage::execute() {
  const std::span<const u8> c = command_;
  std::vector<u8> out;
  switch (command_[0]) {
    case kTestUnitReady:
    case kStartStop:
    case kPreventRemoval:
    case kVerify10:
      return data_stage();
    case kRequestSense:
      out = {0x70, 0, sense_[0], 0, 0, 0, 0, 10, 0, 0, 0, 0, sense_[1], 0, 0, 0, 0, 0};
      sense_.fill(0);
      return reply(out, c[4]);
    case kInquiry:
      if ((c[1] & 1) != 0 && c[2] != 0 && c[2] != 0x80 && c[2] != 0x83)
        return fail({kIllegalRequest, kInvalidField});
      return reply(inquiry(), big(c.subspan(3, 2)));
    case kModeSense6:
      return reply(mode_pages(false), c[4]);
    case kModeSense10:
      return reply(mode_pages(true), big(c.subspan(7, 2)));
    case kReadFormatCapacities:
      out = {0, 0, 0, 8};
      append(out, std::min<u64>(blocks(), 0xffffffff), 4);
      append(out, 0x02000200, 4);  // formatted; 512 bytes
      return reply(out, big(c.subspan(7, 2)));
    case kReadCapacity10:
      if (blocks() == 0) return fail({kNotReady, kNoMedium});
      append(out, std::min<u64>(blocks() - 1, 0xffffffff), 4);
      append(out, 512, 4);
      return reply(out, out.size());
    case kServiceActionIn16:
      if ((c[1] & 0x1f) != kReadCapacity16) return fail({kIllegalRequest, kInvalidField});
      if (blocks() == 0) return fail({kNotReady, kNoMedium});
      append(out, blocks() - 1, 8);
      append(out, 512, 4);
      out.resize(32);
      return reply(out, big(c.subspan(10, 4)));
    case kReportLuns:
      out = {0, 0, 0, 8};
      out.resize(16);
      return reply(out, big(c.subspan(6, 4)));
    case kRead10:
    case kWrite10:
      return start_blocks(big(c.subspan(2, 4)), big(c.subspan(7, 2)), c[0] == kWrite10);
    case kRead16:
    case kWrite16:
      return start_blocks(big(c.subspan(2, 8)), big(c.subspan(10, 4)), c[0] == kWrite16);
    case kSynchronize10:
    case kSynchronize16:
      flushes_ = true;
      phase_ = Phase::kBackend;
      return issue();
    default:
      return fail({kIllegalRequest, kInvalidOperation});
  }
}

}  // namespace emu
