// SPDX-License-Identifier: Apache-2.0
// Where guest registers live while generated code runs.
//
// Registers with implicit uses are mapped onto themselves. Host RSP is the C++ stack, GS base the
// VcpuFrame, FS base the host's TLS. Host flags hold the guest's status flags; host DF is always 0
// (the guest's is in cpu.rflags, like TF, IF, IOPL, NT, RF, VM, AC, ID). Host x87, MXCSR and vector
// registers are the guest's own. Outside 64-bit code the upper halves of the eight guest registers
// are zero.
#pragma once

#include <array>

#include "base/types.h"
#include "cpu/cpu_state.h"

namespace emu {

inline constexpr u8 kInFrame = 0xff;  // lives in cpu.gpr[]

// Host register number of each guest register, or kInFrame.
inline constexpr std::array<u8, 16> kHostRegister = {
    0,  1,        2,        3,         // rax rcx rdx rbx
    15,                                // rsp -> r15
    5,  6,        7,                   // rbp rsi rdi
    8,  kInFrame, kInFrame, kInFrame,  // r8; r9 r10 r11
    12, 13,       14,       kInFrame,  // r12 r13 r14; r15
};

// Scratch host registers of a single guest instruction. kT0 carries linear addresses and targets.
inline constexpr u8 kT0 = 9, kT1 = 10, kT2 = 11;

}  // namespace emu
