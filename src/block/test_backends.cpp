// SPDX-License-Identifier: Apache-2.0
// Backends without a file.
#include "block/test_backends.h"

#include "block/disk_image.h"
#include "block/thread_backend.h"

namespace emu {
namespace {

void complete(Executor& executor, BlockCompletion done, Result<void> result) {
  executor.post([done = std::move(done), result = std::move(result)] { done(result); });
}

}  // namespace

std::string MemoryBackend::describe() const {
  return fmt::format("memory disk ({})", size_text(size_bytes()));
}

void MemoryBackend::submit(BlockRequest request, BlockCompletion done) {
  complete(executor_, std::move(done), perform(request));
}

Result<void> MemoryBackend::perform(const BlockRequest& request) {
  EMU_TRY(check_request(request, size_bytes(), read_only_));
  switch (request.op) {
    case BlockOp::kRead:
      return file_.read(request.offset_bytes, request.buffers);
    case BlockOp::kWrite:
      return file_.write(request.offset_bytes, request.buffers);
    case BlockOp::kDiscard:
    case BlockOp::kWriteZeroes:
      return file_.write_zeroes(request.offset_bytes, request.length_bytes);
    case BlockOp::kFlush:
      return {};
  }
  return {};
}

std::string NullBackend::describe() const {
  return fmt::format("null disk ({})", size_text(size_bytes_));
}

void NullBackend::submit(BlockRequest request, BlockCompletion done) {
  auto result = check_request(request, size_bytes_, false);
  if (result && request.op == BlockOp::kRead) zero_pieces(request.buffers);
  complete(executor_, std::move(done), std::move(result));
}

void FaultBackend::submit(BlockRequest request, BlockCompletion done) {
  if (auto error = judge_(request)) {
    complete(executor_, std::move(done), *error);
    return;
  }
  inner_.submit(std::move(request), std::move(done));
}

}  // namespace emu
