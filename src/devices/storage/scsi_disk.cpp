// SPDX-License-Identifier: Apache-2.0
// The commands of a SCSI disk that move or change blocks.
#include "devices/storage/scsi_disk.h"

#include <algorithm>
#include <array>

#include "base/bits.h"
#include "devices/storage/scsi_limits.h"

namespace emu {

using namespace scsi;

namespace {

constexpr u8 kForceUnitAccess = 0x08, kByteCheck = 0x06, kWriteSameUnmap = 0x08,
             kWriteSameAnchor = 0x10, kWriteSameNoData = 0x01;

u16 word(std::span<const u8> command, unsigned at) {
  return load_be<u16>(&command[at]);
}
u32 wide(std::span<const u8> command, unsigned at) {
  return load_be<u32>(&command[at]);
}

// Where the address and the count of a command are follows from its group (SPC-4 4.3.2).
std::pair<u64, u64> range_of(std::span<const u8> command) {
  switch (command[0] >> 5) {
    case 0:
      return {wide(command, 0) & 0x1fffff, command[4] == 0 ? 256u : command[4]};
    case 5:
      return {wide(command, 2), wide(command, 6)};
    case 4:
      return {load_be<u64>(&command[2]), wide(command, 10)};
    default:
      return {wide(command, 2), word(command, 7)};
  }
}

}  // namespace

void ScsiDisk::reset() {
  remember(kNoSense);
  write_cache_ = true;
}

ScsiPlan ScsiDisk::plan(std::span<const u8> command, const Parameters& parameters) {
  switch (command[0]) {
    case kRead6:
    case kRead10:
    case kRead12:
    case kRead16:
      return move(command, true);
    case kWrite6:
    case kWrite10:
    case kWrite12:
    case kWrite16:
    case kWriteAndVerify10:
    case kWriteAndVerify12:
    case kWriteAndVerify16:
      return move(command, false);
    case kSynchronizeCache10:
    case kSynchronizeCache16:
      return flush();
    case kUnmap:
      return unmap(command, parameters);
    case kWriteSame10:
    case kWriteSame16:
      return write_same(command, parameters);
    case kVerify10:
    case kVerify12:
    case kVerify16:
      return verify(command);
    default:
      return plan_other(command, parameters);
  }
}

ScsiPlan ScsiDisk::plan_other(std::span<const u8> command, const Parameters& parameters) {
  switch (command[0]) {
    case kTestUnitReady:
    case kStartStop:
    case kPreventAllow:
    case kSeek10:
      return {};
    case kRequestSense:
      return request_sense(command[4]);
    case kInquiry:
      return inquiry(command);
    case kModeSense6:
    case kModeSense10:
      return mode_sense(command, command[0] == kModeSense10);
    case kModeSelect6:
    case kModeSelect10:
      return mode_select(command, command[0] == kModeSelect10, parameters);
    case kReadCapacity:
      return capacity10();
    case kServiceActionIn16:
      if ((command[1] & 0x1f) != kReadCapacity16) return ScsiPlan::failure(kInvalidField);
      return capacity16(command);
    default:
      return ScsiPlan::failure(kInvalidOperation);
  }
}

ScsiPlan ScsiDisk::move(std::span<const u8> command, bool is_read) {
  const auto [first, count] = range_of(command);
  const bool is_short = command[0] >> 5 == 0;  // no such bits in byte 1
  if (!is_short && command[1] >> 5 != 0) return ScsiPlan::failure(kInvalidField);  // protection
  if (!range_fits(first, count, blocks())) return ScsiPlan::failure(kOutOfRange);
  if (!is_read && backend_.read_only()) return ScsiPlan::failure(kWriteProtected);
  ScsiPlan plan;
  plan.reads = is_read && count != 0;
  plan.writes = !is_read && count != 0;
  plan.offset_bytes = first * kDiskBlockBytes;
  plan.length_bytes = count * kDiskBlockBytes;
  plan.flushes_after =
      plan.writes && (!write_cache_ || (!is_short && (command[1] & kForceUnitAccess) != 0));
  return plan;
}

ScsiPlan ScsiDisk::verify(std::span<const u8> command) const {
  const auto [first, count] = range_of(command);
  if ((command[1] & kByteCheck) != 0) return ScsiPlan::failure(kInvalidField);
  return ScsiPlan::failure(range_fits(first, count, blocks()) ? kNoSense : kOutOfRange);
}

ScsiPlan ScsiDisk::flush() const {
  ScsiPlan plan;
  if (!backend_.read_only()) plan.requests.push_back({BlockOp::kFlush, 0, 0, {}});
  return plan;
}

// Parameters: two lengths (2 bytes each), reserved (4), then descriptors of first block (8 bytes),
// count (4), reserved (4).
ScsiPlan ScsiDisk::unmap(std::span<const u8> command, const Parameters& parameters) {
  constexpr std::size_t kHeader = 8, kEntry = 16;
  const std::size_t offered = word(command, 7);
  if (backend_.read_only()) return ScsiPlan::failure(kWriteProtected);
  if (offered == 0) return {};
  std::vector<u8> list(std::min(offered, kHeader + kEntry * kMaxUnmapRanges));
  if (offered < kHeader || parameters(list) != list.size())
    return ScsiPlan::failure(kParameterListLength);
  const std::size_t wanted = word(list, 2);
  if (wanted / kEntry > kMaxUnmapRanges) return ScsiPlan::failure(kInvalidParameter);
  list.resize(std::min(list.size(), kHeader + wanted));
  ScsiPlan plan;
  u64 total = 0;
  for (std::size_t at = kHeader; at + kEntry <= list.size(); at += kEntry) {
    const u64 first = load_be<u64>(&list[at]);
    const u64 count = wide(list, static_cast<unsigned>(at) + 8);
    total += count;
    if (!range_fits(first, count, blocks())) return ScsiPlan::failure(kOutOfRange);
    if (total > kMaxUnmapBlocks) return ScsiPlan::failure(kInvalidParameter);
    if (count != 0)
      plan.requests.push_back(
          {BlockOp::kDiscard, first * kDiskBlockBytes, count * kDiskBlockBytes, {}});
  }
  return plan;
}

// One block that is written again and again; zeros, which is what file systems write, take no
// writing.
ScsiPlan ScsiDisk::write_same(std::span<const u8> command, const Parameters& parameters) {
  constexpr u64 kPatternBytes = 64 * kKiB, kRequestBytes = 4 * kMiB;
  const auto [first, count] = range_of(command);
  const bool has_data = command[0] == kWriteSame10 || (command[1] & kWriteSameNoData) == 0;
  if (backend_.read_only()) return ScsiPlan::failure(kWriteProtected);
  if (count == 0 || count > kMaxWriteSameBlocks || (command[1] & kWriteSameAnchor) != 0 ||
      command[1] >> 5 != 0)
    return ScsiPlan::failure(kInvalidField);
  if (!range_fits(first, count, blocks())) return ScsiPlan::failure(kOutOfRange);
  std::array<u8, kDiskBlockBytes> block{};
  if (has_data && parameters(block) != block.size()) return ScsiPlan::failure(kParameterListLength);
  ScsiPlan plan;
  plan.flushes_after = !write_cache_;
  const u64 from = first * kDiskBlockBytes, bytes = count * kDiskBlockBytes;
  if (std::ranges::all_of(block, [](u8 b) { return b == 0; })) {
    plan.requests.push_back({BlockOp::kWriteZeroes, from, bytes, {}});
    return plan;
  }
  plan.pattern = std::make_shared<std::vector<u8>>(std::min(bytes, kPatternBytes));
  for (std::size_t at = 0; at < plan.pattern->size(); at += block.size())
    std::ranges::copy(block, plan.pattern->begin() + static_cast<std::ptrdiff_t>(at));
  for (u64 done = 0; done < bytes;) {
    BlockRequest request{BlockOp::kWrite, from + done, 0, {}};
    for (u64 left = std::min(kRequestBytes, bytes - done); left != 0;) {
      const u64 n = std::min<u64>(left, plan.pattern->size());
      request.buffers.push_back(std::span(*plan.pattern).first(n));
      left -= n;
      done += n;
    }
    plan.requests.push_back(std::move(request));
  }
  return plan;
}

ScsiPlan ScsiDisk::request_sense(u8 limit) {
  return ScsiPlan::answer(fixed_sense(std::exchange(pending_sense(), kNoSense)), limit);
}

void ScsiDisk::transfer(StateIo& io) {
  transfer_sense(io);
  io.field(120, "write_cache", write_cache_);
}

}  // namespace emu
