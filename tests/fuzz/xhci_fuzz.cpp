// SPDX-License-Identifier: Apache-2.0
// The input is what a guest does to an xHCI with a tablet, a hub and a disk: eight bytes a step, a
// register, a doubleword or a whole block of memory that rings may lead to, and time that passes.
#include "base/log.h"
#include "devices/usb/xhci_rig.h"

namespace emu {
namespace {

class Fuzzed {
 public:
  Fuzzed() {
    rig_.memory(0x3000, 0x2000);
    rig_.memory(0x3008, 64);
    for (u32 i = 1; i < 8; ++i) rig_.memory(0x3100 + 8 * i, 0x4000 + 0x400 * i);
    for (const auto& [at, value] : {std::pair<u64, u32>{0x70, 0x3100},
                                    {0x58, 0x1001},
                                    {0x1028, 1},
                                    {0x1038, 0x2000},
                                    {0x1030, 0x3000},
                                    {0x1034, 0},
                                    {0x40, 5},
                                    {0x440, 0x210},
                                    {0x450, 0x210}})
      rig_.out(at, value);
  }
  void step(const u8* s) {
    const u32 value = u32{s[4]} | u32{s[5]} << 8 | u32{s[6]} << 16 | u32{s[7]} << 24;
    const u64 address = (u64{s[1]} << 8 | s[2]) & 0xfffc;
    switch (s[0] % 10) {
      case 0:
        return rig_.out((u64{s[1]} << 8 | s[2]) % 0x2100 & ~u64{3}, value);
      case 1:
        return static_cast<void>(rig_.in(address % 0x3000));
      case 2:
        return rig_.out(0x2000 + s[1] % 8 * 4u, s[2] % 8);
      case 3:
        clock_.advance(u64{s[1]} * 10'000);
        return rig_.executor.run();
      case 4:
        return rig_.tablet.point(static_cast<u16>(value), s[1], s[2] % 3);
      case 5:  // a block of a ring; type, slot and endpoint sound
        block(0x1000 + s[1] % 64 * 16u, value & 0xfff0,
              (s[2] % 24u) << 10 | (s[3] & 0x3fu) | (value >> 28) << 24 | (value >> 20 & 7) << 16);
        return;
      case 6:  // an input context
        rig_.memory(0x5004, s[1] % 16);
        rig_.memory(0x5020, 1 << 27 | s[2] % 16);
        rig_.memory(0x5024, (s[3] % 4u) << 16);
        rig_.memory(0x5040 + s[1] % 8 * 32u + 4, (value & 0x3ff) << 16 | (value >> 16 & 7) << 3);
        return rig_.memory(0x5040 + s[1] % 8 * 32u + 8, 0x1001);
      case 7:
        return rig_.out(0x40, value % 16 == 0 ? 2 : 5);
      case 8:  // all commands from the start
        rig_.out(0x40, 4);
        rig_.out(0x58, 0x1001);
        rig_.out(0x40, 5);
        return rig_.out(0x2000, 0);
      default:
        return rig_.memory(address, value);
    }
  }

 private:
  void block(u64 at, u32 parameter, u32 control) {
    rig_.memory(at, parameter);
    rig_.memory(at + 4, 0);
    rig_.memory(at + 8, parameter & 0x3ff);
    rig_.memory(at + 12, control | 1);
  }
  FakeClock clock_;
  XhciRig rig_{clock_};
};

}  // namespace
}  // namespace emu

extern "C" int LLVMFuzzerTestOneInput(const emu::u8* data, std::size_t size) {
  emu::set_log_level(emu::LogLevel::kError);
  emu::Fuzzed fuzzed;
  for (std::size_t i = 0; i + 8 <= size && i < 4096; i += 8) fuzzed.step(data + i);
  return 0;
}
