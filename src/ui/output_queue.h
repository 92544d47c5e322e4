// SPDX-License-Identifier: Apache-2.0
// Bytes on their way to a descriptor: accepted at once, written in batches by an own thread.
// Why a thread: a guest sends its console byte by byte with the machine lock held, and a terminal
// or pipe may be slow; one write(2) every two milliseconds costs the guest nothing.
// Threads: send() from any thread, no lock needed.
#pragma once

#include <condition_variable>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "base/types.h"

namespace emu {

class OutputQueue {
 public:
  // `fd` stays the caller's and must outlive the queue.
  explicit OutputQueue(int fd);
  // Writes everything that was sent, then returns. Waits for a slow reader.
  ~OutputQueue();
  OutputQueue(const OutputQueue&) = delete;
  OutputQueue& operator=(const OutputQueue&) = delete;

  // Takes all bytes. With a backlog over kSlowBacklogBytes every call waits a millisecond, so that
  // a reader that stopped slows the sender instead of filling memory.
  void send(std::span<const u8> bytes);
  // Waits until everything sent so far is written (or the descriptor failed).
  void flush();

 private:
  static constexpr std::size_t kSlowBacklogBytes = 8 * kMiB;
  void write_loop();
  // False if the descriptor takes no more (closed pipe, full disk): the rest is dropped.
  bool write_all(std::span<const u8> bytes);

  const int fd_;
  std::mutex mutex_;
  std::condition_variable wake_writer_;
  std::condition_variable written_;
  std::vector<u8> queued_;
  bool writing_ = false;
  bool flush_wanted_ = false;
  bool failed_ = false;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace emu
