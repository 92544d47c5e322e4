// SPDX-License-Identifier: Apache-2.0
// The input changes a sound VHDX file that has a log to replay, which is then opened for writing
// and used. Input: pieces of u8 place (below), u16 offset, u8 length, bytes. Checksums are made
// right again, because they keep nobody out who means harm.
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "base/log.h"
#include "block/create_image.h"
#include "block/hostile_foreign.h"
#include "block/vhdx/vhdx_spec.h"

namespace {

using namespace emu;
constexpr u64 kSector = 4096;
constexpr u64 kMaxEntryBytes = 64 * kKiB;

template <class T>
void put(std::vector<u8>& bytes, u64 at, T value) {
  std::memcpy(&bytes[at], &value, sizeof value);
}

template <class T>
T get(const std::vector<u8>& bytes, u64 at) {
  T value{};
  std::memcpy(&value, &bytes[at], sizeof value);
  return value;
}

std::vector<u8> sound_file() {
  std::string folder = "/tmp/emu-vhdx-fuzz-XXXXXX";
  EMU_CHECK(::mkdtemp(folder.data()) != nullptr);
  const std::string path = folder + "/disk";
  EMU_CHECK(create_image(
      {.path = path, .format = DiskFormat::kVhdx, .size_bytes = 5 * kMiB, .options = {}}));
  std::ifstream in(path, std::ios::binary);
  const std::vector<char> text(std::istreambuf_iterator<char>(in), {});
  std::filesystem::remove_all(folder);
  return {text.begin(), text.end()};
}

u64 log_place(const std::vector<u8>& bytes) {
  return std::min<u64>(get<u64>(bytes, vhdx::kHeaderAt[0] + 72), bytes.size() - kMaxEntryBytes);
}

// A log entry that writes a sector of zeros.
void add_log(std::vector<u8>& bytes) {
  const u64 log = log_place(bytes);
  std::memcpy(&bytes[log], "loge", 4);
  put<u32>(bytes, log + 8, 2 * kSector);
  put<u64>(bytes, log + 16, 1);  // sequence
  put<u32>(bytes, log + 24, 1);  // descriptors
  std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(log + 32), 16, u8{0x77});
  put<u64>(bytes, log + 48, bytes.size());
  put<u64>(bytes, log + 56, bytes.size());
  std::memcpy(&bytes[log + 64], "desc", 4);
  put<u64>(bytes, log + 80, 2 * kMiB);
  put<u64>(bytes, log + 88, 1);
  std::memcpy(&bytes[log + kSector], "data", 4);
  put<u32>(bytes, log + 2 * kSector - 4, 1);
  for (const u64 at : vhdx::kHeaderAt)
    std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(at + 48), 16, u8{0x77});
}

void make_checksums_right(std::vector<u8>& bytes) {
  const u64 log = log_place(bytes);
  const u64 entry = get<u32>(bytes, log + 8);
  if (entry >= kSector && entry <= kMaxEntryBytes)
    put<u32>(bytes, log + 4, vhdx::checksum(std::span(bytes).subspan(log, entry)));
  for (const u64 at : vhdx::kHeaderAt)
    put<u32>(bytes, at + 4, vhdx::checksum(std::span(bytes).subspan(at, vhdx::kHeaderBytes)));
  for (const u64 at : vhdx::kRegionTableAt)
    put<u32>(bytes, at + 4, vhdx::checksum(std::span(bytes).subspan(at, 64 * kKiB)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const u8* data, std::size_t size) {
  set_log_level(LogLevel::kError);
  static const std::vector<u8> sound = [] {
    std::vector<u8> bytes = sound_file();
    add_log(bytes);
    return bytes;
  }();
  std::vector<u8> bytes = sound;
  const u64 places[] = {vhdx::kHeaderAt[0],
                        vhdx::kHeaderAt[1],
                        vhdx::kRegionTableAt[0],
                        vhdx::kRegionTableAt[1],
                        log_place(sound),
                        log_place(sound) + kSector,
                        2 * kMiB,
                        2 * kMiB + 64 * kKiB,
                        3 * kMiB};
  for (std::size_t i = 0; i + 4 < size;) {
    const u64 place =
        places[data[i] % std::size(places)] + (data[i + 1] | (data[i + 2] & 0xfu) << 8);
    const std::size_t length = std::min<std::size_t>(data[i + 3] % 16 + 1, size - i - 4);
    if (place + length <= bytes.size())
      std::copy_n(data + i + 4, length, bytes.begin() + static_cast<std::ptrdiff_t>(place));
    i += 4 + length;
  }
  make_checksums_right(bytes);
  auto file = std::make_unique<MemoryFile>("hostile");
  EMU_CHECK(file->write_flat(0, bytes));
  test::use_hostile_foreign(std::move(file), DiskFormat::kVhdx);
  return 0;
}
