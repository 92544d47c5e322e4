// SPDX-License-Identifier: Apache-2.0
// Intel 440FX host bridge (82441FX PMC), function 00:00.0: what of RAM the first MiB shows.
// Source: Intel 440FX PCIset data sheet (290549), 3.2.19 (PAM), 3.2.20 (DRB), 3.2.27 (SMRAM).
// Threads: the machine lock is held by every caller.
// Not modelled: DRAM timing, the fixed memory hole (FDHC), error reporting, the bridge's latencies.
#pragma once

#include <array>

#include "devices/pci/pci_device.h"

namespace emu {

// SMRAM at A0000h-BFFFFh as register 72h describes it.
struct SmramControl {
  bool enabled = false;  // G_SMRAME: code in SMM sees RAM
  bool open = false;     // D_OPEN: everybody sees RAM
  bool closed = false;   // D_CLS: data accesses in SMM go to the bus (VGA) nevertheless
  bool locked = false;   // D_LCK: cannot be opened until reset
  bool operator==(const SmramControl&) const = default;
};

// The memory map's switches that the host bridge turns; the machine implements them with regions.
class HostBridgeMap {
 public:
  // The segments of PAM0..PAM6 in ascending order of control nibble: index 0 is F0000h-FFFFFh,
  // then 16 KiB each from C0000h.
  static constexpr unsigned kPamCount = 13;
  struct PamSegment {
    u32 start;
    u32 size_bytes;
  };
  [[nodiscard]] static constexpr PamSegment pam_segment(unsigned index) {
    if (index == 0) return {0xf0000, 0x10000};
    return {0xc0000 + (index - 1) * 0x4000, 0x4000};
  }

  virtual ~HostBridgeMap() = default;
  // Where reads and writes of segment `index` go: RAM if enabled, else the bus (ROM or nothing).
  virtual void set_pam(unsigned index, bool read_enable, bool write_enable) = 0;
  virtual void set_smram(const SmramControl& control) = 0;
};

// The host bridge. Drives `map` at reset, after a load, and whenever a switch changes.
class I440fx final : public PciDevice {
 public:
  I440fx(PciBus& bus, HostBridgeMap& map);

  void reset() override;
  void resumed() override;

 private:
  void config_written(HookSet hooks) override;
  void update_pam(bool always);
  void update_smram(bool always);

  // wires
  HostBridgeMap& map_;
  // scratch (what `map_` was last told)
  std::array<u8, HostBridgeMap::kPamCount> pam_{};
  SmramControl smram_;
};

}  // namespace emu
