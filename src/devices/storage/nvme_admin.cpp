// SPDX-License-Identifier: Apache-2.0
// NVMe admin commands.
// Source: NVM Express 1.4: 5.
#include <algorithm>

#include "base/bits.h"
#include "devices/storage/nvme_controller.h"

namespace emu {

using namespace nvme;

namespace {

constexpr std::size_t kPageBytes4k = 4096;
constexpr u32 kMaxEvents = 4;
constexpr u8 kMdts = 9;  // transfers of up to 2^9 pages of 4 KiB

void put_text(std::span<u8> out, std::string_view text) {
  std::ranges::fill(out, u8{' '});
  std::copy_n(text.begin(), std::min(text.size(), out.size()), out.begin());
}

}  // namespace

void NvmeController::execute_admin(const Command& command) {
  u16 status = kInvalidOpcode;
  u32 result = 0;
  switch (command[0]) {
    case kDeleteSq:
      status = delete_sq(command);
      break;
    case kCreateSq:
      status = create_sq(command);
      break;
    case kGetLogPage:
      status = log_page(command);
      break;
    case kDeleteCq:
      status = delete_cq(command);
      break;
    case kCreateCq:
      status = create_cq(command);
      break;
    case kIdentify:
      status = identify(command);
      break;
    case kAbort:
      result = 1;  // not aborted: it will end by itself (5.1)
      status = kSuccess;
      break;
    case kSetFeatures:
      status = set_features(command, result);
      break;
    case kGetFeatures:
      status = get_features(command, result);
      break;
    case kAsyncEvent:
      if (event_requests_.size() < kMaxEvents) {
        event_requests_.push_back(id_of(command));
        --sqs_[0].in_flight;  // it may wait for ever without being in others' way
        return;
      }
      status = kTooManyEvents;
      break;
    default:
      break;
  }
  complete(0, id_of(command), status, result);
}

u16 NvmeController::create_cq(const Command& c) {
  const u32 number = word(c, 10) & 0xffff;
  const u32 size = (word(c, 10) >> 16) + 1;
  const u32 flags = word(c, 11);
  if (number == 0 || number >= kMaxQueues || cqs_[number].exists) return kBadQueue;
  if (size < 2 || size > (read_register(kCap, 4) & 0xffff) + 1) return kBadQueueSize;
  if ((flags >> 16) >= kMaxQueues) return kBadVector;
  if ((flags & 1) == 0 || wide(c, 6) % page_bytes() != 0) return kInvalidField;
  CompletionQueue queue;
  queue.exists = true;
  queue.base = wide(c, 6);
  queue.size = size;
  queue.vector = static_cast<u16>(flags >> 16);
  queue.interrupts = (flags & 2) != 0;
  if (!map_queue(queue)) return kInvalidField;
  cqs_[number] = std::move(queue);
  return kSuccess;
}

u16 NvmeController::create_sq(const Command& c) {
  const u32 number = word(c, 10) & 0xffff;
  const u32 size = (word(c, 10) >> 16) + 1;
  const u32 cq = word(c, 11) >> 16;
  if (cq == 0 || cq >= kMaxQueues || !cqs_[cq].exists) return kBadCq;
  if (number == 0 || number >= kMaxQueues || sqs_[number].exists) return kBadQueue;
  if (size < 2 || size > (read_register(kCap, 4) & 0xffff) + 1) return kBadQueueSize;
  if ((word(c, 11) & 1) == 0 || wide(c, 6) % page_bytes() != 0) return kInvalidField;
  SubmissionQueue queue;
  queue.exists = true;
  queue.base = wide(c, 6);
  queue.size = size;
  queue.cq = static_cast<u16>(cq);
  if (!map_queue(queue)) return kInvalidField;
  sqs_[number] = queue;
  return kSuccess;
}

u16 NvmeController::delete_cq(const Command& c) {
  const u32 number = word(c, 10) & 0xffff;
  if (number == 0 || number >= kMaxQueues || !cqs_[number].exists) return kBadQueue;
  for (const SubmissionQueue& queue : sqs_) {
    if (queue.exists && queue.cq == number) return kBadDeletion;
  }
  cqs_[number] = {};
  update_interrupt();
  return kSuccess;
}

// Its commands are answered first, as aborted; what they wrote or read is done by then.
u16 NvmeController::delete_sq(const Command& c) {
  const u32 number = word(c, 10) & 0xffff;
  if (number == 0 || number >= kMaxQueues || !sqs_[number].exists) return kBadQueue;
  const auto of_queue = [number](const Request& request) { return request.sq == number; };
  if (!requests_.empty()) backend_.drain();
  for (const Request& request : requests_.take_if(of_queue))
    complete(static_cast<u16>(number), id_of(request.command), kAbortedByDeletion);
  sqs_[number].exists = false;
  return kSuccess;
}

u16 NvmeController::send(const Command& c, std::span<const u8> bytes) {
  DmaList list;
  if (const u16 status = map_data(c, bytes.size(), true, list); status != kSuccess) return status;
  list.write(0, bytes);
  return kSuccess;
}

u16 NvmeController::identify(const Command& c) {
  std::array<u8, kPageBytes4k> page{};
  const u32 name_space = word(c, 1);
  switch (word(c, 10) & 0xff) {
    case 0:  // namespace; all zeros if it is not active
      if (name_space == 0 || (name_space > 1 && name_space != ~0u)) return kInvalidNamespace;
      fill_namespace(page);
      break;
    case 1:
      fill_controller(page);
      break;
    case 2:  // active namespaces above the given one
      if (name_space == 0) page[0] = 1;
      break;
    case 3: {  // namespace identification: a UUID (type 3, 16 bytes)
      if (name_space != 1) return kInvalidNamespace;
      page[0] = 3;
      page[1] = 16;
      put_text(std::span(page).subspan(4, 16), "emu:" + serial_);
      break;
    }
    default:
      return kInvalidField;
  }
  return send(c, page);
}

// Figure 247 of the specification.
void NvmeController::fill_controller(std::span<u8> out) const {
  store_le(&out[0], u16{0x1b36});
  store_le(&out[2], u16{0x1af4});
  put_text(out.subspan(4, 20), serial_);
  put_text(out.subspan(24, 40), "EMU NVME DISK");
  put_text(out.subspan(64, 8), "1.0");
  out[72] = 6;  // recommended arbitration burst: 64
  out[77] = kMdts;
  store_le(&out[80], kVersion);
  out[111] = 1;                   // I/O controller
  out[258] = 3;                   // abort limit
  out[259] = kMaxEvents - 1;      // asynchronous event limit
  out[260] = 3;                   // one firmware slot, read-only
  store_le(&out[266], u16{343});  // kelvin
  store_le(&out[268], u16{373});
  out[512] = 0x66;  // entry sizes: 64 and 16 bytes
  out[513] = 0x44;
  store_le(&out[516], u32{1});     // namespaces
  store_le(&out[520], u16{0x0c});  // dataset management, write zeroes
  out[525] = 7;                    // a volatile write cache; flush of all namespaces
  store_le(&out[536], u32{1});     // SGLs, for I/O commands
  const std::string nqn = "nqn.2024-01.emu:nvme:" + serial_;
  std::copy_n(nqn.begin(), std::min<std::size_t>(nqn.size(), 222), out.begin() + 768);
}

// Figure 245.
void NvmeController::fill_namespace(std::span<u8> out) const {
  for (const unsigned at : {0u, 8u, 16u}) store_le(&out[at], blocks());
  out[33] = 0x08 | 1;                      // deallocated blocks read as zero; by write zeroes too
  out[99] = backend_.read_only() ? 1 : 0;  // write protected
  out[130] = 9;                            // format 0: blocks of 512 bytes
}

u16 NvmeController::log_page(const Command& c) {
  const u64 bytes = (u64{word(c, 10) >> 16} + 1) * 4;
  const u64 offset = wide(c, 12);
  std::array<u8, kPageBytes4k> page{};
  std::size_t size = 64;
  switch (word(c, 10) & 0xff) {
    case 1:  // no errors
      break;
    case 2:  // SMART
      size = 512;
      store_le(&page[1], u16{300});  // kelvin
      page[3] = page[4] = 100;       // spare, and its threshold, in percent
      page[4] = 10;
      break;
    case 3:
      size = 512;
      page[0] = 1;
      put_text(std::span(page).subspan(8, 8), "1.0");
      break;
    default:
      return kBadLogPage;
  }
  if (offset % 4 != 0 || offset > size || bytes > page.size()) return kInvalidField;
  const u64 n = std::min<u64>(bytes, page.size() - offset);
  return send(c, std::span(page).subspan(offset, n));
}

u16 NvmeController::set_features(const Command& c, u32& result) {
  const u32 feature = word(c, 10) & 0xff;
  if (feature == 0 || feature >= kFeatureCount || feature == 3) return kInvalidField;
  if (feature == kFeatureQueues) {
    if ((word(c, 11) & 0xffff) == 0xffff || word(c, 11) >> 16 == 0xffff) return kInvalidField;
    result = (kMaxQueues - 2) | (kMaxQueues - 2) << 16;
    return kSuccess;
  }
  features_[feature] = feature == kFeatureWriteCache ? word(c, 11) & 1 : word(c, 11);
  return kSuccess;
}

u16 NvmeController::get_features(const Command& c, u32& result) {
  const u32 feature = word(c, 10) & 0xff;
  if (feature == 0 || feature >= kFeatureCount || feature == 3) return kInvalidField;
  result =
      feature == kFeatureQueues ? (kMaxQueues - 2) | (kMaxQueues - 2) << 16 : features_[feature];
  return kSuccess;
}

}  // namespace emu
