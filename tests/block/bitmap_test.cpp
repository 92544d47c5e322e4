// SPDX-License-Identifier: Apache-2.0
// qcow2 bitmaps: after our writes they say what qemu's would, to qemu.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "block/qcow2/qcow2_image.h"
#include "block/recording_file.h"
#include "block/support.h"

namespace emu::test {
namespace {

constexpr u64 kDisk = 8 * kMiB;

class Bitmaps : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    EMU_NEEDS_QEMU_IMG();
    must_run(fmt::format("cd {} && qemu-img create -q -f qcow2 -o {} disk.qcow2 8M", dir_.path(),
                         GetParam()));
  }
  [[nodiscard]] std::string path() const { return dir_.file("disk.qcow2"); }
  void bitmap(const std::string& words) {
    must_run("cd " + dir_.path() + " && qemu-img bitmap " + words);
  }
  // The blocks that are dirty in the bitmap, as qemu exports it.
  [[nodiscard]] std::vector<bool> dirty(const std::string& name, u64 granularity, u64 bytes) {
    std::string json;
    // The server is a child that is waited for: its lock is gone when it is.
    const std::string server = fmt::format(
        "cd {0}; qemu-nbd -r -t -k {0}/socket -B {1} disk.qcow2 & server=$!; "
        "for i in $(seq 600); do "
        "map=$(qemu-img map --output=json --image-opts driver=nbd,server.type=unix,"
        "server.path={0}/socket,x-dirty-bitmap=qemu:dirty-bitmap:{1} 2>/dev/null) && break; "
        "sleep 0.05; done; echo \"$map\"; kill $server; wait $server; rm -f {0}/socket",
        dir_.path(), name);
    run_command(server, &json);
    std::vector<bool> blocks((bytes + granularity - 1) / granularity);
    const auto map = nlohmann::json::parse(json, nullptr, false);
    EXPECT_TRUE(map.is_array()) << json;
    if (!map.is_array()) return blocks;
    for (const auto& e : map) {
      if (e["data"].get<bool>()) continue;  // clean
      const u64 start = e["start"].get<u64>();
      for (u64 at = start; at < start + e["length"].get<u64>(); at += granularity)
        blocks[at / granularity] = true;
    }
    return blocks;
  }
  [[nodiscard]] std::string info() {
    std::string text;
    run_command("cd " + dir_.path() + " && qemu-img info --output=json disk.qcow2", &text);
    return text;
  }
  TempDir dir_;
  std::mt19937_64 random_{5};
};

TEST_P(Bitmaps, WhatWeWriteIsDirtyToQemuAndNothingElse) {
  bitmap("--add disk.qcow2 coarse");
  bitmap("--add -g 512 disk.qcow2 fine");
  bitmap("--add --disable disk.qcow2 frozen");
  must_run("cd " + dir_.path() + " && qemu-io -c 'write -P 3 7M 4k' disk.qcow2 > /dev/null");
  std::vector<bool> wanted(kDisk / 512);
  std::fill_n(wanted.begin() + 7 * kMiB / 512, 8, true);
  for (int session = 0; session < 2; ++session) {
    auto image = must_open(path());
    for (int i = 0; i < 12; ++i) {
      const u64 n = 1 + random_() % 30000;
      const u64 at = random_() % (kDisk - n);
      std::vector<u8> data = random_bytes(random_, n);
      ASSERT_TRUE(i % 4 == 3 ? image->write_zeroes(at, n) : write_flat(*image, at, data));
      std::fill(wanted.begin() + static_cast<std::ptrdiff_t>(at / 512),
                wanted.begin() + static_cast<std::ptrdiff_t>((at + n - 1) / 512 + 1), true);
      if (i % 5 == 0) {
        ASSERT_TRUE(image->flush());
      }
    }
  }
  must_run("cd " + dir_.path() + " && qemu-img check -q disk.qcow2");
  EXPECT_EQ(info().find("in-use"), std::string::npos) << info();
  EXPECT_EQ(dirty("fine", 512, kDisk), wanted);
  const auto coarse = dirty("coarse", 4096, kDisk);
  for (u64 i = 0; i < wanted.size(); ++i) {
    if (wanted[i]) {
      EXPECT_TRUE(coarse[i / 8]) << i;
    }
  }
  const auto frozen = dirty("frozen", 512, kDisk);
  EXPECT_EQ(std::count(frozen.begin(), frozen.end(), true), 0);
}

TEST_P(Bitmaps, TheyFollowTheDisksSizeAndSnapshots) {
  bitmap("--add -g 512 disk.qcow2 b");
  bitmap("--add --disable -g 64k disk.qcow2 frozen");
  {
    auto image = must_open(path());
    ASSERT_TRUE(write_flat(*image, 8 * kMiB - 512, std::vector<u8>(512, u8{1})));
    ASSERT_TRUE(write_flat(*image, kMiB, std::vector<u8>(512, u8{1})));
    ASSERT_TRUE(image->resize(5 * kMiB + 512));
    ASSERT_TRUE(image->resize(64 * kMiB));
  }
  must_run("cd " + dir_.path() + " && qemu-img check -q disk.qcow2");
  auto blocks = dirty("b", 512, 64 * kMiB);
  EXPECT_TRUE(blocks[2048]);
  EXPECT_FALSE(blocks[2049]);
  EXPECT_TRUE(std::none_of(blocks.begin() + 8 * 2048, blocks.end(), [](bool b) { return b; }));
  if (std::string(GetParam()).find("data_file") != std::string::npos) return;  // no snapshots
  {
    auto image = must_open(path());
    auto& qcow2 = dynamic_cast<qcow2::Qcow2Image&>(*image);
    ASSERT_TRUE(qcow2.make_snapshot("s"));
    ASSERT_TRUE(image->resize(80 * kMiB));
    ASSERT_TRUE(qcow2.apply_snapshot("s"));
    EXPECT_EQ(image->size_bytes(), 64 * kMiB);
    ASSERT_TRUE(qcow2.delete_snapshot("s"));
  }
  must_run("cd " + dir_.path() + " && qemu-img check -q disk.qcow2");
  blocks = dirty("b", 512, 64 * kMiB);
  EXPECT_TRUE(std::all_of(blocks.begin(), blocks.end(), [](bool b) { return b; }));
}

TEST_P(Bitmaps, OursAreUsedByQemu) {
  {
    auto image = must_open(path());
    auto& qcow2 = dynamic_cast<qcow2::Qcow2Image&>(*image);
    ASSERT_TRUE(qcow2.add_bitmap("a", 512, true));
    ASSERT_TRUE(qcow2.add_bitmap("b", 65536, false));
    EXPECT_FALSE(qcow2.add_bitmap("b", 65536, false));
    EXPECT_FALSE(qcow2.add_bitmap("c", 1000, false));
    ASSERT_TRUE(write_flat(*image, 3 * kMiB, std::vector<u8>(1000, u8{1})));
    ASSERT_TRUE(qcow2.merge_bitmap("b", qcow2, "a"));
    ASSERT_TRUE(qcow2.clear_bitmap("a"));
    ASSERT_TRUE(write_flat(*image, 5 * kMiB, std::vector<u8>(1000, u8{1})));
  }
  must_run("cd " + dir_.path() + " && qemu-img check -q disk.qcow2");
  must_run("cd " + dir_.path() + " && qemu-io -c 'write -P 3 6M 512' disk.qcow2 > /dev/null");
  std::vector<bool> a(kDisk / 512);
  a[5 * 2048] = a[5 * 2048 + 1] = a[6 * 2048] = true;
  EXPECT_EQ(dirty("a", 512, kDisk), a);
  std::vector<bool> b(kDisk / 65536);
  b[3 * 16] = true;
  EXPECT_EQ(dirty("b", 65536, kDisk), b);
  {
    auto image = must_open(path());
    auto& qcow2 = dynamic_cast<qcow2::Qcow2Image&>(*image);
    ASSERT_TRUE(qcow2.remove_bitmap("a"));
    ASSERT_TRUE(qcow2.remove_bitmap("b"));
    EXPECT_FALSE(qcow2.remove_bitmap("b"));
  }
  must_run("cd " + dir_.path() + " && qemu-img check -q disk.qcow2");
  EXPECT_EQ(info().find("bitmaps"), std::string::npos) << info();
}

INSTANTIATE_TEST_SUITE_P(Shapes, Bitmaps,
                         ::testing::Values("cluster_size=64k", "cluster_size=512",
                                           "extended_l2=on,cluster_size=16k",
                                           "data_file=disk.data,cluster_size=4k"));

class BitmapFiles : public ::testing::Test {
 protected:
  void SetUp() override { EMU_NEEDS_QEMU_IMG(); }
  TempDir dir_;
};

TEST_F(BitmapFiles, OpeningAloneChangesNothing) {
  const std::string path = dir_.file("disk.qcow2");
  must_run("qemu-img create -q -f qcow2 " + path + " 4M && qemu-img bitmap --add " + path + " b");
  const auto untouched = read_file(path);
  (void)must_open(path);
  EXPECT_EQ(read_file(path), untouched);
}

TEST_F(BitmapFiles, ACrashLeavesThemInUseAndTheImageClean) {
  const std::string path = dir_.file("disk.qcow2");
  must_run("qemu-img create -q -f qcow2 -o cluster_size=512 " + path +
           " 1M && qemu-img bitmap --add " + path + " b");
  auto image = must_open(path);
  ASSERT_TRUE(write_flat(*image, 0, std::vector<u8>(70000, u8{1})));
  ASSERT_TRUE(image->flush());
  write_file(dir_.file("crashed.qcow2"), read_file(path));
  image.reset();
  std::string text;
  run_command("qemu-img info " + dir_.file("crashed.qcow2"), &text);
  EXPECT_NE(text.find("in-use"), std::string::npos) << text;
  must_run("qemu-img check -q " + dir_.file("crashed.qcow2"));
  // It stays as it is, and is no obstacle.
  ASSERT_TRUE(write_flat(*must_open(dir_.file("crashed.qcow2")), 0, std::vector<u8>(9, u8{2})));
  auto again = must_open(dir_.file("crashed.qcow2"));
  ASSERT_TRUE(again->info().bitmaps.size() == 1 && again->info().bitmaps[0].is_in_use);
  auto& qcow2 = dynamic_cast<qcow2::Qcow2Image&>(*again);
  EXPECT_FALSE(qcow2.merge_bitmap("b", qcow2, "b"));
  ASSERT_TRUE(qcow2.remove_bitmap("b"));
  again.reset();
  must_run("qemu-img check -q " + dir_.file("crashed.qcow2"));
}

}  // namespace
}  // namespace emu::test
