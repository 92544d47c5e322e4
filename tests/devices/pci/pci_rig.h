// SPDX-License-Identifier: Apache-2.0
// A PCI bus with empty address spaces around it.
#pragma once

#include <vector>

#include "devices/pci/pci_bus.h"
#include "devices/recording_irq.h"
#include "memory/address_space.h"

namespace emu {

class RecordingMsi final : public MsiSink {
 public:
  struct Message {
    u64 address;
    u32 data;
    bool operator==(const Message&) const = default;
  };
  void send_msi(u64 address, u32 data) override { messages.push_back({address, data}); }
  std::vector<Message> messages;
};

// Sixteen bytes that read as what was written.
class ScratchWindow final : public IoHandler {
 public:
  [[nodiscard]] u64 read(u64 offset, unsigned) override { return bytes[offset & 15]; }
  void write(u64 offset, unsigned, u64 value) override {
    bytes[offset & 15] = static_cast<u8>(value);
  }
  u8 bytes[16] = {};
};

struct PciRig {
  std::unique_ptr<Region> memory = Region::container("memory", u64{1} << 52);
  std::unique_ptr<Region> ports = Region::container("ports", 0x10000);
  AddressSpace memory_space{*memory};
  AddressSpace port_space{*ports};
  RecordingMsi messages;
  RecordingIrq pirqs;
  PciBus bus{{*memory, *ports, memory_space, messages}};
  PciConfigPorts config_ports{bus, nullptr};

  PciRig() { bus.set_router(&pirqs); }

  // Configuration mechanism 1, as firmware uses it.
  u32 read(u8 devfn, u32 offset, unsigned size = 4) {
    config_ports.write(0, 4, 0x80000000u | u32{devfn} << 8 | (offset & 0xfc));
    return static_cast<u32>(config_ports.read(4 + (offset & 3), size));
  }
  void write(u8 devfn, u32 offset, u32 value, unsigned size = 4) {
    config_ports.write(0, 4, 0x80000000u | u32{devfn} << 8 | (offset & 0xfc));
    config_ports.write(4 + (offset & 3), size, value);
  }
};

}  // namespace emu
