// SPDX-License-Identifier: Apache-2.0
// The power fails: after any prefix of our writes, and with unflushed writes missing or torn, the
// image opens, qemu-img finds no corruption (leaks are allowed), and what was flushed is there.
#include <fmt/format.h>

#include <cstring>

#include "block/qcow2/qcow2_image.h"
#include "block/recording_file.h"
#include "block/support.h"
#include "block/vdi/vdi_image.h"
#include "block/vhd/vhd_image.h"
#include "block/vhdx/vhdx_image.h"
#include "block/vmdk/vmdk_image.h"

namespace emu::test {
namespace {

struct Case {
  const char* format;
  const char* options;
  u64 size_bytes;
  u64 max_bytes;
  bool compressed;
  bool snapshot;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.format << "," << c.options << (c.compressed ? ",compressed" : "")
             << (c.snapshot ? ",snapshot" : "");
}

// What the guest could expect at some moment.
struct Version {
  std::size_t from_change = 0;  // the request that made it began here
  bool is_flushed = false;      // by the end of that request, `until_change`
  std::size_t until_change = 0;
  std::vector<u8> bytes;
};

Result<std::unique_ptr<DiskImage>> open_recording(const std::string& format,
                                                  std::unique_ptr<ByteFile> file) {
  if (format == "vmdk") return vmdk::VmdkImage::open(std::move(file), nullptr, nullptr);
  if (format == "vhdx") return vhdx::VhdxImage::open(std::move(file));
  if (format == "vdi") {
    const auto header = vdi::read_header(*file);
    if (!header) return header.error();
    return vdi::VdiImage::open(std::move(file), *header, nullptr);
  }
  if (format == "vpc") {
    auto header = vhd::read_header(*file);
    if (!header) return header.error();
    return vhd::DynamicVhdImage::open(std::move(file), std::move(*header), nullptr);
  }
  auto header = qcow2::read_header(*file);
  if (!header) return header.error();
  auto image = qcow2::Qcow2Image::open(std::move(file), std::move(*header), nullptr);
  if (!image) return image.error();
  return std::unique_ptr<DiskImage>(std::move(*image));
}

class Crash : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override { EMU_NEEDS_QEMU_IMG(); }

  void make_image() {
    model_.bytes = std::vector<u8>(GetParam().size_bytes);
    for (u64 at = 0; at < model_.bytes.size() / 2; at += 97)
      model_.bytes[at] = static_cast<u8>(random_() % 8);
    write_file(dir_.file("source.raw"), model_.bytes);
    must_run(fmt::format("qemu-img convert {} -f raw -O {} -o {} {} {}",
                         GetParam().compressed ? "-c" : "", GetParam().format, GetParam().options,
                         dir_.file("source.raw"), dir_.file("disk")));
    if (GetParam().snapshot) must_run("qemu-img snapshot -c s " + dir_.file("disk"));
    initial_ = read_file(dir_.file("disk"));
  }

  // Runs requests and keeps what each of them promised.
  void use_image() {
    auto file = std::make_unique<RecordingFile>(initial_);
    RecordingFile& recording = *file;
    auto image = open_recording(GetParam().format, std::move(file));
    ASSERT_TRUE(image) << image.error().message;
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
    const std::string path = dir_.file("crashed");
    write_file(path, crashed);
    if (ask_qemu && GetParam().format != std::string("vpc")) {  // which it cannot check
      std::string output;
      const int status =
          run_command(std::string("qemu-img check -f ") + GetParam().format + " " + path, &output);
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
    ::testing::Values(
        Case{"qcow2", "cluster_size=512,refcount_bits=1", 512 * kKiB, 20000, false, false},
        Case{"qcow2", "cluster_size=512,refcount_bits=64", 512 * kKiB, 20000, false, false},
        Case{"qcow2", "cluster_size=4k", kMiB, 40000, true, false},
        Case{"qcow2", "cluster_size=512", 512 * kKiB, 20000, false, true},
        Case{"qcow2", "cluster_size=4k", kMiB, 40000, true, true},
        Case{"qcow2", "cluster_size=64k,compat=0.10", 2 * kMiB, 200000, false, true},
        Case{"qcow2", "cluster_size=64k", 2 * kMiB, 200000, false, false},
        // Formats without a journal: what they can promise is that flushed data stays.
        Case{"vdi", "static=off", 5 * kMiB, 200000, false, false},
        Case{"vpc", "force_size=on", 5 * kMiB, 200000, false, false},
        Case{"vhdx", "block_size=1M", 5 * kMiB, 200000, false, false},
        Case{"vmdk", "subformat=monolithicSparse", 5 * kMiB, 200000, false, false}));

}  // namespace
}  // namespace emu::test
