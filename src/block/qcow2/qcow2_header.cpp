// SPDX-License-Identifier: Apache-2.0
// Reading and checking the qcow2 header.
#include "block/qcow2/qcow2_header.h"

#include <algorithm>

#include "base/bits.h"

namespace emu::qcow2 {
namespace {

constexpr u64 kSnapshotEntryBytes = 40;
constexpr u64 kMaxSnapshotExtraBytes = 1024;
constexpr u64 kMaxSnapshotTableBytes = 64 * kMiB;

class HeaderReader {
 public:
  explicit HeaderReader(ByteFile& file) : file_(file) {}

  Result<Header> read() {
    EMU_TRY(read_first_cluster());
    EMU_TRY(parse_fixed());
    EMU_TRY(parse_version_3());
    EMU_TRY(parse_extensions());
    EMU_TRY(check_features());
    EMU_TRY(parse_backing_name());
    EMU_TRY(check_tables());
    EMU_TRY(parse_snapshots());
    return std::move(h_);
  }

 private:
  template <class... A>
  Error damaged(fmt::format_string<A...> what, A&&... a) const {
    return fail("{} is damaged: {}; try: emu img check -r all {}", file_.path(),
                fmt::format(what, std::forward<A>(a)...), file_.path());
  }
  Error truncated(std::string_view what) const {
    return fail("{} is cut short: its {} lies beyond its end at {}; copy or download it again",
                file_.path(), what, size_text());
  }
  Error unsupported(std::string_view feature, std::string_view fix) const {
    return fail("{} uses {}, which is not supported; {}", file_.path(), feature, fix);
  }
  std::string size_text() const { return fmt::format("{} bytes", file_.size_bytes()); }
  std::string convert_hint() const {
    return fmt::format("convert it: emu img convert -O qcow2 {} new.qcow2", file_.path());
  }
  u32 be32(u64 offset) const { return load_be<u32>(head_.data() + offset); }
  u64 be64(u64 offset) const { return load_be<u64>(head_.data() + offset); }

  Result<void> read_first_cluster() {
    head_.resize(std::max<u64>(kHeaderBytesV3 + 8, 512));
    if (file_.size_bytes() < kHeaderBytesV2) return truncated("header");
    EMU_TRY(file_.read_flat(0, head_));
    if (be32(0) != kMagic) return fail("{} is not a qcow2 image", file_.path());
    h_.cluster_bits = be32(kOffClusterBits);
    if (h_.cluster_bits < kMinClusterBits || h_.cluster_bits > kMaxClusterBits)
      return damaged("cluster size 2^{}", h_.cluster_bits);
    head_.resize(std::max<u64>(head_.size(), h_.cluster_bytes()));
    return file_.read_flat(0, head_);
  }

  Result<void> parse_fixed() {
    h_.version = be32(kOffVersion);
    if (h_.version != 2 && h_.version != 3)
      return unsupported(fmt::format("qcow version {}", h_.version), convert_hint());
    h_.size_bytes = align_down(be64(kOffSize), 512);
    h_.l1_entries = be32(kOffL1Size);
    h_.l1_offset = be64(kOffL1TableOffset);
    h_.refcount_table_offset = be64(kOffRefcountTableOffset);
    h_.refcount_table_clusters = be32(kOffRefcountTableClusters);
    h_.snapshots_offset = be64(kOffSnapshotsOffset);
    h_.crypt_method = be32(kOffCryptMethod);
    if (h_.crypt_method > 2)
      return unsupported(fmt::format("encryption method {}", h_.crypt_method), convert_hint());
    return {};
  }

  Result<void> parse_version_3() {
    header_length_ = kHeaderBytesV2;
    if (h_.version == 2) return {};
    if (file_.size_bytes() < kHeaderBytesV3) return truncated("header");
    h_.incompatible = be64(kOffIncompatible);
    h_.compatible = be64(kOffCompatible);
    h_.autoclear = be64(kOffAutoclear);
    h_.refcount_order = be32(kOffRefcountOrder);
    header_length_ = be32(kOffHeaderLength);
    if (header_length_ < kHeaderBytesV3 || header_length_ > h_.cluster_bytes())
      return damaged("header length {}", header_length_);
    if (h_.refcount_order > 6) return damaged("refcount width 2^{}", h_.refcount_order);
    if (header_length_ > kOffCompressionType) h_.compression_type = head_[kOffCompressionType];
    return {};
  }

  // Extensions: u32 type, u32 length, data padded to 8. They end with type 0, or where the backing
  // file name begins.
  Result<void> parse_extensions() {
    u64 end = h_.cluster_bytes();
    if (const u64 name = be64(kOffBackingFileOffset); name != 0) end = std::min(end, name);
    u64 at = header_length_;
    while (range_fits(at, 8, end)) {
      const u32 type = be32(at);
      const u64 length = be32(at + 4);
      at += 8;
      if (type == kExtensionEnd) break;
      if (!range_fits(at, length, end)) return damaged("header extension of {} bytes", length);
      use_extension(type, std::span<const u8>(head_).subspan(at, length));
      at += align_up(length, 8);
    }
    return {};
  }

  void use_extension(u32 type, std::span<const u8> data) {
    h_.extensions.push_back({type, {data.begin(), data.end()}});
    if (type == kExtensionFeatureNames) feature_names_.assign(data.begin(), data.end());
    if (type == kExtensionBackingFormat) h_.backing_format.assign(data.begin(), data.end());
    if (type == kExtensionDataFile) h_.data_file.assign(data.begin(), data.end());
    if (type == kExtensionLuksHeader && data.size() >= 16) {
      h_.luks_offset = load_be<u64>(data.data());
      h_.luks_bytes = load_be<u64>(data.data() + 8);
    }
    if (type == kExtensionBitmaps && data.size() >= 24) {
      h_.bitmaps = load_be<u32>(data.data());
      h_.bitmap_directory_bytes = load_be<u64>(data.data() + 8);
      h_.bitmap_directory_offset = load_be<u64>(data.data() + 16);
    }
  }

  // The image's own name for an incompatible feature bit: entries of type u8, bit u8, name[46].
  std::string feature_name(unsigned bit_number) const {
    for (u64 at = 0; at + 48 <= feature_names_.size(); at += 48) {
      if (feature_names_[at] != 0 || feature_names_[at + 1] != bit_number) continue;
      std::string name;
      for (u64 i = at + 2; i < at + 48 && feature_names_[i] != 0; ++i) {
        const u8 c = feature_names_[i];
        name.push_back(c >= 0x20 && c < 0x7f ? static_cast<char>(c) : '?');
      }
      return name;
    }
    return fmt::format("unknown feature bit {}", bit_number);
  }

  Result<void> check_features() {
    if (h_.extended_l2() && h_.cluster_bits < kMinExtendedClusterBits)
      return damaged("extended L2 entries with clusters of {} bytes", h_.cluster_bytes());
    for (unsigned n = 0; n < 64; ++n) {
      if (bit(h_.incompatible & ~kIncompatibleSupported, n))
        return unsupported(fmt::format("the feature \"{}\"", feature_name(n)),
                           "use the program that made it, or " + convert_hint());
    }
    if (h_.compression_type > kCompressionZstd)
      return unsupported(fmt::format("compression type {}", h_.compression_type), convert_hint());
    return {};
  }

  Result<void> parse_backing_name() {
    const u64 offset = be64(kOffBackingFileOffset);
    if (offset == 0) return {};
    const u64 length = be32(kOffBackingFileSize);
    if (length > kMaxBackingNameBytes || !range_fits(offset, length, h_.cluster_bytes()))
      return damaged("backing file name of {} bytes at {}", length, offset);
    h_.backing_file.assign(reinterpret_cast<const char*>(head_.data()) + offset, length);
    if (h_.backing_file.find('\0') != std::string::npos)
      return damaged("backing file name with a zero byte");
    return {};
  }

  // [offset, offset + bytes) is cluster-aligned and inside the file.
  Result<void> check_table(std::string_view what, u64 offset, u64 bytes) {
    if (offset == 0 || offset % h_.cluster_bytes() != 0)
      return damaged("{} at {}, which is not a cluster", what, offset);
    if (!range_fits(offset, bytes, file_.size_bytes())) return truncated(what);
    for (const Range& r : ranges_) {
      if (offset < r.end && r.start < offset + std::max<u64>(bytes, 1))
        return damaged("{} and {} overlap", what, r.what);
    }
    ranges_.push_back({offset, offset + align_up(std::max<u64>(bytes, 1), h_.cluster_bytes()),
                       std::string(what)});
    return {};
  }

  Result<void> check_tables() {
    ranges_.push_back({0, h_.cluster_bytes(), "header"});
    const u64 l1_bytes = u64{h_.l1_entries} * kEntryBytes;
    if (l1_bytes > kMaxL1Bytes) return damaged("L1 table of {} entries", h_.l1_entries);
    const u64 covers = h_.l2_covers_bytes();
    const u64 needed = h_.size_bytes / covers + (h_.size_bytes % covers != 0 ? 1 : 0);
    if (needed > h_.l1_entries)
      return damaged("its L1 table of {} entries is too small for a disk of {} bytes",
                     h_.l1_entries, h_.size_bytes);
    if (h_.l1_entries != 0) EMU_TRY(check_table("L1 table", h_.l1_offset, l1_bytes));
    const u64 table_bytes = u64{h_.refcount_table_clusters} << h_.cluster_bits;
    if (table_bytes == 0 || table_bytes > std::max(kMaxRefcountTableBytes, h_.cluster_bytes()))
      return damaged("refcount table of {} clusters", h_.refcount_table_clusters);
    if (h_.crypt_method == kCryptLuks) {
      if (h_.luks_bytes == 0 || h_.luks_bytes > kMaxLuksBytes)
        return damaged("a LUKS header of {} bytes", h_.luks_bytes);
      EMU_TRY(check_table("LUKS header", h_.luks_offset, h_.luks_bytes));
    }
    return check_table("refcount table", h_.refcount_table_offset, table_bytes);
  }

  // Entry: u64 L1 offset, u32 L1 entries, u16 id length, u16 name length, u32 date s, u32 date ns,
  // u64 VM clock, u32 VM state size, u32 extra length at 36, then extra data (u64 VM state size,
  // u64 disk size, ...), id, name, padding to 8.
  Result<void> parse_snapshots() {
    const u64 count = be32(kOffSnapshotCount);
    if (count > kMaxSnapshots) return damaged("{} snapshots", count);
    u64 at = h_.snapshots_offset;
    u64 end = at;
    for (u64 i = 0; i < count; ++i) {
      u8 entry[kSnapshotEntryBytes];
      if (!range_fits(at, sizeof entry, file_.size_bytes())) return truncated("snapshot table");
      EMU_TRY(file_.read_flat(at, entry));
      const u64 extra = load_be<u32>(entry + 36);
      const u64 names = u64{load_be<u16>(entry + 12)} + load_be<u16>(entry + 14);
      if (extra > kMaxSnapshotExtraBytes) return damaged("snapshot table");
      std::vector<u8> rest(extra + names);
      if (!range_fits(at + sizeof entry, rest.size(), file_.size_bytes()))
        return truncated("snapshot table");
      EMU_TRY(file_.read_flat(at + sizeof entry, rest));
      EMU_TRY(parse_snapshot(entry, rest));
      end = at + sizeof entry + rest.size();  // the last one's padding may be missing
      at = align_up(end, 8);
      if (at - h_.snapshots_offset > kMaxSnapshotTableBytes) return damaged("snapshot table");
    }
    if (count == 0) return {};
    h_.snapshots_bytes = end - h_.snapshots_offset;
    return check_table("snapshot table", h_.snapshots_offset, h_.snapshots_bytes);
  }

  Result<void> parse_snapshot(const u8* entry, const std::vector<u8>& rest) {
    Snapshot s;
    s.l1_offset = load_be<u64>(entry);
    s.l1_entries = load_be<u32>(entry + 8);
    s.about.date_s = load_be<u32>(entry + 16);
    s.about.date_ns = load_be<u32>(entry + 20);
    s.about.vm_clock_ns = load_be<u64>(entry + 24);
    s.about.vm_state_bytes = load_be<u32>(entry + 32);
    const std::size_t extra = load_be<u32>(entry + 36);
    const std::size_t id = load_be<u16>(entry + 12);
    s.extra.assign(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(extra));
    if (extra >= 8) s.about.vm_state_bytes = load_be<u64>(s.extra.data());
    s.about.disk_bytes = extra >= 16 ? load_be<u64>(s.extra.data() + 8) : h_.size_bytes;
    const char* names = reinterpret_cast<const char*>(rest.data()) + extra;
    s.about.id.assign(names, id);
    s.about.name.assign(names + id, rest.size() - extra - id);
    const u64 bytes = u64{s.l1_entries} * kEntryBytes;
    if (bytes > kMaxL1Bytes || s.l1_offset % h_.cluster_bytes() != 0)
      return damaged("a snapshot's L1 table of {} entries at {}", s.l1_entries, s.l1_offset);
    if (!range_fits(s.l1_offset, bytes, file_.size_bytes())) return truncated("snapshot L1 table");
    h_.snapshots.push_back(std::move(s));
    return {};
  }

  struct Range {
    u64 start;
    u64 end;
    std::string what;
  };

  ByteFile& file_;
  Header h_;
  std::vector<u8> head_;
  u64 header_length_ = 0;
  std::vector<u8> feature_names_;
  std::vector<Range> ranges_;
};

void append_extension(std::vector<u8>& bytes, u32 type, std::span<const u8> data) {
  u8 head[8];
  store_be<u32>(head, type);
  store_be<u32>(head + 4, static_cast<u32>(data.size()));
  bytes.insert(bytes.end(), head, head + 8);
  bytes.insert(bytes.end(), data.begin(), data.end());
  bytes.resize(align_up(bytes.size(), 8));
}

}  // namespace

Result<Header> read_header(ByteFile& file) {
  return HeaderReader(file).read();
}

Result<void> write_header(ByteFile& file, const Header& h) {
  std::vector<u8> bytes(h.version >= 3 ? kHeaderBytesV3 + 8 : kHeaderBytesV2);
  const auto put32 = [&](u64 at, u64 value) { store_be<u32>(&bytes[at], static_cast<u32>(value)); };
  const auto put64 = [&](u64 at, u64 value) { store_be<u64>(&bytes[at], value); };
  put32(0, kMagic);
  put32(kOffVersion, h.version);
  put32(kOffClusterBits, h.cluster_bits);
  put64(kOffSize, h.size_bytes);
  put32(kOffCryptMethod, h.crypt_method);
  put32(kOffL1Size, h.l1_entries);
  put64(kOffL1TableOffset, h.l1_offset);
  put64(kOffRefcountTableOffset, h.refcount_table_offset);
  put32(kOffRefcountTableClusters, h.refcount_table_clusters);
  put32(kOffSnapshotCount, h.snapshots.size());
  put64(kOffSnapshotsOffset, h.snapshots_offset);
  if (h.version >= 3) {
    put64(kOffIncompatible, h.incompatible);
    put64(kOffCompatible, h.compatible);
    put64(kOffAutoclear, h.autoclear);
    put32(kOffRefcountOrder, h.refcount_order);
    put32(kOffHeaderLength, bytes.size());
    bytes[kOffCompressionType] = h.compression_type;
  }
  for (const Extension& e : h.extensions) append_extension(bytes, e.type, e.data);
  append_extension(bytes, kExtensionEnd, {});
  const u64 name_at = bytes.size();
  if (!h.backing_file.empty()) {
    store_be<u64>(&bytes[kOffBackingFileOffset], name_at);
    store_be<u32>(&bytes[kOffBackingFileSize], static_cast<u32>(h.backing_file.size()));
    bytes.insert(bytes.end(), h.backing_file.begin(), h.backing_file.end());
  }
  if (bytes.size() > h.cluster_bytes()) {
    Header shorter = h;
    // The names of feature bits are a courtesy.
    if (std::erase_if(shorter.extensions,
                      [](const Extension& e) { return e.type == kExtensionFeatureNames; }) != 0)
      return write_header(file, shorter);
    return fail(
        "the header of {} has no room for the names it must hold; use shorter names or "
        "larger clusters",
        file.path());
  }
  return file.write_flat(0, bytes);
}

Result<u64> find_snapshot(const Header& h, const std::string& tag, const std::string& path) {
  for (const bool by_id : {true, false}) {
    for (u64 i = 0; i < h.snapshots.size(); ++i) {
      if ((by_id ? h.snapshots[i].about.id : h.snapshots[i].about.name) == tag) return i;
    }
  }
  return fail("{} has no snapshot {}; list them: emu img snapshot -l {}", path, tag, path);
}

Result<void> show_snapshot(Header& h, const std::string& tag, const std::string& path) {
  auto found = find_snapshot(h, tag, path);
  if (!found) return found.error();
  const Snapshot& s = h.snapshots[*found];
  h.l1_offset = s.l1_offset;
  h.l1_entries = s.l1_entries;
  h.size_bytes = align_down(s.about.disk_bytes, 512);
  const u64 covers = h.l2_covers_bytes();
  if (h.size_bytes / covers + (h.size_bytes % covers != 0 ? 1 : 0) > h.l1_entries)
    return fail("{} is damaged: snapshot {} has an L1 table that is too small", path, tag);
  return {};
}

std::vector<u8> snapshot_table(const std::vector<Snapshot>& snapshots) {
  std::vector<u8> table;
  for (const Snapshot& s : snapshots) {
    const std::size_t at = table.size();
    table.resize(at + kSnapshotEntryBytes);
    u8* entry = &table[at];
    store_be<u64>(entry, s.l1_offset);
    store_be<u32>(entry + 8, s.l1_entries);
    store_be<u16>(entry + 12, static_cast<u16>(s.about.id.size()));
    store_be<u16>(entry + 14, static_cast<u16>(s.about.name.size()));
    store_be<u32>(entry + 16, s.about.date_s);
    store_be<u32>(entry + 20, s.about.date_ns);
    store_be<u64>(entry + 24, s.about.vm_clock_ns);
    store_be<u32>(entry + 32,
                  s.about.vm_state_bytes >> 32 != 0 ? 0 : static_cast<u32>(s.about.vm_state_bytes));
    store_be<u32>(entry + 36, static_cast<u32>(s.extra.size()));
    table.insert(table.end(), s.extra.begin(), s.extra.end());
    table.insert(table.end(), s.about.id.begin(), s.about.id.end());
    table.insert(table.end(), s.about.name.begin(), s.about.name.end());
    table.resize(align_up(table.size(), 8));
  }
  return table;
}

}  // namespace emu::qcow2
