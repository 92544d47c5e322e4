// SPDX-License-Identifier: Apache-2.0
// A PCI bus with 1 MiB of RAM at address 0, for cards that master it.
#pragma once

#include <vector>

#include "base/bits.h"
#include "base/vm_time.h"
#include "devices/pci/pci_rig.h"
#include "devices/pci/pci_spec.h"
#include "memory/guest_ram.h"
#include "net/memory_net.h"

namespace emu {

struct NetworkRig : PciRig {
  static constexpr u64 kRamBytes = kMiB;
  std::unique_ptr<GuestRam> ram = std::move(*GuestRam::create("ram", kRamBytes));
  std::unique_ptr<Region> ram_region = Region::ram("ram", *ram, 0, kRamBytes);
  MemoryNet net;
  FakeClock clock;

  NetworkRig() { memory->add(*ram_region, 0); }
  // Lets the card at `devfn` decode and master.
  void enable(u8 devfn) { write(devfn, pci::kCommand, 7, 2); }
  void poke(u64 address, std::span<const u8> bytes) { memory_space.write(address, bytes); }
  [[nodiscard]] std::vector<u8> peek(u64 address, std::size_t bytes) {
    std::vector<u8> out(bytes);
    memory_space.read(address, out);
    return out;
  }
};

inline constexpr std::array<u8, 6> kTestMac{0x52, 0x54, 0x00, 0x12, 0x34, 0x56};

// A frame to `to` whose bytes count up.
inline std::vector<u8> test_frame(std::size_t bytes, std::array<u8, 6> to = kTestMac) {
  std::vector<u8> frame(bytes);
  for (std::size_t i = 0; i < bytes; ++i) frame[i] = static_cast<u8>(i);
  std::copy(to.begin(), to.end(), frame.begin());
  frame[12] = 0x88;
  frame[13] = 0xb5;  // local experimental
  return frame;
}

}  // namespace emu
