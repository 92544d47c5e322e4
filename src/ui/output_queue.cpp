// SPDX-License-Identifier: Apache-2.0
// The writer thread of OutputQueue.
// Source: write(2), poll(2), pthread_sigmask(3), signal(7).
#include "ui/output_queue.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>

#include "base/log.h"

namespace emu {
namespace {

// How long a batch may collect before it is written.
constexpr std::chrono::milliseconds kBatchTime{2};

void block_sigpipe() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

}  // namespace

OutputQueue::OutputQueue(int fd) : fd_(fd), thread_([this] { write_loop(); }) {}

OutputQueue::~OutputQueue() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_writer_.notify_one();
  thread_.join();
}

void OutputQueue::send(std::span<const u8> bytes) {
  std::unique_lock lock(mutex_);
  if (failed_ || bytes.empty()) return;
  if (queued_.size() > kSlowBacklogBytes) {
    written_.wait_for(lock, std::chrono::milliseconds(1));
    if (failed_) return;
  }
  const bool was_empty = queued_.empty();
  queued_.insert(queued_.end(), bytes.begin(), bytes.end());
  lock.unlock();
  if (was_empty) wake_writer_.notify_one();
}

void OutputQueue::flush() {
  std::unique_lock lock(mutex_);
  flush_wanted_ = true;
  wake_writer_.notify_one();
  written_.wait(lock, [this] { return failed_ || (queued_.empty() && !writing_); });
  flush_wanted_ = false;
}

void OutputQueue::write_loop() {
  block_sigpipe();
  std::vector<u8> batch;
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_writer_.wait(lock, [this] { return stop_ || !queued_.empty(); });
    if (queued_.empty()) return;
    wake_writer_.wait_for(lock, kBatchTime, [this] { return stop_ || flush_wanted_; });
    batch.clear();
    batch.swap(queued_);
    writing_ = true;
    lock.unlock();
    const bool good = write_all(batch);
    lock.lock();
    writing_ = false;
    failed_ = failed_ || !good;
    if (failed_) queued_.clear();
    written_.notify_all();
  }
}

bool OutputQueue::write_all(std::span<const u8> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
    if (n >= 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    } else if (errno == EAGAIN) {  // the descriptor was handed to us non-blocking
      pollfd waiting{fd_, POLLOUT, 0};
      ::poll(&waiting, 1, -1);
    } else if (errno != EINTR) {
      log(LogLevel::kWarning, "ui", "guest output is lost from here on: {}", std::strerror(errno));
      return false;
    }
  }
  return true;
}

}  // namespace emu
