// SPDX-License-Identifier: Apache-2.0
// Making a new qcow2 image: header, refcounts for itself, and an empty L1 table.
#include "block/qcow2/qcow2_create.h"

#include <algorithm>
#include <array>
#include <bit>

#include "base/bits.h"
#include "block/crypt/luks.h"

namespace emu::qcow2 {
namespace {

u64 divide_up(u64 value, u64 by) {
  return value / by + (value % by != 0 ? 1 : 0);
}

Result<void> check_options(const std::string& path, const CreateOptions& o) {
  if (!std::has_single_bit(o.cluster_bytes) || o.cluster_bytes < 512 || o.cluster_bytes > 2 * kMiB)
    return fail("cluster_size must be a power of two from 512 to 2M");
  if (!std::has_single_bit(o.refcount_bits) || o.refcount_bits > 64)
    return fail("refcount_bits must be a power of two from 1 to 64");
  if (o.version < 3) {
    if (o.refcount_bits != 16 || o.lazy_refcounts || o.extended_l2 || !o.data_file.empty() ||
        o.compression_type != kCompressionZlib)
      return fail(
          "{}: version 0.10 has none of refcount_bits, lazy_refcounts, extended_l2, "
          "data_file and compression_type; use compat=1.1",
          path);
  }
  if (o.extended_l2 && o.cluster_bytes < (1u << kMinExtendedClusterBits))
    return fail("extended_l2 needs clusters of at least 16k; use cluster_size=16k or more");
  if (o.data_file_raw && o.data_file.empty()) return fail("data_file_raw needs a data_file");
  if (o.data_file_raw && !o.backing_file.empty())
    return fail("data_file_raw does not go with a backing file");
  if (o.backing_file.size() > kMaxBackingNameBytes)
    return fail("the backing file's name is longer than {} bytes", kMaxBackingNameBytes);
  return {};
}

// Entries: u8 kind (0 incompatible, 1 compatible, 2 autoclear), u8 bit, name[46].
std::vector<u8> feature_names() {
  struct Feature {
    u8 kind;
    u8 bit;
    std::string_view name;
  };
  constexpr std::array<Feature, 8> kFeatures{{{0, 0, "dirty bit"},
                                              {0, 1, "corrupt bit"},
                                              {0, 2, "external data file"},
                                              {0, 3, "compression type"},
                                              {0, 4, "extended L2 entries"},
                                              {1, 0, "lazy refcounts"},
                                              {2, 0, "bitmaps"},
                                              {2, 1, "raw external data"}}};
  std::vector<u8> bytes(kFeatures.size() * 48);
  for (std::size_t i = 0; i < kFeatures.size(); ++i) {
    bytes[i * 48] = kFeatures[i].kind;
    bytes[i * 48 + 1] = kFeatures[i].bit;
    std::copy(kFeatures[i].name.begin(), kFeatures[i].name.end(),
              bytes.begin() + static_cast<std::ptrdiff_t>(i * 48 + 2));
  }
  return bytes;
}

Header make_header(const CreateOptions& o) {
  Header h;
  h.version = o.version;
  h.cluster_bits = static_cast<unsigned>(std::countr_zero(o.cluster_bytes));
  h.refcount_order = static_cast<unsigned>(std::countr_zero(o.refcount_bits));
  h.size_bytes = align_up(o.size_bytes, 512);
  h.compression_type = o.compression_type;
  if (o.compression_type != kCompressionZlib) h.incompatible |= kIncompatibleCompressionType;
  if (o.extended_l2) h.incompatible |= kIncompatibleExtendedL2;
  if (!o.data_file.empty()) h.incompatible |= kIncompatibleExternalData;
  if (o.lazy_refcounts) h.compatible |= kCompatibleLazyRefcounts;
  if (o.data_file_raw) h.autoclear |= kAutoclearRawData;
  const auto text = [&](u32 type, const std::string& value) {
    if (!value.empty()) h.extensions.push_back({type, {value.begin(), value.end()}});
  };
  text(kExtensionBackingFormat, o.backing_format);
  text(kExtensionDataFile, o.data_file);
  if (o.version >= 3) h.extensions.push_back({kExtensionFeatureNames, feature_names()});
  if (!o.luks_passphrase.empty()) {
    h.crypt_method = kCryptLuks;
    h.luks_bytes = crypt::luks_header_bytes();
    h.extensions.push_back({kExtensionLuksHeader, std::vector<u8>(16)});
  }
  h.backing_file = o.backing_file;
  return h;
}

// Header, refcount table, refcount blocks, L1 table, LUKS header: one after the other.
struct Layout {
  u64 table = 1;
  u64 blocks = 1;
  u64 l1 = 1;
  u64 luks = 0;
  [[nodiscard]] u64 total() const { return 1 + table + blocks + l1 + luks; }
};

Layout lay_out(const Header& h) {
  Layout layout;
  const u64 per_block = (h.cluster_bytes() * 8) >> h.refcount_order;
  layout.l1 = std::max<u64>(h.clusters_for(u64{h.l1_entries} * kEntryBytes), 1);
  layout.luks = h.clusters_for(h.luks_bytes);
  for (;;) {
    const u64 blocks = divide_up(layout.total(), per_block);
    const u64 table = divide_up(blocks * kEntryBytes, h.cluster_bytes());
    if (blocks == layout.blocks && table == layout.table) return layout;
    layout.blocks = blocks;
    layout.table = table;
  }
}

void set_count_to_one(std::vector<u8>& blocks, u64 cluster, unsigned order) {
  if (order >= 3) {  // big-endian: the last byte of the count
    const u64 width = (u64{1} << order) / 8;
    blocks[cluster * width + width - 1] = 1;
    return;
  }
  const u64 at = cluster << order;
  blocks[at / 8] = static_cast<u8>(blocks[at / 8] | 1u << (at & 7));
}

}  // namespace

Result<void> create(ByteFile& file, const CreateOptions& o) {
  EMU_TRY(check_options(file.path(), o));
  Header h = make_header(o);
  const u64 covers = h.l2_covers_bytes();
  const u64 l1_entries = divide_up(h.size_bytes, covers);
  if (l1_entries * kEntryBytes > kMaxL1Bytes)
    return fail("{} cannot be that large with clusters of {} bytes; use a larger cluster_size",
                file.path(), h.cluster_bytes());
  h.l1_entries = static_cast<u32>(l1_entries);
  const Layout layout = lay_out(h);
  const unsigned bits = h.cluster_bits;
  h.refcount_table_offset = u64{1} << bits;
  h.refcount_table_clusters = static_cast<u32>(layout.table);
  h.l1_offset = (1 + layout.table + layout.blocks) << bits;

  std::vector<u8> table(layout.table << bits);
  for (u64 i = 0; i < layout.blocks; ++i)
    store_be<u64>(&table[i * kEntryBytes], (1 + layout.table + i) << bits);
  std::vector<u8> blocks(layout.blocks << bits);
  for (u64 c = 0; c < layout.total(); ++c) set_count_to_one(blocks, c, h.refcount_order);
  EMU_TRY(file.write_flat(h.refcount_table_offset, table));
  EMU_TRY(file.write_flat((1 + layout.table) << bits, blocks));
  EMU_TRY(file.grow(layout.total() << bits));  // the L1 table: zeros
  if (!o.luks_passphrase.empty()) {
    h.luks_offset = (layout.total() - layout.luks) << bits;
    const auto luks = std::ranges::find(h.extensions, kExtensionLuksHeader, &Extension::type);
    store_be<u64>(luks->data.data(), h.luks_offset);
    store_be<u64>(luks->data.data() + 8, h.luks_bytes);
    EMU_TRY(crypt::format_luks(file, h.luks_offset, {o.luks_passphrase, o.luks_iteration_ms}));
  }
  return write_header(file, h);
}

u64 metadata_bytes(const CreateOptions& o) {
  const u64 cluster = o.cluster_bytes;
  const u64 entry = o.extended_l2 ? kExtendedL2EntryBytes : kEntryBytes;
  const u64 disk = align_up(o.size_bytes, cluster);
  const u64 l2_entries = align_up(disk / cluster, cluster / entry);
  const u64 l1_entries = align_up(l2_entries * entry / cluster, cluster / kEntryBytes);
  const u64 fixed = cluster + l2_entries * entry + l1_entries * kEntryBytes;
  const u64 per_block = cluster * 8 / o.refcount_bits;
  u64 blocks = 0;
  u64 table = 0;
  for (u64 last = ~u64{0}; last != blocks + table;) {
    last = blocks + table;
    blocks = divide_up((fixed + disk) / cluster + table + blocks, per_block);
    table = divide_up(blocks, cluster / kEntryBytes);
  }
  return fixed + (blocks + table) * cluster;
}

}  // namespace emu::qcow2
