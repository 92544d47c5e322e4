// SPDX-License-Identifier: Apache-2.0
// A qcow2 image, version 2 or 3, over an optional backing image.
// Source: QEMU docs/interop/qcow2.rst.
// Threads: any. Reads and overwrites in place share the lock; whatever changes the mapping has it
// alone.
// Crash order: data and refcounts are on stable storage before an L2 entry refers to them, L2
// tables before the L1 table does, and a cluster is freed only after the last reference to it is
// gone. A crash at any point leaks clusters at worst.
// Not modelled: encryption, external data files, extended L2 entries, making snapshots, resizing,
// writing compressed clusters (they are read, and written anew uncompressed).
#pragma once

#include <atomic>
#include <memory>
#include <shared_mutex>

#include "block/disk_image.h"
#include "block/qcow2/decompress.h"
#include "block/qcow2/qcow2_header.h"
#include "block/qcow2/refcounts.h"

namespace emu::qcow2 {

class Qcow2Image final : public DiskImage {
 public:
  // `header` comes from read_header(*file); `backing` may be null. A writable image that was not
  // closed properly has its refcounts repaired here. Errors: damaged or truncated tables, an image
  // marked corrupt that is to be written.
  [[nodiscard]] static Result<std::unique_ptr<Qcow2Image>> open(std::unique_ptr<ByteFile> file,
                                                                Header header,
                                                                std::unique_ptr<DiskImage> backing);
  // Brings all metadata to the file.
  ~Qcow2Image() override;

  [[nodiscard]] u64 size_bytes() const override { return header_.size_bytes; }
  [[nodiscard]] bool read_only() const override { return file_->read_only(); }
  [[nodiscard]] std::string describe() const override;
  Result<void> read(u64 offset, Pieces out) override;
  Result<void> write(u64 offset, Pieces in) override;
  Result<void> write_zeroes(u64 offset, u64 length_bytes) override;
  Result<void> discard(u64 offset, u64 length_bytes) override;
  Result<void> flush() override;

 private:
  enum class Kind : u8 { kUnallocated, kZero, kData, kCompressed };
  // A stretch of the disk that is stored in one way.
  struct Extent {
    Kind kind = Kind::kUnallocated;
    u64 entry = 0;        // of its first cluster
    u64 host_offset = 0;  // kData: of its first byte
    u64 length_bytes = 0;
    bool in_place = false;  // kData: nobody else refers to it
  };
  struct FreedCluster {
    u64 cluster;
    bool is_table;
    bool give_back;  // the host may have the space
  };
  enum class ZeroMode : u8 { kMustReadZero, kMayKeep };

  Qcow2Image(std::unique_ptr<ByteFile> file, Header header, std::unique_ptr<DiskImage> backing);
  Result<void> load();
  Result<void> load_l1();
  [[nodiscard]] Error damaged_text(const std::string& what) const;
  template <class... A>
  [[nodiscard]] Error damaged(fmt::format_string<A...> what, A&&... a) const {
    return damaged_text(fmt::format(what, std::forward<A>(a)...));
  }

  // Lookup (either lock).
  [[nodiscard]] Kind kind_of(u64 entry) const;
  [[nodiscard]] u64 l1_index(u64 offset) const { return offset / header_.l2_covers_bytes(); }
  [[nodiscard]] u64 l2_index(u64 offset) const {
    return (offset >> header_.cluster_bits) & (header_.l2_entries() - 1);
  }
  [[nodiscard]] u64 in_cluster(u64 offset) const { return offset & (header_.cluster_bytes() - 1); }
  Result<Extent> find(u64 offset, u64 max_bytes);
  Result<void> check_data(u64 entry) const;
  Result<void> read_extent(const Extent& extent, u64 offset, Pieces out);
  Result<void> read_backing(u64 offset, Pieces out);
  Result<void> read_compressed(u64 entry, u64 inside, Pieces out);
  [[nodiscard]] bool shows_backing(u64 offset) const {
    return backing_ != nullptr && offset < backing_->size_bytes();
  }

  // Change (exclusive lock).
  Result<void> prepare_to_write();
  [[nodiscard]] u64 overwritable_bytes(const Extent& extent, u64 offset) const;
  Result<void> write_one(u64 offset, Pieces in);
  Result<void> write_new_cluster(const Extent& old, u64 offset, Pieces in);
  Result<void> fill_cluster(u64 target, bool is_stale, const Extent& old, u64 offset, Pieces in);
  Result<void> own_l2_table(u64 offset);
  Result<void> copy_table(u64 from, u64 to);
  Result<void> set_entry(u64 offset, u64 entry);
  void free_entry(u64 entry, bool give_back);
  Result<void> zero_range(u64 offset, u64 length_bytes, ZeroMode mode);
  Result<void> zero_cluster(u64 offset, ZeroMode mode);
  Result<void> write_zero_bytes(u64 offset, u64 length_bytes);
  Result<void> commit();
  Result<void> commit_if_crowded();
  Result<void> write_l1();
  void free_unreferenced();
  Error corrupt(const std::string& what);

  std::unique_ptr<ByteFile> file_;
  Header header_;
  std::unique_ptr<DiskImage> backing_;
  UnpackedClusters unpacked_;

  std::shared_mutex lock_;  // guards what follows
  std::vector<u64> l1_;
  u64 l1_dirty_from_ = 0;  // entries; clean if from >= to
  u64 l1_dirty_to_ = 0;
  MetadataMap metadata_;
  TableCache l2_;
  Refcounts refcounts_;
  std::vector<FreedCluster> freed_;  // referenced until the next commit
  std::atomic<bool> prepared_{false};
  std::atomic<bool> is_corrupt_{false};
};

// Rebuilds the refcounts and "copied" flags of an image whose dirty bit is set, then clears the
// bit. Errors: the host's; tables outside the file; too many tables for a quick repair.
[[nodiscard]] Result<void> repair_refcounts(ByteFile& file, const Header& header);

// Whether some cluster that the active L1 table leads to starts beyond the file's end.
[[nodiscard]] Result<bool> is_truncated(ByteFile& file, const Header& header);

}  // namespace emu::qcow2
