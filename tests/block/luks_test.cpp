// SPDX-License-Identifier: Apache-2.0
// Encrypted images: ours read by qemu-img, its read here, and both written to.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <random>

#include "block/create_image.h"
#include "block/crypt/crypt_file.h"
#include "block/crypt/luks.h"
#include "block/memory_file.h"
#include "block/open_disk.h"
#include "block/support.h"

namespace emu {
namespace {

constexpr u64 kDiskBytes = 3 * kMiB;
constexpr const char* kPassphrase = "open sesame";

class Luks : public testing::Test {
 protected:
  void SetUp() override {
    std::ofstream(file("key")) << kPassphrase;
    std::mt19937_64 dice(5);
    contents_.resize(kDiskBytes);
    for (std::size_t i = 0; i < kDiskBytes; i += 3) contents_[i] = static_cast<u8>(dice());
    std::ofstream(file("plain"), std::ios::binary)
        .write(reinterpret_cast<const char*>(contents_.data()), kDiskBytes);
    if (std::system("qemu-img --version > /dev/null") != 0) GTEST_SKIP() << "qemu-img is missing";
  }

  [[nodiscard]] std::string file(const std::string& name) const { return dir_.file(name); }
  [[nodiscard]] bool run(const std::string& command) const {
    return std::system(("cd " + dir_.path() + " && " + command + " > out 2>&1").c_str()) == 0;
  }
  // qemu-img's view of an image, as source.
  [[nodiscard]] static std::string opts(const std::string& driver, const std::string& name) {
    return "driver=" + driver + ",file.filename=" + name +
           (driver == "luks" ? ",key-secret=k" : ",encrypt.key-secret=k");
  }
  [[nodiscard]] Result<std::unique_ptr<DiskImage>> open(const std::string& name, bool writable,
                                                        const std::string& key = kPassphrase) {
    return open_image({.path = file(name), .read_only = !writable, .passphrase = key});
  }
  void expect_contents(DiskImage& image) {
    std::vector<u8> bytes(kDiskBytes);
    const std::span<u8> one[] = {bytes};
    const auto read = image.read(0, one);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_TRUE(bytes == contents_);
  }
  // Writes here and there, aligned and not.
  void change(DiskImage& image) {
    std::mt19937_64 dice(6);
    for (int i = 0; i < 60; ++i) {
      const u64 length = 1 + dice() % (i % 2 == 0 ? 5000 : 200'000);
      const u64 offset = dice() % (kDiskBytes - length);
      const auto part = std::span(contents_).subspan(offset, length);
      for (u8& byte : part) byte = static_cast<u8>(dice());
      const std::span<u8> one[] = {part};
      ASSERT_TRUE(image.write(offset, one));
    }
    ASSERT_TRUE(image.write_zeroes(kMiB, 300'000));
    std::fill_n(contents_.begin() + kMiB, 300'000, u8{0});
    ASSERT_TRUE(image.flush());
  }

  test::TempDir dir_;
  std::vector<u8> contents_;
};

constexpr const char* kSecret = "--object secret,id=k,file=key ";

TEST_F(Luks, ImagesMadeByQemuAreReadAndWritten) {
  for (const std::string driver : {"qcow2"}) {  // qemu-img takes its time for each
    const std::string target = "from-qemu." + driver;
    const std::string how = "-o encrypt.format=luks,encrypt.key-secret=k,encrypt.iter-time=10";
    ASSERT_TRUE(run("qemu-img convert " + std::string(kSecret) + "-f raw plain -O " + driver + " " +
                    how + " " + target));
    {
      auto image = open(target, true);
      ASSERT_TRUE(image) << image.error().message;
      EXPECT_TRUE((*image)->info().is_encrypted);
      expect_contents(**image);
      change(**image);
      expect_contents(**image);
    }
    ASSERT_TRUE(run("qemu-img convert " + std::string(kSecret) + "--image-opts " +
                    opts(driver, target) + " -O raw back"));
    std::ifstream back(file("back"), std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(back)), {});
    EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), contents_.begin(), contents_.end(),
                           [](char a, u8 b) { return static_cast<u8>(a) == b; }))
        << driver;
    if (driver == "qcow2") {
      EXPECT_TRUE(
          run("qemu-img check " + std::string(kSecret) + "--image-opts " + opts(driver, target)));
    }
    std::ofstream(file("plain"), std::ios::binary)
        .write(reinterpret_cast<const char*>(contents_.data()), kDiskBytes);
  }
}

TEST_F(Luks, ImagesMadeHereAreReadByQemu) {
  for (const DiskFormat format : {DiskFormat::kLuks, DiskFormat::kQcow2}) {
    const std::string driver(format_name(format));
    CreateRequest request;
    request.path = file("ours." + driver);
    request.format = format;
    request.size_bytes = kDiskBytes;
    request.passphrase = kPassphrase;
    if (format == DiskFormat::kLuks) {
      request.options = {{"iter-time", "10"}};
    } else {
      request.options = {{"encrypt.format", "luks"}, {"encrypt.iter-time", "10"}};
    }
    const auto made = create_image(request);
    ASSERT_TRUE(made) << made.error().message;
    {
      auto image = open("ours." + driver, true);
      ASSERT_TRUE(image) << image.error().message;
      const std::span<u8> one[] = {contents_};
      ASSERT_TRUE((*image)->write(0, one));
    }
    EXPECT_TRUE(run("qemu-img compare " + std::string(kSecret) + "--image-opts " +
                    opts(driver, "ours." + driver) + " driver=raw,file.filename=plain"))
        << driver;
    if (driver == "qcow2") {
      EXPECT_TRUE(run("qemu-img check " + std::string(kSecret) + "--image-opts " +
                      opts(driver, "ours." + driver)));
    }
  }
}

TEST_F(Luks, OldAesImagesAreRead) {
  if (!run("qemu-img convert " + std::string(kSecret) +
           "-f raw plain -O qcow2 -o encrypt.format=aes,encrypt.key-secret=k old.qcow2"))
    GTEST_SKIP() << "this qemu-img makes no such images";
  auto image = open("old.qcow2", false);
  ASSERT_TRUE(image) << image.error().message;
  expect_contents(**image);
  image->reset();  // and its lock
  const auto writable = open("old.qcow2", true);
  ASSERT_FALSE(writable);
  EXPECT_NE(writable.error().message.find("can only be read"), std::string::npos);
}

TEST_F(Luks, WithoutTheKeyThereIsASentence) {
  CreateRequest request;
  request.path = file("x.luks");
  request.format = DiskFormat::kLuks;
  request.size_bytes = kMiB;
  request.options = {{"iter-time", "10"}};
  request.passphrase = kPassphrase;
  ASSERT_TRUE(create_image(request));
  const auto wrong = open("x.luks", false, "not this");
  ASSERT_FALSE(wrong);
  EXPECT_NE(wrong.error().message.find("the key does not open"), std::string::npos);
  auto locked = open("x.luks", false, "");
  ASSERT_TRUE(locked) << "it can tell about itself";
  EXPECT_EQ((*locked)->size_bytes(), kMiB);
  std::vector<u8> sector(512);
  const std::span<u8> one[] = {sector};
  const auto read = (*locked)->read(0, one);
  ASSERT_FALSE(read);
  EXPECT_NE(read.error().message.find("no key was given"), std::string::npos);
}

// It would take hours to find out that no slot opens.
TEST(LuksHeader, EndlessIterationsAreRefused) {
  for (const u64 at : {164u, 212u}) {  // of the key's digest, of the first slot
    MemoryFile file("endless");
    ASSERT_TRUE(crypt::format_luks(file, 0, {kPassphrase, 1}));
    const std::vector<u8> many{0x04, 0x00, 0x00, 0x01};
    ASSERT_TRUE(file.write_flat(at, many));
    const auto opened = crypt::unlock_luks(file, 0, "x");
    ASSERT_FALSE(opened);
    EXPECT_NE(opened.error().message.find("damaged"), std::string::npos);
  }
}

TEST(LuksHeader, DamageIsRefused) {
  std::vector<u8> header(592);
  MemoryFile plain("plain");
  ASSERT_TRUE(crypt::format_luks(plain, 0, {kPassphrase, 1}));
  ASSERT_TRUE(plain.read_flat(0, header));
  std::mt19937_64 dice(7);
  for (int round = 0; round < 300; ++round) {
    auto damaged = header;
    damaged[dice() % 240] = static_cast<u8>(dice());
    // Iteration counts stay: a large one is allowed, and would take its time.
    for (const u64 at : {164u, 212u}) std::copy_n(header.begin() + at, 4, damaged.begin() + at);
    MemoryFile file("damaged");
    ASSERT_TRUE(file.grow(64 * kKiB));
    ASSERT_TRUE(file.write_flat(0, damaged));
    static_cast<void>(crypt::read_luks(file, 0));
    if (round % 30 == 0) static_cast<void>(crypt::unlock_luks(file, 0, "x"));
  }
}

}  // namespace
}  // namespace emu
