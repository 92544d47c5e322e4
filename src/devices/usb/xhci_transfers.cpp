// SPDX-License-Identifier: Apache-2.0
// The xHCI's transfer rings.
// Source: xHCI 1.2: 4.9 (rings), 4.10 (transfers and short packets), 4.11 (TRBs).
#include <algorithm>

#include "devices/usb/xhci.h"

namespace emu {

using namespace xhci;

namespace {

constexpr std::size_t kMostBlocks = 1024;  // of one transfer
constexpr u32 kMostBytes = 16 << 20;       // of one transfer
constexpr unsigned kMostLinks = 8;         // followed in a row
constexpr unsigned kMostTransfers = 64;    // of an endpoint, until others get their turn
constexpr u64 kNextTurnNs = 125'000;

}  // namespace

bool Xhci::read_block(u64 address, Block& out) {
  std::array<u8, kTrbBytes> bytes{};
  if (!dma_read(address, bytes)) return false;
  out = {load_le<u64>(&bytes[0]), load_le<u32>(&bytes[8]), load_le<u32>(&bytes[12]), address};
  return true;
}

bool Xhci::fetch(Ring& ring, Block& out) {
  for (unsigned links = 0; links <= kMostLinks; ++links) {
    if (!read_block(ring.dequeue, out)) return false;
    if (((out.control & kCycle) != 0) != ring.cycle) return false;
    if (out.type() != Trb::kLink) {
      ring.dequeue += kTrbBytes;
      return true;
    }
    ring.dequeue = out.parameter & ~u64{15};
    if ((out.control & kToggle) != 0) ring.cycle = !ring.cycle;
  }
  return false;
}

u32 Xhci::total_bytes(const Endpoint& endpoint) {
  u32 total = 0;
  for (const Block& block : endpoint.blocks) {
    const Trb type = block.type();
    if (type == Trb::kNormal || type == Trb::kData) total += block.length();
  }
  return total;
}

// All blocks of the next transfer; of a control transfer, its three stages. False: the guest has
// not given all of it yet.
bool Xhci::fetch_transfer(Endpoint& endpoint, bool control) {
  Ring ring = endpoint.ring;
  std::vector<Block> blocks;
  u32 bytes = 0;
  bool status_seen = !control;
  for (;;) {
    Block block;
    if (!fetch(ring, block)) return false;
    if (blocks.empty() && block.type() != Trb::kSetup) status_seen = true;
    if (block.type() == Trb::kStatus) status_seen = true;
    if (block.type() == Trb::kNormal || block.type() == Trb::kData) bytes += block.length();
    blocks.push_back(block);
    const bool too_much = blocks.size() >= kMostBlocks || bytes > kMostBytes;
    if (((block.control & kChain) == 0 && status_seen) || too_much) break;
  }
  endpoint.start = endpoint.ring;
  endpoint.ring = ring;
  endpoint.blocks = std::move(blocks);
  endpoint.done = 0;
  return true;
}

UsbDevice* Xhci::device_of(const Slot& slot) const {
  if (slot.port == 0 || (ports_[slot.port - 1] & kEnabled) == 0) return nullptr;
  UsbDevice* device = devices_[slot.port - 1];
  for (u32 route = slot.route; route != 0 && device != nullptr; route >>= 4)
    device = device->child(route & 15);
  return device;
}

void Xhci::ring_doorbell(u32 number, u32 value) {
  if (!running()) return;
  if (number == 0) {
    if ((value & 0xff) == 0) run_commands();
    return;
  }
  const u32 id = value & 0xff;
  if (number > kSlots || id == 0 || id > kEndpoints || !slots_[number].enabled) return;
  Endpoint& e = slots_[number].endpoints[id - 1];
  if (e.state == EndpointState::kStopped) {
    e.state = EndpointState::kRunning;
    write_endpoint(slots_[number], id - 1);
  }
  if (e.state != EndpointState::kRunning) return;
  run_endpoint(number, id - 1);
  if (std::exchange(woken_, false)) run_waiting();
}

// What waits for a device that may have become ready.
void Xhci::run_waiting() {
  if (!running()) return;
  woken_ = true;
  if (busy_) return;
  for (unsigned round = 0; round < kMostTransfers && std::exchange(woken_, false); ++round) {
    for (unsigned slot = 1; slot <= kSlots; ++slot) {
      if (!slots_[slot].enabled) continue;
      for (unsigned i = 0; i < kEndpoints; ++i) {
        if (slots_[slot].endpoints[i].waits) run_endpoint(slot, i);
      }
    }
  }
}

void Xhci::run_endpoint(unsigned slot, unsigned index) {
  if (busy_) {  // by a device whose transfer is being run
    slots_[slot].endpoints[index].waits = woken_ = true;
    return;
  }
  busy_ = true;
  Endpoint& e = slots_[slot].endpoints[index];
  unsigned count = 0;
  while (e.state == EndpointState::kRunning) {
    e.waits = false;
    if (e.blocks.empty() && !fetch_transfer(e, index == 0)) break;
    if (++count > kMostTransfers) {
      e.waits = true;
      later_->arm(clock_.now_ns() + kNextTurnNs);
      break;
    }
    const bool is_control = index == 0 && e.blocks.front().type() == Trb::kSetup;
    const Progress progress = is_control ? run_control(slot, index) : run_transfer(slot, index);
    if (progress == Progress::kDone) continue;
    e.waits = true;
    break;
  }
  busy_ = false;
}

// Copies between `data` and a transfer's buffers from byte `offset` on.
void Xhci::move(const Endpoint& endpoint, u32 offset, std::span<u8> data, bool to_guest) {
  for (const Block& block : endpoint.blocks) {
    if (block.type() != Trb::kNormal && block.type() != Trb::kData) continue;
    if (offset >= block.length()) {
      offset -= block.length();
      continue;
    }
    const std::span<u8> part =
        data.first(std::min<std::size_t>(data.size(), block.length() - offset));
    if (to_guest) {
      dma_write(block.parameter + offset, part);
    } else if ((block.control & kImmediate) != 0) {
      std::array<u8, 8> bytes{};
      store_le(bytes.data(), block.parameter);
      for (std::size_t i = 0; i < part.size(); ++i) part[i] = bytes[(offset + i) & 7];
    } else {
      dma_read(block.parameter + offset, part);
    }
    data = data.subspan(part.size());
    if (data.empty()) return;
    offset = 0;
  }
}

Xhci::Progress Xhci::run_transfer(unsigned slot, unsigned index) {
  Endpoint& e = slots_[slot].endpoints[index];
  UsbDevice* const device = device_of(slots_[slot]);
  const u32 total = total_bytes(e);
  const bool in = index % 2 == 0;
  const u8 number = static_cast<u8>((index + 1) / 2);
  std::array<u8, kMostPacket> packet{};
  const bool moves = std::ranges::any_of(
      e.blocks, [](const Block& b) { return b.type() == Trb::kNormal || b.type() == Trb::kData; });
  while (moves) {
    const u32 length = std::min<u32>(e.packet_bytes, total - e.done);
    const std::span<u8> data = std::span(packet).first(length);
    if (!in) move(e, e.done, data, false);
    const UsbReply reply =
        device == nullptr ? UsbReply{}
                          : device->transact(in ? usb::Token::kIn : usb::Token::kOut, number, data);
    if (reply.status == UsbStatus::kNak) return Progress::kWaits;
    if (reply.status != UsbStatus::kAck) {
      finish(slot, index,
             reply.status == UsbStatus::kStall ? Code::kStall : Code::kTransactionError);
      return Progress::kDone;
    }
    const u32 moved = in ? static_cast<u32>(std::min<std::size_t>(reply.length, length)) : length;
    if (in) move(e, e.done, data.first(moved), true);
    e.done += moved;
    if (e.done == total || (in && moved < e.packet_bytes)) break;
  }
  finish(slot, index, Code::kSuccess);
  return Progress::kDone;
}

// Setup, data and status (4.11.2.2). No device of ours delays a control transfer.
Xhci::Progress Xhci::run_control(unsigned slot, unsigned index) {
  Endpoint& e = slots_[slot].endpoints[index];
  UsbDevice* const device = device_of(slots_[slot]);
  if (device == nullptr) {
    finish(slot, index, Code::kTransactionError);
    return Progress::kDone;
  }
  std::array<u8, 8> setup{};
  store_le(setup.data(), e.blocks.front().parameter);
  device->transact(usb::Token::kSetup, 0, setup);
  const u32 total = std::min<u32>(total_bytes(e), load_le<u16>(&setup[6]));
  const bool in = (setup[0] & usb::kDirectionIn) != 0;
  std::array<u8, kMostPacket> packet{};
  UsbReply reply{UsbStatus::kAck, 0};
  while (e.done < total) {
    const std::span<u8> data =
        std::span(packet).first(std::min<u32>(e.packet_bytes, total - e.done));
    if (!in) move(e, e.done, data, false);
    reply = device->transact(in ? usb::Token::kIn : usb::Token::kOut, 0, data);
    if (reply.status != UsbStatus::kAck) break;
    const u32 moved = static_cast<u32>(in ? std::min(reply.length, data.size()) : data.size());
    if (in) move(e, e.done, data.first(moved), true);
    e.done += moved;
    if (in && moved < data.size()) break;
  }
  // A refused request that sends data stalls in its data stage even if none was asked for.
  if (reply.status == UsbStatus::kAck) {
    const bool status_in = !in || load_le<u16>(&setup[6]) == 0;
    reply = device->transact(status_in && !in ? usb::Token::kIn : usb::Token::kOut, 0, {});
  }
  finish(slot, index, reply.status == UsbStatus::kAck ? Code::kSuccess : Code::kStall);
  return Progress::kDone;
}

// The transfer is over: events, and the endpoint halts after an error (4.10.2.1).
void Xhci::finish(unsigned slot, unsigned index, Code code) {
  Endpoint& e = slots_[slot].endpoints[index];
  report(slot, index, code);
  if (code == Code::kSuccess) {
    e.blocks.clear();
    e.done = 0;
    return;
  }
  // The guest finds the dequeue pointer at the failed transfer.
  e.state = EndpointState::kHalted;
  e.ring = e.start;
  e.blocks.clear();
  e.done = 0;
  write_endpoint(slots_[slot], index);
}

// Transfer events of the blocks that ask for one, or where it ended early (4.10.1.1, 4.11.3.1).
void Xhci::report(unsigned slot, unsigned index, Code code) {
  const Endpoint& e = slots_[slot].endpoints[index];
  u32 left = e.done, since_event = 0;
  bool is_short = false, reported = false;
  const auto event = [&](const Block& block, Code how, u32 length, bool is_data) {
    post({is_data ? block.parameter : block.address, u32{static_cast<u8>(how)} << 24 | length,
          u32{static_cast<u8>(Trb::kTransferEvent)} << 10 | slot << 24 | (index + 1) << 16 |
              (is_data ? kIsEventData : 0),
          0});
    reported = true;
  };
  const bool failed = code != Code::kSuccess;
  for (const Block& block : e.blocks) {
    const Trb type = block.type();
    const bool moves = type == Trb::kNormal || type == Trb::kData;
    const u32 moved = moves ? std::min(block.length(), left) : 0;
    left -= moved;
    since_event += moved;
    if (moves && moved < block.length() && !failed) is_short = true;
    const Code how = failed ? code : is_short ? Code::kShortPacket : Code::kSuccess;
    if (type == Trb::kSetup || type == Trb::kStatus) reported = is_short = false;
    if (failed) {
      // At the block where it stopped.
      const bool here = (moves && moved < block.length()) || &block == &e.blocks.back();
      if (here) return event(block, code, moves ? block.length() - moved : 0, false);
      continue;
    }
    if (type == Trb::kEventData) {
      if ((block.control & kInterrupt) != 0) event(block, how, since_event & 0xffffff, true);
      since_event = 0;
      continue;
    }
    const bool wanted =
        (block.control & kInterrupt) != 0 || (is_short && (block.control & kShortInterrupt) != 0);
    if (wanted && !reported) {
      const bool is_status = type == Trb::kStatus;
      event(block, is_status ? Code::kSuccess : how, moves ? block.length() - moved : 0, false);
      reported = is_short;  // after a short packet nothing more of this stage is told
    }
  }
}

}  // namespace emu
