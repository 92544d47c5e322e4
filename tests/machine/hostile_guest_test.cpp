// SPDX-License-Identifier: Apache-2.0
// What a guest can do to the board: every port and every device page in any width with any value,
// and the APIC's registers. The machine must survive, and be as new after a reset.
#include <gtest/gtest.h>

#include <random>

#include "machine/pc_layout.h"
#include "rom_guest.h"

namespace emu {
namespace {

constexpr unsigned kSizes[] = {1, 2, 4};

TEST(HostileGuest, EveryPortTakesEveryWidth) {
  RomMachine m(RomGuest().exit(3).halt());
  Processor& processor = *m.machine->pc().processors()[0];
  std::mt19937 random(1);
  for (const u32 value : {0u, 0xffffffffu, 0x5a5a5a5au, 0xa5a5a5a5u}) {
    for (u32 port = 0; port < 0x10000; ++port) {
      const unsigned size = kSizes[random() % 3];
      processor.write_port(static_cast<u16>(port), size, value ^ (value == 0 ? 0 : random() % 8));
      static_cast<void>(processor.read_port(static_cast<u16>(port), size));
    }
  }
  for (unsigned i = 0; i < 300'000; ++i) {
    const auto port = static_cast<u16>(random() % 4 == 0 ? random() : random() % 0x800);
    processor.write_port(port, kSizes[random() % 3], static_cast<u32>(random()));
  }
  ASSERT_TRUE(m.machine->return_to_reset());
}

TEST(HostileGuest, EveryDevicePageTakesEveryWidth) {
  RomMachine m(RomGuest().exit(3).halt());
  Processor& processor = *m.machine->pc().processors()[0];
  std::mt19937 random(2);
  constexpr u64 kPages[] = {kVgaHoleBase, kPamBase,    kBiosShadowBase, kPciConfiguredBase,
                            kIoApicBase,  kHpetBase,   kLocalApicBase,  kPciHoleBase,
                            0xfed40000,   0xffff'f000, 0xfffff'f000,    u64{1} << 45};
  for (const u64 page : kPages) {
    for (unsigned i = 0; i < 20'000; ++i) {
      const PhysAddr at{page + random() % kPageBytes};
      const unsigned size = 1 + static_cast<unsigned>(random() % 8);
      const u64 value = random() % 4 == 0 ? random() % 256 : u64{random()} << 32 | random();
      processor.write_mmio(at, size, value);
      static_cast<void>(processor.read_mmio(at, size));
    }
  }
  ASSERT_TRUE(m.machine->return_to_reset());
}

TEST(HostileGuest, ApicMsrsTakeAnything) {
  RomMachine m(RomGuest().exit(3).halt());
  Processor& processor = *m.machine->pc().processors()[0];
  std::mt19937 random(3);
  for (unsigned i = 0; i < 200'000; ++i) {
    const u32 index = random() % 8 == 0 ? (random() % 2 == 0 ? 0x1bu : 0x6e0u)
                                        : 0x800u + static_cast<u32>(random() % 0x100);
    const u64 value = random() % 2 == 0 ? random() % 0x100000 : u64{random()} << 32 | random();
    static_cast<void>(processor.write_msr(index, value));
    static_cast<void>(processor.read_msr(index));
  }
  ASSERT_TRUE(m.machine->return_to_reset());
}

// Software that clears the window of a switched-off APIC must not send itself interrupts.
TEST(HostileGuest, TheWindowOfADisabledApicIsEmpty) {
  RomMachine m(RomGuest().exit(3).halt());
  Processor& processor = *m.machine->pc().processors()[0];
  ASSERT_TRUE(processor.write_msr(0x1b, 0xfee00d00));  // x2APIC mode: no window
  processor.write_mmio(PhysAddr{0xfee00000}, 4, 0x41);
  EXPECT_EQ(processor.read_mmio(PhysAddr{0xfee00030}, 4), 0xffffffffu);
  EXPECT_FALSE(processor.acknowledge_interrupt().has_value());
}

}  // namespace
}  // namespace emu
