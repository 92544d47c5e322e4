// SPDX-License-Identifier: Apache-2.0
// qcow2 against Debian's qemu-img, in both directions.
#include <fmt/format.h>

#include <algorithm>

#include "block/support.h"

namespace emu::test {
namespace {

struct Shape {
  const char* options;  // of qemu-img create -o
  u64 size_bytes;
  u64 max_bytes;  // of one request
};

std::ostream& operator<<(std::ostream& out, const Shape& shape) {
  return out << shape.options;
}

class Qcow2 : public ::testing::TestWithParam<Shape> {
 protected:
  void SetUp() override { EMU_NEEDS_QEMU_IMG(); }
  [[nodiscard]] std::string create(const std::string& name, const std::string& extra = "") {
    const std::string path = dir_.file(name);
    must_run(fmt::format("qemu-img create -q -f qcow2 {} -o {} {} {}", extra, GetParam().options,
                         path, GetParam().size_bytes));
    return path;
  }
  // qemu-img finds nothing wrong, not even a leak, and reads the model's bytes.
  void expect_clean_and_equal(const std::string& path, const ModelDisk& model) {
    must_run("qemu-img check -q " + path);
    write_file(dir_.file("model.raw"), model.bytes);
    must_run(
        fmt::format("qemu-img compare -q -f qcow2 -F raw {} {}", path, dir_.file("model.raw")));
  }
  TempDir dir_;
  std::mt19937_64 random_{1};
};

TEST_P(Qcow2, RandomRequestsLeaveACleanImageWithTheModelsBytes) {
  const std::string path = create("disk.qcow2");
  ModelDisk model{std::vector<u8>(GetParam().size_bytes)};
  for (int session = 0; session < 2; ++session) {
    auto image = must_open(path);
    for (int i = 0; i < 150; ++i) {
      model.random_step(*image, random_, GetParam().max_bytes);
      if (random_() % 16 == 0) {
        ASSERT_TRUE(image->flush());
      }
    }
    EXPECT_EQ(read_all(*image), model.bytes);
  }
  expect_clean_and_equal(path, model);
}

TEST_P(Qcow2, WritesOverABackingFileAndItsCompressedClusters) {
  // Two layers: compressed data below, an empty image of ours on top.
  ModelDisk model{std::vector<u8>(GetParam().size_bytes)};
  for (u64 at = 0; at < model.bytes.size(); at += 12345)
    model.bytes[at] = static_cast<u8>(random_());  // compressible
  write_file(dir_.file("source.raw"), model.bytes);
  const std::string base = dir_.file("base.qcow2");
  must_run(fmt::format("qemu-img convert -c -f raw -O qcow2 -o {} {} {}", GetParam().options,
                       dir_.file("source.raw"), base));
  EXPECT_EQ(read_all(*must_open(base, true)), model.bytes);

  const std::string top = create("top.qcow2", "-b base.qcow2 -F qcow2");
  {
    auto image = must_open(top);
    EXPECT_EQ(read_all(*image), model.bytes);
    for (int i = 0; i < 100; ++i) model.random_step(*image, random_, GetParam().max_bytes);
    EXPECT_EQ(read_all(*image), model.bytes);
  }
  expect_clean_and_equal(top, model);
  {
    auto image = must_open(base);  // overwriting compressed clusters
    model.bytes = read_all(*image);
    for (int i = 0; i < 100; ++i) model.random_step(*image, random_, GetParam().max_bytes);
  }
  expect_clean_and_equal(base, model);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, Qcow2,
    ::testing::Values(
        Shape{"compat=1.1,cluster_size=512,refcount_bits=1", 3 * kMiB + 512, 20000},
        Shape{"compat=1.1,cluster_size=512,refcount_bits=64", 3 * kMiB, 20000},
        Shape{"compat=0.10,cluster_size=512", 2 * kMiB + 1536, 20000},
        Shape{"compat=1.1,cluster_size=1k,refcount_bits=2", 3 * kMiB, 20000},
        Shape{"compat=1.1,cluster_size=2k,refcount_bits=4", 3 * kMiB, 20000},
        Shape{"compat=1.1,cluster_size=4k,refcount_bits=8", 4 * kMiB, 40000},
        Shape{"compat=0.10,cluster_size=4k", 4 * kMiB, 40000},
        Shape{"compat=1.1,cluster_size=8k,refcount_bits=32", 4 * kMiB, 40000},
        Shape{"compat=1.1,cluster_size=16k,compression_type=zstd", 4 * kMiB, 40000},
        Shape{"compat=1.1,cluster_size=64k,lazy_refcounts=on", 8 * kMiB + 2048, 200000},
        Shape{"compat=0.10,cluster_size=64k", 8 * kMiB, 200000},
        Shape{"compat=1.1,cluster_size=128k", 8 * kMiB, 300000},
        Shape{"compat=1.1,cluster_size=512k,compression_type=zstd", 8 * kMiB, 600000},
        Shape{"compat=1.1,cluster_size=2M,refcount_bits=1", 8 * kMiB, 2500000},
        Shape{"extended_l2=on,cluster_size=16k", 4 * kMiB + 1024, 40000},
        Shape{"extended_l2=on,cluster_size=64k,compression_type=zstd", 8 * kMiB, 200000},
        Shape{"extended_l2=on,cluster_size=2M,refcount_bits=8", 9 * kMiB, 900000}));

class Qcow2Files : public ::testing::Test {
 protected:
  void SetUp() override { EMU_NEEDS_QEMU_IMG(); }
  TempDir dir_;
  std::mt19937_64 random_{2};
};

TEST_F(Qcow2Files, AnInternalSnapshotKeepsItsContents) {
  for (const char* cluster : {"512", "4k", "64k"}) {
    const std::string path = dir_.file("disk.qcow2");
    ModelDisk model{random_bytes(random_, 2 * kMiB)};
    write_file(dir_.file("model.raw"), model.bytes);
    must_run(fmt::format("qemu-img convert -O qcow2 -o cluster_size={} {} {}", cluster,
                         dir_.file("model.raw"), path));
    must_run("qemu-img snapshot -c before " + path);
    const auto before = model.bytes;
    {
      auto image = must_open(path);
      for (int i = 0; i < 60; ++i) model.random_step(*image, random_, 50000);
    }
    must_run("qemu-img check -q " + path);
    EXPECT_EQ(read_all(*must_open(path, true)), model.bytes);
    must_run("qemu-img snapshot -a before " + path);
    EXPECT_EQ(read_all(*must_open(path, true)), before);
    must_run("qemu-img check -q " + path);
  }
}

TEST_F(Qcow2Files, AnExternalDataFileHoldsTheData) {
  for (const char* raw : {"off", "on"}) {
    const std::string path = dir_.file("disk.qcow2");
    run_command("rm -f " + dir_.file("disk.*"));
    must_run(
        fmt::format("cd {} && qemu-img create -q -f qcow2 -o data_file=disk.data,"
                    "data_file_raw={},cluster_size=4k disk.qcow2 2M",
                    dir_.path(), raw));
    ModelDisk model{std::vector<u8>(2 * kMiB)};
    {
      auto image = must_open(path);
      for (int i = 0; i < 100; ++i) model.random_step(*image, random_, 40000);
      EXPECT_EQ(read_all(*image), model.bytes);
    }
    write_file(dir_.file("model.raw"), model.bytes);
    must_run(
        fmt::format("cd {} && qemu-img check -q disk.qcow2 && "
                    "qemu-img compare -q disk.qcow2 model.raw",
                    dir_.path()));
    if (std::string(raw) == "on") {
      EXPECT_EQ(read_file(dir_.file("disk.data")), model.bytes);
    }
  }
}

TEST_F(Qcow2Files, ALongChainOfMixedFormatsIsRead) {
  auto bytes = random_bytes(random_, kMiB);
  write_file(dir_.file("0.raw"), bytes);
  must_run(
      fmt::format("cd {} && qemu-img create -q -f qcow2 -b 0.raw -F raw 1.qcow2 2M", dir_.path()));
  for (int i = 2; i < 6; ++i) {
    must_run(fmt::format("cd {} && qemu-img create -q -f qcow2 -b {}.qcow2 -F qcow2 {}.qcow2 2M",
                         dir_.path(), i - 1, i));
  }
  bytes.resize(2 * kMiB);  // beyond the short base: zeros
  {
    auto image = must_open(dir_.file("5.qcow2"));
    EXPECT_EQ(read_all(*image), bytes);
    ASSERT_TRUE(image->write_zeroes(1000, 200000));
    std::fill_n(bytes.begin() + 1000, 200000, u8{0});
  }
  EXPECT_EQ(read_all(*must_open(dir_.file("5.qcow2"), true)), bytes);
  must_run(fmt::format("cd {} && qemu-img check -q 5.qcow2", dir_.path()));
}

TEST_F(Qcow2Files, RefcountsOfADirtyImageAreRepairedOnOpening) {
  const std::string path = dir_.file("disk.qcow2");
  must_run("qemu-img create -q -f qcow2 -o lazy_refcounts=on " + path + " 4M");
  run_command("qemu-io -c 'write -P 7 0 1M' -c 'flush' -c 'abort' " + path);
  std::string info;
  run_command("qemu-img check " + path, &info);
  ASSERT_NE(info.find("ERROR"), std::string::npos) << info;  // it really is dirty
  {
    auto image = must_open(path);
    const auto bytes = read_all(*image);
    EXPECT_EQ(std::count(bytes.begin(), bytes.end(), u8{7}), 1024 * 1024);
    ASSERT_TRUE(write_flat(*image, 2 * kMiB, std::vector<u8>(kMiB, u8{9})));
  }
  must_run("qemu-img check -q " + path);
  must_run("qemu-io -c 'read -P 7 0 1M' -c 'read -P 9 2M 1M' -c 'read -P 0 1M 1M' " + path +
           " | (! grep -q failed)");
}

TEST_F(Qcow2Files, ARefcountTableThatIsTooSmallGrows) {
  // 512-byte clusters and 64-bit counts: one table cluster describes 2 MiB.
  const std::string path = dir_.file("disk.qcow2");
  must_run("qemu-img create -q -f qcow2 -o cluster_size=512,refcount_bits=64 " + path + " 24M");
  ModelDisk model{random_bytes(random_, 24 * kMiB)};
  {
    auto image = must_open(path);
    for (u64 at = 0; at < model.bytes.size(); at += 64 * kKiB)
      ASSERT_TRUE(write_flat(*image, at, std::span(model.bytes).subspan(at, 64 * kKiB)));
  }
  must_run("qemu-img check -q " + path);
  EXPECT_EQ(read_all(*must_open(path, true)), model.bytes);
}

TEST_F(Qcow2Files, APreallocatedImageIsWrittenInPlace) {
  const std::string path = dir_.file("disk.qcow2");
  must_run("qemu-img create -q -f qcow2 -o preallocation=metadata " + path + " 8M");
  ModelDisk model{std::vector<u8>(8 * kMiB)};
  {
    auto image = must_open(path);
    for (int i = 0; i < 100; ++i) model.random_step(*image, random_, 200000);
  }
  must_run("qemu-img check -q " + path);
  EXPECT_EQ(read_all(*must_open(path, true)), model.bytes);
}

TEST_F(Qcow2Files, DiscardedClustersAreUsedAgain) {
  const std::string path = dir_.file("disk.qcow2");
  must_run("qemu-img create -q -f qcow2 " + path + " 64M");
  auto image = must_open(path);
  for (int round = 0; round < 5; ++round) {
    ASSERT_TRUE(
        write_flat(*image, static_cast<u64>(round) * 8 * kMiB, std::vector<u8>(8 * kMiB, u8{1})));
    ASSERT_TRUE(image->discard(static_cast<u64>(round) * 8 * kMiB, 8 * kMiB));
    ASSERT_TRUE(image->flush());
  }
  image.reset();
  EXPECT_LT(read_file(path).size(), 10 * kMiB);
  must_run("qemu-img check -q " + path);
}

}  // namespace
}  // namespace emu::test
