// SPDX-License-Identifier: Apache-2.0
// A disk behind an NBD server, through libnbd.
#include "block/nbd/nbd_file.h"

#include <libnbd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/bits.h"

namespace emu {
namespace {

constexpr u64 kBytesAtOnce = 16 * kMiB;  // servers refuse more than 32 MiB

// Calls f(offset, length) for pieces of a range that one request may carry.
template <class F>
int each_request(u64 offset, u64 length_bytes, F&& f) {
  while (length_bytes != 0) {
    const u64 n = std::min(length_bytes, kBytesAtOnce);
    if (f(offset, n) != 0) return -1;
    offset += n;
    length_bytes -= n;
  }
  return 0;
}

}  // namespace

bool is_nbd_uri(const std::string& name) {
  return name.starts_with("nbd://") || name.starts_with("nbds://") ||
         name.starts_with("nbd+unix://") || name.starts_with("nbds+unix://");
}

Result<std::unique_ptr<NbdFile>> NbdFile::open(const std::string& uri, bool writable) {
  nbd_handle* handle = ::nbd_create();
  if (handle == nullptr) return Error{ENOMEM, "libnbd cannot start"};
  std::unique_ptr<NbdFile> file(new NbdFile(uri, handle, writable));
  if (::nbd_connect_uri(handle, uri.c_str()) != 0)
    return fail("cannot connect to {}: {}; is the server running, and the export's name right?",
                uri, ::nbd_get_error());
  const i64 size = ::nbd_get_size(handle);
  if (size < 0) return fail("{} does not tell its size: {}", uri, ::nbd_get_error());
  file->size_bytes_ = static_cast<u64>(size);
  if (writable && ::nbd_is_read_only(handle) != 0)
    return Error{EROFS,
                 fmt::format("{} may only be read; use --snapshot, or attach it read-only", uri)};
  return file;
}

NbdFile::~NbdFile() {
  ::nbd_shutdown(handle_, 0);
  ::nbd_close(handle_);
}

Error NbdFile::failed(const char* what, u64 offset) const {
  const int code = ::nbd_get_errno();
  return Error{code == 0 ? EIO : code,
               fmt::format("cannot {} {} at byte {}: {}", what, uri_, offset, ::nbd_get_error())};
}

Result<void> NbdFile::read(u64 offset, Pieces out) {
  const std::lock_guard lock(mutex_);
  for (const auto& piece : out) {
    const u64 inside =
        offset >= size_bytes_ ? 0 : std::min<u64>(piece.size(), size_bytes_ - offset);
    std::memset(piece.data() + inside, 0, piece.size() - inside);
    u8* to = piece.data();
    const int status = each_request(offset, inside, [&](u64 at, u64 n) {
      const int done = ::nbd_pread(handle_, to, n, at, 0);
      to += n;
      return done;
    });
    if (status != 0) return failed("read", offset);
    offset += piece.size();
  }
  return {};
}

Result<void> NbdFile::write(u64 offset, Pieces in) {
  if (!range_fits(offset, total_bytes(in), size_bytes_)) return grow(offset + total_bytes(in));
  const std::lock_guard lock(mutex_);
  for (const auto& piece : in) {
    const u8* from = piece.data();
    const int status = each_request(offset, piece.size(), [&](u64 at, u64 n) {
      const int done = ::nbd_pwrite(handle_, from, n, at, 0);
      from += n;
      return done;
    });
    if (status != 0) return failed("write", offset);
    offset += piece.size();
  }
  return {};
}

Result<void> NbdFile::write_zeroes(u64 offset, u64 length_bytes) {
  if (!range_fits(offset, length_bytes, size_bytes_)) return grow(offset + length_bytes);
  if (::nbd_can_zero(handle_) <= 0) {
    const std::vector<u8> zeros(std::min(length_bytes, kMiB));
    for (; length_bytes != 0;) {
      const u64 n = std::min<u64>(length_bytes, zeros.size());
      EMU_TRY(write_flat(offset, std::span(zeros).first(n)));
      offset += n;
      length_bytes -= n;
    }
    return {};
  }
  const std::lock_guard lock(mutex_);
  const int status = each_request(offset, length_bytes,
                                  [&](u64 at, u64 n) { return ::nbd_zero(handle_, n, at, 0); });
  return status == 0 ? Result<void>{} : failed("clear part of", offset);
}

Result<void> NbdFile::discard(u64 offset, u64 length_bytes) {
  if (::nbd_can_trim(handle_) <= 0 || !range_fits(offset, length_bytes, size_bytes_)) return {};
  const std::lock_guard lock(mutex_);
  // A hint: where the server refuses it, the data simply stays.
  static_cast<void>(each_request(offset, length_bytes,
                                 [&](u64 at, u64 n) { return ::nbd_trim(handle_, n, at, 0); }));
  return {};
}

Result<void> NbdFile::grow(u64 size_bytes) {
  if (size_bytes <= size_bytes_) return {};
  return Error{ENOSPC, fmt::format("{} has {} bytes and cannot grow; serve a larger disk", uri_,
                                   size_bytes_)};
}

Result<void> NbdFile::flush() {
  if (!writable_ || ::nbd_can_flush(handle_) <= 0) return {};
  const std::lock_guard lock(mutex_);
  return ::nbd_flush(handle_, 0) == 0 ? Result<void>{} : failed("flush", 0);
}

}  // namespace emu
