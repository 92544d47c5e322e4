// SPDX-License-Identifier: Apache-2.0
// Finding out which rows changed, and bringing a frame up to date.
#include "devices/video/vga_renderer.h"

#include <algorithm>
#include <utility>

namespace emu {

using namespace vga;
using Kind = ScanOut::Kind;

namespace {

constexpr u32 kLegacyBytes = 256 * 1024;
constexpr u32 kFirstWidth = 640;  // of a screen that no guest has set up yet
constexpr u32 kFirstHeight = 400;
// The cursor changes every 16 frames of a 70 Hz picture, blinking text every 32.
constexpr u64 kSixteenFramesNs = 16 * 14'285'714;

}  // namespace

bool VgaRenderer::render(Frame& frame, u64 now_ns) {
  update(now_ns);
  const std::size_t pixels = std::size_t{mode_.width} * mode_.height;
  if (frame.width != mode_.width || frame.height != mode_.height || frame.pixels.size() != pixels) {
    frame.width = mode_.width;
    frame.height = mode_.height;
    frame.pixels.resize(pixels);
    frame.sequence = 0;
  }
  frame.changed_top = frame.changed_bottom = 0;
  for (u32 y = 0; y < mode_.height; ++y) {
    if (row_changed_[y] <= frame.sequence) continue;
    const std::span<u32> line =
        std::span(frame.pixels).subspan(std::size_t{y} * mode_.width, mode_.width);
    draw_line(y, line);
    draw_cursor(y, line);
    if (frame.changed_bottom == 0) frame.changed_top = y;
    frame.changed_bottom = y + 1;
  }
  frame.sequence = sequence_;
  return frame.changed_bottom != 0;
}

void VgaRenderer::update(u64 now_ns) {
  ++sequence_;
  if (take_mode()) row_changed_.assign(mode_.height, sequence_);
  if (mode_.kind == Kind::kText) {
    update_text(blink_at(now_ns));
  } else if (mode_.kind != Kind::kBlank) {
    update_graphics();
  }
  update_cursor();
}

// A pointer that moved or changed leaves rows behind, and covers others.
void VgaRenderer::update_cursor() {
  const HardwareCursor now = vbe_.cursor();
  if (now == cursor_) return;
  for (const HardwareCursor* const cursor : {&std::as_const(cursor_), &now}) {
    const u32 end = std::min(cursor->y + cursor->size, mode_.height);
    for (u32 y = cursor->y; y < end; ++y) row_changed_[y] = sequence_;
  }
  cursor_ = now;
}

// Takes over mode and colours; returns whether everything must be drawn again.
bool VgaRenderer::take_mode() {
  ScanOut mode = scan_out(registers_, vbe_, static_cast<u32>(vram_.size_bytes()));
  if (mode.kind == Kind::kBlank) {  // a mode is being set: keep the picture's size meanwhile
    mode = ScanOut{};
    mode.width = known_ ? mode_.width : kFirstWidth;
    mode.height = known_ ? mode_.height : kFirstHeight;
  }
  const Colors colors = current_colors(registers_, vbe_.has_eight_bit_dac());
  const bool same = known_ && mode == mode_ && (colors == colors_ || mode.kind >= Kind::kHigh15);
  known_ = true;
  mode_ = mode;
  colors_ = colors;
  return !same;
}

VgaRenderer::Blink VgaRenderer::blink_at(u64 now_ns) {
  const u64 sixteens = now_ns / kSixteenFramesNs;
  return {.cursor_shown = (sixteens & 1) == 0, .text_shown = (sixteens & 2) == 0};
}

VgaRenderer::Cell VgaRenderer::cell_at(u32 offset, Blink blink) const {
  const u32 word = load_word(offset);
  Cell cell;
  cell.character = static_cast<u8>(word);
  cell.attribute = static_cast<u8>(word >> 8);
  const bool blinks = (registers_.attr(kAttrMode) & kAttrModeBlink) != 0;
  cell.foreground_hidden = blinks && (cell.attribute & 0x80) != 0 && !blink.text_shown;
  const u32 cursor =
      (u32{registers_.crtc(kCrtcCursorHigh)} << 8 | registers_.crtc(kCrtcCursorLow)) * 4;
  cell.has_cursor = blink.cursor_shown && (offset & mode_.memory_mask) == cursor;
  return cell;
}

void VgaRenderer::update_text(Blink blink) {
  update_fonts();
  const std::size_t row_cells = mode_.columns + std::size_t{1};
  row_of_line_.resize(mode_.height);
  u32 row = 0;
  u32 y = 0;
  while (y < mode_.height) {
    const LineSource source = line_source(mode_, y);
    if (cells_.size() < (row + 1) * row_cells) cells_.resize((row + 1) * row_cells);
    Cell* const shown = &cells_[row * row_cells];
    bool changed = false;
    for (u32 column = 0; column < row_cells; ++column) {
      const Cell cell = cell_at(source.offset + column * 4, blink);
      changed = changed || cell != shown[column];
      shown[column] = cell;
    }
    do {
      row_of_line_[y] = row;
      if (changed) row_changed_[y] = sequence_;
      ++y;
    } while (y < mode_.height && line_source(mode_, y).offset == source.offset &&
             line_source(mode_, y).below_split == source.below_split);
    ++row;
  }
}

// The fonts (from plane 2) and registers that every cell depends on.
void VgaRenderer::update_fonts() {
  const u8 map = registers_.seq(kSeqCharMap);
  const std::array<u32, 2> maps{(map & 3u) | (map >> 2 & 4u), (map >> 2 & 3u) | (map >> 3 & 4u)};
  bool changed = false;
  for (u32 font = 0; font < 2; ++font) {
    // Maps 0-3 begin at 0, 16, 32, 48 KiB, maps 4-7 at 8, 24, 40, 56 KiB.
    const u32 begin = ((maps[font] & 3) * 2 + (maps[font] >> 2)) * 8192;
    u8* const shown = &fonts_[font * std::size_t{8192}];
    for (u32 i = 0; i < 8192; ++i) {
      const u8 dots = static_cast<u8>(vram_.word((begin + i) * u64{4}) >> 16);
      changed = changed || dots != shown[i];
      shown[i] = dots;
    }
  }
  const std::array<u8, 4> now{registers_.crtc(kCrtcCursorStart), registers_.crtc(kCrtcCursorEnd),
                              registers_.crtc(kCrtcUnderline), registers_.attr(kAttrMode)};
  changed = changed || now != text_registers_;
  text_registers_ = now;
  if (changed) mark_all();
}

u32 VgaRenderer::row_bytes() const {
  const u32 pixels = mode_.width / mode_.pixel_repeat;
  switch (mode_.kind) {
    case Kind::kPlanar:
    case Kind::kCga:
      return (pixels + mode_.pan_pixels + 7) / 8 * 4;
    case Kind::kPacked:
      return (pixels + mode_.pan_pixels + 3) / 4 * 4;
    case Kind::kHigh15:
    case Kind::kHigh16:
      return pixels * 2;
    case Kind::kTrue24:
      return pixels * 3;
    default:
      return pixels * 4;
  }
}

void VgaRenderer::update_graphics() {
  const u32 bytes = row_bytes();
  if (mode_.memory_mask < kLegacyBytes) {
    collect_written_pages(0, mode_.memory_mask + 1);
  } else {
    collect_written_pages(mode_.start_bytes, mode_.pitch_bytes * (mode_.height - 1) + bytes);
  }
  if (written_pages_.empty()) return;
  for (u32 y = 0; y < mode_.height; ++y) {
    if (was_written(line_source(mode_, y).offset, bytes)) row_changed_[y] = sequence_;
  }
}

// Fills written_pages_ (indexed by page of video memory), or leaves it empty if there are none.
// A page counts as written for one more picture: a processor may store without a mark until it has
// noticed that the page was marked clean, and that store may come after this picture was drawn.
void VgaRenderer::collect_written_pages(u32 first_byte, u32 bytes) {
  written_pages_.clear();
  const u64 pages = vram_.size_bytes() / kPageBytes;
  cleaned_pages_.resize(pages);
  const u64 end = std::min((u64{first_byte} + bytes + kPageBytes - 1) / kPageBytes, pages);
  for (u64 page = first_byte / kPageBytes; page < end; ++page) {
    const bool written = vram_.ram().test_and_clear_dirty(DirtyClient::kDisplay, page);
    const bool once_more = std::exchange(cleaned_pages_[page], u8{written}) != 0;
    if (!written && !once_more) continue;
    if (written_pages_.empty()) written_pages_.resize(pages);
    written_pages_[page] = 1;
  }
}

bool VgaRenderer::was_written(u32 offset, u32 bytes) const {
  const u32 page_mask = mode_.memory_mask / static_cast<u32>(kPageBytes);
  const u32 last = (offset + bytes - 1) / static_cast<u32>(kPageBytes);
  for (u32 page = offset / static_cast<u32>(kPageBytes); page <= last; ++page) {
    if (written_pages_[page & page_mask] != 0) return true;
  }
  return false;
}

bool VgaRenderer::text(TextScreen& screen) const {
  if (vbe_.is_enabled() || (registers_.gfx(kGfxMisc) & kMiscGraphics) != 0) return false;
  const ScanOut mode = scan_out(registers_, vbe_, static_cast<u32>(vram_.size_bytes()));
  if (mode.kind != Kind::kText) {
    screen.cells.assign(screen.cells.size(), 0);
    screen.cursor_column = screen.cursor_row = -1;
    return true;
  }
  const u32 row_lines = mode.lines_per_row * (mode.scan_doubled ? 2 : 1);
  const u32 cursor =
      (u32{registers_.crtc(kCrtcCursorHigh)} << 8 | registers_.crtc(kCrtcCursorLow)) * 4;
  screen.columns = mode.columns;
  screen.rows = mode.height / row_lines;
  screen.cells.resize(std::size_t{screen.columns} * screen.rows);
  screen.cursor_column = screen.cursor_row = -1;
  const bool has_cursor = (registers_.crtc(kCrtcCursorStart) & kCursorOff) == 0;
  for (u32 row = 0; row < screen.rows; ++row) {
    const u32 first = line_source(mode, row * row_lines).offset;
    for (u32 column = 0; column < screen.columns; ++column) {
      const u32 offset = (first + column * 4) & mode.memory_mask;
      const u32 word = vram_.word(offset);
      screen.cells[std::size_t{row} * screen.columns + column] = static_cast<u16>(word);
      if (has_cursor && offset == cursor) {
        screen.cursor_column = static_cast<i32>(column);
        screen.cursor_row = static_cast<i32>(row);
      }
    }
  }
  return true;
}

}  // namespace emu
