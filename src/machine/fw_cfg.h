// SPDX-License-Identifier: Apache-2.0
// The firmware configuration device: numbered items and named files for SeaBIOS and OVMF, read by
// port or DMA.
// Source: QEMU docs/specs/fw_cfg.rst.
// Threads: the machine lock is held by every caller.
// Not modelled: writes to items (obsolete), the memory-mapped form, VMCOREINFO.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "devices/device.h"
#include "memory/address_space.h"

namespace emu {

class FwCfg final : public Device, public IoHandler {
 public:
  static constexpr u16 kPort = 0x510;
  static constexpr u16 kPorts = 12;
  static constexpr AccessSizes kSizes{1, 4, true};

  // Item numbers that firmware knows.
  enum Key : u16 {
    kSignature = 0x00,
    kId = 0x01,
    kUuid = 0x02,
    kRamSize = 0x03,
    kNoGraphic = 0x04,
    kCpuCount = 0x05,
    kBootMenu = 0x0e,
    kMaxCpus = 0x0f,
    kFileDirectory = 0x19,
    kFirstFile = 0x20,
    kIrq0Override = 0x8002,
  };

  // `memory` is what DMA reads and writes.
  explicit FwCfg(AddressSpace& memory);

  void add(u16 key, std::vector<u8> bytes) { items_[key] = std::move(bytes); }
  template <class T>
  void add_value(u16 key, T value) {
    const auto* p = reinterpret_cast<const u8*>(&value);
    add(key, {p, p + sizeof value});
  }
  // Names are unique and shorter than 56 characters. The directory is sorted by name.
  void add_file(const std::string& name, std::vector<u8> bytes) { files_[name] = std::move(bytes); }
  // After the last file, before the machine runs.
  void finish();

  [[nodiscard]] u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, unsigned size, u64 value) override;

  [[nodiscard]] std::string_view name() const override { return "fw-cfg"; }
  void reset() override;
  void transfer(StateIo& io) override;

 private:
  void select(u16 key);
  // The next byte of the selected item; zero behind its end.
  [[nodiscard]] u8 next_byte();
  void run_dma(u64 address);

  // wires
  AddressSpace& memory_;
  // parts: the items, the same in every machine of the configuration
  std::map<u16, std::vector<u8>> items_;
  std::map<std::string, std::vector<u8>> files_;
  // state (saved)
  u16 key_ = 0;
  u32 position_ = 0;
  u32 dma_high_ = 0;
};

}  // namespace emu
