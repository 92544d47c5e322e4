// SPDX-License-Identifier: Apache-2.0
// VMDK, VDI, VHD and VHDX against Debian's qemu-img, in both directions, and damaged ones.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "block/create_image.h"
#include "block/hostile_foreign.h"
#include "block/support.h"

namespace emu::test {
namespace {

struct Kind {
  DiskFormat format;
  const char* key;
  const char* value;
  bool shows_itself = true;  // found by its content
};

std::ostream& operator<<(std::ostream& out, const Kind& k) {
  return out << format_name(k.format) << " " << k.key << "=" << k.value;
}

class Foreign : public ::testing::TestWithParam<Kind> {
 protected:
  void SetUp() override { EMU_NEEDS_QEMU_IMG(); }
  [[nodiscard]] std::string name() const { return std::string(format_name(GetParam().format)); }
  [[nodiscard]] std::string path() const { return dir_.file("disk." + name()); }
  [[nodiscard]] DiskFormat given_format() const {
    return GetParam().shows_itself ? DiskFormat::kAuto : GetParam().format;
  }
  std::unique_ptr<DiskImage> open(bool read_only = false) {
    auto image = open_image({.path = path(), .format = given_format(), .read_only = read_only});
    if (!image) {
      ADD_FAILURE() << image.error().message;
      std::abort();
    }
    return std::move(*image);
  }
  void expect_qemu_reads(const ModelDisk& model) {
    write_file(dir_.file("model.raw"), model.bytes);
    must_run(fmt::format("cd {} && qemu-img compare -q -f {} -F raw disk.{} model.raw", dir_.path(),
                         name(), name()));
    std::string output;  // some formats have no check; 63 says so
    const int status = run_command(
        fmt::format("cd {} && qemu-img check -q -f {} disk.{}", dir_.path(), name(), name()),
        &output);
    EXPECT_TRUE(status == 0 || status == 63) << output;
  }
  TempDir dir_;
  std::mt19937_64 random_{3};
};

TEST_P(Foreign, OursAreUsedAndThenReadByQemu) {
  const auto made = create_image({.path = path(),
                                  .format = GetParam().format,
                                  .size_bytes = 12 * kMiB + 512 * 7,
                                  .options = {{GetParam().key, GetParam().value}}});
  ASSERT_TRUE(made) << made.error().message;
  ModelDisk model{std::vector<u8>(12 * kMiB + 512 * 7)};
  for (int session = 0; session < 2; ++session) {
    auto image = open();
    ASSERT_EQ(image->size_bytes(), model.bytes.size());
    for (int i = 0; i < 60; ++i) model.random_step(*image, random_, 300000);
    EXPECT_EQ(read_all(*image), model.bytes);
  }
  expect_qemu_reads(model);
}

TEST_P(Foreign, QemusAreReadAndUsed) {
  ModelDisk model{random_bytes(random_, 12 * kMiB)};
  std::fill_n(model.bytes.begin() + 3 * kMiB, 5 * kMiB, u8{0});
  write_file(dir_.file("source.raw"), model.bytes);
  const bool is_vhd = GetParam().format == DiskFormat::kVpc;
  must_run(fmt::format("cd {} && qemu-img convert -f raw -O {} -o {}={}{} source.raw disk.{}",
                       dir_.path(), name(), GetParam().key, GetParam().value,
                       is_vhd ? ",force_size=on" : "", name()));
  {
    auto image = open(true);
    EXPECT_EQ(read_all(*image), model.bytes);
  }
  {
    auto image = open();
    for (int i = 0; i < 60; ++i) model.random_step(*image, random_, 300000);
  }
  expect_qemu_reads(model);
}

INSTANTIATE_TEST_SUITE_P(
    Formats, Foreign,
    ::testing::Values(Kind{DiskFormat::kVdi, "static", "off"},
                      Kind{DiskFormat::kVdi, "static", "on"},
                      Kind{DiskFormat::kVpc, "subformat", "dynamic"},
                      Kind{DiskFormat::kVpc, "subformat", "fixed", false},
                      Kind{DiskFormat::kVhdx, "subformat", "dynamic"},
                      Kind{DiskFormat::kVhdx, "subformat", "fixed"},
                      Kind{DiskFormat::kVhdx, "block_size", "1M"},
                      Kind{DiskFormat::kVmdk, "subformat", "monolithicSparse"},
                      Kind{DiskFormat::kVmdk, "subformat", "monolithicFlat"},
                      Kind{DiskFormat::kVmdk, "subformat", "twoGbMaxExtentSparse"},
                      Kind{DiskFormat::kVmdk, "subformat", "twoGbMaxExtentFlat"}));

class ForeignFiles : public ::testing::Test {
 protected:
  void SetUp() override { EMU_NEEDS_QEMU_IMG(); }
  TempDir dir_;
  std::mt19937_64 random_{4};
};

TEST_F(ForeignFiles, AStreamOptimizedVmdkIsReadAndWrittenOnce) {
  auto bytes = random_bytes(random_, 3 * kMiB);
  std::fill_n(bytes.begin() + 100000, 900000, u8{'x'});
  write_file(dir_.file("source.raw"), bytes);
  must_run(
      fmt::format("cd {} && qemu-img convert -O vmdk -o subformat=streamOptimized source.raw "
                  "theirs.vmdk",
                  dir_.path()));
  EXPECT_EQ(read_all(*must_open(dir_.file("theirs.vmdk"), true)), bytes);
  ASSERT_TRUE(create_image({.path = dir_.file("ours.vmdk"),
                            .format = DiskFormat::kVmdk,
                            .size_bytes = bytes.size(),
                            .options = {{"subformat", "streamOptimized"}}}));
  {
    auto image = must_open(dir_.file("ours.vmdk"));
    for (u64 at = 0; at < bytes.size(); at += 64 * kKiB)
      ASSERT_TRUE(image->write_compressed(at, std::span(bytes).subspan(at, 64 * kKiB)));
    EXPECT_FALSE(image->write_compressed(0, std::span(bytes).first(64 * kKiB)));
    EXPECT_FALSE(write_flat(*image, 512, std::span(bytes).first(512)));
  }
  must_run(fmt::format("cd {} && qemu-img compare -q source.raw ours.vmdk", dir_.path()));
}

TEST_F(ForeignFiles, AVmdkShowsItsParent) {
  auto bytes = random_bytes(random_, 4 * kMiB);
  write_file(dir_.file("source.raw"), bytes);
  must_run(
      fmt::format("cd {} && qemu-img convert -O vmdk source.raw base.vmdk && "
                  "qemu-img create -q -f vmdk -b base.vmdk -F vmdk top.vmdk && "
                  "qemu-io -c 'write -P 5 1M 100k' top.vmdk > /dev/null",
                  dir_.path()));
  std::fill_n(bytes.begin() + kMiB, 100 * kKiB, u8{5});
  ModelDisk model{bytes};
  {
    auto image = must_open(dir_.file("top.vmdk"));
    EXPECT_EQ(read_all(*image), model.bytes);
    for (int i = 0; i < 40; ++i) model.random_step(*image, random_, 100000);
  }
  write_file(dir_.file("model.raw"), model.bytes);
  must_run(fmt::format("cd {} && qemu-img compare -q -F raw top.vmdk model.raw", dir_.path()));
}

TEST_F(ForeignFiles, ADifferencingVdiFindsItsParentByIdentity) {
  const auto bytes = random_bytes(random_, 3 * kMiB);
  write_file(dir_.file("source.raw"), bytes);
  must_run(fmt::format("cd {} && qemu-img convert -O vdi source.raw base.vdi", dir_.path()));
  ASSERT_TRUE(create_image({.path = dir_.file("top.vdi"),
                            .format = DiskFormat::kVdi,
                            .size_bytes = 3 * kMiB,
                            .options = {}}));
  auto top = read_file(dir_.file("top.vdi"));
  const auto base = read_file(dir_.file("base.vdi"));
  top[0x4c] = 4;                                               // differencing
  std::copy_n(base.begin() + 0x188, 16, top.begin() + 0x1a8);  // the base's identity as the link
  write_file(dir_.file("top.vdi"), top);
  ModelDisk model{bytes};
  auto image = must_open(dir_.file("top.vdi"));
  for (int i = 0; i < 40; ++i) model.random_step(*image, random_, 100000);
  EXPECT_EQ(read_all(*image), model.bytes);
  image.reset();
  EXPECT_EQ(read_all(*must_open(dir_.file("top.vdi"), true)), model.bytes);
  EXPECT_EQ(read_file(dir_.file("base.vdi")), base);
}

TEST_F(ForeignFiles, ADifferencingVhdShowsItsParentWhereItsBitmapSaysSo) {
  auto bytes = random_bytes(random_, 4 * kMiB);
  write_file(dir_.file("source.raw"), bytes);
  must_run(
      fmt::format("cd {} && qemu-img convert -O vpc -o force_size=on source.raw base.vhd && "
                  "qemu-img create -q -f vpc -o force_size=on top.vhd 4M && "
                  "qemu-io -f vpc -c 'write -P 7 2M 1M' top.vhd > /dev/null",
                  dir_.path()));
  auto top = read_file(dir_.file("top.vhd"));
  const auto checksum = [&](u64 at, u64 bytes_to_sum, u64 field) {
    std::fill_n(top.begin() + static_cast<std::ptrdiff_t>(at + field), 4, u8{0});
    u32 sum = 0;
    for (u64 i = 0; i < bytes_to_sum; ++i) sum += top[at + i];
    for (u64 i = 0; i < 4; ++i) top[at + field + i] = static_cast<u8>(~sum >> (24 - 8 * i));
  };
  top[60 + 3] = top[top.size() - 512 + 63] = 4;  // differencing
  const std::string name = "base.vhd";
  for (u64 i = 0; i < name.size(); ++i) top[512 + 64 + i * 2 + 1] = static_cast<u8>(name[i]);
  checksum(0, 512, 64);
  checksum(512, 1024, 36);
  checksum(top.size() - 512, 512, 64);
  // Block 1 lies where its table entry says; of its bitmap only the first 100 sectors stay.
  const u64 block = (u64{top[1536 + 4]} << 24 | u64{top[1536 + 5]} << 16 | u64{top[1536 + 6]} << 8 |
                     top[1536 + 7]) *
                    512;
  std::fill_n(top.begin() + static_cast<std::ptrdiff_t>(block), 512, u8{0});
  std::fill_n(top.begin() + static_cast<std::ptrdiff_t>(block), 12, u8{0xff});
  top[block + 12] = 0xf0;
  write_file(dir_.file("top.vhd"), top);
  std::fill_n(bytes.begin() + 2 * kMiB, 100 * 512, u8{7});
  ModelDisk model{bytes};
  auto image = must_open(dir_.file("top.vhd"));
  EXPECT_EQ(read_all(*image), model.bytes);
  for (int i = 0; i < 40; ++i) model.random_step(*image, random_, 100000);
  image.reset();
  EXPECT_EQ(read_all(*must_open(dir_.file("top.vhd"), true)), model.bytes);
}

template <class T>
void put(std::vector<u8>& bytes, u64 at, T value) {
  std::memcpy(&bytes[at], &value, sizeof value);
}

// Moves the first sector of the table of blocks into the log, as if the power had failed between
// the two writes.
void move_table_to_log(std::vector<u8>& bytes, u64 table) {
  constexpr u64 kSector = 4096;
  const auto sector = bytes.begin() + static_cast<std::ptrdiff_t>(table);
  std::vector<u8> entry(2 * kSector);
  std::memcpy(entry.data(), "loge", 4);
  put<u32>(entry, 8, 2 * kSector);
  put<u64>(entry, 16, 1);  // sequence
  put<u32>(entry, 24, 1);  // descriptors
  std::fill_n(entry.begin() + 32, 16, u8{0x77});
  put<u64>(entry, 48, bytes.size());
  put<u64>(entry, 56, bytes.size());
  std::memcpy(&entry[64], "desc", 4);
  std::copy_n(sector + kSector - 4, 4, entry.begin() + 68);
  std::copy_n(sector, 8, entry.begin() + 72);
  put<u64>(entry, 80, table);
  put<u64>(entry, 88, 1);
  std::copy_n(sector, kSector, entry.begin() + kSector);
  std::memcpy(&entry[kSector], "data", 4);
  put<u32>(entry, kSector + 4, 0);
  put<u32>(entry, 2 * kSector - 4, 1);
  put<u32>(entry, 4, vhdx::checksum(entry));
  std::fill_n(sector, kSector, u8{0});
  for (const u64 at : vhdx::kHeaderAt) {
    const auto header = std::span(bytes).subspan(at, vhdx::kHeaderBytes);
    u64 log = 0;
    std::memcpy(&log, &header[72], sizeof log);
    std::copy(entry.begin(), entry.end(), bytes.begin() + static_cast<std::ptrdiff_t>(log));
    std::fill_n(header.begin() + 48, 16, u8{0x77});
    put<u32>(bytes, at + 4, vhdx::checksum(header));
  }
}

TEST_F(ForeignFiles, AVhdxLogThatWasLeftIsReplayed) {
  const std::string path = dir_.file("disk.vhdx");
  must_run("qemu-img create -q -f vhdx " + path + " 64M");
  must_run("qemu-io -f vhdx -c 'write -P 6 1M 2M' " + path + " > /dev/null");
  auto bytes = read_file(path);
  u64 table = 0;
  for (u64 i = 0; i < 2; ++i) {
    const u8* entry = &bytes[vhdx::kRegionTableAt[0] + 16 + i * 32];
    if (entry[0] == vhdx::kBatRegion[0]) std::memcpy(&table, entry + 16, 8);
  }
  ASSERT_NE(table, 0u);
  move_table_to_log(bytes, table);
  write_file(path, bytes);
  write_file(dir_.file("theirs.vhdx"), bytes);
  EXPECT_FALSE(open_image({.path = path, .read_only = true}));  // cannot be replayed
  auto image = must_open(path);
  std::vector<u8> data(2 * kMiB);
  ASSERT_TRUE(read_flat(*image, kMiB, data));
  EXPECT_EQ(std::count(data.begin(), data.end(), u8{6}), 2 * 1024 * 1024);
  image.reset();
  // qemu reads the same from our replay, and from its own.
  must_run("qemu-img check -q -f vhdx -r all " + dir_.file("theirs.vhdx"));
  must_run(fmt::format("cd {} && qemu-img compare -q disk.vhdx theirs.vhdx", dir_.path()));
}

TEST_F(ForeignFiles, DamagedImagesDoNoHarm) {
  struct Sample {
    DiskFormat format;
    const char* subformat;
    std::vector<u64> interesting;  // where headers and tables lie
  };
  for (const Sample& sample :
       {Sample{DiskFormat::kVdi, nullptr, {0x40, 0x140, 0x170, 512}},
        Sample{DiskFormat::kVpc, nullptr, {0, 512, 1536}},
        Sample{DiskFormat::kVhdx,
               nullptr,
               {64 * kKiB, 192 * kKiB, kMiB, 2 * kMiB, 2 * kMiB + 64 * kKiB, 3 * kMiB}},
        Sample{DiskFormat::kVmdk, "monolithicSparse", {0, 512, 21 * 512, 22 * 512, 27 * 512}},
        Sample{DiskFormat::kVmdk, "streamOptimized", {0, 512, 22 * 512, 64 * kKiB}}}) {
    CreateRequest request{.path = dir_.file("sample"),
                          .format = sample.format,
                          .size_bytes = 5 * kMiB,
                          .options = {}};
    if (sample.subformat != nullptr) request.options = {{"subformat", sample.subformat}};
    ASSERT_TRUE(create_image(request));
    {
      auto image = must_open(request.path);
      std::vector<u8> data(64 * kKiB, u8{1});
      for (const u64 at : {u64{0}, 3 * kMiB}) {
        if (!write_flat(*image, at, data)) break;
      }
    }
    const auto good = read_file(request.path);
    for (int i = 0; i < 250; ++i) {
      auto file = std::make_unique<MemoryFile>("hostile");
      auto bad = good;
      for (u64 change = 0; change <= random_() % 3; ++change) {
        const u64 at = sample.interesting[random_() % sample.interesting.size()] + random_() % 128;
        if (at >= bad.size()) continue;
        bad[at] = random_() % 2 == 0 ? u8{0xff} : static_cast<u8>(random_());
      }
      if (random_() % 8 == 0) bad.resize(random_() % bad.size());
      ASSERT_TRUE(file->write_flat(0, bad));
      use_hostile_foreign(std::move(file), sample.format);
    }
  }
}

}  // namespace
}  // namespace emu::test
