// SPDX-License-Identifier: Apache-2.0
// The 82540EM's descriptor rings: frames out and in.
// Source: Intel 317453, 3.2 (receive), 3.3 to 3.5 (transmit, context, segmentation), 13.4.22 on.
#include <algorithm>

#include "base/bits.h"
#include "devices/network/e1000_core.h"
#include "net/offload.h"

namespace emu {

using namespace e1000;

namespace {

constexpr std::size_t kVlanAt = 12;
constexpr std::size_t kShortMax = 1518, kLongMax = 16380;  // without FCS, with a tag

// The checksum over [start, end) goes to `field`; the driver left the pseudo-header's sum there.
void insert_checksum(std::vector<u8>& frame, std::size_t start, std::size_t field,
                     std::size_t end) {
  if (start >= end || end > frame.size() || field + 2 > frame.size()) return;
  const auto covered = std::span(frame).subspan(start, end - start);
  store_be(&frame[field], fold_checksum(sum_words(covered)));
}

}  // namespace

// --- out ---

// Every descriptor at most once a call: a ring whose tail lies outside it ends here.
void E1000Core::transmit(unsigned index) {
  const u32 count = reg(of_queue(kTdlen, index)) / kDescriptorBytes;
  if ((reg(kTctl) & kTctlEnable) == 0 || count == 0 || !bus_master()) return;
  const u64 base = u64{reg(of_queue(kTdbah, index))} << 32 | reg(of_queue(kTdbal, index));
  u32& head = reg(of_queue(kTdh, index));
  const u32 tail = reg(of_queue(kTdt, index));
  bool report = false;
  for (u32 done = 0; done < count && head != tail; ++done) {
    const u64 address = base + u64{head} * kDescriptorBytes;
    std::array<u8, kDescriptorBytes> descriptor{};
    dma_read(address, descriptor);
    if (transmit_one(tx_[index], descriptor)) {
      dma_write(address + 12, std::span(descriptor).subspan(12, 1));
      report = true;
    }
    head = head + 1 >= count ? 0 : head + 1;
  }
  raise(report ? kTxdw | kTxqe | sent_cause(index) : kTxqe);
}

// True: the descriptor's status is to be written back.
bool E1000Core::transmit_one(TxQueue& queue, std::span<u8> descriptor) {
  const u64 address = load_le<u64>(&descriptor[0]);
  const u32 command = load_le<u32>(&descriptor[8]);
  const u32 extra = load_le<u32>(&descriptor[12]);
  if ((command & kTxExtended) != 0 && (command & kTxTypeMask) == kTxContext) {
    take_context(queue, address, command, extra);
  } else {
    take_data(queue, address, command, extra);
    if ((command & kTxEnd) != 0) finish_frame(queue, command, extra);
  }
  if ((command & kTxReport) == 0) return false;
  descriptor[12] |= kTxDone;
  return true;
}

void E1000Core::take_context(TxQueue& queue, u64 address, u32 command, u32 extra) {
  const u32 low = static_cast<u32>(address), high = static_cast<u32>(address >> 32);
  TxContext c;
  c.ip_start = static_cast<u8>(low);
  c.ip_offset = static_cast<u8>(low >> 8);
  c.ip_end = static_cast<u16>(low >> 16);
  c.tcp_start = static_cast<u8>(high);
  c.tcp_offset = static_cast<u8>(high >> 8);
  c.tcp_end = static_cast<u16>(high >> 16);
  c.tcp = (command & kTxContextTcp) != 0;
  c.header_bytes = static_cast<u8>(extra >> 8);
  c.mss = static_cast<u16>(extra >> 16);
  ((command & kTxSegment) != 0 ? queue.segment_context : queue.context) = c;
}

void E1000Core::take_data(TxQueue& queue, u64 address, u32 command, u32 extra) {
  const bool extended = (command & kTxExtended) != 0;
  const std::size_t length = command & (extended ? 0xfffff : 0xffff);
  if (!queue.started) {
    queue.started = true;
    queue.options = extended ? static_cast<u8>(extra >> 8) : u8{0};
    queue.segmented = extended && (command & kTxSegment) != 0;
  }
  // What is longer than any frame is read no further; finish_frame() drops it.
  std::vector<u8>& frame = queue.frame;
  const std::size_t before = frame.size();
  const std::size_t take =
      std::min(length, kMaxFrameBytes + 1 - std::min(before, kMaxFrameBytes + 1));
  frame.resize(before + take);
  dma_read(address, std::span(frame).subspan(before));
}

void E1000Core::finish_frame(TxQueue& queue, u32 command, u32 extra) {
  std::vector<u8>& frame = queue.frame;
  const bool extended = (command & kTxExtended) != 0;
  if (!extended && (command & kTxLegacyChecksum) != 0) {
    const std::size_t start = (extra >> 8) & 0xff, offset = (command >> 16) & 0xff;
    insert_checksum(frame, start, offset, frame.size());
  }
  if ((command & kTxVlan) != 0 && (reg(kCtrl) & kCtrlVme) != 0 && frame.size() >= kVlanAt) {
    const u16 type = reg(kVet) == 0 ? u16{0x8100} : static_cast<u16>(reg(kVet));
    std::array<u8, 4> tag{};
    store_be(&tag[0], type);
    store_be(&tag[2], static_cast<u16>(extra >> 16));
    frame.insert(frame.begin() + kVlanAt, tag.begin(), tag.end());
  }
  if (link_ && is_frame_length(frame.size())) send_frame(queue);
  frame.clear();
  queue.started = queue.segmented = false;
}

void E1000Core::send_frame(TxQueue& queue) {
  std::vector<u8>& frame = queue.frame;
  Offload offload;
  if (queue.segmented && queue.segment_context.mss != 0) {
    const FrameLayout layout = layout_of(frame);
    if (layout.is_tcp()) {
      offload.segments = layout.version == 4 ? Offload::Segments::kTcp4 : Offload::Segments::kTcp6;
      offload.segment_bytes = queue.segment_context.mss;
      offload.header_bytes = layout.payload;
    }
  } else {
    const auto end_of = [&frame](u16 last) {
      return last == 0 ? frame.size() : std::min<std::size_t>(last + 1u, frame.size());
    };
    const TxContext& c = queue.segmented ? queue.segment_context : queue.context;
    if ((queue.options & kPopIp) != 0) {
      if (std::size_t{c.ip_offset} + 2 <= frame.size()) store_be(&frame[c.ip_offset], u16{0});
      insert_checksum(frame, c.ip_start, c.ip_offset, end_of(c.ip_end));
    }
    if ((queue.options & kPopTcp) != 0) {
      insert_checksum(frame, c.tcp_start, c.tcp_offset, end_of(c.tcp_end));
    }
  }
  ++counters_.sent_frames;
  counters_.sent_bytes += frame.size();
  count(kGptc, kGotcl, frame.size());
  count(kTpt, kTotl, frame.size());
  backend_.send(frame, offload);
}

// --- in ---

u32 E1000Core::buffer_bytes() const {
  const u32 code = (reg(kRctl) >> 16) & 3;
  if ((reg(kRctl) & kRctlSizeExtension) != 0) return code == 0 ? 2048 : 32768 >> code;
  return 2048 >> code;
}

u32 E1000Core::receive_descriptor_bytes() const {
  return kDescriptorBytes;
}

// Head and tail count 16 bytes, even where descriptors are longer.
u32 E1000Core::units() const {
  return receive_descriptor_bytes() / kDescriptorBytes;
}

u32 E1000Core::receive_ring(unsigned queue) const {
  return reg(of_queue(kRdlen, queue)) / receive_descriptor_bytes();
}

u32 E1000Core::free_descriptors(unsigned queue) const {
  const u32 count = receive_ring(queue) * units();
  const u32 head = reg(of_queue(kRdh, queue)), tail = reg(of_queue(kRdt, queue));
  if (head >= count || tail >= count) return 0;
  return (tail >= head ? tail - head : count - head + tail) / units();
}

bool E1000Core::accepts_address(std::span<const u8> address) const {
  const u32 rctl = reg(kRctl);
  if (std::ranges::equal(address, kBroadcastMac)) return (rctl & kRctlBroadcast) != 0;
  const bool multicast = (address[0] & 1) != 0;
  if (!multicast && (rctl & kRctlUnicast) != 0) return true;
  if (multicast && (rctl & kRctlMulticast) != 0) return true;
  for (u32 i = 0; i < 16; ++i) {
    const u32 low = reg(kRal + 8 * i), high = reg(kRal + 8 * i + 4);
    if (bit(high, 31) && load_le<u32>(&address[0]) == low &&
        load_le<u16>(&address[4]) == (high & 0xffff)) {
      return true;
    }
  }
  if (!multicast) return false;
  constexpr unsigned kShift[] = {4, 3, 2, 0};  // RCTL.MO (13.4.22)
  const u32 hash = (u32{load_le<u16>(&address[4])} >> kShift[(rctl >> 12) & 3]) & 0xfff;
  return bit(reg(kMta + 4 * (hash >> 5)), hash & 31);
}

bool E1000Core::accepts(std::span<const u8> frame) const {
  const u32 rctl = reg(kRctl);
  if (frame.size() > ((rctl & kRctlLong) != 0 ? kLongMax : kShortMax)) return false;
  const u16 vlan_type = reg(kVet) == 0 ? u16{0x8100} : static_cast<u16>(reg(kVet));
  if ((rctl & kRctlVlanFilter) != 0 && frame.size() >= 16 &&
      load_be<u16>(&frame[kVlanAt]) == vlan_type) {
    const u32 id = load_be<u16>(&frame[kVlanAt + 2]) & 0xfff;
    if (!bit(reg(kVfta + 4 * (id >> 5)), id & 31)) return false;
  }
  return accepts_address(frame.first(6));
}

// Until the driver has set up the ring, frames are lost as on a wire; once it has, they wait for
// free descriptors.
bool E1000Core::receive(std::span<const u8> in, const Offload& offload) {
  if ((reg(kRctl) & kRctlEnable) == 0 || !bus_master() || !link_ || !accepts(in)) {
    ++counters_.dropped_frames;
    return true;
  }
  std::array<u8, kMinEthernetBytes> buffer{};
  std::vector<u8> changed;
  std::span<const u8> frame = padded(in, buffer);
  const FrameLayout layout = layout_of(frame);
  Arriving arriving;
  arriving.status = kRxIgnoreChecksum;
  if (layout.is_tcp() && offload.checksum_valid && (reg(kRxcsum) & kRxcsumTcp) != 0) {
    arriving.status = kRxIpChecked | kRxTcpChecked;
  }
  classify(frame, arriving);
  if ((reg(kCtrl) & kCtrlVme) != 0 && load_be<u16>(&frame[kVlanAt]) == 0x8100) {
    arriving.vlan = load_be<u16>(&frame[kVlanAt + 2]);
    arriving.status |= kRxVlan;
    if (arriving.header_bytes != 0) arriving.header_bytes -= 4;
    changed.assign(frame.begin(), frame.end());
    changed.erase(changed.begin() + kVlanAt, changed.begin() + kVlanAt + 4);
    frame = changed;
  }
  if ((reg(kRctl) & kRctlStripCrc) == 0) {
    // The FCS's value is nobody's business here: the host checked the frame.
    std::vector<u8> with_fcs(frame.begin(), frame.end());
    with_fcs.resize(frame.size() + 4);
    changed = std::move(with_fcs);
    frame = changed;
  }
  if (receive_ring(arriving.queue) * std::size_t{buffer_bytes()} <= frame.size()) {
    ++counters_.dropped_frames;  // never will there be room
    return true;
  }
  if (!store(frame, arriving)) return false;
  ++counters_.received_frames;
  counters_.received_bytes += in.size();
  count(kGprc, kGorcl, in.size());
  count(kTpr, kTorl, in.size());
  if ((frame[0] & 1) != 0) {
    ++reg(std::ranges::equal(frame.first(6), kBroadcastMac) ? kBprc : kMprc);
  }
  return true;
}

// False: it is to wait for descriptors.
bool E1000Core::store(std::span<const u8> frame, const Arriving& arriving) {
  const unsigned queue = arriving.queue;
  const std::size_t step = buffer_bytes();
  const u32 count = receive_ring(queue) * units();
  if (free_descriptors(queue) * step < frame.size()) {
    ++reg(kMpc);
    if (!bit(reg(kIcr), 6)) raise(kRxo);
    return false;
  }
  const u64 base = u64{reg(of_queue(kRdbah, queue))} << 32 | reg(of_queue(kRdbal, queue));
  const u32 bytes = receive_descriptor_bytes();
  u32& head = reg(of_queue(kRdh, queue));
  std::array<u8, kMaxDescriptorBytes> room{};
  const auto descriptor = std::span(room).first(bytes);
  for (bool first = true; !frame.empty(); first = false) {
    const u64 at = base + u64{head} * kDescriptorBytes;
    dma_read(at, descriptor);
    frame = frame.subspan(fill_descriptor(descriptor, frame, arriving, first));
    dma_write(at, descriptor);
    head = head + units() >= count ? 0 : head + units();
  }
  pending_ |= 1u << queue;
  return true;
}

std::size_t E1000Core::fill_descriptor(std::span<u8> descriptor, std::span<const u8> rest,
                                       const Arriving& arriving, bool) {
  const std::size_t bytes = std::min<std::size_t>(rest.size(), buffer_bytes());
  dma_write(load_le<u64>(&descriptor[0]), rest.first(bytes));
  store_le(&descriptor[8], static_cast<u16>(bytes));
  store_le(&descriptor[10], u16{0});
  const u8 end = bytes == rest.size() ? kRxEnd : 0;
  descriptor[12] = static_cast<u8>(arriving.status | kRxDone | end);
  descriptor[13] = 0;
  store_le(&descriptor[14], arriving.vlan);
  return bytes;
}

void E1000Core::received() {
  u32 causes = 0;
  for (unsigned queue = 0; queue < chip_.queues; ++queue) {
    if (!bit(pending_, queue)) continue;
    causes |= kRxt0 | received_cause(queue);
    const u32 threshold = receive_ring(queue) >> (1 + ((reg(kRctl) >> 8) & 3));  // RDMTS
    if (free_descriptors(queue) <= threshold) causes |= kRxdmt0;
  }
  pending_ = 0;
  if (causes != 0) raise(causes);
}

}  // namespace emu
