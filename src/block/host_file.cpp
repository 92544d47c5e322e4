// SPDX-License-Identifier: Apache-2.0
// A host file or block device as a ByteFile.
// Source: preadv(2), fallocate(2), fdatasync(2), open(2).
#include "block/host_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>

#include "base/bits.h"

namespace emu {
namespace {

constexpr u64 kMaxFileBytes = static_cast<u64>(LLONG_MAX);
constexpr std::size_t kIovecsAtOnce = 256;
constexpr u64 kSmallBytes = 64 * kKiB;
constexpr u64 kDirectBytes = 4096, kDirectMemory = 512;
constexpr u64 kBytesAtOnce = 1 * kGiB;  // preadv moves at most 2^31 - 4096 bytes

// The system call's view of the pieces, advanced as bytes are moved.
class IovecWindow {
 public:
  explicit IovecWindow(Pieces pieces) : cursor_(pieces), left_(total_bytes(pieces)) {}
  [[nodiscard]] u64 left() const { return left_ + pending_bytes_; }
  // The next batch to transfer.
  [[nodiscard]] std::span<iovec> batch() {
    if (pending_bytes_ == 0) refill();
    return std::span<iovec>(iovecs_).subspan(first_);
  }
  // Drops the `n` bytes that were transferred.
  void consume(u64 n) {
    pending_bytes_ -= n;
    while (n != 0) {
      iovec& v = iovecs_[first_];
      const u64 part = std::min<u64>(n, v.iov_len);
      v.iov_base = static_cast<u8*>(v.iov_base) + part;
      v.iov_len -= part;
      n -= part;
      if (v.iov_len == 0) ++first_;
    }
  }

 private:
  void refill() {
    iovecs_.clear();
    first_ = 0;
    const u64 n = std::min(left_, kBytesAtOnce);
    taken_ = cursor_.take(n);
    left_ -= n;
    pending_bytes_ = n;
    for (const auto& piece : taken_) iovecs_.push_back({piece.data(), piece.size()});
  }
  PieceCursor cursor_;
  u64 left_;
  u64 pending_bytes_ = 0;
  std::vector<std::span<u8>> taken_;
  std::vector<iovec> iovecs_;
  std::size_t first_ = 0;
};

int iovec_count(std::span<iovec> batch) {
  return static_cast<int>(std::min(batch.size(), kIovecsAtOnce));
}

Error open_error(int code, const std::string& path, bool writable) {
  switch (code) {
    case ENOENT:
      return Error{code, fmt::format("{} does not exist; check the path, or make a new disk with: "
                                     "emu img create -f qcow2 {} 20G",
                                     path, path)};
    case EACCES:
    case EPERM:
      return Error{code,
                   fmt::format("you may not {} {}; change its owner or mode (ls -l {}){}",
                               writable ? "write to" : "read", path, path,
                               writable ? ", or use --snapshot, which leaves the file alone" : "")};
    case EROFS:
      return Error{code, fmt::format("{} is on a read-only file system; use --snapshot, which "
                                     "leaves the file alone, or attach it read-only",
                                     path)};
    case EISDIR:
      return Error{code, fmt::format("{} is a directory; name the image file inside it", path)};
    default:
      return fail_errno(code, "cannot open {}", path);
  }
}

// Refuses what is neither a file nor a block device.
Result<void> check_kind(const std::string& path, mode_t mode) {
  if (S_ISREG(mode) || S_ISBLK(mode)) return {};
  if (S_ISDIR(mode)) return open_error(EISDIR, path, false);
  const char* kind = S_ISCHR(mode) ? "a character device" : S_ISFIFO(mode) ? "a pipe" : "a socket";
  return Error{
      EINVAL,
      fmt::format("{} is {}; a disk image must be a regular file or a block device", path, kind)};
}

}  // namespace

HostFile::HostFile(std::string path, UniqueFd fd, bool writable, bool is_block_device,
                   u64 size_bytes)
    : path_(std::move(path)),
      fd_(std::move(fd)),
      writable_(writable),
      is_block_device_(is_block_device),
      size_bytes_(size_bytes) {}

Result<std::unique_ptr<HostFile>> HostFile::open(const std::string& path, bool writable) {
  // O_NONBLOCK: opening a pipe by mistake must not wait for its other end.
  const int flags = (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  UniqueFd fd(::open(path.c_str(), flags));
  if (!fd) return open_error(errno, path, writable);
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) return fail_errno(errno, "cannot examine {}", path);
  EMU_TRY(check_kind(path, st.st_mode));
  const off_t end = ::lseek(fd.get(), 0, SEEK_END);
  if (end < 0) return fail_errno(errno, "cannot find the size of {}", path);
  return std::unique_ptr<HostFile>(
      new HostFile(path, std::move(fd), writable, S_ISBLK(st.st_mode), static_cast<u64>(end)));
}

Result<std::unique_ptr<HostFile>> HostFile::create(const std::string& path) {
  const int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  const UniqueFd fd(::open(path.c_str(), flags, 0644));
  if (!fd && errno == ENOENT)
    return fail_errno(ENOENT, "cannot make {}; does its folder exist?", path);
  if (!fd) return open_error(errno, path, true);
  return open(path, true);
}

Result<std::unique_ptr<HostFile>> HostFile::temporary(const std::string& purpose) {
  const char* set = std::getenv("TMPDIR");
  const std::string dir = set != nullptr && *set != 0 ? set : "/var/tmp";
  UniqueFd fd(::open(dir.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!fd) {  // some file systems have no O_TMPFILE
    std::string name = dir + "/emu-XXXXXX";
    fd.reset(::mkostemp(name.data(), O_CLOEXEC));
    if (!fd) {
      return fail_errno(errno,
                        "cannot make a temporary file for {} in {}; set TMPDIR to a "
                        "directory with space",
                        purpose, dir);
    }
    ::unlink(name.c_str());
  }
  return std::unique_ptr<HostFile>(new HostFile(purpose, std::move(fd), true, false, 0));
}

u64 HostFile::allocated_bytes() const {
  struct stat st {};
  if (is_block_device_ || ::fstat(fd_.get(), &st) != 0) return size_bytes();
  return static_cast<u64>(st.st_blocks) * 512;  // stat(2): always units of 512
}

Result<void> HostFile::read(u64 offset, Pieces out) {
  IovecWindow window(out);
  bool is_direct = true;
  while (window.left() != 0) {
    const auto batch = window.batch().first(std::min(window.batch().size(), kIovecsAtOnce));
    const int fd = is_direct ? fd_for(offset, batch) : fd_.get();
    const ssize_t n = offset > kMaxFileBytes ? 0
                                             : ::preadv(fd, batch.data(), iovec_count(batch),
                                                        static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EINVAL && fd != fd_.get()) {  // a device of larger blocks
      is_direct = false;
      continue;
    }
    if (n < 0) return fail_errno(errno, "cannot read {} at byte {}", path_, offset);
    if (n == 0) {  // past the end
      u64 rest = batch.front().iov_len;
      std::memset(batch.front().iov_base, 0, rest);
      window.consume(rest);
      offset += rest;
      continue;
    }
    window.consume(static_cast<u64>(n));
    offset += static_cast<u64>(n);
  }
  return {};
}

// RWF_NOWAIT: what is not in the page cache ends the transfer early (preadv2(2)).
bool HostFile::read_at_once(u64 offset, Pieces out) {
  if (direct_fd_) return false;
  const u64 length = total_bytes(out);
  if (out.size() > kIovecsAtOnce || !range_fits(offset, length, size_bytes())) return false;
  std::array<iovec, kIovecsAtOnce> pieces;
  std::ranges::transform(out, pieces.begin(), [](std::span<u8> piece) {
    return iovec{piece.data(), piece.size()};
  });
  const ssize_t n = ::preadv2(fd_.get(), pieces.data(), static_cast<int>(out.size()),
                              static_cast<off_t>(offset), RWF_NOWAIT);
  return n >= 0 && static_cast<u64>(n) == length;
}

std::optional<HostPlace> HostFile::place(bool is_write, u64 offset, Pieces pieces) {
  const u64 length = total_bytes(pieces);
  if (pieces.size() > kIovecsAtOnce || !range_fits(offset, length, size_bytes()))
    return std::nullopt;
  if (!direct_fd_) {
    if (is_write || length > kSmallBytes) return std::nullopt;
    return HostPlace{fd_.get(), offset};
  }
  std::array<iovec, kIovecsAtOnce> vectors;
  std::ranges::transform(pieces, vectors.begin(), [](std::span<u8> piece) {
    return iovec{piece.data(), piece.size()};
  });
  const int fd = fd_for(offset, std::span(vectors).first(pieces.size()));
  if (fd != direct_fd_.get()) return std::nullopt;
  return HostPlace{fd, offset};
}

// The same file opened once more: flags of an open one that is shared with locks stay as they are.
bool HostFile::go_direct() {
  const std::string name = fmt::format("/proc/self/fd/{}", fd_.get());
  direct_fd_.reset(
      ::open(name.c_str(), (writable_ ? O_RDWR : O_RDONLY) | O_DIRECT | O_CLOEXEC | O_NOCTTY));
  return static_cast<bool>(direct_fd_);
}

// Whole pages only: the rest of a page may be in the page cache and be written from there.
int HostFile::fd_for(u64 offset, std::span<const iovec> pieces) const {
  if (!direct_fd_ || offset % kDirectBytes != 0) return fd_.get();
  u64 length = 0;
  for (const iovec& piece : pieces) {
    length += piece.iov_len;
    if (reinterpret_cast<std::uintptr_t>(piece.iov_base) % kDirectMemory != 0 ||
        piece.iov_len % kDirectMemory != 0)
      return fd_.get();
  }
  return length % kDirectBytes == 0 ? direct_fd_.get() : fd_.get();
}

Result<void> HostFile::write(u64 offset, Pieces in) {
  IovecWindow window(in);
  if (!range_fits(offset, window.left(), kMaxFileBytes))
    return fail_errno(EFBIG, "cannot write {} at byte {}", path_, offset);
  bool is_direct = true;
  while (window.left() != 0) {
    const auto batch = window.batch().first(std::min(window.batch().size(), kIovecsAtOnce));
    const int fd = is_direct ? fd_for(offset, batch) : fd_.get();
    const ssize_t n = ::pwritev(fd, batch.data(), iovec_count(batch), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EINVAL && fd != fd_.get()) {
      is_direct = false;
      continue;
    }
    if (n < 0) return fail_errno(errno, "cannot write {} at byte {}", path_, offset);
    if (n == 0) return fail_errno(ENOSPC, "cannot write {} at byte {}", path_, offset);
    window.consume(static_cast<u64>(n));
    offset += static_cast<u64>(n);
    note_end(offset);
  }
  return {};
}

Result<void> HostFile::write_zeroes(u64 offset, u64 length_bytes) {
  if (length_bytes == 0) return {};
  if (!range_fits(offset, length_bytes, kMaxFileBytes))
    return fail_errno(EFBIG, "cannot write {} at byte {}", path_, offset);
  if (can_punch_.load()) {
    const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    if (::fallocate(fd_.get(), mode, static_cast<off_t>(offset),
                    static_cast<off_t>(length_bytes)) == 0) {
      return offset + length_bytes > size_bytes() ? grow(offset + length_bytes) : Result<void>{};
    }
    if (errno != EOPNOTSUPP && errno != EINVAL && errno != ENODEV && errno != ENOSYS)
      return fail_errno(errno, "cannot clear part of {} at byte {}", path_, offset);
    can_punch_.store(false);
  }
  const std::vector<u8> zeros(std::min<u64>(length_bytes, kMiB));
  while (length_bytes != 0) {
    const u64 n = std::min<u64>(length_bytes, zeros.size());
    EMU_TRY(write_flat(offset, std::span(zeros).first(n)));
    offset += n;
    length_bytes -= n;
  }
  return {};
}

Result<void> HostFile::discard(u64 offset, u64 length_bytes) {
  if (!can_punch_.load() || length_bytes == 0) return {};
  if (!range_fits(offset, length_bytes, kMaxFileBytes)) return {};
  const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  if (::fallocate(fd_.get(), mode, static_cast<off_t>(offset), static_cast<off_t>(length_bytes)) !=
      0) {
    can_punch_.store(false);  // a hint: the data simply stays
  }
  return {};
}

Result<void> HostFile::grow(u64 size_bytes) {
  if (size_bytes <= this->size_bytes()) return {};
  if (size_bytes > kMaxFileBytes || ::ftruncate(fd_.get(), static_cast<off_t>(size_bytes)) != 0)
    return fail_errno(size_bytes > kMaxFileBytes ? EFBIG : errno, "cannot grow {}", path_);
  note_end(size_bytes);
  return {};
}

Result<void> HostFile::shrink(u64 size_bytes) {
  if (size_bytes >= this->size_bytes()) return {};
  if (::ftruncate(fd_.get(), static_cast<off_t>(size_bytes)) != 0)
    return fail_errno(errno, "cannot shrink {}", path_);
  size_bytes_.store(size_bytes);
  return {};
}

// lseek(2), SEEK_DATA: ENXIO means that only a hole follows; EINVAL that the host cannot tell.
Result<StoredRange> HostFile::find_stored(u64 offset) {
  const u64 size = size_bytes();
  if (offset >= size) return StoredRange{offset, offset};
  const off_t start = ::lseek(fd_.get(), static_cast<off_t>(offset), SEEK_DATA);
  if (start < 0 && errno == ENXIO) return StoredRange{size, size};
  if (start < 0) return StoredRange{offset, size};
  const off_t end = ::lseek(fd_.get(), start, SEEK_HOLE);
  return StoredRange{static_cast<u64>(start), end < start ? size : static_cast<u64>(end)};
}

Result<void> HostFile::reserve(u64 size_bytes) {
  const int code = ::posix_fallocate(fd_.get(), 0, static_cast<off_t>(size_bytes));
  if (code != 0) return fail_errno(code, "cannot reserve {} bytes for {}", size_bytes, path_);
  note_end(size_bytes);
  return {};
}

Result<void> HostFile::flush() {
  if (!writable_ || ignores_flushes_) return {};
  // After a failed write-back the kernel calls the lost pages clean, so that asking again would
  // succeed although data is gone (fsync(2), NOTES). One failure therefore spoils every later
  // flush.
  if (flush_error_.load() == 0) {
    while (::fdatasync(fd_.get()) != 0) {
      if (errno == EINTR) continue;
      flush_error_.store(errno);
      break;
    }
  }
  const int code = flush_error_.load();
  if (code == 0) return {};
  return fail_errno(code,
                    "the host could not put {} on stable storage; data written since the "
                    "last good flush may be lost",
                    path_);
}

void HostFile::note_end(u64 end_bytes) {
  u64 seen = size_bytes_.load();
  while (seen < end_bytes && !size_bytes_.compare_exchange_weak(seen, end_bytes)) {
  }
}

}  // namespace emu
