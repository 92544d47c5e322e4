// SPDX-License-Identifier: Apache-2.0
// VirtualBox VDI.
#include "block/vdi/vdi_image.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <random>

#include "base/bits.h"
#include "block/host_file.h"

namespace emu::vdi {
namespace {

constexpr u32 kSignature = 0xbeda107f;
constexpr u32 kVersion11 = 0x00010001;
constexpr u32 kHeaderBytes = 0x190;  // counted from 0x48
constexpr u64 kOffSignature = 0x40;
constexpr u64 kOffVersion = 0x44;
constexpr u64 kOffHeaderBytes = 0x48;
constexpr u64 kOffType = 0x4c;
constexpr u64 kOffTable = 0x154;
constexpr u64 kOffData = 0x158;
constexpr u64 kOffSectorBytes = 0x168;
constexpr u64 kOffDiskBytes = 0x170;
constexpr u64 kOffBlockBytes = 0x178;
constexpr u64 kOffBlockExtra = 0x17c;
constexpr u64 kOffBlocks = 0x180;
constexpr u64 kOffAllocated = 0x184;
constexpr u64 kOffUuid = 0x188;
constexpr u64 kOffLastSnapUuid = 0x198;
constexpr u64 kOffLinkUuid = 0x1a8;
constexpr u32 kNotAllocated = 0xffffffff;
constexpr u32 kReadsZero = 0xfffffffe;
constexpr u64 kMaxBlocks = u64{1} << 26;  // 64 TiB of 1 MiB

Error damaged_header(const ByteFile& file, const std::string& what) {
  return fail("{} is damaged: {}; copy it again from where it came from", file.path(), what);
}

}  // namespace

Result<Header> read_header(ByteFile& file) {
  std::vector<u8> b(512);
  EMU_TRY(file.read_flat(0, b));
  const auto le32 = [&](u64 at) { return load_le<u32>(&b[at]); };
  if (le32(kOffSignature) != kSignature) return fail("{} is not a VDI image", file.path());
  if (le32(kOffVersion) != kVersion11)
    return fail(
        "{} is a VDI of version {}.{}, and only 1.1 is supported; convert it with "
        "VirtualBox: VBoxManage clonemedium",
        file.path(), le32(kOffVersion) >> 16, le32(kOffVersion) & 0xffff);
  Header h;
  h.image_type = le32(kOffType);
  h.table_offset = le32(kOffTable);
  h.data_offset = le32(kOffData);
  h.disk_bytes = load_le<u64>(&b[kOffDiskBytes]);
  h.block_bytes = le32(kOffBlockBytes);
  h.blocks = le32(kOffBlocks);
  h.blocks_allocated = le32(kOffAllocated);
  std::copy_n(&b[kOffUuid], h.uuid.size(), h.uuid.begin());
  std::copy_n(&b[kOffLinkUuid], h.parent_uuid.size(), h.parent_uuid.begin());
  if (h.image_type != kDynamic && h.image_type != kStatic && h.image_type != kDifferencing)
    return fail("{} is a VDI of type {}, which is not supported", file.path(), h.image_type);
  if (le32(kOffBlockExtra) != 0 || le32(kOffSectorBytes) != 512)
    return damaged_header(file, "sectors or blocks of an unusual size");
  if (h.block_bytes < 512 || h.block_bytes > 256 * kMiB || h.block_bytes % 512 != 0)
    return damaged_header(file, fmt::format("blocks of {} bytes", h.block_bytes));
  if (h.blocks > kMaxBlocks || h.disk_bytes > u64{h.blocks} * h.block_bytes)
    return damaged_header(file, fmt::format("{} blocks for {} bytes", h.blocks, h.disk_bytes));
  if (!range_fits(h.table_offset, u64{h.blocks} * 4, file.size_bytes()) || h.table_offset < 512 ||
      h.data_offset < h.table_offset + u64{h.blocks} * 4)
    return damaged_header(file, "its block table lies outside the file");
  return h;
}

std::string find_parent(const std::string& path, const Uuid& uuid) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  std::error_code error;
  for (const auto& entry :
       std::filesystem::directory_iterator(folder.empty() ? "." : folder, error)) {
    if (entry.path().extension() != ".vdi" || !entry.is_regular_file(error)) continue;
    auto file = HostFile::open(entry.path().string(), false);
    if (!file || (*file)->size_bytes() < 512) continue;
    auto header = read_header(**file);
    if (header && header->uuid == uuid) return entry.path().filename().string();
  }
  return {};
}

VdiImage::VdiImage(std::unique_ptr<ByteFile> file, const Header& header,
                   std::unique_ptr<DiskImage> backing)
    : BlockTableImage(std::move(file), std::move(backing), "vdi"), header_(header) {
  size_bytes_ = align_down(header.disk_bytes, 512);
  block_bytes_ = header.block_bytes;
}

Result<std::unique_ptr<DiskImage>> VdiImage::open(std::unique_ptr<ByteFile> file,
                                                  const Header& header,
                                                  std::unique_ptr<DiskImage> backing) {
  std::unique_ptr<VdiImage> image(new VdiImage(std::move(file), header, std::move(backing)));
  EMU_TRY(image->load());
  return std::unique_ptr<DiskImage>(std::move(image));
}

// Two disk blocks in one place would let one overwrite the other.
Result<void> VdiImage::load() {
  table_.resize(header_.blocks);
  std::vector<u8> bytes(table_.size() * 4);
  EMU_TRY(file_->read_flat(header_.table_offset, bytes));
  std::vector<bool> seen;
  for (u64 i = 0; i < table_.size(); ++i) {
    const u32 entry = table_[i] = load_le<u32>(&bytes[i * 4]);
    if (entry == kNotAllocated || entry == kReadsZero) continue;
    if (header_.data_offset + u64{entry} * block_bytes_ >= file_->size_bytes())
      return damaged(fmt::format("block {} lies beyond its end", i));
    if (seen.size() <= entry) seen.resize(u64{entry} + 1);
    if (seen[entry]) return damaged(fmt::format("block {} shares its place with another", i));
    seen[entry] = true;
  }
  header_.blocks_allocated = std::max(header_.blocks_allocated, static_cast<u32>(seen.size()));
  return {};
}

Result<BlockTableImage::Place> VdiImage::find(u64 offset) {
  const u64 inside = offset % block_bytes_;
  Place place;
  place.length_bytes = block_bytes_ - inside;
  const u32 entry = table_[offset / block_bytes_];
  if (entry == kNotAllocated) return place;
  place.stored = entry == kReadsZero ? Stored::kZero : Stored::kData;
  place.file_offset = header_.data_offset + u64{entry} * block_bytes_ + inside;
  return place;
}

Result<u64> VdiImage::allocate(u64) {
  const u32 place = header_.blocks_allocated;
  const u64 offset = header_.data_offset + u64{place} * block_bytes_;
  EMU_TRY(file_->write_zeroes(offset, block_bytes_));
  header_.blocks_allocated = place + 1;
  return offset;
}

Result<void> VdiImage::set_place(u64 block, u64 file_offset) {
  table_[block] = static_cast<u32>((file_offset - header_.data_offset) / block_bytes_);
  dirty_from_ = std::min(dirty_from_, block);
  dirty_to_ = std::max(dirty_to_, block + 1);
  return {};
}

Result<void> VdiImage::write_table() {
  if (dirty_from_ >= dirty_to_) return {};
  std::vector<u8> bytes((dirty_to_ - dirty_from_) * 4);
  for (u64 i = dirty_from_; i < dirty_to_; ++i)
    store_le<u32>(&bytes[(i - dirty_from_) * 4], table_[i]);
  EMU_TRY(file_->write_flat(header_.table_offset + dirty_from_ * 4, bytes));
  u8 count[4];
  store_le<u32>(count, header_.blocks_allocated);
  EMU_TRY(file_->write_flat(kOffAllocated, count));
  dirty_from_ = ~u64{0};
  dirty_to_ = 0;
  return {};
}

ImageInfo VdiImage::info() const {
  return basic_info();
}

Result<void> create(ByteFile& file, const CreateOptions& o) {
  constexpr u64 kBlock = kMiB;
  const u64 blocks = o.size_bytes / kBlock + (o.size_bytes % kBlock != 0 ? 1 : 0);
  if (blocks > kMaxBlocks) return fail("a VDI image cannot be larger than 64 TiB");
  std::vector<u8> b(512);
  const auto put = [&](u64 at, u64 value) { store_le<u32>(&b[at], static_cast<u32>(value)); };
  constexpr std::string_view kText = "<<< emu VM Virtual Disk Image >>>\n";
  std::memcpy(b.data(), kText.data(), kText.size());
  put(kOffSignature, kSignature);
  put(kOffVersion, kVersion11);
  put(kOffHeaderBytes, kHeaderBytes);
  put(kOffType, o.is_static ? kStatic : kDynamic);
  put(kOffTable, 512);
  const u64 data_offset = align_up(512 + blocks * 4, 512);
  put(kOffData, data_offset);
  put(kOffSectorBytes, 512);
  store_le<u64>(&b[kOffDiskBytes], o.size_bytes);
  put(kOffBlockBytes, kBlock);
  put(kOffBlocks, blocks);
  put(kOffAllocated, o.is_static ? blocks : 0);
  std::random_device random;
  for (const u64 at : {kOffUuid, kOffLastSnapUuid}) {
    for (u64 i = 0; i < 16; i += 4) put(at + i, random());
    b[at + 7] = static_cast<u8>((b[at + 7] & 0x0f) | 0x40);  // RFC 4122, version 4
    b[at + 8] = static_cast<u8>((b[at + 8] & 0x3f) | 0x80);
  }
  std::vector<u8> table(data_offset - 512, u8{0xff});
  for (u64 i = 0; o.is_static && i < blocks; ++i) store_le<u32>(&table[i * 4], static_cast<u32>(i));
  EMU_TRY(file.write_flat(0, b));
  EMU_TRY(file.write_flat(512, table));
  return file.grow(data_offset + (o.is_static ? blocks * kBlock : 0));
}

}  // namespace emu::vdi
