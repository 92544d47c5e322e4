// SPDX-License-Identifier: Apache-2.0
// Switches of the translator.
#pragma once

#include <string>

#include "base/types.h"

namespace emu {

// Which ring-3 code runs natively in a process of its own.
enum class NativeUser : u8 { kOff, kComputing, kAlways };

struct TcgOptions {
  u64 code_cache_bytes = 256 * kMiB;
  unsigned max_block_instructions = 64;
  // The first runs of each translation that are compared with one made without optimisation, one
  // instruction at a time; 0: none. See lock_step.h.
  unsigned lock_step_runs = 0;
  bool chain = true;            // link direct exits
  bool jump_cache = true;       // look indirect jumps up in generated code
  bool pair_returns = true;     // guest calls and returns use the host's return prediction
  bool share_checks = true;     // one check for several accesses
  bool predict_pages = false;   // accesses remember their last TLB entry
  bool dead_flags = true;       // skip saving flags that nobody reads
  bool stay_inside = true;      // system instructions that change the mode go on in generated code
  bool park_pages = true;       // pages that are written more than run cost little to write
  bool live_immediates = true;  // constants that the guest keeps patching are read when used
  bool decode_cache = true;     // instruction forms seen lately are not decoded again
  bool move_code = true;        // code mapped at another address is a copy of its translation
  bool tag_tlb = true;          // address spaces with a PCID keep their TLB entries
  NativeUser native_user = NativeUser::kComputing;
  bool one_instruction_blocks = false;
  bool perf_map = false;     // write /tmp/perf-PID.map
  u64 lock_step_spoils = 0;  // the block at this RIP is made to differ: does lock-step see it?
  u64 dump_block = 0;        // print the block at this RIP whenever it is translated; 0: none

  bool operator==(const TcgOptions&) const = default;
};

}  // namespace emu
