// SPDX-License-Identifier: Apache-2.0
// A SCSI logical unit without its transport: turns a command into what has to be moved. ATAPI on
// IDE, ATAPI on AHCI and virtio-scsi move it.
// Source: SAM-5 (T10/2104-D) 4; SPC-4 (T10/1731-D).
// Threads: the machine lock is held by every caller.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/state_io.h"
#include "block/block_backend.h"
#include "devices/storage/scsi_spec.h"

namespace emu {

// What the transport shall do for a command: nothing (all is well), or one of a failure, an answer,
// a transfer between the initiator and the medium, or requests that move nothing of the
// initiator's.
struct ScsiPlan {
  scsi::Sense sense{};  // a failure: check condition
  std::vector<u8> reply;
  // The medium's [offset, offset + length) goes to the initiator, or comes from it.
  bool reads = false;
  bool writes = false;
  u64 offset_bytes = 0;
  u64 length_bytes = 0;
  bool is_raw = false;  // 2048 bytes of the medium are 2352 of the initiator's (READ CD)
  // In any order.
  std::vector<BlockRequest> requests;
  bool flushes_after = false;
  std::shared_ptr<std::vector<u8>> pattern;  // what `requests` write; lives until they are done

  [[nodiscard]] static ScsiPlan failure(const scsi::Sense& sense) {
    ScsiPlan plan;
    plan.sense = sense;
    return plan;
  }
  // At most `limit` bytes of the answer.
  [[nodiscard]] static ScsiPlan answer(std::vector<u8> bytes, u64 limit) {
    ScsiPlan plan;
    plan.reply = std::move(bytes);
    if (plan.reply.size() > limit) plan.reply.resize(limit);
    return plan;
  }
  [[nodiscard]] bool failed() const { return sense != scsi::kNoSense; }
};

class ScsiUnit {
 public:
  // Copies the first bytes that the initiator sends with a command; how many there were.
  using Parameters = std::function<std::size_t(std::span<u8> out)>;
  static constexpr std::size_t kMaxCommandBytes = 16;

  ScsiUnit() = default;
  virtual ~ScsiUnit() = default;
  ScsiUnit(const ScsiUnit&) = delete;
  ScsiUnit& operator=(const ScsiUnit&) = delete;

  // `command` has at least kMaxCommandBytes, zeros behind its end.
  [[nodiscard]] virtual ScsiPlan plan(std::span<const u8> command,
                                      const Parameters& parameters) = 0;
  // Null: no medium.
  [[nodiscard]] virtual BlockBackend* backend() = 0;
  [[nodiscard]] virtual u8 device_type() const = 0;
  // Power-on, or a reset of the unit.
  virtual void reset() = 0;
  // Fields with tags from 100 on.
  virtual void transfer(StateIo& io) = 0;

  // What REQUEST SENSE tells next, on transports that do not deliver sense with the failure.
  void remember(const scsi::Sense& sense) { sense_ = sense; }

 protected:
  [[nodiscard]] scsi::Sense& pending_sense() { return sense_; }
  void transfer_sense(StateIo& io);

 private:
  scsi::Sense sense_;
};

// Sense data as a failure carries it: 18 bytes, fixed format (SPC-4 4.5.3).
[[nodiscard]] std::vector<u8> fixed_sense(const scsi::Sense& sense);
// Standard INQUIRY data (SPC-4 6.4.2) of a unit that is `removable` or not; `product` has at most
// 16 characters, `revision` 4.
struct InquiryText {
  std::string product;
  std::string revision;
};
[[nodiscard]] std::vector<u8> standard_inquiry(u8 device_type, bool removable,
                                               const InquiryText& text);
// Vital product data pages that every unit has: 00h (of `pages`, which are in order), 80h and 83h.
[[nodiscard]] std::vector<u8> vpd_pages(u8 device_type, std::span<const u8> pages);
[[nodiscard]] std::vector<u8> vpd_serial(u8 device_type, const std::string& serial);
[[nodiscard]] std::vector<u8> vpd_identification(u8 device_type, const InquiryText& text,
                                                 const std::string& serial);

}  // namespace emu
