// SPDX-License-Identifier: Apache-2.0
#include "net/offload.h"

#include <algorithm>
#include <vector>

#include "base/bits.h"

namespace emu {
namespace {

constexpr u16 kIpv4 = 0x0800, kIpv6 = 0x86dd, kVlan = 0x8100, kServiceVlan = 0x88a8;
constexpr u8 kTcp = 6, kUdp = 17;
constexpr u8 kFin = 0x01, kSyn = 0x02, kPsh = 0x08, kCwr = 0x80;
constexpr u16 kDontFragment = 0x4000, kMoreFragments = 0x2000;

u8* at(std::span<u8> frame, std::size_t offset) {
  return frame.data() + offset;
}

// The sum over addresses, protocol and transport length.
u32 pseudo_header_sum(std::span<const u8> frame, const FrameLayout& layout) {
  const auto length = static_cast<u32>(frame.size() - layout.transport);
  const bool four = layout.version == 4;
  const auto addresses = frame.subspan(layout.ip + (four ? 12u : 8u), four ? 8 : 32);
  return sum_words(addresses, layout.protocol + (length & 0xffff) + (length >> 16));
}

void finish_ip_header(std::span<u8> frame, const FrameLayout& layout) {
  const std::size_t bytes = frame.size() - layout.ip;
  if (layout.version == 6) {
    store_be(at(frame, layout.ip + 4u), static_cast<u16>(bytes - 40));
    return;
  }
  store_be(at(frame, layout.ip + 2u), static_cast<u16>(bytes));
  const std::size_t header = (frame[layout.ip] & 0xfu) * 4u;
  store_be(at(frame, layout.ip + 10u), u16{0});
  store_be(at(frame, layout.ip + 10u), fold_checksum(sum_words(frame.subspan(layout.ip, header))));
}

void finish_tcp(std::span<u8> frame, const FrameLayout& layout) {
  finish_ip_header(frame, layout);
  store_be(at(frame, layout.transport + 16u), u16{0});
  const u32 sum = pseudo_header_sum(frame, layout);
  store_be(at(frame, layout.transport + 16u),
           fold_checksum(sum_words(frame.subspan(layout.transport), sum)));
}

bool ipv4_layout(std::span<const u8> packet, std::size_t ip, FrameLayout& out) {
  if (packet.size() < 20) return false;
  const std::size_t header = (packet[0] & 0xfu) * 4u;
  out.version = 4;
  out.ip_bytes = load_be<u16>(&packet[2]);
  out.protocol = packet[9];
  if (header < 20 || header > packet.size()) return false;
  if ((load_be<u16>(&packet[6]) & 0x3fff) != 0) return false;  // a fragment
  out.transport = static_cast<u16>(ip + header);
  return true;
}

bool ipv6_layout(std::span<const u8> packet, std::size_t ip, FrameLayout& out) {
  if (packet.size() < 40) return false;
  out.version = 6;
  out.ip_bytes = static_cast<u16>(load_be<u16>(&packet[4]) + 40);
  out.protocol = packet[6];
  out.transport = static_cast<u16>(ip + 40);
  return true;
}

}  // namespace

FrameLayout layout_of(std::span<const u8> frame) {
  FrameLayout out;
  std::size_t type_at = 12;
  u16 type = 0;
  for (int tags = 0; tags < 3; ++tags, type_at += 4) {
    if (frame.size() < type_at + 2) return out;
    type = load_be<u16>(&frame[type_at]);
    if (type != kVlan && type != kServiceVlan) break;
  }
  const std::size_t ip = type_at + 2;
  out.ip = static_cast<u16>(ip);
  const auto packet = frame.subspan(ip);
  if (type != kIpv4 && type != kIpv6) return out;
  if (!(type == kIpv4 ? ipv4_layout(packet, ip, out) : ipv6_layout(packet, ip, out))) return out;
  const std::size_t least = out.protocol == kTcp ? 20 : out.protocol == kUdp ? 8 : 0;
  if (least == 0 || frame.size() < out.transport + least) {
    out.transport = 0;
    return out;
  }
  const std::size_t header =
      out.protocol == kTcp ? (frame[out.transport + 12u] >> 4u) * 4u : std::size_t{8};
  if (header < least || out.transport + header > frame.size()) {
    out.transport = 0;
  } else {
    out.payload = static_cast<u16>(out.transport + header);
  }
  return out;
}

u32 sum_words(std::span<const u8> bytes, u32 sum) {
  u64 total = 0;  // of little-endian words: the sum is the same but for the byte order (RFC 1071)
  std::size_t i = 0;
  for (; i + 4 <= bytes.size(); i += 4) total += load_le<u32>(&bytes[i]);
  if (i + 2 <= bytes.size()) {
    total += load_le<u16>(&bytes[i]);
    i += 2;
  }
  if (i < bytes.size()) total += bytes[i];
  while (total > 0xffff) total = (total & 0xffff) + (total >> 16);
  const u32 swapped = __builtin_bswap16(static_cast<u16>(total));
  return (sum & 0xffff) + (sum >> 16) + swapped;
}

u16 fold_checksum(u32 sum) {
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<u16>(~sum);
}

void finish_checksum(std::span<u8> frame, const Offload& offload) {
  const std::size_t field = std::size_t{offload.checksum_start} + offload.checksum_offset;
  if (!offload.needs_checksum || field + 2 > frame.size()) return;
  const u16 sum = fold_checksum(sum_words(frame.subspan(offload.checksum_start)));
  store_be(at(frame, field), sum == 0 ? u16{0xffff} : sum);  // zero would mean "none" in UDP
}

void finish_large(std::span<u8> frame) {
  const FrameLayout layout = layout_of(frame);
  if (layout.is_tcp()) finish_tcp(frame, layout);
}

void segment(std::span<const u8> frame, const Offload& offload, const FrameSink& sink) {
  const FrameLayout layout = layout_of(frame);
  const std::size_t step = std::max<std::size_t>(offload.segment_bytes, 64);
  if (!layout.is_tcp()) return sink(frame);
  std::vector<u8> piece;
  const u32 sequence = load_be<u32>(&frame[layout.transport + 4u]);
  const u8 flags = frame[layout.transport + 13u];
  const u16 id = load_be<u16>(&frame[layout.ip + 4u]);
  const std::size_t payload_bytes = frame.size() - layout.payload;
  for (std::size_t done = 0, n = 0; n == 0 || done < payload_bytes; done += step, ++n) {
    const std::size_t take = std::min(step, payload_bytes - done);
    const bool last = done + take >= payload_bytes;
    piece.assign(frame.begin(), frame.begin() + layout.payload);
    const auto data = frame.subspan(layout.payload + done, take);
    piece.insert(piece.end(), data.begin(), data.end());
    store_be(&piece[layout.transport + 4u], static_cast<u32>(sequence + done));
    u8 kept = flags;
    if (!last) kept = static_cast<u8>(kept & ~(kFin | kPsh));
    if (n != 0) kept = static_cast<u8>(kept & ~kCwr);
    piece[layout.transport + 13u] = kept;
    if (layout.version == 4) store_be(&piece[layout.ip + 4u], static_cast<u16>(id + n));
    finish_tcp(piece, layout);
    sink(piece);
  }
}

void finish(std::span<const u8> frame, const Offload& offload, const FrameSink& sink) {
  if (offload.segments != Offload::Segments::kNone) return segment(frame, offload, sink);
  if (!offload.needs_checksum) return sink(frame);
  std::vector<u8> copy(frame.begin(), frame.end());
  finish_checksum(copy, offload);
  sink(copy);
}

bool fragment(std::span<const u8> frame, std::size_t mtu, const FrameSink& sink) {
  const FrameLayout layout = layout_of(frame);
  if (layout.version != 4 || frame.size() < layout.ip + 20u) return false;
  const std::size_t header = (frame[layout.ip] & 0xfu) * 4u;
  const std::size_t total = std::min<std::size_t>(layout.ip_bytes, frame.size() - layout.ip);
  const u16 before = load_be<u16>(&frame[layout.ip + 6u]);
  if (header < 20 || total <= header || total <= mtu || (before & kDontFragment) != 0) return false;
  const std::size_t step = align_down(mtu - header, 8);
  std::vector<u8> piece;
  for (std::size_t done = 0; done < total - header; done += step) {
    const std::size_t take = std::min(step, total - header - done);
    const bool last = done + take == total - header;
    piece.assign(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(layout.ip + header));
    const auto data = frame.subspan(layout.ip + header + done, take);
    piece.insert(piece.end(), data.begin(), data.end());
    const auto place = static_cast<u16>((before & 0x1fff) + done / 8);
    store_be(&piece[layout.ip + 6u],
             static_cast<u16>((before & kMoreFragments) | (last ? 0 : kMoreFragments) | place));
    finish_ip_header(piece, layout);
    sink(piece);
  }
  return true;
}

std::span<u8> mss_option(std::span<u8> frame, const FrameLayout& layout) {
  if (!layout.is_tcp() || (frame[layout.transport + 13u] & kSyn) == 0) return {};
  for (std::size_t i = layout.transport + 20u; i + 4 <= layout.payload;) {
    const u8 kind = frame[i];
    if (kind == 0) break;
    if (kind == 2 && frame[i + 1] == 4) return frame.subspan(i + 2, 2);
    if (kind != 1 && frame[i + 1] < 2) break;
    i += kind == 1 ? 1u : frame[i + 1];
  }
  return {};
}

}  // namespace emu
