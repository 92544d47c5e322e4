// SPDX-License-Identifier: Apache-2.0
// Annotated block -> host code.
#pragma once

#include "frontend/guest_block.h"
#include "tcg/emitted_block.h"
#include "tcg/stub_table.h"
#include "tcg/tcg_options.h"

namespace emu {

// Whether the emitter can read the immediate operand of `g` from guest memory when it runs; if so
// its place in the instruction.
struct ImmediatePlace {
  u8 offset = 0;
  u8 length_bytes = 0;  // 0: it cannot
};
[[nodiscard]] ImmediatePlace live_immediate_place(const GuestInstruction& g);

// Emits blocks. One per translating thread: it keeps its assembler and scratch between blocks.
class BlockEmitter {
 public:
  // `stubs` is looked at by each emit(): `indirect_exit` may change between them. It outlives this.
  BlockEmitter(const StubTable& stubs, const TcgOptions& options);
  ~BlockEmitter();
  BlockEmitter(const BlockEmitter&) = delete;
  BlockEmitter& operator=(const BlockEmitter&) = delete;

  // Emits `block` for execution at `host_address` (64-byte aligned); the exit ids in it count up
  // from `first_exit_id`. Instructions the emitter cannot handle raise #UD at run time and are
  // logged once. `out` is cleared first.
  void emit(const GuestBlock& block, const u8* host_address, u32 first_exit_id, EmittedBlock& out);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace emu
