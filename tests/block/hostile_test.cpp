// SPDX-License-Identifier: Apache-2.0
// Damaged and made-up images: an error or wrong data, never a crash, a hang or a flood of memory.
#include <fmt/format.h>

#include <algorithm>

#include "base/bits.h"
#include "base/log.h"
#include "block/hostile_image.h"
#include "block/support.h"

namespace emu::test {
namespace {

class Hostile : public ::testing::Test {
 protected:
  void SetUp() override {
    EMU_NEEDS_QEMU_IMG();
    set_log_level(LogLevel::kError);
  }
  void TearDown() override { set_log_level(LogLevel::kWarning); }

  std::vector<u8> make(const std::string& options, bool compressed) {
    auto data = std::vector<u8>(512 * kKiB);
    for (u64 at = 0; at < data.size(); at += 61) data[at] = static_cast<u8>(random_() % 4);
    write_file(dir_.file("s.raw"), data);
    must_run(fmt::format("qemu-img convert {} -f raw -O qcow2 -o {} {} {}", compressed ? "-c" : "",
                         options, dir_.file("s.raw"), dir_.file("d.qcow2")));
    must_run("qemu-img snapshot -c s " + dir_.file("d.qcow2"));
    return read_file(dir_.file("d.qcow2"));
  }
  // Interesting 8-byte values for table entries.
  u64 entry(u64 file_bytes) {
    const u64 cluster = random_() % (file_bytes / 512) * 512;
    switch (random_() % 6) {
      case 0:
        return 0;
      case 1:
        return ~u64{0};
      case 2:
        return cluster | u64{1} << 63;
      case 3:
        return cluster | u64{1} << 62 | (random_() & 0xff) << 54;
      case 4:
        return (random_() & 0xffff'ffff'ffff) | u64{1} << 63 | 1;
      default:
        return u64{1} << (random_() % 64);
    }
  }
  TempDir dir_;
  std::mt19937_64 random_{11};
};

TEST_F(Hostile, MutatedImagesNeverCrash) {
  int opened = 0;
  for (const auto& [options, compressed] :
       {std::pair{"cluster_size=512,refcount_bits=8", false},
        {"cluster_size=4k", true},
        {"cluster_size=64k,refcount_bits=64", false},
        {"cluster_size=4k,lazy_refcounts=on,compression_type=zstd", true}}) {
    const auto good = make(options, compressed);
    ASSERT_TRUE(use_hostile_image(good));
    for (int i = 0; i < 150; ++i) {
      auto bad = good;
      const u64 changes = 1 + random_() % 8;
      for (u64 k = 0; k < changes; ++k) {
        // Mostly the header and the tables near the start and end.
        const u64 where = random_() % 4;
        u64 at = where == 0 ? random_() % 112 : random_() % bad.size();
        if (where == 1) at %= std::min<u64>(bad.size(), 8192);
        if (random_() % 2 == 0) {
          bad[at] = static_cast<u8>(random_());
        } else if (at = align_down(at, 8); at + 8 <= bad.size()) {
          store_be<u64>(&bad[at], entry(bad.size()));
        }
      }
      if (i % 5 == 0) bad.resize(1 + random_() % bad.size());
      if (i % 7 == 0 && bad.size() > 80) bad[79] |= 1;  // dirty: repair on opening
      opened += use_hostile_image(bad) ? 1 : 0;
    }
  }
  EXPECT_GT(opened, 50);  // the mutations reach behind the header
}

TEST_F(Hostile, TwoEntriesForOneTableAreRefused) {
  auto image = make("cluster_size=512", false);
  const u64 l1 = load_be<u64>(&image[40]);
  std::copy_n(image.begin() + static_cast<i64>(l1), 8, image.begin() + static_cast<i64>(l1) + 8);
  EXPECT_FALSE(use_hostile_image(image));
}

TEST_F(Hostile, DataOverATableIsNotWritten) {
  // The first L2 entry leads to the L1 table.
  must_run("qemu-img create -q -f qcow2 -o cluster_size=4k " + dir_.file("e.qcow2") + " 1M");
  ASSERT_TRUE(write_flat(*must_open(dir_.file("e.qcow2")), 0, std::vector<u8>(4096, u8{1})));
  auto bytes = read_file(dir_.file("e.qcow2"));
  const u64 l1 = load_be<u64>(&bytes[40]);
  const u64 l2 = load_be<u64>(&bytes[l1]) & 0x00ff'ffff'ffff'fe00;
  store_be<u64>(&bytes[l2], l1 | u64{1} << 63);
  write_file(dir_.file("e.qcow2"), bytes);
  {
    auto image = must_open(dir_.file("e.qcow2"));
    EXPECT_FALSE(write_flat(*image, 0, std::vector<u8>(512, u8{0xee})));
  }
  const auto after = read_file(dir_.file("e.qcow2"));
  EXPECT_TRUE(std::equal(after.begin() + static_cast<i64>(l1), after.end(),
                         bytes.begin() + static_cast<i64>(l1)));
  EXPECT_EQ(after[79] & 2, 2);  // marked corrupt for whoever opens it next
}

TEST_F(Hostile, ADiskOfExabytesOpens) {
  auto image = make("cluster_size=64k", false);
  store_be<u64>(&image[24], u64{1} << 62);
  EXPECT_FALSE(use_hostile_image(image));  // its L1 table would have to be larger
  must_run("qemu-img create -q -f qcow2 -o cluster_size=2M " + dir_.file("big.qcow2") + " 1P");
  auto big = must_open(dir_.file("big.qcow2"));
  ASSERT_TRUE(write_flat(*big, (u64{1} << 50) - 512, std::vector<u8>(512, u8{3})));
  ASSERT_TRUE(big->discard(0, u64{1} << 50));
}

}  // namespace
}  // namespace emu::test
