// SPDX-License-Identifier: Apache-2.0
#include "machine/boot/bzimage.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "base/bits.h"
#include "base/unique_fd.h"

namespace emu {
namespace {

constexpr u64 kMaxKernelBytes = 512 * kMiB;
constexpr u32 kSectorBytes = 512;
constexpr u16 kMinVersion = 0x0206;  // 2.6.22 (2007): command line size, relocatable
// Offsets in the setup header.
constexpr std::size_t kSetupSects = 0x1f1, kBootFlag = 0x1fe, kJumpOffset = 0x201, kMagic = 0x202,
                      kVersion = 0x206, kLoadFlags = 0x211, kSysSize = 0x1f4, kInitrdMax = 0x22c,
                      kRelocatable = 0x234, kXLoadFlags = 0x236, kCommandLineSize = 0x238,
                      kPreferredAddress = 0x258, kInitSize = 0x260, kHeaderEnd = 0x268;

const char* what_it_is(std::span<const u8> file) {
  if (file.size() >= 4 && std::memcmp(file.data(),
                                      "\x7f"
                                      "ELF",
                                      4) == 0) {
    return "it is an ELF file; use the bzImage (arch/x86/boot/bzImage, or /boot/vmlinuz-...)";
  }
  if (file.size() >= 2 && file[0] == 0x1f && file[1] == 0x8b)
    return "it is gzip-compressed; unpack it";
  return "it has no Linux setup header; use a bzImage such as /boot/vmlinuz-...";
}

}  // namespace

Result<std::vector<u8>> read_file(const std::string& path, u64 limit_bytes) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno(errno, "cannot open {}", path);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return fail_errno(errno, "cannot read {}", path);
  if (S_ISDIR(info.st_mode)) return fail("{} is a directory", path);
  std::vector<u8> out(static_cast<std::size_t>(std::max<off_t>(info.st_size, 0)) + 1);
  std::size_t used = 0;
  for (;;) {  // the size is only a hint: pipes have none
    if (used == out.size()) out.resize(out.size() * 2);
    const ssize_t got = ::read(fd.get(), out.data() + used, out.size() - used);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, "cannot read {}", path);
    if (got == 0) break;
    used += static_cast<std::size_t>(got);
    if (used > limit_bytes) return fail("{} is larger than {} MiB", path, limit_bytes / kMiB);
  }
  out.resize(used);
  return out;
}

Result<BzImage> BzImage::read(const std::string& path) {
  auto contents = read_file(path, kMaxKernelBytes);
  if (!contents) return contents.error();
  return parse(std::move(*contents), path);
}

Result<BzImage> BzImage::parse(std::vector<u8> contents, const std::string& name) {
  const u8* const p = contents.data();
  if (contents.size() < kHeaderEnd || load_le<u16>(p + kBootFlag) != 0xaa55 ||
      std::memcmp(p + kMagic, "HdrS", 4) != 0) {
    return fail("{} is not a Linux kernel: {}", name, what_it_is(contents));
  }
  BzImage out;
  out.version = load_le<u16>(p + kVersion);
  if (out.version < kMinVersion || (p[kLoadFlags] & 1) == 0) {
    return fail("{} is too old a Linux kernel (boot protocol {}.{}); 2.6 or later is needed", name,
                out.version >> 8, out.version & 0xff);
  }
  out.setup_bytes = (p[kSetupSects] == 0 ? 5u : p[kSetupSects] + 1u) * kSectorBytes;
  const u64 kernel_bytes = u64{load_le<u32>(p + kSysSize)} * 16;
  // The last paragraph need not be complete; some kernels round up further by their signature.
  if (out.setup_bytes >= contents.size() || contents.size() - out.setup_bytes + 15 < kernel_bytes) {
    return fail("{} is truncated: its header says {} bytes, the file has {}", name,
                out.setup_bytes + kernel_bytes, contents.size());
  }
  out.header_bytes = static_cast<u32>(kMagic + p[kJumpOffset] - kSetupSects);
  if (kSetupSects + out.header_bytes > kSectorBytes * 2) out.header_bytes = 0x290 - kSetupSects;
  const bool relocatable = p[kRelocatable] != 0;
  const bool has_preferred = out.version >= 0x020a;
  const u64 preferred = has_preferred ? load_le<u64>(p + kPreferredAddress) : kMiB;
  out.load_address = relocatable && preferred >= kMiB && preferred < kGiB ? preferred : kMiB;
  out.init_bytes = has_preferred ? load_le<u32>(p + kInitSize) : 0;
  out.initrd_max = load_le<u32>(p + kInitrdMax);
  out.command_line_max = load_le<u32>(p + kCommandLineSize);
  out.has_64bit_entry = out.version >= 0x020c && (load_le<u16>(p + kXLoadFlags) & 1) != 0;
  out.file = std::move(contents);
  return out;
}

}  // namespace emu
