// SPDX-License-Identifier: Apache-2.0
// Copying and comparing disks.
// Threads: workers take pieces of the source in turn; images may be used by all at once.
#include "cli/img/copy.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <thread>

#include "base/bits.h"

namespace emu::cli::img {
namespace {

// A piece is read, looked through and written while it lies in the processor's cache.
constexpr u64 kPieceBytes = 256 * kKiB;
constexpr u64 kLookAheadBytes = 16 * kMiB;
constexpr u64 kSalvageBytes = 4 * kKiB;

Result<void> read_at(DiskImage& image, u64 offset, std::span<u8> out) {
  const std::span<u8> one[] = {out};
  return image.read(offset, one);
}

Result<void> write_at(DiskImage& image, u64 offset, std::span<u8> in) {
  const std::span<u8> one[] = {in};
  return image.write(offset, one);
}

class Copy {
 public:
  Copy(DiskImage& source, DiskImage& target, const CopyOptions& options, Progress& progress)
      : source_(source), target_(target), o_(options), progress_(progress) {}

  Result<void> run() {
    std::vector<std::jthread> workers;
    for (unsigned i = 1; i < o_.threads; ++i) workers.emplace_back([this] { work(); });
    work();
    workers.clear();
    return first_error_;
  }

 private:
  struct Piece {
    u64 offset = 0;
    u64 length_bytes = 0;
    bool is_zero = false;
    bool is_skipped = false;
  };

  void work() {
    std::vector<u8> buffer(kPieceBytes);
    for (;;) {
      auto piece = next();
      if (piece && piece->length_bytes == 0) return;
      auto done = piece ? copy(*piece, buffer) : Result<void>(piece.error());
      if (!done) {
        const std::lock_guard lock(mutex_);
        if (first_error_) first_error_ = done;
        return;
      }
      progress_.advance(piece->length_bytes);
    }
  }

  // The next stretch of one kind. Data is cut at whole pieces, so that clusters stay whole.
  Result<Piece> next() {
    const std::lock_guard lock(mutex_);
    Piece p{at_, 0, false, false};
    if (!first_error_ || at_ == source_.size_bytes()) return p;
    const u64 piece_bytes = std::max(kPieceBytes, o_.cluster_bytes);
    const u64 left = source_.size_bytes() - at_;
    const u64 to_border = std::min(left, piece_bytes - at_ % piece_bytes);
    if (at_ >= known_.offset + known_.length_bytes) {
      auto found = classify(at_, left);
      if (!found) return found.error();
      known_ = *found;
    }
    Piece rest = known_;
    rest.length_bytes -= at_ - known_.offset;
    const Piece* known = &rest;
    p.is_zero = known->is_zero;
    p.is_skipped = known->is_skipped;
    const bool whole_pieces = known->length_bytes >= to_border;
    if ((known->is_zero || known->is_skipped) && whole_pieces) {
      p.length_bytes = known->length_bytes == left
                           ? left
                           : to_border + align_down(known->length_bytes - to_border, piece_bytes);
    } else if (known->is_skipped || (known->is_zero && !o_.compressed)) {
      p.length_bytes = known->length_bytes;
    } else {
      p.is_zero = false;
      p.length_bytes = o_.skip_backing ? std::min(known->length_bytes, to_border) : to_border;
    }
    at_ += p.length_bytes;
    return p;
  }

  Result<Piece> classify(u64 offset, u64 max_bytes) {
    Piece p{offset, 0, false, false};
    if (o_.skip_backing) {
      auto own = source_.map(offset, max_bytes);
      if (!own) return own.error();
      p.length_bytes = own->length_bytes;
      p.is_zero = own->stored == Stored::kZero;
      p.is_skipped = own->stored == Stored::kBelow;
      return p;
    }
    auto known = what_is_at(source_, offset, max_bytes);
    if (!known) return known.error();
    p.length_bytes = known->length_bytes;
    p.is_zero = known->is_zero && o_.sparse_bytes != 0;
    return p;
  }

  Result<void> copy(const Piece& p, std::vector<u8>& buffer) {
    if (p.is_skipped) return {};
    if (p.is_zero) return write_zeros(p.offset, p.length_bytes);
    if (buffer.size() < p.length_bytes) buffer.resize(p.length_bytes);
    const auto bytes = std::span(buffer).first(p.length_bytes);
    if (auto read = read_at(source_, p.offset, bytes); !read) {
      if (!o_.salvage) return read;
      for (u64 at = 0; at < bytes.size(); at += kSalvageBytes) {
        const auto part = bytes.subspan(at, std::min<u64>(kSalvageBytes, bytes.size() - at));
        if (!read_at(source_, p.offset + at, part)) std::fill(part.begin(), part.end(), u8{0});
      }
    }
    return o_.compressed ? write_packed(p.offset, bytes) : write_runs(p.offset, bytes);
  }

  Result<void> write_zeros(u64 offset, u64 length_bytes) {
    if (o_.target_is_zero) return {};
    return target_.write_zeroes(o_.target_offset + offset, length_bytes);
  }

  Result<void> write_packed(u64 offset, std::span<u8> bytes) {
    for (u64 at = 0; at < bytes.size(); at += o_.cluster_bytes) {
      const auto cluster = bytes.subspan(at, std::min<u64>(o_.cluster_bytes, bytes.size() - at));
      if (is_all_zero(cluster)) {
        EMU_TRY(write_zeros(offset + at, cluster.size()));
      } else {
        EMU_TRY(target_.write_compressed(o_.target_offset + offset + at, cluster));
      }
    }
    return {};
  }

  // Writes the stretches that are not zero.
  Result<void> write_runs(u64 offset, std::span<u8> bytes) {
    if (o_.sparse_bytes == 0) return write_at(target_, o_.target_offset + offset, bytes);
    for (u64 at = 0; at < bytes.size();) {
      const bool is_zero = is_all_zero(step(bytes, offset, at));
      u64 end = at;
      while (end < bytes.size() && is_all_zero(step(bytes, offset, end)) == is_zero)
        end += step(bytes, offset, end).size();
      EMU_TRY(is_zero
                  ? write_zeros(offset + at, end - at)
                  : write_at(target_, o_.target_offset + offset + at, bytes.subspan(at, end - at)));
      at = end;
    }
    return {};
  }

  // Up to the next multiple of the sparse size.
  [[nodiscard]] std::span<u8> step(std::span<u8> bytes, u64 offset, u64 at) const {
    const u64 n = o_.sparse_bytes - (offset + at) % o_.sparse_bytes;
    return bytes.subspan(at, std::min<u64>(n, bytes.size() - at));
  }

  DiskImage& source_;
  DiskImage& target_;
  const CopyOptions& o_;
  Progress& progress_;
  std::mutex mutex_;  // guards what follows
  u64 at_ = 0;
  Piece known_;  // what was last found out about the source
  Result<void> first_error_;
};

}  // namespace

Result<Known> what_is_at(DiskImage& image, u64 offset, u64 max_bytes) {
  Known known;
  while (known.length_bytes < max_bytes) {
    const u64 at = offset + known.length_bytes;
    auto extent = map_chain(image, at, max_bytes - known.length_bytes);
    if (!extent) return extent.error();
    const bool is_zero = extent->extent.stored == Stored::kZero;
    if (known.length_bytes != 0 && is_zero != known.is_zero) break;
    known.is_zero = is_zero;
    known.length_bytes += extent->extent.length_bytes;
    if (!is_zero && known.length_bytes >= kLookAheadBytes) break;  // enough for some transfers
  }
  return known;
}

Result<void> copy_disk(DiskImage& source, DiskImage& target, const CopyOptions& options,
                       Progress& progress) {
  return Copy(source, target, options, progress).run();
}

Result<std::optional<u64>> first_difference(DiskImage& a, DiskImage& b, Progress& progress) {
  const u64 size = std::min(a.size_bytes(), b.size_bytes());
  std::vector<u8> left(kPieceBytes);
  std::vector<u8> right(kPieceBytes);
  for (u64 at = 0; at < size;) {
    auto in_a = what_is_at(a, at, size - at);
    if (!in_a) return in_a.error();
    auto in_b = what_is_at(b, at, size - at);
    if (!in_b) return in_b.error();
    u64 n = std::min(in_a->length_bytes, in_b->length_bytes);
    if (!in_a->is_zero || !in_b->is_zero) {
      n = std::min(n, kPieceBytes);
      EMU_TRY(read_at(a, at, std::span(left).first(n)));
      EMU_TRY(read_at(b, at, std::span(right).first(n)));
      const auto end = left.begin() + static_cast<std::ptrdiff_t>(n);
      const auto differs = std::mismatch(left.begin(), end, right.begin()).first;
      if (differs != end) return std::optional<u64>(at + static_cast<u64>(differs - left.begin()));
    }
    progress.advance(n);
    at += n;
  }
  return std::optional<u64>();
}

Result<std::optional<u64>> first_nonzero(DiskImage& image, u64 offset) {
  std::vector<u8> bytes(kPieceBytes);
  while (offset < image.size_bytes()) {
    auto known = what_is_at(image, offset, image.size_bytes() - offset);
    if (!known) return known.error();
    if (known->is_zero) {
      offset += known->length_bytes;
      continue;
    }
    const auto part = std::span(bytes).first(std::min(known->length_bytes, kPieceBytes));
    EMU_TRY(read_at(image, offset, part));
    const auto found = std::find_if(part.begin(), part.end(), [](u8 b) { return b != 0; });
    if (found != part.end())
      return std::optional<u64>(offset + static_cast<u64>(found - part.begin()));
    offset += part.size();
  }
  return std::optional<u64>();
}

}  // namespace emu::cli::img
