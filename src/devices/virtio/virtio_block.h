// SPDX-License-Identifier: Apache-2.0
// A virtio block device: several queues over one backend, data moved straight between guest RAM and
// the image.
// Source: VIRTIO 1.2: 5.2.
// Threads: the machine lock is held by every caller; backends complete through the Executor, under
// that lock.
// Not modelled: zoned devices, secure erase, lifetime reports.
#pragma once

#include <memory>

#include "block/block_backend.h"
#include "devices/storage/disk_requests.h"
#include "devices/virtio/virtio_device.h"

namespace emu {

class VirtioBlock final : public VirtioDevice {
 public:
  struct Options {
    std::string serial;  // at most 20 characters
    unsigned queues = 1;
  };
  // `backend` outlives this, and is drained before this is destroyed.
  VirtioBlock(AddressSpace& memory, BlockBackend& backend, const Options& options);

 private:
  static constexpr u16 kQueueSize = 256;
  static constexpr u32 kConfigBytes = 60;
  static constexpr u32 kMaxRanges = 16;  // in one discard or write-zeroes request

  // A request between notified() and complete().
  struct Request : DiskRequest {  // `data` without header and status
    unsigned queue = 0;
    VirtioChain chain;
    u32 type = 0;
    DmaList status;  // the one status byte
  };

  [[nodiscard]] u64 model_features() const override;
  void fill_config(std::span<u8> out) override;
  void config_written(u64 offset, std::span<const u8> bytes) override;
  void notified(unsigned queue) override;
  void reset_model() override;
  void transfer_model(StateIo& io) override;
  void resumed_model() override;

  void start(unsigned queue, VirtioChain chain);
  [[nodiscard]] bool dissect(Request& request, u64& sector);
  void execute(u64 id, Request& request, u64 sector);
  void move_data(u64 id, Request& request, u64 sector);
  void send_identity(u64 id, Request& request);
  void clear_ranges(u64 id, Request& request);
  void ended(u64 id);
  void finish(u64 id, u8 status, u32 data_bytes);
  [[nodiscard]] bool has_write_cache() const;

  // wires
  BlockBackend& backend_;
  // parts
  const Options options_;
  // state (saved)
  bool write_cache_ = true;  // the configuration's "writeback"
  DiskRequests<Request> requests_{"virtio-block", [this](u64 id) { ended(id); }};
};

}  // namespace emu
