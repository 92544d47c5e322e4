// SPDX-License-Identifier: Apache-2.0
// A virtio SCSI host: disks and CD drives as targets and units, request queues, task management,
// and events that tell of changed media.
// Source: VIRTIO 1.2: 5.6; SAM-5 (T10/2104-D) 4.7 (units), 7 (task management).
// Threads: the machine lock is held by every caller; backends complete through the Executor, under
// that lock.
// Not modelled: protection information, units that come and go (a drive's medium does), task
// attributes (all commands may pass each other), ACA.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "devices/storage/cdrom_unit.h"
#include "devices/storage/scsi_transfer.h"
#include "devices/virtio/virtio_device.h"

namespace emu {

class VirtioScsi final : public VirtioDevice {
 public:
  static constexpr unsigned kMaxTargets = 256, kMaxLuns = 256;
  struct Place {
    u8 target = 0;
    u8 lun = 0;
    bool operator==(const Place&) const = default;
  };

  // `queues` (1..64) request queues.
  VirtioScsi(AddressSpace& memory, unsigned queues);
  ~VirtioScsi() override;

  // Before the machine runs; at a free place. Backends and media outlive this, and are drained
  // before it is destroyed.
  void attach_disk(Place place, BlockBackend& backend, const DriveIdentity& identity);
  CdromUnit& attach_cdrom(Place place, BlockBackend* medium, const DriveIdentity& identity);
  [[nodiscard]] bool is_free(Place place) const { return find(place) == nullptr; }

 private:
  static constexpr u16 kQueueSize = 256;
  static constexpr u32 kConfigBytes = 36;
  static constexpr unsigned kControlQueue = 0, kEventQueue = 1, kFirstRequestQueue = 2;
  using Address = std::array<u8, 8>;  // of a unit, as drivers write it

  struct Unit {
    Place place;
    std::unique_ptr<ScsiUnit> unit;
    u32 subscribed = 0;  // to these asynchronous events
  };
  // A command between notified() and complete().
  struct Request : ScsiRequest {
    unsigned queue = 0;
    VirtioChain chain;
    u64 tag = 0;
    Place place;
    BlockBackend* backend = nullptr;
    DmaList response;
    u64 offered_bytes = 0;  // of data, by the driver
  };
  struct Answer {
    u8 response = 0;
    u8 status = 0;
    u64 moved_bytes = 0;
    std::vector<u8> sense{};
  };

  [[nodiscard]] u64 model_features() const override;
  void fill_config(std::span<u8> out) override;
  void config_written(u64 offset, std::span<const u8> bytes) override;
  void notified(unsigned queue) override;
  void reset_model() override;
  void transfer_model(StateIo& io) override;
  void resumed_model() override;

  // Commands (virtio_scsi_requests.cpp).
  void start(unsigned queue, VirtioChain chain);
  void execute(u64 id, Request& request, std::span<const u8> command, const DmaList& out,
               const DmaList& in);
  [[nodiscard]] ScsiPlan plan_without_unit(u8 target, std::span<const u8> command) const;
  [[nodiscard]] ScsiPlan report_luns(u8 target, u64 limit) const;
  void ended(u64 id);
  void finish(Request& request, const Answer& answer);

  // Control and events.
  void control(const VirtioChain& chain);
  [[nodiscard]] u8 manage_tasks(std::span<const u8> message);
  [[nodiscard]] u8 subscribe(std::span<const u8> message, bool is_query, u32& events);
  template <class Predicate>
  void abort(Predicate&& is_one, u8 response);
  void medium_changed(Place place);
  void post_event(u32 event, Place place, u32 reason);

  [[nodiscard]] Unit* find(Place place);
  [[nodiscard]] const Unit* find(Place place) const;
  // Nothing: an address of another kind, or beyond what is modelled.
  [[nodiscard]] static std::optional<Place> parse(const Address& address);
  [[nodiscard]] bool has_target(u8 target) const;
  [[nodiscard]] u64 response_bytes() const;

  // parts
  std::vector<Unit> units_;
  // state (saved)
  u32 sense_bytes_;
  u32 command_bytes_;
  bool has_missed_events_ = false;
  DiskRequests<Request> requests_{"virtio-scsi", [this](u64 id) { ended(id); }};
};

}  // namespace emu
