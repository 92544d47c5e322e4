// SPDX-License-Identifier: Apache-2.0
// Emission of one block: what the parts of the emitter (plain instructions, stack, strings, control
// transfer, system calls, masked memory) share. Private to the emitter.
//
// Conventions inside one guest instruction: kT0, kT1 and kT2 are free; nothing lives in them from
// one instruction to the next. An address is first put into kT0 as an offset in its segment; then
// begin_access() turns it into a host address [kT0 + kT1] (see StubTable::slow_access). Everything
// between begin_access() and end_access() is emitted again behind the slow path of a store, so it
// must be free of relative jumps out of itself and ends with the instruction's register changes.
#pragma once

#include <bitset>

#include "frontend/guest_block.h"
#include "tcg/emit_renamed.h"
#include "tcg/emitted_block.h"
#include "tcg/frame.h"
#include "tcg/host_assembler.h"
#include "tcg/register_map.h"
#include "tcg/share_plan.h"
#include "tcg/stub_table.h"
#include "tcg/system_handlers.h"
#include "tcg/tcg_options.h"

namespace emu {

// One data access of an instruction.
struct Access {
  unsigned size = 0;  // bytes, 1..64
  bool read = false;
  bool write = false;
  u8 segment = kDs;
  // More stores follow in this instruction (or a control transfer): use commit_part.
  bool partial = false;
  bool implicit_supervisor = false;
  bool linear = false;          // kT0 is a linear address already
  bool flags_in_frame = false;  // save_flags() was done, host flags are free
  bool masked = false;          // a miss is handled element by element (emit_masked.cpp)
  bool predict = false;         // likely on the same page as last time
};

// Where the guest's live status flags are at a point of the block.
enum class FlagPlace : u8 {
  kHost,    // in host flags
  kRecipe,  // host flags are free; the recipe makes them again
  kFrame,   // host flags are free; saved in frame.spill[7]
};

// How to make the flags of an earlier instruction again from registers that still hold its operands
// or result. Flags that were undefined may come out differently.
struct FlagRecipe {
  enum class Kind : u8 {
    kNone,
    kRepeat,  // emit the comparison again
    kTest,    // AND, OR, XOR: flags depend on the result only
    kAdd,     // the result minus `other` or `imm`, plus it again
    kSub,     // the result plus `other` or `imm`, compared with it
  };
  Kind kind = Kind::kNone;
  u8 reg = kNoRegister;    // host register of the result
  u8 other = kNoRegister;  // host register of the second operand, or an immediate
  u8 size = 8;
  i32 imm = 0;
  i32 bias = 0;  // the result is reg + bias by now (the stack pointer moves on)
  u16 uses = 0;  // guest registers that must not change
  const GuestInstruction* guest = nullptr;
};

class EmitContext {
 public:
  EmitContext(const StubTable& stubs, const TcgOptions& options)
      : stubs_(stubs), options_(options) {}

  void emit_block(const GuestBlock& block, const u8* host_address, u32 first_exit_id,
                  EmittedBlock& out);

 private:
  using HostReg = u8;

  // A guest address, or minus one, into a host register.
  void load_rip(HostReg to, u64 rip, Relocation::Kind kind = Relocation::Kind::kRip) {
    if (!as_.mov_relocated(to, rip, kind)) out_->movable = false;
  }

  // block_emitter.cpp: the block, its cold parts and its map
  void emit_instruction(const GuestInstruction& g);
  void add_map_entry(const GuestInstruction& g);
  void emit_cold_parts();
  void emit_live_immediate(const GuestInstruction& g);
  void emit_special(const GuestInstruction& g);

  // emit_operands.cpp: registers and flags
  [[nodiscard]] HostReg host_register(u8 guest, HostReg scratch);  // loads it if it is in the frame
  void write_register(u8 guest, HostReg from, unsigned size);  // with x86 rules for partial writes
  void save_flags();                                           // to the frame; uses kT2
  void restore_flags();                                        // from the frame; uses kT2

  // emit_flags.cpp: live flags across inline checks
  void prepare_flags(const GuestInstruction& g);
  void finish_flags(const GuestInstruction& g);
  void free_flags(const GuestInstruction& g);  // host flags may be changed after this
  void settle_flags();                         // the guest's flags are in host flags; uses kT2
  void settle_flags_at_exit(const GuestInstruction& g);
  void make_flags(FlagPlace place, const FlagRecipe& recipe);
  [[nodiscard]] bool must_settle(const GuestInstruction& g) const;
  [[nodiscard]] bool flags_needed(const GuestInstruction& g) const {
    return g.flags_live_before != 0 || !options_.dead_flags;
  }

  // emit_memory.cpp
  [[nodiscard]] static const ZydisDecodedOperand* memory_operand(const GuestInstruction& g);
  [[nodiscard]] static u8 segment_of(const ZydisDecodedOperand& op);
  // kT0 = offset of the operand in its segment, plus `extra` bytes.
  void load_offset(const GuestInstruction& g, const ZydisDecodedOperand& op, i64 extra = 0);
  void load_pointer(u8 guest, unsigned address_bytes);  // kT0 = register as an offset
  void truncate_offset(unsigned address_bytes);         // kT0
  // kT0: offset -> linear address, with the segment's checks if it needs any. Changes host flags
  // (not with `size` 0: no check). Uses kT1 and kT2.
  void to_linear(const GuestInstruction& g, u8 segment, unsigned size, bool write, FlagPlace place);
  void add_segment_base(u8 segment);
  [[nodiscard]] bool needs_limit_check(u8 segment) const;
  void begin_access(const GuestInstruction& g, const Access& access);
  void end_access();

  struct ColdPart;

  // emit_shared.cpp: accesses that may share a check. Both return the host operand and are followed
  // by end_access().
  [[nodiscard]] HostMem open_operand(const GuestInstruction& g, const ZydisDecodedOperand& op,
                                     const Access& access);
  // At rSP (LEAVE: rBP) + displacement.
  [[nodiscard]] HostMem open_stack(const GuestInstruction& g, i64 displacement,
                                   const Access& access);
  void load_stack_address(const GuestInstruction& g, i64 displacement);
  void check_group(const GuestInstruction& g, const SharedUse& use, const Access& access);
  [[nodiscard]] HostMem shared_operand(const SharedUse& use);
  [[nodiscard]] i32 tag_offset(bool write) const;
  // The jump taken unless TLB entry kT1 = that of kT0 fits for `span` bytes from kT0 on; kT2 is the
  // page of the last one.
  [[nodiscard]] u32 emit_lookup(unsigned span, bool write);
  [[nodiscard]] u32 emit_tag_check(unsigned span, bool write);
  void load_delta();  // kT1: from TLB entry to the delta
  void check_predicted(unsigned size, bool write, ColdPart& part);
  [[nodiscard]] SharedUse shared_use(const GuestInstruction& g, AccessSite site) const;

  [[nodiscard]] static HostMem host_operand() { return HostMem::sum(kT0, kT1); }
  [[nodiscard]] unsigned stack_bytes() const;  // size of the stack pointer: 2, 4 or 8
  void load_stack_offset(i64 displacement);    // kT0 = rSP + displacement, wrapped
  void adjust_stack(i64 displacement);         // rSP += displacement; uses kT2

  // emit_plain.cpp
  void emit_plain(const GuestInstruction& g);
  void emit_with_memory(const GuestInstruction& g, const HostMem& memory, bool t1_free);

  // emit_stack.cpp
  void emit_stack(const GuestInstruction& g);
  void emit_push(const GuestInstruction& g);
  void emit_pop(const GuestInstruction& g);
  void emit_push_all(const GuestInstruction& g);
  void emit_pop_all(const GuestInstruction& g);
  void emit_enter(const GuestInstruction& g);
  void load_frame_pointer(u8 to, i64 step);
  void emit_leave(const GuestInstruction& g);

  // emit_string.cpp
  void emit_string(const GuestInstruction& g);
  void load_direction();  // kT2 = 0 or -1 (DF set); uses kT1
  void advance(u8 guest, unsigned element, unsigned address_bytes);  // by kT2; uses kT0

  // emit_control.cpp
  void emit_control(const GuestInstruction& g);
  void emit_jump(const GuestInstruction& g);
  void emit_call(const GuestInstruction& g);
  void emit_return(const GuestInstruction& g);
  void emit_loop(const GuestInstruction& g);
  void load_target(const GuestInstruction& g);  // kT0 = indirect target
  [[nodiscard]] u64 direct_target(const GuestInstruction& g) const;
  [[nodiscard]] u64 next_rip(const GuestInstruction& g) const;

  // emit_exits.cpp
  void exit_direct(u64 target);
  void exit_to_memory_set(const GuestInstruction& g, MemorySet set);
  void add_exit(u64 target, u32 field, bool unshared = false);
  void exit_conditional(u8 condition, u64 target);
  void emit_poll(u64 target);
  void emit_indirect_exit();  // target in kT0
  // Calls and returns; see the return stack in stub_table.h. `back` is where the call returns to.
  void call_direct(u64 target, u64 back);
  void call_indirect(u64 back);
  void exit_return();
  void emit_indirect(bool call);
  [[nodiscard]] bool pairs_returns() const;
  void emit_return_landing(u64 back);

  // emit_system.cpp
  void emit_system(const GuestInstruction& g);
  void load_system_operand(const GuestInstruction& g, const ZydisDecodedOperand& op);
  void call_handler(SystemCall call);
  void load_call(const SystemCall* call);
  [[nodiscard]] const SystemCall* keep(SystemCall call);
  [[nodiscard]] SystemCall describe(const GuestInstruction& g) const;

  // emit_inline_system.cpp: system instructions with a fast path; false if this mode has none
  [[nodiscard]] bool emit_inline_system(const GuestInstruction& g);
  void emit_read_tsc();
  void emit_set_interrupts(const GuestInstruction& g);
  [[nodiscard]] bool emit_segment_base(const GuestInstruction& g);
  [[nodiscard]] bool emit_access_switch(const GuestInstruction& g);
  void lift_access_checks(const GuestInstruction& g);
  void restore_access_checks(const GuestInstruction& g);
  void enter_memory_set(MemorySet set);
  [[nodiscard]] bool emit_transfer(const GuestInstruction& g);
  [[nodiscard]] bool emit_string_in_page(const GuestInstruction& g, const SystemCall& call);
  void emit_raise(u8 vector, bool has_error);
  void raise_unsupported(const GuestInstruction& g);

  // emit_special.cpp, emit_legacy.cpp: one function an instruction
  void emit_lea(const GuestInstruction& g);
  void emit_mov_from_segment(const GuestInstruction& g);
  void emit_xlat(const GuestInstruction& g);
  void keep_bits(u64 mask);
  void emit_flag(u64 flag, bool set);
  void emit_swapgs();
  void emit_push_flags(const GuestInstruction& g);
  void emit_bit_string(const GuestInstruction& g);
  void emit_bound(const GuestInstruction& g);
  void emit_salc();
  void emit_aam(const GuestInstruction& g);
  void emit_aad(const GuestInstruction& g);

  // emit_masked.cpp
  struct Elements {          // how a mask selects parts of a memory operand
    unsigned count = 1;      // of the memory operand
    unsigned mask_bits = 1;  // more than `count` if elements are broadcast
    unsigned bytes = 0;      // of one element
    bool whole = false;      // accessed as a whole if any mask bit is set
    bool packed = false;     // compress and expand: the first popcount(mask) elements
  };
  void emit_masked(const GuestInstruction& g);
  void emit_masked_operand(const GuestInstruction& g);
  void emit_mask_move(const GuestInstruction& g);  // MASKMOVDQU and MASKMOVQ
  void emit_gather(const GuestInstruction& g);
  void emit_zero_upper(const GuestInstruction& g);
  void load_mask(const GuestInstruction& g, const Elements& elements);  // kT1
  [[nodiscard]] u32 next_element();
  enum Pass : u8 { kLoad, kProbe, kStore };
  void element_loop(const GuestInstruction& g, const Elements& e, Pass pass);
  void move_element(const GuestInstruction& g, unsigned bytes, Pass pass, u8 segment, bool linear);
  void masked_operation(const GuestInstruction& g, const HostMem& buffer);
  void move_sse(const GuestInstruction& g, const HostMem& buffer);
  [[nodiscard]] static unsigned gather_index_bytes(ZydisMnemonic mnemonic);
  [[nodiscard]] static Elements elements_of(const GuestInstruction& g);

  // Code behind the block for what seldom happens.
  struct ColdPart {
    enum class Kind : u8 { kAccess, kMasked, kSegment, kExit, kPoll, kShared };
    Kind kind = Kind::kAccess;
    FlagPlace flags = FlagPlace::kHost;
    FlagRecipe recipe;
    bool write = false;
    bool partial = false;
    u32 from = 0;      // rel32 field that leads here (kAccess, kSegment)
    u32 back = 0;      // offset to return to
    u32 end = 0;       // kAccess with write: end of what is emitted again
    u32 number = 0;    // AccessInfo, index of an exit or a poll
    u64 target = 0;    // kPoll
    SharedUse shared;  // kShared
    // Where to go on with the right TLB entry in kT1; kAccess: the site that predicts it.
    u32 site = ~0u;  // none
    u32 hit = 0;
    const SystemCall* call = nullptr;
    const GuestInstruction* guest = nullptr;
  };
  void emit_cold_access(const ColdPart& part);
  void emit_cold_segment(const ColdPart& part);
  void emit_cold_shared(const ColdPart& part);
  void emit_cold_masked(const ColdPart& part);
  void emit_slow_access(const ColdPart& part);  // from kT0

  const StubTable& stubs_;
  const TcgOptions& options_;
  HostAssembler as_;
  EmittedBlock* out_ = nullptr;
  const GuestBlock* block_ = nullptr;
  const GuestInstruction* current_ = nullptr;
  TranslationMode mode_;
  u32 first_exit_id_ = 0;
  std::vector<ColdPart> cold_;
  static constexpr u32 kNoSite = ~0u;
  u32 next_site_ = 0;
  static constexpr std::size_t kNoAccess = ~std::size_t{0};
  std::size_t open_access_ = kNoAccess;  // index in cold_
  SharePlan plan_;
  const SharedGroup* in_t1_ = nullptr;  // kT1 is this group's host address
  FlagPlace flags_ = FlagPlace::kHost;
  FlagRecipe recipe_;
  bool settle_in_access_ = false;  // begin_access() puts the flags back after its check
  std::bitset<ZYDIS_MNEMONIC_MAX_VALUE + 1> logged_;
};

}  // namespace emu
