// SPDX-License-Identifier: Apache-2.0
#include "machine/boot/firmware.h"

#include <unistd.h>

#include <array>

#include "machine/boot/bzimage.h"

namespace emu {
namespace {

constexpr u64 kMaxFirmwareBytes = 16 * kMiB;
constexpr std::array kFolders{"/usr/share/seabios/", "/usr/share/qemu/", "/usr/local/share/qemu/"};

// The first of the usual places that has the file, or empty.
std::string find_file(const std::string& name) {
  for (const char* folder : kFolders) {
    const std::string path = folder + name;
    if (::access(path.c_str(), R_OK) == 0) return path;
  }
  return {};
}

}  // namespace

std::string_view Firmware::vga_bios_name(VgaKind card) {
  switch (card) {
    case VgaKind::kStd:
      return "vgabios-stdvga.bin";
    case VgaKind::kVirtio:
      return "vgabios-virtio.bin";
    case VgaKind::kCirrus:
      return "vgabios-cirrus.bin";
    case VgaKind::kNone:
      break;
  }
  return {};
}

Result<Firmware> Firmware::find(const std::string& bios_path, const std::string& vga_path,
                                VgaKind card) {
  Firmware out;
  const std::string path = bios_path.empty() ? find_file("bios-256k.bin") : bios_path;
  if (path.empty()) {
    return fail(
        "no firmware: bios-256k.bin is not in /usr/share/seabios. Install it (apt-get install "
        "seabios), name one with --firmware FILE, or start a kernel directly with --kernel");
  }
  auto bios = read_file(path, kMaxFirmwareBytes);
  if (!bios) return bios.error();
  if (bios->empty() || bios->size() % kPageBytes != 0) {
    return fail("--firmware {}: {} bytes are no BIOS image; it has a multiple of 4096", path,
                bios->size());
  }
  out.bios = std::move(*bios);
  auto vga_bios = find_vga_bios(vga_path, card);
  if (!vga_bios) return vga_bios.error();
  out.vga_bios = std::move(*vga_bios);
  return out;
}

Result<std::vector<u8>> Firmware::find_vga_bios(const std::string& path, VgaKind card) {
  const std::string_view name = vga_bios_name(card);
  if (name.empty()) return std::vector<u8>{};
  const std::string vga = path.empty() ? find_file(std::string(name)) : path;
  if (vga.empty()) return std::vector<u8>{};
  auto vga_bios = read_file(vga, kMaxFirmwareBytes);
  if (!vga_bios) return vga_bios.error();
  if (vga_bios->size() < 3 || (*vga_bios)[0] != 0x55 || (*vga_bios)[1] != 0xaa) {
    return fail("--vga-firmware {} is no option ROM: it does not start with 55h AAh", vga);
  }
  return std::move(*vga_bios);
}

}  // namespace emu
