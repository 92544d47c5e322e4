// SPDX-License-Identifier: Apache-2.0
// A picture in the memory of a virtio-gpu: its pixels on the host's side, and where the guest keeps
// its own copy.
// Source: VIRTIO 1.2: 5.7.6.8 (2D resources).
// Threads: the machine lock is held by every caller.
#pragma once

#include <vector>

#include "base/state_io.h"
#include "devices/guest_window.h"
#include "devices/virtio/virtqueue.h"

namespace emu {

// In pixels.
struct GpuRect {
  u32 x = 0, y = 0, width = 0, height = 0;
  bool operator==(const GpuRect&) const = default;
  // Whether all of it lies in a picture of this size.
  [[nodiscard]] bool fits(u32 all_width, u32 all_height) const {
    return x <= all_width && y <= all_height && width <= all_width - x && height <= all_height - y;
  }
};

class GpuResource {
 public:
  static constexpr u32 kMaxSide = 16384;
  static constexpr u64 kMaxBytes = 256 * kMiB;      // also of all together
  static constexpr std::size_t kMaxPieces = 65536;  // of one backing

  // VIRTIO 1.2, 5.7.6.8: enum virtio_gpu_formats.
  [[nodiscard]] static bool is_format(u32 format);

  GpuResource() = default;
  // `format` is_format(); sides 1..kMaxSide, kMaxBytes at most.
  GpuResource(u32 format, u32 width, u32 height);

  [[nodiscard]] u32 width() const { return width_; }
  [[nodiscard]] u32 height() const { return height_; }
  [[nodiscard]] u64 size_bytes() const { return pixels_.size(); }
  [[nodiscard]] std::size_t backing_pieces() const { return pieces_.size(); }

  // The guest's copy. False, and there is none, if a piece is not plain RAM.
  [[nodiscard]] bool attach(const AddressSpace& memory, std::vector<VirtioBuffer> pieces);
  void detach();
  // Takes a rectangle, which fits, from the guest's copy; its first pixel is at `offset` there.
  // False if the copy ends before.
  [[nodiscard]] bool take(const GpuRect& rect, u64 offset);

  // `out` is as 0xAARRGGBB: pixels of row `y` from `x` on, all inside.
  void row(u32 x, u32 y, std::span<u32> out) const;

  void transfer(StateIo& io);
  // After loading.
  void resumed(const AddressSpace& memory);

 private:
  [[nodiscard]] u64 pitch_bytes() const { return u64{width_} * 4; }

  // state (saved)
  u32 format_ = 0;
  u32 width_ = 0, height_ = 0;
  std::vector<u8> pixels_;
  std::vector<VirtioBuffer> pieces_;
  // scratch (rebuilt)
  DmaList backing_;
};

}  // namespace emu
