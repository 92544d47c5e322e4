// SPDX-License-Identifier: Apache-2.0
#include "machine/boot/kernel_boot.h"

#include <cstring>
#include <fstream>

#include "machine/boot/linux_boot.h"
#include "machine/boot/multiboot.h"

namespace emu {
namespace {

constexpr std::size_t kLinuxMagicAt = 0x202, kStartBytes = 8192;

// Whether the file is for MultibootBoot. What cannot be read is LinuxBoot's, which says why.
bool is_multiboot(const std::string& path) {
  std::vector<u8> start(kStartBytes);
  std::ifstream file(path, std::ios::binary);
  file.read(reinterpret_cast<char*>(start.data()), kStartBytes);
  start.resize(static_cast<std::size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  const bool is_linux =
      start.size() > kLinuxMagicAt + 4 && std::memcmp(start.data() + kLinuxMagicAt, "HdrS", 4) == 0;
  return !is_linux && MultibootImage::has_header(start);
}

template <class Boot>
KernelBoot pack(Boot boot) {
  KernelBoot out;
  out.chunks = std::move(boot.chunks);
  out.enter = [boot = std::move(boot)](CpuState& state) { boot.enter(state); };
  return out;
}

}  // namespace

Result<KernelBoot> prepare_kernel(const LinuxBootConfig& config, const MemoryLayout& memory,
                                  const KernelHints& hints) {
  if (is_multiboot(config.kernel)) {
    auto boot = MultibootBoot::prepare(config, memory);
    if (!boot) return boot.error();
    return pack(std::move(*boot));
  }
  auto boot = LinuxBoot::prepare(config, memory, hints.rsdp_address);
  if (!boot) return boot.error();
  if (hints.text_mode) boot->announce_text_mode();
  return pack(std::move(*boot));
}

}  // namespace emu
