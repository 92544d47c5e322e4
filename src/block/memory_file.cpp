// SPDX-License-Identifier: Apache-2.0
// A ByteFile in memory.
#include "block/memory_file.h"

#include <algorithm>
#include <cstring>

namespace emu {

template <class F>
void MemoryFile::each_part(u64 offset, u64 length_bytes, F&& f) {
  while (length_bytes != 0) {
    const u64 inside = offset % kChunkBytes;
    const u64 n = std::min(length_bytes, kChunkBytes - inside);
    f(offset / kChunkBytes, inside, n);
    offset += n;
    length_bytes -= n;
  }
}

u64 MemoryFile::size_bytes() const {
  const std::lock_guard lock(mutex_);
  return size_bytes_;
}

u64 MemoryFile::allocated_bytes() const {
  const std::lock_guard lock(mutex_);
  return chunks_.size() * kChunkBytes;
}

Result<void> MemoryFile::read(u64 offset, Pieces out) {
  const std::lock_guard lock(mutex_);
  for (const auto& piece : out) {
    u8* to = piece.data();
    each_part(offset, piece.size(), [&](u64 chunk, u64 inside, u64 n) {
      const auto it = chunks_.find(chunk);
      if (it == chunks_.end()) {
        std::memset(to, 0, n);
      } else {
        std::memcpy(to, it->second.data() + inside, n);
      }
      to += n;
    });
    offset += piece.size();
  }
  return {};
}

Result<void> MemoryFile::write(u64 offset, Pieces in) {
  const std::lock_guard lock(mutex_);
  for (const auto& piece : in) {
    const u8* from = piece.data();
    each_part(offset, piece.size(), [&](u64 chunk, u64 inside, u64 n) {
      auto& bytes = chunks_[chunk];
      if (bytes.empty()) bytes.resize(kChunkBytes);
      std::memcpy(bytes.data() + inside, from, n);
      from += n;
    });
    offset += piece.size();
  }
  size_bytes_ = std::max(size_bytes_, offset);
  return {};
}

Result<void> MemoryFile::write_zeroes(u64 offset, u64 length_bytes) {
  const std::lock_guard lock(mutex_);
  size_bytes_ = std::max(size_bytes_, offset + length_bytes);
  auto it = chunks_.lower_bound(offset / kChunkBytes);
  while (it != chunks_.end() && it->first * kChunkBytes < offset + length_bytes) {
    const u64 start = it->first * kChunkBytes;
    const u64 from = std::max(offset, start) - start;
    const u64 to = std::min(offset + length_bytes, start + kChunkBytes) - start;
    if (from == 0 && to == kChunkBytes) {
      it = chunks_.erase(it);
      continue;
    }
    std::memset(it->second.data() + from, 0, to - from);
    ++it;
  }
  return {};
}

Result<void> MemoryFile::shrink(u64 size_bytes) {
  const u64 size = this->size_bytes();
  if (size_bytes >= size) return {};
  EMU_TRY(write_zeroes(size_bytes, size - size_bytes));
  const std::lock_guard lock(mutex_);
  size_bytes_ = size_bytes;
  return {};
}

Result<void> MemoryFile::grow(u64 size_bytes) {
  const std::lock_guard lock(mutex_);
  size_bytes_ = std::max(size_bytes_, size_bytes);
  return {};
}

}  // namespace emu
