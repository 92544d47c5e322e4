// SPDX-License-Identifier: Apache-2.0
#include "devices/chipset/i8254.h"

#include "devices/chipset/system_ports.h"
#include "devices/recording_irq.h"
#include "devices/transfer_test.h"

namespace emu {
namespace {

struct PitRig final : DeviceRig {
  I8254 pit{IrqLine(), clock};
  Device& device() override { return pit; }
  std::vector<RigWindow> windows() override { return {{&pit.ports(), 4}}; }
  void poke(u64 random) override { pit.set_gate2((random & 1) != 0); }
};
struct Port61Rig final : DeviceRig {
  I8254 pit{IrqLine(), clock};
  Port61 port{pit, clock};
  Device& device() override { return port; }
  std::vector<RigWindow> windows() override { return {{&port.ports(), 1}}; }
};
struct Port92Rig final : DeviceRig {
  Port92 port{IrqLine(), [] {}};
  Device& device() override { return port; }
  std::vector<RigWindow> windows() override { return {{&port.ports(), 1}}; }
};
INSTANTIATE_TEST_SUITE_P(I8254, TransferTest,
                         testing::Values(device_under_test<PitRig>("i8254"),
                                         device_under_test<Port61Rig>("port61"),
                                         device_under_test<Port92Rig>("port92")),
                         device_under_test_name);

struct Pit : testing::Test {
  FakeClock clock;
  RecordingIrq irq;
  I8254 pit{irq.line(), clock};
  Port61 port61{pit, clock};

  void out(u64 port, u8 value) { pit.ports().write(port, 1, value); }
  unsigned in(u64 port) { return static_cast<unsigned>(pit.ports().read(port, 1)); }
};

TEST_F(Pit, RateGeneratorTicksExactly) {
  out(3, 0x34);
  out(0, 0x9c);  // 11932: as near to 100 Hz as the chip comes
  out(0, 0x2e);
  static_cast<void>(irq.take_rises());
  clock.advance(10 * kNsPerSecond);
  EXPECT_EQ(irq.take_rises(), 999u) << "11931817 ticks, one of them the load";
}

TEST_F(Pit, OneShotInterruptsOnce) {
  out(3, 0x30);
  out(0, 0xe8);
  out(0, 0x03);  // 1000 + 1 ticks: 838934 ns
  EXPECT_FALSE(irq.level());
  clock.advance(838'933);
  EXPECT_FALSE(irq.level());
  clock.advance(1);
  EXPECT_TRUE(irq.level());
  clock.advance(kNsPerSecond);
  EXPECT_EQ(irq.take_rises(), 1u);
  out(0, 0x10);
  EXPECT_FALSE(irq.level()) << "the first byte of a new count lowers OUT";
}

TEST_F(Pit, NewCountAfterALateReadKeepsTime) {
  out(3, 0x34);
  out(0, 0x00);
  out(0, 0x00);
  clock.advance(kPitFrequency.ns_at(1 + 0x1000));
  out(3, 0x00);
  EXPECT_EQ(in(0), 0x00u);
  EXPECT_EQ(in(0), 0xf0u);
}

TEST_F(Pit, ImpossibleRatesDoNotFloodTheHost) {
  out(3, 0x14);
  out(0, 2);
  clock.advance(kNsPerSecond / 10);
  EXPECT_LE(irq.take_rises(), 6000u);
}

TEST_F(Pit, ReadBackLatchesSeveralCounters) {
  out(3, 0x30);
  out(0, 0x00);
  out(0, 0x80);
  out(3, 0xb4);
  out(2, 0x34);
  out(2, 0x12);
  out(3, 0xc0 | 0x02 | 0x08);
  EXPECT_EQ(in(0), 0x70u) << "mode 0, both bytes, null count";
  EXPECT_EQ(in(2), 0xf4u);
  EXPECT_EQ(in(3), 0u);
}

// The calibration that Linux makes: gate counter 2, wait for OUT2.
TEST_F(Pit, Port61GatesCounterTwo) {
  port61.reset();
  out(3, 0xb0);
  out(2, 0xff);
  out(2, 0xff);
  clock.advance(kNsPerSecond);
  EXPECT_EQ(port61.ports().read(0, 1) & 0x2f, 0u) << "the gate is closed";
  port61.ports().write(0, 1, 0x01);
  clock.advance(54'000'000);
  EXPECT_EQ(port61.ports().read(0, 1) & 0x2f, 0x01u);
  clock.advance(1'000'000);
  EXPECT_EQ(port61.ports().read(0, 1) & 0x2f, 0x21u);
}

TEST_F(Pit, RefreshBitToggles) {
  const u64 first = port61.ports().read(0, 1) & 0x10;
  clock.advance(15'086);
  const u64 second = port61.ports().read(0, 1) & 0x10;
  clock.advance(15'086);
  EXPECT_NE(first, second);
  EXPECT_EQ(port61.ports().read(0, 1) & 0x10, first);
}

TEST_F(Pit, SpeakerNeedsDataAndTone) {
  out(3, 0xb6);
  out(2, 0x00);
  out(2, 0x10);
  port61.ports().write(0, 1, 0x01);
  EXPECT_FALSE(port61.speaker());
  port61.ports().write(0, 1, 0x03);
  EXPECT_TRUE(port61.speaker());
  clock.advance(kPitFrequency.ns_at(0x0900));
  EXPECT_FALSE(port61.speaker());
}

TEST(Port92, SwitchesA20AndResets) {
  RecordingIrq a20;
  unsigned resets = 0;
  Port92 port(a20.line(), [&] { ++resets; });
  port.ports().write(0, 1, 0x02);
  EXPECT_TRUE(a20.level());
  EXPECT_EQ(port.ports().read(0, 1), 0x02u);
  port.ports().write(0, 1, 0x00);
  EXPECT_FALSE(a20.level());
  port.ports().write(0, 1, 0x03);
  port.ports().write(0, 1, 0x03);
  EXPECT_EQ(resets, 1u);
}

}  // namespace
}  // namespace emu
