// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/virtio_block.h"

#include <algorithm>
#include <array>
#include <vector>

namespace emu {
namespace {

constexpr u64 kSectorBytes = 512;
// Features (5.2.3).
constexpr u64 kSegMax = 1u << 2, kGeometry = 1u << 4, kReadOnly = 1u << 5, kBlockSize = 1u << 6,
              kFlush = 1u << 9, kTopology = 1u << 10, kConfigWce = 1u << 11, kMultiQueue = 1u << 12,
              kDiscard = 1u << 13, kWriteZeroes = 1u << 14;
// Request types and status (5.2.6).
constexpr u32 kTypeIn = 0, kTypeOut = 1, kTypeFlush = 4, kTypeGetId = 8, kTypeDiscard = 11,
              kTypeWriteZeroes = 13;
constexpr u8 kOk = 0, kIoError = 1, kUnsupported = 2;
constexpr u64 kHeaderBytes = 16, kRangeBytes = 16, kIdBytes = 20;
constexpr u32 kUnmap = 1;
constexpr u32 kMaxRangeSectors = 1u << 22;  // 2 GiB
// The configuration's fields (5.2.4).
constexpr u64 kWritebackAt = 32;

std::vector<u16> sizes(unsigned queues, u16 size) {
  return std::vector<u16>(queues, size);
}

}  // namespace

VirtioBlock::VirtioBlock(AddressSpace& memory, BlockBackend& backend, const Options& options)
    : VirtioDevice(memory, {"virtio-block", virtio::kTypeBlock, 0x010000, kConfigBytes},
                   sizes(options.queues, kQueueSize)),
      backend_(backend),
      options_(options) {
  EMU_CHECK(options.queues >= 1 && options.queues <= 64);
}

u64 VirtioBlock::model_features() const {
  u64 features =
      kSegMax | kGeometry | kBlockSize | kFlush | kTopology | kConfigWce | kDiscard | kWriteZeroes;
  if (options_.queues > 1) features |= kMultiQueue;
  if (backend_.read_only()) {
    features |= kReadOnly;
    features &= ~(kDiscard | kWriteZeroes);
  }
  return features;
}

void VirtioBlock::fill_config(std::span<u8> out) {
  const u64 sectors = backend_.size_bytes() / kSectorBytes;
  store_le(&out[0], sectors);
  store_le(&out[12], u32{kQueueSize - 2});  // seg_max
  // Geometry, as disks of more than 8 GB have it.
  store_le(&out[16], static_cast<u16>(std::min<u64>(sectors / (16 * 63), 65535)));
  out[18] = 16;
  out[19] = 63;
  store_le(&out[20], u32{kSectorBytes});
  out[24] = 3;                 // physical blocks of 4 KiB
  store_le(&out[26], u16{8});  // smallest good transfer
  out[kWritebackAt] = write_cache_ ? 1 : 0;
  store_le(&out[34], static_cast<u16>(options_.queues));
  store_le(&out[36], kMaxRangeSectors);
  store_le(&out[40], kMaxRanges);
  store_le(&out[44], u32{8});  // discard alignment
  store_le(&out[48], kMaxRangeSectors);
  store_le(&out[52], kMaxRanges);
  out[56] = 1;  // write zeroes may unmap
}

void VirtioBlock::config_written(u64 offset, std::span<const u8> bytes) {
  if (offset == kWritebackAt && has_feature(kConfigWce)) write_cache_ = (bytes[0] & 1) != 0;
}

// A driver that never flushes must not have a cache in front of it (5.2.6.2).
bool VirtioBlock::has_write_cache() const {
  if (has_feature(kConfigWce)) return write_cache_;
  return has_feature(kFlush);
}

void VirtioBlock::notified(unsigned queue) {
  each_chain(queue, [&](VirtioChain chain) { start(queue, std::move(chain)); });
}

void VirtioBlock::start(unsigned queue, VirtioChain chain) {
  auto [id, request] = requests_.add();
  request.queue = queue;
  request.chain = std::move(chain);
  u64 sector = 0;
  if (!dissect(request, sector)) {
    static_cast<void>(requests_.take(id));
    return fail("a request without header or status byte, or with memory that is not RAM");
  }
  execute(id, request, sector);
}

// Header: type, reserved (4 bytes each), sector (8). The status is the last writable byte; framing
// is the driver's choice (5.2.6, 2.7.4.3).
bool VirtioBlock::dissect(Request& request, u64& sector) {
  DmaList in;
  DmaList out;
  if (!request.chain.map_readable(memory(), in) || !request.chain.map_writable(memory(), out))
    return false;
  std::array<u8, kHeaderBytes> header{};
  if (in.read(0, header) != kHeaderBytes || out.empty()) return false;
  request.type = load_le<u32>(header.data());
  sector = load_le<u64>(&header[8]);
  request.status = out.part(out.length_bytes() - 1, 1);
  const bool reads = request.type == kTypeIn || request.type == kTypeGetId;
  request.data = reads ? out.part(0, out.length_bytes() - 1)
                       : in.part(kHeaderBytes, in.length_bytes() - kHeaderBytes);
  return true;
}

void VirtioBlock::execute(u64 id, Request& request, u64 sector) {
  if (!has_write_cache() && (request.type == kTypeOut || request.type == kTypeWriteZeroes))
    request.flushes_after = &backend_;
  switch (request.type) {
    case kTypeIn:
    case kTypeOut:
      return move_data(id, request, sector);
    case kTypeFlush:
      requests_.submit(id, backend_, {BlockOp::kFlush, 0, 0, {}});
      return requests_.release(id);
    case kTypeGetId:
      return send_identity(id, request);
    case kTypeDiscard:
    case kTypeWriteZeroes:
      return clear_ranges(id, request);
    default:
      return finish(id, kUnsupported, 0);
  }
}

void VirtioBlock::move_data(u64 id, Request& request, u64 sector) {
  const u64 length = request.data.length_bytes();
  const u64 sectors = backend_.size_bytes() / kSectorBytes;
  if (length % kSectorBytes != 0 || !range_fits(sector, length / kSectorBytes, sectors))
    return finish(id, kIoError, 0);
  if (length == 0) return finish(id, kOk, 0);
  BlockRequest block;
  block.op = request.type == kTypeIn ? BlockOp::kRead : BlockOp::kWrite;
  block.offset_bytes = sector * kSectorBytes;
  block.buffers = request.data.pieces();
  request.reads = block.op == BlockOp::kRead;
  requests_.submit(id, backend_, std::move(block));
  requests_.release(id);
}

void VirtioBlock::send_identity(u64 id, Request& request) {
  std::array<u8, kIdBytes> text{};
  std::copy_n(options_.serial.begin(), std::min<std::size_t>(options_.serial.size(), kIdBytes),
              text.begin());
  finish(id, kOk, static_cast<u32>(request.data.write(0, text)));
}

// Ranges: sector (8 bytes), count, flags (4 bytes each).
void VirtioBlock::clear_ranges(u64 id, Request& request) {
  const bool discard = request.type == kTypeDiscard;
  const u64 length = request.data.length_bytes();
  if (backend_.read_only()) return finish(id, kIoError, 0);
  if (length == 0 || length % kRangeBytes != 0 || length / kRangeBytes > kMaxRanges)
    return finish(id, kUnsupported, 0);
  std::array<u8, kRangeBytes * kMaxRanges> raw{};
  request.data.read(0, raw);
  std::vector<BlockRequest> blocks;
  for (u64 at = 0; at < length; at += kRangeBytes) {
    const u64 sector = load_le<u64>(&raw[at]);
    const u32 count = load_le<u32>(&raw[at + 8]);
    const u32 flags = load_le<u32>(&raw[at + 12]);
    if ((flags & ~kUnmap) != 0 || (discard && flags != 0)) return finish(id, kUnsupported, 0);
    if (count > kMaxRangeSectors ||
        !range_fits(sector, count, backend_.size_bytes() / kSectorBytes))
      return finish(id, kIoError, 0);
    blocks.push_back({discard ? BlockOp::kDiscard : BlockOp::kWriteZeroes,
                      sector * kSectorBytes,
                      count * kSectorBytes,
                      {}});
  }
  for (BlockRequest& block : blocks) requests_.submit(id, backend_, std::move(block));
  requests_.release(id);
}

void VirtioBlock::ended(u64 id) {
  const Request& request = requests_.all().at(id);
  const u32 moved =
      request.reads && !request.failed ? static_cast<u32>(request.data.length_bytes()) : 0;
  finish(id, request.failed ? kIoError : kOk, moved);
}

void VirtioBlock::finish(u64 id, u8 status, u32 data_bytes) {
  Request request = requests_.take(id);
  request.status.write(0, std::span<const u8>(&status, 1));
  complete(request.queue, request.chain, data_bytes + 1);
}

// Requests under way still write to guest memory: they end before the driver may reuse it.
void VirtioBlock::reset_model() {
  if (!requests_.empty()) backend_.drain();
  requests_.clear();
  write_cache_ = true;
}

void VirtioBlock::transfer_model(StateIo& io) {
  io.field(1, "write_cache", write_cache_);
  requests_.transfer(io, 2, VirtQueue::kMaxSize * queue_count(), [&](Request& request) {
    u32 queue = request.queue;
    io.field(1, "queue", queue);
    io.check(queue < queue_count(), "virtio-block queue");
    request.queue = queue % queue_count();
    request.chain.transfer(io, 2);
  });
}

// A request that was under way when the state was saved is made again; that reads or writes the
// same data.
void VirtioBlock::resumed_model() {
  for (Request& request : requests_.take_loaded()) start(request.queue, std::move(request.chain));
}

}  // namespace emu
