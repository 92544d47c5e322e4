// SPDX-License-Identifier: Apache-2.0
#include "machine/boot/text_screen.h"

#include <algorithm>
#include <array>

#include "base/bits.h"

namespace emu {
namespace {

constexpr u64 kGlyphs = 256, kGlyphRows = 16;
constexpr u64 kColumns = 80, kRows = 25;
constexpr u64 kFontWindow = 0xa0000, kTextWindow = 0xb8000;
constexpr u64 kFontSlotBytes = 32;  // a glyph's place in plane 2
constexpr u16 kBlank = 0x0720;      // a space, grey on black

constexpr u16 kAttribute = 0x3c0, kMisc = 0x3c2, kSequencer = 0x3c4, kDacIndex = 0x3c8,
              kDacData = 0x3c9, kGraphics = 0x3ce, kCrtc = 0x3d4, kStatus = 0x3da;
constexpr u8 kVideoOn = 0x20;

constexpr std::array<u8, 5> kSequencerValues{0x03, 0x00, 0x03, 0x00, 0x02};
constexpr std::array<u8, 25> kCrtcValues{0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00,
                                         0x4f, 0x0d, 0x0e, 0x00, 0x00, 0x00, 0x00, 0x9c, 0x8e,
                                         0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff};
constexpr std::array<u8, 9> kGraphicsValues{0, 0, 0, 0, 0, 0x10, 0x0e, 0x00, 0xff};
constexpr std::array<u8, 21> kAttributeValues{0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14,
                                              0x07, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d,
                                              0x3e, 0x3f, 0x0c, 0x00, 0x0f, 0x08, 0x00};

// Sets indexed registers of one of the VGA's files.
class Registers {
 public:
  explicit Registers(AddressSpace& ports) : ports_(ports) {}
  void set(u16 port, u64 index, u8 value) { ports_.store(port, 2, index | u64{value} << 8); }
  void set_all(u16 port, std::span<const u8> values) {
    for (std::size_t i = 0; i < values.size(); ++i) set(port, i, values[i]);
  }
  void set_attributes() {
    static_cast<void>(ports_.load(kStatus, 1));  // the next write is an index
    for (std::size_t i = 0; i < kAttributeValues.size(); ++i) {
      ports_.store(kAttribute, 1, i);
      ports_.store(kAttribute, 1, kAttributeValues[i]);
    }
    ports_.store(kAttribute, 1, kVideoOn);
  }
  // The EGA's 64 colours: bits 5-0 are the weak and strong red, green and blue.
  void set_palette() {
    ports_.store(kDacIndex, 1, 0);
    for (u32 color = 0; color < 64; ++color) {
      for (const u32 component : {2u, 1u, 0u}) {
        const u32 level = (color >> component & 1) * 2 + (color >> (component + 3) & 1);
        ports_.store(kDacData, 1, level * 21);
      }
    }
  }

 private:
  AddressSpace& ports_;
};

}  // namespace

std::span<const u8> find_text_font(std::span<const u8> video_bios) {
  // The blank of code 0 and the face of code 1; every PC font has them.
  constexpr std::array<u8, 2 * kGlyphRows> kFirstGlyphs{
      0, 0, 0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0, 0, 0, 0,
      0, 0, 0x7e, 0x81, 0xa5, 0x81, 0x81, 0xbd, 0x99, 0x81, 0x81, 0x7e, 0, 0, 0, 0};
  const auto found = std::ranges::search(video_bios, kFirstGlyphs);
  const u64 offset = static_cast<u64>(found.begin() - video_bios.begin());
  if (!range_fits(offset, kGlyphs * kGlyphRows, video_bios.size())) return {};
  return video_bios.subspan(offset, kGlyphs * kGlyphRows);
}

void set_text_mode(AddressSpace& ports, AddressSpace& memory, std::span<const u8> font) {
  Registers registers(ports);
  ports.store(kMisc, 1, 0x67);  // colour ports, 28 MHz
  registers.set_all(kSequencer, kSequencerValues);
  registers.set(kCrtc, 0x11, 0);  // unlocks registers 0 to 7
  registers.set_all(kCrtc, kCrtcValues);
  registers.set_palette();
  // Plane 2 alone, at A0000h, for the font.
  registers.set(kSequencer, 2, 4);
  registers.set(kSequencer, 4, 6);
  registers.set_all(kGraphics, std::array<u8, 9>{0, 0, 0, 0, 2, 0, 4, 0, 0xff});
  for (u64 glyph = 0; glyph < font.size() / kGlyphRows; ++glyph) {
    memory.write(kFontWindow + glyph * kFontSlotBytes,
                 font.subspan(glyph * kGlyphRows, kGlyphRows));
  }
  registers.set_all(kSequencer, kSequencerValues);
  registers.set_all(kGraphics, kGraphicsValues);
  for (u64 cell = 0; cell < kColumns * kRows; ++cell) {
    memory.store(kTextWindow + cell * 2, 2, kBlank);
  }
  registers.set_attributes();
}

void describe_text_mode(std::span<u8> boot_params) {
  constexpr std::size_t kMode = 0x06, kColumnCount = 0x07, kEgaBx = 0x0a, kLines = 0x0e,
                        kIsVga = 0x0f, kPoints = 0x10;
  boot_params[kMode] = 3;
  boot_params[kColumnCount] = kColumns;
  boot_params[kEgaBx] = 3;  // colour, 256 KiB: INT 10h AH=12h BL=10h
  boot_params[kLines] = kRows;
  boot_params[kIsVga] = 1;
  boot_params[kPoints] = kGlyphRows;
}

}  // namespace emu
