// SPDX-License-Identifier: Apache-2.0
#include "tcg/host_thread.h"

#include <asm/prctl.h>
#include <cpuid.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstring>
#include <mutex>

#include "tcg/tcg_cpu.h"

namespace emu {
namespace {

constexpr u64 kSignalStackBytes = 64 * kKiB;
constexpr u64 kReturnStackBytes = 64 * kKiB;
constexpr int kSignals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};

// Signal handlers are the process's: these two belong to it (and the thread), not to a machine.
thread_local TcgCpu* current_cpu = nullptr;
struct sigaction previous_actions[4];

// SAFETY: only hands the arguments of a handler on.
void pass_on(int signal, siginfo_t* info, void* context) {
  for (unsigned i = 0; i < 4; ++i) {
    if (kSignals[i] != signal) continue;
    const struct sigaction& before = previous_actions[i];
    if ((before.sa_flags & SA_SIGINFO) != 0 && before.sa_sigaction != nullptr) {
      return before.sa_sigaction(signal, info, context);
    }
    if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
      return before.sa_handler(signal);
    }
  }
  // SAFETY: back to the default; returning repeats the fault, which then ends the process.
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  ::sigaction(signal, &action, nullptr);
}

// SAFETY: runs on the faulting thread. For a PC inside generated code it only reads structures that
// do not change while that code runs, and moves the PC to a stub.
void on_signal(int signal, siginfo_t* info, void* context) {
  auto* c = static_cast<ucontext_t*>(context);
  if (current_cpu != nullptr) {
    const auto* pc = reinterpret_cast<const u8*>(c->uc_mcontext.gregs[REG_RIP]);
    const auto trap = static_cast<u32>(c->uc_mcontext.gregs[REG_TRAPNO]);
    if (const u64 top =
            current_cpu->empty_return_stack(pc, static_cast<u64>(c->uc_mcontext.gregs[REG_CR2]))) {
      c->uc_mcontext.gregs[REG_RSP] = static_cast<greg_t>(top);
      return;
    }
    if (const u8* to = current_cpu->redirect_host_fault(pc, trap)) {
      c->uc_mcontext.gregs[REG_RIP] = reinterpret_cast<greg_t>(to);
      return;
    }
  }
  pass_on(signal, info, context);
}

void install_handlers() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action {};
    action.sa_sigaction = on_signal;
    // SAFETY: NODEFER, so that a fault of the handler's own is not silently blocked.
    action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
    for (unsigned i = 0; i < 4; ++i) ::sigaction(kSignals[i], &action, &previous_actions[i]);
  });
}

u64 read_xcr0() {
  u32 a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & (1u << 27)) == 0) return 0;
  u32 low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low | (u64{high} << 32);
}

}  // namespace

HostThread::HostThread(TcgCpu& cpu, VcpuFrame& frame) : saved_cpu_(current_cpu) {
  install_handlers();
  Result<Mapping> stack = Mapping::anonymous(kSignalStackBytes);
  EMU_CHECK(stack);
  signal_stack_ = *std::move(stack);
  // SAFETY: memory this object owns; undone by the destructor.
  stack_t alternate{};
  alternate.ss_sp = signal_stack_.data();
  alternate.ss_size = signal_stack_.size_bytes();
  ::sigaltstack(&alternate, &saved_stack_);
  sigset_t others;
  ::sigfillset(&others);
  for (int s : kSignals) ::sigdelset(&others, s);
  ::sigdelset(&others, SIGABRT);
  ::sigdelset(&others, SIGTRAP);
  ::pthread_sigmask(SIG_BLOCK, &others, &saved_mask_);
  // SAFETY: user-mode GS is unused by the C library on x86-64; restored by the destructor.
  ::syscall(SYS_arch_prctl, ARCH_GET_GS, &saved_gs_base_);
  ::syscall(SYS_arch_prctl, ARCH_SET_GS, reinterpret_cast<u64>(&frame));
  current_cpu = &cpu;
}

HostThread::~HostThread() {
  current_cpu = saved_cpu_;
  ::sigaltstack(&saved_stack_, nullptr);
  ::pthread_sigmask(SIG_SETMASK, &saved_mask_, nullptr);
  // SAFETY: see the constructor.
  ::syscall(SYS_arch_prctl, ARCH_SET_GS, saved_gs_base_);
}

Result<Mapping> make_return_stack() {
  Result<Mapping> memory = Mapping::anonymous(kReturnStackBytes + kPageBytes);
  if (!memory) return memory.error();
  // SAFETY: the lowest page of memory just mapped; running over it faults.
  if (::mprotect(memory->data(), kPageBytes, PROT_NONE) != 0) {
    return fail_errno(errno, "cannot protect the guard page of the return stack");
  }
  return memory;
}

u64 host_extended_control() {
  static const u64 value = read_xcr0();
  return value;
}

u64 host_vector_components() {
  constexpr u64 kX87SseAvxAvx512 = 0xe7;
  return host_extended_control() & kX87SseAvxAvx512;
}

bool host_can_translate() {
  u32 a = 0, b = 0, c = 0, d = 0;
  __builtin_cpu_init();
  const bool basic = __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("avx");
  const bool lahf = __get_cpuid(0x80000001, &a, &b, &c, &d) != 0 && (c & 1) != 0;
  const bool xsaveopt = __get_cpuid_count(0xd, 1, &a, &b, &c, &d) != 0 && (a & 1) != 0;
  return basic && lahf && xsaveopt && (host_extended_control() & 7) == 7;
}

}  // namespace emu
