// SPDX-License-Identifier: Apache-2.0
// The 82540EM's descriptor rings: frames out and in.
// Source: Intel 317453, 3.2 (receive), 3.3 to 3.5 (transmit, context, segmentation), 13.4.22 on.
#include <algorithm>

#include "base/bits.h"
#include "devices/network/e1000.h"
#include "net/offload.h"

namespace emu {

using namespace e1000;

namespace {

constexpr std::size_t kVlanAt = 12;
constexpr std::size_t kShortMax = 1518, kLongMax = 16380;  // without FCS, with a tag

}  // namespace

u32 E1000::ring_descriptors(u32 length_register) const {
  return reg(length_register) / kDescriptorBytes;
}

// --- out ---

// Every descriptor at most once a call: a ring whose tail lies outside it ends here.
void E1000::transmit() {
  const u32 count = ring_descriptors(kTdlen);
  if ((reg(kTctl) & kTctlEnable) == 0 || count == 0 || !bus_master()) return;
  const u64 base = u64{reg(kTdbah)} << 32 | reg(kTdbal);
  bool report = false;
  for (u32 done = 0; done < count && reg(kTdh) != reg(kTdt); ++done) {
    const u64 address = base + u64{reg(kTdh)} * kDescriptorBytes;
    std::array<u8, kDescriptorBytes> descriptor{};
    dma_read(address, descriptor);
    if (transmit_one(descriptor)) {
      dma_write(address + 12, std::span(descriptor).subspan(12, 1));
      report = true;
    }
    reg(kTdh) = reg(kTdh) + 1 >= count ? 0 : reg(kTdh) + 1;
  }
  raise(report ? kTxdw | kTxqe : kTxqe);
}

// True: the descriptor's status is to be written back.
bool E1000::transmit_one(std::span<u8> descriptor) {
  const u64 address = load_le<u64>(&descriptor[0]);
  const u32 command = load_le<u32>(&descriptor[8]);
  const u32 extra = load_le<u32>(&descriptor[12]);
  if ((command & kTxExtended) != 0 && (command & kTxTypeMask) == kTxContext) {
    take_context(static_cast<u32>(address), static_cast<u32>(address >> 32), command, extra);
  } else {
    take_data(address, command, extra);
    if ((command & kTxEnd) != 0) finish_frame(command, extra);
  }
  if ((command & kTxReport) == 0) return false;
  descriptor[12] |= kTxDone;
  return true;
}

void E1000::take_context(u32 low, u32 high, u32 command, u32 extra) {
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
  ((command & kTxSegment) != 0 ? segment_context_ : context_) = c;
}

void E1000::take_data(u64 address, u32 command, u32 extra) {
  const bool extended = (command & kTxExtended) != 0;
  const std::size_t length = command & (extended ? 0xfffff : 0xffff);
  if (!frame_started_) {
    frame_started_ = true;
    frame_options_ = extended ? static_cast<u8>(extra >> 8) : u8{0};
    frame_segmented_ = extended && (command & kTxSegment) != 0;
  }
  // What is longer than any frame is read no further; finish_frame() drops it.
  const std::size_t take =
      std::min(length, kMaxFrameBytes + 1 - std::min(frame_.size(), kMaxFrameBytes + 1));
  const std::size_t before = frame_.size();
  frame_.resize(before + take);
  dma_read(address, std::span(frame_).subspan(before));
}

void E1000::finish_frame(u32 command, u32 extra) {
  const bool extended = (command & kTxExtended) != 0;
  if (!extended && (command & kTxLegacyChecksum) != 0) {
    const std::size_t start = (extra >> 8) & 0xff, offset = (command >> 16) & 0xff;
    insert_checksum(start, offset, frame_.size());
  }
  if ((command & kTxVlan) != 0 && (reg(kCtrl) & kCtrlVme) != 0 && frame_.size() >= kVlanAt) {
    const u16 type = reg(kVet) == 0 ? u16{0x8100} : static_cast<u16>(reg(kVet));
    std::array<u8, 4> tag{};
    store_be(&tag[0], type);
    store_be(&tag[2], static_cast<u16>(extra >> 16));
    frame_.insert(frame_.begin() + kVlanAt, tag.begin(), tag.end());
  }
  if (link_ && is_frame_length(frame_.size())) send_frame(frame_options_);
  frame_.clear();
  frame_started_ = frame_segmented_ = false;
}

// The checksum over [start, end) goes to `field`; the driver left the pseudo-header's sum there.
void E1000::insert_checksum(std::size_t start, std::size_t field, std::size_t end) {
  if (start >= end || end > frame_.size() || field + 2 > frame_.size()) return;
  const auto covered = std::span(frame_).subspan(start, end - start);
  store_be(&frame_[field], fold_checksum(sum_words(covered)));
}

void E1000::send_frame(u8 options) {
  Offload offload;
  if (frame_segmented_ && segment_context_.mss != 0) {
    const FrameLayout layout = layout_of(frame_);
    if (layout.is_tcp()) {
      offload.segments = layout.version == 4 ? Offload::Segments::kTcp4 : Offload::Segments::kTcp6;
      offload.segment_bytes = segment_context_.mss;
      offload.header_bytes = layout.payload;
    }
  } else {
    const auto end_of = [this](u16 last) {
      return last == 0 ? frame_.size() : std::min<std::size_t>(last + 1u, frame_.size());
    };
    const TxContext& c = frame_segmented_ ? segment_context_ : context_;
    if ((options & kPopIp) != 0) {
      if (std::size_t{c.ip_offset} + 2 <= frame_.size()) store_be(&frame_[c.ip_offset], u16{0});
      insert_checksum(c.ip_start, c.ip_offset, end_of(c.ip_end));
    }
    if ((options & kPopTcp) != 0) insert_checksum(c.tcp_start, c.tcp_offset, end_of(c.tcp_end));
  }
  ++counters_.sent_frames;
  counters_.sent_bytes += frame_.size();
  count(kGptc, kGotcl, frame_.size());
  count(kTpt, kTotl, frame_.size());
  backend_.send(frame_, offload);
}

// --- in ---

u32 E1000::buffer_bytes() const {
  const u32 code = (reg(kRctl) >> 16) & 3;
  if ((reg(kRctl) & kRctlSizeExtension) != 0) return code == 0 ? 2048 : 32768 >> code;
  return 2048 >> code;
}

u32 E1000::free_descriptors() const {
  const u32 count = ring_descriptors(kRdlen);
  const u32 head = reg(kRdh), tail = reg(kRdt);
  if (head >= count || tail >= count) return 0;
  return tail >= head ? tail - head : count - head + tail;
}

bool E1000::accepts_address(std::span<const u8> address) const {
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

bool E1000::accepts(std::span<const u8> frame) const {
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
bool E1000::receive(std::span<const u8> in, const Offload& offload) {
  if ((reg(kRctl) & kRctlEnable) == 0 || !bus_master() || !link_ || ring_descriptors(kRdlen) == 0 ||
      !accepts(in)) {
    ++counters_.dropped_frames;
    return true;
  }
  std::array<u8, kMinEthernetBytes> buffer{};
  std::vector<u8> stripped;
  std::span<const u8> frame = padded(in, buffer);
  u8 status = offload.checksum_valid ? kRxIpChecked | kRxTcpChecked : kRxIgnoreChecksum;
  if (!layout_of(frame).is_tcp() || (reg(kRxcsum) & kRxcsumTcp) == 0) status = kRxIgnoreChecksum;
  u16 vlan = 0;
  if ((reg(kCtrl) & kCtrlVme) != 0 && load_be<u16>(&frame[kVlanAt]) == 0x8100) {
    vlan = load_be<u16>(&frame[kVlanAt + 2]);
    status |= kRxVlan;
    stripped.assign(frame.begin(), frame.end());
    stripped.erase(stripped.begin() + kVlanAt, stripped.begin() + kVlanAt + 4);
    frame = stripped;
  }
  const std::size_t fcs = (reg(kRctl) & kRctlStripCrc) != 0 ? 0 : 4;
  const std::size_t total = frame.size() + fcs;
  const std::size_t step = buffer_bytes();
  if (ring_descriptors(kRdlen) * step <= total) {  // never will there be room
    ++counters_.dropped_frames;
    return true;
  }
  if (free_descriptors() * step < total) {
    ++reg(kMpc);
    if (!bit(reg(kIcr), 6)) raise(kRxo);
    return false;
  }
  std::vector<u8> with_fcs;
  if (fcs != 0) {  // its value is nobody's business here: the host checked the frame
    with_fcs.assign(frame.begin(), frame.end());
    with_fcs.resize(total);
    frame = with_fcs;
  }
  for (std::size_t done = 0; done < total; done += step) {
    const auto piece = frame.subspan(done, std::min(step, total - done));
    write_receive_descriptor(piece, done + step >= total, status, vlan);
  }
  ++counters_.received_frames;
  counters_.received_bytes += in.size();
  count(kGprc, kGorcl, in.size());
  count(kTpr, kTorl, in.size());
  if ((frame[0] & 1) != 0) {
    ++reg(std::ranges::equal(frame.first(6), kBroadcastMac) ? kBprc : kMprc);
  }
  pending_ = true;
  return true;
}

void E1000::write_receive_descriptor(std::span<const u8> piece, bool last, u8 status, u16 vlan) {
  const u64 at = (u64{reg(kRdbah)} << 32 | reg(kRdbal)) + u64{reg(kRdh)} * kDescriptorBytes;
  std::array<u8, kDescriptorBytes> descriptor{};
  dma_read(at, descriptor);
  dma_write(load_le<u64>(&descriptor[0]), piece);
  store_le(&descriptor[8], static_cast<u16>(piece.size()));
  store_le(&descriptor[10], u16{0});
  descriptor[12] = static_cast<u8>(status | kRxDone | (last ? kRxEnd : 0));
  descriptor[13] = 0;
  store_le(&descriptor[14], vlan);
  dma_write(at, descriptor);
  reg(kRdh) = reg(kRdh) + 1 >= ring_descriptors(kRdlen) ? 0 : reg(kRdh) + 1;
}

void E1000::received() {
  if (!pending_) return;
  pending_ = false;
  const u32 count = ring_descriptors(kRdlen);
  const u32 threshold = count >> (1 + ((reg(kRctl) >> 8) & 3));  // RDMTS
  raise(free_descriptors() <= threshold ? kRxt0 | kRxdmt0 : kRxt0);
}

}  // namespace emu
