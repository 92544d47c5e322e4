// SPDX-License-Identifier: Apache-2.0
// Signatures of image formats and of things mistaken for images.
// Source: the formats' own specifications; file(1)'s magic(5) data base.
#include "block/probe.h"

#include <algorithm>
#include <array>

namespace emu {
namespace {

enum class Kind : u8 { kImage, kForeignImage, kArchive, kDocument };

struct Signature {
  Kind kind;
  u32 offset;
  std::string_view bytes;
  std::string_view name;
  std::string_view fix;                   // a command or a verb phrase
  DiskFormat format = DiskFormat::kAuto;  // of a kImage
};

using namespace std::string_view_literals;

constexpr auto kSignatures = std::to_array<Signature>({
    {Kind::kImage, 0, "QFI\xfb\0\0\0\2"sv, "qcow2", "", DiskFormat::kQcow2},
    {Kind::kImage, 0, "QFI\xfb\0\0\0\3"sv, "qcow2", "", DiskFormat::kQcow2},
    {Kind::kForeignImage, 0, "QFI\xfb"sv, "qcow version 1 or a future qcow", ""},
    {Kind::kImage, 0, "KDMV"sv, "VMware VMDK", "", DiskFormat::kVmdk},
    {Kind::kImage, 0, "# Disk DescriptorFile"sv, "VMware VMDK", "", DiskFormat::kVmdk},
    {Kind::kImage, 0x40, "\x7f\x10\xda\xbe"sv, "VirtualBox VDI", "", DiskFormat::kVdi},
    {Kind::kImage, 0, "vhdxfile"sv, "Hyper-V VHDX", "", DiskFormat::kVhdx},
    {Kind::kImage, 0, "LUKS\xba\xbe"sv, "LUKS container", "", DiskFormat::kLuks},
    {Kind::kImage, 0, "conectix"sv, "Virtual PC VHD", "", DiskFormat::kVpc},
    {Kind::kForeignImage, 0, "QED\0"sv, "QED", ""},
    {Kind::kForeignImage, 0, "WithoutFreeSpace"sv, "Parallels", ""},
    {Kind::kForeignImage, 0, "WithouFreSpacExt"sv, "Parallels", ""},
    {Kind::kArchive, 0,
     "\xfd"
     "7zXZ\0"sv,
     "xz archive", "xz -d"},
    {Kind::kArchive, 0, "\x1f\x8b\x08"sv, "gzip archive", "gunzip"},
    {Kind::kArchive, 0, "BZh"sv, "bzip2 archive", "bunzip2"},
    {Kind::kArchive, 0, "\x28\xb5\x2f\xfd"sv, "zstd archive", "unzstd"},
    {Kind::kArchive, 0, "PK\x03\x04"sv, "zip archive", "unzip"},
    {Kind::kArchive, 257, "ustar"sv, "tar archive", "tar -xf"},
    {Kind::kDocument, 0, "%PDF-"sv, "PDF document", ""},
    {Kind::kDocument, 0,
     "\x7f"
     "ELF"sv,
     "Linux program or kernel", ""},
    {Kind::kDocument, 0, "<!DOCTYPE"sv, "web page (was the download an error message?)", ""},
    {Kind::kDocument, 0, "<html"sv, "web page (was the download an error message?)", ""},
});

constexpr std::array<std::string_view, 8> kFormatNames{"auto", "raw", "qcow2", "vmdk",
                                                       "vdi",  "vpc", "vhdx",  "luks"};

const Signature* find_signature(std::span<const u8> head) {
  for (const Signature& s : kSignatures) {
    if (head.size() < s.offset + s.bytes.size()) continue;
    const auto at = head.subspan(s.offset, s.bytes.size());
    const bool same = std::equal(at.begin(), at.end(), s.bytes.begin(),
                                 [](u8 a, char b) { return a == static_cast<u8>(b); });
    if (same) return &s;
  }
  return nullptr;
}

Error not_an_image(const std::string& path, const Signature& s) {
  switch (s.kind) {
    case Kind::kArchive:
      return fail("{} is a {}; unpack it first: {} {}", path, s.name, s.fix, path);
    case Kind::kForeignImage:
      return fail(
          "{} is a {} image, which is not supported; convert it: "
          "emu img convert -O qcow2 {} {}.qcow2",
          path, s.name, path, path);
    default:
      return fail(
          "{} is a {}, not a disk image; if it really is the content of a disk, "
          "give its format explicitly as raw",
          path, s.name);
  }
}

}  // namespace

std::string_view format_name(DiskFormat format) {
  return kFormatNames[static_cast<std::size_t>(format)];
}

Result<DiskFormat> parse_format_name(std::string_view name) {
  if (name == "vhd") return DiskFormat::kVpc;
  std::string known;
  for (std::size_t i = 0; i < kFormatNames.size(); ++i) {
    if (name == kFormatNames[i]) return static_cast<DiskFormat>(i);
    known += (i == 0 ? "" : ", ") + std::string(kFormatNames[i]);
  }
  return fail("unknown disk format \"{}\"; known are {}", name, known);
}

std::string_view known_signature(std::span<const u8> head) {
  const Signature* s = find_signature(head);
  return s == nullptr ? std::string_view{} : s->name;
}

Result<DiskFormat> probe_format(ByteFile& file) {
  const u64 size = file.size_bytes();
  if (size == 0) {
    return fail(
        "{} is empty; make a disk with: emu img create -f qcow2 {} 20G, or set its size "
        "with: truncate -s 20G {}",
        file.path(), file.path(), file.path());
  }
  std::vector<u8> head(std::min(size, kProbeBytes));
  EMU_TRY(file.read_flat(0, head));
  if (const Signature* s = find_signature(head)) {
    if (s->kind == Kind::kImage) return s->format;
    return not_an_image(file.path(), *s);
  }
  if (size % 512 != 0) {
    return fail(
        "{} is not recognized as a disk image: no known header, and {} bytes are not a "
        "whole number of sectors; if it was cut short, copy it again, or give its format "
        "explicitly as raw",
        file.path(), size);
  }
  return DiskFormat::kRaw;
}

}  // namespace emu
