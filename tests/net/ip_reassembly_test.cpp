// SPDX-License-Identifier: Apache-2.0
#include "net/ip_reassembly.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/bits.h"
#include "net/offload.h"

namespace emu {
namespace {

using Frame = std::vector<u8>;

// A UDP datagram of so many bytes of payload, whole.
Frame datagram(std::size_t payload, u16 id = 7) {
  Frame f(14 + 20 + payload);
  f[12] = 8;
  f[14] = 0x45;
  store_be(&f[16], static_cast<u16>(20 + payload));
  store_be(&f[18], id);
  f[22] = 64;
  f[23] = 17;
  store_be(&f[26], u32{0x0a00020f});
  store_be(&f[30], u32{0x0a000202});
  for (std::size_t i = 34; i < f.size(); ++i) f[i] = static_cast<u8>(i * 7);
  store_be(&f[24], fold_checksum(sum_words(std::span(f).subspan(14, 20))));
  return f;
}

std::vector<Frame> pieces_of(const Frame& frame, std::size_t mtu = 1500) {
  std::vector<Frame> out;
  EXPECT_TRUE(fragment(frame, mtu, [&](std::span<const u8> piece) {
    out.emplace_back(piece.begin(), piece.end());
  }));
  return out;
}

TEST(IpReassembly, PiecesInAnyOrderMakeTheWhole) {
  const Frame whole = datagram(8008);
  for (const bool backwards : {false, true}) {
    IpReassembly reassembly;
    auto pieces = pieces_of(whole);
    ASSERT_EQ(pieces.size(), 6u);
    if (backwards) std::ranges::reverse(pieces);
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      ASSERT_TRUE(IpReassembly::is_fragment(pieces[i]));
      const auto done = reassembly.take(pieces[i]);
      ASSERT_EQ(done.has_value(), i == 5);
      if (done) {
        EXPECT_EQ(*done, whole);
      }
    }
    EXPECT_EQ(reassembly.datagrams(), 0u);
  }
  EXPECT_FALSE(IpReassembly::is_fragment(whole));
}

TEST(IpReassembly, DatagramsAtTheSameTimeAreKeptApart) {
  IpReassembly reassembly;
  const Frame one = datagram(2000, 1), two = datagram(2400, 2);
  const auto first = pieces_of(one), second = pieces_of(two);
  EXPECT_FALSE(reassembly.take(first[0]));
  EXPECT_FALSE(reassembly.take(second[0]));
  EXPECT_EQ(reassembly.take(first[1]), one);
  EXPECT_EQ(reassembly.take(second[1]), two);
}

TEST(IpReassembly, OverlapsAndLiesEndTheDatagram) {
  IpReassembly reassembly;
  const auto pieces = pieces_of(datagram(4000));
  EXPECT_FALSE(reassembly.take(pieces[0]));
  EXPECT_FALSE(reassembly.take(pieces[0])) << "twice";
  EXPECT_EQ(reassembly.datagrams(), 0u);
  EXPECT_FALSE(reassembly.take(pieces[1]));
  EXPECT_FALSE(reassembly.take(pieces[2]));
  EXPECT_EQ(reassembly.datagrams(), 1u);
  Frame short_one = pieces[0];
  short_one.resize(200);
  EXPECT_FALSE(reassembly.take(short_one)) << "longer than its frame";
  Frame changed = pieces[0];
  changed[23] = 6;
  EXPECT_FALSE(reassembly.take(changed)) << "a wrong checksum";
  EXPECT_TRUE(reassembly.take(pieces[0]));
}

TEST(IpReassembly, ThoseThatStayIncompleteAreGivenUp) {
  IpReassembly reassembly;
  for (u16 id = 0; id < 1000; ++id) EXPECT_FALSE(reassembly.take(pieces_of(datagram(3000, id))[0]));
  EXPECT_EQ(reassembly.datagrams(), IpReassembly::kMostDatagrams);
}

}  // namespace
}  // namespace emu
