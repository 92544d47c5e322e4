// SPDX-License-Identifier: Apache-2.0
#include "block/recording_file.h"

#include <algorithm>

namespace emu::test {

void apply_change(std::vector<u8>& file, const FileChange& c) {
  using Kind = FileChange::Kind;
  const auto at = static_cast<std::ptrdiff_t>(c.offset);
  switch (c.kind) {
    case Kind::kWrite:
      if (file.size() < c.offset + c.data.size()) file.resize(c.offset + c.data.size());
      std::copy(c.data.begin(), c.data.end(), file.begin() + at);
      return;
    case Kind::kZero:
    case Kind::kDiscard:
      if (c.offset < file.size())
        std::fill_n(file.begin() + at, std::min(c.length_bytes, file.size() - c.offset), u8{0});
      return;
    case Kind::kGrow:
      if (file.size() < c.offset) file.resize(c.offset);
      return;
    case Kind::kFlush:
      return;
  }
}

std::vector<u8> file_after(std::vector<u8> initial, const std::vector<FileChange>& changes,
                           std::size_t count, std::mt19937_64* random) {
  std::size_t durable = count;
  while (durable != 0 && changes[durable - 1].kind != FileChange::Kind::kFlush) --durable;
  for (std::size_t i = 0; i < count; ++i) {
    if (i < durable || random == nullptr) {
      apply_change(initial, changes[i]);
      continue;
    }
    FileChange change = changes[i];
    const u64 luck = (*random)() % 4;
    if (luck == 0) continue;
    if (luck == 1 && change.data.size() > 512) {
      const u64 keep = 512 - change.offset % 512 + (*random)() % (change.data.size() / 512) * 512;
      change.data.resize(std::min<u64>(keep, change.data.size()));
    }
    apply_change(initial, change);
  }
  return initial;
}

}  // namespace emu::test
