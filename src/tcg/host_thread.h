// SPDX-License-Identifier: Apache-2.0
// What a host thread needs to run generated code: GS base, and faults in that code.
#pragma once

#include "base/types.h"

namespace emu {

class TcgCpu;
struct VcpuFrame;

// While one exists on a thread, GS addresses `frame` there and host faults in generated code become
// the vCPU's. The process-wide handlers for SIGSEGV, SIGBUS, SIGFPE and SIGILL are installed once
// and pass every other fault on to whoever had the signal before.
class HostThread {
 public:
  HostThread(TcgCpu& cpu, VcpuFrame& frame);
  ~HostThread();
  HostThread(const HostThread&) = delete;
  HostThread& operator=(const HostThread&) = delete;

 private:
  u64 saved_gs_base_ = 0;
  TcgCpu* saved_cpu_ = nullptr;
};

// The x87 and vector state components that guest code may hold in host registers (XCR0 bits).
[[nodiscard]] u64 host_vector_components();
// Whether the host has what emitted code uses: BMI2 (PEXT), LAHF in 64-bit mode, AVX, XSAVEOPT.
[[nodiscard]] bool host_can_translate();

}  // namespace emu
