// SPDX-License-Identifier: Apache-2.0
// Draws the VGA's picture, and only the rows that changed since a frame was last drawn.
// How: every row remembers in which update it last changed. Text is compared with the cells last
// shown; graphics asks video memory which pages were written.
// Threads: the machine lock is held by every caller. Guests write video memory meanwhile; a page's
// mark is cleared before it is read, so what is missed now is seen next time.
#pragma once

#include <vector>

#include "devices/ports/display.h"
#include "devices/video/scan_out.h"
#include "devices/video/video_memory_unsafe.h"

namespace emu {

class VgaRenderer {
 public:
  VgaRenderer(VideoMemory vram, const VgaRegisters& registers, const SuperVga& vbe)
      : vram_(vram), registers_(registers), vbe_(vbe) {}

  // See DisplaySource. `now_ns` is VM time, for blinking.
  bool render(Frame& frame, u64 now_ns);
  bool text(TextScreen& screen) const;
  // Forgets what is on the screen.
  void reset() { known_ = false; }

 private:
  // A text cell as shown: character, attribute, and what blinking makes of it now.
  struct Cell {
    u8 character = 0;
    u8 attribute = 0;
    bool foreground_hidden = false;
    bool has_cursor = false;
    bool operator==(const Cell&) const = default;
  };
  struct Blink {
    bool cursor_shown;
    bool text_shown;
  };

  // Stage 1: find out which rows changed.
  void update(u64 now_ns);
  [[nodiscard]] bool take_mode();
  void update_text(Blink blink);
  void update_fonts();
  void update_graphics();
  void update_cursor();
  void collect_written_pages(u32 first_byte, u32 bytes);
  [[nodiscard]] bool was_written(u32 offset, u32 bytes) const;
  [[nodiscard]] Cell cell_at(u32 offset, Blink blink) const;
  [[nodiscard]] u32 row_bytes() const;
  void mark_all() { row_changed_.assign(row_changed_.size(), sequence_); }

  // Stage 2: draw a scan line, `out` being the picture's width.
  void draw_line(u32 y, std::span<u32> out);
  void draw_text_line(u32 y, std::span<u32> out);
  [[nodiscard]] u32 text_dots(const Cell& cell, u32 scan) const;
  void place_pixels(bool below_split, std::span<u32> out) const;
  void draw_indexed_line(u32 y, std::span<u32> out);
  void draw_direct_line(u32 y, std::span<u32> out) const;
  void unpack_pixels(u32 offset, u32 words);
  void draw_cursor(u32 y, std::span<u32> out) const;

  [[nodiscard]] u32 load_word(u32 offset) const;
  [[nodiscard]] static Blink blink_at(u64 now_ns);

  // wires
  const VideoMemory vram_;
  const VgaRegisters& registers_;
  const SuperVga& vbe_;
  // scratch (rebuilt)
  bool known_ = false;
  ScanOut mode_;
  Colors colors_;
  HardwareCursor cursor_;
  u64 sequence_ = 0;               // counts updates that changed something
  std::vector<u64> row_changed_;   // the sequence at which each row last changed
  std::vector<u8> written_pages_;  // found by the last collect
  std::vector<u8> cleaned_pages_;  // marked clean by the last collect
  std::vector<Cell> cells_;        // text: rows of columns + 1
  std::vector<u32> row_of_line_;   // text: which row of cells_ a scan line shows
  std::array<u8, 2 * 8192> fonts_{};
  std::array<u8, 4> text_registers_{};  // cursor shape, underline, attribute mode
  std::vector<u32> pixels_;             // one line of colours, before panning and repeating
};

}  // namespace emu
