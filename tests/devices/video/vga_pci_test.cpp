// SPDX-License-Identifier: Apache-2.0
// The VGA as a PCI card, and its round trip through a snapshot.
#include "devices/video/vga_pci.h"

#include <gtest/gtest.h>

#include "devices/pci/pci_rig.h"
#include "devices/transfer_test.h"

namespace emu {
namespace {

constexpr u8 kCard = pci::devfn(2, 0);

// The card, placed where the machine places it.
struct CardRig : PciRig {
  explicit CardRig(const Clock& clock) {
    auto made = VgaPci::create(bus, clock, {.devfn = kCard, .vram_bytes = 512 * kKiB, .rom = rom});
    EXPECT_TRUE(made);
    card = std::move(*made);
    memory->add(card->vga().window(), 0xA0000);
    ports->add(card->vga().ports(), 0x3B0);
    ports->add(card->vga().vbe_ports(), 0x1CE);
    card->reset();
  }
  std::vector<u8> rom = std::vector<u8>(39 * 1024, 0x55);
  std::unique_ptr<VgaPci> card;
};

TEST(VgaPci, IsWhatDriversLookFor) {
  FakeClock clock;
  CardRig rig(clock);
  EXPECT_EQ(rig.read(kCard, 0x00), 0x11111234u);
  EXPECT_EQ(rig.read(kCard, 0x08), 0x03000002u);
  rig.write(kCard, 0x10, 0xFFFFFFFF);
  EXPECT_EQ(rig.read(kCard, 0x10), 0xFFF80008u) << "512 KiB, prefetchable";
  rig.write(kCard, 0x18, 0xFFFFFFFF);
  EXPECT_EQ(rig.read(kCard, 0x18), 0xFFFFF000u);
  rig.write(kCard, 0x30, 0xFFFFFFFF);
  EXPECT_EQ(rig.read(kCard, 0x30), 0xFFFF0001u) << "39 KiB of ROM in 64";
}

TEST(VgaPci, BarsShowFrameBufferRegistersAndRom) {
  FakeClock clock;
  CardRig rig(clock);
  rig.write(kCard, 0x10, 0xE0000000);
  rig.write(kCard, 0x18, 0xF0000000);
  rig.write(kCard, 0x30, 0xF1000001);
  rig.write(kCard, 0x04, 2, 2);
  EXPECT_EQ(rig.memory_space.load(0xF0000500, 2), 0xB0C5u);
  EXPECT_EQ(rig.memory_space.load(0xF1000000, 2), 0x5555u);
  rig.memory_space.store(0xE0000010, 4, 0x12345678);
  EXPECT_EQ(rig.memory_space.view()->find(0xE0000000)->ram, &rig.card->vram());
}

TEST(VgaPci, RefusesOddMemorySizes) {
  FakeClock clock;
  PciRig rig;
  const auto made = VgaPci::create(rig.bus, clock, {.vram_bytes = 3 * kMiB, .rom = {}});
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().message.find("power of two"), std::string::npos);
}

// Forwards a window's accesses into an address space.
class SpaceWindow final : public IoHandler {
 public:
  SpaceWindow(AddressSpace& space, u64 base) : space_(space), base_(base) {}
  u64 read(u64 offset, unsigned size) override { return space_.load(base_ + offset, size); }
  void write(u64 offset, unsigned size, u64 value) override {
    space_.store(base_ + offset, size, value);
  }

 private:
  AddressSpace& space_;
  u64 base_;
};

struct VgaRig final : DeviceRig {
  CardRig rig{clock};
  SpaceWindow ports{rig.port_space, 0x3C0};
  SpaceWindow vbe{rig.port_space, 0x1CE};
  SpaceWindow memory{rig.memory_space, 0xA0000};
  Frame frame;

  Device& device() override { return *rig.card; }
  std::vector<RigWindow> windows() override {
    return {{&ports, 0x20}, {&vbe, 4, {1, 2, true}}, {&memory, 0x20000, {1, 8, true}}};
  }
  std::vector<PciFunction*> functions() override { return {rig.card.get()}; }
  void poke(u64) override { rig.card->vga().render(frame); }
};

INSTANTIATE_TEST_SUITE_P(Vga, TransferTest, testing::Values(device_under_test<VgaRig>("vga")),
                         device_under_test_name);

}  // namespace
}  // namespace emu
