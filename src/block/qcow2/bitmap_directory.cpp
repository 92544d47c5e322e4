// SPDX-License-Identifier: Apache-2.0
// Bitmaps come, go and change their size: another directory is written beside the old one.
// Crash order: the new directory and its tables are counted and stable before the header leads to
// them, and the old ones are freed after it no longer does.
#include <algorithm>
#include <unordered_set>

#include "base/bits.h"
#include "block/qcow2/bitmaps.h"

namespace emu::qcow2 {
namespace {

void append_number(std::vector<u8>& out, u64 value, unsigned bytes) {
  for (unsigned i = bytes; i-- != 0;) out.push_back(static_cast<u8>(value >> (8 * i)));
}

// The directory's bytes for a place in the file, which the entries learn.
std::vector<u8> directory_bytes(std::vector<Bitmap>& bitmaps) {
  std::vector<u8> out;
  for (Bitmap& b : bitmaps) {
    b.directory_at = out.size();
    append_number(out, b.table_offset, 8);
    append_number(out, b.table.size(), 4);
    append_number(out, b.flags, 4);
    append_number(out, b.type, 1);
    append_number(out, b.granularity_bits, 1);
    append_number(out, b.name.size(), 2);
    append_number(out, b.extra.size(), 4);
    out.insert(out.end(), b.extra.begin(), b.extra.end());
    out.insert(out.end(), b.name.begin(), b.name.end());
    out.resize(align_up(out.size(), 8));
  }
  return out;
}

// Leads the header to a directory, or to none.
void set_extension(Header& h, u32 count, u64 offset, u64 bytes) {
  std::erase_if(h.extensions, [](const Extension& e) { return e.type == kExtensionBitmaps; });
  h.bitmaps = count;
  h.bitmap_directory_offset = offset;
  h.bitmap_directory_bytes = bytes;
  h.autoclear = count == 0 ? h.autoclear & ~kAutoclearBitmaps : h.autoclear | kAutoclearBitmaps;
  if (count == 0) return;
  std::vector<u8> data;
  append_number(data, count, 4);
  append_number(data, 0, 4);
  append_number(data, bytes, 8);
  append_number(data, offset, 8);
  h.extensions.push_back({kExtensionBitmaps, std::move(data)});
}

}  // namespace

// Every cluster of the directory, the tables and the bits.
std::vector<u64> BitmapKeeper::clusters_of(const std::vector<Bitmap>& bitmaps,
                                           const Header& h) const {
  std::vector<u64> clusters;
  if (bitmaps.empty()) return clusters;
  const auto add = [&](u64 offset, u64 bytes) {
    for (u64 i = 0; i < h.clusters_for(bytes); ++i)
      clusters.push_back((offset >> h.cluster_bits) + i);
  };
  add(h.bitmap_directory_offset, h.bitmap_directory_bytes);
  for (const Bitmap& b : bitmaps) {
    add(b.table_offset, b.table.size() * kEntryBytes);
    for (const u64 entry : b.table) {
      if (const u64 host = entry & kEntryOffsetMask; host != 0) add(host, 1);
    }
  }
  return clusters;
}

Result<void> BitmapKeeper::resize(u64 disk_bytes, Refcounts& refcounts, MetadataMap& metadata) {
  std::vector<Bitmap> wanted = bitmaps_;
  bool any = false;
  for (Bitmap& b : wanted) {
    if (!b.is_held) continue;
    const u64 entries = bitmap_table_entries(header_, b.granularity_bits, disk_bytes);
    if (entries != b.table.size()) {
      b.table.resize(entries);
      b.table_offset = 0;
      any = true;
    }
    EMU_TRY(cut_bits(b, disk_bytes));
  }
  return any ? replace(std::move(wanted), refcounts, metadata) : Result<void>();
}

// Bits behind the disk's end must not come to light when it grows again.
Result<void> BitmapKeeper::cut_bits(Bitmap& b, u64 disk_bytes) {
  const u64 bits = (disk_bytes + low_mask(b.granularity_bits)) >> b.granularity_bits;
  const u64 host = b.table.back() & kEntryOffsetMask;
  const u64 inside = bits - (b.table.size() - 1) * header_.cluster_bytes() * 8;
  if (host == 0 || inside >= header_.cluster_bytes() * 8) return {};
  std::vector<u8> bytes(header_.cluster_bytes());
  EMU_TRY(file_.read_flat(host, bytes));
  if (inside % 8 != 0) bytes[inside / 8] &= static_cast<u8>(low_mask(inside % 8));
  std::fill(bytes.begin() + static_cast<std::ptrdiff_t>((inside + 7) / 8), bytes.end(), u8{0});
  return file_.write_flat(host, bytes);
}

Result<void> BitmapKeeper::place_table(Bitmap& b, Refcounts& refcounts) {
  const u64 clusters = header_.clusters_for(b.table.size() * kEntryBytes);
  auto first = refcounts.allocate_in_a_row(clusters);
  if (!first) return first.error();
  b.table_offset = *first << header_.cluster_bits;
  std::vector<u8> bytes(clusters << header_.cluster_bits);
  for (u64 i = 0; i < b.table.size(); ++i) store_be<u64>(&bytes[i * kEntryBytes], b.table[i]);
  return file_.write_flat(b.table_offset, bytes);
}

Result<void> BitmapKeeper::write_directory(std::vector<Bitmap>& wanted, Refcounts& refcounts,
                                           Header& next) {
  for (Bitmap& b : wanted) {
    if (b.table_offset == 0) EMU_TRY(place_table(b, refcounts));
  }
  std::vector<u8> directory = directory_bytes(wanted);
  if (directory.empty()) {
    set_extension(next, 0, 0, 0);
    return {};
  }
  const u64 bytes = directory.size();
  const u64 clusters = header_.clusters_for(bytes);
  auto first = refcounts.allocate_in_a_row(clusters);
  if (!first) return first.error();
  const u64 offset = *first << header_.cluster_bits;
  directory.resize(clusters << header_.cluster_bits);
  EMU_TRY(file_.write_flat(offset, directory));
  for (Bitmap& b : wanted) b.directory_at += offset;
  set_extension(next, static_cast<u32>(wanted.size()), offset, bytes);
  return {};
}

Result<void> BitmapKeeper::replace(std::vector<Bitmap> wanted, Refcounts& refcounts,
                                   MetadataMap& metadata) {
  auto next = read_header(file_);
  if (!next) return next.error();
  EMU_TRY(write_directory(wanted, refcounts, *next));
  EMU_TRY(refcounts.commit());
  EMU_TRY(file_.flush());
  EMU_TRY(write_header(file_, *next));
  EMU_TRY(file_.flush());
  const std::vector<u64> before = clusters_of(bitmaps_, header_);
  const std::vector<u64> now = clusters_of(wanted, *next);
  const std::unordered_set<u64> used(now.begin(), now.end());
  for (const u64 cluster : before) {
    if (used.contains(cluster)) continue;
    metadata.remove(cluster);
    if (auto released = refcounts.release(cluster); !released) return released.error();
  }
  for (const u64 cluster : now) static_cast<void>(metadata.add(cluster));
  header_.extensions = next->extensions;
  header_.autoclear = next->autoclear;
  header_.bitmaps = next->bitmaps;
  header_.bitmap_directory_offset = next->bitmap_directory_offset;
  header_.bitmap_directory_bytes = next->bitmap_directory_bytes;
  bitmaps_ = std::move(wanted);
  pending_.assign(bitmaps_.size(), {});
  return refcounts.commit();
}

}  // namespace emu::qcow2
