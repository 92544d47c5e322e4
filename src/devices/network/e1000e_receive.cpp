// SPDX-License-Identifier: Apache-2.0
// The 82574's receive descriptors, and which queue a frame goes to.
// Source: Intel 317694, 7.1.4 to 7.1.6 (descriptors), 7.1.11 (RSS); Microsoft, "RSS hashing types"
// (the Toeplitz hash).
#include <algorithm>

#include "base/bits.h"
#include "devices/network/e1000e.h"
#include "net/offload.h"

namespace emu {

using namespace e1000;
using namespace e1000e;

namespace {

// The key's bits from each set bit of the input on, all XORed.
u32 toeplitz(std::span<const u8, kHashKeyBytes> key, std::span<const u8> input) {
  u32 out = 0;
  u64 window = load_be<u64>(&key[0]);
  for (std::size_t i = 0; i < input.size(); ++i) {
    for (unsigned b = 0; b < 8; ++b) {
      if (bit(input[i], 7 - b)) out ^= static_cast<u32>(window >> (32 - b));
    }
    window = window << 8 | (i + 8 < key.size() ? key[i + 8] : 0);
  }
  return out;
}

}  // namespace

bool E1000e::splits_packets() const {
  return (reg(kRctl) & kDescriptorType) == kPacketSplit && (reg(kRfctl) & kExtendedStatus) != 0;
}

// PSRCTL: the first in units of 128 bytes, the others of 1 KiB.
u32 E1000e::split_buffer_bytes(unsigned buffer) const {
  if (buffer == 0) return (reg(kPsrctl) & 0x7f) * 128;
  return static_cast<u32>(bits(reg(kPsrctl), 8 * buffer, 6)) * 1024;
}

u32 E1000e::receive_descriptor_bytes() const {
  return splits_packets() ? kSplitDescriptorBytes : kDescriptorBytes;
}

u32 E1000e::buffer_bytes() const {
  if (splits_packets()) {
    const u32 rest = split_buffer_bytes(1) + split_buffer_bytes(2) + split_buffer_bytes(3);
    return rest != 0 ? rest : split_buffer_bytes(0);
  }
  const u32 flexible = static_cast<u32>(bits(reg(kRctl), 27, 4));  // FLXBUF
  return flexible != 0 ? flexible * 1024 : E1000Core::buffer_bytes();
}

void E1000e::classify(std::span<const u8> frame, Arriving& arriving) const {
  const FrameLayout layout = layout_of(frame);
  if (layout.transport != 0) arriving.header_bytes = layout.payload;
  if ((reg(kMrqc) & kMrqcMode) != kMrqcRss || (reg(kRxcsum) & kPacketChecksumDisable) == 0) return;
  hash(frame, arriving);
  if (arriving.hash_type == 0) return;
  const u32 index = arriving.hash % kRedirections;
  const u8 entry = static_cast<u8>(reg(kReta + index / 4 * 4) >> (index % 4 * 8));
  arriving.queue = entry >> 7;
}

// The widest of the enabled kinds that the frame is.
void E1000e::hash(std::span<const u8> frame, Arriving& arriving) const {
  const FrameLayout layout = layout_of(frame);
  const bool four = layout.version == 4;
  if (layout.version == 0) return;
  const u32 mrqc = reg(kMrqc);
  const bool tcp = layout.is_tcp() && (mrqc & (four ? kHashTcp4 : kHashTcp6)) != 0;
  if (!tcp && (mrqc & (four ? kHashIp4 : kHashIp6)) == 0) return;
  const std::size_t at = layout.ip + (four ? 12u : 8u), address_bytes = four ? 8 : 32;
  if (at + address_bytes > frame.size()) return;
  std::array<u8, 36> input{};
  std::copy_n(frame.begin() + static_cast<std::ptrdiff_t>(at), address_bytes, input.begin());
  std::size_t bytes = address_bytes;
  if (tcp) {
    std::copy_n(frame.begin() + layout.transport, 4,
                input.begin() + static_cast<std::ptrdiff_t>(bytes));
    bytes += 4;
  }
  std::array<u8, kHashKeyBytes> key{};
  for (u32 i = 0; i < kHashKeyBytes; i += 4) store_le(&key[i], reg(kRssrk + i));
  arriving.hash = toeplitz(key, std::span(input).first(bytes));
  arriving.hash_type = four ? (tcp ? kTypeTcp4 : kTypeIp4) : (tcp ? kTypeTcp6 : kTypeIp6);
}

std::size_t E1000e::fill_descriptor(std::span<u8> descriptor, std::span<const u8> rest,
                                    const Arriving& arriving, bool first) {
  if (splits_packets()) return fill_split(descriptor, rest, arriving, first);
  if ((reg(kRfctl) & kExtendedStatus) != 0) return fill_extended(descriptor, rest, arriving);
  return E1000Core::fill_descriptor(descriptor, rest, arriving, first);
}

std::size_t E1000e::fill_extended(std::span<u8> descriptor, std::span<const u8> rest,
                                  const Arriving& arriving) {
  const std::size_t bytes = std::min<std::size_t>(rest.size(), buffer_bytes());
  dma_write(load_le<u64>(&descriptor[0]), rest.first(bytes));
  const u32 end = bytes == rest.size() ? kRxEnd : 0;
  store_le(&descriptor[0], arriving.hash_type | u32{arriving.queue} << 8);
  store_le(&descriptor[4], arriving.hash);
  store_le(&descriptor[8], u32{arriving.status} | kRxDone | end);
  store_le(&descriptor[12], static_cast<u16>(bytes));
  store_le(&descriptor[14], arriving.vlan);
  return bytes;
}

// Headers that are known go to the first buffer and the rest to the others; of other frames the
// first buffer has the start.
std::size_t E1000e::fill_split(std::span<u8> descriptor, std::span<const u8> rest,
                               const Arriving& arriving, bool first) {
  std::array<u16, kSplitBuffers> lengths{};
  const bool split = first && arriving.header_bytes != 0 &&
                     arriving.header_bytes <= split_buffer_bytes(0) &&
                     arriving.header_bytes < rest.size();
  std::size_t done = 0;
  for (unsigned i = 0; i < kSplitBuffers && done < rest.size(); ++i) {
    const std::size_t room = i == 0 && split ? arriving.header_bytes : split_buffer_bytes(i);
    const std::size_t bytes = std::min(rest.size() - done, room);
    dma_write(load_le<u64>(&descriptor[8 * i]), rest.subspan(done, bytes));
    lengths[i] = static_cast<u16>(bytes);
    done += bytes;
  }
  const u32 end = done == rest.size() ? kRxEnd : 0;
  store_le(&descriptor[0], arriving.hash_type | u32{arriving.queue} << 8);
  store_le(&descriptor[4], arriving.hash);
  store_le(&descriptor[8], u32{arriving.status} | kRxDone | end);
  store_le(&descriptor[12], lengths[0]);
  store_le(&descriptor[14], arriving.vlan);
  const u16 header = static_cast<u16>(std::min<std::size_t>(arriving.header_bytes, 0x3ff));
  store_le(&descriptor[16], static_cast<u16>(split ? kHeaderSplit | header : 0));
  for (unsigned i = 1; i < kSplitBuffers; ++i) store_le(&descriptor[16 + 2 * i], lengths[i]);
  store_le(&descriptor[24], u64{0});
  return done;
}

}  // namespace emu
