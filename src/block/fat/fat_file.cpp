// SPDX-License-Identifier: Apache-2.0
// Where everything lies on the disk, and reading it.
#include "block/fat/fat_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/bits.h"

namespace emu::fat {
namespace {

constexpr std::string_view kPrefix = "fat:";
constexpr u64 kPartitionSector = 63;
constexpr u64 kSmallDiskSectors = 1024 * 16 * 63;  // 504 MiB, as qemu's
constexpr u64 kRootEntries16 = 512;
constexpr u64 kReserved16 = 1;
constexpr u64 kReserved32 = 32;
constexpr u64 kMaxClusters16 = 65524;
constexpr u64 kMinClusters32 = 65525 + 16;
constexpr u64 kSmall32Bytes = 8 * kGiB;  // up to here clusters of 4 KiB
constexpr u64 kMaxSectors = 0xffffffff;
constexpr std::size_t kMaxOpenFiles = 8;
constexpr u32 kLastCluster = 0x0fffffff;
constexpr u8 kMediaByte = 0xf8;

}  // namespace

bool is_fat_name(const std::string& name) {
  return name.starts_with(kPrefix);
}

Result<std::unique_ptr<FatFile>> FatFile::open(const std::string& name) {
  std::string folder = name.substr(kPrefix.size());
  Kind kind = Kind::kAny;
  if (folder.starts_with("rw:") || folder.starts_with("floppy:") || folder.starts_with("12:"))
    return fail(
        "{}: a folder is shown as a read-only hard disk only; write fat:FOLDER, and add "
        "snapshot=on if the guest is to write to a copy",
        name);
  if (folder.starts_with("16:") || folder.starts_with("32:")) {
    kind = folder[0] == '1' ? Kind::k16 : Kind::k32;
    folder.erase(0, 3);
  }
  UniqueFd root(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root) return fail_errno(errno, "cannot open the folder {}", folder);
  std::unique_ptr<FatFile> file(new FatFile(name, std::move(root)));
  auto nodes = read_tree(file->root_.get(), folder);
  if (!nodes) return nodes.error();
  file->nodes_ = std::move(*nodes);
  EMU_TRY(make_directories(file->nodes_, folder));
  EMU_TRY(file->lay_out(kind));
  return file;
}

// Gives everything its clusters, one after the other; how many are used.
u64 FatFile::place_nodes(u32 next) {
  const u32 first = next;
  by_cluster_.clear();
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    Node& n = nodes_[i];
    u64 bytes = n.is_folder ? n.directory.size() : n.size_bytes;
    if (i == 0 && !is_32_) bytes = 0;
    n.clusters = static_cast<u32>((bytes + cluster_bytes() - 1) / cluster_bytes());
    n.first_cluster = n.clusters == 0 ? 0 : next;
    if (n.clusters != 0) by_cluster_.push_back(i);
    next += n.clusters;
  }
  return next - first;
}

Result<void> FatFile::lay_out(Kind kind) {
  u64 bytes = 0;
  for (const Node& n : nodes_) bytes += align_up(n.size_bytes, 32 * kKiB) + n.directory.size();
  if (bytes > kMaxSectors * kSectorBytes)
    return fail("{} holds more than the 2 TiB that a FAT disk can have", name_);
  total_sectors_ = kSmallDiskSectors;
  cluster_sectors_ = 16;
  used_clusters_ = place_nodes(2);
  fat_sectors_ = (kMaxClusters16 + 2) * 2 / kSectorBytes + 1;
  fat_start_ = (kPartitionSector + kReserved16) * kSectorBytes;
  root_start_ = fat_start_ + 2 * fat_sectors_ * kSectorBytes;
  data_start_ = root_start_ + kRootEntries16 * kEntryBytes;
  clusters_ = (total_sectors_ * kSectorBytes - data_start_) / cluster_bytes();
  const bool fits =
      used_clusters_ <= clusters_ && nodes_[0].directory.size() <= kRootEntries16 * kEntryBytes;
  if (kind == Kind::k16 && !fits)
    return fail("{} does not fit into the 504 MiB of a FAT16 disk; leave out the 16:", name_);
  if (kind == Kind::k32 || !fits) {
    is_32_ = true;
    cluster_sectors_ = bytes < kSmall32Bytes ? 8 : 64;
    used_clusters_ = place_nodes(2);
    clusters_ = std::max(used_clusters_, kMinClusters32);
    fat_sectors_ = (clusters_ + 2) * 4 / kSectorBytes + 1;
    fat_start_ = (kPartitionSector + kReserved32) * kSectorBytes;
    data_start_ = fat_start_ + 2 * fat_sectors_ * kSectorBytes;
    root_start_ = data_start_;
    total_sectors_ = data_start_ / kSectorBytes + clusters_ * cluster_sectors_;
    if (total_sectors_ > kMaxSectors)
      return fail("{} holds more than the 2 TiB that a FAT disk can have", name_);
  }
  enter_places();
  write_heads();
  return {};
}

// The directories learn where things lie.
void FatFile::enter_places() {
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    Node& folder = nodes_[i];
    for (std::size_t n = 0; n < folder.children.size(); ++n)
      set_first_cluster(&folder.directory[folder.entry_at[n]],
                        nodes_[folder.children[n]].first_cluster);
    if (!folder.is_folder || i == 0) continue;
    set_first_cluster(folder.directory.data(), folder.first_cluster);
    if (folder.parent != 0)  // the root is called 0 there
      set_first_cluster(&folder.directory[kEntryBytes], nodes_[folder.parent].first_cluster);
  }
}

void FatFile::write_heads() {
  heads_.resize(fat_start_);
  u8* entry = &heads_[446];  // the first partition
  entry[0] = 0x80;
  entry[1] = 1;  // head 1, sector 1, cylinder 0: where sector 63 is
  entry[2] = 1;
  entry[4] = is_32_ ? 0x0c : 0x0e;
  entry[5] = 0xfe;
  entry[6] = 0xff;
  entry[7] = 0xff;
  store_le<u32>(entry + 8, kPartitionSector);
  store_le<u32>(entry + 12, static_cast<u32>(total_sectors_ - kPartitionSector));
  store_le<u32>(&heads_[440], 0x656d7500);  // the disk's signature
  store_le<u16>(&heads_[510], 0xaa55);
  u8* boot = &heads_[kPartitionSector * kSectorBytes];
  fill_boot_sector(boot);
  if (!is_32_) return;
  u8* about = boot + kSectorBytes;  // FSInfo
  store_le<u32>(about, 0x41615252);
  store_le<u32>(about + 484, 0x61417272);
  store_le<u32>(about + 488, static_cast<u32>(clusters_ - used_clusters_));
  store_le<u32>(about + 492, static_cast<u32>(used_clusters_ + 2));
  store_le<u32>(about + 508, 0xaa550000);
  std::memcpy(boot + 6 * kSectorBytes, boot, 2 * kSectorBytes);  // the copy
}

void FatFile::fill_boot_sector(u8* b) const {
  constexpr u8 kJump[] = {0xeb, 0xfe, 0x90};  // nothing to boot: stays here
  std::copy(std::begin(kJump), std::end(kJump), b);
  std::memcpy(b + 3, "EMU     ", 8);
  store_le<u16>(b + 11, kSectorBytes);
  b[13] = static_cast<u8>(cluster_sectors_);
  store_le<u16>(b + 14, static_cast<u16>(is_32_ ? kReserved32 : kReserved16));
  b[16] = 2;  // FATs
  store_le<u16>(b + 17, is_32_ ? u16{0} : u16{kRootEntries16});
  b[21] = kMediaByte;
  if (!is_32_) store_le<u16>(b + 22, static_cast<u16>(fat_sectors_));
  store_le<u16>(b + 24, 63);
  store_le<u16>(b + 26, is_32_ ? 255 : 16);
  store_le<u32>(b + 28, kPartitionSector);
  store_le<u32>(b + 32, static_cast<u32>(total_sectors_ - kPartitionSector));
  u8* rest = b + 36;
  if (is_32_) {
    store_le<u32>(b + 36, static_cast<u32>(fat_sectors_));
    store_le<u32>(b + 44, nodes_[0].first_cluster);
    store_le<u16>(b + 48, 1);
    store_le<u16>(b + 50, 6);
    rest = b + 64;
  }
  rest[0] = 0x80;
  rest[2] = 0x29;
  u32 serial = 0x811c9dc5;
  for (const char c : name_) serial = (serial ^ static_cast<u8>(c)) * 0x01000193;
  store_le<u32>(rest + 3, serial);
  std::memcpy(rest + 7, "EMU FOLDER ", 11);
  std::memcpy(rest + 18, is_32_ ? "FAT32   " : "FAT16   ", 8);
  store_le<u16>(b + 510, 0xaa55);
}

// Whose cluster it is, or null.
const Node* FatFile::node_at(u32 cluster) const {
  const auto after =
      std::upper_bound(by_cluster_.begin(), by_cluster_.end(), cluster,
                       [&](u32 c, std::size_t n) { return c < nodes_[n].first_cluster; });
  if (after == by_cluster_.begin()) return nullptr;
  const Node& node = nodes_[*(after - 1)];
  return cluster - node.first_cluster < node.clusters ? &node : nullptr;
}

u32 FatFile::fat_entry(u32 cluster) const {
  if (cluster == 0) return 0x0fffff00 | kMediaByte;
  if (cluster == 1) return kLastCluster;
  const Node* node = node_at(cluster);
  if (node == nullptr) return 0;
  return cluster + 1 == node->first_cluster + node->clusters ? kLastCluster : cluster + 1;
}

// `offset` is inside one FAT.
void FatFile::read_fat(u64 offset, std::span<u8> out) const {
  const u64 width = is_32_ ? 4 : 2;
  for (u64 i = 0; i < out.size();) {
    const u64 at = offset + i;
    u8 bytes[4];
    store_le<u32>(bytes, fat_entry(static_cast<u32>(at / width)));
    for (u64 n = at % width; n < width && i < out.size(); ++n) out[i++] = bytes[n];
  }
}

Result<void> FatFile::read(u64 offset, Pieces out) {
  for (const auto& piece : out) {
    EMU_TRY(read_span(offset, piece));
    offset += piece.size();
  }
  return {};
}

Result<void> FatFile::read_span(u64 offset, std::span<u8> out) {
  const u64 fat_bytes = fat_sectors_ * kSectorBytes;
  while (!out.empty()) {
    u64 n = out.size();
    const auto up_to = [&](u64 end) { n = std::min(n, end - offset); };
    if (offset < fat_start_) {
      up_to(fat_start_);
      std::copy_n(heads_.begin() + static_cast<std::ptrdiff_t>(offset), n, out.begin());
    } else if (const u64 in_fats = offset - fat_start_; in_fats < 2 * fat_bytes) {
      up_to(in_fats < fat_bytes ? fat_start_ + fat_bytes : fat_start_ + 2 * fat_bytes);
      read_fat(in_fats % fat_bytes, out.first(n));
    } else if (offset < data_start_) {  // FAT16's root
      up_to(data_start_);
      const auto& root = nodes_[0].directory;
      std::fill_n(out.begin(), n, u8{0});
      const u64 at = offset - root_start_;
      if (at < root.size())
        std::copy_n(root.begin() + static_cast<std::ptrdiff_t>(at), std::min(n, root.size() - at),
                    out.begin());
    } else {
      n = std::min(n, cluster_bytes() - (offset - data_start_) % cluster_bytes());
      EMU_TRY(read_data(offset - data_start_, out.first(n)));
    }
    out = out.subspan(n);
    offset += n;
  }
  return {};
}

// Inside one cluster.
Result<void> FatFile::read_data(u64 offset, std::span<u8> out) {
  std::fill(out.begin(), out.end(), u8{0});
  const u64 cluster = offset / cluster_bytes() + 2;
  const Node* node = cluster < clusters_ + 2 ? node_at(static_cast<u32>(cluster)) : nullptr;
  if (node == nullptr) return {};
  const u64 at = offset - u64{node->first_cluster - 2} * cluster_bytes();
  const u64 size = node->is_folder ? node->directory.size() : node->size_bytes;
  if (at >= size) return {};
  out = out.first(std::min<u64>(out.size(), size - at));
  if (!node->is_folder)
    return read_host_file(static_cast<std::size_t>(node - nodes_.data()), at, out);
  std::copy_n(node->directory.begin() + static_cast<std::ptrdiff_t>(at), out.size(), out.begin());
  return {};
}

Result<void> FatFile::read_host_file(std::size_t node, u64 offset, std::span<u8> out) {
  const std::lock_guard lock(mutex_);
  auto fd = host_file(node);
  if (!fd) return fd.error();
  while (!out.empty()) {
    const ssize_t n = ::pread(*fd, out.data(), out.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(errno, "cannot read {} in {}", nodes_[node].name, name_);
    if (n == 0) return {};  // it became shorter
    out = out.subspan(static_cast<std::size_t>(n));
    offset += static_cast<u64>(n);
  }
  return {};
}

// Opens a file by its way from the root, following no link, and keeps the last few open.
Result<int> FatFile::host_file(std::size_t node) {
  const auto known = std::find_if(files_.begin(), files_.end(),
                                  [&](const OpenFile& file) { return file.node == node; });
  if (known != files_.end()) {
    files_.splice(files_.begin(), files_, known);
    return files_.front().fd.get();
  }
  std::vector<std::size_t> way;
  for (std::size_t n = node; n != 0; n = nodes_[n].parent) way.push_back(n);
  UniqueFd fd;
  int at = root_.get();
  for (std::size_t i = way.size(); i-- != 0;) {
    const int kind = i != 0 ? O_PATH | O_DIRECTORY : O_RDONLY | O_NONBLOCK | O_NOCTTY;
    UniqueFd next(::openat(at, nodes_[way[i]].name.c_str(), kind | O_NOFOLLOW | O_CLOEXEC));
    if (!next) return fail_errno(errno, "cannot open {} in {}", nodes_[node].name, name_);
    fd = std::move(next);
    at = fd.get();
  }
  struct stat st {};
  if (::fstat(at, &st) != 0 || !S_ISREG(st.st_mode))
    return Error{EIO, fmt::format("{} in {} is no longer a file", nodes_[node].name, name_)};
  if (files_.size() >= kMaxOpenFiles) files_.pop_back();
  files_.push_front({node, std::move(fd)});
  return at;
}

u64 FatFile::used_end() const {
  return data_start_ + used_clusters_ * cluster_bytes();
}

Result<StoredRange> FatFile::find_stored(u64 offset) {
  if (offset < used_end()) return StoredRange{offset, used_end()};
  return StoredRange{size_bytes(), size_bytes()};
}

Result<void> FatFile::write(u64, Pieces) {
  return Error{EROFS, fmt::format("{} can only be read", name_)};
}

Result<void> FatFile::write_zeroes(u64, u64) {
  return Error{EROFS, fmt::format("{} can only be read", name_)};
}

Result<void> FatFile::grow(u64) {
  return Error{EROFS, fmt::format("{} can only be read", name_)};
}

}  // namespace emu::fat
