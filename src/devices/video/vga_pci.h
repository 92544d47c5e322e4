// SPDX-License-Identifier: Apache-2.0
// The VGA as a PCI card, 1234:1111, compatible with QEMU's "VGA" so that its video BIOS and guests'
// bochs drivers work: BAR 0 frame buffer, BAR 2 registers, ROM.
// Source: QEMU docs/specs/standard-vga.rst.
// Threads: the machine lock is held by every caller.
#pragma once

#include <memory>
#include <span>

#include "base/result.h"
#include "devices/pci/pci_device.h"
#include "devices/video/vga.h"
#include "devices/video/vga_card.h"

namespace emu {

class VgaPci final : public PciDevice {
 public:
  struct Options {
    u8 devfn = pci::devfn(2, 0);
    u64 vram_bytes = Vga::kDefaultVramBytes;  // a power of two, 256 KiB to 256 MiB
    std::span<const u8> rom;                  // the video BIOS; copied; may be empty
  };
  // The machine places vga().ports(), vbe_ports() and window(); BARs place themselves. Errors: a
  // size that is not allowed or that the host refuses.
  [[nodiscard]] static Result<std::unique_ptr<VgaPci>> create(PciBus& bus, const Clock& clock,
                                                              const Options& options);

  [[nodiscard]] Vga& vga() { return vga_; }
  // Video memory, to be saved with the machine's RAM.
  [[nodiscard]] GuestRam& vram() { return *memory_.vram; }

  void reset() override;
  void transfer(StateIo& io) override;
  void resumed() override;

 private:
  VgaPci(PciBus& bus, const Clock& clock, u8 devfn, VgaMemory memory);

  // parts
  VgaMemory memory_;
  std::unique_ptr<Region> rom_;
  Vga vga_;
};

}  // namespace emu
