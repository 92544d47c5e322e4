// SPDX-License-Identifier: Apache-2.0
// Making, removing and merging a qcow2 image's bitmaps.
// Source: qemu-img(1) "bitmap".
#include <algorithm>
#include <bit>
#include <mutex>

#include "base/bits.h"
#include "block/qcow2/qcow2_image.h"

namespace emu::qcow2 {

// Before what concerns every bitmap: all are "in use", and nothing is only in memory.
Result<void> Qcow2Image::hold_all_bitmaps() {
  if (bitmaps_.all().empty()) return {};
  EMU_TRY(bitmaps_.hold(BitmapKeeper::Which::kAll));
  EMU_TRY(commit());
  return bitmaps_.store(*refcounts_, metadata_);
}

Result<std::size_t> Qcow2Image::find_bitmap(const std::string& name, bool must_be_sound) const {
  const auto& all = bitmaps_.all();
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const Bitmap& b) { return b.name == name; });
  if (found == all.end())
    return fail("{} has no bitmap {}; list them: emu img info {}", file_->path(), name,
                file_->path());
  if (must_be_sound && found->is_inconsistent())
    return fail(
        "the bitmap {} of {} is inconsistent: its writer crashed; remove it: emu img bitmap "
        "--remove {} {}",
        name, file_->path(), file_->path(), name);
  if (must_be_sound && !found->is_known())
    return fail("the bitmap {} of {} is of an unknown kind", name, file_->path());
  return static_cast<std::size_t>(found - all.begin());
}

Result<void> Qcow2Image::add_bitmap(const std::string& name, u64 granularity_bytes, bool records) {
  if (header_.version < 3)
    return fail("{} is a qcow2 image of version 2, which cannot have bitmaps; convert it",
                file_->path());
  if (name.empty() || name.size() > kMaxBitmapNameBytes)
    return fail("a bitmap's name has 1 to {} bytes", kMaxBitmapNameBytes);
  if (!std::has_single_bit(granularity_bytes) ||
      granularity_bytes < u64{1} << kMinBitmapGranularityBits ||
      granularity_bytes > u64{1} << kMaxBitmapGranularityBits)
    return fail("a bitmap's granularity is a power of two from 512 bytes to 2 GiB");
  const std::unique_lock lock(lock_);
  if (find_bitmap(name, false)) return fail("{} already has a bitmap {}", file_->path(), name);
  EMU_TRY(prepare_to_write());
  EMU_TRY(hold_all_bitmaps());
  Bitmap fresh;
  fresh.name = name;
  fresh.flags = kBitmapInUse | (records ? kBitmapAuto : 0);
  fresh.is_held = true;
  fresh.granularity_bits = static_cast<unsigned>(std::countr_zero(granularity_bytes));
  const u64 entries = bitmap_table_entries(header_, fresh.granularity_bits, size_bytes());
  if (entries << header_.cluster_bits > kMaxBitmapBytes)
    return fail("a bitmap of {} would be too large; use a coarser granularity (-g)",
                size_text(entries << header_.cluster_bits));
  fresh.table.resize(entries);
  std::vector<Bitmap> wanted = bitmaps_.all();
  wanted.push_back(std::move(fresh));
  return bitmaps_.replace(std::move(wanted), *refcounts_, metadata_);
}

// Stores the bitmaps as `change` leaves a copy of them; it is told which one has the name.
Result<void> Qcow2Image::change_bitmaps(
    const std::string& name, bool must_be_sound,
    const std::function<void(std::vector<Bitmap>&, std::size_t)>& change) {
  const std::unique_lock lock(lock_);
  auto index = find_bitmap(name, must_be_sound);
  if (!index) return index.error();
  EMU_TRY(prepare_to_write());
  EMU_TRY(hold_all_bitmaps());
  std::vector<Bitmap> wanted = bitmaps_.all();
  change(wanted, *index);
  return bitmaps_.replace(std::move(wanted), *refcounts_, metadata_);
}

Result<void> Qcow2Image::remove_bitmap(const std::string& name) {
  return change_bitmaps(name, false, [](std::vector<Bitmap>& all, std::size_t index) {
    all.erase(all.begin() + static_cast<std::ptrdiff_t>(index));
  });
}

Result<void> Qcow2Image::clear_bitmap(const std::string& name) {
  return change_bitmaps(name, true, [](std::vector<Bitmap>& all, std::size_t index) {
    std::fill(all[index].table.begin(), all[index].table.end(), u64{0});
    all[index].table_offset = 0;
  });
}

Result<void> Qcow2Image::set_bitmap_records(const std::string& name, bool records) {
  return change_bitmaps(name, true, [records](std::vector<Bitmap>& all, std::size_t index) {
    u32& flags = all[index].flags;
    flags = records ? flags | kBitmapAuto : flags & ~kBitmapAuto;
  });
}

Result<void> Qcow2Image::merge_bitmap(const std::string& name, Qcow2Image& source,
                                      const std::string& source_name) {
  auto from = source.find_bitmap(source_name, true);
  if (!from) return from.error();
  const std::unique_lock lock(lock_);
  auto to = find_bitmap(name, true);
  if (!to) return to.error();
  if (source.size_bytes() != size_bytes())
    return fail("{} and {} have different sizes, so their bitmaps cannot be merged", file_->path(),
                source.file_->path());
  EMU_TRY(prepare_to_write());
  EMU_TRY(hold_all_bitmaps());
  EMU_TRY(each_set_range(*source.file_, source.header_, source.bitmaps_.all()[*from],
                         [&](u64 start, u64 bytes) { bitmaps_.mark_in(*to, start, bytes); }));
  return bitmaps_.store(*refcounts_, metadata_);
}

}  // namespace emu::qcow2
