// SPDX-License-Identifier: Apache-2.0
#include "devices/chipset/piix3.h"

#include <gtest/gtest.h>

#include "devices/pci/pci_rig.h"
#include "devices/transfer_test.h"

namespace emu {
namespace {

constexpr u8 kIsa = pci::devfn(1, 0), kIde = pci::devfn(1, 1);

struct BridgeRig : PciRig {
  RecordingIrq isa;
  unsigned resets = 0;
  ScratchWindow bus_master;
  Piix3Isa bridge{bus, 1, isa_lines(), [this] { ++resets; }};
  Piix3Ide ide{bus, 1, bus_master};
  PciConfigPorts ports_with_reset{bus, &bridge};

  BridgeRig() {
    bridge.reset();
    ide.reset();
  }
  Piix3Isa::IsaLines isa_lines() {
    Piix3Isa::IsaLines lines;
    for (unsigned i = 0; i < lines.size(); ++i) lines[i] = isa.line(i);
    return lines;
  }
};

TEST(Piix3Isa, Header) {
  BridgeRig rig;
  EXPECT_EQ(rig.read(kIsa, 0), 0x70008086u);
  EXPECT_EQ(rig.read(kIsa, 8), 0x06010000u);
  EXPECT_EQ(rig.read(kIsa, 0x0e, 1), 0x80u) << "multi-function";
}

TEST(Piix3Isa, PirqsFollowTheirRoutes) {
  BridgeRig rig;
  IrqLine c = rig.bus.intx_line(pci::devfn(3, 0), 1);  // PIRQC
  IrqLine d = rig.bus.intx_line(pci::devfn(4, 0), 1);  // PIRQD
  EXPECT_EQ(rig.read(kIsa, 0x60), 0x80808080u);
  c.set(true);
  for (unsigned i = 0; i < 16; ++i) EXPECT_FALSE(rig.isa.level(i)) << "not steered yet";
  rig.write(kIsa, 0x60, 0x0b0b0a0a);
  EXPECT_TRUE(rig.isa.level(11)) << "steering an active PIRQ raises the line";
  EXPECT_EQ(rig.bridge.route(0), 10);
  d.set(true);
  EXPECT_EQ(rig.isa.take_rises(11), 1u) << "both share one line";
  c.set(false);
  EXPECT_TRUE(rig.isa.level(11));
  rig.write(kIsa, 0x63, 0x0a, 1);
  EXPECT_FALSE(rig.isa.level(11));
  EXPECT_TRUE(rig.isa.level(10)) << "moved while active";
  rig.write(kIsa, 0x63, 0x80, 1);
  EXPECT_FALSE(rig.isa.level(10));
  EXPECT_EQ(rig.bridge.route(3), -1);
}

TEST(Piix3Isa, ResetControlIsPortCf9) {
  BridgeRig rig;
  rig.ports_with_reset.write(1, 1, 0x02);
  EXPECT_EQ(rig.resets, 0u);
  EXPECT_EQ(rig.ports_with_reset.read(1, 1), 0x02u);
  rig.ports_with_reset.write(1, 1, 0x06);
  EXPECT_EQ(rig.resets, 1u);
  rig.ports_with_reset.write(0, 4, 0x80000604);
  EXPECT_EQ(rig.resets, 1u) << "a doubleword is the PCI address";
}

TEST(Piix3Isa, LoadRestoresLinesWithoutEdges) {
  BridgeRig from;
  from.write(kIsa, 0x60, 0x0b0b0a0a);
  StateIo out = StateIo::saver();
  from.bridge.transfer(out);
  BridgeRig to;
  StateIo in = StateIo::loader(out.bytes());
  to.bridge.transfer(in);
  ASSERT_TRUE(in.finish());
  to.bus.intx_line(pci::devfn(3, 0), 1).restore(true);  // a card resumes before the bridge
  to.bridge.resumed();
  EXPECT_TRUE(to.isa.level(11));
  EXPECT_EQ(to.isa.take_rises(11), 0u);
}

TEST(Piix3Ide, BusMasterWindowIsBarFour) {
  BridgeRig rig;
  EXPECT_EQ(rig.read(kIde, 0), 0x70108086u);
  EXPECT_EQ(rig.read(kIde, 8), 0x01018000u);
  rig.write(kIde, 0x20, 0xffffffff);
  EXPECT_EQ(rig.read(kIde, 0x20), 0xfffffff1u);
  rig.write(kIde, 0x20, 0xc000);
  rig.write(kIde, 4, 5, 2);
  rig.bus_master.bytes[2] = 0x60;
  EXPECT_EQ(rig.port_space.load(0xc002, 1), 0x60u);
  EXPECT_TRUE(rig.ide.bus_master());
  rig.write(kIde, 0x40, 0x8000, 2);
  EXPECT_EQ(rig.read(kIde, 0x40, 2), 0x8000u);
}

struct IsaTransferRig final : DeviceRig {
  BridgeRig rig;
  Device& device() override { return rig.bridge; }
  std::vector<PciFunction*> functions() override { return {&rig.bridge}; }
  std::vector<RigWindow> windows() override { return {{&rig.bridge, 4, {1, 2, false}}}; }
  void poke(u64 random) override { rig.bridge.set_irq(random & 3, (random & 4) != 0); }
};
struct IdeTransferRig final : DeviceRig {
  BridgeRig rig;
  Device& device() override { return rig.ide; }
  std::vector<PciFunction*> functions() override { return {&rig.ide}; }
};
INSTANTIATE_TEST_SUITE_P(Piix3, TransferTest,
                         testing::Values(device_under_test<IsaTransferRig>("piix3_isa"),
                                         device_under_test<IdeTransferRig>("piix3_ide")),
                         device_under_test_name);

}  // namespace
}  // namespace emu
