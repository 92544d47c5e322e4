// SPDX-License-Identifier: Apache-2.0
// One port of an AHCI controller and the ATA disk or CD drive behind it: command list, received
// FISes, command slots, queued commands, packets.
// Source: Serial ATA AHCI 1.3.1: 3.3, 4, 5; ATA8-ACS: 7 (commands); Serial ATA 3.0: 13.6 (NCQ).
// Threads: the machine lock is held by every caller; backends complete through the Executor, under
// that lock.
#pragma once

#include <array>
#include <functional>
#include <memory>

#include "base/log.h"
#include "base/state_io.h"
#include "block/block_backend.h"
#include "devices/guest_window.h"
#include "devices/storage/ahci_spec.h"
#include "devices/storage/ata_identify.h"
#include "devices/storage/cdrom_unit.h"
#include "devices/storage/scsi_transfer.h"

namespace emu {

class AhciPort {
 public:
  struct Wires {
    AddressSpace& memory;
    std::function<bool()> may_access_memory;
    std::function<void()> interrupt_changed;  // pending_interrupt() may have
  };
  explicit AhciPort(Wires wires) : wires_(std::move(wires)) {}
  AhciPort(const AhciPort&) = delete;
  AhciPort& operator=(const AhciPort&) = delete;

  void attach(BlockBackend& backend, const DriveIdentity& identity);
  CdromUnit& attach_cdrom(BlockBackend* medium, const DriveIdentity& identity);
  [[nodiscard]] u32 read(u32 offset) const;
  void write(u32 offset, u32 value);
  [[nodiscard]] bool pending_interrupt() const { return (is_ & ie_) != 0; }
  // HBA reset or power-on: the link comes up again and the disk sends its signature.
  void reset();
  void transfer(StateIo& io);
  void resumed();

 private:
  using Fis = std::array<u8, 64>;
  // A command between its slot and its end.
  struct Request : ScsiRequest {
    unsigned slot = 0;
    Fis fis{};
    u64 moved_bytes = 0;
    bool is_queued = false;
    bool is_packet = false;
  };
  struct Range {
    u64 first = 0;
    u64 count = 0;  // sectors
  };

  void write_command(u32 value);
  void write_control(u32 value);
  void send_signature();
  void run_slots();
  [[nodiscard]] bool can_run() const;
  [[nodiscard]] bool must_wait(unsigned slot) const;
  void start_slot(unsigned slot);
  // What a command does at once; the rest is answered later.
  void execute(u64 id, Request& request);
  void execute_other(u64 id, Request& request);
  void move_data(u64 id, Request& request, bool is_read, const Range& range);
  void send_page(u64 id, Request& request, std::span<const u8> bytes);
  void make_serial(std::span<u8> page) const;
  void read_log(u64 id, Request& request);
  void set_features(u64 id, Request& request);
  void smart(u64 id, Request& request);
  void trim(u64 id, Request& request);
  void ended(u64 id);
  // Packets and the rest of what CD drives know (ahci_packets.cpp).
  void execute_on_cdrom(u64 id, Request& request);
  void run_packet(u64 id, Request& request);
  void end_packet(u64 id, const scsi::Sense& sense);
  void identify_cdrom(u64 id, Request& request);
  void medium_leaves();
  [[nodiscard]] bool is_connected() const { return backend_ != nullptr || cdrom_ != nullptr; }
  void drain();
  void succeed(u64 id, bool was_pio = false);
  void abort(u64 id, u8 error);
  void post_fis(u32 at, std::span<const u8> fis);
  // `count` is the sector count register: a packet's interrupt reason.
  void post_register_fis(u8 count = 0);
  void post_device_bits(u32 done, bool error);
  void raise(u32 bits);
  void forget_requests();
  [[nodiscard]] bool map_prds(u64 header, u64 limit_bytes, bool for_writing, DmaList& out) const;
  [[nodiscard]] Range range28(const Fis& fis) const;
  [[nodiscard]] Range range48(const Fis& fis) const;
  [[nodiscard]] u64 list_base() const { return u64{clb_} | u64{clbu_} << 32; }
  [[nodiscard]] u64 fis_base() const { return u64{fb_} | u64{fbu_} << 32; }
  [[nodiscard]] u64 sectors() const { return backend_->size_bytes() / 512; }

  // wires
  Wires wires_;
  BlockBackend* backend_ = nullptr;  // a disk's; null: a CD drive, or nothing
  // parts
  std::unique_ptr<CdromUnit> cdrom_;
  DriveIdentity identity_;
  RateLimit complaints_{20};
  // state (saved)
  u32 clb_ = 0, clbu_ = 0, fb_ = 0, fbu_ = 0;
  u32 is_ = 0, ie_ = 0, cmd_ = 0;
  u32 sctl_ = 0, serr_ = 0, sact_ = 0, ci_ = 0;
  u32 started_ = 0;  // slots of ci_ that are being worked on
  u8 status_ = 0x50, error_ = 0;
  bool is_stopped_ = false;  // by an error, until the guest restarts the list
  bool write_cache_ = true;
  bool smart_ = true;
  u8 transfer_mode_ = 0x45;
  u8 failed_tag_ = 0x80;  // for the NCQ error log; 80h: none
  u8 failed_error_ = 0;
  DiskRequests<Request> requests_{"ahci", [this](u64 id) { ended(id); }};
  // scratch (rebuilt)
  bool running_ = false;
};

}  // namespace emu
