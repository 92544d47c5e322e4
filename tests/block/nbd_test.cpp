// SPDX-License-Identifier: Apache-2.0
// Disks served by Debian's qemu-nbd over a socket in a folder of the test.
#include <fmt/format.h>

#include <algorithm>

#include "block/nbd/nbd_file.h"
#include "block/support.h"

namespace emu::test {
namespace {

class Nbd : public ::testing::Test {
 protected:
  void SetUp() override {
    EMU_NEEDS_QEMU_IMG();
    if (run_command("qemu-nbd --version") != 0) GTEST_SKIP() << "needs qemu-nbd (qemu-utils)";
  }
  // Serves the file until its last client has gone (or one came never, for which --pid-file is
  // there).
  [[nodiscard]] std::string serve(const std::string& arguments) {
    must_run(fmt::format("cd {} && qemu-nbd --fork --socket={}/s --pid-file={}/pid {}", dir_.path(),
                         dir_.path(), dir_.path(), arguments));
    return "nbd+unix:///?socket=" + dir_.file("s");
  }
  TempDir dir_;
  std::mt19937_64 random_{6};
};

TEST_F(Nbd, AServedQcow2IsUsedLikeAFile) {
  must_run("qemu-img create -q -f qcow2 " + dir_.file("disk.qcow2") + " 4M");
  const std::string uri = serve("-f qcow2 disk.qcow2");
  ModelDisk model{std::vector<u8>(4 * kMiB)};
  {
    auto image = open_image({.path = uri, .format = DiskFormat::kRaw});
    ASSERT_TRUE(image) << image.error().message;
    for (int i = 0; i < 60; ++i) model.random_step(**image, random_, 200000);
    ASSERT_TRUE((*image)->flush());
    EXPECT_EQ(read_all(**image), model.bytes);
  }  // the server ends with its last client
  run_command(
      fmt::format("for i in $(seq 100); do test -e /proc/$(cat {}) || break; sleep 0.05; done",
                  dir_.file("pid")));
  write_file(dir_.file("model.raw"), model.bytes);
  must_run(fmt::format("qemu-img compare -q -F raw {} {}", dir_.file("disk.qcow2"),
                       dir_.file("model.raw")));
}

TEST_F(Nbd, ServerTroubleBecomesASentence) {
  const auto missing = open_image({.path = "nbd+unix:///?socket=" + dir_.file("nobody")});
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().message.find("is the server running"), std::string::npos);
  write_file(dir_.file("disk.raw"), random_bytes(random_, kMiB));
  const std::string uri = serve("-r -f raw disk.raw --shared=2 --persistent");
  EXPECT_FALSE(open_image({.path = uri, .format = DiskFormat::kRaw}));
  {
    auto image = open_image({.path = uri, .format = DiskFormat::kRaw, .read_only = true});
    ASSERT_TRUE(image) << image.error().message;
    EXPECT_EQ(read_all(**image), read_file(dir_.file("disk.raw")));
  }
  run_command("kill $(cat " + dir_.file("pid") + ")");
}

}  // namespace
}  // namespace emu::test
