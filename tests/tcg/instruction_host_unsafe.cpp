// SPDX-License-Identifier: Apache-2.0
#include "instruction_host_unsafe.h"

#include <asm/prctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include <csignal>

#include <cstring>

#include "base/check.h"
#include "cpu/xsave_layout.h"
#include "tcg/host_assembler.h"

namespace emu::instruction_test {

// SAFETY: everything in this file runs generated code on purpose: it maps writable and executable
// pages at fixed free addresses, points GS at the frame and takes over fault signals; all of it is
// given back by the destructor.

// What generated code reaches through GS.
struct Host::Area {
  VcpuFrame frame;
  u64 target;
  u64 host_flags;
  u64 outcome;
  u64 end_target;
  u64 active;  // 0: not in generated code, 1: native, 2: emitted
  u64 resume;  // where the signal handler goes on
  u32 mxcsr;
  u32 far_offset;
  u16 far_selector;
};

namespace {

#define AREA(member) ::emu::frame_offset(offsetof(Host::Area, member))

template <class T>
T pointer_at(u64 address) {
  return reinterpret_cast<T>(address);
}

constexpr u32 kXsaveMask = 0xe7;

// The signal handler's way to the harness.
void** current_area() {
  static void* area = nullptr;
  return &area;
}

const int kSignals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};

}  // namespace

// Copies the interrupted state into the area and goes on at `resume`.
template <class Area>
static void capture(Area& area, ucontext_t& context) {
  greg_t* g = context.uc_mcontext.gregs;
  static constexpr int kOrder[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                     REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                     REG_R12, REG_R13, REG_R14, REG_R15};
  for (unsigned i = 0; i < 16; ++i) {
    if (area.active == 1) {
      area.frame.cpu.gpr[i] = static_cast<u64>(g[kOrder[i]]);
    } else if (kHostRegister[i] != kInFrame) {
      area.frame.cpu.gpr[i] = static_cast<u64>(g[kOrder[kHostRegister[i]]]);
    }
  }
  area.host_flags = static_cast<u64>(g[REG_EFL]);
  area.outcome = static_cast<u64>(g[REG_TRAPNO]);
  std::memcpy(area.frame.cpu.xsave, context.uc_mcontext.fpregs, kXsaveBytes);
  g[REG_RIP] = static_cast<greg_t>(area.resume);
  g[REG_CSGSFS] = (g[REG_CSGSFS] & ~greg_t{0xffff}) | 0x33;
  g[REG_EFL] &= ~greg_t{0x400};
  area.active = 0;
}

static void on_signal(int number, siginfo_t* info, void* context);

Host::Host() {
  const auto map = [](u64 at, u64 bytes, int protection) {
    void* p = mmap(pointer_at<void*>(at), bytes, protection,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    EMU_CHECK(p == pointer_at<void*>(at));
  };
  map(kNativeCode, 2 * kPageBytes, PROT_READ | PROT_WRITE | PROT_EXEC);
  map(kEmitted, 16 * kPageBytes, PROT_READ | PROT_WRITE | PROT_EXEC);
  map(kScratch, kScratchBytes, PROT_READ | PROT_WRITE);
  void* area =
      mmap(nullptr, sizeof(Area), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EMU_CHECK(area != MAP_FAILED);
  area_ = new (area) Area;
  *current_area() = area_;
  syscall(SYS_arch_prctl, ARCH_SET_GS, area_);

  stack_t stack{};
  stack.ss_size = 256 * kKiB;
  stack.ss_sp =
      mmap(nullptr, stack.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  sigaltstack(&stack, nullptr);
  struct sigaction action {};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  for (unsigned i = 0; i < std::size(kSignals); ++i) sigaction(kSignals[i], &action, &before_[i]);

  area_->mxcsr = 0x1f80;
  area_->frame.poll_pointer = kScratch;
  for (unsigned i = 0; i < kSegmentCount; ++i) {
    area_->frame.cpu.segments[i].selector = i == kCs ? 0x33 : i == kSs ? 0x2b : 0;
  }
  make_stubs();
  for (const StubTable& table : stubs_) {
    emitters_.push_back(std::make_unique<BlockEmitter>(table, options_));
  }
  compatibility_ = probe_compatibility_mode();
}

Host::~Host() {
  // An engine in this process has its own.
  for (unsigned i = 0; i < std::size(kSignals); ++i) sigaction(kSignals[i], &before_[i], nullptr);
  munmap(pointer_at<void*>(kNativeCode), 2 * kPageBytes);
  munmap(pointer_at<void*>(kEmitted), 16 * kPageBytes);
  munmap(pointer_at<void*>(kScratch), kScratchBytes);
  munmap(area_, sizeof(Area));
}

void Host::make_stubs() {
  std::vector<u8> code;
  HostAssembler as;
  as.reset(code, kStubs);
  const auto here = [&] { return kStubs + as.offset(); };
  const auto gs = [](i32 offset) { return HostMem::frame(offset); };
  const auto gpr = [&](unsigned n) { return gs(EMU_FRAME(cpu.gpr) + 8 * static_cast<i32>(n)); };
  const auto raw = [&](std::initializer_list<int> list) {
    for (const int b : list) as.byte(static_cast<u8>(b));
  };
  const auto gs_op = [&](std::initializer_list<int> opcode, u8 reg, i32 offset) {
    as.byte(0x65);
    raw(opcode);
    as.modrm_memory(reg, gs(offset));
  };
  const auto save_callee = [&] {
    raw({0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57, 0x50});
    as.store(gs(EMU_FRAME(host_stack_pointer)), hRsp);
    as.store(gs(AREA(target)), hRdi);
    as.mov_imm(hRax, kXsaveMask);
    as.mov_imm(hRdx, 0);
    gs_op({0x48, 0x0f, 0xae}, 5, EMU_FRAME(cpu.xsave));  // xrstor64
    gs_op({0xff}, 6, AREA(host_flags));                  // push
    raw({0x9d});                                         // popfq
  };
  const auto leave = [&] {
    as.load(hRsp, gs(EMU_FRAME(host_stack_pointer)));
    raw({0xfc, 0xdb, 0xe3});              // cld; fninit
    gs_op({0x0f, 0xae}, 2, AREA(mxcsr));  // ldmxcsr
    raw({0xc5, 0xf8, 0x77});              // vzeroupper
    raw({0x58, 0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b, 0xc3});
  };
  const auto save_vectors_and_leave = [&] {
    as.load(hRsp, gs(EMU_FRAME(host_stack_pointer)));
    raw({0x9c, 0x58});  // pushfq; pop rax
    as.store(gs(AREA(host_flags)), hRax);
    as.mov_imm(hRax, kXsaveMask);
    as.mov_imm(hRdx, 0);
    gs_op({0x48, 0x0f, 0xae}, 4, EMU_FRAME(cpu.xsave));  // xsave64
    leave();
  };
  const auto load_all = [&] {
    for (u8 n = 0; n < 16; ++n) {
      if (n != hRsp) as.load(n, gpr(n));
    }
    as.load(hRsp, gpr(hRsp));
  };

  enter_native_ = here();
  save_callee();
  load_all();
  gs_op({0xff}, 4, AREA(target));  // jmp

  enter_compat_ = here();
  save_callee();
  as.mov_imm(hRax, 0x2b);
  raw({0x8e, 0xd8, 0x8e, 0xc0});  // mov ds, eax; mov es, eax
  load_all();
  gs_op({0xff}, 5, AREA(far_offset));  // far jmp m16:32

  exit_native_ = here();
  as.store_imm(gs(AREA(outcome)), kContinued);
  as.store_imm(gs(AREA(active)), 0);
  for (u8 n = 0; n < 16; ++n) as.store(gpr(n), n);
  save_vectors_and_leave();

  exit_fault_ = here();
  leave();

  enter_emitted_ = here();
  save_callee();
  for (u8 n = 0; n < 16; ++n) {
    if (kHostRegister[n] != kInFrame) as.load(kHostRegister[n], gpr(n));
  }
  gs_op({0xff}, 4, AREA(target));

  exit_emitted_ = here();
  as.store_imm(gs(AREA(active)), 0);
  for (u8 n = 0; n < 16; ++n) {
    if (kHostRegister[n] != kInFrame) as.store(gpr(n), kHostRegister[n]);
  }
  save_vectors_and_leave();

  const auto finish = [&](u32 outcome, i32 argument) {
    const u64 at = here();
    if (outcome != 0) as.store_imm(gs(AREA(outcome)), static_cast<i32>(outcome));
    if (argument == 0) as.store(gs(AREA(end_target)), kT0);
    if (argument == 1) as.store(gs(AREA(end_target)), kT1);
    as.jmp_to(pointer_at<const u8*>(exit_emitted_));
    return pointer_at<const u8*>(at);
  };
  StubTable& base = stubs_[0];
  base.link_exit = finish(kContinued, 1);
  base.indirect_exit = finish(kIndirect, 0);
  base.loop_exit = finish(kIndirect, 0);
  base.call_system = finish(kSystemCalled, 1);
  base.raise = pointer_at<const u8*>(here());
  as.store(gs(AREA(outcome)), kT1);
  as.jmp_to(pointer_at<const u8*>(exit_emitted_));
  base.commit_write = pointer_at<const u8*>(here());  // clobbers what it may
  as.mov_imm(kT0, 0x1111);
  as.mov_imm(kT1, 0x2222);
  as.mov_imm(kT2, 0x3333);
  raw({0xc3});
  base.commit_part = base.commit_write;
  const auto touch_last_byte = [&] {  // so that what is not mapped faults here
    as.zero_extend(kT2, kT1, 1);
    as.load(kT2, {kT0, kT2, 0, false, -1}, 1);
  };
  base.slow_access = pointer_at<const u8*>(here());  // identity, direct
  touch_last_byte();
  as.mov_imm(kT1, 0);
  as.mov_imm(kT2, 0x4444);
  raw({0xc3});
  stubs_[1] = stubs_[2] = base;
  stubs_[1].slow_access = pointer_at<const u8*>(here());  // identity, stores need commit_write
  touch_last_byte();
  raw({0x9c, 0x41, 0x0f, 0xba, 0xe2, 22});  // pushfq; bt r10d, 22 (AccessInfo::probe)
  const u32 probe = as.jcc_short(kCcB);
  raw({0x41, 0x0f, 0xba, 0xe2, 9});  // bt r10d, 9 (AccessInfo::write)
  const u32 no_store = as.jcc_short(kCcNb);
  as.load(kT2, HostMem::at(hRsp, 8));
  as.lea(kT2, HostMem::at(kT2, 5));
  as.store(HostMem::at(hRsp, 8), kT2);
  as.patch_short(no_store);
  as.patch_short(probe);
  raw({0x9d});  // popfq
  as.mov_imm(kT1, 0);
  as.mov_imm(kT2, 0x5555);
  raw({0xc3});
  stubs_[2].slow_access = finish(14, -1);  // a page fault
  as.finish();
  std::memcpy(pointer_at<void*>(kStubs), code.data(), code.size());
  EMU_CHECK(code.size() < kPageBytes);
}

void Host::load(const MachineState& state) {
  for (unsigned i = 0; i < 16; ++i) area_->frame.cpu.gpr[i] = state.gpr[i];
  area_->frame.cpu.rflags = state.rflags;
  std::memcpy(area_->frame.cpu.xsave, state.xsave.data(), kXsaveBytes);
  std::memcpy(pointer_at<void*>(kScratch), state.memory.data(), kScratchBytes);
}

void Host::store(MachineState& state, bool emitted) {
  for (unsigned i = 0; i < 16; ++i) state.gpr[i] = area_->frame.cpu.gpr[i];
  if (emitted) {
    state.rflags =
        (area_->frame.cpu.rflags & ~kFlagsArithmetic) | (area_->host_flags & kFlagsArithmetic);
  } else {
    state.rflags = area_->host_flags & (kFlagsArithmetic | kFlagDf | 2);
  }
  state.outcome = static_cast<u32>(area_->outcome);
  state.target = area_->end_target;
  std::memcpy(state.xsave.data(), area_->frame.cpu.xsave, kXsaveBytes);
  std::memcpy(state.memory.data(), pointer_at<void*>(kScratch), kScratchBytes);
}

void Host::enter(u64 entry, u64 target) {
  area_->outcome = 0;
  area_->end_target = 0;
  area_->resume = exit_fault_;
  pointer_at<void (*)(u64)>(entry)(target);
}

void Host::run_native(std::span<const u8> bytes, bool code64, MachineState& state) {
  u8* code = pointer_at<u8*>(kNativeCode);
  std::memcpy(code, bytes.data(), bytes.size());
  u8* after = code + bytes.size();
  if (code64) {  // jmp [rip]
    const u8 jump[] = {0xff, 0x25, 0, 0, 0, 0};
    std::memcpy(after, jump, sizeof jump);
    std::memcpy(after + sizeof jump, &exit_native_, 8);
  } else {  // jmp 33h:exit
    *after = 0xea;
    std::memcpy(after + 1, &exit_native_, 4);
    after[5] = 0x33;
    after[6] = 0;
  }
  load(state);
  area_->host_flags = state.rflags;
  area_->far_offset = static_cast<u32>(kNativeCode);
  area_->far_selector = 0x23;
  area_->active = 1;
  enter(code64 ? enter_native_ : enter_compat_, kNativeCode);
  store(state, false);
}

void Host::run_emitted(std::span<const u8> bytes, TranslationMode mode, Variant variant,
                       MachineState& state) {
  mode.single_step = 1;
  mode.always_slow = variant == Variant::kAlwaysSlow;
  std::array<u8, 32> padded{};
  std::memcpy(padded.data(), bytes.data(), bytes.size());
  EMU_CHECK(decode_block({padded, {}}, kNativeCode, mode, {}, block_) == DecodeStatus::kOk);
  run_block(variant, state);
}

void Host::run_emitted_sequence(std::span<const u8> bytes, unsigned count, TranslationMode mode,
                                Variant variant, MachineState& state) {
  mode.always_slow = variant == Variant::kAlwaysSlow;
  std::vector<u8> padded(bytes.begin(), bytes.end());
  padded.resize(padded.size() + 16);
  DecodeLimits limits;
  limits.max_instructions = count;
  EMU_CHECK(decode_block({padded, {}}, kNativeCode, mode, limits, block_) == DecodeStatus::kOk);
  run_block(variant, state);
  if (state.outcome != kContinued) return;
  const DirectExit& taken = out_.exits.at(state.target - 1);
  if (!taken.unshared) return;
  // Shared checks failed in front of some instruction: the rest, each with its own.
  ++unshared_runs_;
  const u64 done = taken.target_rip - kNativeCode;
  for (const GuestInstruction& g : block_.instructions)
    limits.max_instructions -= g.rip < taken.target_rip;
  mode.unshared = 1;
  const std::span<const u8> rest = std::span<const u8>(padded).subspan(done);
  EMU_CHECK(decode_block({rest, {}}, taken.target_rip, mode, limits, block_) == DecodeStatus::kOk);
  run_block(variant, state);
}

void Host::run_block(Variant variant, MachineState& state) {
  const TranslationMode mode = block_.mode;
  const unsigned table = variant == Variant::kFault ? 2 : variant == Variant::kCommit ? 1 : 0;
  // SAFETY: the block is copied to where it was made for.
  emitters_[table]->emit(block_, pointer_at<const u8*>(kEmitted), 1, out_);
  EMU_CHECK(out_.code.size() <= 16 * kPageBytes);
  std::memcpy(pointer_at<void*>(kEmitted), out_.code.data(), out_.code.size());
  load(state);
  TlbSet& tlb = area_->frame.tlb[mode.memory_set];
  for (u64 page = kScratch; page < kScratch + kScratchBytes; page += kPageBytes) {
    const u64 i = (page >> 12) & (kTlbEntries - 1);
    tlb.read_tag[i] = tlb.write_tag[i] = variant == Variant::kHit ? page : kTlbInvalidTag;
    tlb.delta[i] = 0;
  }
  area_->host_flags = (state.rflags & kFlagsArithmetic) | 2;
  u32 ds, es;
  __asm__("mov %%ds, %0" : "=r"(ds));
  __asm__("mov %%es, %0" : "=r"(es));
  area_->frame.cpu.segments[kDs].selector = static_cast<u16>(ds);
  area_->frame.cpu.segments[kEs].selector = static_cast<u16>(es);
  area_->frame.cpu.segments[kCs].selector = mode.code64() ? 0x33 : 0x23;
  area_->active = 2;
  enter(enter_emitted_, kEmitted);
  store(state, true);
}

bool Host::probe_compatibility_mode() {
  MachineState state;
  state.xsave[kFxFcw] = 0x7f;
  state.xsave[kFxFcw + 1] = 3;
  const u32 mxcsr = 0x1f80;
  std::memcpy(&state.xsave[kFxMxcsr], &mxcsr, 4);
  const u8 increment[] = {0x40};
  state.gpr[0] = 41;
  run_native(increment, false, state);
  return state.outcome == kContinued && static_cast<u32>(state.gpr[0]) == 42;
}

static void on_signal(int number, siginfo_t*, void* context) {
  auto& area = *static_cast<Host::Area*>(*current_area());
  if (area.active == 0) {
    signal(number, SIG_DFL);
    return;
  }
  capture(area, *static_cast<ucontext_t*>(context));
}

}  // namespace emu::instruction_test
