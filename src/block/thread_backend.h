// SPDX-License-Identifier: Apache-2.0
// Makes a blocking DiskImage an asynchronous BlockBackend, so that no vCPU ever waits for the host:
// small reads of what the host has in memory are answered at once; transfers that need nothing but
// the host's file go through an io_uring, if the host has one; a few threads do the rest.
// Threads: submit() and drain() from any thread; completions through the Executor.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "block/block_backend.h"
#include "block/cache_mode.h"
#include "block/disk_image.h"
#include "block/io_ring.h"

namespace emu {

// EINVAL for a range outside the disk, EROFS for a write to a read-only disk.
[[nodiscard]] Result<void> check_request(const BlockRequest& request, u64 size_bytes,
                                         bool read_only);
// Does the request now, after check_request(). Errors: the image's.
[[nodiscard]] Result<void> perform(DiskImage& image, const BlockRequest& request);

class ThreadBackend final : public BlockBackend {
 public:
  // Threads start when there is work for them, `max_threads` (1..64) at most. `ring` may be null.
  ThreadBackend(std::unique_ptr<DiskImage> image, Executor& executor, unsigned max_threads,
                CacheMode cache = CacheMode::kWriteBack, std::unique_ptr<IoRing> ring = nullptr);
  // Finishes all submitted requests and flushes; completions are still posted.
  ~ThreadBackend() override;

  [[nodiscard]] u64 size_bytes() const override { return image_->size_bytes(); }
  [[nodiscard]] bool read_only() const override { return image_->read_only(); }
  [[nodiscard]] std::string describe() const override { return image_->describe(); }
  void submit(BlockRequest request, BlockCompletion done) override;
  void drain() override;

 private:
  struct Job {
    BlockRequest request;
    BlockCompletion done;
  };
  void work();
  [[nodiscard]] bool is_small_write(const BlockRequest& request) const;
  void enqueue(Job job);
  [[nodiscard]] bool start_on_ring(Job& job);
  void ring_answered(Job job, u64 length_bytes, i64 moved);
  [[nodiscard]] Result<void> perform_cached(const BlockRequest& request);
  void finish(BlockCompletion done, Result<void> result);

  std::unique_ptr<DiskImage> image_;
  Executor& executor_;
  unsigned max_threads_;
  const CacheMode cache_;

  std::mutex mutex_;  // guards what follows
  std::condition_variable has_work_;
  std::condition_variable is_idle_;
  std::deque<Job> queue_;
  u64 running_ = 0;
  u64 small_writes_ = 0;  // queued or being done
  unsigned waiting_threads_ = 0;
  bool stopping_ = false;
  std::vector<std::jthread> threads_;
  std::unique_ptr<IoRing> ring_;
};

}  // namespace emu
