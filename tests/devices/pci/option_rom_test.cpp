// SPDX-License-Identifier: Apache-2.0
#include "devices/pci/option_rom.h"

#include <gtest/gtest.h>

#include "devices/pci/pci_rig.h"

namespace emu {
namespace {

TEST(OptionRom, IsMadeForItsDeviceAndStillSumsUp) {
  std::vector<u8> image(1024, 0);
  image[0] = 0x55;
  image[1] = 0xaa;
  image[0x18] = 0x40;
  const u8 header[] = {'P', 'C', 'I', 'R', 1, 2, 3, 4};
  std::copy(std::begin(header), std::end(header), image.begin() + 0x40);
  OptionRom rom(image, 0x1af4, 0x1000);
  EXPECT_EQ(rom.region().size_bytes(), 2048u);
  PciRig rig;
  rig.memory->add(rom.region(), 0x10000);
  EXPECT_EQ(rig.memory_space.load(0x10044, 4), 0x10001af4u);
  u8 before = 0, after = 0;
  for (std::size_t i = 0; i < image.size(); ++i) {
    before = static_cast<u8>(before + image[i]);
    after = static_cast<u8>(after + rig.memory_space.load(0x10000 + i, 1));
  }
  EXPECT_EQ(before, after);
  rig.memory_space.store(0x10044, 4, 0);
  EXPECT_EQ(rig.memory_space.load(0x10044, 4), 0x10001af4u) << "it is a ROM";
}

TEST(OptionRom, OddImagesStayAsTheyAre) {
  std::vector<u8> image(64, 0);
  image[0] = 0x55;
  image[1] = 0xaa;
  image[0x18] = 0x3f;
  OptionRom rom(image, 1, 2);
  PciRig rig;
  rig.memory->add(rom.region(), 0x10000);
  EXPECT_EQ(rig.memory_space.load(0x1003f, 1), 0u);
}

}  // namespace
}  // namespace emu
