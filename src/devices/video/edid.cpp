// SPDX-License-Identifier: Apache-2.0
#include "devices/video/edid.h"

#include <algorithm>
#include <string_view>

namespace emu {
namespace {

// Offsets in the block, and in its 18-byte descriptors.
constexpr std::size_t kStandardTimings = 38;
constexpr std::size_t kDescriptors = 54;
constexpr std::size_t kDescriptorBytes = 18;
constexpr std::size_t kChecksum = 127;

// sRGB primaries and white point, as ten-bit fractions (table 3.12).
constexpr std::array<u8, 10> kSrgb{0xEE, 0x91, 0xA3, 0x54, 0x4C, 0x99, 0x26, 0x0F, 0x50, 0x54};

// Horizontal pixels / 8 - 31, then the aspect ratio in bits 7-6 (section 3.9): 1280x800,
// 1280x1024, 1440x900, 1600x1200, 1680x1050, 1920x1080, 1024x768, 1280x960.
constexpr std::array<u8, 16> kStandard{129, 0x00, 129, 0x80, 149, 0x00, 169, 0x40,
                                       179, 0x00, 209, 0xC0, 97,  0x40, 129, 0x40};

// A detailed timing (section 3.10.2) with CVT reduced blanking.
void put_detailed_timing(u8* at, u32 width, u32 height) {
  constexpr u32 kHBlank = 160, kHSyncOffset = 48, kHSync = 32;
  constexpr u32 kVSyncOffset = 3, kVSync = 6;
  const u32 v_blank = std::max(23u, height * 3 / 100);
  const u32 clock = (width + kHBlank) * (height + v_blank) / 10'000 * 60;  // in 10 kHz
  const u32 clock_field = std::min(clock, 0xFFFFu);
  const u32 width_mm = width * 254 / 960;  // 96 dots an inch
  const u32 height_mm = height * 254 / 960;
  const std::array<u32, kDescriptorBytes> bytes{
      clock_field,
      clock_field >> 8,
      width,
      kHBlank,
      (width >> 8) << 4 | kHBlank >> 8,
      height,
      v_blank,
      (height >> 8) << 4 | v_blank >> 8,
      kHSyncOffset,
      kHSync,
      (kVSyncOffset & 15) << 4 | (kVSync & 15),
      0,
      width_mm,
      height_mm,
      (width_mm >> 8) << 4 | height_mm >> 8,
      0,
      0,
      0x1A,  // digital separate sync, positive horizontal
  };
  std::transform(bytes.begin(), bytes.end(), at, [](u32 b) { return static_cast<u8>(b); });
}

// A display descriptor with text (section 3.10.3), ended by a line feed and padded by spaces.
void put_text(u8* at, u8 tag, std::string_view text) {
  at[3] = tag;
  std::fill_n(at + 5, 13, u8{' '});
  std::copy(text.begin(), text.end(), at + 5);
  at[5 + text.size()] = '\n';
}

// Display range limits (section 3.10.3.3): 50-125 Hz, 30-160 kHz, 650 MHz.
void put_range_limits(u8* at) {
  constexpr std::array<u8, 11> kLimits{50, 125, 30, 160, 65, 0x01, '\n', ' ', ' ', ' ', ' '};
  at[3] = 0xFD;
  std::copy(kLimits.begin(), kLimits.end(), at + 5);
}

}  // namespace

std::array<u8, 128> make_edid(u32 width, u32 height) {
  width = std::clamp(width, 64u, 4095u);
  height = std::clamp(height, 64u, 4095u);
  std::array<u8, 128> block{};
  std::fill_n(block.begin() + 1, 6, u8{0xFF});
  constexpr u16 kMaker = ('E' - '@') << 10 | ('M' - '@') << 5 | ('U' - '@');
  block[8] = kMaker >> 8;
  block[9] = kMaker & 0xFF;
  block[10] = 1;            // product
  block[16] = 1;            // week
  block[17] = 2026 - 1990;  // year
  block[18] = 1;            // EDID 1.4
  block[19] = 4;
  block[20] = 0xA5;                                 // digital, 8 bits a colour, DisplayPort
  block[21] = static_cast<u8>(width * 254 / 9600);  // centimetres
  block[22] = static_cast<u8>(height * 254 / 9600);
  block[23] = 120;   // gamma 2.2
  block[24] = 0x06;  // sRGB, preferred timing is native
  std::copy(kSrgb.begin(), kSrgb.end(), block.begin() + 25);
  block[35] = 0x21;  // 640x480 and 800x600 at 60 Hz
  block[36] = 0x08;  // 1024x768 at 60 Hz
  std::copy(kStandard.begin(), kStandard.end(), block.begin() + kStandardTimings);
  u8* descriptor = &block[kDescriptors];
  put_detailed_timing(descriptor, width, height);
  put_range_limits(descriptor + kDescriptorBytes);
  put_text(descriptor + 2 * kDescriptorBytes, 0xFC, "emu Monitor");
  put_text(descriptor + 3 * kDescriptorBytes, 0xFE, "emu");
  u8 sum = 0;
  for (std::size_t i = 0; i < kChecksum; ++i) sum = static_cast<u8>(sum + block[i]);
  block[kChecksum] = static_cast<u8>(-sum);
  return block;
}

}  // namespace emu
