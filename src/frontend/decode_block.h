// SPDX-License-Identifier: Apache-2.0
// Guest bytes -> annotated block.
#pragma once

#include <span>

#include "frontend/guest_block.h"

namespace emu {

// The bytes a block may be decoded from: [rip, ...) up to the end of its page in `page`, and what
// follows in `next_page` (may be empty if that page cannot be fetched: then a block ends before an
// instruction that needs it, or has none at all).
struct FetchWindow {
  std::span<const u8> page;
  std::span<const u8> next_page;
};

enum class DecodeStatus : u8 {
  kOk,             // the block has at least one instruction (perhaps kInvalid)
  kNeedsNextPage,  // its first instruction runs over the page and next_page is empty
};

struct DecodeLimits {
  unsigned max_instructions = 64;
  u64 cs_limit = ~u64{0};  // last valid offset in CS; an instruction beyond it ends the block
};

class DecodeCache;

// Decodes a block at `rip` in `mode` into `block` (cleared first): classification, then backward
// liveness of the status flags. At a block's end all flags count as live, except after what is
// known of direct successors in the same window. Never fails otherwise; needs no locks. `cache`
// remembers instructions between calls; null: none.
[[nodiscard]] DecodeStatus decode_block(const FetchWindow& window, u64 rip, TranslationMode mode,
                                        const DecodeLimits& limits, GuestBlock& block,
                                        DecodeCache* cache = nullptr);

}  // namespace emu
