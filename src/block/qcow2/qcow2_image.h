// SPDX-License-Identifier: Apache-2.0
// A qcow2 image, version 2 or 3, over an optional backing image.
// Source: QEMU docs/interop/qcow2.rst.
// Threads: any. Reads and overwrites in place share the lock; whatever changes the mapping has it
// alone.
// Crash order: data and refcounts are on stable storage before an L2 entry refers to them, L2
// tables before the L1 table does, and a cluster is freed only after the last reference to it is
// gone. A crash at any point leaks clusters at worst.
// Not modelled: writing images of the old AES kind.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <shared_mutex>

#include "block/crypt/crypt_file.h"
#include "block/disk_image.h"
#include "block/qcow2/bitmaps.h"
#include "block/qcow2/decompress.h"
#include "block/qcow2/qcow2_header.h"
#include "block/qcow2/refcounts.h"

namespace emu::qcow2 {

class Qcow2Image final : public DiskImage {
 public:
  // `header` comes from read_header(*file); `backing` may be null; `data` is the
  // external data file, if the header asks for one. A writable image that was not
  // closed properly has its refcounts repaired here. Errors: damaged or truncated tables, an image
  // marked corrupt that is to be written.
  [[nodiscard]] static Result<std::unique_ptr<Qcow2Image>> open(
      std::unique_ptr<ByteFile> file, Header header, std::unique_ptr<DiskImage> backing,
      std::unique_ptr<ByteFile> data = nullptr,
      std::unique_ptr<crypt::SectorCipher> cipher = nullptr);
  // Brings all metadata to the file.
  ~Qcow2Image() override;

  [[nodiscard]] u64 size_bytes() const override { return header_.size_bytes; }
  [[nodiscard]] bool read_only() const override { return file_->read_only(); }
  [[nodiscard]] std::string describe() const override;
  Result<void> read(u64 offset, Pieces out) override;
  [[nodiscard]] bool read_at_once(u64 offset, Pieces out) override;
  [[nodiscard]] std::optional<HostPlace> place(bool is_write, u64 offset, Pieces pieces) override;
  Result<void> write(u64 offset, Pieces in) override;
  Result<void> write_zeroes(u64 offset, u64 length_bytes) override;
  Result<void> discard(u64 offset, u64 length_bytes) override;
  Result<void> flush() override;

  Result<MapExtent> map(u64 offset, u64 max_bytes) override;
  [[nodiscard]] DiskImage* backing() override { return backing_.get(); }
  [[nodiscard]] ImageInfo info() const override;
  Result<void> resize(u64 size_bytes) override;
  Result<void> write_compressed(u64 offset, std::span<const u8> cluster) override;
  Result<void> make_empty() override;

  // Gives every cluster a place, without writing data (preallocation).
  Result<void> preallocate();
  // Internal snapshots. `tag` is an id or a name. Errors: none or two of that name; counts too
  // narrow; the host's.
  Result<void> make_snapshot(const std::string& name);
  Result<void> apply_snapshot(const std::string& tag);
  Result<void> delete_snapshot(const std::string& tag);
  // Bitmaps. Errors: none of that name, or one already; a damaged one; the host's.
  Result<void> add_bitmap(const std::string& name, u64 granularity_bytes, bool records);
  Result<void> remove_bitmap(const std::string& name);
  Result<void> clear_bitmap(const std::string& name);
  Result<void> set_bitmap_records(const std::string& name, bool records);
  // Sets the bits for what is set in a bitmap of `source`, which may be this image.
  Result<void> merge_bitmap(const std::string& name, Qcow2Image& source,
                            const std::string& source_name);
  // Names another backing file, without looking at it; empty: none.
  Result<void> change_backing_name(const std::string& name, const std::string& format);

 private:
  enum class Kind : u8 { kUnallocated, kZero, kData, kCompressed };
  // What the L2 table says of one cluster. `bitmap`: extended entries only; bits 0..31 "stored",
  // bits 32..63 "reads as zero", by subcluster.
  struct Entry {
    u64 word = 0;
    u64 bitmap = 0;
    bool operator==(const Entry&) const = default;
  };
  // A stretch of the disk that is stored in one way.
  struct Extent {
    Kind kind = Kind::kUnallocated;
    Entry entry;          // of its first cluster
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

  Qcow2Image(std::unique_ptr<ByteFile> file, std::unique_ptr<ByteFile> data, Header header,
             std::unique_ptr<DiskImage> backing, std::unique_ptr<crypt::SectorCipher> cipher);
  Result<void> load();
  Result<void> load_l1();
  [[nodiscard]] Error damaged_text(const std::string& what) const;
  template <class... A>
  [[nodiscard]] Error damaged(fmt::format_string<A...> what, A&&... a) const {
    return damaged_text(fmt::format(what, std::forward<A>(a)...));
  }

  // Lookup (either lock).
  [[nodiscard]] Kind kind_of(const Entry& entry, u64 unit) const;
  [[nodiscard]] u64 l1_index(u64 offset) const { return offset / header_.l2_covers_bytes(); }
  [[nodiscard]] u64 l2_index(u64 offset) const {
    return (offset >> header_.cluster_bits) & (header_.l2_entries() - 1);
  }
  [[nodiscard]] u64 in_cluster(u64 offset) const { return offset & (header_.cluster_bytes() - 1); }
  [[nodiscard]] Entry decode_entry(const u8* bytes) const;
  Result<Entry> read_entry(u64 offset);
  enum class Tables : u8 { kLoad, kOnlyCached };  // kOnlyCached: EAGAIN for one that is not
  Result<Extent> find(u64 offset, u64 max_bytes, Tables tables = Tables::kLoad);
  Result<void> check_data(u64 host) const;
  Result<void> read_mapped(u64 offset, Pieces out);
  Result<void> read_extent(const Extent& extent, u64 offset, Pieces out);
  Result<void> read_backing(u64 offset, Pieces out);
  Result<void> read_compressed(u64 word, u64 inside, Pieces out);
  [[nodiscard]] bool shows_backing(u64 offset) const {
    return backing_ != nullptr && offset < backing_->size_bytes();
  }
  [[nodiscard]] ByteFile& stored_data() const { return data_ ? *data_ : *file_; }
  [[nodiscard]] ByteFile& data_file() const { return crypt_ ? *crypt_ : stored_data(); }
  Result<void> read_old_aes(u64 host_offset, u64 offset, Pieces out);

  // Change (exclusive lock).
  Result<void> prepare_to_write();
  Result<void> hold_all_bitmaps();
  Result<void> change_bitmaps(const std::string& name, bool must_be_sound,
                              const std::function<void(std::vector<Bitmap>&, std::size_t)>& change);
  Result<std::size_t> find_bitmap(const std::string& name, bool must_be_sound) const;
  [[nodiscard]] u64 overwritable_bytes(const Extent& extent, u64 offset) const;
  [[nodiscard]] bool is_owned(const Entry& entry) const;
  Result<u64> write_new_run(u64 offset, u64 max_bytes, PieceCursor& cursor);
  Result<void> write_one(u64 offset, Pieces in);
  Result<void> write_units(const Entry& old, u64 target, u64 offset, Pieces in);
  Result<void> write_filled(u64 target, u64 offset, u64 from, u64 to, Pieces in);
  Result<bool> reads_zero(u64 offset, u64 length_bytes);
  Result<u64> allocate_data(u64 offset);
  void release_data(u64 host);
  Result<void> own_l2_table(u64 offset);
  Result<void> copy_table(u64 from, u64 to);
  Result<void> set_entry(u64 offset, const Entry& entry);
  void free_entry(const Entry& entry, bool give_back);
  Result<void> zero_range(u64 offset, u64 length_bytes, ZeroMode mode);
  Result<void> zero_cluster(u64 offset, ZeroMode mode);
  Result<void> zero_units(u64 offset, u64 length_bytes);
  Result<void> write_zero_bytes(u64 offset, u64 length_bytes);
  Result<u64> place_packed(std::span<const u8> packed);
  Result<void> commit();
  Result<void> commit_if_crowded();
  Result<void> write_l1();
  void free_unreferenced();
  Error corrupt(const std::string& what);
  Result<void> grow_l1(u64 entries);
  Result<void> cut_tail(u64 size_bytes);
  // Runs `change` on the quiet file, under the dirty bit, and takes over what it made.
  template <class F>
  Result<void> change_offline(F&& change);
  Result<void> reload();

  std::unique_ptr<ByteFile> file_;
  std::unique_ptr<ByteFile> data_;  // null: data lies in file_
  Header header_;
  std::unique_ptr<DiskImage> backing_;
  std::unique_ptr<crypt::CryptFile> crypt_;  // LUKS: the data as the guest sees it
  std::unique_ptr<crypt::SectorCipher> old_aes_;
  UnpackedClusters unpacked_;

  std::shared_mutex lock_;  // guards what follows
  std::vector<u64> l1_;
  u64 l1_dirty_from_ = 0;  // entries; clean if from >= to
  u64 l1_dirty_to_ = 0;
  MetadataMap metadata_;
  BitmapKeeper bitmaps_;
  std::optional<TableCache> l2_;
  std::optional<Refcounts> refcounts_;
  std::vector<FreedCluster> freed_;  // referenced until the next commit
  u64 packed_at_ = 0;                // where the next compressed cluster may begin; 0: nowhere yet
  std::atomic<bool> prepared_{false};
  std::atomic<bool> is_corrupt_{false};
};

// The cipher of an encrypted image; null without encryption, or without a passphrase. Errors: the
// passphrase is wrong; the LUKS header is damaged or has what is not supported.
[[nodiscard]] Result<std::unique_ptr<crypt::SectorCipher>> unlock(ByteFile& file,
                                                                  const Header& header,
                                                                  const std::string& passphrase);

// Changes to the snapshot table of an image that nobody uses meanwhile; the header in the file is
// switched over when everything it leads to is on stable storage.
[[nodiscard]] Result<void> add_snapshot(ByteFile& file, const Header& header,
                                        const std::string& name);
[[nodiscard]] Result<void> revert_to_snapshot(ByteFile& file, const Header& header,
                                              const std::string& tag);
[[nodiscard]] Result<void> remove_snapshot(ByteFile& file, const Header& header,
                                           const std::string& tag);

}  // namespace emu::qcow2
