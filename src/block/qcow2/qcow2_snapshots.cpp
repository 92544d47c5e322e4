// SPDX-License-Identifier: Apache-2.0
// Making, applying and deleting internal snapshots.
// Source: qcow2 spec: snapshots, "copied" flags.
// Crash order: references are counted before the header leads to them and uncounted after it no
// longer does; the header changes in one sector. Meanwhile counts may be too high and "copied"
// flags behind them, which the dirty bit has repaired.
#include <algorithm>
#include <cerrno>
#include <chrono>

#include "block/qcow2/qcow2_image.h"
#include "block/qcow2/qcow2_walker.h"

namespace emu::qcow2 {
namespace {

constexpr u64 kSnapshotExtraBytes = 24;  // VM state size, disk size, instruction count
constexpr u64 kNoInstructionCount = ~u64{0};

class SnapshotChange {
 public:
  SnapshotChange(ByteFile& file, const Header& header)
      : file_(file), h_(header), walker_(file, header), refcounts_(file, header, metadata_) {}

  Result<void> add(const std::string& name) {
    EMU_TRY(start());
    for (const Snapshot& s : h_.snapshots) {
      if (s.about.name == name)
        return fail("{} already has a snapshot named {}", file_.path(), name);
    }
    if (name.size() > 255) return fail("a snapshot's name may have 255 bytes at most");
    auto l1 = walker_.read_table(h_.l1_offset, h_.l1_entries);
    if (!l1) return l1.error();
    EMU_TRY(count_tree(*l1, Step::kRetain));
    EMU_TRY(refcounts_.commit());
    EMU_TRY(fix_flags(h_.l1_offset, *l1));
    for (u64& entry : *l1) entry &= ~kEntryCopied;
    auto copy = write_l1(*l1);
    if (!copy) return copy.error();
    std::vector<Snapshot> snapshots = h_.snapshots;
    snapshots.push_back(describe(name, *copy));
    return switch_table(snapshots);
  }

  Result<void> revert(const std::string& tag) {
    EMU_TRY(start());
    auto found = find_snapshot(h_, tag, file_.path());
    if (!found) return found.error();
    const Snapshot& s = h_.snapshots[*found];
    const u64 covers = h_.l2_covers_bytes();
    const u64 needed = s.about.disk_bytes / covers + (s.about.disk_bytes % covers != 0 ? 1 : 0);
    auto old_l1 = walker_.read_table(h_.l1_offset, h_.l1_entries);
    if (!old_l1) return old_l1.error();
    auto l1 = walker_.read_table(s.l1_offset, s.l1_entries);
    if (!l1) return l1.error();
    if (needed > l1->size()) return fail("{}: snapshot {} is damaged", file_.path(), tag);
    EMU_TRY(count_tree(*l1, Step::kRetain));
    for (u64& entry : *l1) entry &= ~kEntryCopied;
    auto place = write_l1(*l1);
    if (!place) return place.error();
    EMU_TRY(refcounts_.commit());
    EMU_TRY(file_.flush());
    // Size, encryption method, L1 entries and L1 offset are neighbours in one sector.
    u8 fields[kOffRefcountTableOffset - kOffSize];
    store_be<u64>(fields, s.about.disk_bytes);
    store_be<u32>(fields + 8, h_.crypt_method);
    store_be<u32>(fields + 12, static_cast<u32>(l1->size()));
    store_be<u64>(fields + 16, *place);
    EMU_TRY(file_.write_flat(kOffSize, fields));
    EMU_TRY(file_.flush());
    EMU_TRY(count_tree(*old_l1, Step::kRelease));
    EMU_TRY(release_range(h_.l1_offset, u64{h_.l1_entries} * kEntryBytes));
    EMU_TRY(refcounts_.commit());
    EMU_TRY(fix_flags(*place, *l1));
    return file_.flush();
  }

  Result<void> remove(const std::string& tag) {
    EMU_TRY(start());
    auto found = find_snapshot(h_, tag, file_.path());
    if (!found) return found.error();
    const Snapshot gone = h_.snapshots[*found];
    auto l1 = walker_.read_table(gone.l1_offset, gone.l1_entries);
    if (!l1) return l1.error();
    std::vector<Snapshot> snapshots = h_.snapshots;
    snapshots.erase(snapshots.begin() + static_cast<std::ptrdiff_t>(*found));
    EMU_TRY(switch_table(snapshots));
    EMU_TRY(count_tree(*l1, Step::kRelease));
    EMU_TRY(release_range(gone.l1_offset, u64{gone.l1_entries} * kEntryBytes));
    EMU_TRY(refcounts_.commit());
    auto active = walker_.read_table(h_.l1_offset, h_.l1_entries);
    if (!active) return active.error();
    EMU_TRY(fix_flags(h_.l1_offset, *active));
    return file_.flush();
  }

 private:
  enum class Step : u8 { kRetain, kRelease };

  Result<void> start() {
    metadata_.add_range(0, 1);
    return refcounts_.load();
  }

  Result<void> step(u64 cluster, Step step) {
    if (step == Step::kRetain) return refcounts_.retain(cluster);
    auto released = refcounts_.release(cluster);
    if (!released) return released.error();
    return {};
  }

  // One reference more or less for everything an L1 table leads to.
  Result<void> count_tree(const std::vector<u64>& l1, Step what) {
    for (const u64 l1_entry : l1) {
      const u64 table = l1_entry & kEntryOffsetMask;
      if (table == 0) continue;
      auto l2 = walker_.read_l2(table);
      if (!l2) return l2.error();
      Result<void> done;
      for (const u64 word : *l2) {
        walker_.each_use(word, [&](u64 offset, u64 length) {
          const u64 last = (offset + length - 1) >> h_.cluster_bits;
          for (u64 c = offset >> h_.cluster_bits; done && c <= last; ++c) done = step(c, what);
        });
        if (!done) return done;
      }
      EMU_TRY(step(table >> h_.cluster_bits, what));
    }
    return {};
  }

  Result<void> release_range(u64 offset, u64 length_bytes) {
    for (u64 c = 0; c < h_.clusters_for(length_bytes); ++c)
      EMU_TRY(step((offset >> h_.cluster_bits) + c, Step::kRelease));
    return {};
  }

  // "Copied" says that a count is exactly one; sets it so everywhere below the active L1 table.
  Result<void> fix_flags(u64 l1_offset, const std::vector<u64>& l1) {
    for (u64 i = 0; i < l1.size(); ++i) {
      const u64 table = l1[i] & kEntryOffsetMask;
      if (table == 0) continue;
      auto l2 = walker_.read_l2(table);
      if (!l2) return l2.error();
      for (u64 n = 0; n < l2->size(); ++n) {
        const u64 word = (*l2)[n];
        if ((word & kEntryCompressed) == 0 && (word & kEntryOffsetMask) != 0)
          EMU_TRY(fix_flag(table + n * h_.l2_entry_bytes(), word));
      }
      EMU_TRY(fix_flag(l1_offset + i * kEntryBytes, l1[i]));
    }
    return {};
  }

  Result<void> fix_flag(u64 where, u64 word) {
    auto count = refcounts_.count((word & kEntryOffsetMask) >> h_.cluster_bits);
    if (!count) return count.error();
    const u64 fixed = *count == 1 ? word | kEntryCopied : word & ~kEntryCopied;
    if (fixed == word) return {};
    u8 bytes[8];
    store_be<u64>(bytes, fixed);
    return file_.write_flat(where, bytes);
  }

  Result<u64> write_l1(const std::vector<u64>& l1) {
    if (l1.empty()) return u64{0};
    const u64 clusters = h_.clusters_for(l1.size() * kEntryBytes);
    auto first = refcounts_.allocate_in_a_row(clusters);
    if (!first) return first.error();
    std::vector<u8> bytes(clusters << h_.cluster_bits);
    for (u64 i = 0; i < l1.size(); ++i) store_be<u64>(&bytes[i * kEntryBytes], l1[i]);
    EMU_TRY(file_.write_flat(*first << h_.cluster_bits, bytes));
    return *first << h_.cluster_bits;
  }

  Snapshot describe(const std::string& name, u64 l1_offset) const {
    Snapshot s;
    s.l1_offset = l1_offset;
    s.l1_entries = h_.l1_entries;
    s.about.name = name;
    u64 id = 0;
    for (const Snapshot& other : h_.snapshots)
      id = std::max<u64>(id, std::strtoull(other.about.id.c_str(), nullptr, 10));
    s.about.id = std::to_string(id + 1);
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
    s.about.date_s = static_cast<u32>(ns / 1'000'000'000);
    s.about.date_ns = static_cast<u32>(ns % 1'000'000'000);
    s.extra.resize(kSnapshotExtraBytes);
    store_be<u64>(s.extra.data() + 8, h_.size_bytes);
    store_be<u64>(s.extra.data() + 16, kNoInstructionCount);
    return s;
  }

  // Writes a new snapshot table, leads the header to it and frees the old one.
  Result<void> switch_table(const std::vector<Snapshot>& snapshots) {
    const std::vector<u8> table = snapshot_table(snapshots);
    u64 offset = 0;
    if (!table.empty()) {
      auto first = refcounts_.allocate_in_a_row(h_.clusters_for(table.size()));
      if (!first) return first.error();
      offset = *first << h_.cluster_bits;
      EMU_TRY(file_.write_flat(offset, table));
      EMU_TRY(file_.grow(offset + (h_.clusters_for(table.size()) << h_.cluster_bits)));
    }
    EMU_TRY(refcounts_.commit());
    EMU_TRY(file_.flush());
    u8 fields[12];
    store_be<u32>(fields, static_cast<u32>(snapshots.size()));
    store_be<u64>(fields + 4, offset);
    EMU_TRY(file_.write_flat(kOffSnapshotCount, fields));
    EMU_TRY(file_.flush());
    EMU_TRY(release_range(h_.snapshots_offset, h_.snapshots_bytes));
    return refcounts_.commit();
  }

  ByteFile& file_;
  const Header& h_;
  Walker walker_;
  MetadataMap metadata_;
  Refcounts refcounts_;
};

}  // namespace

Result<void> add_snapshot(ByteFile& file, const Header& header, const std::string& name) {
  return SnapshotChange(file, header).add(name);
}

Result<void> revert_to_snapshot(ByteFile& file, const Header& header, const std::string& tag) {
  return SnapshotChange(file, header).revert(tag);
}

Result<void> remove_snapshot(ByteFile& file, const Header& header, const std::string& tag) {
  return SnapshotChange(file, header).remove(tag);
}

}  // namespace emu::qcow2
