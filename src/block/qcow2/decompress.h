// SPDX-License-Identifier: Apache-2.0
// Compressed clusters.
// Source: qcow2 spec: compressed clusters, compression type (zlib is a raw deflate stream).
#pragma once

#include <array>
#include <mutex>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/types.h"

namespace emu::qcow2 {

// Unpacks one cluster: fills `out` from the start of `in`, whose tail may be garbage. Errors (EIO):
// the stream is damaged or too short.
[[nodiscard]] Result<void> decompress(u8 compression_type, std::span<const u8> in,
                                      std::span<u8> out);

// The clusters unpacked last, so that small sequential reads unpack each only once.
// Threads: any.
class UnpackedClusters {
 public:
  // Copies [inside, inside + out.size()) of the cluster known as `key`; false if it is not here.
  [[nodiscard]] bool read(u64 key, u64 inside, std::span<u8> out);
  void keep(u64 key, std::vector<u8> cluster);
  // Another cluster may come to lie where one was.
  void clear();

 private:
  struct Slot {
    u64 key = 0;  // 0: empty
    std::vector<u8> cluster;
  };
  std::mutex mutex_;
  std::array<Slot, 8> slots_;
  std::size_t next_ = 0;
};

}  // namespace emu::qcow2
