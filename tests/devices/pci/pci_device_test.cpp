// SPDX-License-Identifier: Apache-2.0
#include "devices/pci/pci_device.h"

#include <gtest/gtest.h>

#include "devices/pci/pci_rig.h"
#include "devices/transfer_test.h"
#include "memory/guest_ram.h"

namespace emu {
namespace {

using namespace pci;

// A card with one BAR of each kind, eight MSI vectors and three MSI-X vectors.
class Card final : public PciDevice {
 public:
  explicit Card(PciBus& bus, u8 devfn = pci::devfn(3, 0))
      : PciDevice(bus, devfn, "card",
                  {.vendor = 0x1234,
                   .device = 0x5678,
                   .revision = 9,
                   .class_code = 0x020000,
                   .interrupt_pin = 1}) {
    add_bar(0, BarKind::kMemory32, *registers);
    add_bar(1, BarKind::kIo, *io);
    add_bar(2, BarKind::kPrefetchable64, *msix_bar);
    add_rom_bar(*rom);
    add_msix(3, {2, *msix_bar, 0x000, 0x800});
    add_msi(8);
  }
  using PciDevice::messages_enabled;
  using PciDevice::send_message;
  using PciDevice::set_intx;

  ScratchWindow scratch;
  std::unique_ptr<Region> registers = Region::mmio("registers", 0x1000, scratch);
  std::unique_ptr<Region> io = Region::mmio("io", 0x20, scratch);
  std::unique_ptr<Region> msix_bar = Region::container("msix", 0x1000);
  std::unique_ptr<Region> rom = Region::mmio("rom", 0x800, scratch);
};

constexpr u8 kCard = devfn(3, 0);
constexpr u32 kMsix = 0x40, kMsi = 0x4c;

struct CardRig : PciRig {
  Card card{bus};
  CardRig() { card.reset(); }
};

TEST(PciConfig, HeaderShowsIdentity) {
  CardRig rig;
  EXPECT_EQ(rig.read(kCard, kVendorId), 0x56781234u);
  EXPECT_EQ(rig.read(kCard, kRevision), 0x02000009u);
  EXPECT_EQ(rig.read(kCard, kSubsystemVendor), 0x11001af4u);
  EXPECT_EQ(rig.read(kCard, kInterruptPin, 1), 1u);
  EXPECT_EQ(rig.read(kCard, kStatus, 2), kStatusCapabilities);
  rig.write(kCard, kVendorId, 0);
  EXPECT_EQ(rig.read(kCard, kVendorId), 0x56781234u) << "read-only";
}

TEST(PciConfig, MechanismOne) {
  CardRig rig;
  EXPECT_EQ(rig.read(devfn(4, 0), kVendorId), 0xffffffffu) << "nobody there";
  EXPECT_EQ(rig.read(devfn(4, 0), kVendorId, 2), 0xffffu);
  rig.config_ports.write(0, 4, 0x80010000u | u32{kCard} << 8);
  EXPECT_EQ(rig.config_ports.read(4, 4), 0xffffffffu) << "bus 1 does not exist";
  rig.config_ports.write(0, 4, u32{kCard} << 8);
  EXPECT_EQ(rig.config_ports.read(4, 4), 0xffffffffu) << "enable bit off";
  rig.config_ports.write(0, 4, 0xffffffffu);
  EXPECT_EQ(rig.config_ports.read(0, 4), 0x80fffffcu) << "reserved bits read as zero";
  rig.config_ports.write(1, 1, 0);
  EXPECT_EQ(rig.config_ports.read(0, 4), 0x80fffffcu) << "byte writes are not the address port's";
  EXPECT_EQ(rig.config_ports.read(0, 2), 0xffffu);
  EXPECT_EQ(rig.read(kCard, kVendorId + 1, 1), 0x12u);
  EXPECT_EQ(rig.read(kCard, kDeviceId, 2), 0x5678u);
}

TEST(PciConfig, FreeDeviceSkipsUsedOnes) {
  CardRig rig;
  EXPECT_EQ(rig.bus.free_device(2), 2u);
  EXPECT_EQ(rig.bus.free_device(3), 4u);
}

TEST(PciBar, SizingAndMoving) {
  CardRig rig;
  rig.write(kCard, kBar0, 0xffffffff);
  EXPECT_EQ(rig.read(kCard, kBar0), 0xfffff000u);
  rig.write(kCard, kBar0 + 4, 0xffffffff);
  EXPECT_EQ(rig.read(kCard, kBar0 + 4), 0xffffffe1u);
  rig.write(kCard, kBar0 + 8, 0xffffffff);
  rig.write(kCard, kBar0 + 12, 0xffffffff);
  EXPECT_EQ(rig.read(kCard, kBar0 + 8), 0xfffff00cu);
  EXPECT_EQ(rig.read(kCard, kBar0 + 12), 0xffffffffu);
  EXPECT_EQ(rig.read(kCard, kBar0 + 16), 0u) << "no such BAR";

  rig.write(kCard, kBar0, 0xfebf0000);
  EXPECT_FALSE(rig.card.registers->enabled()) << "decoding is off";
  rig.write(kCard, kCommand, kCommandMemory, 2);
  rig.card.scratch.bytes[5] = 0x77;
  EXPECT_EQ(rig.memory_space.load(0xfebf0005, 1), 0x77u);
  rig.write(kCard, kBar0, 0xfebe0000);
  EXPECT_EQ(rig.memory_space.load(0xfebf0005, 1), 0xffu);
  EXPECT_EQ(rig.memory_space.load(0xfebe0005, 1), 0x77u);
  rig.write(kCard, kBar0, 0xffffffff);
  EXPECT_FALSE(rig.card.registers->enabled()) << "sizing does not hide what is there";
  rig.write(kCard, kBar0, 0);
  EXPECT_FALSE(rig.card.registers->enabled());

  rig.write(kCard, kBar0 + 4, 0xc041);
  EXPECT_FALSE(rig.card.io->enabled());
  rig.write(kCard, kCommand, kCommandIo, 2);
  EXPECT_EQ(rig.port_space.load(0xc045, 1), 0x77u);
  EXPECT_EQ(rig.memory_space.load(0xfebe0005, 1), 0xffu) << "memory decoding went off";
}

TEST(PciBar, WideBarLiesAboveFourGiB) {
  CardRig rig;
  rig.write(kCard, kCommand, kCommandMemory, 2);
  rig.write(kCard, kBar0 + 8, 0x00001000);
  rig.write(kCard, kBar0 + 12, 0x00000008);
  EXPECT_TRUE(rig.card.msix_bar->enabled());
  EXPECT_EQ(rig.card.msix_bar->offset(), 0x800001000u);
  rig.write(kCard, kBar0 + 12, 0xffffffff);
  EXPECT_FALSE(rig.card.msix_bar->enabled()) << "outside of the address space";
}

TEST(PciBar, RomNeedsBothEnables) {
  CardRig rig;
  rig.write(kCard, kRomBar, 0xffffffff);
  EXPECT_EQ(rig.read(kCard, kRomBar), 0xfffff801u);
  rig.write(kCard, kRomBar, 0xfe000001);
  EXPECT_FALSE(rig.card.rom->enabled());
  rig.write(kCard, kCommand, kCommandMemory, 2);
  EXPECT_TRUE(rig.card.rom->enabled());
  rig.write(kCard, kRomBar, 0xfe000000);
  EXPECT_FALSE(rig.card.rom->enabled());
}

TEST(PciIntx, FollowsLevelAndDisableBit) {
  CardRig rig;
  constexpr unsigned kPirqC = 2;  // device 3, INTA
  rig.card.set_intx(true);
  EXPECT_TRUE(rig.pirqs.level(kPirqC));
  EXPECT_EQ(rig.read(kCard, kStatus, 2), kStatusCapabilities | kStatusInterrupt);
  EXPECT_EQ(rig.read(kCard, kCommand, 4) >> 16, kStatusCapabilities | kStatusInterrupt);
  EXPECT_EQ(rig.read(kCard, kStatus, 1), kStatusCapabilities | kStatusInterrupt);
  rig.write(kCard, kCommand, kCommandIntxDisable, 2);
  EXPECT_FALSE(rig.pirqs.level(kPirqC));
  EXPECT_EQ(rig.read(kCard, kStatus, 2) & kStatusInterrupt, kStatusInterrupt);
  rig.write(kCard, kCommand, 0, 2);
  EXPECT_TRUE(rig.pirqs.level(kPirqC));
  rig.card.reset();
  EXPECT_FALSE(rig.pirqs.level(kPirqC));
}

TEST(PciIntx, SharedWireIsOred) {
  CardRig rig;
  Card other(rig.bus, devfn(7, 0));  // device 7 INTA is PIRQC as well
  rig.card.set_intx(true);
  other.set_intx(true);
  EXPECT_EQ(rig.pirqs.take_rises(2), 1u);
  rig.card.set_intx(false);
  EXPECT_TRUE(rig.pirqs.level(2));
  other.set_intx(false);
  EXPECT_FALSE(rig.pirqs.level(2));
}

TEST(PciDma, NeedsBusMasteringAndRam) {
  CardRig rig;
  const auto ram = std::move(*GuestRam::create("ram", 4 * kKiB));
  const auto region = Region::ram("ram", *ram, 0, 4 * kKiB);
  rig.memory->add(*region, 0);
  rig.memory_space.store(1, 1, 0x42);
  rig.write(kCard, kBar0, 0xfebf0000);
  rig.write(kCard, kCommand, kCommandMemory, 2);
  u8 byte = 0;
  EXPECT_FALSE(rig.card.dma_read(1, {&byte, 1}));
  EXPECT_EQ(byte, 0xff);
  rig.write(kCard, kCommand, kCommandMemory | kCommandMaster, 2);
  EXPECT_TRUE(rig.card.dma_read(1, {&byte, 1}));
  EXPECT_EQ(byte, 0x42);
  EXPECT_FALSE(rig.card.dma_write(0xfebf0001, {&byte, 1})) << "its own registers";
  EXPECT_EQ(rig.card.scratch.bytes[1], 0);
  rig.memory->remove(*region);
}

TEST(PciCapabilities, ListIsLinked) {
  CardRig rig;
  EXPECT_EQ(rig.read(kCard, kCapabilities, 1), kMsix);
  EXPECT_EQ(rig.read(kCard, kMsix, 2), kMsi << 8 | kCapabilityMsix);
  EXPECT_EQ(rig.read(kCard, kMsi, 2), kCapabilityMsi);
}

TEST(PciMsi, VectorsMaskingAndPending) {
  CardRig rig;
  EXPECT_FALSE(rig.card.send_message(0)) << "not enabled: the card uses its pin";
  rig.write(kCard, kCommand, kCommandMaster, 2);
  EXPECT_EQ(rig.read(kCard, kMsi + 2, 2), 0x0186u) << "8 vectors, 64 bits, maskable";
  rig.write(kCard, kMsi + 4, 0xfee01003);
  rig.write(kCard, kMsi + 8, 0);
  rig.write(kCard, kMsi + 12, 0x4567, 2);
  rig.write(kCard, kMsi + 2, 1 | 2 << 4, 2);  // enabled, four vectors granted
  EXPECT_TRUE(rig.card.send_message(2));
  EXPECT_TRUE(rig.card.send_message(5));
  using Message = RecordingMsi::Message;
  EXPECT_EQ(rig.messages.messages,
            (std::vector<Message>{{0xfee01000, 0x4566}, {0xfee01000, 0x4565}}));
  rig.messages.messages.clear();
  rig.write(kCard, kMsi + 16, 1 << 1);
  rig.card.send_message(1);
  EXPECT_TRUE(rig.messages.messages.empty());
  EXPECT_EQ(rig.read(kCard, kMsi + 20), 1u << 1);
  rig.write(kCard, kMsi + 16, 0);
  EXPECT_EQ(rig.messages.messages, (std::vector<Message>{{0xfee01000, 0x4565}}));
  EXPECT_EQ(rig.read(kCard, kMsi + 20), 0u);
}

TEST(PciMsi, IsABusMasterWrite) {
  CardRig rig;
  rig.write(kCard, kMsi + 4, 0xfee00000);
  rig.write(kCard, kMsi + 2, 1, 2);
  rig.card.send_message(0);
  EXPECT_TRUE(rig.messages.messages.empty());
}

TEST(PciMsix, TableMaskingAndPendingBits) {
  CardRig rig;
  constexpr u64 kBar = 0xfe800000;
  rig.write(kCard, kBar0 + 8, kBar);
  rig.write(kCard, kCommand, kCommandMemory | kCommandMaster, 2);
  EXPECT_EQ(rig.read(kCard, kMsix + 2, 2), 2u) << "three vectors";
  EXPECT_EQ(rig.read(kCard, kMsix + 4), 0x000u | 2);
  EXPECT_EQ(rig.read(kCard, kMsix + 8), 0x800u | 2);
  EXPECT_EQ(rig.memory_space.load(kBar + 12, 4), 1u) << "masked after reset";
  rig.memory_space.store(kBar + 16, 8, 0x1fee02000);
  rig.memory_space.store(kBar + 24, 4, 0x31);
  rig.write(kCard, kMsix + 2, 0x8000, 2);
  EXPECT_TRUE(rig.card.send_message(1));
  EXPECT_TRUE(rig.messages.messages.empty());
  EXPECT_EQ(rig.memory_space.load(kBar + 0x800, 8), 2u);
  rig.memory_space.store(kBar + 28, 4, 0);
  using Message = RecordingMsi::Message;
  EXPECT_EQ(rig.messages.messages, (std::vector<Message>{{0x1fee02000, 0x31}}));
  EXPECT_EQ(rig.memory_space.load(kBar + 0x800, 8), 0u);
  rig.write(kCard, kMsix + 2, 0xc000, 2);  // function mask
  rig.card.send_message(1);
  EXPECT_EQ(rig.messages.messages.size(), 1u);
  rig.write(kCard, kMsix + 2, 0x8000, 2);
  EXPECT_EQ(rig.messages.messages.size(), 2u);
  rig.card.send_message(3);
  EXPECT_EQ(rig.messages.messages.size(), 2u) << "no such vector";
}

TEST(PciDeviceState, LoadedInterruptComesBackWithoutAnEdge) {
  CardRig from;
  from.write(kCard, kBar0, 0xfebf0000);
  from.write(kCard, kCommand, kCommandMemory, 2);
  from.card.set_intx(true);
  StateIo out = StateIo::saver();
  from.card.transfer(out);

  CardRig to;
  StateIo in = StateIo::loader(out.bytes());
  to.card.transfer(in);
  ASSERT_TRUE(in.finish());
  EXPECT_FALSE(to.card.registers->enabled()) << "wires move when the device resumes";
  to.card.resumed();
  EXPECT_EQ(to.card.registers->offset(), 0xfebf0000u);
  EXPECT_TRUE(to.card.registers->enabled());
  EXPECT_TRUE(to.pirqs.level(2));
  EXPECT_EQ(to.pirqs.take_rises(2), 0u);
}

struct TransferRig final : DeviceRig {
  CardRig rig;
  Device& device() override { return rig.card; }
  std::vector<PciFunction*> functions() override { return {&rig.card}; }
  void poke(u64 random) override {
    rig.card.set_intx((random & 1) != 0);
    rig.card.send_message(static_cast<unsigned>(random >> 8 & 7));
  }
};
struct PortsRig final : DeviceRig {
  CardRig rig;
  Device& device() override { return rig.config_ports; }
  std::vector<RigWindow> windows() override {
    return {{&rig.config_ports, PciConfigPorts::kWindowBytes, {1, 4, false}}};
  }
};
INSTANTIATE_TEST_SUITE_P(Pci, TransferTest,
                         testing::Values(device_under_test<TransferRig>("card"),
                                         device_under_test<PortsRig>("config_ports")),
                         device_under_test_name);

}  // namespace
}  // namespace emu
