// SPDX-License-Identifier: Apache-2.0
// The input is a LUKS header, looked at, unlocked with a wrong passphrase and used. Iteration
// counts are made small first: they only take time.
#include <algorithm>

#include "base/log.h"
#include "block/crypt/luks.h"
#include "block/crypt/luks_image.h"
#include "block/memory_file.h"

namespace {

constexpr std::size_t kDigestIterationsAt = 164;
constexpr std::size_t kSlotsAt = 208;
constexpr std::size_t kSlotBytes = 48;
constexpr std::size_t kSlots = 8;
constexpr emu::u64 kFileBytes = 4 * emu::kMiB;

void make_quick(std::vector<emu::u8>& header, std::size_t at) {
  for (std::size_t i = at; i < std::min(at + 3, header.size()); ++i) header[i] = 0;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const emu::u8* data, std::size_t size) {
  using namespace emu;
  set_log_level(LogLevel::kError);
  std::vector<u8> header(data, data + size);
  make_quick(header, kDigestIterationsAt);
  for (std::size_t i = 0; i < kSlots; ++i) make_quick(header, kSlotsAt + i * kSlotBytes + 4);
  auto file = std::make_unique<MemoryFile>("hostile", kFileBytes);
  EMU_CHECK(file->write_flat(0, header));
  if (!crypt::read_luks(*file, 0)) return 0;
  static_cast<void>(crypt::unlock_luks(*file, 0, "wrong"));
  auto opened = crypt::LuksImage::open(std::move(file), "");
  if (!opened || (*opened)->size_bytes() == 0) return 0;
  u8 sector[512] = {};
  const std::span<u8> one[] = {sector};
  static_cast<void>((*opened)->read(0, one));
  static_cast<void>((*opened)->info());
  return 0;
}
