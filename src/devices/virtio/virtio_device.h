// SPDX-License-Identifier: Apache-2.0
// What every virtio device is, whatever bus it sits on: status, features, queues, configuration.
// A device model (block, network, ...) derives from this and knows no transport; a transport (PCI)
// drives it and knows no model.
// Source: VIRTIO 1.2: 2, 3.1.
// Threads: the machine lock is held by every caller.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/state_io.h"
#include "devices/virtio/virtqueue.h"

namespace emu {

// How a device reaches its driver.
class VirtioTransport {
 public:
  virtual ~VirtioTransport() = default;
  // Buffers of queue `queue` were used.
  virtual void queue_interrupt(unsigned queue) = 0;
  // The configuration, or the status, changed.
  virtual void config_interrupt() = 0;
  // Whether the device may touch guest memory now.
  [[nodiscard]] virtual bool may_access_memory() const = 0;
};

// To write a model: give the constructor the type and the queue sizes, offer features, fill the
// configuration, and take chains when notified():
//
//   void notified(unsigned queue) override {
//     each_chain(queue, [&](VirtioChain chain) { ...; complete(queue, chain, written_bytes); });
//   }
//
// complete() may come later, in any order. Chains that are held over a save belong into
// transfer_model(). What comes from the driver is untrusted: fail() is for what makes no sense.
class VirtioDevice {
 public:
  struct Identity {
    std::string name;      // of the model, for the log and the snapshot
    u16 type = 0;          // virtio device type (chapter 5)
    u32 class_code = 0;    // PCI class, 24 bits
    u32 config_bytes = 0;  // of the device-specific configuration, at most 256
  };
  // `memory` outlives this. Queue sizes as VirtQueue wants them.
  VirtioDevice(AddressSpace& memory, Identity identity, const std::vector<u16>& queue_sizes);
  virtual ~VirtioDevice() = default;
  VirtioDevice(const VirtioDevice&) = delete;
  VirtioDevice& operator=(const VirtioDevice&) = delete;

  // The transport's side.
  void attach(VirtioTransport& transport) { transport_ = &transport; }
  [[nodiscard]] const Identity& identity() const { return identity_; }
  // Everything on offer: the model's features and those of rings. `packed` offers packed rings.
  [[nodiscard]] u64 offered_features() const;
  void offer_packed_rings(bool packed) { packed_ = packed; }
  [[nodiscard]] u64 driver_features() const { return driver_features_; }
  void set_driver_features(u64 features);
  [[nodiscard]] u8 status() const;
  // Zero resets. FEATURES_OK stays clear if the driver took what is not on offer.
  void write_status(u8 status);
  [[nodiscard]] u8 config_generation() const { return config_generation_; }
  [[nodiscard]] unsigned queue_count() const { return static_cast<unsigned>(queues_.size()); }
  [[nodiscard]] VirtQueue& queue(unsigned index) { return *queues_[index]; }
  void enable_queue(unsigned index);
  // The driver made buffers available; ignored where no driver is ready.
  void notify(unsigned queue);
  // Device-specific configuration: bytes at `offset`; those beyond the end read as zero.
  [[nodiscard]] u64 read_config(u64 offset, unsigned size);
  void write_config(u64 offset, unsigned size, u64 value);
  void reset();
  void transfer(StateIo& io);
  void resumed();

 protected:
  // What a model implements.
  // Feature bits of the device type.
  [[nodiscard]] virtual u64 model_features() const = 0;
  // Fills the configuration as it is now; `out` has config_bytes zeros.
  virtual void fill_config(std::span<u8> out) { static_cast<void>(out); }
  // The driver wrote configuration bytes, inside config_bytes.
  virtual void config_written(u64 offset, std::span<const u8> bytes) {
    static_cast<void>(offset), static_cast<void>(bytes);
  }
  // Queue `queue` may have new chains.
  virtual void notified(unsigned queue) = 0;
  // The driver is ready: features() are final.
  virtual void driver_ready() {}
  // Forgets all chains; nothing may touch guest memory for them when this returns.
  virtual void reset_model() = 0;
  virtual void transfer_model(StateIo& io) { static_cast<void>(io); }
  virtual void resumed_model() {}

  // What a model calls.
  [[nodiscard]] AddressSpace& memory() { return memory_; }
  [[nodiscard]] bool has_feature(u64 mask) const { return (driver_features_ & mask) == mask; }
  // DRIVER_OK, nothing broken, and memory may be touched.
  [[nodiscard]] bool is_running() const;
  // Calls take(VirtioChain) for every chain of the queue, until there is none.
  template <class F>
  void each_chain(unsigned index, F&& take) {
    VirtQueue& from = queue(index);
    do {
      from.want_notifications(false);
      while (is_running()) {
        auto chain = from.pop();
        if (!chain) break;
        take(std::move(*chain));
      }
      from.want_notifications(true);
    } while (is_running() && from.has_available());
    if (from.is_broken()) fail(from.complaint());
  }
  // The next chain, if the device takes them one at a time (network receive).
  [[nodiscard]] std::optional<VirtioChain> next_chain(unsigned index);
  // Returns a chain and interrupts, if the guest wants that.
  void complete(unsigned index, const VirtioChain& chain, u32 written_bytes);
  // The same in two steps, to interrupt once for many chains.
  void push(unsigned index, const VirtioChain& chain, u32 written_bytes);
  void interrupt(unsigned index);
  // The configuration changed; the driver hears of it.
  void config_changed();
  // The driver did what makes no sense: nothing works until it resets the device.
  void fail(std::string_view complaint);

 private:
  // wires
  AddressSpace& memory_;
  VirtioTransport* transport_ = nullptr;
  // parts
  const Identity identity_;
  bool packed_ = false;
  std::vector<std::unique_ptr<VirtQueue>> queues_;
  RateLimit complaints_{5};
  // state (saved)
  u8 status_ = 0;
  u8 config_generation_ = 0;
  u64 driver_features_ = 0;
};

}  // namespace emu
