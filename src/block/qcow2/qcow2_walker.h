// SPDX-License-Identifier: Apache-2.0
// Reads the tables of a qcow2 image straight from its file, where nobody caches them dirty.
#pragma once

#include <algorithm>
#include <vector>

#include "base/bits.h"
#include "block/qcow2/qcow2_header.h"

namespace emu::qcow2 {

class Walker {
 public:
  // Both must outlive the walker.
  Walker(ByteFile& file, const Header& header) : file_(file), h_(header) {}

  // The entries of an L1 or bitmap table. Errors: the host's; more tables than a real image has.
  Result<std::vector<u64>> read_table(u64 offset, u64 entries) {
    return read_strided(offset, entries, kEntryBytes);
  }
  // The first words of the entries of an L2 table.
  Result<std::vector<u64>> read_l2(u64 offset) {
    return read_strided(offset, h_.l2_entries(), h_.l2_entry_bytes());
  }
  // Calls use(first byte, length) for what an L2 entry refers to in this file.
  template <class F>
  void each_use(u64 word, F&& use) const {
    if (h_.external_data()) return;
    if ((word & kEntryCompressed) != 0) {
      const unsigned x = 62 - (h_.cluster_bits - 8);
      const u64 host = bits(word, 0, x);
      use(host, (bits(word, x, 62 - x) + 1) * 512 - (host & 511));
    } else if (const u64 host = word & kEntryOffsetMask; host != 0) {
      use(host, h_.cluster_bytes());
    }
  }

 private:
  // A made-up image must not keep us busy for hours.
  static constexpr u64 kMaxTableBytesRead = 16 * kGiB;

  Result<std::vector<u64>> read_strided(u64 offset, u64 entries, u64 stride) {
    std::vector<u8> bytes(entries * stride);
    budget_ -= std::min<u64>(budget_, bytes.size());
    if (budget_ == 0) return fail("{} has more tables than a real image can have", file_.path());
    EMU_TRY(file_.read_flat(offset, bytes));
    std::vector<u64> words(entries);
    for (u64 i = 0; i < entries; ++i) words[i] = load_be<u64>(&bytes[i * stride]);
    return words;
  }

  ByteFile& file_;
  const Header& h_;
  u64 budget_ = kMaxTableBytesRead;
};

}  // namespace emu::qcow2
