// SPDX-License-Identifier: Apache-2.0
// What the image tests share: a folder that vanishes, Debian's qemu-img as the judge, an executor
// that runs when told, and a model disk.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "block/block_backend.h"
#include "block/disk_image.h"
#include "block/open_disk.h"

namespace emu::test {

// A fresh folder below $TMPDIR, removed with its contents.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Runs a shell command; its output (both streams) goes to `output` if given.
int run_command(const std::string& command, std::string* output = nullptr);
[[nodiscard]] bool has_qemu_img();
// Runs the command and fails the test with its output unless it exits with 0.
void must_run(const std::string& command);

// Skips the running test by name where Debian's qemu-utils are missing.
#define EMU_NEEDS_QEMU_IMG() \
  if (!::emu::test::has_qemu_img()) GTEST_SKIP() << "needs qemu-img and qemu-io (qemu-utils)"

void write_file(const std::string& path, std::span<const u8> bytes);
[[nodiscard]] std::vector<u8> read_file(const std::string& path);
[[nodiscard]] std::vector<u8> random_bytes(std::mt19937_64& random, u64 count);

// Opens without the asynchronous layer; a failure to open fails the test.
[[nodiscard]] std::unique_ptr<DiskImage> must_open(const std::string& path, bool read_only = false);
[[nodiscard]] std::vector<u8> read_all(DiskImage& image);
Result<void> read_flat(DiskImage& image, u64 offset, std::span<u8> out);
Result<void> write_flat(DiskImage& image, u64 offset, std::span<const u8> in);

// A disk as plain bytes, and the operations that keep an image in step with it.
struct ModelDisk {
  std::vector<u8> bytes;
  // One random write, write-zeroes, discard or read-and-compare, applied to both. A discarded range
  // is read back into the model, because it may read as zero or as before.
  void random_step(DiskImage& image, std::mt19937_64& random, u64 max_bytes);
};

// Keeps posted work until run(). Any thread may post.
class QueueExecutor final : public Executor {
 public:
  void post(std::function<void()> work) override {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(work));
  }
  // Runs everything posted so far and what that posts; the number of pieces run.
  int run();

 private:
  std::mutex mutex_;
  std::deque<std::function<void()>> queue_;
};

}  // namespace emu::test
