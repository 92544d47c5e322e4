// SPDX-License-Identifier: Apache-2.0
// A small thread pool per disk.
#include "block/thread_backend.h"

#include <cerrno>

#include "base/bits.h"
#include "base/log.h"

namespace emu {
namespace {

// A read of at most so many bytes that the host has in memory is quicker done than handed over.
constexpr u64 kAtOnceBytes = 64 * kKiB;

}  // namespace

Result<void> check_request(const BlockRequest& request, u64 size_bytes, bool read_only) {
  if (request.op == BlockOp::kFlush) return {};
  const bool has_data = request.op == BlockOp::kRead || request.op == BlockOp::kWrite;
  const u64 length = has_data ? total_bytes(request.buffers) : request.length_bytes;
  if (!range_fits(request.offset_bytes, length, size_bytes))
    return Error{EINVAL, fmt::format("{} bytes at {} lie outside the disk of {} bytes", length,
                                     request.offset_bytes, size_bytes)};
  if (request.op != BlockOp::kRead && read_only) return Error{EROFS, "the disk is read-only"};
  return {};
}

Result<void> perform(DiskImage& image, const BlockRequest& request) {
  switch (request.op) {
    case BlockOp::kRead:
      return image.read(request.offset_bytes, request.buffers);
    case BlockOp::kWrite:
      return image.write(request.offset_bytes, request.buffers);
    case BlockOp::kFlush:
      return image.flush();
    case BlockOp::kDiscard:
      return image.discard(request.offset_bytes, request.length_bytes);
    case BlockOp::kWriteZeroes:
      return image.write_zeroes(request.offset_bytes, request.length_bytes);
  }
  return Error{EINVAL, "unknown disk request"};
}

ThreadBackend::ThreadBackend(std::unique_ptr<DiskImage> image, Executor& executor,
                             unsigned max_threads, CacheMode cache, std::unique_ptr<IoRing> ring)
    : image_(std::move(image)),
      executor_(executor),
      max_threads_(max_threads),
      cache_(cache),
      ring_(std::move(ring)) {
  EMU_CHECK(max_threads >= 1 && max_threads <= 64);
  if (ring_) ring_->run([this] { executor_.serve(); });
}

ThreadBackend::~ThreadBackend() {
  drain();
  ring_.reset();
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  has_work_.notify_all();
  threads_.clear();  // joins
  if (auto flushed = image_->flush(); !flushed)
    log(LogLevel::kError, "block", "{}", flushed.error().message);
}

void ThreadBackend::submit(BlockRequest request, BlockCompletion done) {
  if (auto valid = check_request(request, size_bytes(), read_only()); !valid) {
    finish(std::move(done), valid.error());
    return;
  }
  if (request.op == BlockOp::kRead && total_bytes(request.buffers) <= kAtOnceBytes &&
      image_->read_at_once(request.offset_bytes, request.buffers)) {
    executor_.post([done = std::move(done)] { done({}); });
    return;
  }
  Job job{std::move(request), std::move(done)};
  if (ring_ && start_on_ring(job)) return;
  enqueue(std::move(job));
}

// Writes into the host's page cache: the kernel lets only one at a time into a file, so that a
// second thread would only wait for the first.
bool ThreadBackend::is_small_write(const BlockRequest& request) const {
  return (cache_ == CacheMode::kWriteBack || cache_ == CacheMode::kUnsafe) &&
         request.op == BlockOp::kWrite && total_bytes(request.buffers) <= kAtOnceBytes;
}

void ThreadBackend::enqueue(Job job) {
  {
    const std::lock_guard lock(mutex_);
    const bool has_writer = is_small_write(job.request) && small_writes_++ != 0;
    queue_.push_back(std::move(job));
    if (has_writer) return;
    if (queue_.size() > waiting_threads_ && threads_.size() < max_threads_)
      threads_.emplace_back([this] { work(); });
  }
  has_work_.notify_one();
}

bool ThreadBackend::start_on_ring(Job& job) {
  const bool is_write = job.request.op == BlockOp::kWrite;
  if (job.request.op != BlockOp::kRead && !(is_write && !writes_through(cache_))) return false;
  const auto place = image_->place(is_write, job.request.offset_bytes, job.request.buffers);
  if (!place) return false;
  auto transfer = std::make_unique<RingTransfer>();
  transfer->is_write = is_write;
  transfer->fd = place->fd;
  transfer->offset = place->offset;
  for (const auto piece : job.request.buffers)
    transfer->pieces.push_back({piece.data(), piece.size()});
  const u64 length = total_bytes(job.request.buffers);
  auto shared = std::make_shared<Job>(std::move(job));
  transfer->done = [this, shared, length](i64 moved) {
    ring_answered(std::move(*shared), length, moved);
  };
  {
    const std::lock_guard lock(mutex_);
    ++running_;
  }
  if (ring_->start(transfer)) return true;
  const std::lock_guard lock(mutex_);
  --running_;
  job = std::move(*shared);
  return false;
}

// What went wrong or fell short is done again by a thread, which also finds the words for it.
void ThreadBackend::ring_answered(Job job, u64 length_bytes, i64 moved) {
  if (moved == static_cast<i64>(length_bytes)) {
    executor_.leave([done = std::move(job.done)] { done({}); });
  } else {
    enqueue(std::move(job));
  }
  const std::lock_guard lock(mutex_);
  if (--running_ == 0 && queue_.empty()) is_idle_.notify_all();
}

void ThreadBackend::drain() {
  std::unique_lock lock(mutex_);
  is_idle_.wait(lock, [this] { return queue_.empty() && running_ == 0; });
}

Result<void> ThreadBackend::perform_cached(const BlockRequest& request) {
  if (cache_ == CacheMode::kUnsafe && request.op == BlockOp::kFlush) return {};
  EMU_TRY(perform(*image_, request));
  const bool writes = request.op == BlockOp::kWrite || request.op == BlockOp::kWriteZeroes;
  if (writes_through(cache_) && writes) return image_->flush();
  return {};
}

void ThreadBackend::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    ++waiting_threads_;
    has_work_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    --waiting_threads_;
    if (queue_.empty()) return;
    Job job = std::move(queue_.front());
    queue_.pop_front();
    ++running_;
    const bool is_small = is_small_write(job.request);
    if (!is_small && !queue_.empty()) has_work_.notify_one();  // writes wait for no other thread
    lock.unlock();
    executor_.leave(
        [done = std::move(job.done), result = perform_cached(job.request)] { done(result); });
    lock.lock();
    --running_;
    if (is_small) --small_writes_;
    if (queue_.empty() && running_ == 0) is_idle_.notify_all();
    lock.unlock();
    executor_.serve();
    lock.lock();
  }
}

void ThreadBackend::finish(BlockCompletion done, Result<void> result) {
  executor_.post([done = std::move(done), result = std::move(result)] { done(result); });
}

}  // namespace emu
