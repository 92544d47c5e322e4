// SPDX-License-Identifier: Apache-2.0
// What a SCSI disk says of itself: INQUIRY, vital product data, mode pages, capacity.
// Source: SPC-4 (T10/1731-D) 6.4, 6.11, 7.5, 7.8; SBC-3 (T10/1799-D) 5.15, 5.16, 6.4, 6.5.
#include <algorithm>
#include <array>

#include "base/bits.h"
#include "devices/storage/scsi_disk.h"
#include "devices/storage/scsi_limits.h"

namespace emu {

using namespace scsi;

namespace {

constexpr u8 kPageRecovery = 0x01, kPageCaching = 0x08, kPageControl = 0x0a, kPageAll = 0x3f;
constexpr u8 kCachingLength = 0x12, kWriteCacheBit = 0x04;
constexpr u8 kWriteProtectBit = 0x80, kDpoFua = 0x10;

// B0h, block limits.
std::vector<u8> block_limits() {
  std::vector<u8> out(64);
  out[1] = 0xb0;
  out[3] = 60;
  out[4] = 1;  // WRITE SAME wants a number
  store_be<u16>(&out[6], 8);
  store_be<u32>(&out[20], static_cast<u32>(kMaxUnmapBlocks));
  store_be<u32>(&out[24], static_cast<u32>(kMaxUnmapRanges));
  store_be<u32>(&out[28], 8);           // unmap granularity
  store_be<u32>(&out[32], 0x80000000);  // aligned at 0
  store_be<u64>(&out[36], kMaxWriteSameBlocks);
  return out;
}

// B1h, block device characteristics: nothing turns.
std::vector<u8> characteristics() {
  std::vector<u8> out(64);
  out[1] = 0xb1;
  out[3] = 60;
  out[5] = 1;
  return out;
}

// B2h, logical block provisioning: UNMAP, WRITE SAME (16) and (10) unmap; thin.
std::vector<u8> provisioning(bool is_writable) {
  std::vector<u8> out(8);
  out[1] = 0xb2;
  out[3] = 4;
  out[5] = is_writable ? 0xe0 : 0x00;
  out[6] = is_writable ? 2 : 0;
  return out;
}

// The pages asked for. `changeable`: which bits MODE SELECT may change; nothing: no such page.
std::vector<u8> mode_pages(u8 page, bool write_cache, bool changeable) {
  std::vector<u8> out;
  const auto add = [&](u8 number, u8 length) {
    if (page != number && page != kPageAll) return false;
    out.resize(out.size() + 2u + length);
    out[out.size() - 2u - length] = number;
    out[out.size() - 1u - length] = length;
    return true;
  };
  if (add(kPageRecovery, 10) && !changeable) out[out.size() - 10] = 0x80;  // writes reallocate
  if (add(kPageCaching, kCachingLength) && (write_cache || changeable))
    out[out.size() - kCachingLength] = kWriteCacheBit;
  if (add(kPageControl, 10) && !changeable) out[out.size() - 10] = 0x02;  // no log exception
  return out;
}

}  // namespace

ScsiPlan ScsiDisk::inquiry(std::span<const u8> command) const {
  static constexpr std::array<u8, 6> kPages{0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2};
  const u16 limit = load_be<u16>(&command[3]);
  const InquiryText text{identity_.model, identity_.firmware};
  if ((command[1] & 1) == 0) {
    if (command[2] != 0) return ScsiPlan::failure(kInvalidField);
    return ScsiPlan::answer(standard_inquiry(kTypeDisk, false, text), limit);
  }
  switch (command[2]) {
    case 0x00:
      return ScsiPlan::answer(vpd_pages(kTypeDisk, kPages), limit);
    case 0x80:
      return ScsiPlan::answer(vpd_serial(kTypeDisk, identity_.serial), limit);
    case 0x83:
      return ScsiPlan::answer(vpd_identification(kTypeDisk, text, identity_.serial), limit);
    case 0xb0:
      return ScsiPlan::answer(block_limits(), limit);
    case 0xb1:
      return ScsiPlan::answer(characteristics(), limit);
    case 0xb2:
      return ScsiPlan::answer(provisioning(!backend_.read_only()), limit);
    default:
      return ScsiPlan::failure(kInvalidField);
  }
}

// Header, block descriptor (unless DBD is set), pages.
ScsiPlan ScsiDisk::mode_sense(std::span<const u8> command, bool is_ten) const {
  const u8 control = command[2] >> 6;
  if (control == 3) return ScsiPlan::failure(kNoSavedPages);
  const bool subpages = command[3] != 0 && command[3] != 0xff;
  const auto pages = mode_pages(command[2] & 0x3f, write_cache_, control == 1);
  if (pages.empty() || subpages) return ScsiPlan::failure(kInvalidField);
  std::vector<u8> descriptor((command[1] & 0x08) != 0 ? 0 : 8);
  if (!descriptor.empty()) {
    store_be<u32>(&descriptor[0], static_cast<u32>(std::min<u64>(blocks(), 0xffffff)));
    store_be<u32>(&descriptor[4], static_cast<u32>(kDiskBlockBytes));
  }
  const std::size_t header = is_ten ? 8 : 4;
  std::vector<u8> out(header);
  const auto length = header + descriptor.size() + pages.size();
  const u8 specific = static_cast<u8>(kDpoFua | (backend_.read_only() ? kWriteProtectBit : 0));
  if (is_ten) {
    store_be<u16>(&out[0], static_cast<u16>(length - 2));
    out[3] = specific;
    out[7] = static_cast<u8>(descriptor.size());
  } else {
    out[0] = static_cast<u8>(length - 1);
    out[2] = specific;
    out[3] = static_cast<u8>(descriptor.size());
  }
  out.insert(out.end(), descriptor.begin(), descriptor.end());
  out.insert(out.end(), pages.begin(), pages.end());
  return ScsiPlan::answer(std::move(out), is_ten ? load_be<u16>(&command[7]) : command[4]);
}

// Only the write cache can be changed. Without it nothing may wait in it.
ScsiPlan ScsiDisk::mode_select(std::span<const u8> command, bool is_ten,
                               const Parameters& parameters) {
  const std::size_t offered = is_ten ? load_be<u16>(&command[7]) : command[4];
  if ((command[1] & 1) != 0) return ScsiPlan::failure(kInvalidField);  // nothing is saved
  if (offered == 0) return {};
  std::vector<u8> list(std::min<std::size_t>(offered, 256));
  const std::size_t header = is_ten ? 8 : 4;
  if (offered < header || parameters(list) != list.size())
    return ScsiPlan::failure(kParameterListLength);
  const std::size_t descriptor = is_ten ? load_be<u16>(&list[6]) : list[3];
  std::size_t at = header + descriptor;
  bool wanted = write_cache_;
  while (at < list.size()) {
    const std::size_t left = list.size() - at;
    if (left < 2 || left < 2u + list[at + 1]) return ScsiPlan::failure(kParameterListLength);
    if ((list[at] & 0x3f) != kPageCaching || list[at + 1] != kCachingLength)
      return ScsiPlan::failure(kInvalidParameter);
    wanted = (list[at + 2] & kWriteCacheBit) != 0;
    at += 2u + kCachingLength;
  }
  const bool was_on = std::exchange(write_cache_, wanted);
  return was_on && !wanted ? flush() : ScsiPlan{};
}

ScsiPlan ScsiDisk::capacity10() const {
  std::vector<u8> out(8);
  store_be<u32>(&out[0], static_cast<u32>(std::min<u64>(blocks() - 1, 0xffff'ffff)));
  store_be<u32>(&out[4], static_cast<u32>(kDiskBlockBytes));
  return ScsiPlan::answer(std::move(out), 8);
}

ScsiPlan ScsiDisk::capacity16(std::span<const u8> command) const {
  std::vector<u8> out(32);
  store_be<u64>(&out[0], blocks() - 1);
  store_be<u32>(&out[8], static_cast<u32>(kDiskBlockBytes));
  out[13] = 3;                                // eight blocks are a physical one
  if (!backend_.read_only()) out[14] = 0x80;  // thin
  return ScsiPlan::answer(std::move(out), load_be<u32>(&command[10]));
}

}  // namespace emu
