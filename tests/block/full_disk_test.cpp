// SPDX-License-Identifier: Apache-2.0
// The host's disk is full every now and then: requests fail, but what succeeded is there, later
// requests work again, and the image has leaks at worst.
#include <fmt/format.h>

#include "base/log.h"
#include "block/qcow2/qcow2_image.h"
#include "block/recording_file.h"
#include "block/support.h"

namespace emu::test {
namespace {

class FullDisk : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    EMU_NEEDS_QEMU_IMG();
    set_log_level(LogLevel::kError);
  }
  void TearDown() override { set_log_level(LogLevel::kWarning); }

  // A write that failed may have been done in part: the model takes what there is, which must be
  // the old or the new byte.
  void write(DiskImage& image, u64 offset, u64 length) {
    const auto data = random_bytes(random_, length);
    const auto model = std::span(model_).subspan(offset, length);
    if (write_flat(image, offset, data)) {
      ++successes_;
      std::copy(data.begin(), data.end(), model.begin());
      return;
    }
    std::vector<u8> now(length);
    ASSERT_TRUE(read_flat(image, offset, now));
    for (u64 i = 0; i < length; ++i) ASSERT_TRUE(now[i] == data[i] || now[i] == model[i]);
    std::copy(now.begin(), now.end(), model.begin());
  }

  TempDir dir_;
  std::mt19937_64 random_{4};
  std::vector<u8> model_ = std::vector<u8>(2 * kMiB);
  int successes_ = 0;
};

TEST_P(FullDisk, FailedWritesLeaveASoundImage) {
  const std::string path = dir_.file("d.qcow2");
  must_run(fmt::format("qemu-img create -q -f qcow2 -o {} {} 2M", GetParam(), path));
  auto file = std::make_unique<RecordingFile>(read_file(path));
  RecordingFile& disk = *file;
  auto header = qcow2::read_header(disk);
  ASSERT_TRUE(header);
  auto image = qcow2::Qcow2Image::open(std::move(file), std::move(*header), nullptr);
  ASSERT_TRUE(image);
  for (int i = 0; i < 300 && !HasFatalFailure(); ++i) {
    disk.fail_one_in(i % 60 < 45 ? 6 : 0);
    const u64 sector = random_() % (model_.size() / 512);
    const u64 sectors = std::min(1 + random_() % 60, model_.size() / 512 - sector);
    write(**image, sector * 512, sectors * 512);
    if (i % 9 == 0) static_cast<void>((*image)->flush());
  }
  EXPECT_GT(successes_, 50);
  disk.fail_one_in(0);
  ASSERT_TRUE((*image)->flush());
  EXPECT_EQ(read_all(**image), model_);
  std::vector<u8> bytes(disk.size_bytes());
  ASSERT_TRUE(disk.read_flat(0, bytes));
  write_file(path, bytes);
  std::string output;
  const int status = run_command("qemu-img check " + path, &output);
  EXPECT_TRUE(status == 0 || status == 3) << output;
  EXPECT_EQ(read_all(*must_open(path, true)), model_);
}

INSTANTIATE_TEST_SUITE_P(Images, FullDisk,
                         ::testing::Values("cluster_size=512", "cluster_size=512,refcount_bits=64",
                                           "cluster_size=4k", "cluster_size=64k"));

}  // namespace
}  // namespace emu::test
