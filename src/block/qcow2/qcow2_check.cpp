// SPDX-License-Identifier: Apache-2.0
// Following every reference in an image: to compare with the refcounts, to rebuild those of one
// that was not closed properly, and to find out whether it was cut short.
#include "block/qcow2/qcow2_check.h"

#include <algorithm>

#include "block/qcow2/bitmaps.h"
#include "block/qcow2/qcow2_walker.h"
#include "block/qcow2/refcounts.h"

namespace emu::qcow2 {
namespace {

constexpr u64 kMaxCountedClusters = u64{1} << 26;  // 4 TiB of 64 KiB clusters
constexpr std::size_t kMaxProblemsListed = 100;

// Counts references to clusters, then compares the image with them or brings it in line.
class Check {
 public:
  Check(ByteFile& file, const Header& header, RepairMode mode)
      : file_(file),
        h_(header),
        mode_(mode),
        walker_(file, header),
        refcounts_(file, header, metadata_) {}

  Result<CheckResult> run() {
    result_.total_clusters = h_.clusters_for(h_.size_bytes);
    EMU_TRY(count_everything());
    EMU_TRY(compare_counts());
    if (repairs_anything()) EMU_TRY(refcounts_.commit());
    EMU_TRY(check_copied_flags());
    if (repairs_anything()) EMU_TRY(clear_marks());
    return std::move(result_);
  }

 private:
  [[nodiscard]] bool repairs_anything() const { return mode_ != RepairMode::kNone; }
  [[nodiscard]] bool repairs_errors() const { return mode_ == RepairMode::kAll; }

  void note(std::string problem) {
    if (result_.problems.size() < kMaxProblemsListed)
      result_.problems.push_back(std::move(problem));
  }
  void corruption(bool is_fixed, std::string problem) {
    note((is_fixed ? "repaired: " : "error: ") + std::move(problem));
    ++(is_fixed ? result_.corruptions_fixed : result_.corruptions);
  }

  // Whether the bytes can exist at all.
  [[nodiscard]] bool is_possible(u64 offset, u64 length_bytes) const {
    const u64 last = (offset + std::max<u64>(length_bytes, 1) - 1) >> h_.cluster_bits;
    return last < kMaxCountedClusters && offset < file_.size_bytes() + h_.cluster_bytes();
  }

  Result<void> use(u64 offset, u64 length_bytes) {
    if (length_bytes == 0) return {};
    if (!is_possible(offset, length_bytes))
      return fail("{} is damaged beyond repair: a table at {} lies outside the file", file_.path(),
                  offset);
    const u64 last = (offset + length_bytes - 1) >> h_.cluster_bits;
    if (counts_.size() <= last) counts_.resize(last + 1);
    for (u64 c = offset >> h_.cluster_bits; c <= last; ++c) ++counts_[c];
    return {};
  }

  Result<void> use_metadata(u64 offset, u64 length_bytes) {
    metadata_.add_range(offset >> h_.cluster_bits, h_.clusters_for(length_bytes));
    return use(offset, length_bytes);
  }

  Result<void> count_everything() {
    EMU_TRY(use(0, h_.cluster_bytes()));
    EMU_TRY(
        use_metadata(h_.refcount_table_offset, u64{h_.refcount_table_clusters} << h_.cluster_bits));
    EMU_TRY(use_metadata(h_.snapshots_offset, h_.snapshots_bytes));
    EMU_TRY(use_metadata(h_.luks_offset, h_.luks_bytes));
    EMU_TRY(count_bitmaps());
    metadata_.add_range(0, 1);
    if (auto loaded = refcounts_.load(); !loaded)
      return fail(
          "{} is damaged: {}; copy out what can be read: emu img convert -O qcow2 {} "
          "rescued.qcow2",
          file_.path(), loaded.error().message, file_.path());
    for (const u64 block : refcounts_.table()) {
      if (block != 0) EMU_TRY(use(block, h_.cluster_bytes()));
    }
    EMU_TRY(count_tree(h_.l1_offset, h_.l1_entries, true));
    for (const Snapshot& s : h_.snapshots) EMU_TRY(count_tree(s.l1_offset, s.l1_entries, false));
    return {};
  }

  // Damaged ones are dropped by a repair: they describe the disk and are no part of it.
  Result<void> count_bitmaps() {
    auto bitmaps = read_bitmaps(file_, h_);
    if (!bitmaps) {
      corruption(repairs_errors(), bitmaps.error().message);
      if (!repairs_errors()) return {};
      u8 field[8];
      store_be<u64>(field, h_.autoclear & ~kAutoclearBitmaps);
      return file_.write_flat(kOffAutoclear, field);
    }
    if (bitmaps->empty()) return {};
    EMU_TRY(use_metadata(h_.bitmap_directory_offset, h_.bitmap_directory_bytes));
    for (const Bitmap& b : *bitmaps) {
      EMU_TRY(use_metadata(b.table_offset, b.table.size() * kEntryBytes));
      for (const u64 entry : b.table) {
        if (const u64 host = entry & kEntryOffsetMask; host != 0)
          EMU_TRY(use(host, h_.cluster_bytes()));
      }
    }
    return {};
  }

  Result<void> count_tree(u64 l1_offset, u64 l1_entries, bool is_active) {
    EMU_TRY(use_metadata(l1_offset, l1_entries * kEntryBytes));
    auto l1 = walker_.read_table(l1_offset, l1_entries);
    if (!l1) return l1.error();
    for (u64 i = 0; i < l1->size(); ++i) {
      const u64 table = (*l1)[i] & kEntryOffsetMask;
      if (table == 0) continue;
      if (table % h_.cluster_bytes() != 0 || !is_possible(table, h_.cluster_bytes())) {
        EMU_TRY(forget_entry(l1_offset + i * kEntryBytes, kEntryBytes,
                             fmt::format("L2 table {} at {} lies outside the file", i, table)));
        continue;
      }
      EMU_TRY(use(table, h_.cluster_bytes()));
      EMU_TRY(count_l2(table, is_active));
    }
    return {};
  }

  Result<void> count_l2(u64 table, bool is_active) {
    auto l2 = walker_.read_l2(table);
    if (!l2) return l2.error();
    u64 expected = 0;
    for (u64 i = 0; i < l2->size(); ++i) {
      const u64 word = (*l2)[i];
      u64 start = 0;
      u64 length = 0;
      walker_.each_use(word, [&](u64 offset, u64 bytes) {
        start = offset;
        length = bytes;
      });
      const bool is_compressed = (word & kEntryCompressed) != 0;
      if (length == 0) {
        if (is_active && h_.external_data() && (word & kEntryCopied) != 0)
          ++result_.allocated_clusters;
        continue;
      }
      const bool is_aligned = is_compressed || start % h_.cluster_bytes() == 0;
      if (!is_aligned || !is_possible(start, is_compressed ? 1 : length)) {
        EMU_TRY(forget_entry(table + i * h_.l2_entry_bytes(), h_.l2_entry_bytes(),
                             fmt::format("data at {} lies outside the file", start)));
        continue;
      }
      EMU_TRY(use(start, length));
      if (is_active) count_cluster(start, is_compressed, expected);
    }
    return {};
  }

  void count_cluster(u64 start, bool is_compressed, u64& expected) {
    ++result_.allocated_clusters;
    if (is_compressed) {
      ++result_.compressed_clusters;
      ++result_.fragmented_clusters;
      return;
    }
    if (expected != 0 && start != expected) ++result_.fragmented_clusters;
    expected = start + h_.cluster_bytes();
  }

  // An entry that leads nowhere: a repair makes it "not stored".
  Result<void> forget_entry(u64 where, u64 bytes, std::string problem) {
    corruption(repairs_errors(), std::move(problem));
    if (!repairs_errors()) return {};
    return file_.write_flat(where, std::vector<u8>(bytes));
  }

  // Bitmaps that were not looked into hold clusters that nobody counted; those only look leaked.
  Result<void> compare_counts() {
    const u64 end_of_file = h_.clusters_for(file_.size_bytes());
    u64 place = std::max<u64>(counts_.size(), end_of_file);
    const u64 end = std::max(place, std::min(refcounts_.end_of_counts(), kMaxCountedClusters));
    for (u64 c = 0; c < end; ++c) {
      auto now = refcounts_.count(c);
      if (!now) return now.error();
      const u64 wanted = std::min<u64>(c < counts_.size() ? counts_[c] : 0, refcounts_.max_count());
      if (wanted != 0) result_.end_offset = (c + 1) << h_.cluster_bits;
      const bool is_new_block = c >= counts_.size() && metadata_.contains(c);
      if (*now == wanted || is_new_block) continue;
      const bool is_leak = *now > wanted;
      const bool fix = is_leak ? repairs_anything() : repairs_errors();
      const std::string text =
          fmt::format("cluster {} counts {} references, and has {}", c, *now, wanted);
      if (is_leak) {
        note((fix ? "repaired: leaked " : "leaked: ") + text);
        ++(fix ? result_.leaks_fixed : result_.leaks);
      } else {
        corruption(fix, text);
      }
      if (fix) EMU_TRY(refcounts_.set(c, wanted, place));
    }
    return {};
  }

  // An entry's "copied" flag says that its count is exactly one.
  Result<void> check_copied_flags() {
    auto l1 = walker_.read_table(h_.l1_offset, h_.l1_entries);
    if (!l1) return l1.error();
    for (u64 i = 0; i < l1->size(); ++i) {
      const u64 table = (*l1)[i] & kEntryOffsetMask;
      if (table == 0 || table % h_.cluster_bytes() != 0 || !is_possible(table, h_.cluster_bytes()))
        continue;
      EMU_TRY(check_table_flags(table));
      EMU_TRY(check_flag(h_.l1_offset + i * kEntryBytes, (*l1)[i], table));
    }
    return {};
  }

  Result<void> check_table_flags(u64 table) {
    if (h_.external_data()) return {};
    auto l2 = walker_.read_l2(table);
    if (!l2) return l2.error();
    for (u64 i = 0; i < l2->size(); ++i) {
      const u64 entry = (*l2)[i];
      const u64 host = entry & kEntryOffsetMask;
      if ((entry & kEntryCompressed) == 0 && host != 0 && is_possible(host, 1))
        EMU_TRY(check_flag(table + i * h_.l2_entry_bytes(), entry, host));
    }
    return {};
  }

  Result<void> check_flag(u64 where, u64 entry, u64 host) {
    auto now = refcounts_.count(host >> h_.cluster_bits);
    if (!now) return now.error();
    const u64 fixed = *now == 1 ? entry | kEntryCopied : entry & ~kEntryCopied;
    if (fixed == entry) return {};
    corruption(repairs_errors(),
               fmt::format("the \"copied\" flag at {} is wrong: its cluster counts {} references",
                           where, *now));
    if (!repairs_errors()) return {};
    u8 bytes[8];
    store_be<u64>(bytes, fixed);
    return file_.write_flat(where, bytes);
  }

  // The image is sound now: it is neither dirty nor, after a full repair, corrupt.
  Result<void> clear_marks() {
    EMU_TRY(file_.flush());
    if (h_.version < 3 || result_.corruptions != 0) return {};
    u64 marks = h_.incompatible;
    if (repairs_errors()) marks &= ~(kIncompatibleDirty | kIncompatibleCorrupt);
    if (marks == h_.incompatible) return {};
    u8 field[8];
    store_be<u64>(field, marks);
    EMU_TRY(file_.write_flat(kOffIncompatible, field));
    return file_.flush();
  }

  ByteFile& file_;
  const Header& h_;
  RepairMode mode_;
  Walker walker_;
  MetadataMap metadata_;
  Refcounts refcounts_;
  std::vector<u32> counts_;
  CheckResult result_;
};

// The number of the last cluster that counts as used, or 0: a hint that costs two reads.
Result<u64> last_counted_cluster(ByteFile& file, const Header& h) {
  std::vector<u8> bytes(u64{h.refcount_table_clusters} << h.cluster_bits);
  EMU_TRY(file.read_flat(h.refcount_table_offset, bytes));
  std::vector<u64> table(bytes.size() / kEntryBytes);
  for (u64 i = 0; i < table.size(); ++i) table[i] = load_be<u64>(&bytes[i * kEntryBytes]);
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

Result<CheckResult> check_image(ByteFile& file, const Header& header, RepairMode mode) {
  return Check(file, header, mode).run();
}

Result<void> repair_refcounts(ByteFile& file, const Header& header) {
  auto done = Check(file, header, RepairMode::kAll).run();
  if (!done) return done.error();
  return {};
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
    auto l2 = walker.read_l2(table);
    if (!l2) return l2.error();
    for (const u64 entry : *l2) walker.each_use(entry, check);
    if (is_beyond) return true;
  }
  return false;
}

}  // namespace emu::qcow2
