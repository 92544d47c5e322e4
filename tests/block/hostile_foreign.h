// SPDX-License-Identifier: Apache-2.0
// What a test or fuzzer does with an image of another program that it does not trust.
#pragma once

#include <memory>
#include <vector>

#include "block/memory_file.h"
#include "block/probe.h"
#include "block/vdi/vdi_image.h"
#include "block/vhd/vhd_image.h"
#include "block/vhdx/vhdx_image.h"
#include "block/vmdk/vmdk_image.h"

namespace emu::test {

inline Result<std::unique_ptr<DiskImage>> open_foreign(std::unique_ptr<ByteFile> file,
                                                       DiskFormat format) {
  if (format == DiskFormat::kVdi) {
    auto header = vdi::read_header(*file);
    if (!header) return header.error();
    return vdi::VdiImage::open(std::move(file), *header, nullptr);
  }
  if (format == DiskFormat::kVpc) {
    auto header = vhd::read_header(*file);
    if (!header) return header.error();
    if (header->is_fixed())
      return std::unique_ptr<DiskImage>(
          std::make_unique<vhd::FixedVhdImage>(std::move(file), *header));
    return vhd::DynamicVhdImage::open(std::move(file), *header, nullptr);
  }
  if (format == DiskFormat::kVhdx) return vhdx::VhdxImage::open(std::move(file));
  // A part that the descriptor names is a file of zeros.
  const auto part = [](const std::string& name) -> Result<std::unique_ptr<ByteFile>> {
    return std::unique_ptr<ByteFile>(std::make_unique<MemoryFile>(name, kMiB));
  };
  return vmdk::VmdkImage::open(std::move(file), part,
                               [](const std::string&) -> Result<std::unique_ptr<DiskImage>> {
                                 return fail("no other images here");
                               });
}

// Opens whatever it is, for writing, and uses it here and there. Results do not matter; coming
// back does.
inline void use_hostile_foreign(std::unique_ptr<ByteFile> file, DiskFormat format) {
  auto opened = open_foreign(std::move(file), format);
  if (!opened) return;
  DiskImage& image = **opened;
  std::vector<u8> data(70000, u8{0x5a});
  const u64 size = image.size_bytes();
  u64 successes = 0;
  for (const u64 at : {u64{0}, size / 2, size - std::min<u64>(size, data.size())}) {
    if (at >= size) continue;
    const u64 n = std::min<u64>(data.size(), size - at);
    const std::span<u8> one[] = {std::span(data).first(n)};
    successes += image.read(at, one) ? 1 : 0;
    successes += image.write(at, one) ? 1 : 0;
    successes += image.write_zeroes(at, n / 2) ? 1 : 0;
    successes += image.map(at, n) ? 1 : 0;
    successes += image.flush() ? 1 : 0;
  }
  static_cast<void>(successes);
}

}  // namespace emu::test
