// SPDX-License-Identifier: Apache-2.0
// A host folder as a FAT disk, judged by mtools and fsck.vfat.
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "block/support.h"

namespace emu::test {
namespace {

class Fat : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (run_command("command -v mcopy && command -v fsck.vfat") != 0)
      GTEST_SKIP() << "needs mtools and fsck.vfat (dosfstools)";
    ASSERT_EQ(::mkdir(folder().c_str(), 0700), 0);
  }
  [[nodiscard]] std::string folder() const { return dir_.file("tree"); }
  [[nodiscard]] std::string name() const { return GetParam() + folder(); }
  void put(const std::string& file, std::span<const u8> bytes) {
    write_file(folder() + "/" + file, bytes);
  }
  // Copies the disk into a sparse file: what a guest sees.
  void copy_out() {
    auto image = must_open(name(), true);
    const std::string raw = dir_.file("disk.raw");
    write_file(raw, {});
    ASSERT_EQ(::truncate(raw.c_str(), static_cast<off_t>(image->size_bytes())), 0);
    auto copy = open_image({.path = raw, .format = DiskFormat::kRaw});
    ASSERT_TRUE(copy);
    std::vector<u8> bytes(kMiB);
    for (u64 at = 0; at < image->size_bytes();) {
      auto extent = image->map(at, bytes.size());
      ASSERT_TRUE(extent);
      const u64 n = std::min<u64>(extent->length_bytes, bytes.size());
      if (extent->stored == Stored::kData) {
        ASSERT_TRUE(read_flat(*image, at, std::span(bytes).first(n)));
        ASSERT_TRUE(write_flat(**copy, at, std::span(bytes).first(n)));
      }
      at += n;
    }
    copy->reset();
    must_run(
        fmt::format("cd {} && dd if=disk.raw of=part.raw bs=512 skip=63 conv=sparse "
                    "status=none && fsck.vfat -n part.raw",
                    dir_.path()));
  }
  TempDir dir_;
  std::mt19937_64 random_{6};
};

TEST_P(Fat, AGuestFindsEveryFileWithItsBytes) {
  must_run(fmt::format("cd {} && mkdir -p a/b/c empty 'Long folder name'", folder()));
  put("README.TXT", random_bytes(random_, 100));
  put("nothing", {});
  put("a/b/c/deep.bin", random_bytes(random_, 3 * kMiB + 17));
  put("Long folder name/A file with a long name, and more than thirteen characters.text",
      random_bytes(random_, 8192));
  put("Long folder name/grüße \xe2\x82\xac.txt", random_bytes(random_, 8193));
  for (int i = 0; i < 300; ++i)
    put(fmt::format("a/similar name {}.c", i), random_bytes(random_, 9));
  copy_out();
  must_run(
      fmt::format("cd {} && mkdir out && MTOOLS_SKIP_CHECK=1 mcopy -s -n -i disk.raw@@32256 "
                  "'::*' out && LC_ALL=C.UTF-8 diff -r tree out",
                  dir_.path()));
}

TEST_P(Fat, LinksAndSpecialFilesAreLeftOut) {
  put("kept", random_bytes(random_, 10));
  must_run(
      fmt::format("cd {} && ln -s /etc/passwd link && ln -s / everything && mkfifo pipe && "
                  "ln -s . loop",
                  folder()));
  copy_out();
  std::string list;
  run_command(fmt::format("mdir -b -i {}@@32256 ::", dir_.file("disk.raw")), &list);
  EXPECT_EQ(list, "::/kept\n");
}

TEST_P(Fat, NamesThatFatCannotHaveAreReplacedAndStayApart) {
  for (const char* file : {"a:b", "a?b", "A_B", "dots...", "space ",
                           "bad\xff"
                           "utf",
                           ".hidden"})
    put(file, random_bytes(random_, 10));
  put(std::string(255, 'x'), random_bytes(random_, 10));
  put(std::string(254, 'x') + "y", random_bytes(random_, 10));
  copy_out();
  std::string list;
  run_command(fmt::format("mdir -b -i {}@@32256 ::", dir_.file("disk.raw")), &list);
  EXPECT_EQ(std::count(list.begin(), list.end(), '\n'), 9) << list;
}

TEST_P(Fat, AFileThatChangesMeanwhileDoesNoHarm) {
  put("shrinks", std::vector<u8>(100000, u8{7}));
  put("swapped", std::vector<u8>(100000, u8{8}));
  auto image = must_open(name(), true);
  put("shrinks", std::vector<u8>(10, u8{7}));
  must_run(fmt::format("cd {} && rm swapped && ln -s /etc/passwd swapped", folder()));
  u64 sevens = 0;
  u64 failures = 0;
  std::vector<u8> bytes(512);
  for (u64 at = 0; at < 2 * kMiB; at += bytes.size()) {
    if (!read_flat(*image, at, bytes)) {
      ++failures;
      continue;
    }
    sevens += static_cast<u64>(std::count(bytes.begin(), bytes.begin() + 10, u8{7}));
  }
  EXPECT_EQ(sevens, 10u);
  EXPECT_EQ(failures, 196u);  // the link is not followed
  EXPECT_TRUE(image->read_only());
}

TEST_P(Fat, WhatDoesNotFitIsRefused) {
  put("large", {});
  ASSERT_EQ(::truncate((folder() + "/large").c_str(), off_t{5} << 30), 0);
  auto image = open_image({.path = name(), .read_only = true});
  ASSERT_FALSE(image);
  EXPECT_NE(image.error().message.find("larger than the 4 GiB"), std::string::npos);
  EXPECT_FALSE(open_image({.path = "fat:rw:" + folder(), .read_only = true}));
  EXPECT_FALSE(open_image({.path = "fat:/nonexistent", .read_only = true}));
  ::unlink((folder() + "/large").c_str());
  std::string deep = folder();
  for (int i = 0; i < 40; ++i) {
    deep += "/d";
    ASSERT_EQ(::mkdir(deep.c_str(), 0700), 0);
  }
  EXPECT_FALSE(open_image({.path = name(), .read_only = true}));
}

INSTANTIATE_TEST_SUITE_P(Kinds, Fat, ::testing::Values("fat:", "fat:32:"));

}  // namespace
}  // namespace emu::test
