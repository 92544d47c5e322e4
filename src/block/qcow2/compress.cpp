// SPDX-License-Identifier: Apache-2.0
// Making compressed clusters: zlib and zstd.
#include "block/qcow2/compress.h"

#include <zlib.h>
#include <zstd.h>

#include <cerrno>

#include "base/scope_exit.h"
#include "block/qcow2/qcow2_spec.h"

namespace emu::qcow2 {
namespace {

Result<std::vector<u8>> deflate_cluster(std::span<const u8> in) {
  z_stream stream{};
  // -12: raw, with the window that readers of version 2 expect.
  if (::deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -12, 9, Z_DEFAULT_STRATEGY) !=
      Z_OK)
    return Error{ENOMEM, "zlib cannot start"};
  const ScopeExit end([&] { ::deflateEnd(&stream); });
  std::vector<u8> packed(in.size() - 1);
  stream.next_in = const_cast<u8*>(in.data());  // zlib's interface; it does not write there
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = packed.data();
  stream.avail_out = static_cast<uInt>(packed.size());
  if (::deflate(&stream, Z_FINISH) != Z_STREAM_END) return std::vector<u8>{};
  packed.resize(packed.size() - stream.avail_out);
  return packed;
}

Result<std::vector<u8>> zstd_cluster(std::span<const u8> in) {
  std::vector<u8> packed(in.size() - 1);
  const std::size_t n =
      ::ZSTD_compress(packed.data(), packed.size(), in.data(), in.size(), ZSTD_CLEVEL_DEFAULT);
  if (::ZSTD_isError(n) != 0) return std::vector<u8>{};
  packed.resize(n);
  return packed;
}

}  // namespace

Result<std::vector<u8>> compress(u8 compression_type, std::span<const u8> cluster) {
  return compression_type == kCompressionZstd ? zstd_cluster(cluster) : deflate_cluster(cluster);
}

}  // namespace emu::qcow2
