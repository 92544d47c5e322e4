// SPDX-License-Identifier: Apache-2.0
// Following every reference in an image: to find out whether it was cut short, and to rebuild the
// refcounts of one that was not closed properly (lazy refcounts).
// Source: qcow2 spec: "dirty bit"; refcounts; snapshots.
#include <algorithm>
#include <functional>

#include "base/bits.h"
#include "block/qcow2/qcow2_image.h"

namespace emu::qcow2 {
namespace {

// A quick repair is meant for real images; a made-up one must not keep us busy for hours.
constexpr u64 kMaxTableBytesRead = 16 * kGiB;
constexpr u64 kMaxCountedClusters = u64{1} << 26;  // 4 TiB of 64 KiB clusters

std::vector<u64> to_entries(const std::vector<u8>& bytes) {
  std::vector<u64> entries(bytes.size() / kEntryBytes);
  for (u64 i = 0; i < entries.size(); ++i) entries[i] = load_be<u64>(&bytes[i * kEntryBytes]);
  return entries;
}

// Reads tables straight from the file; nothing may be cached dirty elsewhere.
class Walker {
 public:
  Walker(ByteFile& file, const Header& header) : file_(file), h_(header) {}

  Result<std::vector<u64>> read_table(u64 offset, u64 entries) {
    std::vector<u8> bytes(entries * kEntryBytes);
    budget_ -= std::min(budget_, bytes.size());
    if (budget_ == 0)
      return fail("{} has too many tables for a quick repair; run: qemu-img check -r all {}",
                  file_.path(), file_.path());
    EMU_TRY(file_.read_flat(offset, bytes));
    return to_entries(bytes);
  }

  // Calls use(first byte, length) for what an L2 entry refers to.
  template <class F>
  void each_use(u64 entry, F&& use) const {
    if ((entry & kEntryCompressed) != 0) {
      const unsigned x = 62 - (h_.cluster_bits - 8);
      const u64 host = bits(entry, 0, x);
      use(host, (bits(entry, x, 62 - x) + 1) * 512 - (host & 511));
    } else if (const u64 host = entry & kEntryOffsetMask; host != 0) {
      use(host, h_.cluster_bytes());
    }
  }

 private:
  ByteFile& file_;
  const Header& h_;
  u64 budget_ = kMaxTableBytesRead;
};

// Counts references to clusters, then brings the image in line with them.
class Repair {
 public:
  Repair(ByteFile& file, const Header& header)
      : file_(file), h_(header), walker_(file, header), refcounts_(file, header, metadata_) {}

  Result<void> run() {
    EMU_TRY(count_everything());
    EMU_TRY(store_counts());
    EMU_TRY(refcounts_.commit());
    EMU_TRY(fix_copied_flags());
    EMU_TRY(file_.flush());
    u8 field[8];
    store_be<u64>(field, h_.incompatible & ~kIncompatibleDirty);
    EMU_TRY(file_.write_flat(kOffIncompatible, field));
    return file_.flush();
  }

 private:
  Result<void> use(u64 offset, u64 length_bytes) {
    if (length_bytes == 0) return {};
    const u64 last = (offset + length_bytes - 1) >> h_.cluster_bits;
    if (last >= kMaxCountedClusters || offset >= file_.size_bytes() + h_.cluster_bytes())
      return fail(
          "{} is damaged: something at {} lies beyond its end; run: qemu-img check -r all "
          "{}",
          file_.path(), offset, file_.path());
    if (counts_.size() <= last) counts_.resize(last + 1);
    for (u64 c = offset >> h_.cluster_bits; c <= last; ++c) ++counts_[c];
    return {};
  }

  Result<void> count_everything() {
    EMU_TRY(use(0, h_.cluster_bytes()));
    EMU_TRY(
        use_metadata(h_.refcount_table_offset, u64{h_.refcount_table_clusters} << h_.cluster_bits));
    EMU_TRY(use_metadata(h_.snapshots_offset, h_.snapshots_bytes));
    metadata_.add_range(0, 1);
    if (auto loaded = refcounts_.load(); !loaded)
      return fail("{} is damaged: {}; run: qemu-img check -r all {}", file_.path(),
                  loaded.error().message, file_.path());
    for (const u64 block : refcounts_.table()) {
      if (block != 0) EMU_TRY(use(block, h_.cluster_bytes()));
    }
    EMU_TRY(count_tree(h_.l1_offset, h_.l1_entries));
    for (const SnapshotL1& s : h_.snapshots) EMU_TRY(count_tree(s.offset_bytes, s.entries));
    return {};
  }

  Result<void> use_metadata(u64 offset, u64 length_bytes) {
    metadata_.add_range(offset >> h_.cluster_bits, h_.clusters_for(length_bytes));
    return use(offset, length_bytes);
  }

  Result<void> count_tree(u64 l1_offset, u64 l1_entries) {
    EMU_TRY(use_metadata(l1_offset, l1_entries * kEntryBytes));
    auto l1 = walker_.read_table(l1_offset, l1_entries);
    if (!l1) return l1.error();
    for (const u64 l1_entry : *l1) {
      const u64 table = l1_entry & kEntryOffsetMask;
      if (table == 0) continue;
      EMU_TRY(use(table, h_.cluster_bytes()));
      auto l2 = walker_.read_table(table, h_.l2_entries());
      if (!l2) return l2.error();
      Result<void> used;
      for (const u64 entry : *l2) {
        walker_.each_use(entry, [&](u64 offset, u64 length) {
          if (used) used = use(offset, length);
        });
        if (!used) return used;
      }
    }
    return {};
  }

  // Bitmaps hold clusters that we did not count, so with them counts are only ever raised.
  Result<void> store_counts() {
    const u64 end_of_file = h_.clusters_for(file_.size_bytes());
    u64 place = std::max<u64>(counts_.size(), end_of_file);
    const u64 end = std::max(place, std::min(refcounts_.end_of_counts(), kMaxCountedClusters));
    for (u64 c = 0; c < end; ++c) {
      auto now = refcounts_.count(c);
      if (!now) return now.error();
      const u64 wanted = std::min<u64>(c < counts_.size() ? counts_[c] : 0, refcounts_.max_count());
      const bool is_new_block = c >= counts_.size() && metadata_.contains(c);
      if (*now == wanted || is_new_block || (h_.has_bitmaps && *now > wanted)) continue;
      EMU_TRY(refcounts_.set(c, wanted, place));
    }
    return {};
  }

  // An entry's "copied" flag says that its count is exactly one.
  Result<void> fix_copied_flags() {
    auto l1 = walker_.read_table(h_.l1_offset, h_.l1_entries);
    if (!l1) return l1.error();
    for (u64 i = 0; i < l1->size(); ++i) {
      const u64 table = (*l1)[i] & kEntryOffsetMask;
      if (table == 0) continue;
      EMU_TRY(fix_table(table));
      EMU_TRY(fix_flag(h_.l1_offset + i * kEntryBytes, (*l1)[i], table));
    }
    return {};
  }

  Result<void> fix_table(u64 table) {
    auto l2 = walker_.read_table(table, h_.l2_entries());
    if (!l2) return l2.error();
    for (u64 i = 0; i < l2->size(); ++i) {
      const u64 entry = (*l2)[i];
      const u64 host = entry & kEntryOffsetMask;
      if ((entry & kEntryCompressed) == 0 && host != 0)
        EMU_TRY(fix_flag(table + i * kEntryBytes, entry, host));
    }
    return {};
  }

  Result<void> fix_flag(u64 where, u64 entry, u64 host) {
    auto now = refcounts_.count(host >> h_.cluster_bits);
    if (!now) return now.error();
    const u64 fixed = *now == 1 ? entry | kEntryCopied : entry & ~kEntryCopied;
    if (fixed == entry) return {};
    u8 bytes[8];
    store_be<u64>(bytes, fixed);
    return file_.write_flat(where, bytes);
  }

  ByteFile& file_;
  const Header& h_;
  Walker walker_;
  MetadataMap metadata_;
  Refcounts refcounts_;
  std::vector<u32> counts_;
};

// The number of the last cluster that counts as used, or 0: a hint that costs two reads.
Result<u64> last_counted_cluster(ByteFile& file, const Header& h) {
  std::vector<u8> bytes(u64{h.refcount_table_clusters} << h.cluster_bits);
  EMU_TRY(file.read_flat(h.refcount_table_offset, bytes));
  const auto table = to_entries(bytes);
  const auto last = std::find_if(table.rbegin(), table.rend(), [](u64 e) { return e != 0; });
  if (last == table.rend()) return u64{0};
  std::vector<u8> block(h.cluster_bytes());
  EMU_TRY(file.read_flat(*last & kRefcountTableMask, block));
  const auto byte = std::find_if(block.rbegin(), block.rend(), [](u8 b) { return b != 0; });
  if (byte == block.rend()) return u64{0};
  const u64 block_number = static_cast<u64>(table.rend() - last) - 1;
  const u64 entries_per_block = (h.cluster_bytes() * 8) >> h.refcount_order;
  const u64 in_block = ((static_cast<u64>(block.rend() - byte) - 1) * 8) >> h.refcount_order;
  return block_number * entries_per_block + in_block;
}

}  // namespace

Result<void> repair_refcounts(ByteFile& file, const Header& header) {
  return Repair(file, header).run();
}

Result<bool> is_truncated(ByteFile& file, const Header& h) {
  auto last = last_counted_cluster(file, h);
  if (!last) return last.error();
  if (*last < h.clusters_for(file.size_bytes())) return false;
  // A crash may leave counted clusters beyond the end; what matters is whether one is referred to.
  Walker walker(file, h);
  auto l1 = walker.read_table(h.l1_offset, h.l1_entries);
  if (!l1) return l1.error();
  bool is_beyond = false;
  const auto check = [&](u64 offset, u64) { is_beyond |= offset >= file.size_bytes(); };
  for (const u64 l1_entry : *l1) {
    const u64 table = l1_entry & kEntryOffsetMask;
    if (table == 0) continue;
    if (table >= file.size_bytes()) return true;
    auto l2 = walker.read_table(table, h.l2_entries());
    if (!l2) return l2.error();
    for (const u64 entry : *l2) walker.each_use(entry, check);
    if (is_beyond) return true;
  }
  return false;
}

}  // namespace emu::qcow2
