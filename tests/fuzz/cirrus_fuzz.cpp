// SPDX-License-Identifier: Apache-2.0
// The input is what a guest does to a Cirrus GD5446: eight bytes a step, any register by port or in
// memory, blits, video memory through both windows, and now and then somebody who looks.
#include "base/check.h"
#include "base/log.h"
#include "devices/video/cirrus_rig.h"

namespace emu {
namespace {

class Fuzzed {
 public:
  Fuzzed() { rig_.mode(0, 640); }
  void step(const u8* s) {
    const u32 value = u32{s[4]} | u32{s[5]} << 8 | u32{s[6]} << 16 | u32{s[7]} << 24;
    const u64 place = u64{s[1]} << 16 | u64{s[2]} << 8 | s[3];
    const unsigned size = 1u << (s[3] & 3);
    switch (s[0] % 12) {
      case 0:
        return rig_.port_space.store(0x3b0 + place % 0x30, 1, value & 0xff);
      case 1:
        return rig_.sr(s[1], s[2]);
      case 2:
        return rig_.gr(s[1] % 64, s[2]);
      case 3:
        return rig_.cr(s[1] % 64, s[2]);
      case 4:  // a blit of a small size, anywhere
        return rig_.blit({1u + s[1], 1u + s[2] % 32, value & 0x1fff, value >> 8 & 0x1fff,
                          value ^ 0x3fffff, value >> 4, s[3], s[4], s[5]});
      case 5:
        return rig_.memory_space.store(CirrusRig::kMmio + place % 4096, size, value);
      case 6:
        static_cast<void>(rig_.memory_space.load(CirrusRig::kMmio + place % 4096, size));
        return static_cast<void>(rig_.in(static_cast<u16>(0x3b0 + s[1] % 0x30)));
      case 7:
        return rig_.memory_space.store(CirrusRig::kLinear + (value & 0x1ffffff), size, place);
      case 8:
        static_cast<void>(rig_.memory_space.load(CirrusRig::kLinear + (value & 0x1ffffff), size));
        return static_cast<void>(
            rig_.memory_space.load(CirrusRig::kWindow + place % 0x20000, size));
      case 9:
        return look();
      case 10:
        rig_.mode(s[1] & 0x0e, 640u * (1 + s[2] % 4));
        return rig_.hidden_dac(s[3]);
      default:
        return rig_.memory_space.store(CirrusRig::kWindow + place % 0x20000, size, value);
    }
  }

 private:
  void look() {
    static_cast<void>(rig_.card->text(screen_));
    static_cast<void>(rig_.card->render(frame_));
    EMU_CHECK(frame_.pixels.size() == std::size_t{frame_.width} * frame_.height);
  }

  FakeClock clock_;
  CirrusRig rig_{clock_};
  Frame frame_;
  TextScreen screen_;
};

}  // namespace
}  // namespace emu

extern "C" int LLVMFuzzerTestOneInput(const emu::u8* data, std::size_t size) {
  emu::set_log_level(emu::LogLevel::kError);
  emu::Fuzzed fuzzed;
  for (std::size_t i = 0; i + 8 <= size && i < 1024; i += 8) fuzzed.step(data + i);
  return 0;
}
