// SPDX-License-Identifier: Apache-2.0
#include "net/nat_flows.h"

#include <algorithm>
#include <utility>

#include "base/bits.h"

namespace emu {
namespace {

constexpr u16 kSmallestWholeMss = 1420;  // below it, somebody on the way has a smaller MTU
constexpr u8 kFin = 0x01, kSyn = 0x02, kRst = 0x04, kAck = 0x10;
// A guest that sent no more than this has nothing left in the library's buffer: the host's own
// socket took it.
constexpr u32 kSurelyPassedOn = 8 * 1024;

// The same for both directions of a connection.
u32 flow_of(std::span<const u8> frame, const FrameLayout& layout) {
  const std::size_t addresses = layout.ip + (layout.version == 4 ? 12u : 8u);
  const std::size_t end = addresses + (layout.version == 4 ? 8u : 32u);
  u32 out = 0;
  for (std::size_t i = addresses; i < end; i += 4) out ^= load_le<u32>(&frame[i]) * 0x9e3779b1u;
  const u16 from = load_le<u16>(&frame[layout.transport]);
  const u16 to = load_le<u16>(&frame[layout.transport + 2u]);
  return out ^ (u32{from} * 0x85ebca6bu) ^ (u32{to} * 0x85ebca6bu);
}

// Replaces a 16-bit word that a finished checksum covers (RFC 1624, equation 3).
void patch_checksum(u8* checksum, u16 before, u16 after) {
  const u32 sum = (load_be<u16>(checksum) ^ 0xffffu) + (before ^ 0xffffu) + after;
  store_be(checksum, fold_checksum(sum));
}

struct Segment {
  u8 flags;
  u32 start, end, ack;  // sequence numbers; SYN and FIN count
};

Segment segment_of(std::span<const u8> frame, const FrameLayout& layout) {
  Segment out{};
  out.flags = frame[layout.transport + 13u];
  out.start = load_be<u32>(&frame[layout.transport + 4u]);
  out.ack = load_be<u32>(&frame[layout.transport + 8u]);
  const u32 packet_end = u32{layout.ip} + layout.ip_bytes;
  const u32 payload = packet_end > layout.payload ? packet_end - layout.payload : 0;
  out.end =
      out.start + payload + ((out.flags & kSyn) != 0 ? 1 : 0) + ((out.flags & kFin) != 0 ? 1 : 0);
  return out;
}

// The answer to `frame` that ends the connection.
std::vector<u8> reset_against(std::span<const u8> frame, const FrameLayout& layout) {
  std::vector<u8> out(frame.begin(), frame.begin() + layout.transport + 20);
  const auto swap = [&out](std::size_t at, std::size_t bytes) {
    const auto first = out.begin() + static_cast<std::ptrdiff_t>(at);
    const auto second = first + static_cast<std::ptrdiff_t>(bytes);
    std::swap_ranges(first, second, second);
  };
  swap(0, 6);
  swap(layout.ip + (layout.version == 4 ? 12u : 8u), layout.version == 4 ? 4 : 16);
  swap(layout.transport, 2);
  const Segment answered = segment_of(frame, layout);
  store_be(&out[layout.transport + 4u], answered.ack);
  store_be(&out[layout.transport + 8u], answered.end);
  out[layout.transport + 12u] = 5 << 4;
  out[layout.transport + 13u] = kRst | kAck;
  finish_large(out);
  return out;
}

}  // namespace

void NatFlows::forget(Flows::iterator it) {
  closing_ -= it->second.library_fin ? 1 : 0;
  small_mss_ -= it->second.small_mss != 0 ? 1 : 0;
  flows_.erase(it);
}

void NatFlows::from_guest(std::span<u8> frame, u16 large_mss) {
  const FrameLayout layout = layout_of(frame);
  if (!layout.is_tcp()) return;
  const Segment segment = segment_of(frame, layout);
  if ((segment.flags & (kSyn | kFin | kRst)) == 0 && closing_ == 0) return;
  const u32 key = flow_of(frame, layout);
  auto it = flows_.find(key);
  if ((segment.flags & kSyn) != 0) {
    if (it != flows_.end()) forget(it);
    if (flows_.size() >= kMostFlows) forget(flows_.begin());
    Flow& flow = flows_[key];
    flow.guest_start = segment.start;
    const std::span<u8> option = mss_option(frame, layout);
    if (option.empty()) return;
    const u16 mss = load_be<u16>(option.data());
    if (mss < kSmallestWholeMss) {
      flow.small_mss = std::max<u16>(mss, 1);
      ++small_mss_;
    }
    if (mss >= large_mss) return;
    patch_checksum(&frame[layout.transport + 16u], mss, large_mss);
    store_be(option.data(), large_mss);
    return;
  }
  if (it == flows_.end()) return;
  Flow& flow = it->second;
  if ((segment.flags & kRst) != 0) return forget(it);
  if ((segment.flags & kFin) != 0) {
    flow.guest_fin = true;
    flow.guest_end = segment.end;
  }
  if (flow.library_fin && segment.ack == flow.library_end) flow.library_fin_known = true;
}

void NatFlows::from_library(std::span<const u8> frame, const FrameLayout& layout) {
  if (!layout.is_tcp()) return;
  const Segment segment = segment_of(frame, layout);
  if ((segment.flags & (kFin | kRst)) == 0 && closing_ == 0) return;
  const auto it = flows_.find(flow_of(frame, layout));
  if (it == flows_.end()) return;
  Flow& flow = it->second;
  const bool knows_guest_fin = flow.guest_fin && segment.ack == flow.guest_end;
  if ((segment.flags & kRst) != 0) return forget(it);
  if ((segment.flags & kFin) != 0) {
    if (knows_guest_fin) return forget(it);  // the guest closed first: nothing lingers
    if (!flow.library_fin) ++closing_;
    flow.library_fin = true;
    flow.library_end = segment.end;
    return;
  }
  if (!flow.library_fin_known || !knows_guest_fin) return;
  if (flow.guest_end - flow.guest_start <= kSurelyPassedOn) {
    resets_.push_back(reset_against(frame, layout));
  }
  forget(it);
}

u16 NatFlows::segment_bytes(std::span<const u8> frame, const FrameLayout& layout, u16 whole) const {
  if (small_mss_ == 0 || !layout.is_tcp()) return whole;
  const auto it = flows_.find(flow_of(frame, layout));
  if (it == flows_.end() || it->second.small_mss == 0) return whole;
  return std::min(std::max(it->second.small_mss, u16{64}), whole);
}

std::vector<std::vector<u8>> NatFlows::take_resets() {
  return std::exchange(resets_, {});
}

}  // namespace emu
