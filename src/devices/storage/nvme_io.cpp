// SPDX-License-Identifier: Apache-2.0
// NVMe I/O commands, and where their data is.
// Source: NVM Express 1.4: 4.3 (PRP), 4.4 (SGL), 6.
#include <algorithm>

#include "base/bits.h"
#include "devices/storage/nvme_controller.h"

namespace emu {

using namespace nvme;

namespace {

constexpr u64 kBlockBytes = 512;
constexpr u64 kMaxTransferBytes = 2 * kMiB;
constexpr unsigned kMaxDescriptors = 4096;
constexpr u64 kSglBytes = 16, kRangeBytes = 16;
constexpr u8 kSglData = 0, kSglSegment = 2, kSglLastSegment = 3;

}  // namespace

void NvmeController::execute_io(u16 sq, const Command& command) {
  auto [id, request] = requests_.add();
  request.sq = sq;
  request.command = command;
  const u16 status = start_io(id, request);
  if (status == kSuccess) return requests_.release(id);
  static_cast<void>(requests_.take(id));
  complete(sq, id_of(command), status);
}

u16 NvmeController::start_io(u64 id, Request& request) {
  const u8 opcode = request.command[0];
  const u32 name_space = word(request.command, 1);
  if (name_space != 1 && !(opcode == kFlush && name_space == ~0u)) return kInvalidNamespace;
  const bool writes = opcode != kRead && opcode != kFlush;
  if (writes && backend_.read_only()) return kReadOnlyRange;
  const bool is_forced = (word(request.command, 12) & kForceUnitAccess) != 0;
  if ((opcode == kWrite || opcode == kWriteZeroes) &&
      (is_forced || features_[kFeatureWriteCache] == 0))
    request.flushes_after = &backend_;
  switch (opcode) {
    case kFlush:
      if (!backend_.read_only()) requests_.submit(id, backend_, {BlockOp::kFlush, 0, 0, {}});
      return kSuccess;
    case kWrite:
      return move_data(id, request, false);
    case kRead:
      return move_data(id, request, true);
    case kWriteZeroes:
      return write_zeroes(id, request);
    case kDatasetManagement:
      return deallocate(id, request);
    default:
      return kInvalidOpcode;
  }
}

u16 NvmeController::move_data(u64 id, Request& request, bool to_guest) {
  const u64 first = wide(request.command, 10);
  const u64 count = (word(request.command, 12) & 0xffff) + 1;
  if (!range_fits(first, count, blocks())) return kLbaRange;
  const u64 bytes = count * kBlockBytes;
  if (bytes > kMaxTransferBytes) return kInvalidField;
  if (const u16 status = map_data(request.command, bytes, to_guest, request.data);
      status != kSuccess)
    return status;
  request.reads = to_guest;
  requests_.submit(
      id, backend_,
      {to_guest ? BlockOp::kRead : BlockOp::kWrite, first * kBlockBytes, 0, request.data.pieces()});
  return kSuccess;
}

u16 NvmeController::write_zeroes(u64 id, Request& request) {
  const u64 first = wide(request.command, 10);
  const u64 count = (word(request.command, 12) & 0xffff) + 1;
  if (!range_fits(first, count, blocks())) return kLbaRange;
  requests_.submit(id, backend_,
                   {BlockOp::kWriteZeroes, first * kBlockBytes, count * kBlockBytes, {}});
  return kSuccess;
}

// Ranges: attributes, count (4 bytes each), first block (8).
u16 NvmeController::deallocate(u64 id, Request& request) {
  const u64 ranges = (word(request.command, 10) & 0xff) + 1;
  std::vector<u8> raw(ranges * kRangeBytes);
  DmaList list;
  if (const u16 status = map_data(request.command, raw.size(), false, list); status != kSuccess)
    return status;
  if ((word(request.command, 11) & kDeallocate) == 0) return kSuccess;  // hints
  list.read(0, raw);
  for (u64 at = 0; at < raw.size(); at += kRangeBytes) {
    if (!range_fits(load_le<u64>(&raw[at + 8]), load_le<u32>(&raw[at + 4]), blocks()))
      return kLbaRange;
  }
  for (u64 at = 0; at < raw.size(); at += kRangeBytes) {
    requests_.submit(id, backend_,
                     {BlockOp::kDiscard,
                      load_le<u64>(&raw[at + 8]) * kBlockBytes,
                      load_le<u32>(&raw[at + 4]) * kBlockBytes,
                      {}});
  }
  return kSuccess;
}

void NvmeController::ended(u64 id) {
  const Request request = requests_.take(id);
  const u16 error = request.reads ? kReadError : kWriteFault;
  complete(request.sq, id_of(request.command), request.failed ? error : kSuccess);
  process(request.sq);
}

u16 NvmeController::map_data(const Command& c, u64 bytes, bool for_writing, DmaList& out) {
  if ((c[1] >> 6) == 0) return map_prps(wide(c, 6), wide(c, 8), bytes, for_writing, out);
  return map_sgl(std::span(c).subspan(24, kSglBytes), bytes, for_writing, out);
}

// The first page may start anywhere; of a list, the last entry of a page leads to the next page if
// there is more.
u16 NvmeController::map_prps(u64 first, u64 second, u64 bytes, bool for_writing, DmaList& out) {
  const AddressSpace& memory = bus().wires().dma;
  const u64 page = page_bytes();
  if (first % 4 != 0) return kPrpOffset;
  const u64 n = std::min(bytes, page - first % page);
  if (!out.add(memory, first, n, for_writing)) return kTransferError;
  bytes -= n;
  if (bytes == 0) return kSuccess;
  if (bytes <= page) {
    if (second % page != 0) return kPrpOffset;
    return out.add(memory, second, bytes, for_writing) ? kSuccess : kTransferError;
  }
  if (second % 8 != 0) return kPrpOffset;
  u64 list = second;
  while (bytes != 0) {
    u64 entry = memory.load(list, 8);
    const bool is_last_slot = list % page == page - 8;
    if (is_last_slot && bytes > page) {
      if (entry % page != 0) return kPrpOffset;
      list = entry;
      entry = memory.load(list, 8);
    }
    if (entry % page != 0) return kPrpOffset;
    const u64 part = std::min(bytes, page);
    if (!out.add(memory, entry, part, for_writing)) return kTransferError;
    bytes -= part;
    list += 8;
  }
  return kSuccess;
}

// A descriptor: address (8 bytes), length (4), reserved (3), type in the last byte's upper half.
u16 NvmeController::map_sgl(std::span<const u8> descriptor, u64 bytes, bool for_writing,
                            DmaList& out) {
  const AddressSpace& memory = bus().wires().dma;
  std::vector<u8> segment(descriptor.begin(), descriptor.end());
  unsigned seen = 0;
  while (true) {
    std::optional<std::pair<u64, u32>> next;
    for (std::size_t at = 0; at < segment.size(); at += kSglBytes) {
      if (++seen > kMaxDescriptors || next) return kSglCount;
      const u64 address = load_le<u64>(&segment[at]);
      const u32 length = load_le<u32>(&segment[at + 8]);
      const u8 type = segment[at + 15] >> 4;
      if (type == kSglSegment || type == kSglLastSegment) {
        next = {address, length};
        continue;
      }
      if (type != kSglData) return kSglType;
      const u64 part = std::min<u64>(length, bytes);
      if (!out.add(memory, address, part, for_writing)) return kTransferError;
      bytes -= part;
    }
    if (bytes == 0) return kSuccess;
    if (!next) return kSglLength;
    if (next->second == 0 || next->second % kSglBytes != 0 ||
        next->second / kSglBytes > kMaxDescriptors)
      return kSglCount;
    segment.resize(next->second);
    memory.read(next->first, segment);
  }
}

}  // namespace emu
