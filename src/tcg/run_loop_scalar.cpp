// SPDX-License-Identifier: Apache-2.0
// The part of a vCPU's life that runs with the guest's vector registers live: dispatch, events,
// faults, and what stubs call.
// Source: Intel SDM vol. 3 6.9 (event priorities), 17.3.1.4 (single step), 6.8.3 (shadows).
#include "base/bits.h"
#include "cpu/debug_registers.h"
#include "cpu/delivery.h"
#include "cpu/smm.h"
#include "cpu/xsave_layout.h"
#include "tcg/host_thread.h"
#include "tcg/tcg_cpu.h"

namespace emu {
namespace {

constexpr u64 kOffsetMask = kPageBytes - 1;
constexpr u64 kExecValid = 2;
constexpr u64 kJumpIndexMask = kJumpCacheEntries - 1;
constexpr u64 kPollTrap = 8;  // an address no process has

u32 flags_from_stub(u64 image) {
  return static_cast<u32>(((image >> 8) & 0xd5) | ((image & 1) << 11));
}

}  // namespace

void TcgCpu::save_vectors() noexcept {
  if (vectors_saved_) return;
  const u32 low = static_cast<u32>(xsave_mask_);
  const u32 high = static_cast<u32>(xsave_mask_ >> 32);
  constexpr u32 kMxcsr = kMxcsrReset;
  asm volatile(
      "xsaveopt64 %0\n\t"
      "fninit\n\t"
      "ldmxcsr %3\n\t"
      "vzeroupper"
      : "+m"(frame_->cpu.xsave)
      : "a"(low), "d"(high), "m"(kMxcsr)
      : "memory");
  vectors_saved_ = true;
}

void TcgCpu::restore_vectors() noexcept {
  if (!vectors_saved_) return;
  const u32 low = static_cast<u32>(xsave_mask_);
  const u32 high = static_cast<u32>(xsave_mask_ >> 32);
  asm volatile("xrstor64 %0" : : "m"(frame_->cpu.xsave), "a"(low), "d"(high) : "memory");
  vectors_saved_ = false;
}

void TcgCpu::take_flags_from_stub() noexcept {
  CpuState& s = frame_->cpu;
  s.rflags = (s.rflags & ~kFlagsArithmetic) | flags_from_stub(frame_->stub_flags);
}

void TcgCpu::set_rip_at(const u8* pc) noexcept {
  const InstructionAt at = engine_.cache().instruction_at(pc);
  if (at.block != nullptr) frame_->cpu.rip = at.rip;
}

void TcgCpu::fault(const Fault& f) noexcept {
  ++counters_.faults;
  end_split_lock();  // an operation on the copy that faulted
  deliver_fault(core_, f);
  delivered_ = true;
  mode_stale_ = true;
  leave();
}

u64 TcgCpu::engine_tsc() const noexcept {
  return __builtin_ia32_rdtsc() + frame_->tsc_bias;
}

u64 TcgCpu::linear_rip() const noexcept {
  const CpuState& s = frame_->cpu;
  return mode_.code64() ? s.rip : (s.segments[kCs].base + s.rip) & 0xffffffff;
}

// Fills the execute TLB for `linear`; false leaves fetch_fault_ or fetch_uncached_.
bool TcgCpu::fill_exec(u64 linear, unsigned index) noexcept {
  const bool user = mode_.cpl == 3;
  const u64 page = linear & ~kOffsetMask;
  PageAccess access;
  access.fetch = true;
  access.user = user;
  PageTranslation t;
  fetch_uncached_ = false;
  fetch_fault_ = walk_page(core_, LinearAddr{linear}, access, t);
  if (fetch_fault_) return false;
  const u64 phys = t.physical.value & ~kOffsetMask;
  const FlatRange* range = find_range(phys);
  if (range == nullptr || range->ram == nullptr || !range->contains(phys + kOffsetMask)) {
    fetch_uncached_ = true;
    return false;
  }
  if (exec_log_[t.global ? 1 : 0].count == kExecLogEntries) flush_exec(true);
  ExecInfo& x = exec_info_[index];
  x.linear_page = page | kExecValid | (user ? 1 : 0);
  x.host = range->host(phys);
  x.ram = range->ram;
  x.ram_page = (range->ram_offset + (phys - range->start)) / kPageBytes;
  x.global = t.global;
  x.large = t.page_bytes > kPageBytes;
  const u64 key = page | (user ? 1 : 0);
  PageIdEntry& id = page_ids_[((page >> 12) ^ (page >> 22)) & (kPageIdCacheEntries - 1)];
  if (id.linear != key || id.host != x.host) {
    save_vectors();
    id = {key, x.host, engine_.page_id(key, x.host)};
  }
  frame_->itlb_id[index] = id.id;
  ExecLog& log = exec_log_[x.global ? 1 : 0];
  log.at[log.count++] = static_cast<u16>(index);
  return true;
}

// The block at cpu.rip in the current mode; null with fetch_fault_, fetch_uncached_, or neither
// (to be translated).
TranslatedBlock* TcgCpu::lookup_block() noexcept {
  const CpuState& s = frame_->cpu;
  const u64 linear = linear_rip();
  fetch_fault_ = Fault::none();
  fetch_uncached_ = false;
  if (mode_.code64() ? !is_canonical(linear) : s.rip > s.segments[kCs].limit) {
    fetch_fault_ = Fault::gp();
    return nullptr;
  }
  const unsigned index = static_cast<unsigned>((linear >> 12) & (kItlbEntries - 1));
  const ExecInfo& x = exec_info_[index];
  const u64 tag = (linear & ~kOffsetMask) | kExecValid | (mode_.cpl == 3 ? 1 : 0);
  if (x.linear_page != tag && !fill_exec(linear, index)) return nullptr;
  const BlockKey key{x.host + (linear & kOffsetMask), s.rip, block_mode().packed()};
  // A new block is looked up several times: to be linked, and to be run.
  if (found_ != nullptr && found_->key == key && found_->valid.load(std::memory_order_seq_cst)) {
    return found_;
  }
  TranslatedBlock* block = engine_.cache().find(key);
  if (block != nullptr) found_ = block;
  return block;
}

void TcgCpu::find_jump_slot() noexcept {
  if (jump_slot_ <= kJumpCacheSlots) return;
  const u32 mode = mode_.packed();
  KnownSlot& known = known_slots_[(mode * 0x9e3779b1u) >> 26];
  if (known.mode != mode) {
    save_vectors();
    known = {mode, engine_.jump_slot(mode)};
  }
  jump_slot_ = known.slot;
}

void TcgCpu::cache_jump(const TranslatedBlock& block) noexcept {
  if (mode_.single_step || !engine_.options().jump_cache || wants_unshared_ ||
      block.check.runs_left != 0) {
    return;
  }
  const unsigned index = static_cast<unsigned>(block.key.rip & kJumpIndexMask);
  if (index == 0) return;
  if (jump_slot_ == kJumpCacheSlots) return;
  JumpCacheSlot& slot = frame_->jump_cache[jump_slot_];
  const u64 page = linear_rip() >> 12;
  // An entry that replaces another is logged again: it may belong to the other log.
  JumpLog& log = jump_log_[exec_info_[page & (kItlbEntries - 1)].global ? 1 : 0];
  if (log.count == kJumpLogEntries) flush_jump_cache(true);
  log.at[log.count++] = jump_slot_ * kJumpCacheEntries + index;
  jump_pages_[page & 63] |= u64{1} << ((page >> 6) & 63);
  __atomic_store_n(&slot.code[index], block.code, __ATOMIC_RELAXED);
  __atomic_store_n(&slot.negated_rip[index], u64{0} - block.key.rip, __ATOMIC_SEQ_CST);
  // Whoever drops a block marks it first and then looks for it here.
  if (!block.valid.load(std::memory_order_seq_cst)) {
    __atomic_store_n(&slot.negated_rip[index], u64{0}, __ATOMIC_RELAXED);
  }
}

void TcgCpu::drop_jump_cache(const TranslatedBlock& block) noexcept {
  const auto index = static_cast<unsigned>(block.key.rip & kJumpIndexMask);
  if (index == 0) return;
  for (JumpCacheSlot& slot : frame_->jump_cache) {
    if (__atomic_load_n(&slot.code[index], __ATOMIC_RELAXED) == block.code) {
      __atomic_store_n(&slot.negated_rip[index], u64{0}, __ATOMIC_RELEASE);
    }
  }
}

void TcgCpu::forget_code() noexcept {
  for (unsigned i = 0; i < kPageIdCacheEntries; ++i) page_ids_[i] = {};
  flush_exec(true);
  other_spaces_.forget_all();
  found_ = nullptr;
  jump_slot_ = kJumpCacheSlots + 1;
  for (KnownSlot& k : known_slots_) k = {};
}

void TcgCpu::note_pause() noexcept {
  const u64 now = __builtin_ia32_rdtsc();
  const bool waiting = now - last_pause_ < kPauseGap;
  last_pause_ = now;
  pauses_in_a_row_ = waiting ? pauses_in_a_row_ + 1 : 0;
  if (pauses_in_a_row_ < kPausesToYield) return;
  pauses_in_a_row_ = 0;
  yield_host();
}

TcgCpu::Service TcgCpu::stop_for(Service service) noexcept {
  save_vectors();
  in_code_.store(false, std::memory_order_seq_cst);
  return service;
}

void TcgCpu::rearm_polls() noexcept {
  const u64 good = reinterpret_cast<u64>(poll_byte_);
  if (__atomic_load_n(&frame_->poll_pointer, __ATOMIC_SEQ_CST) == good &&
      __atomic_load_n(&frame_->jump_index_mask, __ATOMIC_SEQ_CST) == kJumpIndexMask) {
    return;
  }
  __atomic_store_n(&frame_->poll_pointer, good, __ATOMIC_SEQ_CST);
  __atomic_store_n(&frame_->jump_index_mask, kJumpIndexMask, __ATOMIC_SEQ_CST);
}

void TcgCpu::request_exit(u32 request) noexcept {
  requests_.fetch_or(request, std::memory_order_seq_cst);
  if (const int pid = native_pid_.load(std::memory_order_seq_cst)) interrupt_user_process(pid);
  __atomic_store_n(&frame_->poll_pointer, kPollTrap, __ATOMIC_SEQ_CST);
  __atomic_store_n(&frame_->jump_index_mask, u64{0}, __ATOMIC_SEQ_CST);
}

bool TcgCpu::take_requests(Service& service) noexcept {
  const u32 requests = requests_.load(std::memory_order_seq_cst);
  if (requests == 0) return false;
  if ((requests & kRequestPark) != 0) {
    requests_.fetch_and(~kRequestPark, std::memory_order_seq_cst);
    service = Service::kPark;
    return true;
  }
  if ((requests & (kRequestKick | kRequestFlush | kRequestInit | kRequestSipi)) != 0) {
    service = Service::kRequests;
    return true;
  }
  if ((requests & kRequestWriteFlush) != 0) {
    requests_.fetch_and(~kRequestWriteFlush, std::memory_order_seq_cst);
    for_each_fill([this](u32 at) {
      frame_->tlb[at / kTlbEntries].write_tag[at % kTlbEntries] = kTlbInvalidTag;
    });
  }
  CpuState& s = frame_->cpu;
  if ((requests & kRequestNmi) != 0) {
    requests_.fetch_and(~kRequestNmi, std::memory_order_seq_cst);
    s.nmi_pending = true;
  }
  if ((requests & kRequestSmi) != 0) {
    requests_.fetch_and(~kRequestSmi, std::memory_order_seq_cst);
    s.smi_pending = true;
  }
  return false;
}

// An external interrupt is about to be delivered: what does it find?
void TcgCpu::note_user_tick() noexcept {
  const CpuState& s = frame_->cpu;
  if (!user_policy_.on() || s.cpl() != 3 || mode_.code() == CodeSize::k16) return;
  const u64 system_calls = counters_.system[ZYDIS_MNEMONIC_SYSCALL] +
                           counters_.system[ZYDIS_MNEMONIC_SYSENTER] +
                           counters_.system[ZYDIS_MNEMONIC_INT];
  user_policy_.tick(s.cr3, system_calls + counters_.faults, thread_time_ns());
}

// Delivers the pending event of highest priority, if the state lets it.
void TcgCpu::take_interrupts() noexcept {
  CpuState& s = frame_->cpu;
  if (s.activity == Activity::kShutdown || s.activity == Activity::kWaitForSipi) return;
  if (s.smi_pending && !s.smm && !s.interrupt_shadow) {
    s.smi_pending = false;
    save_vectors();
    bus_->smm_changed(true);
    refresh_view();
    flush_tlb(true);
    enter_smm(core_);
    s.activity = Activity::kRunning;
    mode_stale_ = true;
    apply_effects();
  }
  if (s.nmi_pending && !s.nmi_blocked && !s.interrupt_shadow) {
    s.nmi_pending = false;
    deliver_nmi(core_, false);
    mode_stale_ = true;
  }
  if (interrupt_line() && can_take_interrupt(s)) {
    save_vectors();
    if (const auto vector = bus_->acknowledge_interrupt()) {
      ++counters_.interrupts;
      note_user_tick();
      deliver_interrupt(core_, *vector, false);
      mode_stale_ = true;
    }
  }
}

// What a return with no call before it does.
void TcgCpu::set_return_stack_end() noexcept {
  const unsigned slot = mode_.single_step ? kJumpCacheSlots : jump_slot_;
  store_le(reinterpret_cast<u8*>(frame_->return_stack_top),
           reinterpret_cast<u64>(engine_.stubs().return_underflow[slot]));
}

// The code of cpu.rip after an instruction that changed it or the mode, if nothing else has to be
// done first; null: the run loop finds out what.
const u8* TcgCpu::continue_inside() noexcept {
  const CpuState& s = frame_->cpu;
  if (!engine_.options().stay_inside || mode_.single_step ||
      requests_.load(std::memory_order_seq_cst) != 0 || interrupt_line() || s.interrupt_shadow ||
      s.nmi_pending || s.smi_pending || s.activity != Activity::kRunning ||
      (lock_step_ && lock_step_->phase() != LockStep::Phase::kOff)) {
    return nullptr;
  }
  wants_unshared_ = false;
  refresh_mode();
  if (mode_.single_step || wants_native()) return nullptr;
  find_jump_slot();
  const u8* code = nullptr;
  const u64 index = s.rip & kJumpIndexMask;
  if (mode_.code64() && jump_slot_ < kJumpCacheSlots && index != 0) {
    const JumpCacheSlot& slot = frame_->jump_cache[jump_slot_];
    if (slot.negated_rip[index] + s.rip == 0) code = slot.code[index];
  }
  if (code == nullptr) {
    const TranslatedBlock* block = lookup_block();
    if (block == nullptr || block->check.runs_left != 0) return nullptr;
    cache_jump(*block);
    code = block->code;
  }
  set_return_stack_end();
  if (vectors_saved_) restore_vectors();
  return code;
}

// Runs `block` (and whatever it is linked to) with single-step and breakpoint bookkeeping.
void TcgCpu::run_block(const TranslatedBlock& block) noexcept {
  CpuState& s = frame_->cpu;
  const bool step = mode_.single_step;
  const bool trap = step && (s.rflags & kFlagTf) != 0;
  const u64 resume = s.rflags & kFlagRf;
  if (step) {
    s.interrupt_shadow = false;
    mode_stale_ = true;
    if (!debug_traps_held_) debug_pending_ = 0;
    debug_traps_held_ = false;
    int_delivered_ = false;
  }
  delivered_ = false;
  wants_unshared_ = false;  // for the blocks that system instructions go on to inside
  find_jump_slot();
  set_return_stack_end();
  restore_vectors();
  const LeaveReason reason = engine_.stubs().enter(frame_, block.code);
  ++counters_.leaves[static_cast<u32>(reason)];
  link_id_ = 0;
  if (reason == LeaveReason::kLink) {
    const ExitRecord& exit = engine_.cache().exit(frame_->exit_argument);
    wants_unshared_ = exit.unshared;
    s.rip = wrap_rip(exit.target_rip);
    if (__atomic_load_n(&exit.to, __ATOMIC_RELAXED) == nullptr && !step &&
        engine_.options().chain) {
      link_id_ = frame_->exit_argument;
      cache_clears_ = engine_.cache().counters().clears.load(std::memory_order_relaxed);
    }
  }
  if (!step) return;
  if (delivered_) {
    // What an SS load before INT n hit is reported at the handler's first instruction.
    if (int_delivered_ && debug_pending_ != 0) deliver_fault(core_, debug_fault(debug_pending_));
    return;
  }
  if (resume != 0) s.rflags &= ~kFlagRf;
  if (debug_traps_held_) return;  // 6.8.3: what it hit is reported with the next instruction's
  if (trap || debug_pending_ != 0) {
    deliver_fault(core_, debug_fault((trap ? kDr6Bs : 0) | debug_pending_));
  }
}

TcgCpu::Service TcgCpu::loop() noexcept {
  in_code_.store(true, std::memory_order_seq_cst);
  if (engine_.exclusive_wanted()) return stop_for(Service::kPark);
  CpuState& s = frame_->cpu;
  for (;;) {
    ++counters_.loop_turns;
    rearm_polls();
    Service service{};
    if (take_requests(service)) return stop_for(service);
    if (s.nmi_pending || s.smi_pending || interrupt_line()) {
      take_interrupts();
    }
    if (s.activity != Activity::kRunning) return stop_for(Service::kHalted);
    if (mode_stale_) refresh_mode();
    if (mode_.single_step && (s.rflags & kFlagRf) == 0 && !debug_traps_held_) {
      if (const u64 hit = match_code_breakpoint(s, LinearAddr{linear_rip()})) {
        deliver_fault(core_, debug_fault(hit));
        mode_stale_ = true;
        continue;
      }
    }
    if (wants_native()) return stop_for(Service::kNative);
    TranslatedBlock* block = lookup_block();
    if (fetch_fault_) {
      one_by_translator_ = false;
      ++counters_.faults;
      deliver_fault(core_, fetch_fault_);
      mode_stale_ = true;
      continue;
    }
    if (block == nullptr) return stop_for(Service::kTranslate);
    if (block->check.runs_left != 0 && !mode_.single_step) {
      lock_step_->pending = block;
      return stop_for(Service::kLockStep);
    }
    find_jump_slot();
    cache_jump(*block);
    run_block(*block);
    if (one_by_translator_) {
      one_by_translator_ = false;
      mode_stale_ = true;
    }
    if (link_id_ != 0) return stop_for(Service::kLink);
  }
}

void TcgCpu::apply_effects() noexcept {
  const u32 effects = core_.effects;
  core_.effects = 0;
  if (effects == 0) return;
  mode_stale_ = true;
  if ((effects & (kEffectFlushAll | kEffectPagingMode)) != 0) {
    flush_tlb(true);
  } else if ((effects & kEffectFlushNonGlobal) != 0) {
    other_spaces_.forget_all();
    flush_tlb(false);
  } else if ((effects & kEffectAddressSpace) != 0) {
    switch_address_space((effects & kEffectFlushPcid) == 0);
  } else if ((effects & (kEffectFlushOnePcid | kEffectFlushPage)) != 0) {
    flush_pcid(core_.flush_pcid);
  }
  if ((effects & kEffectSmm) != 0) {
    save_vectors();
    bus_->smm_changed(frame_->cpu.smm);
    refresh_view();
    flush_tlb(true);
  }
}

const u8* TcgCpu::on_system(const SystemCall& call) noexcept {
  ++counters_.system_calls;
  ++counters_.system[call.mnemonic & (kMnemonics - 1)];
  CpuState& s = frame_->cpu;
  s.rip = call.rip;
  next_rip_ = wrap_rip(call.rip + call.length);
  transferred_ = false;
  const u64 invalidations = engine_.invalidation_count();
  call.handler(*this, call);
  if (core_.effects != 0) apply_effects();
  if (frame_->leave_reason != 0) {
    mode_stale_ = true;
    return nullptr;
  }
  if (call.ends_block || transferred_ || engine_.invalidation_count() != invalidations ||
      (requests_.load(std::memory_order_relaxed) & kRequestFlush) != 0) {
    if (!transferred_) s.rip = next_rip_;
    mode_stale_ = true;
    const u8* code = continue_inside();
    if (code == nullptr) leave();
    return code;
  }
  if (vectors_saved_) restore_vectors();
  return nullptr;
}

void TcgCpu::on_raise(u32 what, const u8* return_address) noexcept {
  set_rip_at(return_address - 1);
  Fault f;
  f.vector = static_cast<u8>(what);
  f.has_error_code = ((what >> 8) & 1) != 0;
  f.error_code = what >> 16;
  fault(f);
}

u64 TcgCpu::empty_return_stack(const u8* pc, u64 fault_address) const noexcept {
  const u64 guard = reinterpret_cast<u64>(return_stack_.data());
  const bool overrun = engine_.cache().code().contains(pc) && fault_address - guard < kPageBytes;
  return overrun ? frame_->return_stack_top : 0;
}

const u8* TcgCpu::redirect_host_fault(const u8* pc, u32 trap) noexcept {
  if (!engine_.cache().code().contains(pc)) return nullptr;
  const TranslatedBlock* block = engine_.cache().block_at(pc);
  if (block == nullptr) return nullptr;
  const auto offset = static_cast<u32>(pc - block->code);
  for (std::size_t i = 0, n = block->polls.size(); i < n; ++i) {
    if (block->polls[i].host_offset == offset) return block->code + block->polls[i].cold_offset;
  }
  frame_->exit_address = reinterpret_cast<u64>(pc);
  frame_->exit_argument = trap;
  return engine_.stubs().host_fault;
}

void TcgCpu::on_host_fault() noexcept {
  set_rip_at(reinterpret_cast<const u8*>(frame_->exit_address));
  switch (frame_->exit_argument) {
    case kVectorDe:
    case kVectorMf:
    case kVectorXm:
    case kVectorUd:
      return fault(Fault::plain(static_cast<Vector>(frame_->exit_argument)));
    case kVectorGp:
      return fault(Fault::gp());
    case kVectorAc:
      return fault(Fault::with_code(kVectorAc, 0));
    default:
      host_memory_failed_ = true;
      request_exit(kRequestKick);
      leave();
  }
}

u64 TcgCpu::guest_fip(u64 host_pc) const noexcept {
  const auto* pc = reinterpret_cast<const u8*>(host_pc);
  if (!engine_.cache().code().contains(pc)) return 0;
  return engine_.cache().instruction_at(pc).rip;
}

}  // namespace emu
