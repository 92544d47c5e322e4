// SPDX-License-Identifier: Apache-2.0
// A host file or block device as a ByteFile.
// Threads: any.
#pragma once

#include <sys/uio.h>

#include <atomic>
#include <memory>

#include "base/unique_fd.h"
#include "block/byte_file.h"

namespace emu {

class HostFile final : public ByteFile {
 public:
  // Opens an existing regular file or block device. Errors (each a sentence that names the file and
  // the fix): missing, no permission, read-only file system, directory, other special file.
  [[nodiscard]] static Result<std::unique_ptr<HostFile>> open(const std::string& path,
                                                              bool writable);
  // Opens for writing, making the file if there is none; what it holds stays.
  [[nodiscard]] static Result<std::unique_ptr<HostFile>> create(const std::string& path);
  // A new empty file without a name in $TMPDIR or /var/tmp, gone when closed. `purpose` is used in
  // messages.
  [[nodiscard]] static Result<std::unique_ptr<HostFile>> temporary(const std::string& purpose);

  [[nodiscard]] const std::string& path() const override { return path_; }
  [[nodiscard]] bool read_only() const override { return !writable_; }
  [[nodiscard]] u64 size_bytes() const override { return size_bytes_.load(); }
  [[nodiscard]] u64 allocated_bytes() const override;
  Result<void> read(u64 offset, Pieces out) override;
  [[nodiscard]] bool read_at_once(u64 offset, Pieces out) override;
  // All of what goes past the page cache, and of the rest small reads.
  [[nodiscard]] std::optional<HostPlace> place(bool is_write, u64 offset, Pieces pieces) override;
  Result<void> write(u64 offset, Pieces in) override;
  Result<void> write_zeroes(u64 offset, u64 length_bytes) override;
  Result<void> discard(u64 offset, u64 length_bytes) override;
  Result<void> grow(u64 size_bytes) override;
  Result<void> shrink(u64 size_bytes) override;
  Result<StoredRange> find_stored(u64 offset) override;
  Result<void> flush() override;

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] bool is_block_device() const { return is_block_device_; }

  // From now on, transfers whose place and memory are aligned (offset and length to 4 KiB, memory
  // to 512 bytes) go past the host's page cache. False: the file's system cannot do that.
  bool go_direct();

  // From now on flush() does nothing.
  void ignore_flushes() { ignores_flushes_ = true; }

  // Reserves the host's space for the first `size_bytes` (falloc).
  Result<void> reserve(u64 size_bytes);

 private:
  HostFile(std::string path, UniqueFd fd, bool writable, bool is_block_device, u64 size_bytes);
  void note_end(u64 end_bytes);
  [[nodiscard]] int fd_for(u64 offset, std::span<const iovec> pieces) const;

  std::string path_;
  UniqueFd fd_;
  UniqueFd direct_fd_;  // the same file with O_DIRECT, if asked for
  bool writable_;
  bool is_block_device_;
  bool ignores_flushes_ = false;
  std::atomic<u64> size_bytes_;
  std::atomic<bool> can_punch_{true};
  std::atomic<int> flush_error_{0};  // sticky: see flush()
};

}  // namespace emu
