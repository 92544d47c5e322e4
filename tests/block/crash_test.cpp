// SPDX-License-Identifier: Apache-2.0
// The power fails: after any prefix of our writes, and with unflushed writes missing or torn, the
// image opens, qemu-img finds no corruption (leaks are allowed), and what was flushed is there.
#include <fmt/format.h>

#include <cstring>

#include "block/qcow2/qcow2_image.h"
#include "block/recording_file.h"
#include "block/support.h"

namespace emu::test {
namespace {

struct Case {
  const char* options;
  u64 size_bytes;
  u64 max_bytes;
  bool compressed;
  bool snapshot;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.options << (c.compressed ? ",compressed" : "") << (c.snapshot ? ",snapshot" : "");
}

// What the guest could expect at some moment.
struct Version {
  std::size_t from_change = 0;  // the request that made it began here
  bool is_flushed = false;      // by the end of that request, `until_change`
  std::size_t until_change = 0;
  std::vector<u8> bytes;
};

class Crash : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override { EMU_NEEDS_QEMU_IMG(); }

  void make_image() {
    model_.bytes = std::vector<u8>(GetParam().size_bytes);
    for (u64 at = 0; at < model_.bytes.size() / 2; at += 97)
      model_.bytes[at] = static_cast<u8>(random_() % 8);
    write_file(dir_.file("source.raw"), model_.bytes);
    must_run(fmt::format("qemu-img convert {} -f raw -O qcow2 -o {} {} {}",
                         GetParam().compressed ? "-c" : "", GetParam().options,
                         dir_.file("source.raw"), dir_.file("disk.qcow2")));
    if (GetParam().snapshot) must_run("qemu-img snapshot -c s " + dir_.file("disk.qcow2"));
    initial_ = read_file(dir_.file("disk.qcow2"));
  }

  // Runs requests and keeps what each of them promised.
  void use_image() {
    auto file = std::make_unique<RecordingFile>(initial_);
    RecordingFile& recording = *file;
    auto header = qcow2::read_header(*file);
    ASSERT_TRUE(header);
    auto image = qcow2::Qcow2Image::open(std::move(file), std::move(*header), nullptr);
    ASSERT_TRUE(image);
    versions_.push_back({0, true, 0, model_.bytes});
    for (int i = 0; i < 70; ++i) {
      const std::size_t begin = recording.changes().size();
      const bool flushes = random_() % 6 == 0;
      if (flushes) {
        ASSERT_TRUE((*image)->flush());
      } else {
        model_.random_step(**image, random_, GetParam().max_bytes);
      }
      versions_.push_back({begin, flushes, recording.changes().size(), model_.bytes});
    }
    changes_ = recording.changes();
  }

  void expect_promises_kept(const std::vector<u8>& bytes, std::size_t count) {
    std::size_t oldest = 0;
    std::size_t newest = 0;
    for (std::size_t v = 0; v < versions_.size(); ++v) {
      if (versions_[v].is_flushed && versions_[v].until_change <= count) oldest = v;
      if (versions_[v].from_change < count || v <= oldest) newest = v;
    }
    for (u64 at = 0; at < bytes.size(); at += 512) {
      bool matches = false;
      for (std::size_t v = oldest; v <= newest && !matches; ++v)
        matches = std::memcmp(&bytes[at], &versions_[v].bytes[at], 512) == 0;
      ASSERT_TRUE(matches) << "sector " << at / 512 << " after " << count << " changes";
    }
  }

  void crash_after(std::size_t count, bool tear, bool ask_qemu) {
    const auto crashed = file_after(initial_, changes_, count, tear ? &random_ : nullptr);
    const std::string path = dir_.file("crashed.qcow2");
    write_file(path, crashed);
    if (ask_qemu) {
      std::string output;
      const int status = run_command("qemu-img check " + path, &output);
      ASSERT_TRUE(status == 0 || status == 3) << output << "after " << count << " changes";
    }
    expect_promises_kept(read_all(*must_open(path)), count);
  }

  TempDir dir_;
  std::mt19937_64 random_{7};
  ModelDisk model_;
  std::vector<u8> initial_;
  std::vector<Version> versions_;
  std::vector<FileChange> changes_;
};

TEST_P(Crash, AnyPrefixOfWritesLeavesASoundImage) {
  make_image();
  use_image();
  for (int i = 0; i < 60 && !HasFatalFailure(); ++i) {
    const std::size_t count = random_() % (changes_.size() + 1);
    SCOPED_TRACE(i);
    crash_after(count, i % 2 == 1, i < 16);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Images, Crash,
    ::testing::Values(Case{"cluster_size=512,refcount_bits=1", 512 * kKiB, 20000, false, false},
                      Case{"cluster_size=512,refcount_bits=64", 512 * kKiB, 20000, false, false},
                      Case{"cluster_size=4k", kMiB, 40000, true, false},
                      Case{"cluster_size=512", 512 * kKiB, 20000, false, true},
                      Case{"cluster_size=4k", kMiB, 40000, true, true},
                      Case{"cluster_size=64k,compat=0.10", 2 * kMiB, 200000, false, true},
                      Case{"cluster_size=64k", 2 * kMiB, 200000, false, false}));

}  // namespace
}  // namespace emu::test
