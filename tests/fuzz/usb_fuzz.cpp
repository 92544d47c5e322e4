// SPDX-License-Identifier: Apache-2.0
// The input is what a guest does to a UHCI: eight bytes a step, a register or a doubleword of
// memory that the schedule may lead to, and time that passes.
#include "base/log.h"
#include "devices/usb/uhci_rig.h"

namespace emu {
namespace {

class Fuzzed {
 public:
  Fuzzed() { rig_.out(8, 0x1000); }
  void step(const u8* s) {
    const u32 value = u32{s[4]} | u32{s[5]} << 8 | u32{s[6]} << 16 | u32{s[7]} << 24;
    const u64 address = (u64{s[1]} << 8 | s[2]) & 0xfffc;
    switch (s[0] % 8) {
      case 0:
        return rig_.out(s[1] & 0x1eu, value);
      case 1:
        return static_cast<void>(rig_.in(s[1] & 0x1eu));
      case 2:
        rig_.out(0x10, 1 << 2);
        return rig_.out(0, 1);
      case 3:
        return clock_.advance(u64{s[1]} % 32 * 500'000);
      case 4:
        return rig_.tablet.point(static_cast<u16>(value), s[1], s[2] % 3);
      case 5:  // a transfer that is sound but for its contents
        rig_.memory(0x1000 + (s[1] & 0xfcu), 0x4000 + s[2] % 8 * 16u);
        rig_.memory(0x4004 + s[2] % 8 * 16u, value | 1 << 23);
        return rig_.memory(0x4008 + s[2] % 8 * 16u, value % 3 == 0 ? 0x00e0002du : 0x07e00069u);
      default:
        return rig_.memory(address, value);
    }
  }

 private:
  FakeClock clock_;
  UhciRig rig_{clock_};
};

}  // namespace
}  // namespace emu

extern "C" int LLVMFuzzerTestOneInput(const emu::u8* data, std::size_t size) {
  emu::set_log_level(emu::LogLevel::kError);
  emu::Fuzzed fuzzed;
  for (std::size_t i = 0; i + 8 <= size && i < 4096; i += 8) fuzzed.step(data + i);
  return 0;
}
