// SPDX-License-Identifier: Apache-2.0
// Compressed clusters: zlib and zstd.
#include "block/qcow2/decompress.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "base/scope_exit.h"
#include "block/qcow2/qcow2_spec.h"

namespace emu::qcow2 {
namespace {

Result<void> inflate_cluster(std::span<const u8> in, std::span<u8> out) {
  z_stream stream{};
  if (::inflateInit2(&stream, -15) != Z_OK)  // negative: no zlib header
    return Error{ENOMEM, "zlib cannot start"};
  const ScopeExit end([&] { ::inflateEnd(&stream); });
  stream.next_in = const_cast<u8*>(in.data());  // zlib's interface; it does not write there
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = out.data();
  stream.avail_out = static_cast<uInt>(out.size());
  ::inflate(&stream, Z_FINISH);
  if (stream.avail_out == 0) return {};
  return Error{EIO, "a zlib-compressed cluster is damaged"};
}

struct ZstdFree {
  void operator()(ZSTD_DCtx* context) const { ::ZSTD_freeDCtx(context); }
};

Result<void> unzstd_cluster(std::span<const u8> in, std::span<u8> out) {
  const std::unique_ptr<ZSTD_DCtx, ZstdFree> context(::ZSTD_createDCtx());
  if (!context) return Error{ENOMEM, "zstd cannot start"};
  ZSTD_inBuffer source{in.data(), in.size(), 0};
  ZSTD_outBuffer target{out.data(), out.size(), 0};
  while (target.pos < target.size) {
    const std::size_t before = target.pos + source.pos;
    const std::size_t status = ::ZSTD_decompressStream(context.get(), &target, &source);
    if (::ZSTD_isError(status) != 0 || before == target.pos + source.pos)
      return Error{EIO, "a zstd-compressed cluster is damaged"};
  }
  return {};
}

}  // namespace

Result<void> decompress(u8 compression_type, std::span<const u8> in, std::span<u8> out) {
  return compression_type == kCompressionZstd ? unzstd_cluster(in, out) : inflate_cluster(in, out);
}

bool UnpackedClusters::read(u64 key, u64 inside, std::span<u8> out) {
  const std::lock_guard lock(mutex_);
  const auto slot =
      std::find_if(slots_.begin(), slots_.end(), [key](const Slot& s) { return s.key == key; });
  if (slot == slots_.end()) return false;
  std::memcpy(out.data(), slot->cluster.data() + inside, out.size());
  return true;
}

void UnpackedClusters::keep(u64 key, std::vector<u8> cluster) {
  const std::lock_guard lock(mutex_);
  slots_[next_] = {key, std::move(cluster)};
  next_ = (next_ + 1) % slots_.size();
}

void UnpackedClusters::clear() {
  const std::lock_guard lock(mutex_);
  slots_ = {};
}

}  // namespace emu::qcow2
