// SPDX-License-Identifier: Apache-2.0
// What translations assume of the processor's state, and the segment ranges that go with it.
// Source: Intel SDM vol. 3 2.2 (modes), 3.4.5 (segment descriptors).
#include "cpu/debug_registers.h"
#include "cpu/xsave_layout.h"
#include "tcg/system_handlers.h"
#include "tcg/tcg_cpu.h"

namespace emu {
namespace {

bool flat(const Segment& s, bool code) {
  return s.base == 0 && s.limit == 0xffffffff && s.usable() &&
         (code || (s.attributes & (kSegCode | kSegWritable | kSegExpandDown)) == kSegWritable);
}

}  // namespace

// What the mode of 64-bit code depends on.
TcgCpu::ModeInputs TcgCpu::mode_inputs() const noexcept {
  const CpuState& s = frame_->cpu;
  constexpr u64 kFlags = kFlagTf | kFlagAc | kFlagIopl | kFlagVm;
  const u64 odd = (s.smm ? 1u : 0u) | (s.interrupt_shadow ? 2u : 0u) |
                  (one_by_translator_ ? 4u : 0u) | (reference_run_ ? 8u : 0u);
  return {s.cr0 | (u64{s.segments[kCs].attributes} << 32) | (u64{s.segments[kSs].attributes} << 48),
          (s.rflags & kFlags) | (odd << 32),
          s.cr4,
          s.efer,
          s.xcr0,
          s.dr7};
}

// System calls, their returns, STAC and CLAC change between few modes.
void TcgCpu::refresh_mode() noexcept {
  const CpuState& s = frame_->cpu;
  if (s.cpl() != 3) one_by_translator_ = false;
  check_transfers();
  const ModeInputs inputs = mode_inputs();
  KnownMode& known = known_modes_[s.cpl() | ((s.rflags & kFlagAc) != 0 ? 4u : 0u)];
  if (!s.code64() || !(known.inputs == inputs)) {
    const TranslationMode m = compute_mode();
    if (m.code64()) known = {inputs, m};
    return;
  }
  mode_stale_ = false;
  frame_->mode = known.mode.packed();
}

TranslationMode TcgCpu::compute_mode() noexcept {
  const CpuState& s = frame_->cpu;
  TranslationMode m;
  const Segment& cs = s.segments[kCs];
  const Segment& ss = s.segments[kSs];
  const bool code64 = s.code64();
  const auto size_of = [](const Segment& g) {
    return static_cast<u32>((g.attributes & kSegBig) != 0 ? CodeSize::k32 : CodeSize::k16);
  };
  m.code_size = (code64 ? static_cast<u32>(CodeSize::k64) : size_of(cs)) & 3;
  m.stack_size = (code64 ? static_cast<u32>(CodeSize::k64) : size_of(ss)) & 3;
  m.cpl = s.cpl() & 3;
  m.memory_set = set_for(Privilege::kCurrent) & 3;
  m.protected_mode = s.protected_mode();
  m.vm86 = s.protected_mode() && s.vm86();
  m.long_mode = s.long_mode();
  m.smm = s.smm;
  if (code64) {
    m.flat_segments = (1u << kEs) | (1u << kCs) | (1u << kSs) | (1u << kDs);
  } else {
    u32 flats = 0;
    for (unsigned i = 0; i < kSegmentCount; ++i) {
      if (flat(s.segments[i], i == kCs)) flats |= 1u << i;
    }
    m.flat_segments = flats & 63;
  }
  if (s.cpl() != 3) one_by_translator_ = false;
  const bool step = (s.rflags & kFlagTf) != 0 || s.interrupt_shadow || one_by_translator_;
  const bool data_break = has_data_breakpoints(s);
  m.always_slow =
      data_break || ((s.cr0 & kCr0Am) != 0 && (s.rflags & kFlagAc) != 0 && s.cpl() == 3);
  m.single_step = step || data_break || has_code_breakpoints(s) || reference_run_;
  m.fpu_em = (s.cr0 & kCr0Em) != 0;
  m.fpu_ts = (s.cr0 & kCr0Ts) != 0;
  m.fpu_mp = (s.cr0 & kCr0Mp) != 0;
  m.osfxsr = (s.cr4 & kCr4Osfxsr) != 0;
  const u64 xcr0 = (s.cr4 & kCr4Osxsave) != 0 ? s.xcr0 : 0;
  m.avx = (xcr0 & (kXcr0Sse | kXcr0Avx)) == (kXcr0Sse | kXcr0Avx);
  m.avx512 = m.avx && (xcr0 & kXcr0Avx512) == kXcr0Avx512;
  m.umip = (s.cr4 & kCr4Umip) != 0;
  m.tsd = (s.cr4 & kCr4Tsd) != 0;
  m.iopl_ok = s.cpl() <= ((s.rflags & kFlagIopl) >> 12) && !m.vm86;
  m.fsgsbase = (s.cr4 & kCr4Fsgsbase) != 0;
  mode_stale_ = false;
  if (!code64) update_segment_limits();
  if (!code64 && mode().code64()) {
    for (unsigned r = 0; r < 8; ++r) frame_->cpu.gpr[r] &= 0xffffffff;
  }
  frame_->mode = m.packed();
  return m;
}

// The ranges that generated code may access without asking; see VcpuFrame::segment_read_limit.
void TcgCpu::update_segment_limits() noexcept {
  const CpuState& s = frame_->cpu;
  for (unsigned i = 0; i < kSegmentCount; ++i) {
    const Segment& g = s.segments[i];
    const bool code = (g.attributes & kSegCode) != 0;
    const bool expand_down = !code && (g.attributes & kSegExpandDown) != 0;
    const bool fine = g.usable() && !expand_down;
    const bool plain = !s.protected_mode() || s.vm86();
    const u64 end = u64{g.limit} + 1;
    frame_->segment_read_limit[i] =
        fine && (plain || !code || (g.attributes & kSegReadable) != 0) ? end : 0;
    frame_->segment_write_limit[i] =
        fine && (plain || (!code && (g.attributes & kSegWritable) != 0)) ? end : 0;
  }
}

void TcgCpu::check_transfers() noexcept {
  if (!(transfer_inputs_ == transfer_inputs())) forget_transfers();
}

// A SYSCALL or SYSRET went from `from_mode` to the present mode: what of it is always so?
void TcgCpu::note_transfer(const SystemCall& call, u32 from_mode) noexcept {
  const CpuState& s = frame_->cpu;
  const bool enters = call.handler == system_syscall;
  constexpr u64 kModeFlags = kFlagTf | kFlagAc | kFlagIopl;
  if (!engine_.options().inline_modes || !mode().code64() || mode().single_step) return;
  if (enters ? (s.sfmask & kModeFlags) != kModeFlags || mode().cpl != 0
             : (s.rflags & kModeFlags) != 0 || mode().cpl != 3) {
    return;
  }
  find_jump_slot();
  if (jump_slot_ >= kJumpCacheSlots) return;
  check_transfers();
  transfer_inputs_ = transfer_inputs();
  const Stubs& stubs = engine_.stubs();
  FastTransfer& t = enters ? frame_->syscall : frame_->sysret;
  t.from_mode = from_mode;
  t.to_mode = frame_->mode;
  t.table = reinterpret_cast<u64>(&frame_->jump_cache[jump_slot_]);
  t.stack_end = reinterpret_cast<u64>(stubs.return_underflow[jump_slot_]);
  t.barrier = reinterpret_cast<u64>(stubs.syscall_barrier[jump_slot_]);
  t.cs = s.segments[kCs];
  t.ss = s.segments[kSs];
}

// Whether returns to ring 3 may leave the program to a process of its own.
void TcgCpu::note_native_wish() noexcept {
  const bool wish = user_policy_.always() || user_policy_.wants(frame_->cpu.cr3);
  frame_->sysret_blocked = wish ? 1 : 0;
}

u64 TcgCpu::system_calls_made() const noexcept {
  return counters_.system[ZYDIS_MNEMONIC_SYSCALL] + counters_.system[ZYDIS_MNEMONIC_SYSENTER] +
         counters_.system[ZYDIS_MNEMONIC_INT] + frame_->fast_syscalls;
}

}  // namespace emu
