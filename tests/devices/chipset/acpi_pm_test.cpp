// SPDX-License-Identifier: Apache-2.0
#include "devices/chipset/acpi_pm.h"

#include "devices/recording_irq.h"
#include "devices/transfer_test.h"

namespace emu {
namespace {

struct AcpiPmRig final : DeviceRig {
  AcpiPm pm{IrqLine(), clock, [] {}};
  Device& device() override { return pm; }
  std::vector<RigWindow> windows() override {
    return {{&pm.pm_registers(), AcpiPm::kWindowBytes, AcpiPm::kSizes}};
  }
  void poke(u64 random) override {
    if (random % 4 == 0) pm.press_power_button();
    if (random % 4 == 1) pm.raise_gpe(static_cast<unsigned>(random >> 8 & 15));
    if (random % 4 == 2) pm.smi_command(random & 16 ? 0xf1 : 0xf0);
    if (random % 4 == 3) clock.advance(random % (5 * kNsPerSecond));
  }
};
INSTANTIATE_TEST_SUITE_P(AcpiPm, TransferTest, testing::Values(device_under_test<AcpiPmRig>("pm")),
                         device_under_test_name);

struct Acpi : testing::Test {
  FakeClock clock;
  RecordingIrq sci;
  unsigned power_offs = 0;
  AcpiPm pm{sci.line(), clock, [this] { ++power_offs; }};

  void out(u64 offset, unsigned size, u64 value) { pm.pm_registers().write(offset, size, value); }
  u64 in(u64 offset, unsigned size) { return pm.pm_registers().read(offset, size); }
};

TEST_F(Acpi, SmiCommandSwitchesAcpiMode) {
  EXPECT_EQ(in(4, 2), 0u);
  pm.smi_command(AcpiPm::kEnableCommand);
  EXPECT_EQ(in(4, 2), 1u);
  pm.smi_command(0x55);
  EXPECT_EQ(in(4, 2), 1u);
  pm.smi_command(AcpiPm::kDisableCommand);
  EXPECT_EQ(in(4, 2), 0u);
}

TEST_F(Acpi, TimerCountsAt3579545HzIn24Bits) {
  EXPECT_EQ(in(8, 4), 0u);
  clock.advance(kNsPerSecond);
  EXPECT_EQ(in(8, 4), 3'579'545u);
  clock.advance(4 * kNsPerSecond);
  EXPECT_EQ(in(8, 4), 5u * 3'579'545 - (1u << 24));
}

TEST_F(Acpi, TimerInterruptsWhenItsHighestBitChanges) {
  pm.smi_command(AcpiPm::kEnableCommand);
  out(2, 2, 0x0001);
  const u64 half = kAcpiPmFrequency.ns_at(1u << 23);
  clock.advance(half - 1);
  EXPECT_FALSE(sci.level());
  clock.advance(1);
  EXPECT_TRUE(sci.level());
  EXPECT_EQ(in(0, 2), 0x0001u);
  out(0, 2, 0x0001);
  EXPECT_FALSE(sci.level());
  clock.advance(half);
  EXPECT_TRUE(sci.level());
}

TEST_F(Acpi, TimerStatusIsThereForPolling) {
  clock.advance(3 * kNsPerSecond);
  EXPECT_EQ(in(0, 2), 0x0001u);
  out(0, 2, 0xffff);
  EXPECT_EQ(in(0, 2), 0x0000u);
}

TEST_F(Acpi, PowerButtonRaisesTheSci) {
  pm.press_power_button();
  EXPECT_EQ(in(0, 4), 0x0100u);
  EXPECT_FALSE(sci.level());
  out(2, 2, 0x0100);
  EXPECT_FALSE(sci.level()) << "not while ACPI is off";
  pm.smi_command(AcpiPm::kEnableCommand);
  EXPECT_TRUE(sci.level());
  EXPECT_EQ(in(0, 4), 0x01000100u);
  out(1, 1, 0x01);
  EXPECT_FALSE(sci.level());
}

TEST_F(Acpi, SleepingOffTurnsThePowerOff) {
  out(4, 2, 0x2001 | 1 << 10);  // S3 is not offered
  EXPECT_EQ(power_offs, 0u);
  EXPECT_EQ(in(0, 2) & 0x8000, 0x8000u);
  out(4, 2, 0x0001);
  EXPECT_EQ(power_offs, 0u);
  out(4, 2, 0x2001);
  EXPECT_EQ(power_offs, 1u);
  EXPECT_EQ(in(4, 2), 0x0001u) << "SLP_EN reads as zero";
}

TEST_F(Acpi, SleepEnableInAByteOfItsOwn) {
  out(5, 1, 0x20);
  EXPECT_EQ(power_offs, 1u);
}

TEST_F(Acpi, GeneralPurposeEvents) {
  pm.smi_command(AcpiPm::kEnableCommand);
  out(0x0e, 2, 0x0002);
  pm.raise_gpe(4);
  EXPECT_FALSE(sci.level());
  pm.raise_gpe(1);
  EXPECT_TRUE(sci.level());
  EXPECT_EQ(in(0x0c, 4), 0x00020012u);
  out(0x0c, 1, 0x02);
  EXPECT_FALSE(sci.level());
  EXPECT_EQ(in(0x0c, 1), 0x10u);
}

}  // namespace
}  // namespace emu
