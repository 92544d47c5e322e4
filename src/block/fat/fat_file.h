// SPDX-License-Identifier: Apache-2.0
// A host folder as a disk with one FAT partition, made up while it is read: "fat:FOLDER".
// Names, sizes and places are those of the moment when it was opened. A file's bytes are read when
// the guest reads them: what it lost since then reads as zero, what it gained does not show.
// Source: Microsoft "FAT: General Overview of On-Disk Format" 1.03; qemu(1) "fat:".
// Threads: any.
// Not modelled: writing; FAT12 floppies.
#pragma once

#include <list>
#include <memory>
#include <mutex>

#include "base/unique_fd.h"
#include "block/byte_file.h"
#include "block/fat/fat_tree.h"

namespace emu::fat {

// "fat:FOLDER", "fat:16:FOLDER", "fat:32:FOLDER".
[[nodiscard]] bool is_fat_name(const std::string& name);

class FatFile final : public ByteFile {
 public:
  // Errors: no such folder, one that does not fit into a FAT disk, an unknown kind.
  [[nodiscard]] static Result<std::unique_ptr<FatFile>> open(const std::string& name);

  [[nodiscard]] const std::string& path() const override { return name_; }
  [[nodiscard]] bool read_only() const override { return true; }
  [[nodiscard]] u64 size_bytes() const override { return total_sectors_ * kSectorBytes; }
  [[nodiscard]] u64 allocated_bytes() const override { return used_end(); }
  Result<void> read(u64 offset, Pieces out) override;
  Result<void> write(u64 offset, Pieces in) override;
  Result<void> write_zeroes(u64 offset, u64 length_bytes) override;
  Result<void> discard(u64, u64) override { return {}; }
  Result<void> grow(u64 size_bytes) override;
  Result<StoredRange> find_stored(u64 offset) override;
  Result<void> flush() override { return {}; }

 private:
  static constexpr u64 kSectorBytes = 512;
  enum class Kind : u8 { kAny, k16, k32 };
  struct OpenFile {
    std::size_t node;
    UniqueFd fd;
  };

  FatFile(std::string name, UniqueFd root) : name_(std::move(name)), root_(std::move(root)) {}
  Result<void> lay_out(Kind kind);
  [[nodiscard]] u64 place_nodes(u32 first_cluster);
  void write_heads();
  void fill_boot_sector(u8* sector) const;
  void enter_places();
  [[nodiscard]] const Node* node_at(u32 cluster) const;
  [[nodiscard]] u32 fat_entry(u32 cluster) const;
  void read_fat(u64 offset, std::span<u8> out) const;
  Result<void> read_data(u64 offset, std::span<u8> out);
  Result<void> read_host_file(std::size_t node, u64 offset, std::span<u8> out);
  Result<void> read_span(u64 offset, std::span<u8> out);
  Result<int> host_file(std::size_t node);
  [[nodiscard]] u64 cluster_bytes() const { return cluster_sectors_ * kSectorBytes; }
  [[nodiscard]] u64 used_end() const;

  std::string name_;
  UniqueFd root_;
  std::vector<Node> nodes_;
  std::vector<std::size_t> by_cluster_;  // nodes that have clusters, in their order
  bool is_32_ = false;
  u64 cluster_sectors_ = 0;
  u64 clusters_ = 0;
  u64 used_clusters_ = 0;
  u64 fat_sectors_ = 0;
  u64 total_sectors_ = 0;  // of the whole disk
  u64 fat_start_ = 0;      // bytes from the disk's start, as the next two
  u64 root_start_ = 0;     // FAT16: of the root directory, which lies before the data
  u64 data_start_ = 0;
  std::vector<u8> heads_;      // everything before the FATs
  std::mutex mutex_;           // guards the files
  std::list<OpenFile> files_;  // the last used first
};

}  // namespace emu::fat
