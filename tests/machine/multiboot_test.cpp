// SPDX-License-Identifier: Apache-2.0
// Multiboot kernels: what is loaded where, what is refused, and one that runs.
#include "machine/boot/multiboot.h"

#include <elf.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <fstream>

#include "base/bits.h"
#include "rom_guest.h"

namespace emu {
namespace {

constexpr u32 kMagic = 0x1badb002;
constexpr u64 kMemory = 16 * kMiB;

void put32(std::vector<u8>& bytes, u32 value) {
  for (unsigned i = 0; i < 4; ++i) bytes.push_back(static_cast<u8>(value >> (8 * i)));
}

// A kernel at 1 MiB: a header with addresses, `code`, and 4 KiB of cleared memory.
std::vector<u8> flat_kernel(const std::vector<u8>& code, u32 flags = 1 << 16) {
  const u32 load = 0x100000, end = load + 32 + static_cast<u32>(code.size());
  std::vector<u8> k;
  for (const u32 v :
       {kMagic, flags, 0u - kMagic - flags, load, load, end, end + 0x1000, load + 32}) {
    put32(k, v);
  }
  k.insert(k.end(), code.begin(), code.end());
  return k;
}

// An ELF file with one segment: virtual C0100000h, physical 1 MiB.
std::vector<u8> elf_kernel(u32 file_bytes = 12, u32 memory_bytes = 0x40) {
  Elf32_Ehdr h{};
  std::memcpy(h.e_ident, ELFMAG, SELFMAG);
  h.e_ident[EI_CLASS] = ELFCLASS32;
  h.e_entry = 0xc0100008;
  h.e_phoff = sizeof h;
  h.e_phentsize = sizeof(Elf32_Phdr);
  h.e_phnum = 1;
  Elf32_Phdr p{};
  p.p_type = PT_LOAD;
  p.p_offset = 0x80;
  p.p_vaddr = 0xc0100000;
  p.p_paddr = 0x100000;
  p.p_filesz = file_bytes;
  p.p_memsz = memory_bytes;
  std::vector<u8> k(0x80);
  std::memcpy(k.data(), &h, sizeof h);
  std::memcpy(k.data() + sizeof h, &p, sizeof p);
  for (const u32 v : {kMagic, 0u, 0u - kMagic}) put32(k, v);
  return k;
}

std::string refusal(const std::vector<u8>& file) {
  const auto image = MultibootImage::parse(file, kMemory, "kernel");
  return image ? std::string("no error") : image.error().message;
}

TEST(Multiboot, ElfSegmentsGoToTheirPhysicalAddresses) {
  const auto image = MultibootImage::parse(elf_kernel(), kMemory, "kernel");
  ASSERT_TRUE(image) << image.error().message;
  ASSERT_EQ(image->segments.size(), 1u);
  EXPECT_EQ(image->segments[0].address, 0x100000u);
  EXPECT_EQ(image->segments[0].bytes.size(), 0x40u);
  EXPECT_EQ(load_le<u32>(image->segments[0].bytes.data()), kMagic);
  EXPECT_EQ(image->segments[0].bytes[12], 0) << "cleared";
  EXPECT_EQ(image->entry, 0x100008u);
}

TEST(Multiboot, SaysWhyItRefuses) {
  EXPECT_NE(refusal({}).find("no Multiboot header"), std::string::npos);
  EXPECT_NE(refusal(flat_kernel({0xf4}, 1 << 16 | 1 << 5)).find("flags"), std::string::npos);
  EXPECT_NE(refusal(flat_kernel({0xf4}, 0)).find("neither"), std::string::npos);
  EXPECT_NE(refusal(elf_kernel(1000)).find("truncated"), std::string::npos);
  EXPECT_NE(refusal(elf_kernel(12, 0xf0000000)).find("-m"), std::string::npos);
  std::vector<u8> wide = elf_kernel();
  wide[EI_CLASS] = ELFCLASS64;
  EXPECT_NE(refusal(wide).find("64-bit"), std::string::npos);
  std::vector<u8> damaged = elf_kernel();
  store_le<u32>(damaged.data() + offsetof(Elf32_Ehdr, e_phoff), 0xfffffff0u);
  EXPECT_NE(refusal(damaged).find("damaged"), std::string::npos);
}

TEST(Multiboot, NoCutOrFlippedFileCrashes) {
  const std::vector<u8> good = elf_kernel();
  for (std::size_t n = 0; n < good.size(); ++n) {
    EXPECT_FALSE(MultibootImage::parse(std::span(good).first(n), kMemory, "cut"));
    for (const unsigned flip : {0x01u, 0x80u, 0xffu}) {
      std::vector<u8> bad = good;
      bad[n] = static_cast<u8>(bad[n] ^ flip);
      static_cast<void>(MultibootImage::parse(bad, kMemory, "flipped"));
    }
  }
}

TEST(Multiboot, AKernelRunsAndIsToldItsCommandLine) {
  const std::string path = fmt::format("{}/emu_multiboot_{}", ::testing::TempDir(), ::getpid());
  // cmp eax, magic; jne hlt; mov esi, [ebx+16]; add esi, length of the path and a blank;
  // mov al, [esi]; out f4h, al; hlt: cli; hlt; jmp hlt
  const std::vector<u8> code{0x3d,
                             0x02,
                             0xb0,
                             0xad,
                             0x2b,
                             0x75,
                             0x0a,
                             0x8b,
                             0x73,
                             0x10,
                             0x83,
                             0xc6,
                             static_cast<u8>(path.size() + 1),
                             0x8a,
                             0x06,
                             0xe6,
                             0xf4,
                             0xfa,
                             0xf4,
                             0xeb,
                             0xfc};
  const std::vector<u8> kernel = flat_kernel(code);
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(kernel.data()),
             static_cast<std::streamsize>(kernel.size()));
  MachineConfig config;
  config.linux_boot.kernel = path;
  config.linux_boot.command_line = "\x15 and more";
  RomMachine m(RomGuest(), config);
  EXPECT_EQ(m.run().status, 0x15 << 1 | 1);
  std::remove(path.c_str());
}

}  // namespace
}  // namespace emu
