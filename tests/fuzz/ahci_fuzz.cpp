// SPDX-License-Identifier: Apache-2.0
// The input is what a hostile guest does to an AHCI controller: six bytes a step. Command list,
// tables and data lie in a little RAM that the steps scribble over.
#include "base/log.h"
#include "devices/storage/ahci_controller.h"
#include "disk_cards_rig.h"

namespace emu {
namespace {

class Rig : DiskCardsRig {
 public:
  Rig() : ahci_(bus, pci::devfn(3, 0), "ahci") {
    ahci_.attach_disk(0, disk, DriveIdentity{});
    ahci_.reset();
    ahci_.write_config(0x24, 4, kBar);
    ahci_.write_config(4, 2, 6);
    start();
  }
  void step(std::span<const u8> s) {
    const u64 at = u64{s[1]} << 8 | s[2];
    switch (s[0] % 8) {
      case 0:
        return set(at % 0x200 & ~u64{3}, 4, load_le<u32>(&s[2]));
      case 1:
        return space.store(at % kRamBytes, 8, u64{s[3]} << 8 | s[4]);
      case 2:
      case 3:
      case 4:
        return command(s);
      case 5:
        return start();
      case 6:
        return port(ahci::kPxCmd, s[1] % 2 != 0 ? kRunning : 0);
      default:
        return executor.run();
    }
  }
  void finish() {
    executor.run();
    ahci_.reset();
  }

 private:
  static constexpr u64 kList = 0x0, kFises = 0x400, kTables = 0x1000;
  static constexpr u32 kRunning = ahci::kCmdFre | ahci::kCmdStart;
  void port(u32 offset, u32 value) { set(ahci::kPortBase + offset, 4, value); }
  void start() {
    set(ahci::kGhc, 4, ahci::kGhcAhci | ahci::kGhcInterrupts);
    port(ahci::kPxClb, kList);
    port(ahci::kPxFb, kFises);
    port(ahci::kPxIe, ~0u);
    port(ahci::kPxCmd, 0);
    port(ahci::kPxCmd, kRunning);
  }
  // Slot, command code, sector, count, page of the data.
  void command(std::span<const u8> s) {
    const u64 slot = s[1] % 32u;
    const u64 table = kTables + slot * 0x100;
    const u8 fis[16] = {ahci::kFisRegisterToDevice,
                        static_cast<u8>(s[1] < 240 ? 0x80 : 0),
                        s[2],
                        s[4],
                        s[3],
                        s[4] & 7u ? u8{0} : u8{0xff},
                        0,
                        0x40,
                        0,
                        0,
                        0,
                        0,
                        static_cast<u8>(s[1] & 0x20 ? slot << 3 : s[4]),
                        0,
                        0,
                        4};
    space.write(table, fis);
    space.store(table + ahci::kTablePrds, 8, s[5] * 0x100u);
    space.store(table + ahci::kTablePrds + 12, 4, s[4] * 512u + 511);
    space.store(kList + slot * 32, 4, 5u | u32{s[5]} % 3 << 16);
    space.store(kList + slot * 32 + 8, 8, table);
    if ((s[1] & 0x20) != 0) port(ahci::kPxSact, 1u << slot);
    port(ahci::kPxCi, 1u << slot);
  }

  AhciController ahci_;
};

}  // namespace
}  // namespace emu

extern "C" int LLVMFuzzerTestOneInput(const emu::u8* data, std::size_t size) {
  emu::set_log_level(emu::LogLevel::kError);
  emu::Rig rig;
  for (std::size_t i = 0; i + 6 <= size && i < 4096; i += 6) rig.step({data + i, 6});
  rig.finish();
  return 0;
}
