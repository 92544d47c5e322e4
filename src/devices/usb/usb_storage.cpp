// SPDX-License-Identifier: Apache-2.0
#include "devices/usb/usb_storage.h"

#include <algorithm>

#include "base/bits.h"

namespace emu {
namespace {

constexpr u32 kCommandSignature = 0x43425355, kStatusSignature = 0x53425355;  // 5.1, 5.2
constexpr std::size_t kCommandBytes = 31, kStatusBytes = 13;
constexpr u16 kGetMaxLun = 0xa1fe, kBulkOnlyReset = 0x21ff;
constexpr u8 kInEndpoint = 1, kOutEndpoint = 2;
constexpr u32 kChunkBlocks = 128;  // of one request to the backend
constexpr UsbReply kStalled{UsbStatus::kStall, 0};
constexpr UsbReply kNotYet{UsbStatus::kNak, 0};

}  // namespace

UsbStorage::UsbStorage(std::string name, BlockBackend& backend, std::string serial,
                       usb::Speed speed)
    : UsbDevice(std::move(name)), backend_(backend), serial_(std::move(serial)), speed_(speed) {
  const bool high = speed == usb::Speed::kHigh;
  const u8 version = high ? 2 : 1, packet_high = high ? 2 : 0, packet_low = high ? 0 : 64;
  device_ = {18,   usb::kDeviceDescriptor,
             0,    version,
             0,    0,
             0,    u8{kControlPacketBytes},
             0xf4, 0x46,
             1,    0,  // 46f4:0001, as QEMU's
             0,    1,
             1,    2,
             3,    1};
  configuration_ = {9, usb::kConfigurationDescriptor, 32, 0, 1, 1, 0, 0xc0, 0,
                    // Mass storage, SCSI, bulk-only.
                    9, usb::kInterfaceDescriptor, 0, 0, 2, 8, 6, 0x50, 0, 7,
                    usb::kEndpointDescriptor, usb::kEndpointIn | kInEndpoint, usb::kBulk,
                    packet_low, packet_high, 0, 7, usb::kEndpointDescriptor, kOutEndpoint,
                    usb::kBulk, packet_low, packet_high, 0};
}

std::string_view UsbStorage::string(u8 index) const {
  if (index == 1) return "emu";
  if (index == 2) return "emu USB disk";
  return index == 3 ? std::string_view(serial_) : std::string_view();
}

std::optional<std::vector<u8>> UsbStorage::control_in(const usb::Setup& setup) {
  if (setup.code() == kGetMaxLun) return std::vector<u8>{0};
  return std::nullopt;
}

bool UsbStorage::control_out(const usb::Setup& setup, std::span<const u8>) {
  if (setup.code() != kBulkOnlyReset) return false;
  function_reset();
  return true;
}

void UsbStorage::function_reset() {
  ++generation_;
  issue_waits_ = false;
  phase_ = Phase::kCommand;
  tag_ = expected_ = residue_ = blocks_left_ = position_ = 0;
  expects_in_ = writes_ = flushes_ = false;
  result_ = 0;
  command_.fill(0);
  sense_.fill(0);
  next_block_ = 0;
  buffer_ = std::make_shared<std::vector<u8>>();
}

void UsbStorage::transfer_function(StateIo& io) {
  io.field(20, "phase", phase_);
  io.field(21, "tag", tag_);
  io.field(22, "expected", expected_);
  io.field(23, "expects_in", expects_in_);
  io.field(24, "residue", residue_);
  io.field(25, "result", result_);
  io.field(26, "command", command_);
  io.field(27, "sense", sense_);
  io.field(28, "next_block", next_block_);
  io.field(29, "blocks_left", blocks_left_);
  io.field(30, "writes", writes_);
  io.field(31, "flushes", flushes_);
  io.field(32, "position", position_);
  io.field(33, "buffer", *buffer_, kChunkBlocks * 512);
  io.check(phase_ <= Phase::kBroken && position_ <= buffer_->size() &&
               (!writes_ || buffer_->size() % 512 == 0) && next_block_ < u64{1} << 48,
           "a USB disk's transfer");
}

// A request that was under way when the state was saved is made again.
void UsbStorage::resumed() {
  ++generation_;
  issue_waits_ = false;
  if (phase_ == Phase::kBackend) issue();
}

// --- Bulk-only transport ---

UsbReply UsbStorage::endpoint_out(u8 endpoint, std::span<const u8> data) {
  if (endpoint != kOutEndpoint) return kStalled;
  switch (phase_) {
    case Phase::kCommand:
      return take_command(data);
    case Phase::kDataOut:
      return take_data(data);
    case Phase::kBackend:
      return kNotYet;
    default:
      return kStalled;
  }
}

UsbReply UsbStorage::endpoint_in(u8 endpoint, std::span<u8> data) {
  if (endpoint != kInEndpoint) return kStalled;
  switch (phase_) {
    case Phase::kDataIn:
      return give_data(data);
    case Phase::kStatus:
      return give_status(data);
    case Phase::kBroken:
      return kStalled;
    default:
      return kNotYet;
  }
}

UsbReply UsbStorage::take_command(std::span<const u8> data) {
  const bool valid = data.size() == kCommandBytes && load_le<u32>(&data[0]) == kCommandSignature &&
                     data[13] == 0 && data[14] >= 1 && data[14] <= 16;
  if (!valid) {
    phase_ = Phase::kBroken;
    halt(kInEndpoint, true);
    halt(kOutEndpoint, false);
    return kStalled;
  }
  tag_ = load_le<u32>(&data[4]);
  expected_ = residue_ = load_le<u32>(&data[8]);
  expects_in_ = (data[12] & 0x80) != 0;
  command_.fill(0);
  std::copy_n(data.begin() + 15, data[14], command_.begin());
  result_ = 0;
  blocks_left_ = position_ = 0;
  writes_ = flushes_ = false;
  buffer_ = std::make_shared<std::vector<u8>>();
  execute();
  return {UsbStatus::kAck, data.size()};
}

// What comes next, once nothing is under way.
void UsbStorage::data_stage() {
  phase_ = expected_ == 0 ? Phase::kStatus : expects_in_ ? Phase::kDataIn : Phase::kDataOut;
}

UsbReply UsbStorage::take_data(std::span<const u8> data) {
  const u32 length = static_cast<u32>(std::min<std::size_t>(data.size(), expected_));
  const u32 room = writes_ ? static_cast<u32>(buffer_->size()) - position_ : 0;
  const u32 kept = std::min(length, room);
  std::copy_n(data.begin(), kept, buffer_->begin() + position_);
  position_ += kept;
  residue_ -= kept;
  expected_ -= length;
  if (writes_ && position_ == buffer_->size() && !buffer_->empty()) {
    phase_ = Phase::kBackend;
    issue();
  } else {
    data_stage();
  }
  return {UsbStatus::kAck, data.size()};
}

UsbReply UsbStorage::give_data(std::span<u8> data) {
  const u32 length = static_cast<u32>(std::min<std::size_t>(data.size(), expected_));
  u32 filled = 0;
  // Chunks are whole packets, so that one packet is filled from one chunk.
  const u32 left = static_cast<u32>(buffer_->size()) - position_;
  filled = std::min(length, left);
  std::copy_n(buffer_->begin() + position_, filled, data.begin());
  std::fill(data.begin() + filled, data.begin() + length, u8{0});
  position_ += filled;
  residue_ -= filled;
  expected_ -= length;
  if (position_ == buffer_->size() && blocks_left_ != 0 && expected_ != 0) {
    next_chunk();
  } else {
    data_stage();
  }
  return {UsbStatus::kAck, length};
}

UsbReply UsbStorage::give_status(std::span<u8> data) {
  if (data.size() < kStatusBytes) return kStalled;
  store_le(&data[0], kStatusSignature);
  store_le(&data[4], tag_);
  store_le(&data[8], residue_);
  data[12] = result_;
  phase_ = Phase::kCommand;
  return {UsbStatus::kAck, kStatusBytes};
}

// --- Blocks ---

void UsbStorage::next_chunk() {
  const u32 count = std::min(blocks_left_, kChunkBlocks);
  buffer_ = std::make_shared<std::vector<u8>>(std::size_t{count} * 512);
  position_ = 0;
  blocks_left_ -= count;
  if (writes_) return data_stage();
  phase_ = Phase::kBackend;
  issue();
}

// One request at a time: what an abandoned one still writes is its own buffer.
void UsbStorage::issue() {
  issue_waits_ = in_flight_ != 0;
  if (!issue_waits_) submit();
}

void UsbStorage::submit() {
  ++in_flight_;
  BlockRequest request;
  request.op = flushes_ ? BlockOp::kFlush : writes_ ? BlockOp::kWrite : BlockOp::kRead;
  if (!flushes_) {
    request.offset_bytes = next_block_ * 512;
    request.length_bytes = buffer_->size();
    request.buffers.push_back(*buffer_);
  }
  backend_.submit(std::move(request),
                  [this, generation = generation_, alive = std::weak_ptr<char>(alive_),
                   keep = buffer_](const Result<void>& result) {
                    if (alive.expired()) return;
                    --in_flight_;
                    if (generation == generation_) completed(result);
                    if (in_flight_ == 0 && std::exchange(issue_waits_, false)) submit();
                  });
}

void UsbStorage::completed(const Result<void>& result) {
  if (!result) {
    fail({3, static_cast<u8>(writes_ ? 0x0c : 0x11)});  // medium error: write, unrecovered read
  } else if (!flushes_) {
    next_block_ += buffer_->size() / 512;
    if (!writes_) {
      data_stage();
    } else if (blocks_left_ != 0) {
      next_chunk();
    } else {
      buffer_ = std::make_shared<std::vector<u8>>();
      writes_ = false;
      position_ = 0;
      data_stage();
    }
  } else {
    flushes_ = false;
    data_stage();
  }
  wake();
}

}  // namespace emu
