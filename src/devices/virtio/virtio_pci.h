// SPDX-License-Identifier: Apache-2.0
// A virtio device as a PCI function: the modern interface in a memory BAR, found through
// capabilities, and for transitional devices the legacy interface in an I/O BAR, which old kernels
// and boot loaders use.
// Source: VIRTIO 1.2: 4.1. BAR numbers, ids and offsets are those of QEMU's virtio-pci, so that
// guests meet what they know.
// Threads: the machine lock is held by every caller.
// Not modelled: shared memory regions, administration queues, SR-IOV.
#pragma once

#include <memory>
#include <vector>

#include "devices/io_window.h"
#include "devices/pci/pci_device.h"
#include "devices/virtio/virtio_device.h"

namespace emu {

class VirtioPci : public PciDevice, private VirtioTransport {
 public:
  enum class Interface : u8 { kTransitional, kModern };

  // Takes `device` onto `bus`; `name` is the function's, unique in the machine.
  VirtioPci(PciBus& bus, u8 devfn, const std::string& name, std::unique_ptr<VirtioDevice> device,
            Interface interface = Interface::kTransitional);
  ~VirtioPci() override;

  [[nodiscard]] VirtioDevice& device() { return *device_; }

  void reset() override;
  void transfer(StateIo& io) override;
  void resumed() override;

 private:
  [[nodiscard]] static PciIdentity pci_identity(const VirtioDevice& device, Interface interface);
  void add_modern_bar();
  void add_legacy_bar();
  void add_capabilities();
  u8 add_virtio_capability(u8 kind, u32 offset, u32 length_bytes, u8 capability_bytes);

  // VirtioTransport
  void queue_interrupt(unsigned queue) override;
  void config_interrupt() override;
  [[nodiscard]] bool may_access_memory() const override { return bus_master(); }
  void raise(u16 vector, u8 isr_bit);
  u8 take_isr();
  void reset_virtio();
  [[nodiscard]] u16 checked_vector(u64 vector);

  // The modern windows.
  [[nodiscard]] u64 read_common(u64 offset, unsigned size);
  void write_common(u64 offset, unsigned size, u64 value);
  [[nodiscard]] u32 common_word(u32 offset);
  [[nodiscard]] u32 queue_word(u32 offset);
  void select_driver_features(u32 value);
  void write_queue_address(u32 offset, unsigned size, u32 value);
  [[nodiscard]] u64 read_isr(u64, unsigned) { return take_isr(); }
  void write_isr(u64, unsigned, u64) {}
  [[nodiscard]] u64 read_device(u64 offset, unsigned size);
  void write_device(u64 offset, unsigned size, u64 value);
  [[nodiscard]] u64 read_notify(u64, unsigned) { return 0; }
  void write_notify(u64 offset, unsigned size, u64 value);
  // The window through configuration space (4.1.4.9).
  void config_written(HookSet hooks) override;
  void config_reading(u32 offset, unsigned size) override;
  [[nodiscard]] IoHandler* window_at(u32 offset, u32& in_window);
  // The legacy window.
  [[nodiscard]] u64 read_legacy(u64 offset, unsigned size);
  void write_legacy(u64 offset, unsigned size, u64 value);
  [[nodiscard]] u32 legacy_register(u32 offset);
  void write_legacy_register(u32 offset, u32 value);
  [[nodiscard]] u32 legacy_header_bytes() const;
  void set_legacy_queue(u32 page);
  [[nodiscard]] VirtQueue* selected();

  // parts
  const std::unique_ptr<VirtioDevice> device_;
  const Interface interface_;
  IoWindow<VirtioPci> common_{*this, &VirtioPci::read_common, &VirtioPci::write_common};
  IoWindow<VirtioPci> isr_window_{*this, &VirtioPci::read_isr, &VirtioPci::write_isr};
  IoWindow<VirtioPci> device_window_{*this, &VirtioPci::read_device, &VirtioPci::write_device};
  IoWindow<VirtioPci> notify_{*this, &VirtioPci::read_notify, &VirtioPci::write_notify};
  IoWindow<VirtioPci> legacy_{*this, &VirtioPci::read_legacy, &VirtioPci::write_legacy};
  std::vector<std::unique_ptr<Region>> regions_;
  MsixCapability* msix_ = nullptr;
  u8 pci_window_at_ = 0;  // the capability's place
  // state (saved)
  u8 isr_ = 0;
  u32 device_feature_select_ = 0;
  u32 driver_feature_select_ = 0;
  u16 queue_select_ = 0;
  u16 config_vector_ = virtio::kNoVector;
  std::vector<u16> queue_vectors_;
};

}  // namespace emu
