// SPDX-License-Identifier: Apache-2.0
// The Cirrus Logic GD5446 with 4 MiB as a PCI card, 1013:00b8: what Windows 9x to XP and old X
// servers have a driver for. BAR 0: linear frame buffer, and from 16 MiB on the blitter's source;
// BAR 1: the registers in memory.
// Source: CL-GD5446 Technical Reference Manual; see the parts.
// Threads: the machine lock is held by every caller.
// Not modelled: see the parts; byte-swapping apertures.
#pragma once

#include <memory>
#include <vector>

#include "base/vm_time.h"
#include "devices/pci/pci_device.h"
#include "devices/ports/display.h"
#include "devices/video/cirrus_registers.h"
#include "devices/video/vga_card.h"
#include "devices/video/vga_planes.h"
#include "devices/video/vga_renderer.h"

namespace emu {

class CirrusVga final : public PciDevice, public DisplaySource {
 public:
  // `memory`: cirrus::kVramBytes of video memory, and the video BIOS.
  CirrusVga(PciBus& bus, const Clock& clock, u8 devfn, VgaMemory memory);
  ~CirrusVga() override;

  // Ports 3B4h-3DFh, to be placed at 3B0h.
  [[nodiscard]] Region& ports() { return *ports_; }
  // 128 KiB, to be placed at A0000h.
  [[nodiscard]] Region& window() { return *window_; }
  // Video memory, to be saved with the machine's RAM.
  [[nodiscard]] GuestRam& vram() { return *memory_.vram; }

  void reset() override;
  void transfer(StateIo& io) override;
  void resumed() override;
  bool render(Frame& frame) override { return renderer_.render(frame, clock_.now_ns()); }
  bool text(TextScreen& screen) override { return renderer_.text(screen); }

 private:
  template <u8 (CirrusVga::*Read)(u32), void (CirrusVga::*Write)(u32, u8)>
  class Bytes;
  [[nodiscard]] u8 read_port(u32 offset);
  void write_port(u32 offset, u8 value);
  [[nodiscard]] u8 read_window(u32 offset);
  void write_window(u32 offset, u8 value);
  [[nodiscard]] u8 read_linear(u32 offset);
  void write_linear(u32 offset, u8 value);
  [[nodiscard]] u8 read_mmio(u32 offset);
  void write_mmio(u32 offset, u8 value);
  [[nodiscard]] u8 read_blit_register(u32 offset) const;
  void write_blit_register(u32 offset, u8 value);
  [[nodiscard]] bool packed() const;
  // An address in video memory as the extended write modes have it.
  [[nodiscard]] u32 scaled(u32 address) const;
  void store(u32 address, u8 value);
  void make_regions();
  // Whether reads and writes of the frame buffer are plain memory accesses now.
  void update_windows();

  // wires
  const Clock& clock_;
  // parts
  VgaMemory memory_;
  const VideoMemory vram_;
  // parts, state (saved)
  CirrusRegisters registers_;
  VgaPlanes planes_;
  // parts
  VgaRenderer renderer_;
  std::vector<std::unique_ptr<IoHandler>> handlers_;
  std::vector<std::unique_ptr<Region>> pieces_;
  std::unique_ptr<Region> vram_region_, ports_, window_, aperture_, mmio_, rom_;
  Region* direct_ = nullptr;        // video memory in front of the aperture
  std::array<Region*, 2> banks_{};  // and of the window at A0000h
  // scratch (rebuilt)
  bool direct_enabled_ = false;
  std::array<bool, 2> bank_enabled_{};
  std::array<u32, 2> bank_bytes_{};
};

}  // namespace emu
