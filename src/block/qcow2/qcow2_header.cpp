// SPDX-License-Identifier: Apache-2.0
// Reading and checking the qcow2 header.
#include "block/qcow2/qcow2_header.h"

#include <algorithm>

#include "base/bits.h"

namespace emu::qcow2 {
namespace {

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
    return fail("{} is damaged: {}; try: qemu-img check -r all {}", file_.path(),
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
    return fmt::format("convert it: qemu-img convert -O qcow2 {} new.qcow2", file_.path());
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
    if (const u32 method = be32(kOffCryptMethod); method != 0) {
      return unsupported(method == 1 ? "AES encryption" : "LUKS encryption",
                         "decrypt it with qemu-img convert --object secret,...");
    }
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
    if (type == kExtensionBackingFormat) h_.backing_format.assign(data.begin(), data.end());
    if (type == kExtensionFeatureNames) feature_names_.assign(data.begin(), data.end());
    if (type == kExtensionBitmaps) h_.has_bitmaps = true;
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
    if (h_.incompatible & kIncompatibleExternalData)
      return unsupported("an external data file", convert_hint());
    if (h_.incompatible & kIncompatibleExtendedL2)
      return unsupported("extended L2 entries (subclusters)", convert_hint());
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
    return check_table("refcount table", h_.refcount_table_offset, table_bytes);
  }

  // Entry: u64 L1 offset, u32 L1 entries, u16 id length, u16 name length, ..., u32 extra length at
  // 36, then extra data, id, name, padding to 8.
  Result<void> parse_snapshots() {
    const u64 count = be32(kOffSnapshotCount);
    if (count > kMaxSnapshots) return damaged("{} snapshots", count);
    u64 at = h_.snapshots_offset;
    u64 end = at;
    for (u64 i = 0; i < count; ++i) {
      u8 entry[40];
      if (!range_fits(at, sizeof entry, file_.size_bytes())) return truncated("snapshot table");
      EMU_TRY(file_.read_flat(at, entry));
      const SnapshotL1 l1{load_be<u64>(entry), load_be<u32>(entry + 8)};
      EMU_TRY(check_snapshot(l1));
      h_.snapshots.push_back(l1);
      const u64 length =
          u64{40} + load_be<u32>(entry + 36) + load_be<u16>(entry + 12) + load_be<u16>(entry + 14);
      end = at + length;  // the last one's padding may be missing
      at += align_up(length, 8);
      if (at - h_.snapshots_offset > 64 * kMiB) return damaged("snapshot table");
    }
    if (count == 0) return {};
    h_.snapshots_bytes = end - h_.snapshots_offset;
    return check_table("snapshot table", h_.snapshots_offset, h_.snapshots_bytes);
  }

  Result<void> check_snapshot(const SnapshotL1& l1) const {
    const u64 bytes = u64{l1.entries} * kEntryBytes;
    if (bytes > kMaxL1Bytes || l1.offset_bytes % h_.cluster_bytes() != 0)
      return damaged("a snapshot's L1 table of {} entries at {}", l1.entries, l1.offset_bytes);
    if (!range_fits(l1.offset_bytes, bytes, file_.size_bytes()))
      return truncated("snapshot L1 table");
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

}  // namespace

Result<Header> read_header(ByteFile& file) {
  return HeaderReader(file).read();
}

}  // namespace emu::qcow2
