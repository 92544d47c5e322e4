// SPDX-License-Identifier: Apache-2.0
// Replaying the log of a VHDX image that was not closed.
// Source: [MS-VHDX] 2.3 (log), 2.3.3 (log replay).
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/bits.h"
#include "block/vhdx/vhdx_spec.h"

namespace emu::vhdx {
namespace {

constexpr u64 kSector = 4096;
constexpr u64 kDescriptorsAt = 64;
constexpr u64 kDescriptorBytes = 32;
constexpr u64 kLeadingBytes = 8;
constexpr u64 kTrailingBytes = 4;

struct Entry {
  u64 start = 0;  // in the log
  u64 bytes = 0;
  u64 tail = 0;
  u64 sequence = 0;
  u64 descriptors = 0;
  u64 flushed_file_bytes = 0;
  u64 last_file_bytes = 0;
};

class Log {
 public:
  Log(ByteFile& file, const Header& header) : file_(file), h_(header) {}

  Result<void> replay() {
    log_.resize(h_.log_bytes);
    EMU_TRY(file_.read_flat(h_.log_offset, log_));
    const std::vector<Entry> active = find_active();
    if (active.empty())
      return fail(
          "{} is damaged: its log has no whole entry; open it with the program that made it",
          file_.path());
    if (active.back().flushed_file_bytes > file_.size_bytes())
      return fail("{} is cut short: it had at least {} bytes", file_.path(),
                  active.back().flushed_file_bytes);
    for (const Entry& e : active) EMU_TRY(apply(e));
    EMU_TRY(file_.grow(active.back().last_file_bytes));
    return file_.flush();
  }

 private:
  [[nodiscard]] std::vector<u8> bytes_at(u64 at, u64 n) const {
    std::vector<u8> out(n);
    for (u64 i = 0; i < n; ++i) out[i] = log_[(at + i) % log_.size()];
    return out;
  }

  // Whether a whole entry of this log begins here.
  [[nodiscard]] bool parse(u64 at, Entry& e) const {
    const auto head = bytes_at(at, kDescriptorsAt);
    e.start = at;
    e.bytes = load_le<u32>(&head[8]);
    e.tail = load_le<u32>(&head[12]);
    e.sequence = load_le<u64>(&head[16]);
    e.descriptors = load_le<u32>(&head[24]);
    e.flushed_file_bytes = load_le<u64>(&head[48]);
    e.last_file_bytes = load_le<u64>(&head[56]);
    if (std::memcmp(head.data(), "loge", 4) != 0 ||
        std::memcmp(&head[32], h_.log_guid.data(), h_.log_guid.size()) != 0)
      return false;
    if (e.bytes == 0 || e.bytes % kSector != 0 || e.bytes > log_.size() || e.tail >= log_.size() ||
        e.tail % kSector != 0 || e.sequence == 0 ||
        e.descriptors > (e.bytes - kDescriptorsAt) / kDescriptorBytes ||
        e.last_file_bytes > kMaxDiskBytes * 2)
      return false;
    const auto whole = bytes_at(at, e.bytes);
    return load_le<u32>(&head[4]) == checksum(whole) && descriptors_are_whole(e, whole);
  }

  [[nodiscard]] static u64 data_starts_at(u64 descriptors) {
    return align_up(kDescriptorsAt + descriptors * kDescriptorBytes, kSector);
  }

  [[nodiscard]] static bool descriptors_are_whole(const Entry& e, const std::vector<u8>& whole) {
    u64 data_at = data_starts_at(e.descriptors);
    for (u64 i = 0; i < e.descriptors; ++i) {
      const u8* d = &whole[kDescriptorsAt + i * kDescriptorBytes];
      if (load_le<u64>(d + 24) != e.sequence) return false;
      if (std::memcmp(d, "zero", 4) == 0) continue;
      if (std::memcmp(d, "desc", 4) != 0 || data_at + kSector > whole.size()) return false;
      const u8* data = &whole[data_at];
      const u64 sequence =
          u64{load_le<u32>(data + 4)} << 32 | load_le<u32>(data + kSector - kTrailingBytes);
      if (std::memcmp(data, "data", 4) != 0 || sequence != e.sequence) return false;
      data_at += kSector;
    }
    return true;
  }

  // The longest run of entries, each following the one before, that ends with the highest sequence
  // number and contains its own tail.
  [[nodiscard]] std::vector<Entry> find_active() const {
    std::vector<Entry> best;
    u64 budget = 64 * log_.size();  // bytes looked at; a hostile log has entries in entries
    for (u64 at = 0; at < log_.size();) {
      std::vector<Entry> run;
      u64 next = at;
      u64 covered = 0;
      Entry e;
      while (covered < log_.size() && budget > 0 && parse(next, e) &&
             (run.empty() || e.sequence == run.back().sequence + 1)) {
        budget -= std::min(budget, e.bytes);
        covered += e.bytes;
        run.push_back(e);
        next = (next + e.bytes) % log_.size();
      }
      if (run.empty()) {
        at += kSector;
        continue;
      }
      at = run.back().start + run.back().bytes > at ? run.back().start + run.back().bytes
                                                    : log_.size();
      const auto tail = std::find_if(run.begin(), run.end(), [&](const Entry& entry) {
        return entry.start == run.back().tail;
      });
      if (tail == run.end()) continue;
      run.erase(run.begin(), tail);
      if (best.empty() || run.back().sequence > best.back().sequence) best = std::move(run);
    }
    return best;
  }

  Result<void> apply(const Entry& e) {
    const auto whole = bytes_at(e.start, e.bytes);
    u64 data_at = data_starts_at(e.descriptors);
    for (u64 i = 0; i < e.descriptors; ++i) {
      const u8* d = &whole[kDescriptorsAt + i * kDescriptorBytes];
      const u64 file_offset = load_le<u64>(d + 16);
      if (file_offset % kSector != 0 || file_offset > 2 * kMaxDiskBytes)
        return fail("{} is damaged: its log writes to {}", file_.path(), file_offset);
      if (std::memcmp(d, "zero", 4) == 0) {
        const u64 bytes = load_le<u64>(d + 8);
        if (bytes % kSector != 0 || !range_fits(file_offset, bytes, 2 * kMaxDiskBytes))
          return fail("{} is damaged: its log clears {} bytes", file_.path(), bytes);
        EMU_TRY(file_.write_zeroes(file_offset, bytes));
        continue;
      }
      // The first 8 and last 4 bytes of the sector stand in the descriptor.
      std::vector<u8> sector(whole.begin() + static_cast<std::ptrdiff_t>(data_at),
                             whole.begin() + static_cast<std::ptrdiff_t>(data_at + kSector));
      std::copy_n(d + 8, kLeadingBytes, sector.begin());
      std::copy_n(d + 4, kTrailingBytes, sector.end() - kTrailingBytes);
      EMU_TRY(file_.write_flat(file_offset, sector));
      data_at += kSector;
    }
    return {};
  }

  ByteFile& file_;
  const Header& h_;
  std::vector<u8> log_;
};

}  // namespace

Result<void> replay_log(ByteFile& file, const Header& header) {
  if (header.log_guid == Guid{}) return {};
  if (header.log_bytes == 0)
    return fail("{} is damaged: it has changes to be made and no log", file.path());
  if (file.read_only())
    return Error{EROFS, fmt::format("{} was not closed properly, and its log must be replayed "
                                    "first; run: emu img check -r all {}",
                                    file.path(), file.path())};
  return Log(file, header).replay();
}

}  // namespace emu::vhdx
