// SPDX-License-Identifier: Apache-2.0
// One block in lock-step: the optimised run, the reference, the comparison.
#include <fmt/core.h>

#include "frontend/decode_block.h"
#include "tcg/dump.h"
#include "tcg/lock_step.h"
#include "tcg/tcg_cpu.h"

namespace emu {
namespace {

std::string describe(const TranslatedBlock& block) {
  GuestBlock guest;
  const FetchWindow window{block.bytes, {}};
  DecodeLimits limits;
  limits.max_instructions = block.check.instructions;
  (void)decode_block(window, block.key.rip, __builtin_bit_cast(TranslationMode, block.key.mode),
                     limits, guest);
  EmittedBlock emitted;
  emitted.code.assign(block.code, block.code + block.code_bytes);
  emitted.map.assign(block.map.begin(), block.map.end());
  return describe_translation(guest, emitted, block.code);
}

std::string describe(std::string_view name, const CpuState& s) {
  constexpr std::string_view kNames[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                         "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
  std::string out = fmt::format("{}:\n", name);
  for (unsigned i = 0; i < 16; ++i) {
    out += fmt::format("  {:<3} {:#018x}{}", kNames[i], s.gpr[i], i % 4 == 3 ? "\n" : "");
  }
  return out + fmt::format("  rip {:#018x}  rflags {:#x}  cr0 {:#x}  cr2 {:#x}  cr3 {:#x}\n", s.rip,
                           s.rflags, s.cr0, s.cr2, s.cr3);
}

}  // namespace

// The optimised run. Nothing may go on to another block, and every page's first store is to be
// noticed.
void TcgCpu::run_optimised(TranslatedBlock& block) {
  const InCode in_code(*this);
  for_each_fill([this](u32 at) {
    frame_->tlb[at / kTlbEntries].write_tag[at % kTlbEntries] = kTlbInvalidTag;
  });
  __atomic_store_n(&frame_->jump_index_mask, u64{0}, __ATOMIC_SEQ_CST);
  lock_step_->begin(frame_->cpu);
  run_block(block);
  save_vectors();
  link_id_ = 0;
  if (engine_.options().lock_step_spoils == block.key.rip) frame_->cpu.gpr[kRax] ^= 1;
}

// One instruction, in the mode for single steps; false if it cannot be fetched.
bool TcgCpu::step_reference() {
  compute_mode();
  const auto look_up = [this] {
    const InCode in_code(*this);
    return lookup_block();
  };
  const TranslatedBlock* block = look_up();
  if (block == nullptr) {
    if (fetch_fault_ || fetch_uncached_) return false;
    translate();
    block = look_up();
    if (block == nullptr) return false;
  }
  const InCode in_code(*this);
  run_block(*block);
  save_vectors();
  return true;
}

// False: both ways do not end in the same state, which has been printed.
bool TcgCpu::run_in_lock_step() {
  LockStep& l = *lock_step_;
  TranslatedBlock& block = *l.pending;
  const unsigned instructions = block.check.instructions;
  const u64 clears = engine_.cache().counters().clears.load();
  --block.check.runs_left;
  const u64& left = counters_.leaves[static_cast<u32>(LeaveReason::kLeft)];
  const u64 left_before = left;
  run_optimised(block);
  const bool unshared = wants_unshared_;
  mode_stale_ = true;
  if (!l.take_back(frame_->cpu)) return true;
  frame_->cpu = l.start();
  wants_unshared_ = false;
  reference_run_ = true;
  // Through an exit all instructions are done, elsewhere as many as it takes.
  const bool early = unshared || left != left_before;
  unsigned steps = 0;
  bool fetched = true;
  const auto is_there = [&] {
    return early && (steps != 0 || unshared) && frame_->cpu.rip == l.after().rip;
  };
  while (fetched && !is_there() && steps < instructions) {
    // Translating may empty the cache, and `block` with it.
    fetched = step_reference() && engine_.cache().counters().clears.load() == clears;
    ++steps;
  }
  reference_run_ = false;
  mode_stale_ = true;
  wants_unshared_ = unshared;
  if (!fetched) {
    l.redo();
    frame_->cpu = l.after();
    return true;
  }
  l.end();
  ++counters_.lock_steps;
  const std::string differences = l.differences(frame_->cpu, block, delivered_ ? 0 : steps, *view_);
  if (differences.empty()) return true;
  fmt::print(stderr,
             "lock-step: after {} of {} instructions from {:#x} on, these differ:\n{}{}{}{}{}",
             steps, instructions, block.key.rip, differences, describe("before", l.start()),
             describe("optimised", l.after()), describe("reference", frame_->cpu), describe(block));
  return false;
}

}  // namespace emu
