// SPDX-License-Identifier: Apache-2.0
// Cache modes and limits of a drive.
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>

#include "block/test_backends.h"
#include "block/thread_backend.h"
#include "block/throttle_backend.h"

namespace emu {
namespace {

// Runs what is posted at once, on the thread that posts.
class DirectExecutor final : public Executor {
 public:
  void post(std::function<void()> work) override { work(); }
};

// An image that only counts.
class CountingImage final : public DiskImage {
 public:
  struct Counts {
    std::atomic<unsigned> writes{0}, flushes{0};
  };
  explicit CountingImage(Counts& counts) : counts_(counts) {}
  [[nodiscard]] u64 size_bytes() const override { return kMiB; }
  [[nodiscard]] bool read_only() const override { return false; }
  [[nodiscard]] std::string describe() const override { return "counting"; }
  [[nodiscard]] ImageInfo info() const override { return {}; }
  Result<void> read(u64, Pieces) override { return {}; }
  Result<void> write(u64, Pieces) override {
    ++counts_.writes;
    return {};
  }
  Result<void> write_zeroes(u64, u64) override { return {}; }
  Result<void> discard(u64, u64) override { return {}; }
  Result<void> flush() override {
    ++counts_.flushes;
    return {};
  }

 private:
  Counts& counts_;
};

// Flushes of the image after one write, and after one flush more.
std::pair<unsigned, unsigned> flushes(CacheMode mode) {
  CountingImage::Counts counts;
  DirectExecutor executor;
  std::vector<u8> data(512);
  ThreadBackend backend(std::make_unique<CountingImage>(counts), executor, 1, mode);
  backend.submit({BlockOp::kWrite, 0, 0, {data}}, [](const Result<void>& r) { EXPECT_TRUE(r); });
  backend.drain();
  EXPECT_EQ(counts.writes, 1u);
  const unsigned after_write = counts.flushes;
  backend.submit({BlockOp::kFlush, 0, 0, {}}, [](const Result<void>& r) { EXPECT_TRUE(r); });
  backend.drain();
  return {after_write, counts.flushes};
}

TEST(CacheMode, FlushesAreHonest) {
  EXPECT_EQ(flushes(CacheMode::kWriteBack), (std::pair{0u, 1u}));
  EXPECT_EQ(flushes(CacheMode::kWriteThrough), (std::pair{1u, 2u}));
  EXPECT_EQ(flushes(CacheMode::kUnsafe), (std::pair{0u, 0u}));
}

TEST(Throttle, BytesAndRequestsCostTime) {
  constexpr u64 kStart = 10'000'000'000, kSecond = 1'000'000'000;
  ThrottleSchedule bytes({.bytes_per_second = kMiB});
  EXPECT_EQ(bytes.admit(kStart, kMiB), kStart) << "the first is paid for afterwards";
  const u64 second = bytes.admit(kStart, kMiB);
  EXPECT_EQ(second, kStart - ThrottleSchedule::kBurstNs + kSecond);
  EXPECT_EQ(bytes.admit(second + kSecond, 512), second + kSecond);
  ThrottleSchedule requests({.requests_per_second = 100});
  u64 last = 0;
  for (unsigned i = 0; i < 110; ++i) last = requests.admit(kStart, 512);
  EXPECT_EQ(last, kStart + 109 * kSecond / 100 - ThrottleSchedule::kBurstNs);
}

TEST(Throttle, OrderIsKeptAndDrainReleasesAll) {
  DirectExecutor executor;
  auto disk = std::make_unique<MemoryBackend>(kMiB, executor);
  std::vector<u8> data(64 * kKiB);
  std::vector<int> order;
  std::mutex mutex;
  ThrottleBackend slow(std::move(disk), {.bytes_per_second = 1024});
  for (int i = 0; i < 5; ++i) {
    slow.submit({BlockOp::kWrite, 0, 0, {data}}, [&, i](const Result<void>& r) {
      EXPECT_TRUE(r);
      const std::lock_guard lock(mutex);
      order.push_back(i);
    });
  }
  slow.submit({BlockOp::kFlush, 0, 0, {}}, [&](const Result<void>&) {
    const std::lock_guard lock(mutex);
    order.push_back(5);
  });
  slow.drain();  // five writes at 1 KiB/s would be minutes
  EXPECT_EQ(order, (std::vector{0, 1, 2, 3, 4, 5}));
}

}  // namespace
}  // namespace emu
