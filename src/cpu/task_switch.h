// SPDX-License-Identifier: Apache-2.0
// The hardware task switch. Used by far transfers and delivery; engines do not call it.
// Source: Intel SDM vol. 3 ch. 7.
#pragma once

#include "cpu/cpu_core.h"
#include "cpu/segmentation.h"

namespace emu {

enum class TaskSwitchCause : u8 { kJump, kCall, kIret, kInterrupt };

struct TaskSwitch {
  u16 selector = 0;  // of the new TSS
  TaskSwitchCause cause = TaskSwitchCause::kJump;
  bool external = false;  // EXT bit of error codes
  bool has_error_code = false;
  u32 error_code = 0;   // pushed on the new stack when has_error_code
  bool resume = false;  // save EFLAGS with RF set
  u64 next_rip = 0;     // saved in the outgoing TSS
};

// Switches tasks through a TSS whose descriptor was not yet looked at. Faults before the commit
// point leave the outgoing task untouched; later ones belong to the incoming task, as does the
// #DB (DR6.BT) of the T flag.
Fault switch_task(CpuCore& core, const TaskSwitch& request) noexcept;

}  // namespace emu
