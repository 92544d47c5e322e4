// SPDX-License-Identifier: Apache-2.0
// KVM's clock for guests, read as guests read it.
// Source: Linux Documentation/virt/kvm/x86/msr.rst, MSR_KVM_SYSTEM_TIME_NEW.
#include "machine/pv_clock.h"

#include <gtest/gtest.h>

#include "base/bits.h"
#include "cpu/pv_clock_spec.h"
#include "memory/guest_ram.h"

namespace emu {
namespace {

constexpr u64 kTimeAt = 0x1000, kWallAt = 0x2000;

class PvClockTest : public ::testing::Test {
 protected:
  // System time as of a time stamp, in the guest's way.
  u64 system_time(u64 tsc) {
    const u8* const t = ram_->host() + kTimeAt;
    const u64 ticks = (tsc - load_le<u64>(t + 8)) << t[28];
    const u64 multiplier = load_le<u32>(t + 24);
    const u64 scaled = (ticks >> 32) * multiplier + ((ticks & 0xffffffff) * multiplier >> 32);
    return load_le<u64>(t + 16) + scaled;
  }
  u64 tsc() const { return static_cast<u64>(static_cast<double>(clock_.now_ns()) * ghz_) + 12345; }

  FakeClock clock_;
  double ghz_ = 2.1;
  std::unique_ptr<Region> root_ = Region::container("root", u64{1} << 40);
  std::unique_ptr<GuestRam> ram_ = *GuestRam::create("ram", kMiB);
  std::unique_ptr<Region> region_ = Region::ram("ram", *ram_, 0, kMiB);
  AddressSpace space_{*root_};
  PvClock pv_{{space_, clock_, [this] { return tsc(); },
               [this] { return static_cast<u64>(ghz_ * 1e9); }, [] { return i64{1'700'000'000}; }},
              0};

 public:
  PvClockTest() { root_->add(*region_, 0); }
};

TEST_F(PvClockTest, TimeStampsBecomeVmTimeAtAnyRate) {
  for (const double ghz : {0.4, 1.0, 2.1, 4.7}) {
    ghz_ = ghz;
    clock_.advance(5'000'000'000);
    ASSERT_TRUE(pv_.write_msr(kMsrPvSystemTime, kTimeAt | 1));
    EXPECT_EQ(load_le<u32>(ram_->host() + kTimeAt) % 2, 0u);
    EXPECT_EQ(ram_->host()[kTimeAt + 29], 1) << "stable";
    clock_.advance(3'600'000'000'000);  // an hour later it still holds, written once
    EXPECT_NEAR(static_cast<double>(system_time(tsc())), static_cast<double>(clock_.now_ns()), 1e4)
        << ghz;
  }
}

TEST_F(PvClockTest, WhatIsSwitchedOffIsNotWritten) {
  ASSERT_TRUE(pv_.write_msr(kMsrPvSystemTime, kTimeAt));
  EXPECT_EQ(load_le<u32>(ram_->host() + kTimeAt), 0u);
  EXPECT_EQ(pv_.read_msr(kMsrPvSystemTime), kTimeAt);
  EXPECT_FALSE(pv_.read_msr(0x4b564d02));
  EXPECT_FALSE(pv_.write_msr(0x4b564d02, 1));
}

TEST_F(PvClockTest, TheWallClockIsThatOfSystemTimeZero) {
  clock_.advance(100'500'000'000);
  ASSERT_TRUE(pv_.write_msr(kMsrPvWallClock, kWallAt));
  EXPECT_EQ(load_le<u32>(ram_->host() + kWallAt + 4), 1'700'000'000u - 101);
  EXPECT_EQ(load_le<u32>(ram_->host() + kWallAt + 8), 500'000'000u);
}

TEST_F(PvClockTest, PlacesWithoutMemoryDoNoHarm) {
  EXPECT_TRUE(pv_.write_msr(kMsrPvSystemTime, ~u64{0}));
  EXPECT_TRUE(pv_.write_msr(kMsrPvWallClock, ~u64{0}));
  EXPECT_TRUE(pv_.write_msr(kMsrPvSystemTime, (kMiB - 8) | 1));
}

}  // namespace
}  // namespace emu
