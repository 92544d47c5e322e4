// SPDX-License-Identifier: Apache-2.0
#include "machine/acpi/table_blob.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/bits.h"
#include "base/check.h"

namespace emu {
namespace {

// One 128-byte command of the loader script.
class LoaderCommand {
 public:
  enum Kind : u32 { kAllocate = 1, kAddPointer = 2, kAddChecksum = 3 };
  static constexpr std::size_t kBytes = 128;
  static constexpr std::size_t kFileBytes = 56;

  explicit LoaderCommand(Kind kind) { put(u32{kind}); }
  LoaderCommand& file(const std::string& name) {
    EMU_CHECK(name.size() < kFileBytes);
    std::memcpy(bytes_.data() + at_, name.data(), name.size());
    at_ += kFileBytes;
    return *this;
  }
  template <class T>
  LoaderCommand& put(T value) {
    store_le(bytes_.data() + at_, value);
    at_ += sizeof value;
    return *this;
  }
  void append_to(std::vector<u8>& out) const {
    out.insert(out.end(), bytes_.begin(), bytes_.end());
  }

 private:
  std::array<u8, kBytes> bytes_{};
  std::size_t at_ = 0;
};

}  // namespace

u32 TableBlob::append(std::span<const u8> data) {
  const u32 offset = size();
  bytes_.insert(bytes_.end(), data.begin(), data.end());
  return offset;
}

void TableBlob::align(u32 alignment) {
  bytes_.resize(align_up(bytes_.size(), alignment));
}

void TableBlob::patch(u32 offset, u64 value, unsigned size) {
  EMU_CHECK(range_fits(offset, size, bytes_.size()) && size <= 8);
  std::memcpy(bytes_.data() + offset, &value, size);
}

void TableBlob::add_pointer(u32 offset, unsigned size, const TableBlob& target, u32 target_offset) {
  patch(offset, target_offset, size);
  pointers_.push_back({offset, size, &target});
}

void TableBlob::add_checksum(u32 offset, u32 start, u32 length) {
  EMU_CHECK(range_fits(start, length, bytes_.size()) && offset < bytes_.size());
  bytes_[offset] = 0;
  checksums_.push_back({offset, start, length});
}

std::vector<u8> TableBlob::finished(std::span<const TableBlob* const> blobs,
                                    std::span<const u64> bases) const {
  std::vector<u8> out = bytes_;
  for (const Pointer& pointer : pointers_) {
    const auto it = std::find(blobs.begin(), blobs.end(), pointer.target);
    EMU_CHECK(it != blobs.end());
    u64 value = 0;
    std::memcpy(&value, out.data() + pointer.offset, pointer.size);
    value += bases[static_cast<std::size_t>(it - blobs.begin())];
    std::memcpy(out.data() + pointer.offset, &value, pointer.size);
  }
  for (const Checksum& checksum : checksums_) {
    u8 sum = 0;
    for (u32 i = 0; i < checksum.length; ++i) sum = static_cast<u8>(sum + out[checksum.start + i]);
    out[checksum.offset] = static_cast<u8>(out[checksum.offset] - sum);
  }
  return out;
}

std::vector<u8> TableBlob::loader_script(std::span<const Placement> placements) {
  std::vector<u8> out;
  for (const Placement& p : placements) {
    LoaderCommand(LoaderCommand::kAllocate)
        .file(p.blob->file_)
        .put(p.alignment)
        .put(static_cast<u8>(p.in_f_segment ? 2 : 1))
        .append_to(out);
  }
  for (const Placement& p : placements) {
    for (const Pointer& pointer : p.blob->pointers_) {
      LoaderCommand(LoaderCommand::kAddPointer)
          .file(p.blob->file_)
          .file(pointer.target->file_)
          .put(pointer.offset)
          .put(static_cast<u8>(pointer.size))
          .append_to(out);
    }
  }
  for (const Placement& p : placements) {
    for (const Checksum& checksum : p.blob->checksums_) {
      LoaderCommand(LoaderCommand::kAddChecksum)
          .file(p.blob->file_)
          .put(checksum.offset)
          .put(checksum.start)
          .put(checksum.length)
          .append_to(out);
    }
  }
  return out;
}

}  // namespace emu
