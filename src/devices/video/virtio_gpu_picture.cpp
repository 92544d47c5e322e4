// SPDX-License-Identifier: Apache-2.0
// What a virtio-gpu shows: rows that the driver flushed, and the cursor over them.
#include <algorithm>

#include "base/bits.h"
#include "devices/video/virtio_gpu.h"

namespace emu {

void VirtioGpu::mark_rows(i64 top, i64 bottom) {
  const i64 rows = static_cast<i64>(row_changed_.size());
  ++sequence_;
  for (i64 y = std::clamp<i64>(top, 0, rows); y < std::clamp<i64>(bottom, 0, rows); ++y) {
    row_changed_[static_cast<std::size_t>(y)] = sequence_;
  }
}

bool VirtioGpu::render(Frame& frame) {
  const GpuResource* const resource = find(scanout_.resource);
  const GpuRect& rect = scanout_.rect;
  if (resource == nullptr) return false;
  const std::size_t pixels = std::size_t{rect.width} * rect.height;
  const bool is_other = frame.sequence < kFirstSequence;
  if (is_other || frame.width != rect.width || frame.height != rect.height ||
      frame.pixels.size() != pixels) {
    frame.width = rect.width;
    frame.height = rect.height;
    frame.pixels.resize(pixels);
    frame.sequence = 0;
  }
  frame.changed_top = frame.changed_bottom = 0;
  for (u32 y = 0; y < rect.height; ++y) {
    if (row_changed_[y] <= frame.sequence) continue;
    const auto row = std::span(frame.pixels).subspan(std::size_t{y} * rect.width, rect.width);
    resource->row(rect.x, rect.y + y, row);
    for (u32& pixel : row) pixel &= 0xFFFFFF;
    blend_cursor(y, row);
    if (frame.changed_bottom == 0) frame.changed_top = y;
    frame.changed_bottom = y + 1;
  }
  frame.sequence = sequence_;
  return frame.changed_bottom != 0;
}

// Colours are premultiplied, as Linux's cursor planes are.
void VirtioGpu::blend_cursor(u32 y, std::span<u32> row) const {
  const i64 line = i64{y} - cursor_.y;
  if (!cursor_.shown || line < 0 || line >= kCursorSide) return;
  for (u32 i = 0; i < kCursorSide; ++i) {
    const i64 x = i64{cursor_.x} + i;
    if (x < 0 || x >= static_cast<i64>(row.size())) continue;
    const std::size_t at = static_cast<std::size_t>(line * kCursorSide + i) * 4;
    const u32 over = load_le<u32>(&cursor_.pixels[at]);
    const u32 through = 255 - (over >> 24);
    u32& pixel = row[static_cast<std::size_t>(x)];
    u32 mixed = 0;
    for (const int shift : {16, 8, 0}) {
      const u32 under = (pixel >> shift & 0xFF) * through / 255;
      mixed |= std::min((over >> shift & 0xFF) + under, 255u) << shift;
    }
    pixel = mixed;
  }
}

}  // namespace emu
