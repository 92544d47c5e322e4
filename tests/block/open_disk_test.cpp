// SPDX-License-Identifier: Apache-2.0
// What opening says about bad files, and who may open what at the same time.
#include "block/open_disk.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bits.h"
#include "block/support.h"

namespace emu::test {
namespace {

class OpenDisk : public ::testing::Test {
 protected:
  std::string error_of(const DiskOptions& options) {
    auto image = open_image(options);
    return image ? "opened as " + (*image)->describe() : image.error().message;
  }
  std::string error_of(const std::string& path) { return error_of(DiskOptions{.path = path}); }
  std::string file_with(std::span<const u8> bytes) {
    write_file(dir_.file("x.img"), bytes);
    return dir_.file("x.img");
  }
  std::string file_with(std::string_view text) {
    return file_with(std::span(reinterpret_cast<const u8*>(text.data()), text.size()));
  }
  TempDir dir_;
  std::mt19937_64 random_{3};
};

#define EXPECT_HAS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

TEST_F(OpenDisk, EachBadFileGetsASentenceWithItsNameAndTheFix) {
  EXPECT_HAS(error_of(dir_.file("none.img")), "none.img does not exist");
  EXPECT_HAS(error_of(dir_.path()), "is a directory");
  EXPECT_HAS(error_of("/dev/null"), "is a character device");
  EXPECT_HAS(error_of(file_with("")), "is empty");
  EXPECT_HAS(error_of(file_with("hello")), "not recognized as a disk image");
  EXPECT_HAS(error_of(file_with("\x1f\x8b\x08 packed")), "unpack it first: gunzip");
  EXPECT_HAS(error_of(file_with(std::string("QED\0....", 8))),
             "QED image, which is not supported; convert");
  EXPECT_HAS(error_of(file_with("QFI\xfb")), "qcow version 1");
  EXPECT_HAS(error_of(""), "no file name");
  ASSERT_EQ(::mkfifo(dir_.file("pipe").c_str(), 0600), 0);
  EXPECT_HAS(error_of(dir_.file("pipe")), "is a pipe");
  EXPECT_HAS(
      error_of(DiskOptions{.path = file_with(std::vector<u8>(512)), .format = DiskFormat::kQcow2}),
      "is not a qcow2 image");
}

TEST_F(OpenDisk, ARawDiskIsWhatNothingElseClaims) {
  EXPECT_HAS(error_of(file_with(std::vector<u8>(kMiB))), "x.img (raw by its content, 1 MiB)");
  const DiskOptions odd{.path = file_with("odd size"), .format = DiskFormat::kRaw};
  EXPECT_HAS(error_of(odd), "x.img (raw, 512 bytes)");
}

TEST_F(OpenDisk, AGuestCannotTurnAProbedRawDiskIntoQcow2) {
  const std::string path = file_with(std::vector<u8>(kMiB));
  std::vector<u8> header(512);
  store_be<u32>(header.data(), 0x514649fb);
  store_be<u32>(header.data() + 4, 3);
  EXPECT_FALSE(write_flat(*must_open(path), 0, header));
  auto explicitly_raw = open_image({.path = path, .format = DiskFormat::kRaw});
  EXPECT_TRUE(write_flat(**explicitly_raw, 0, header));
}

TEST_F(OpenDisk, AWriterKeepsOthersOutAndIsNamed) {
  const std::string path = file_with(std::vector<u8>(kMiB));
  auto writer = must_open(path);
  EXPECT_HAS(error_of(path), fmt::format("in use by this same emu (pid {})", ::getpid()));
  EXPECT_HAS(error_of(DiskOptions{.path = path, .read_only = true}), "in use");
  EXPECT_HAS(error_of(DiskOptions{.path = path, .lock = false}), "opened as");
  writer.reset();
  auto reader = must_open(path, true);
  EXPECT_HAS(error_of(DiskOptions{.path = path, .read_only = true}), "opened as");
  EXPECT_HAS(error_of(path), "in use");
}

TEST_F(OpenDisk, TheHoldersPidAndCommandAreNamed) {
  const std::string path = file_with(std::vector<u8>(kMiB));
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    auto image = open_image({.path = path});
    const char byte = image ? 'y' : 'n';
    if (::write(ready[1], &byte, 1) != 1) ::_exit(1);
    ::pause();
    ::_exit(0);
  }
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  EXPECT_EQ(byte, 'y');
  EXPECT_HAS(error_of(path), fmt::format("in use by test_block (pid {})", child));
  ::kill(child, SIGKILL);
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST_F(OpenDisk, QemuAndWeSeeEachOthersLocks) {
  EMU_NEEDS_QEMU_IMG();
  const std::string path = dir_.file("d.qcow2");
  must_run("qemu-img create -q -f qcow2 " + path + " 1M");
  auto writer = must_open(path);
  std::string output;
  EXPECT_NE(run_command("qemu-io -c 'write 0 512' " + path, &output), 0);
  EXPECT_HAS(output, "lock");
  EXPECT_NE(run_command("qemu-img info " + path, &output), 0);
}

TEST_F(OpenDisk, ThrowAwayWritesLeaveTheImageAlone) {
  auto bytes = random_bytes(random_, kMiB);
  const std::string path = file_with(bytes);
  auto image = open_image({.path = path, .throw_away_writes = true});
  ASSERT_TRUE(image);
  EXPECT_HAS((*image)->describe(), "changes are thrown away");
  ModelDisk model{bytes};
  for (int i = 0; i < 200; ++i) model.random_step(**image, random_, 200000);
  EXPECT_EQ(read_all(**image), model.bytes);
  image->reset();
  EXPECT_EQ(read_file(path), bytes);
}

TEST_F(OpenDisk, RawImagesKeepWhatIsWritten) {
  ModelDisk model{std::vector<u8>(kMiB)};
  const std::string path = file_with(model.bytes);
  {
    auto image = must_open(path);
    for (int i = 0; i < 200; ++i) model.random_step(*image, random_, 200000);
    ASSERT_TRUE(image->flush());
  }
  EXPECT_EQ(read_file(path), model.bytes);
}

// Bad qcow2 files, made by changing good ones.
class OpenQcow2 : public OpenDisk {
 protected:
  void SetUp() override {
    EMU_NEEDS_QEMU_IMG();
    must_run("qemu-img create -q -f qcow2 " + path() + " 4M");
    must_run("qemu-io -c 'write -P 1 0 4M' " + path() + " >/dev/null");
    bytes_ = read_file(path());
  }
  std::string path() { return dir_.file("d.qcow2"); }
  std::string error_with_byte(u64 offset, u8 value) {
    auto changed = bytes_;
    changed[offset] = value;
    write_file(path(), changed);
    return error_of(path());
  }
  std::vector<u8> bytes_;
};

TEST_F(OpenQcow2, UnsupportedFeaturesAreRefusedByName) {
  EXPECT_HAS(error_with_byte(79, 0x04), "keeps its data in another file");
  EXPECT_HAS(error_with_byte(79, 0x20), "\"unknown feature bit 5\"");
  EXPECT_HAS(error_with_byte(35, 2), "a LUKS header of 0 bytes");
  EXPECT_HAS(error_with_byte(7, 4), "qcow version 1 or a future qcow");
  EXPECT_HAS(error_with_byte(79, 0x02), "marked corrupt");
}

TEST_F(OpenQcow2, DamagedHeadersAreRefused) {
  EXPECT_HAS(error_with_byte(23, 8), "is damaged: cluster size 2^8");
  EXPECT_HAS(error_with_byte(23, 22), "is damaged: cluster size 2^22");
  EXPECT_HAS(error_with_byte(36, 0xff), "L1 table of");
  EXPECT_HAS(error_with_byte(47, 0x01), "is not a cluster");
  EXPECT_HAS(error_with_byte(42, 0x01), "is cut short: its L1 table");
  EXPECT_HAS(error_with_byte(45, 0x00), "L1 table at 0");
  EXPECT_HAS(error_with_byte(45, 0x01), "overlap");
  EXPECT_HAS(error_with_byte(56, 0xff), "refcount table of");
  EXPECT_HAS(error_with_byte(60, 0xff), "snapshots");
  EXPECT_HAS(error_with_byte(99, 7), "refcount width");
  EXPECT_HAS(error_with_byte(24, 0x10), "too small for a disk");
}

TEST_F(OpenQcow2, ATruncatedImageIsRefusedBeforeAnythingIsWritten) {
  for (const u64 keep : {bytes_.size() - 65536, bytes_.size() / 2, u64{300000}, u64{200000},
                         u64{65536}, u64{1000}, u64{100}, u64{50}}) {
    const std::vector<u8> part(bytes_.begin(), bytes_.begin() + static_cast<i64>(keep));
    write_file(path(), part);
    EXPECT_HAS(error_of(path()), "cut short");
    EXPECT_EQ(read_file(path()), part);
  }
}

TEST_F(OpenQcow2, BadBackingFilesAreRefused) {
  const std::string in_dir = "cd " + dir_.path() + " && ";
  must_run(in_dir + "qemu-img create -q -u -f qcow2 -b d2.qcow2 -F qcow2 d1.qcow2 4M");
  EXPECT_HAS(error_of(dir_.file("d1.qcow2")), "the backing file of");
  EXPECT_HAS(error_of(dir_.file("d1.qcow2")), "d2.qcow2 does not exist");
  must_run(in_dir + "qemu-img create -q -u -f qcow2 -b d1.qcow2 -F qcow2 d2.qcow2 4M");
  EXPECT_HAS(error_of(dir_.file("d1.qcow2")), "its own backing file");
  must_run(in_dir + "qemu-img create -q -u -f qcow2 -b nbd://host/x -F raw d3.qcow2 4M");
  EXPECT_HAS(error_of(dir_.file("d3.qcow2")), "only local files");
  for (const char* name : {"fat:.", "file:fat:.", "file:nbd://host/x"}) {
    must_run(in_dir + "qemu-img create -q -u -f qcow2 -b " + name + " -F raw d3.qcow2 4M");
    EXPECT_HAS(error_of(dir_.file("d3.qcow2")), "only local files");
  }
  must_run(in_dir +
           "qemu-img create -q -f vmdk base.vmdk 4M && qemu-img create -q -f vmdk -b "
           "base.vmdk -F vmdk top.vmdk && sed -i 's/base.vmdk/fat:./' top.vmdk");
  EXPECT_HAS(error_of(dir_.file("top.vmdk")), "only local files");
  must_run(in_dir + "qemu-img create -q -u -f qcow2 -b x.qed -F qed d4.qcow2 4M");
  EXPECT_HAS(error_of(dir_.file("d4.qcow2")), "format qed");
}

TEST_F(OpenQcow2, IsDescribedWithItsShareOfTheSpace) {
  EXPECT_HAS(error_of(path()), "d.qcow2 (qcow2, ");
  EXPECT_HAS(error_of(path()), " of 4 MiB)");
}

TEST(OpenDiskBackend, RequestsRunAwayFromTheCallerAndCompleteThroughTheExecutor) {
  TempDir dir;
  write_file(dir.file("d.img"), std::vector<u8>(kMiB));
  QueueExecutor executor;
  auto disk = open_disk({.path = dir.file("d.img")}, executor);
  ASSERT_TRUE(disk);
  std::vector<u8> out(4096, u8{5});
  std::vector<u8> in(4096);
  int done = 0;
  const auto expect_ok = [&done](const Result<void>& r) {
    EXPECT_TRUE(r);
    ++done;
  };
  (*disk)->submit({.op = BlockOp::kWrite, .offset_bytes = 512, .buffers = {out}}, expect_ok);
  (*disk)->drain();
  EXPECT_EQ(done, 0);  // never outside the executor
  EXPECT_EQ(executor.run(), 1);
  (*disk)->submit({.op = BlockOp::kRead, .offset_bytes = 512, .buffers = {in}}, expect_ok);
  (*disk)->submit({.op = BlockOp::kFlush, .buffers = {}}, expect_ok);
  (*disk)->submit(
      {.op = BlockOp::kDiscard, .offset_bytes = 0, .length_bytes = kMiB + 512, .buffers = {}},
      [&done](const Result<void>& r) {
        EXPECT_FALSE(r);
        ++done;
      });
  (*disk)->drain();
  executor.run();
  EXPECT_EQ(done, 4);
  EXPECT_EQ(in, out);
}

}  // namespace
}  // namespace emu::test
