// SPDX-License-Identifier: Apache-2.0
// A virtio-gpu with one screen: 2D resources, a hardware cursor, EDID, and an event when the user
// wants another size.
// Source: VIRTIO 1.2: 5.7.
// Threads: the machine lock is held by every caller.
// Not modelled: 3D (virgl, contexts), blobs, UUIDs, more than one screen.
#pragma once

#include <map>

#include "devices/ports/display.h"
#include "devices/video/gpu_resource.h"
#include "devices/virtio/virtio_device.h"

namespace emu {

class VirtioGpu final : public VirtioDevice {
 public:
  // Frames that this drew have sequences from here on; those of another source are below.
  static constexpr u64 kFirstSequence = u64{1} << 63;

  // `class_code` is the PCI class.
  VirtioGpu(AddressSpace& memory, u32 class_code);

  // Whether the driver shows something.
  [[nodiscard]] bool is_showing() const { return scanout_.resource != 0; }
  // As DisplaySource::render(); is_showing().
  bool render(Frame& frame);
  // The user's window has this size now, in pixels; the driver hears of it.
  void set_preferred_size(u32 width, u32 height);

 private:
  static constexpr u32 kConfigBytes = 16;
  static constexpr u32 kMaxResources = 1024;
  static constexpr u32 kCursorSide = 64;

  struct ScanOutState {
    u32 resource = 0;  // 0: off
    GpuRect rect;      // of the resource
  };
  struct Cursor {
    bool shown = false;
    i32 x = 0, y = 0;        // of its upper left corner
    std::vector<u8> pixels;  // 0xAARRGGBB, little-endian, kCursorSide^2; premultiplied
  };
  // A command as it came, and its answer's type.
  struct Command {
    const DmaList& in;
    std::span<const u8> bytes;  // the fixed part, zeros where the driver sent less
    std::vector<u8>& answer;    // without the header
    [[nodiscard]] u32 word(std::size_t at) const;
    [[nodiscard]] GpuRect rect(std::size_t at) const;
  };

  [[nodiscard]] u64 model_features() const override;
  void fill_config(std::span<u8> out) override;
  void config_written(u64 offset, std::span<const u8> bytes) override;
  void notified(unsigned queue) override;
  void reset_model() override;
  void transfer_model(StateIo& io) override;
  void resumed_model() override;

  void take_command(unsigned queue, const VirtioChain& chain);
  [[nodiscard]] u32 execute(const Command& command);
  [[nodiscard]] u32 display_info(const Command& command) const;
  [[nodiscard]] u32 edid(const Command& command) const;
  [[nodiscard]] u32 create_resource(const Command& command);
  [[nodiscard]] u32 destroy_resource(const Command& command);
  [[nodiscard]] u32 set_scanout(const Command& command);
  [[nodiscard]] u32 flush(const Command& command);
  [[nodiscard]] u32 take_pixels(const Command& command);
  [[nodiscard]] u32 attach_backing(const Command& command);
  [[nodiscard]] u32 detach_backing(const Command& command);
  [[nodiscard]] u32 update_cursor(const Command& command, bool new_picture);

  [[nodiscard]] GpuResource* find(u32 id);
  void transfer_resources(StateIo& io);
  // Rows [top, bottom) of the screen are to be drawn again.
  void mark_rows(i64 top, i64 bottom);
  void mark_cursor() { mark_rows(cursor_.y, i64{cursor_.y} + kCursorSide); }
  void blend_cursor(u32 y, std::span<u32> row) const;

  // state (saved)
  u32 events_ = 0;
  ScanOutState scanout_;
  Cursor cursor_;
  std::map<u32, GpuResource> resources_;
  // scratch (rebuilt)
  u32 preferred_width_ = 1280, preferred_height_ = 800;
  u64 sequence_ = kFirstSequence;
  std::vector<u64> row_changed_;
};

}  // namespace emu
