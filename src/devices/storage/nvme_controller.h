// SPDX-License-Identifier: Apache-2.0
// An NVM Express controller with one namespace: admin and I/O queues in guest memory, data by PRP
// lists or SGLs straight between guest RAM and the image, MSI-X or INTx.
// Source: NVM Express Base Specification 1.4.
// Threads: the machine lock is held by every caller; backends complete through the Executor, under
// that lock.
// Not modelled: asynchronous events (their commands wait for ever), controller memory buffer,
// metadata, reservations, weighted arbitration, firmware download, formatting.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "base/log.h"
#include "block/block_backend.h"
#include "devices/guest_window.h"
#include "devices/io_window.h"
#include "devices/pci/pci_device.h"
#include "devices/storage/disk_requests.h"
#include "devices/storage/nvme_spec.h"

namespace emu {

class NvmeController final : public PciDevice {
 public:
  static constexpr unsigned kMaxQueues = 17;  // pairs, the admin pair included

  // `backend` outlives this, and is drained before this is destroyed. `serial`: at most 20
  // characters.
  NvmeController(PciBus& bus, u8 devfn, const std::string& name, BlockBackend& backend,
                 std::string serial);
  ~NvmeController() override;

  void reset() override;
  void transfer(StateIo& io) override;
  void resumed() override;

 private:
  using Command = std::array<u8, nvme::kCommandBytes>;
  struct SubmissionQueue {
    bool exists = false;
    u64 base = 0;
    u32 size = 0;
    u16 cq = 0;
    u32 head = 0;
    u32 tail = 0;
    u32 in_flight = 0;  // commands taken and not yet answered; at most `size`
    GuestWindow memory;
  };
  struct Completion {
    u32 result = 0;
    u16 sq = 0;
    u16 command_id = 0;
    u16 status = 0;
  };
  struct CompletionQueue {
    bool exists = false;
    u64 base = 0;
    u32 size = 0;
    u16 vector = 0;
    bool interrupts = false;
    u32 head = 0;
    u32 tail = 0;
    bool phase = true;
    std::deque<Completion> waiting;  // while the queue is full
    GuestWindow memory;
  };
  // A command between fetching and its completion.
  struct Request : DiskRequest {
    u16 sq = 0;
    Command command{};
  };
  [[nodiscard]] static u32 word(const Command& c, unsigned n) { return load_le<u32>(&c[n * 4]); }
  [[nodiscard]] static u64 wide(const Command& c, unsigned n) { return load_le<u64>(&c[n * 4]); }
  [[nodiscard]] static u16 id_of(const Command& c) { return load_le<u16>(&c[2]); }

  // Registers.
  [[nodiscard]] u64 read_register(u64 offset, unsigned size);
  void write_register(u64 offset, unsigned size, u64 value);
  void write_configuration(u32 value);
  void enable();
  void disable();
  void fatal(std::string_view why);
  void ring_doorbell(u32 index, u32 value);
  [[nodiscard]] u64 page_bytes() const { return u64{4096} << (cc_ >> 7 & 15); }

  // Queues.
  bool map_queue(SubmissionQueue& queue);
  bool map_queue(CompletionQueue& queue);
  void process(u16 sq);
  void complete(u16 sq, u16 command_id, u16 status, u32 result = 0);
  void post(u16 cq);
  void update_interrupt();
  [[nodiscard]] u64 blocks() const { return backend_.size_bytes() / 512; }

  void transfer_queue(StateIo& io, SubmissionQueue& queue);
  void transfer_queue(StateIo& io, CompletionQueue& queue);
  void transfer_requests(StateIo& io);

  // Admin commands (nvme_admin.cpp).
  void execute_admin(const Command& command);
  [[nodiscard]] u16 create_cq(const Command& c);
  [[nodiscard]] u16 create_sq(const Command& c);
  [[nodiscard]] u16 delete_cq(const Command& c);
  [[nodiscard]] u16 delete_sq(const Command& c);
  [[nodiscard]] u16 identify(const Command& c);
  [[nodiscard]] u16 log_page(const Command& c);
  [[nodiscard]] u16 set_features(const Command& c, u32& result);
  [[nodiscard]] u16 get_features(const Command& c, u32& result);
  [[nodiscard]] u16 send(const Command& c, std::span<const u8> bytes);
  void fill_controller(std::span<u8> out) const;
  void fill_namespace(std::span<u8> out) const;

  // I/O commands (nvme_io.cpp).
  void execute_io(u16 sq, const Command& command);
  [[nodiscard]] u16 start_io(u64 id, Request& request);
  [[nodiscard]] u16 move_data(u64 id, Request& request, bool to_guest);
  [[nodiscard]] u16 write_zeroes(u64 id, Request& request);
  [[nodiscard]] u16 deallocate(u64 id, Request& request);
  void ended(u64 id);
  // Where a command's data is: `bytes` through its PRPs or its SGL.
  [[nodiscard]] u16 map_data(const Command& c, u64 bytes, bool for_writing, DmaList& out);
  [[nodiscard]] u16 map_prps(u64 first, u64 second, u64 bytes, bool for_writing, DmaList& out);
  [[nodiscard]] u16 map_sgl(std::span<const u8> descriptor, u64 bytes, bool for_writing,
                            DmaList& out);

  // wires
  BlockBackend& backend_;
  // parts
  const std::string serial_;
  IoWindow<NvmeController> registers_{*this, &NvmeController::read_register,
                                      &NvmeController::write_register};
  std::unique_ptr<Region> registers_region_;
  std::unique_ptr<Region> bar_;
  MsixCapability* msix_ = nullptr;
  RateLimit complaints_{20};
  // state (saved)
  u32 cc_ = 0;
  u32 csts_ = 0;
  u32 aqa_ = 0;
  u64 asq_ = 0;
  u64 acq_ = 0;
  u32 interrupt_mask_ = 0;
  std::array<u32, nvme::kFeatureCount> features_{};
  std::array<SubmissionQueue, kMaxQueues> sqs_;
  std::array<CompletionQueue, kMaxQueues> cqs_;
  DiskRequests<Request> requests_{"nvme", [this](u64 id) { ended(id); }};
  std::vector<u16> event_requests_;  // command ids
  // scratch (rebuilt)
  bool processing_ = false;
};

}  // namespace emu
