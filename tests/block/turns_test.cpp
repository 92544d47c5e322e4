// SPDX-License-Identifier: Apache-2.0
// One image of each format, changed by qemu-io and by us in turn with random operations: both see
// what the other did, and qemu-img finds nothing wrong.
#include <gtest/gtest.h>

#include <algorithm>

#include "block/support.h"

namespace emu::test {
namespace {

constexpr u64 kDiskBytes = 6 * kMiB;
constexpr int kTurns = 6;
constexpr int kOperations = 20;

struct Case {
  const char* name;
  const char* format;
  const char* options;
};

class TakingTurns : public testing::TestWithParam<Case> {
 protected:
  struct Operation {
    enum Kind : u8 { kWrite, kZero, kZeroAndUnmap, kDiscard } kind;
    u64 offset;
    u64 length;
    u8 pattern;
  };

  Operation roll() {
    const u64 unit = dice_() % 2 == 0 ? 512 : 64 * kKiB;
    const u64 length = (1 + dice_() % (unit == 512 ? 300 : 12)) * unit;
    const u64 offset = dice_() % ((kDiskBytes - length) / 512) * 512 / unit * unit;
    return {static_cast<Operation::Kind>(dice_() % 8 < 5 ? 0 : 1 + dice_() % 3), offset, length,
            static_cast<u8>(1 + dice_() % 255)};
  }

  // The model: what was discarded is not compared until it is written again.
  void note(const Operation& o) {
    const auto part = [&](std::vector<u8>& v) { return std::span(v).subspan(o.offset, o.length); };
    std::ranges::fill(part(known_), u8{o.kind != Operation::kDiscard});
    std::ranges::fill(part(model_), o.kind == Operation::kWrite ? o.pattern : u8{0});
  }

  static std::string word(const Operation& o) {
    const std::string place = fmt::format("{} {}", o.offset, o.length);
    switch (o.kind) {
      case Operation::kWrite:
        return fmt::format("write -q -P {} {}", o.pattern, place);
      case Operation::kZero:
        return "write -q -z " + place;
      case Operation::kZeroAndUnmap:
        return "write -q -z -u " + place;
      case Operation::kDiscard:
        return "discard -q " + place;
    }
    return {};
  }

  void turn_of_qemu() {
    std::string command = std::string("qemu-io -d unmap -f ") + GetParam().format;
    for (int i = 0; i < kOperations; ++i) {
      const Operation o = roll();
      note(o);
      command += " -c '" + word(o) + "'";
    }
    must_run(command + " " + path());
  }

  void our_turn() {
    auto image = open(false);
    for (int i = 0; i < kOperations; ++i) {
      const Operation o = roll();
      note(o);
      const std::vector<u8> bytes(o.length, o.pattern);
      const auto done = o.kind == Operation::kWrite     ? write_flat(*image, o.offset, bytes)
                        : o.kind == Operation::kDiscard ? image->discard(o.offset, o.length)
                                                        : image->write_zeroes(o.offset, o.length);
      ASSERT_TRUE(done) << done.error().message;
    }
    ASSERT_TRUE(image->flush());
  }

  // Formats that only their name tells (raw) are named.
  std::unique_ptr<DiskImage> open(bool read_only) {
    auto image = open_image(
        {.path = path(), .format = *parse_format_name(GetParam().format), .read_only = read_only});
    EXPECT_TRUE(image) << image.error().message;
    return std::move(*image);
  }

  void compare(const std::vector<u8>& seen, const char* who, int turn) {
    ASSERT_GE(seen.size(), kDiskBytes);
    for (u64 i = 0; i < kDiskBytes; ++i) {
      ASSERT_TRUE(known_[i] == 0 || seen[i] == model_[i])
          << who << " sees " << int{seen[i]} << " for " << int{model_[i]} << " at " << i
          << " after turn " << turn;
    }
  }

  std::string path() { return dir_.file("disk"); }

  TempDir dir_;
  std::mt19937_64 dice_{20261120};
  std::vector<u8> model_ = std::vector<u8>(kDiskBytes);
  std::vector<u8> known_ = std::vector<u8>(kDiskBytes, 1);
};

TEST_P(TakingTurns, BothSeeTheSameBytes) {
  EMU_NEEDS_QEMU_IMG();
  const std::string format = GetParam().format;
  must_run("qemu-img create -q -f " + format + " " + GetParam().options + " " + path() + " 6M");
  for (int turn = 0; turn < kTurns; ++turn) {
    turn % 2 == 0 ? turn_of_qemu() : our_turn();
    compare(read_all(*open(true)), "emu", turn);
    must_run("qemu-img convert -f " + format + " -O raw " + path() + " " + dir_.file("raw"));
    compare(read_file(dir_.file("raw")), "qemu-img", turn);
  }
  if (format != "raw" && format != "vpc") must_run("qemu-img check -q -f " + format + " " + path());
}

INSTANTIATE_TEST_SUITE_P(
    Images, TakingTurns,
    testing::Values(Case{"raw", "raw", ""}, Case{"qcow2", "qcow2", ""},
                    Case{"qcow2_v2", "qcow2", "-o compat=0.10"},
                    Case{"qcow2_small", "qcow2", "-o cluster_size=512,refcount_bits=1"},
                    Case{"qcow2_large", "qcow2", "-o cluster_size=2M,refcount_bits=64"},
                    Case{"qcow2_subclusters", "qcow2", "-o extended_l2=on,cluster_size=64k"},
                    Case{"qcow2_lazy", "qcow2", "-o lazy_refcounts=on"}, Case{"vmdk", "vmdk", ""},
                    Case{"vmdk_split", "vmdk", "-o subformat=twoGbMaxExtentSparse"},
                    Case{"vdi", "vdi", ""}, Case{"vdi_static", "vdi", "-o static=on"},
                    Case{"vpc", "vpc", "-o force_size=on"},
                    Case{"vpc_fixed", "vpc", "-o subformat=fixed,force_size=on"},
                    Case{"vhdx", "vhdx", ""}, Case{"vhdx_fixed", "vhdx", "-o subformat=fixed"}),
    [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace emu::test
