// SPDX-License-Identifier: Apache-2.0
// Moving what a SCSI command's plan says, for controllers that keep their commands in DiskRequests.
// Source: MMC-3 (T10/1363D) 6.17 for raw blocks.
#pragma once

#include <algorithm>

#include "devices/storage/atapi_replies.h"
#include "devices/storage/atapi_spec.h"
#include "devices/storage/disk_requests.h"
#include "devices/storage/scsi_unit.h"

namespace emu {

struct ScsiRequest : DiskRequest {
  std::shared_ptr<std::vector<u8>> own_memory;  // what the backend moves instead of `data`
  u64 raw_block = 0;                            // the first one, if raw blocks are read
  bool is_raw = false;
};

// What one command may make us allocate for raw blocks.
inline constexpr u64 kMaxRawBytes = 2048 * atapi::kBlockBytes;

// The initiator's bytes that a plan moves.
[[nodiscard]] inline u64 initiator_bytes(const ScsiPlan& plan) {
  return plan.is_raw ? plan.length_bytes / atapi::kBlockBytes * atapi::kRawBlockBytes
                     : plan.length_bytes;
}

// Submits all requests of a plan; `request.data` is the initiator's memory for its data, and raw
// reads are at most kMaxRawBytes. The caller releases the request.
template <class Request>
void submit_plan(DiskRequests<Request>& requests, u64 id, Request& request, ScsiPlan& plan,
                 BlockBackend& backend) {
  request.own_memory = plan.pattern;
  request.reads = plan.reads;
  if (plan.flushes_after) request.flushes_after = &backend;
  for (BlockRequest& block : plan.requests) requests.submit(id, backend, std::move(block));
  if (!plan.reads && !plan.writes) return;
  BlockRequest block{plan.reads ? BlockOp::kRead : BlockOp::kWrite, plan.offset_bytes, 0,
                     request.data.pieces()};
  if (plan.is_raw) {
    request.own_memory = std::make_shared<std::vector<u8>>(plan.length_bytes);
    request.is_raw = true;
    request.raw_block = plan.offset_bytes / atapi::kBlockBytes;
    block.buffers = {*request.own_memory};
  }
  requests.submit(id, backend, std::move(block));
}

// Raw blocks are made around the data when that has been read.
inline void finish_raw(ScsiRequest& request) {
  if (!request.is_raw || request.failed) return;
  std::array<u8, atapi::kRawBlockBytes> raw;
  const std::vector<u8>& data = *request.own_memory;
  for (u64 i = 0; i < data.size() / atapi::kBlockBytes; ++i) {
    const auto block = std::span(data).subspan(i * atapi::kBlockBytes, atapi::kBlockBytes);
    atapi::make_raw_block(raw, block, static_cast<u32>(request.raw_block + i));
    request.data.write(i * atapi::kRawBlockBytes, raw);
  }
}

}  // namespace emu
