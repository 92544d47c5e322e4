// SPDX-License-Identifier: Apache-2.0
// A file that remembers how it was changed, so that a test can let the power fail at any moment.
#pragma once

#include <cerrno>
#include <random>
#include <vector>

#include "block/memory_file.h"

namespace emu::test {

// One change, in the order the file system saw them.
struct FileChange {
  enum class Kind : u8 { kWrite, kZero, kDiscard, kGrow, kFlush };
  Kind kind;
  u64 offset = 0;
  u64 length_bytes = 0;
  std::vector<u8> data;
};

class RecordingFile final : public ByteFile {
 public:
  explicit RecordingFile(std::span<const u8> contents) : file_("recording") {
    EMU_CHECK(file_.write_flat(0, contents));
  }
  [[nodiscard]] const std::vector<FileChange>& changes() const { return changes_; }
  // One change in `one_in` fails from now on, as on a full disk; 0: none.
  void fail_one_in(u64 one_in) { fail_one_in_ = one_in; }

  [[nodiscard]] const std::string& path() const override { return file_.path(); }
  [[nodiscard]] bool read_only() const override { return false; }
  [[nodiscard]] u64 size_bytes() const override { return file_.size_bytes(); }
  [[nodiscard]] u64 allocated_bytes() const override { return file_.allocated_bytes(); }
  Result<void> read(u64 offset, Pieces out) override { return file_.read(offset, out); }
  Result<void> write(u64 offset, Pieces in) override {
    EMU_TRY(luck());
    std::vector<u8> data(total_bytes(in));
    copy_from_pieces(in, data);
    changes_.push_back({FileChange::Kind::kWrite, offset, data.size(), std::move(data)});
    return file_.write(offset, in);
  }
  Result<void> write_zeroes(u64 offset, u64 length_bytes) override {
    EMU_TRY(luck());
    changes_.push_back({FileChange::Kind::kZero, offset, length_bytes, {}});
    return file_.write_zeroes(offset, length_bytes);
  }
  Result<void> discard(u64 offset, u64 length_bytes) override {
    changes_.push_back({FileChange::Kind::kDiscard, offset, length_bytes, {}});
    return file_.discard(offset, length_bytes);
  }
  Result<void> grow(u64 size_bytes) override {
    EMU_TRY(luck());
    changes_.push_back({FileChange::Kind::kGrow, size_bytes, 0, {}});
    return file_.grow(size_bytes);
  }
  Result<void> flush() override {
    EMU_TRY(luck());
    changes_.push_back({FileChange::Kind::kFlush, 0, 0, {}});
    return {};
  }

 private:
  Result<void> luck() {
    if (fail_one_in_ == 0 || random_() % fail_one_in_ != 0) return {};
    return Error{ENOSPC, "the test's disk is full"};
  }
  MemoryFile file_;
  std::vector<FileChange> changes_;
  u64 fail_one_in_ = 0;
  std::mt19937_64 random_{9};
};

// Does one change to a plain file.
void apply_change(std::vector<u8>& file, const FileChange& change);
// `initial` after the first `count` changes. With `random`, of those since the last flush each may
// be missing, or a write be cut at a sector: nothing promised that they had reached the disk.
std::vector<u8> file_after(std::vector<u8> initial, const std::vector<FileChange>& changes,
                           std::size_t count, std::mt19937_64* random);

}  // namespace emu::test
