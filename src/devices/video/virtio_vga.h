// SPDX-License-Identifier: Apache-2.0
// A virtio-gpu that is a VGA until the guest's driver shows something, 1AF4:1050 with VGA class, as
// QEMU's virtio-vga, whose video BIOS it takes: BAR 0 frame buffer, BAR 2 VGA registers, BARs 1 and
// 4 virtio.
// Source: VIRTIO 1.2: 5.7; QEMU docs/system/devices/virtio-gpu.rst.
// Threads: the machine lock is held by every caller.
#pragma once

#include "devices/video/vga.h"
#include "devices/video/vga_card.h"
#include "devices/video/virtio_gpu.h"
#include "devices/virtio/virtio_pci.h"

namespace emu {

class VirtioVga final : public VirtioPci, public DisplaySource {
 public:
  // `memory` is the card's.
  VirtioVga(PciBus& bus, const Clock& clock, u8 devfn, VgaMemory memory);

  [[nodiscard]] Vga& vga() { return vga_; }
  [[nodiscard]] GuestRam& vram() { return *memory_.vram; }

  void reset() override;
  void transfer(StateIo& io) override;
  void resumed() override;

  bool render(Frame& frame) override;
  bool text(TextScreen& screen) override;
  void prefer_size(u32 width, u32 height) override;

 private:
  // parts
  VgaMemory memory_;
  std::unique_ptr<Region> rom_;
  Vga vga_;
  VirtioGpu& gpu_;  // device()
};

}  // namespace emu
