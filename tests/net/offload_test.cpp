// SPDX-License-Identifier: Apache-2.0
#include "net/offload.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/bits.h"
#include "net/frame_queue.h"

namespace emu {
namespace {

using Frame = std::vector<u8>;

// Ethernet, IPv4 without options, TCP with an MSS option, and `payload` bytes counting up.
Frame tcp_frame(std::size_t payload, u8 flags = 0x18) {
  Frame f(14 + 20 + 24);
  f[12] = 0x08;
  f[14] = 0x45;
  store_be(&f[16], static_cast<u16>(44 + payload));
  store_be(&f[18], u16{0x1234});
  f[22] = 64;
  f[23] = 6;
  store_be(&f[26], u32{0x0a00020f});
  store_be(&f[30], u32{0x0a000202});
  store_be(&f[34], u16{1000});
  store_be(&f[36], u16{80});
  store_be(&f[38], u32{0xfffffff0});
  f[46] = 6 << 4;
  f[47] = flags;
  f[54] = 2;
  f[55] = 4;
  store_be(&f[56], u16{1460});
  for (std::size_t i = 0; i < payload; ++i) f.push_back(static_cast<u8>(i));
  return f;
}

// What a receiver checks: the sum over everything a checksum covers is zero.
bool tcp_checks(const Frame& f) {
  const u32 length = static_cast<u32>(f.size() - 34);
  const u32 pseudo = sum_words(std::span(f).subspan(26, 8), 6 + length);
  return fold_checksum(sum_words(std::span(f).subspan(14, 20))) == 0 &&
         fold_checksum(sum_words(std::span(f).subspan(34), pseudo)) == 0;
}

TEST(Offload, ChecksumOfRfc1071) {
  const u8 bytes[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};  // its section 3 example
  EXPECT_EQ(fold_checksum(sum_words(bytes)), static_cast<u16>(~0xddf2));
  const u8 odd[] = {0x12, 0x34, 0x56};
  EXPECT_EQ(fold_checksum(sum_words(odd)), static_cast<u16>(~0x6834));
}

TEST(Offload, LayoutSeesThroughVlanTags) {
  Frame f = tcp_frame(0);
  EXPECT_EQ(layout_of(f).transport, 34);
  EXPECT_EQ(layout_of(f).payload, 58);
  f.insert(f.begin() + 12, {0x81, 0x00, 0x00, 0x05});
  EXPECT_EQ(layout_of(f).transport, 38);
  EXPECT_TRUE(layout_of(f).is_tcp());
}

TEST(Offload, LayoutOfEveryPrefixStaysInside) {
  const Frame f = tcp_frame(10);
  for (std::size_t n = 0; n <= f.size(); ++n) {
    const FrameLayout layout = layout_of(std::span(f).first(n));
    EXPECT_LE(layout.payload, n);
    EXPECT_EQ(layout.is_tcp(), n >= 58) << n;
  }
}

TEST(Offload, LargeFrameBecomesSegments) {
  const Frame f = tcp_frame(3000, 0x19);  // FIN, PSH, ACK
  std::vector<Frame> out;
  Offload offload;
  offload.segments = Offload::Segments::kTcp4;
  offload.segment_bytes = 1460;
  segment(f, offload, [&](std::span<const u8> s) { out.emplace_back(s.begin(), s.end()); });
  ASSERT_EQ(out.size(), 3u);
  EXPECT_EQ(out[0].size(), 58u + 1460);
  EXPECT_EQ(out[2].size(), 58u + 80);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(tcp_checks(out[i])) << i;
    EXPECT_EQ(load_be<u32>(&out[i][38]), static_cast<u32>(0xfffffff0 + 1460 * i));
    EXPECT_EQ(load_be<u16>(&out[i][16]), out[i].size() - 14);
    EXPECT_EQ(load_be<u16>(&out[i][18]), 0x1234 + i);
    EXPECT_EQ(out[i][47], i == 2 ? 0x19 : 0x10) << "FIN and PSH go with the last";
  }
}

TEST(Offload, FragmentsCarryTheirPlace) {
  const Frame f = tcp_frame(4000);
  std::vector<Frame> out;
  EXPECT_TRUE(
      fragment(f, 1500, [&](std::span<const u8> s) { out.emplace_back(s.begin(), s.end()); }));
  ASSERT_EQ(out.size(), 3u);
  std::size_t place = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    const u16 field = load_be<u16>(&out[i][20]);
    EXPECT_EQ((field & 0x1fff) * 8u, place);
    EXPECT_EQ((field & 0x2000) != 0, i < 2);
    EXPECT_LE(out[i].size(), 1514u);
    EXPECT_EQ(fold_checksum(sum_words(std::span(out[i]).subspan(14, 20))), 0);
    place += out[i].size() - 34;
  }
  EXPECT_EQ(place, 24u + 4000);
}

TEST(Offload, PartialChecksumIsFinished) {
  Frame f = tcp_frame(5);
  const u32 pseudo = sum_words(std::span(f).subspan(26, 8), 6 + 29);
  store_be(&f[50], static_cast<u16>(~fold_checksum(pseudo)));
  store_be(&f[24], fold_checksum(sum_words(std::span(f).subspan(14, 20))));
  Offload offload;
  offload.needs_checksum = true;
  offload.checksum_start = 34;
  offload.checksum_offset = 16;
  finish_checksum(f, offload);
  EXPECT_TRUE(tcp_checks(f));
  const Frame before = f;
  offload.checksum_start = 0xfff0;
  finish_checksum(f, offload);
  EXPECT_EQ(f, before) << "a field outside the frame is left alone";
}

TEST(Offload, MssOptionOfSyns) {
  Frame f = tcp_frame(0, 0x02);
  const auto mss = mss_option(f, layout_of(f));
  ASSERT_EQ(mss.size(), 2u);
  EXPECT_EQ(load_be<u16>(mss.data()), 1460);
  f[55] = 0;  // an option that would never end
  EXPECT_TRUE(mss_option(f, layout_of(f)).empty());
  Frame no_syn = tcp_frame(0, 0x10);
  EXPECT_TRUE(mss_option(no_syn, layout_of(no_syn)).empty());
}

TEST(FrameQueue, DropsWhatDoesNotFitAndForgetsWhatWasTaken) {
  FrameQueue queue(100);
  const Frame forty(40, 1), thirty(30, 2);
  EXPECT_TRUE(queue.push(forty, {}));
  EXPECT_TRUE(queue.push(forty, {}));
  EXPECT_FALSE(queue.push(thirty, {}));
  queue.pop();
  EXPECT_TRUE(queue.push(thirty, {})) << "the first one's room is free again";
  EXPECT_EQ(queue.front().size(), 40u);
  queue.pop();
  EXPECT_EQ(queue.front()[0], 2);
  queue.pop();
  EXPECT_TRUE(queue.empty());
}

}  // namespace
}  // namespace emu
