// SPDX-License-Identifier: Apache-2.0
// An ATAPI CD/DVD-ROM drive: the packet protocol and moving data.
#include "devices/storage/atapi_cdrom.h"

#include <algorithm>

#include "base/bits.h"

namespace emu {

using namespace atapi;
using namespace scsi;

namespace {

constexpr u64 kMaxRawDmaBlocks = 2048;  // what one command may make us allocate

}  // namespace

AtapiCdrom::AtapiCdrom(Wires wires, BlockBackend* medium, DriveIdentity identity)
    : IdeDrive(std::move(wires)), unit_(medium, std::move(identity), CdromUnit::Link::kAtapi) {
  unit_.watch_medium([this] { medium_leaves(); }, [] {});
}

// A command that still reads the old disc ends now, as if it had found none.
void AtapiCdrom::medium_leaves() {
  const bool is_reading = phase() == Phase::kBackend;
  cancel();
  if (!is_reading) return;
  if (uses_dma_) dma().fail();
  check_condition(kNoMedium);
}

void AtapiCdrom::power_on() {
  task_ = Task::kPacket;
  packet_ = {};
  unit_.reset();
  uses_dma_ = false;
  byte_limit_ = 2;
  reply_bytes_ = lba_ = remaining_ = chunk_ = 0;
  block_bytes_ = kBlockBytes;
  transfer_mode_ = 0x08;
  IdeDrive::power_on();
}

void AtapiCdrom::set_signature() {
  TaskFile& r = registers();
  r.count = 1;
  r.low = 1;
  r.mid = 0x14;
  r.high = 0xeb;
}

void AtapiCdrom::execute(u8 command) {
  switch (command) {
    case ata::kPacket:
      return receive_packet();
    case ata::kDeviceReset:
      return device_reset();
    case ata::kIdentifyPacketDevice:
      task_ = Task::kReply;
      reply_bytes_ = 0;  // not a packet: no completion phase
      uses_dma_ = false;
      fill_identify_packet(std::span(buffer()).first(512), unit_.identity(), transfer_mode_);
      return send_data(512, 512);
    case ata::kSetFeatures:
      if (registers().features == 0x03) transfer_mode_ = registers().count;
      return succeed();
    case ata::kCheckPowerMode:
      registers().count = 0xff;
      return succeed();
    case ata::kIdleImmediate:
    case ata::kStandbyImmediate:
    case ata::kSleep:
    case ata::kFlushCache:
      return succeed();
    default:
      return refuse_with_signature();
  }
}

// Commands of hard disks are refused in a way that tells what kind of device this is.
void AtapiCdrom::refuse_with_signature() {
  set_signature();
  abort();
}

void AtapiCdrom::device_reset() {
  const u8 device = registers().device & ata::kDeviceOne;
  soft_reset();
  registers().device = device;
}

void AtapiCdrom::receive_packet() {
  TaskFile& r = registers();
  uses_dma_ = (r.features & 1) != 0;
  byte_limit_ = u64{r.high} << 8 | r.mid;
  if (byte_limit_ == 0 || byte_limit_ == 0xffff) byte_limit_ = 0xfffe;
  byte_limit_ = std::max<u64>(byte_limit_ & ~u64{1}, 2);  // blocks end between words
  task_ = Task::kPacket;
  receive_data(kPacketBytes, kPacketBytes, false);
}

void AtapiCdrom::block_begins(u64 length_bytes) {
  TaskFile& r = registers();
  if (task_ == Task::kPacket) {
    r.count = kReasonCommand;
    return;
  }
  r.count = kReasonToHost;
  r.mid = static_cast<u8>(length_bytes);
  r.high = static_cast<u8>(length_bytes >> 8);
}

void AtapiCdrom::data_out_done() {
  std::copy_n(buffer().begin(), kPacketBytes, packet_.begin());
  run_packet();
}

void AtapiCdrom::data_in_done() {
  if (task_ == Task::kReply && reply_bytes_ == 0) return succeed_quietly();
  if (task_ == Task::kReply) return finish_packet();
  lba_ += chunk_;
  remaining_ -= chunk_;
  chunk_ = 0;
  if (remaining_ == 0) return finish_packet();
  read_chunk();
}

void AtapiCdrom::finish_packet() {
  registers().count = kReasonCommand | kReasonToHost;
  unit_.remember(kNoSense);
  succeed();
}

void AtapiCdrom::check_condition(const Sense& sense) {
  registers().count = kReasonCommand | kReasonToHost;
  unit_.remember(sense);
  abort(static_cast<u8>(sense.key << 4 | ata::kAbrt));
}

void AtapiCdrom::host_failed(const Error& error) {
  if (complaints_.pass())
    log(LogLevel::kError, "ide", "{}: block {}: {}", unit_.backend()->describe(), lba_,
        error.message);
  check_condition(kReadError);
}

void AtapiCdrom::run_packet() {
  std::array<u8, ScsiUnit::kMaxCommandBytes> command{};
  std::ranges::copy(packet_, command.begin());
  ScsiPlan plan = unit_.plan(command, [](std::span<u8>) { return std::size_t{0}; });
  if (plan.failed()) return check_condition(plan.sense);
  if (plan.reads) return read_blocks(plan);
  reply(std::move(plan.reply));
}

void AtapiCdrom::reply(std::vector<u8> bytes) {
  bytes.resize(std::min<u64>(bytes.size(), kMaxBufferBytes));
  if (bytes.empty()) return finish_packet();
  std::copy(bytes.begin(), bytes.end(), buffer().begin());
  task_ = Task::kReply;
  reply_bytes_ = bytes.size();
  if (!uses_dma_) return send_data(reply_bytes_, byte_limit_);
  keep_buffer(reply_bytes_);
  wait_for_dma();
}

void AtapiCdrom::read_blocks(const ScsiPlan& plan) {
  task_ = Task::kRead;
  lba_ = plan.offset_bytes / kBlockBytes;
  remaining_ = plan.length_bytes / kBlockBytes;
  chunk_ = 0;
  block_bytes_ = plan.is_raw ? kRawBlockBytes : kBlockBytes;
  if (uses_dma_) return wait_for_dma();
  read_chunk();
}

void AtapiCdrom::read_chunk() {
  chunk_ = std::min(remaining_, kMaxBufferBytes / block_bytes_);
  start_backend();
}

void AtapiCdrom::run_dma() {
  if (task_ == Task::kRead) return read_chunk();
  const DmaMapping mapping = dma().map(reply_bytes_, true);
  auto from = buffer().begin();
  for (const auto& piece : mapping.pieces()) {
    std::copy_n(from, piece.size(), piece.begin());
    from += static_cast<std::ptrdiff_t>(piece.size());
  }
  mapping.publish(dma().memory());
  if (mapping.length_bytes() < reply_bytes_) {
    dma().run_dry();
    return wait_for_dma();
  }
  dma().finish();
  finish_packet();
}

void AtapiCdrom::issue() {
  if (unit_.backend() == nullptr || task_ != Task::kRead || chunk_ == 0)
    return check_condition(kNoMedium);  // the disc went away, or a load of nonsense
  if (uses_dma_) return issue_dma_read();
  issue_pio_read();
}

void AtapiCdrom::issue_pio_read() {
  // Raw blocks are larger than what is read: the data goes to the buffer's end and is spread.
  const u64 bytes = chunk_ * kBlockBytes;
  const auto target = std::span(buffer()).last(bytes);
  BlockRequest request;
  request.op = BlockOp::kRead;
  request.offset_bytes = lba_ * kBlockBytes;
  request.buffers = {block_bytes_ == kBlockBytes ? std::span(buffer()).first(bytes) : target};
  submit(std::move(request), [this, bytes](const Result<void>& result) {
    if (!result) return host_failed(result.error());
    if (block_bytes_ == kRawBlockBytes) {
      const std::vector<u8> data(buffer().end() - static_cast<std::ptrdiff_t>(bytes),
                                 buffer().end());
      for (u64 i = 0; i < chunk_; ++i) {
        make_raw_block(std::span(buffer()).subspan(i * kRawBlockBytes, kRawBlockBytes),
                       std::span(data).subspan(i * kBlockBytes, kBlockBytes),
                       static_cast<u32>(lba_ + i));
      }
    }
    send_data(chunk_ * block_bytes_, byte_limit_);
  });
}

// Whole blocks go straight to memory; raw ones are too rare for that.
void AtapiCdrom::issue_dma_read() {
  auto mapping = std::make_shared<DmaMapping>(dma().map(remaining_ * block_bytes_, true));
  if (mapping->length_bytes() < remaining_ * block_bytes_) {
    dma().run_dry();
    return wait_for_dma();
  }
  const bool is_raw = block_bytes_ == kRawBlockBytes;
  if (is_raw && remaining_ > kMaxRawDmaBlocks) return check_condition(kInvalidField);
  auto data = std::make_shared<std::vector<u8>>(is_raw ? remaining_ * kBlockBytes : 0);
  BlockRequest request;
  request.op = BlockOp::kRead;
  request.offset_bytes = lba_ * kBlockBytes;
  request.buffers = is_raw ? std::vector<std::span<u8>>{*data} : mapping->pieces();
  submit(std::move(request), [this, mapping, data, is_raw](const Result<void>& result) {
    if (result && is_raw) {
      PieceCursor cursor(mapping->pieces());
      std::array<u8, kRawBlockBytes> raw;
      for (u64 i = 0; i < remaining_; ++i) {
        make_raw_block(raw, std::span(*data).subspan(i * kBlockBytes, kBlockBytes),
                       static_cast<u32>(lba_ + i));
        copy_to_pieces(cursor.take(raw.size()), raw);
      }
    }
    mapping->publish(dma().memory());
    if (!result) {
      dma().fail();
      return host_failed(result.error());
    }
    dma().finish();
    finish_packet();
  });
}

void AtapiCdrom::transfer(StateIo& io) {
  IdeDrive::transfer(io);
  io.field(100, "task", task_);
  io.field(101, "packet", packet_);
  unit_.transfer(io);
  io.field(105, "uses_dma", uses_dma_);
  io.field(106, "byte_limit", byte_limit_);
  io.field(107, "reply_bytes", reply_bytes_);
  io.field(108, "lba", lba_);
  io.field(109, "remaining", remaining_);
  io.field(110, "chunk", chunk_);
  io.field(111, "block_bytes", block_bytes_);
  io.field(116, "transfer_mode", transfer_mode_);
  if (!io.loading()) return;
  io.check(task_ <= Task::kRead, "packet device state");
  io.check(block_bytes_ == kBlockBytes || block_bytes_ == kRawBlockBytes, "block size");
  io.check(reply_bytes_ <= kMaxBufferBytes && byte_limit_ >= 2 && byte_limit_ <= 0xfffe,
           "packet byte counts");
  io.check(
      remaining_ <= 0xffff'ffff && chunk_ <= remaining_ && chunk_ * block_bytes_ <= kMaxBufferBytes,
      "packet transfer size");
}

}  // namespace emu
