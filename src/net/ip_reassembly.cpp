// SPDX-License-Identifier: Apache-2.0
#include "net/ip_reassembly.h"

#include <algorithm>

#include "base/bits.h"
#include "net/offload.h"

namespace emu {
namespace {

constexpr std::size_t kIp = 14, kLargestPacket = 65535;
constexpr u16 kMoreFragments = 0x2000, kOffsetMask = 0x1fff;

u16 flags_of(std::span<const u8> frame) {
  return load_be<u16>(&frame[kIp + 6]);
}

}  // namespace

bool IpReassembly::is_fragment(std::span<const u8> frame) {
  return frame.size() >= kIp + 20 && load_be<u16>(&frame[12]) == 0x0800 &&
         (flags_of(frame) & (kMoreFragments | kOffsetMask)) != 0;
}

std::optional<std::vector<u8>> IpReassembly::take(std::span<const u8> fragment) {
  const std::size_t header = (fragment[kIp] & 0xfu) * 4u, packet = load_be<u16>(&fragment[kIp + 2]);
  const bool more = (flags_of(fragment) & kMoreFragments) != 0;
  const std::size_t at = (flags_of(fragment) & kOffsetMask) * kUnit;
  if (fragment[kIp] >> 4 != 4 || header < 20 || packet <= header ||
      kIp + packet > fragment.size() ||
      fold_checksum(sum_words(fragment.subspan(kIp, header))) != 0) {
    return std::nullopt;
  }
  const auto data = fragment.subspan(kIp + header, packet - header);
  if ((more && data.size() % kUnit != 0) || at + data.size() > kLargestPacket - 60) {
    return std::nullopt;
  }
  std::vector<u8> key(fragment.begin() + kIp + 12, fragment.begin() + kIp + 20);
  key.insert(key.end(), {fragment[kIp + 4], fragment[kIp + 5], fragment[kIp + 9]});
  auto it = std::ranges::find(datagrams_, key, &Datagram::key);
  if (it == datagrams_.end()) {
    if (datagrams_.size() == kMostDatagrams) datagrams_.pop_front();
    datagrams_.emplace_back();
    it = std::prev(datagrams_.end());
    it->key = std::move(key);
  }
  Datagram& d = *it;
  const std::size_t first = at / kUnit, end = (at + data.size() + kUnit - 1) / kUnit;
  bool fits = more || d.total == 0;
  for (std::size_t unit = first; unit < end; ++unit) fits = fits && !d.there[unit];
  if (d.total != 0 && at + data.size() > d.total) fits = false;
  if (!more && d.payload.size() > at) fits = false;  // something lies behind the end
  if (!fits) {
    datagrams_.erase(it);
    return std::nullopt;
  }
  for (std::size_t unit = first; unit < end; ++unit) d.there.set(unit);
  if (d.payload.size() < at + data.size()) d.payload.resize(at + data.size());
  std::ranges::copy(data, d.payload.begin() + static_cast<std::ptrdiff_t>(at));
  if (at == 0) {
    d.header.assign(fragment.begin(), fragment.begin() + static_cast<std::ptrdiff_t>(kIp + header));
  }
  if (!more) d.total = at + data.size();
  if (d.total == 0 || d.there.count() != (d.total + kUnit - 1) / kUnit) return std::nullopt;
  std::vector<u8> out = std::move(d.header);
  const std::size_t ip_header = out.size() - kIp;
  out.insert(out.end(), d.payload.begin(), d.payload.end());
  datagrams_.erase(it);
  store_be(&out[kIp + 2], static_cast<u16>(out.size() - kIp));
  store_be(&out[kIp + 6], u16{0});
  store_be(&out[kIp + 10], u16{0});
  store_be(&out[kIp + 10], fold_checksum(sum_words(std::span(out).subspan(kIp, ip_header))));
  return out;
}

}  // namespace emu
