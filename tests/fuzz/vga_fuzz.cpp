// SPDX-License-Identifier: Apache-2.0
// The input is what a guest does to a VGA: eight bytes a step, any register by port or in memory,
// video memory through the window, and now and then somebody who looks at the picture.
#include "base/check.h"
#include "base/log.h"
#include "devices/video/vga.h"

namespace emu {
namespace {

constexpr u64 kVramBytes = 512 * kKiB;
constexpr u64 kMostPixels = u64{1} << 20;  // larger pictures are drawn seldom: they take long

class Fuzzed {
 public:
  Fuzzed() {
    memory_->add(vga_.window(), 0xA0000);
    memory_->add(vga_.framebuffer(), 0x100000);
    memory_->add(vga_.mmio(), 0x200000);
    ports_->add(vga_.ports(), 0x3B0);
    ports_->add(vga_.vbe_ports(), 0x1CE);
    vga_.reset();
  }
  void step(const u8* s) {
    const u32 value = u32{s[4]} | u32{s[5]} << 8 | u32{s[6]} << 16 | u32{s[7]} << 24;
    const u64 place = u64{s[1]} << 16 | u64{s[2]} << 8 | s[3];
    const unsigned size = 1u << (s[3] & 3);
    switch (s[0] % 12) {
      case 0:
        return port_space_.store(0x3B0 + place % 0x30, 1, value & 0xFF);
      case 1:  // an indexed register of the sequencer, the CRT or the graphics controller
        port_space_.store(kIndexPorts[s[1] % 3], 1, s[2] % 32);
        return port_space_.store(kIndexPorts[s[1] % 3] + 1, 1, s[3]);
      case 2:
        static_cast<void>(port_space_.load(0x3DA, 1));
        port_space_.store(0x3C0, 1, s[1] % 64);
        return port_space_.store(0x3C0, 1, s[2]);
      case 3:
        port_space_.store(0x1CE, 2, s[1] % 12);
        return port_space_.store(0x1CF, 2, value & 0xFFFF);
      case 4:
        static_cast<void>(port_space_.load(0x3B0 + place % 0x30, 1));
        return static_cast<void>(port_space_.load(0x1CE + place % 4, 1));
      case 5:
        return memory_space_.store(0x200000 + place % 4096, size, value);
      case 6:
        return static_cast<void>(memory_space_.load(0x200000 + place % 4096, size));
      case 7:
        return memory_space_.store(0x100000 + place % kVramBytes, size, value);
      case 8:
        return clock_.advance(u64{s[1]} * 10'000'000);
      case 9:
        return look();
      case 10:
        return static_cast<void>(memory_space_.load(0xA0000 + place % 0x20000, size));
      default:
        return memory_space_.store(0xA0000 + place % 0x20000, size, value);
    }
  }

 private:
  static constexpr std::array<u64, 3> kIndexPorts{0x3C4, 0x3D4, 0x3CE};

  void look() {
    static_cast<void>(vga_.text(screen_));
    EMU_CHECK(screen_.cells.size() == std::size_t{screen_.columns} * screen_.rows);
    if (u64{frame_.width} * frame_.height > kMostPixels && ++skipped_ % 16 != 0) return;
    static_cast<void>(vga_.render(frame_));
    EMU_CHECK(frame_.pixels.size() == std::size_t{frame_.width} * frame_.height);
    EMU_CHECK(frame_.changed_top <= frame_.changed_bottom &&
              frame_.changed_bottom <= frame_.height);
  }

  static std::unique_ptr<GuestRam> make_ram() {
    auto ram = GuestRam::create("vram", kVramBytes);
    EMU_CHECK(ram);
    return std::move(*ram);
  }

  FakeClock clock_;
  std::unique_ptr<GuestRam> vram_ = make_ram();
  Vga vga_{clock_, *vram_};
  std::unique_ptr<Region> memory_ = Region::container("memory", u64{1} << 32);
  std::unique_ptr<Region> ports_ = Region::container("ports", 0x10000);
  AddressSpace memory_space_{*memory_};
  AddressSpace port_space_{*ports_};
  Frame frame_;
  TextScreen screen_;
  unsigned skipped_ = 0;
};

}  // namespace
}  // namespace emu

extern "C" int LLVMFuzzerTestOneInput(const emu::u8* data, std::size_t size) {
  emu::set_log_level(emu::LogLevel::kError);
  emu::Fuzzed fuzzed;
  for (std::size_t i = 0; i + 8 <= size && i < 4096; i += 8) fuzzed.step(data + i);
  return 0;
}
