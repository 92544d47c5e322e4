// SPDX-License-Identifier: Apache-2.0
#include "devices/chipset/i8259.h"

#include "devices/chipset/irq_fan_out.h"
#include "devices/recording_irq.h"
#include "devices/transfer_test.h"

namespace emu {
namespace {

struct PicRig final : DeviceRig {
  I8259Pair pic{IrqLine()};
  Device& device() override { return pic; }
  std::vector<RigWindow> windows() override {
    return {{&pic.master_ports(), 2}, {&pic.slave_ports(), 2}, {&pic.elcr_ports(), 2}};
  }
  void poke(u64 random) override {
    pic.set_irq(random % 16, random & 16);
    if (random & 32) static_cast<void>(pic.acknowledge());
  }
};
INSTANTIATE_TEST_SUITE_P(I8259, TransferTest, testing::Values(device_under_test<PicRig>("i8259")),
                         device_under_test_name);

struct Pic : testing::Test {
  RecordingIrq cpu;
  I8259Pair pic{cpu.line()};

  // As a PC's firmware does: vectors 08h.. and 70h.., everything unmasked.
  void initialize(u8 icw4 = 0x01) {
    for (IoHandler* chip : {&pic.master_ports(), &pic.slave_ports()}) {
      const bool master = chip == &pic.master_ports();
      chip->write(0, 1, 0x11);
      chip->write(1, 1, master ? 0x08 : 0x70);
      chip->write(1, 1, master ? 0x04 : 0x02);
      chip->write(1, 1, icw4);
      chip->write(1, 1, 0x00);
    }
  }
  void master(u8 command) { pic.master_ports().write(0, 1, command); }
  void slave(u8 command) { pic.slave_ports().write(0, 1, command); }
  u8 master_isr() {
    master(0x0b);
    return static_cast<u8>(pic.master_ports().read(0, 1));
  }
  u8 slave_isr() {
    slave(0x0b);
    return static_cast<u8>(pic.slave_ports().read(0, 1));
  }
};

TEST_F(Pic, EdgeRequestIsAcknowledgedOnce) {
  initialize();
  pic.set_irq(4, true);
  EXPECT_TRUE(cpu.level());
  EXPECT_EQ(pic.acknowledge(), 0x0c);
  EXPECT_FALSE(cpu.level());
  EXPECT_EQ(master_isr(), 0x10);
  master(0x20);
  EXPECT_EQ(master_isr(), 0x00);
  EXPECT_FALSE(cpu.level()) << "the wire is still active, but there was no new edge";
  pic.set_irq(4, false);
  pic.set_irq(4, true);
  EXPECT_TRUE(cpu.level());
}

TEST_F(Pic, MaskHoldsARequestBack) {
  initialize();
  pic.master_ports().write(1, 1, 0x10);
  EXPECT_EQ(pic.master_ports().read(1, 1), 0x10u);
  pic.set_irq(4, true);
  EXPECT_FALSE(cpu.level());
  pic.master_ports().write(1, 1, 0x00);
  EXPECT_TRUE(cpu.level());
}

TEST_F(Pic, LowerNumberWinsAndNests) {
  initialize();
  pic.set_irq(5, true);
  pic.set_irq(3, true);
  EXPECT_EQ(pic.acknowledge(), 0x0b);
  EXPECT_FALSE(cpu.level());
  pic.set_irq(1, true);
  EXPECT_EQ(pic.acknowledge(), 0x09);
  EXPECT_EQ(master_isr(), 0x0a);
  master(0x20);
  EXPECT_EQ(master_isr(), 0x08) << "a non-specific EOI ends the most important one";
  master(0x63);
  EXPECT_TRUE(cpu.level());
  EXPECT_EQ(pic.acknowledge(), 0x0d);
}

TEST_F(Pic, SlaveRequestsGoThroughTheCascade) {
  initialize();
  pic.set_irq(12, true);
  pic.set_irq(8, true);
  EXPECT_EQ(pic.acknowledge(), 0x70);
  EXPECT_EQ(master_isr(), 0x04);
  EXPECT_EQ(slave_isr(), 0x01);
  slave(0x20);
  EXPECT_FALSE(cpu.level());
  master(0x20);
  EXPECT_TRUE(cpu.level());
  EXPECT_EQ(pic.acknowledge(), 0x74);
}

TEST_F(Pic, SpecialFullyNestedModeLetsTheSlaveInterruptItself) {
  initialize(0x11);
  pic.set_irq(12, true);
  EXPECT_EQ(pic.acknowledge(), 0x74);
  pic.set_irq(8, true);
  EXPECT_TRUE(cpu.level());
  EXPECT_EQ(pic.acknowledge(), 0x70);
}

TEST_F(Pic, LevelInputRequestsWhileItsWireIsActive) {
  initialize();
  pic.elcr_ports().write(1, 1, 0x08);
  pic.set_irq(11, true);
  EXPECT_EQ(pic.acknowledge(), 0x73);
  slave(0x20);
  master(0x20);
  EXPECT_TRUE(cpu.level());
  pic.set_irq(11, false);
  EXPECT_EQ(slave_isr(), 0);
  EXPECT_EQ(pic.acknowledge(), 0x77) << "the request went away: spurious IRQ 15";
  EXPECT_EQ(slave_isr(), 0);
  EXPECT_EQ(master_isr(), 0x04) << "the master does not know";
}

TEST_F(Pic, SystemInputsAreAlwaysEdgeTriggered) {
  pic.elcr_ports().write(0, 1, 0xff);
  pic.elcr_ports().write(1, 1, 0xff);
  EXPECT_EQ(pic.elcr_ports().read(0, 1), 0xf8u);
  EXPECT_EQ(pic.elcr_ports().read(1, 1), 0xdeu);
}

TEST_F(Pic, VanishedMasterRequestIsSpuriousSeven) {
  initialize();
  pic.elcr_ports().write(0, 1, 0x20);
  pic.set_irq(5, true);
  pic.set_irq(5, false);
  EXPECT_FALSE(cpu.level());
  EXPECT_EQ(pic.acknowledge(), 0x0f);
  EXPECT_EQ(master_isr(), 0);
}

TEST_F(Pic, AutoEoiKeepsNothingInService) {
  initialize(0x03);
  pic.set_irq(3, true);
  pic.set_irq(4, true);
  EXPECT_EQ(pic.acknowledge(), 0x0b);
  EXPECT_EQ(master_isr(), 0);
  EXPECT_EQ(pic.acknowledge(), 0x0c);
}

TEST_F(Pic, AutoEoiSlaveSignalsItsSecondRequest) {
  initialize(0x03);
  pic.set_irq(9, true);
  pic.set_irq(10, true);
  EXPECT_EQ(pic.acknowledge(), 0x71);
  EXPECT_TRUE(cpu.level());
  EXPECT_EQ(pic.acknowledge(), 0x72);
  EXPECT_FALSE(cpu.level());
}

TEST_F(Pic, RotationMakesTheServedInputLast) {
  initialize();
  pic.set_irq(3, true);
  EXPECT_EQ(pic.acknowledge(), 0x0b);
  master(0xa0);
  pic.set_irq(3, false);
  pic.set_irq(3, true);
  pic.set_irq(7, true);
  EXPECT_EQ(pic.acknowledge(), 0x0f);
  master(0xe7);
  EXPECT_EQ(pic.acknowledge(), 0x0b);
  master(0x63);
  master(0xc5);  // 6 is now the highest
  pic.set_irq(0, true);
  pic.set_irq(6, true);
  EXPECT_EQ(pic.acknowledge(), 0x0e);
}

TEST_F(Pic, RotateOnAutoEoi) {
  initialize(0x03);
  master(0x80);
  pic.set_irq(1, true);
  EXPECT_EQ(pic.acknowledge(), 0x09);
  pic.set_irq(1, false);
  pic.set_irq(1, true);
  pic.set_irq(6, true);
  EXPECT_EQ(pic.acknowledge(), 0x0e);
}

TEST_F(Pic, SpecialMaskModeLetsLowerPrioritiesIn) {
  initialize();
  pic.set_irq(1, true);
  EXPECT_EQ(pic.acknowledge(), 0x09);
  pic.set_irq(6, true);
  EXPECT_FALSE(cpu.level());
  pic.master_ports().write(1, 1, 0x02);
  master(0x68);
  EXPECT_TRUE(cpu.level());
  EXPECT_EQ(pic.acknowledge(), 0x0e);
  master(0x20);
  EXPECT_EQ(master_isr(), 0x02) << "the masked input stays in service";
}

TEST_F(Pic, PollAcknowledges) {
  initialize();
  master(0x0c);
  EXPECT_EQ(pic.master_ports().read(0, 1), 0u);
  pic.set_irq(6, true);
  master(0x0c);
  EXPECT_EQ(pic.master_ports().read(0, 1), 0x86u);
  EXPECT_FALSE(cpu.level());
  EXPECT_EQ(master_isr(), 0x40);
}

TEST_F(Pic, InitializationForgetsEdgesButNotWires) {
  initialize();
  pic.set_irq(4, true);
  initialize();
  EXPECT_FALSE(cpu.level());
  master(0x0a);
  EXPECT_EQ(pic.master_ports().read(0, 1), 0u);
  pic.set_irq(4, true);
  EXPECT_FALSE(cpu.level()) << "no low-to-high transition since";
}

TEST_F(Pic, RestoredWireMakesNoEdge) {
  initialize();
  pic.restore_irq(4, true);
  pic.resumed();
  EXPECT_FALSE(cpu.level());
  pic.set_irq(4, true);
  EXPECT_FALSE(cpu.level());
}

TEST(IrqFanOut, ReachesBothControllers) {
  RecordingIrq pic;
  RecordingIrq ioapic;
  IrqFanOut board(pic, ioapic);
  board.set_irq(0, true);
  board.set_irq(4, true);
  board.set_irq(20, true);
  EXPECT_TRUE(pic.level(0));
  EXPECT_TRUE(ioapic.level(2));
  EXPECT_FALSE(ioapic.level(0));
  EXPECT_TRUE(pic.level(4));
  EXPECT_TRUE(ioapic.level(4));
  EXPECT_FALSE(pic.level(20));
  EXPECT_TRUE(ioapic.level(20));
  board.set_irq(0, false);
  board.set_irq(2, true);
  EXPECT_FALSE(ioapic.level(2));
}

}  // namespace
}  // namespace emu
