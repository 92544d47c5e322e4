// SPDX-License-Identifier: Apache-2.0
#include "block/io_ring.h"

#include <liburing.h>

#include <cerrno>
#include <mutex>
#include <thread>

namespace emu {
namespace {

constexpr unsigned kEntries = 256;

class LinuxRing final : public IoRing {
 public:
  // Null: refused.
  static std::unique_ptr<IoRing> create() {
    std::unique_ptr<LinuxRing> ring(new LinuxRing);
    if (::io_uring_queue_init(kEntries, &ring->ring_, 0) != 0) return nullptr;
    ring->is_open_ = true;
    return ring;
  }
  // Every transfer has been reported.
  ~LinuxRing() override {
    if (reaper_.joinable()) {
      wake_for_good();
      reaper_.join();
    }
    if (is_open_) ::io_uring_queue_exit(&ring_);
  }

  void run(std::function<void()> after) override {
    reaper_ = std::thread([this, after = std::move(after)] { reap(after); });
  }

  bool start(std::unique_ptr<RingTransfer>& transfer) override {
    const std::lock_guard lock(mutex_);
    if (in_flight_ == kEntries) return false;
    io_uring_sqe* entry = ::io_uring_get_sqe(&ring_);
    if (entry == nullptr) return false;
    const RingTransfer& t = *transfer;
    const auto pieces = static_cast<unsigned>(t.pieces.size());
    if (t.is_write) {
      ::io_uring_prep_writev(entry, t.fd, t.pieces.data(), pieces, t.offset);
    } else {
      ::io_uring_prep_readv(entry, t.fd, t.pieces.data(), pieces, t.offset);
    }
    ::io_uring_sqe_set_data(entry, transfer.release());
    ++in_flight_;
    submit();
    return true;
  }

 private:
  LinuxRing() = default;

  // What the kernel did not take for lack of memory goes with the next one, or is offered again.
  void submit() {
    int taken = 0;
    do {
      taken = ::io_uring_submit(&ring_);
      if (taken == -EAGAIN || taken == -EBUSY) std::this_thread::yield();
    } while (taken == -EINTR || taken == -EAGAIN || taken == -EBUSY);
  }

  void wake_for_good() {
    const std::lock_guard lock(mutex_);
    io_uring_sqe* entry = ::io_uring_get_sqe(&ring_);
    ::io_uring_prep_nop(entry);
    ::io_uring_sqe_set_data(entry, nullptr);
    submit();
  }

  void reap(const std::function<void()>& after) {
    for (;;) {
      io_uring_cqe* result = nullptr;
      if (::io_uring_wait_cqe(&ring_, &result) != 0) continue;  // a signal
      bool ends = false;
      do {
        ends = !report(result) || ends;
      } while (::io_uring_peek_cqe(&ring_, &result) == 0);
      after();
      if (ends) return;
    }
  }

  // False: the ring shall end.
  bool report(io_uring_cqe* result) {
    const std::unique_ptr<RingTransfer> transfer(
        static_cast<RingTransfer*>(::io_uring_cqe_get_data(result)));
    const i64 moved = result->res;
    ::io_uring_cqe_seen(&ring_, result);
    if (transfer == nullptr) return false;
    {
      const std::lock_guard lock(mutex_);
      --in_flight_;
    }
    transfer->done(moved);
    return true;
  }

  io_uring ring_{};
  bool is_open_ = false;
  std::thread reaper_;
  std::mutex mutex_;  // guards the submission side and what follows
  unsigned in_flight_ = 0;
};

}  // namespace

std::unique_ptr<IoRing> IoRing::create() {
  return LinuxRing::create();
}

}  // namespace emu
