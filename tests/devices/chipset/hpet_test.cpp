// SPDX-License-Identifier: Apache-2.0
#include "devices/chipset/hpet.h"

#include "devices/recording_irq.h"
#include "devices/transfer_test.h"

namespace emu {
namespace {

constexpr u64 kConfig = 0x10, kStatus = 0x20, kCounter = 0xf0;
constexpr u64 timer_config(unsigned n) {
  return 0x100 + 0x20 * n;
}
constexpr u64 timer_value(unsigned n) {
  return timer_config(n) + 8;
}
constexpr u64 kInterrupts = 0x4, kLevel = 0x2, kPeriodic = 0x8, kSetsValue = 0x40, k32Bit = 0x100;
constexpr u64 route(u64 n) {
  return n << 9;
}
constexpr u64 kTickNs = 10;

struct RecordingMsi final : MsiSink {
  u64 address = 0;
  u32 data = 0;
  unsigned count = 0;
  void send_msi(u64 to, u32 value) override {
    address = to;
    data = value;
    ++count;
  }
};

// Inputs of `irq`: 0 and 8 the ISA interrupts, 32 + n the I/O APIC's.
Hpet::Wires wires_to(RecordingIrq& irq, MsiSink& msi) {
  Hpet::Wires wires;
  wires.irq0 = irq.line(0);
  wires.irq8 = irq.line(8);
  wires.route_mask = 0x00ff0104;
  for (unsigned n = 0; n < 32; ++n) wires.routes[n] = irq.line(32 + n);
  wires.msi = &msi;
  return wires;
}

struct HpetRig final : DeviceRig {
  RecordingIrq irq;
  RecordingMsi msi;
  Hpet hpet{wires_to(irq, msi), clock};
  Device& device() override { return hpet; }
  std::vector<RigWindow> windows() override {
    return {{&hpet.registers(), Hpet::kWindowBytes, Hpet::kSizes},
            {this_registers(), 0x80, {4, 8}}};
  }
  // The comparators again: they are a small part of the window.
  struct Comparators final : IoHandler {
    explicit Comparators(Hpet& target) : hpet(target) {}
    u64 read(u64 offset, unsigned size) override { return hpet.read(0x100 + offset, size); }
    void write(u64 offset, unsigned size, u64 value) override {
      hpet.write(0x100 + offset, size, value);
    }
    Hpet& hpet;
  };
  IoHandler* this_registers() { return &comparators; }
  void poke(u64 random) override {
    hpet.write(kConfig, 4, random % 8 == 0 ? 0 : 1 | (random & 2));
    hpet.set_irq(random & 16 ? 0 : 8, (random & 32) != 0);
  }
  Comparators comparators{hpet};
};
INSTANTIATE_TEST_SUITE_P(Hpet, TransferTest, testing::Values(device_under_test<HpetRig>("hpet")),
                         device_under_test_name);

struct HpetTest : testing::Test {
  FakeClock clock;
  RecordingIrq irq;
  RecordingMsi msi;
  Hpet hpet{wires_to(irq, msi), clock};

  void out(u64 offset, u64 value, unsigned size = 8) {
    hpet.registers().write(offset, size, value);
  }
  u64 in(u64 offset, unsigned size = 8) { return hpet.registers().read(offset, size); }
  void ticks(u64 n) { clock.advance(n * kTickNs); }
};

TEST_F(HpetTest, Capabilities) {
  EXPECT_EQ(in(0, 4), 0x8086a201u);
  EXPECT_EQ(in(4, 4), 10'000'000u);
  EXPECT_EQ(in(timer_config(0)), 0x00ff0104'00008030u);
  out(timer_config(0), ~u64{0});
  EXPECT_EQ(in(timer_config(0)), 0x00ff0104'0000ff7eu);
}

TEST_F(HpetTest, CounterRunsWhileEnabledAndCanBeSet) {
  ticks(100);
  EXPECT_EQ(in(kCounter), 0u);
  out(kConfig, 1);
  ticks(100);
  EXPECT_EQ(in(kCounter), 100u);
  out(kConfig, 0);
  ticks(100);
  EXPECT_EQ(in(kCounter), 100u);
  out(kCounter, 0xffffffff);
  out(kConfig, 1);
  ticks(1);
  EXPECT_EQ(in(kCounter, 4), 0u);
  EXPECT_EQ(in(kCounter + 4, 4), 1u);
}

TEST_F(HpetTest, OneShotEdge) {
  out(timer_value(0), 1000);
  out(timer_config(0), kInterrupts | route(16));
  out(kConfig, 1);
  ticks(999);
  EXPECT_EQ(irq.take_rises(48), 0u);
  ticks(1);
  EXPECT_EQ(irq.take_rises(48), 1u);
  EXPECT_EQ(in(kStatus), 0u);
  ticks(100'000'000);
  EXPECT_EQ(irq.take_rises(48), 0u);
  out(timer_value(0), in(kCounter) + 5);
  ticks(5);
  EXPECT_EQ(irq.take_rises(48), 1u);
}

TEST_F(HpetTest, ThirtyTwoBitComparatorMatchesAfterEachWrap) {
  out(timer_value(0), 1000);
  out(timer_config(0), kInterrupts | k32Bit | route(16));
  out(kCounter, 0xffffff00);
  out(kConfig, 1);
  ticks(0x100 + 1000);
  EXPECT_EQ(irq.take_rises(48), 1u);
  ticks(u64{1} << 32);
  EXPECT_EQ(irq.take_rises(48), 1u);
}

TEST_F(HpetTest, LevelStaysUntilCleared) {
  out(timer_value(2), 10);
  out(timer_config(2), kInterrupts | kLevel | route(20));
  out(kConfig, 1);
  ticks(20);
  EXPECT_TRUE(irq.level(52));
  EXPECT_EQ(in(kStatus), 4u);
  out(kStatus, 3);
  EXPECT_TRUE(irq.level(52));
  out(kStatus, 4);
  EXPECT_FALSE(irq.level(52));
  EXPECT_EQ(in(kStatus), 0u);
}

// As Linux does: VAL_SET, first match, then the period.
TEST_F(HpetTest, PeriodicInLegacyReplacementMode) {
  out(timer_config(0), kInterrupts | kPeriodic | kSetsValue | k32Bit, 4);
  out(timer_value(0), 5000, 4);
  out(timer_value(0), 10'000, 4);
  EXPECT_EQ(in(timer_config(0)) & kSetsValue, 0u);
  out(kConfig, 3);
  ticks(4999);
  EXPECT_EQ(irq.take_rises(0), 0u);
  ticks(1);
  EXPECT_EQ(irq.take_rises(0), 1u);
  EXPECT_EQ(in(timer_value(0)), 15'000u);
  ticks(1'000'000);
  EXPECT_EQ(irq.take_rises(0), 100u);
  EXPECT_EQ(in(timer_value(0)), 1'015'000u);
}

TEST_F(HpetTest, LegacyReplacementCutsTheOtherTimersOff) {
  hpet.set_irq(Hpet::kPitInput, true);
  hpet.set_irq(Hpet::kRtcInput, true);
  EXPECT_TRUE(irq.level(0));
  EXPECT_TRUE(irq.level(8));
  out(kConfig, 3);
  EXPECT_FALSE(irq.level(0));
  EXPECT_FALSE(irq.level(8));
  hpet.set_irq(Hpet::kRtcInput, false);
  out(kConfig, 1);
  EXPECT_TRUE(irq.level(0));
  EXPECT_FALSE(irq.level(8));
}

TEST_F(HpetTest, FsbDeliveryWritesAMessage) {
  out(0x130, u64{0xfee01000} << 32 | 0x4031);
  out(timer_value(1), 7);
  out(timer_config(1), kInterrupts | 1 << 14);
  out(kConfig, 1);
  ticks(7);
  EXPECT_EQ(msi.count, 1u);
  EXPECT_EQ(msi.address, 0xfee01000u);
  EXPECT_EQ(msi.data, 0x4031u);
}

TEST_F(HpetTest, PeriodicComparatorMovesWithoutInterrupts) {
  out(timer_config(1), kPeriodic | kSetsValue);
  out(timer_value(1), 100);
  out(kConfig, 1);
  ticks(1050);
  EXPECT_EQ(in(timer_value(1)), 1100u);
}

TEST_F(HpetTest, TinyPeriodsDoNotFloodTheHost) {
  out(timer_config(0), kInterrupts | kPeriodic | kSetsValue | route(16));
  out(timer_value(0), 1);
  out(kConfig, 1);
  clock.advance(kNsPerSecond / 10);
  EXPECT_LE(irq.take_rises(48), 6000u);
}

TEST_F(HpetTest, SavedLevelComesBackWithoutAnEdge) {
  out(timer_value(2), 10);
  out(timer_config(2), kInterrupts | kLevel | route(20));
  out(kConfig, 1);
  ticks(20);
  StateIo saved = StateIo::saver();
  hpet.transfer(saved);
  RecordingIrq other_irq;
  Hpet other(wires_to(other_irq, msi), clock);
  StateIo loader = StateIo::loader(saved.bytes());
  other.transfer(loader);
  ASSERT_TRUE(loader.finish());
  other.resumed();
  EXPECT_TRUE(other_irq.level(52));
  EXPECT_EQ(other_irq.take_rises(52), 0u);
}

}  // namespace
}  // namespace emu
