// SPDX-License-Identifier: Apache-2.0
// TCP connections through the user network, seen from between the guest and the library.
#include "net/nat_flows.h"

#include <gtest/gtest.h>

#include "base/bits.h"
#include "net/offload.h"

namespace emu {
namespace {

using Frame = std::vector<u8>;
constexpr u8 kFin = 1, kSyn = 2, kRst = 4, kAck = 16;
constexpr u16 kLarge = 16000;

// One connection of 10.0.2.15:1000 to 10.0.2.2:80, frame by frame.
class Connection {
 public:
  explicit Connection(NatFlows& flows) : flows_(flows) {}
  // `mss` 0: no option.
  Frame guest(u8 flags, u32 sequence, u32 ack, std::size_t payload = 0, u16 mss = 0) {
    Frame frame = make(true, flags, sequence, ack, payload, mss);
    flows_.from_guest(frame, kLarge);
    return frame;
  }
  Frame library(u8 flags, u32 sequence, u32 ack, std::size_t payload = 0) {
    Frame frame = make(false, flags, sequence, ack, payload, 0);
    flows_.from_library(frame, layout_of(frame));
    return frame;
  }

 private:
  static Frame make(bool guest, u8 flags, u32 sequence, u32 ack, std::size_t payload, u16 mss) {
    const std::size_t options = mss != 0 ? 4 : 0;
    Frame f(14 + 20 + 20 + options + payload, 0xaa);
    std::fill_n(f.begin(), 54, u8{0});
    f[guest ? 11 : 5] = 1;
    f[12] = 8;
    f[14] = 0x45;
    f[23] = 6;
    store_be(&f[26], guest ? 0x0a00020fu : 0x0a000202u);
    store_be(&f[30], guest ? 0x0a000202u : 0x0a00020fu);
    store_be(&f[34], guest ? u16{1000} : u16{80});
    store_be(&f[36], guest ? u16{80} : u16{1000});
    store_be(&f[38], sequence);
    store_be(&f[42], ack);
    f[46] = static_cast<u8>((20 + options) / 4 << 4);
    f[47] = flags;
    if (mss != 0) {
      f[54] = 2;
      f[55] = 4;
      store_be(&f[56], mss);
    }
    finish_large(f);
    return f;
  }
  NatFlows& flows_;
};

TEST(NatFlows, AConnectionThatTheHostClosedIsForgottenOnceBothSidesKnow) {
  NatFlows flows;
  Connection c(flows);
  c.guest(kSyn, 100, 0, 0, 1460);
  c.library(kSyn | kAck, 500, 101);
  c.guest(kAck, 101, 501, 30);
  c.library(kAck, 501, 131, 50);
  c.library(kFin | kAck, 551, 131);
  c.guest(kFin | kAck, 131, 552);
  EXPECT_TRUE(flows.take_resets().empty()) << "the library has not seen the guest's FIN yet";
  c.library(kAck, 552, 132);
  const auto resets = flows.take_resets();
  ASSERT_EQ(resets.size(), 1u);
  const Frame& reset = resets[0];
  const FrameLayout layout = layout_of(reset);
  ASSERT_TRUE(layout.is_tcp());
  EXPECT_EQ(reset.size(), 54u);
  EXPECT_EQ(reset[11], 1) << "from the guest";
  EXPECT_EQ(load_be<u32>(&reset[26]), 0x0a00020fu);
  EXPECT_EQ(load_be<u16>(&reset[34]), 1000);
  EXPECT_EQ(load_be<u16>(&reset[36]), 80);
  EXPECT_EQ(load_be<u32>(&reset[38]), 132u);
  EXPECT_EQ(reset[47], kRst | kAck);
  Frame again = reset;
  finish_large(again);
  EXPECT_EQ(again, reset) << "checksums";
  EXPECT_EQ(flows.flows(), 0u);
}

TEST(NatFlows, AFinThatIsAcknowledgedFirstCountsToo) {
  NatFlows flows;
  Connection c(flows);
  c.guest(kSyn, 100, 0);
  c.library(kFin | kAck, 501, 101, 10);
  c.guest(kAck, 101, 512);
  c.guest(kFin | kAck, 101, 512, 20);
  c.library(kAck, 512, 122);
  EXPECT_EQ(flows.take_resets().size(), 1u);
}

TEST(NatFlows, WhereTheGuestClosesFirstNothingLingers) {
  NatFlows flows;
  Connection c(flows);
  c.guest(kSyn, 100, 0);
  c.guest(kFin | kAck, 101, 501);
  c.library(kAck, 501, 102);
  c.library(kAck, 501, 102, 100);
  c.library(kFin | kAck, 601, 102);
  c.guest(kAck, 102, 602);
  EXPECT_TRUE(flows.take_resets().empty());
  EXPECT_EQ(flows.flows(), 0u);
}

TEST(NatFlows, WhatMayStillWaitForTheHostIsNotCutOff) {
  NatFlows flows;
  Connection c(flows);
  c.guest(kSyn, 100, 0);
  c.library(kFin | kAck, 501, 101);
  for (u32 at = 101; at < 20101; at += 1000) c.guest(kAck, at, 502, 1000);
  c.guest(kFin | kAck, 20101, 502);
  c.library(kAck, 502, 20102);
  EXPECT_TRUE(flows.take_resets().empty());
}

TEST(NatFlows, TheLibraryIsAskedForLargeSegmentsAndTheyAreCutAsTheGuestWants) {
  NatFlows flows;
  Connection c(flows);
  Frame syn = c.guest(kSyn, 100, 0, 0, 536);
  EXPECT_EQ(load_be<u16>(&syn[56]), kLarge);
  Frame again = syn;
  finish_large(again);
  EXPECT_EQ(again, syn) << "checksums";
  const Frame data = c.library(kAck, 501, 101, 8000);
  EXPECT_EQ(flows.segment_bytes(data, layout_of(data), 1460), 536);
  c.guest(kRst, 101, 0);
  EXPECT_EQ(flows.segment_bytes(data, layout_of(data), 1460), 1460);
}

TEST(NatFlows, OldOnesAreForgottenBeforeThereAreTooMany) {
  NatFlows flows;
  Connection c(flows);
  Frame syn = c.guest(kSyn, 100, 0, 0, 536);
  for (u32 address = 0; address < 20000; ++address) {
    store_be(&syn[26], address);
    flows.from_guest(syn, kLarge);
  }
  EXPECT_EQ(flows.flows(), NatFlows::kMostFlows);
}

}  // namespace
}  // namespace emu
