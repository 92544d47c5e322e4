// SPDX-License-Identifier: Apache-2.0
#include "devices/chipset/piix4_pm.h"

#include <gtest/gtest.h>

#include "devices/pci/pci_rig.h"
#include "devices/transfer_test.h"

namespace emu {
namespace {

constexpr u8 kPm = pci::devfn(1, 3);

struct PmRig : PciRig {
  ScratchWindow registers;
  std::string events;
  Piix4Pm pm{bus,
             1,
             {registers,
              {1, 4, false},
              [this](u8 command) { events += fmt::format("apm:{:02x} ", command); },
              [this] { events += "smi "; }}};
  PmRig() { pm.reset(); }
};

TEST(Piix4Pm, Header) {
  PmRig rig;
  EXPECT_EQ(rig.read(kPm, 0), 0x71138086u);
  EXPECT_EQ(rig.read(kPm, 8), 0x06800003u);
  EXPECT_EQ(rig.read(kPm, 0x2c), 0x11001af4u);
  EXPECT_EQ(rig.read(kPm, 0x3d, 1), 1u);
}

TEST(Piix4Pm, FirmwarePlacesTheAcpiRegisters) {
  PmRig rig;
  EXPECT_EQ(rig.read(kPm, 0x40), 1u);
  rig.write(kPm, 0x40, 0x601);
  EXPECT_EQ(rig.read(kPm, 0x40), 0x601u);
  EXPECT_EQ(rig.pm.pm_base(), 0u) << "not decoded yet";
  rig.registers.bytes[4] = 0x5a;
  EXPECT_EQ(rig.port_space.load(0x604, 1), 0xffu);
  rig.write(kPm, 0x80, 1, 1);
  EXPECT_EQ(rig.pm.pm_base(), 0x600u);
  EXPECT_EQ(rig.port_space.load(0x604, 1), 0x5au);
  rig.write(kPm, 0x40, 0xb001);
  EXPECT_EQ(rig.port_space.load(0x604, 1), 0xffu);
  EXPECT_EQ(rig.port_space.load(0xb004, 1), 0x5au);
  rig.pm.reset();
  EXPECT_EQ(rig.port_space.load(0xb004, 1), 0xffu);
}

TEST(Piix4Pm, SmbusWithoutSlaves) {
  PmRig rig;
  rig.write(kPm, 0x90, 0x701);
  rig.write(kPm, 0xd2, 0x09, 1);
  EXPECT_EQ(rig.port_space.load(0x700, 1), 0u);
  rig.port_space.store(0x704, 1, 0xa1);
  rig.port_space.store(0x702, 1, 0x48);
  EXPECT_EQ(rig.port_space.load(0x704, 1), 0xa1u);
  EXPECT_EQ(rig.port_space.load(0x702, 1), 0x08u) << "START reads as zero";
  EXPECT_EQ(rig.port_space.load(0x700, 1), 0x04u) << "device error";
  rig.port_space.store(0x700, 1, 0x04);
  EXPECT_EQ(rig.port_space.load(0x700, 1), 0u);
}

TEST(Piix4Pm, ApmControlRaisesSmiOnceEnabled) {
  PmRig rig;
  rig.pm.apm_ports().write(1, 1, 0x01);
  rig.pm.apm_ports().write(0, 1, 0xf1);
  EXPECT_EQ(std::exchange(rig.events, ""), "apm:f1 ");
  rig.write(kPm, 0x58, 1u << 25);
  rig.pm.apm_ports().write(0, 1, 0xb5);
  EXPECT_EQ(rig.events, "apm:b5 smi ");
  EXPECT_EQ(rig.pm.apm_ports().read(0, 1), 0xb5u);
  EXPECT_EQ(rig.pm.apm_ports().read(1, 1), 0x01u);
}

struct TransferRig final : DeviceRig {
  PmRig rig;
  Device& device() override { return rig.pm; }
  std::vector<PciFunction*> functions() override { return {&rig.pm}; }
  std::vector<RigWindow> windows() override { return {{&rig.pm.apm_ports(), 2}}; }
  void poke(u64 random) override {
    rig.write(kPm, 0x90, 0x701);
    rig.write(kPm, 0xd2, 1, 1);
    rig.port_space.store(0x700 + (random & 15), 1, random >> 8);
  }
};
INSTANTIATE_TEST_SUITE_P(Piix4Pm, TransferTest,
                         testing::Values(device_under_test<TransferRig>("piix4_pm")),
                         device_under_test_name);

}  // namespace
}  // namespace emu
