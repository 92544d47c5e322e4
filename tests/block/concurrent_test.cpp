// SPDX-License-Identifier: Apache-2.0
// Many requests at once, from the threads of a backend: each byte is what its last writer wrote,
// and the image stays sound. Runs under the thread sanitizer, too.
#include <algorithm>

#include "block/support.h"

namespace emu::test {
namespace {

constexpr u64 kDiskBytes = 4 * kMiB;
constexpr u64 kPieceBytes = 1536;  // three sectors: neighbours share clusters
constexpr u64 kPieces = kDiskBytes / kPieceBytes;

void use_from_many_threads(BlockBackend& disk, QueueExecutor& executor, std::vector<u8>& model,
                           u64 seed) {
  std::mt19937_64 random(seed);
  std::vector<std::vector<u8>> data(64);
  int done = 0;
  const auto count = [&done](const Result<void>& result) {
    EXPECT_TRUE(result) << (result ? "" : result.error().message);
    ++done;
  };
  for (int round = 0; round < 12; ++round) {
    std::vector<u64> places(kPieces);
    for (u64 i = 0; i < kPieces; ++i) places[i] = i * kPieceBytes;
    std::shuffle(places.begin(), places.end(), random);
    for (std::size_t i = 0; i < data.size(); ++i) {
      data[i] = random_bytes(random, kPieceBytes);
      const auto target = std::span(model).subspan(places[i], kPieceBytes);
      BlockRequest request;
      request.op = i % 8 == 0 ? BlockOp::kWriteZeroes : BlockOp::kWrite;
      request.offset_bytes = places[i];
      request.length_bytes = kPieceBytes;
      if (request.op == BlockOp::kWrite) {
        request.buffers = {data[i]};
        std::copy(data[i].begin(), data[i].end(), target.begin());
      } else {
        std::fill(target.begin(), target.end(), u8{0});
      }
      disk.submit(std::move(request), count);
      if (i % 16 == 0) disk.submit({BlockOp::kFlush, 0, 0, {}}, count);
    }
    disk.drain();
    executor.run();
  }
  EXPECT_EQ(done, 12 * 68);
}

TEST(Concurrent, RequestsInManyThreadsKeepTheImageSound) {
  EMU_NEEDS_QEMU_IMG();
  for (const char* cluster : {"512", "4k", "64k"}) {
    TempDir dir;
    const std::string path = dir.file("d.qcow2");
    must_run(std::string("qemu-img create -q -f qcow2 -o cluster_size=") + cluster + " " + path +
             " 4M");
    std::vector<u8> model(kDiskBytes);
    QueueExecutor executor;
    {
      auto disk = open_disk({.path = path}, executor);
      ASSERT_TRUE(disk);
      use_from_many_threads(**disk, executor, model, 5);
    }
    EXPECT_EQ(read_all(*must_open(path, true)), model);
    must_run("qemu-img check -q " + path);
  }
}

TEST(Concurrent, ThrowAwayWritesInManyThreads) {
  TempDir dir;
  std::vector<u8> model(kDiskBytes);
  write_file(dir.file("d.img"), model);
  QueueExecutor executor;
  auto disk = open_disk({.path = dir.file("d.img"), .throw_away_writes = true}, executor);
  ASSERT_TRUE(disk);
  use_from_many_threads(**disk, executor, model, 6);
  std::vector<u8> now(kDiskBytes);
  (*disk)->submit({BlockOp::kRead, 0, 0, {now}},
                  [](const Result<void>& result) { EXPECT_TRUE(result); });
  (*disk)->drain();
  executor.run();
  EXPECT_EQ(now, model);
}

}  // namespace
}  // namespace emu::test
