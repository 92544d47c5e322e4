// SPDX-License-Identifier: Apache-2.0
// A USB disk: bulk-only transport, and the commands of a SCSI direct-access device.
// Source: USB Mass Storage Class, Bulk-Only Transport 1.0; SCSI Primary Commands 4 (SPC-4) and
// Block Commands 3 (SBC-3).
// Threads: the machine lock is held by every caller; the backend completes through the Executor,
// under that lock.
// How: what the guest expects beyond what a command gives is padded with zeroes, or taken and
// dropped, and counted as residue (6.7.2, 6.7.3): so no data stage ends in a stall.
// Not modelled: several logical units, media that can be removed, write caches to be switched.
#pragma once

#include <memory>

#include "block/block_backend.h"
#include "devices/usb/usb_device.h"

namespace emu {

class UsbStorage final : public UsbDevice {
 public:
  // `backend` outlives this, and is drained before this is destroyed. `serial` is ASCII. A disk
  // behind a full-speed bus or hub says `speed`.
  UsbStorage(std::string name, BlockBackend& backend, std::string serial, usb::Speed speed);

  [[nodiscard]] usb::Speed speed() const override { return speed_; }
  void resumed() override;

 private:
  // kBackend: a request is under way. kBroken: only a reset helps (5.3.4).
  enum class Phase : u8 { kCommand, kDataIn, kDataOut, kBackend, kStatus, kBroken };
  struct Sense {
    u8 key, code;
  };

  [[nodiscard]] std::span<const u8> device_descriptor() const override { return device_; }
  [[nodiscard]] std::span<const u8> configuration_descriptor() const override {
    return configuration_;
  }
  [[nodiscard]] std::string_view string(u8 index) const override;
  [[nodiscard]] std::optional<std::vector<u8>> control_in(const usb::Setup& setup) override;
  [[nodiscard]] bool control_out(const usb::Setup& setup, std::span<const u8> data) override;
  [[nodiscard]] UsbReply endpoint_in(u8 endpoint, std::span<u8> data) override;
  [[nodiscard]] UsbReply endpoint_out(u8 endpoint, std::span<const u8> data) override;
  void function_reset() override;
  void transfer_function(StateIo& io) override;

  [[nodiscard]] UsbReply take_command(std::span<const u8> data);
  [[nodiscard]] UsbReply take_data(std::span<const u8> data);
  [[nodiscard]] UsbReply give_data(std::span<u8> data);
  [[nodiscard]] UsbReply give_status(std::span<u8> data);
  // SCSI. A command that moves no blocks leaves its answer in buffer_.
  void execute();
  void reply(std::vector<u8> bytes, std::size_t allocated);
  void fail(Sense sense);
  void start_blocks(u64 first, u64 count, bool writes);
  void next_chunk();
  void issue();
  void submit();
  void completed(const Result<void>& result);
  void data_stage();
  [[nodiscard]] std::vector<u8> inquiry() const;
  [[nodiscard]] std::vector<u8> mode_pages(bool long_header) const;
  [[nodiscard]] u64 blocks() const { return backend_.size_bytes() / 512; }

  // wires
  BlockBackend& backend_;
  // parts
  const std::string serial_;
  const usb::Speed speed_;
  std::array<u8, 18> device_{};
  std::array<u8, 32> configuration_{};
  // state (saved)
  Phase phase_ = Phase::kCommand;
  u32 tag_ = 0;
  u32 expected_ = 0;  // bytes of the data stage that are still to move
  bool expects_in_ = false;
  u32 residue_ = 0;
  u8 result_ = 0;                 // 0 passed, 1 failed, 2 phase error
  std::array<u8, 16> command_{};  // as the guest gave it
  std::array<u8, 2> sense_{};     // key and additional code of the last failure
  u64 next_block_ = 0;            // of the disk
  u32 blocks_left_ = 0;           // beyond the buffer
  bool writes_ = false;           // the command puts blocks onto the disk
  bool flushes_ = false;          // the request is a flush
  u32 position_ = 0;              // in the buffer
  std::shared_ptr<std::vector<u8>> buffer_ = std::make_shared<std::vector<u8>>();
  // scratch (rebuilt)
  unsigned in_flight_ = 0;
  bool issue_waits_ = false;
  u32 generation_ = 0;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace emu
