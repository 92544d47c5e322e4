// SPDX-License-Identifier: Apache-2.0
// The door between disk controllers and disk images.
//
// Who validates: the backend refuses (with EINVAL) any range outside [0, size_bytes()), so a
// controller may pass on what a guest asked for. Requests may complete in any order; a controller
// that needs order waits for completions. A completed write is visible to later reads; it is on
// stable storage only after a later flush has completed. A failed request changed nothing that was
// flushed before.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/types.h"

namespace emu {

// Runs functions on the thread and under the lock that devices live with.
class Executor {
 public:
  virtual ~Executor() = default;
  // Runs `work` soon, never inside the call, in posting order, with the machine lock held. Any
  // thread may post.
  virtual void post(std::function<void()> work) = 0;
  // post() for a thread that holds no lock and calls serve() next: nobody needs to be woken.
  virtual void leave(std::function<void()> work) { post(std::move(work)); }
  // Runs here what was posted, if that can be done without waiting; else somebody else soon does.
  // The caller holds no lock.
  virtual void serve() {}
};

enum class BlockOp : u8 { kRead, kWrite, kFlush, kDiscard, kWriteZeroes };

// One transfer. For kRead and kWrite `buffers` are host memory, in order, that stays valid until
// completion, and its total is the length; for kDiscard and kWriteZeroes `length_bytes` counts.
struct BlockRequest {
  BlockOp op = BlockOp::kRead;
  u64 offset_bytes = 0;
  u64 length_bytes = 0;
  std::vector<std::span<u8>> buffers;
};

// Called exactly once for each request.
using BlockCompletion = std::function<void(Result<void>)>;

class BlockBackend {
 public:
  virtual ~BlockBackend() = default;
  // Size of the virtual disk; a multiple of 512.
  [[nodiscard]] virtual u64 size_bytes() const = 0;
  [[nodiscard]] virtual bool read_only() const = 0;
  // What a person calls it: "disk.qcow2 (qcow2, 3.1 of 20 GiB)".
  [[nodiscard]] virtual std::string describe() const = 0;
  // Starts a transfer. `done` runs through the Executor the backend was opened with.
  virtual void submit(BlockRequest request, BlockCompletion done) = 0;
  // Waits until every submitted request has completed (completions may still be posted). Called
  // without the machine lock, or by a thread that may block.
  virtual void drain() = 0;
};

}  // namespace emu
