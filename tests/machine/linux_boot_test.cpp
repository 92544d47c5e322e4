// SPDX-License-Identifier: Apache-2.0
// The direct boot loader, on kernels made up byte by byte.
#include "machine/boot/linux_boot.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>
#include <fstream>

#include "base/bits.h"

namespace emu {
namespace {

// A bzImage of one setup sector and `kernel_bytes` of payload.
std::vector<u8> made_up_kernel(u16 version, bool has_64bit_entry, u32 kernel_bytes = 4096) {
  std::vector<u8> f(1024 + kernel_bytes, 0x90);
  std::fill(f.begin(), f.begin() + 1024, u8{0});
  f[0x1f1] = 1;
  store_le<u32>(f.data() + 0x1f4, kernel_bytes / 16);
  store_le<u16>(f.data() + 0x1fe, 0xaa55);
  f[0x201] = 0x66;
  std::memcpy(f.data() + 0x202, "HdrS", 4);
  store_le<u16>(f.data() + 0x206, version);
  f[0x211] = 1;
  store_le<u32>(f.data() + 0x22c, 0x7fffffff);
  f[0x234] = 1;
  store_le<u16>(f.data() + 0x236, has_64bit_entry ? 1 : 0);
  store_le<u32>(f.data() + 0x238, 2047);
  store_le<u64>(f.data() + 0x258, 16 * kMiB);
  store_le<u32>(f.data() + 0x260, 8 * kMiB);
  return f;
}

// A file that is removed at the end of the test.
class TemporaryFile {
 public:
  TemporaryFile(const std::string& name, const std::vector<u8>& contents)
      : path(::testing::TempDir() + "/emu_" + name) {
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(contents.data()),
               static_cast<std::streamsize>(contents.size()));
  }
  ~TemporaryFile() { std::remove(path.c_str()); }
  const std::string path;
};

const BootChunk* chunk_at(const LinuxBoot& boot, u64 address) {
  for (const BootChunk& c : boot.chunks) {
    if (c.address == address) return &c;
  }
  return nullptr;
}

constexpr MemoryLayout k64MiB = MemoryLayout::of(64 * kMiB);

TEST(BzImage, SaysWhatIsWrong) {
  const auto message = [](std::vector<u8> bytes) {
    auto r = BzImage::parse(std::move(bytes), "K");
    return r ? std::string("no error") : r.error().message;
  };
  EXPECT_NE(message({}).find("K is not a Linux kernel"), std::string::npos);
  std::vector<u8> elf(4096);
  std::memcpy(elf.data(),
              "\x7f"
              "ELF",
              4);
  EXPECT_NE(message(elf).find("use the bzImage"), std::string::npos);
  EXPECT_NE(message(made_up_kernel(0x0203, false)).find("too old"), std::string::npos);
  auto truncated = made_up_kernel(0x020f, true);
  truncated.resize(truncated.size() - 100);
  EXPECT_NE(message(truncated).find("truncated"), std::string::npos);
  EXPECT_EQ(message(made_up_kernel(0x020f, true)), "no error");
}

TEST(LinuxBoot, EntersA64BitKernelInLongMode) {
  const TemporaryFile kernel("kernel64", made_up_kernel(0x020f, true));
  const TemporaryFile initrd("initrd", std::vector<u8>(5000, 0x42));
  auto boot = LinuxBoot::prepare({kernel.path, initrd.path, "console=ttyS0"}, k64MiB, 0xf0000);
  ASSERT_TRUE(boot) << boot.error().message;
  EXPECT_TRUE(boot->long_mode);
  CpuState state;
  boot->enter(state);
  EXPECT_EQ(state.rip, 16 * kMiB + 0x200);
  EXPECT_TRUE(state.code64());
  const BootChunk* params = chunk_at(*boot, state.gpr[kRsi]);
  ASSERT_NE(params, nullptr);
  const u8* p = params->bytes.data();
  EXPECT_EQ(load_le<u64>(p + 0x70), 0xf0000u);
  EXPECT_EQ(load_le<u32>(p + 0x21c), 5000u);
  const u32 initrd_at = load_le<u32>(p + 0x218);
  EXPECT_EQ(initrd_at, 64 * kMiB - 8192) << "at the top of memory, page-aligned";
  EXPECT_NE(chunk_at(*boot, initrd_at), nullptr);
  const BootChunk* command_line = chunk_at(*boot, load_le<u32>(p + 0x228));
  ASSERT_NE(command_line, nullptr);
  EXPECT_STREQ(reinterpret_cast<const char*>(command_line->bytes.data()), "console=ttyS0");
  EXPECT_GE(p[0x1e8], 4) << "memory map entries";
}

TEST(LinuxBoot, EntersAnOlderKernelIn32BitMode) {
  const TemporaryFile kernel("kernel32", made_up_kernel(0x020f, false));
  auto boot = LinuxBoot::prepare({kernel.path, "", ""}, k64MiB, 0);
  ASSERT_TRUE(boot) << boot.error().message;
  CpuState state;
  boot->enter(state);
  EXPECT_EQ(state.rip, 16 * kMiB);
  EXPECT_FALSE(state.long_mode());
  EXPECT_EQ(state.cr0 & kCr0Pg, 0u);
  EXPECT_NE(state.segments[kCs].attributes & kSegBig, 0);
}

TEST(LinuxBoot, SaysHowMuchMemoryIsMissing) {
  const TemporaryFile kernel("kernel_small", made_up_kernel(0x020f, true));
  auto boot = LinuxBoot::prepare({kernel.path, "", ""}, MemoryLayout::of(16 * kMiB), 0);
  ASSERT_FALSE(boot);
  EXPECT_NE(boot.error().message.find("use -m 64M"), std::string::npos) << boot.error().message;
  EXPECT_FALSE(LinuxBoot::prepare({"/nonexistent", "", ""}, k64MiB, 0));
  EXPECT_FALSE(LinuxBoot::prepare({kernel.path, "", std::string(3000, 'x')}, k64MiB, 0));
}

}  // namespace
}  // namespace emu
