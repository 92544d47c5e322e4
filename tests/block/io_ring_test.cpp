// SPDX-License-Identifier: Apache-2.0
// Every way a request can take (at once, ring, threads; through the page cache and past it) moves
// the same bytes.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <random>

#include "block/open_disk.h"
#include "support.h"

namespace emu {
namespace {

constexpr u64 kDiskBytes = 4 * kMiB;

class HereExecutor final : public Executor {
 public:
  void post(std::function<void()> work) override { work(); }
};

class EveryWay : public testing::TestWithParam<std::tuple<CacheMode, bool, const char*>> {};

class AlignedBytes {
 public:
  explicit AlignedBytes(u64 size)
      : bytes_(static_cast<u8*>(std::aligned_alloc(4096, size)), &std::free), size_(size) {}
  [[nodiscard]] std::span<u8> span() { return {bytes_.get(), size_}; }

 private:
  std::unique_ptr<u8, decltype(&std::free)> bytes_;
  u64 size_;
};

std::string make_disk(const std::string& format) {
  std::string name = testing::TempDir() + "ring-XXXXXX";
  const int fd = ::mkstemp(name.data());
  EXPECT_GE(fd, 0);
  if (format == "raw") {
    EXPECT_EQ(::ftruncate(fd, kDiskBytes), 0);
  }
  ::close(fd);
  if (format != "raw") {
    const std::string command =
        "qemu-img create -q -f " + format + " " + name + " " + std::to_string(kDiskBytes);
    if (std::system(command.c_str()) != 0) return {};
  }
  return name;
}

TEST_P(EveryWay, MovesTheSameBytes) {
  const auto [cache, use_ring, format] = GetParam();
  const std::string name = make_disk(format);
  if (name.empty()) GTEST_SKIP() << "qemu-img is missing";
  DiskOptions options;
  options.path = name;
  options.format = *parse_format_name(format);
  options.cache = cache;
  options.use_ring = use_ring;
  HereExecutor executor;
  auto disk = open_disk(options, executor);
  ASSERT_TRUE(disk) << disk.error().message;
  std::vector<u8> model(kDiskBytes);
  AlignedBytes memory(512 * kKiB);
  std::mt19937_64 dice(1);
  for (int round = 0; round < (writes_through(cache) ? 60 : 400); ++round) {
    const u64 unit = dice() % 3 == 0 ? 512 : 4096;  // some that O_DIRECT does not take
    const u64 length = (1 + dice() % (dice() % 8 == 0 ? 64 : 4)) * unit;
    const u64 offset = dice() % ((kDiskBytes - length) / unit) * unit;
    const u64 half = length / 2 / 512 * 512;
    const auto bytes = memory.span().subspan(0, length);
    BlockRequest request{dice() % 2 == 0 ? BlockOp::kWrite : BlockOp::kRead, offset, 0, {}};
    if (half != 0) request.buffers.push_back(bytes.first(half));
    request.buffers.push_back(bytes.subspan(half));
    const bool is_write = request.op == BlockOp::kWrite;
    for (u8& byte : bytes) byte = is_write ? static_cast<u8>(dice()) : u8{0xee};
    bool answered = false;
    (*disk)->submit(std::move(request), [&](const Result<void>& r) {
      answered = true;
      EXPECT_TRUE(r);
    });
    (*disk)->drain();
    ASSERT_TRUE(answered);
    const auto there = std::span(model).subspan(offset, length);
    if (is_write) std::ranges::copy(bytes, there.begin());
    ASSERT_TRUE(std::ranges::equal(bytes, there)) << "round " << round << " at " << offset;
  }
  disk->reset();
  ::unlink(name.c_str());
}

INSTANTIATE_TEST_SUITE_P(Block, EveryWay,
                         testing::Combine(testing::Values(CacheMode::kWriteBack, CacheMode::kNone,
                                                          CacheMode::kDirectSync),
                                          testing::Bool(), testing::Values("raw", "qcow2")));

}  // namespace
}  // namespace emu
