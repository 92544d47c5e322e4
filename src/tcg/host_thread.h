// SPDX-License-Identifier: Apache-2.0
// What a host thread needs to run generated code: GS base, and faults in that code.
#pragma once

#include <signal.h>
#include <sys/syscall.h>

#include "base/mapping.h"
#include "base/types.h"

namespace emu {

class TcgCpu;
struct VcpuFrame;

// While one exists on a thread, GS addresses `frame` there, host faults in generated code become
// the vCPU's, and other signals are left to other threads (the stack pointer of generated code is
// no stack for handlers; faults have an alternate one). The process-wide handlers for SIGSEGV,
// SIGBUS, SIGFPE and SIGILL are installed once and pass every other fault on to whoever had the
// signal before.
class HostThread {
 public:
  HostThread(TcgCpu& cpu, VcpuFrame& frame);
  ~HostThread();
  HostThread(const HostThread&) = delete;
  HostThread& operator=(const HostThread&) = delete;

 private:
  u64 saved_gs_base_ = 0;
  Mapping signal_stack_;
  stack_t saved_stack_{};
  sigset_t saved_mask_{};
  TcgCpu* saved_cpu_ = nullptr;
};

// Memory for a vCPU's return stack: 64 KiB above an inaccessible page. Errors: the host's ENOMEM.
[[nodiscard]] Result<Mapping> make_return_stack();

// The x87 and vector state components that guest code may hold in host registers (XCR0 bits).
[[nodiscard]] u64 host_vector_components();
// The host's XCR0 as XGETBV gives it to programs; 0 without XSAVE.
[[nodiscard]] u64 host_extended_control();
// Whether the host has what emitted code uses: BMI2 (PEXT), LAHF in 64-bit mode, AVX, XSAVEOPT.
[[nodiscard]] bool host_can_translate();

// Stops the process that runs guest code, at once or as soon as it runs. Scalar.
inline void interrupt_user_process(int pid) noexcept {
  constexpr long kIgnoredSignal = SIGURG;
  long number = SYS_tgkill;
  asm volatile("syscall"
               : "+a"(number)
               : "D"(static_cast<long>(pid)), "S"(static_cast<long>(pid)), "d"(kIgnoredSignal)
               : "rcx", "r11", "memory");
}

// Processor time that this thread has used, in nanoseconds. Scalar.
inline u64 thread_time_ns() noexcept {
  struct {
    i64 seconds, nanoseconds;
  } t{};
  constexpr long kThreadTime = 3;  // CLOCK_THREAD_CPUTIME_ID
  long number = SYS_clock_gettime;
  asm volatile("syscall" : "+a"(number) : "D"(kThreadTime), "S"(&t) : "rcx", "r11", "memory");
  return static_cast<u64>(t.seconds) * 1'000'000'000 + static_cast<u64>(t.nanoseconds);
}

// Lets another thread run on this processor. Scalar: no library call, vector registers survive.
inline void yield_host() noexcept {
  long number = SYS_sched_yield;
  asm volatile("syscall" : "+a"(number) : : "rcx", "r11", "memory");
}

}  // namespace emu
