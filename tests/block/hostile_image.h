// SPDX-License-Identifier: Apache-2.0
// What a test or fuzzer does with an image that it does not trust.
#pragma once

#include <memory>

#include "block/memory_file.h"
#include "block/qcow2/qcow2_image.h"

namespace emu::test {

// Opens the bytes as a writable qcow2 image, and if that succeeds reads, writes, zeroes, discards
// and flushes here and there. Results do not matter; coming back does. Returns whether it opened.
inline bool use_hostile_image(std::span<const u8> bytes) {
  auto file = std::make_unique<MemoryFile>("hostile");
  EMU_CHECK(file->write_flat(0, bytes));
  auto header = qcow2::read_header(*file);
  if (!header) return false;
  auto opened = qcow2::Qcow2Image::open(std::move(file), std::move(*header), nullptr);
  if (!opened) return false;
  DiskImage& image = **opened;
  const u64 size = image.size_bytes();
  std::vector<u8> data(70000, u8{0x5a});
  u64 successes = 0;
  for (const u64 at : {u64{0}, size / 2, size - std::min<u64>(size, data.size()), u64{65536}}) {
    if (at >= size) continue;
    const u64 n = std::min<u64>(data.size(), size - at);
    const std::span<u8> one[] = {std::span(data).first(n)};
    successes += image.read(at, one) ? 1 : 0;
    successes += image.write(at, one) ? 1 : 0;
    successes += image.discard(at, n) ? 1 : 0;
    successes += image.write(at, one) ? 1 : 0;
    successes += image.write_zeroes(at, n / 2) ? 1 : 0;
    successes += image.flush() ? 1 : 0;
  }
  return successes != 0 || size == 0;
}

}  // namespace emu::test
