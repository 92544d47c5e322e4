// SPDX-License-Identifier: Apache-2.0
#include "devices/chipset/i440fx.h"

#include <gtest/gtest.h>

#include "devices/pci/pci_rig.h"
#include "devices/transfer_test.h"

namespace emu {
namespace {

class RecordingMap final : public HostBridgeMap {
 public:
  void set_pam(unsigned index, bool read_enable, bool write_enable) override {
    pam[index] = (read_enable ? "r" : "-") + std::string(write_enable ? "w" : "-");
    ++changes;
  }
  void set_smram(const SmramControl& control) override { smram = control; }
  std::array<std::string, kPamCount> pam;
  SmramControl smram;
  unsigned changes = 0;
};

struct BridgeRig : PciRig {
  RecordingMap map;
  I440fx bridge{bus, map};
  BridgeRig() { bridge.reset(); }
};

TEST(I440fx, IsTheBridgeThatFirmwareLooksFor) {
  BridgeRig rig;
  EXPECT_EQ(rig.read(0, 0), 0x12378086u);
  EXPECT_EQ(rig.read(0, 8), 0x06000002u);
  EXPECT_EQ(rig.read(0, 0x2c), 0x11001af4u);
}

TEST(I440fx, PamOpensSegments) {
  BridgeRig rig;
  for (const std::string& segment : rig.map.pam) EXPECT_EQ(segment, "--");
  rig.map.changes = 0;
  rig.write(0, 0x59, 0x30, 1);
  EXPECT_EQ(rig.map.pam[0], "rw");
  rig.write(0, 0x5a, 0x12, 1);
  EXPECT_EQ(rig.map.pam[1], "-w") << "C0000h";
  EXPECT_EQ(rig.map.pam[2], "r-") << "C4000h";
  rig.write(0, 0x5c, 0x30001133, 4);
  EXPECT_EQ(rig.map.pam[5], "rw") << "D0000h";
  EXPECT_EQ(rig.map.pam[7], "r-") << "D8000h";
  EXPECT_EQ(rig.map.pam[12], "rw") << "EC000h";
  EXPECT_EQ(rig.map.changes, 8u) << "only what changed is told";
  rig.bridge.reset();
  for (const std::string& segment : rig.map.pam) EXPECT_EQ(segment, "--");
}

TEST(I440fx, PamSegmentsTileTheFirstMiB) {
  EXPECT_EQ(HostBridgeMap::pam_segment(0).start, 0xf0000u);
  EXPECT_EQ(HostBridgeMap::pam_segment(1).start, 0xc0000u);
  EXPECT_EQ(HostBridgeMap::pam_segment(12).start + HostBridgeMap::pam_segment(12).size_bytes,
            0xf0000u);
}

TEST(I440fx, SmramOpensClosesAndLocks) {
  BridgeRig rig;
  EXPECT_EQ(rig.read(0, 0x72, 1), 0x02u);
  EXPECT_EQ(rig.map.smram, SmramControl{});
  rig.write(0, 0x72, 0x4a, 1);
  EXPECT_EQ(rig.map.smram, (SmramControl{.enabled = true, .open = true}));
  rig.write(0, 0x72, 0x0a, 1);
  EXPECT_EQ(rig.map.smram, (SmramControl{.enabled = true}));
  rig.write(0, 0x72, 0x5a, 1);
  EXPECT_EQ(rig.read(0, 0x72, 1), 0x1au) << "locking closes";
  rig.write(0, 0x72, 0x40, 1);
  EXPECT_EQ(rig.map.smram, (SmramControl{.enabled = true, .locked = true}));
  rig.bridge.reset();
  EXPECT_EQ(rig.map.smram, SmramControl{});
}

struct TransferRig final : DeviceRig {
  BridgeRig rig;
  Device& device() override { return rig.bridge; }
  std::vector<PciFunction*> functions() override { return {&rig.bridge}; }
};
INSTANTIATE_TEST_SUITE_P(I440fx, TransferTest,
                         testing::Values(device_under_test<TransferRig>("i440fx")),
                         device_under_test_name);

}  // namespace
}  // namespace emu
