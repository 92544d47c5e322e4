// SPDX-License-Identifier: Apache-2.0
// A VGA with Bochs VBE modes and a linear frame buffer: registers, memory window, picture. Bus-
// neutral; vga_pci.h makes the PCI card of it.
// Source: QEMU docs/specs/standard-vga.rst; see also the parts.
// Threads: the machine lock is held by every caller.
// Not modelled: see vga_registers.h; big-endian frame buffers.
#pragma once

#include <array>
#include <memory>

#include "base/vm_time.h"
#include "devices/device.h"
#include "devices/ports/display.h"
#include "devices/video/bochs_vbe.h"
#include "devices/video/vga_planes.h"
#include "devices/video/vga_registers.h"
#include "devices/video/vga_renderer.h"
#include "memory/address_space.h"

namespace emu {

class Vga final : public Device, public DisplaySource {
 public:
  static constexpr u64 kDefaultVramBytes = 16 * kMiB;
  // `vram` is the video memory: a power of two of bytes from 256 KiB to 256 MiB, named for the
  // snapshot by whoever made it. Its contents are saved with the other RAM, not by transfer().
  Vga(const Clock& clock, GuestRam& vram);
  ~Vga() override;

  // Ports 3B4h-3DFh, to be placed at 3B0h of the port space; the printer ports 3BCh-3BFh are open.
  [[nodiscard]] Region& ports() { return *ports_; }
  // Bochs VBE index and data, to be placed at port 1CEh.
  [[nodiscard]] Region& vbe_ports() { return *vbe_ports_; }
  // The legacy window, 128 KiB to be placed at A0000h. Linear modes show RAM in it.
  [[nodiscard]] Region& window() { return *window_; }
  // The linear frame buffer: all video memory.
  [[nodiscard]] Region& framebuffer() { return *framebuffer_; }
  // 4 KiB of registers in memory: EDID, VGA ports, VBE registers.
  [[nodiscard]] Region& mmio() { return *mmio_; }

  [[nodiscard]] std::string_view name() const override { return "vga"; }
  void reset() override;
  void transfer(StateIo& io) override;
  void resumed() override;

  bool render(Frame& frame) override { return renderer_.render(frame, clock_.now_ns()); }
  bool text(TextScreen& screen) override { return renderer_.text(screen); }

  // EDID recommends this size to the guest (64 to 4095 pixels each).
  void prefer_size(u32 width, u32 height) override;

 private:
  class PortWindow;
  class VbeWindow;
  class MemoryWindow;
  class MmioWindow;

  [[nodiscard]] u8 read_port(u16 port) { return registers_.read(port, clock_.now_ns()); }
  void write_port(u16 port, u8 value);
  void write_vbe(u16 index, u16 value);
  [[nodiscard]] u8 read_window(u32 offset);
  void write_window(u32 offset, u8 value);
  // Where a window offset lies in the memory map that the registers select; false if outside.
  [[nodiscard]] bool map_window(u32& offset) const;
  // Follows the registers with address mapping and the direct part of the window.
  void update_window();
  void make_regions();

  // wires
  const Clock& clock_;
  const VideoMemory vram_;
  // parts, state (saved)
  VgaRegisters registers_;
  BochsVbe vbe_;
  VgaPlanes planes_;
  // parts
  VgaRenderer renderer_;
  std::vector<std::unique_ptr<IoHandler>> handlers_;
  std::unique_ptr<Region> vram_region_;  // never placed: what direct_ shows a part of
  std::unique_ptr<Region> ports_, vbe_ports_, window_, framebuffer_, mmio_;
  std::vector<std::unique_ptr<Region>> pieces_;  // children of ports_ and window_
  Region* direct_ = nullptr;                     // RAM in front of the window, or disabled
  // scratch (rebuilt)
  std::array<u8, 128> edid_{};
  bool direct_enabled_ = false;
  u64 direct_offset_ = 0;
};

}  // namespace emu
