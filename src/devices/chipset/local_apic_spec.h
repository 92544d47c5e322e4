// SPDX-License-Identifier: Apache-2.0
// Local APIC registers: numbers, bits and the table that rules accesses.
// Source: Intel SDM vol. 3, tables 11-1 (xAPIC map) and 11-6 (x2APIC MSRs), figures 11-8, 11-10,
// 11-12, 11-23 (chapter 10 in editions before 2023).
#pragma once

#include <array>
#include <string_view>

#include "base/types.h"

namespace emu::lapic {

// Register n is at offset 16 * n of the memory window, and MSR 800h + n in x2APIC mode.
inline constexpr unsigned kRegisterCount = 64;
enum Register : u8 {
  kId = 0x02,
  kVersion = 0x03,
  kTpr = 0x08,
  kApr = 0x09,
  kPpr = 0x0a,
  kEoi = 0x0b,
  kLdr = 0x0d,
  kDfr = 0x0e,
  kSvr = 0x0f,
  kIsr = 0x10,  // eight registers, as TMR and IRR
  kTmr = 0x18,
  kIrr = 0x20,
  kEsr = 0x28,
  kLvtCmci = 0x2f,
  kIcr = 0x30,
  kIcrHigh = 0x31,
  kLvtTimer = 0x32,
  kLvtThermal = 0x33,
  kLvtPerformance = 0x34,
  kLvtLint0 = 0x35,
  kLvtLint1 = 0x36,
  kLvtError = 0x37,
  kTimerInitial = 0x38,
  kTimerCurrent = 0x39,
  kTimerDivide = 0x3e,
  kSelfIpi = 0x3f,
};
inline constexpr Register kLvts[] = {kLvtCmci,  kLvtTimer, kLvtThermal, kLvtPerformance,
                                     kLvtLint0, kLvtLint1, kLvtError};

// IA32_APIC_BASE, IA32_TSC_DEADLINE and the x2APIC range.
inline constexpr u32 kMsrBase = 0x1b, kMsrTscDeadline = 0x6e0, kMsrX2apicFirst = 0x800,
                     kMsrX2apicLast = 0x8ff;
inline constexpr u64 kBaseBsp = 1 << 8, kBaseX2apic = 1 << 10, kBaseEnable = 1 << 11,
                     kBaseAddress = 0x000ffffffffff000, kBaseDefault = 0xfee00000;

// An integrated APIC, seven LVT entries, EOI broadcasts can be suppressed (11.4.8).
inline constexpr u32 kVersionValue = 0x14 | 6 << 16 | 1 << 24;
inline constexpr u32 kSvrEnable = 1 << 8, kSvrSuppressEoi = 1 << 12;

inline constexpr u32 kLvtMasked = 1 << 16, kLvtLevel = 1 << 15;
inline constexpr u32 kTimerPeriodic = 1 << 17, kTimerTscDeadline = 2 << 17, kTimerModes = 3 << 17;

inline constexpr u32 kIcrLogical = 1 << 11, kIcrAssert = 1 << 14, kIcrLevel = 1 << 15;

// Error status (11.5.3).
inline constexpr u32 kErrorSendIllegalVector = 1 << 5, kErrorReceivedIllegalVector = 1 << 6,
                     kErrorIllegalRegister = 1 << 7;

// Who may access a register, and how.
enum Access : u8 { kXapicRead = 1, kXapicWrite = 2, kX2apicRead = 4, kX2apicWrite = 8 };
inline constexpr u8 kReadOnly = kXapicRead | kX2apicRead,
                    kReadWrite = kReadOnly | kXapicWrite | kX2apicWrite;

struct RegisterSpec {
  std::string_view name;
  u8 access = 0;  // 0: reserved
  u32 reset = 0;
  u32 writable = 0;  // in x2APIC mode, writing ones elsewhere is a #GP (11.12.1.3)
};

consteval std::array<RegisterSpec, kRegisterCount> make_registers() {
  std::array<RegisterSpec, kRegisterCount> t{};
  t[kId] = {"ID", kReadOnly};
  t[kVersion] = {"version", kReadOnly, kVersionValue};
  t[kTpr] = {"TPR", kReadWrite, 0, 0xff};
  t[kApr] = {"APR", kXapicRead};
  t[kPpr] = {"PPR", kReadOnly};
  t[kEoi] = {"EOI", kXapicWrite | kX2apicWrite};
  t[kLdr] = {"LDR", kReadOnly | kXapicWrite, 0, 0xff000000};
  t[kDfr] = {"DFR", kXapicRead | kXapicWrite, 0xffffffff, 0xf0000000};
  t[kSvr] = {"SVR", kReadWrite, 0xff, 0x13ff};
  for (unsigned i = 0; i < 8; ++i) {
    t[kIsr + i] = {"ISR", kReadOnly};
    t[kTmr + i] = {"TMR", kReadOnly};
    t[kIrr + i] = {"IRR", kReadOnly};
  }
  t[kEsr] = {"ESR", kReadWrite};
  t[kLvtCmci] = {"LVT CMCI", kReadWrite, kLvtMasked, 0x107ff};
  t[kIcr] = {"ICR", kReadWrite, 0, 0xccfff};
  t[kIcrHigh] = {"ICR (high)", kXapicRead | kXapicWrite, 0, 0xff000000};
  t[kLvtTimer] = {"LVT timer", kReadWrite, kLvtMasked, 0x700ff};
  t[kLvtThermal] = {"LVT thermal", kReadWrite, kLvtMasked, 0x107ff};
  t[kLvtPerformance] = {"LVT performance", kReadWrite, kLvtMasked, 0x107ff};
  t[kLvtLint0] = {"LVT LINT0", kReadWrite, kLvtMasked, 0x1a7ff};
  t[kLvtLint1] = {"LVT LINT1", kReadWrite, kLvtMasked, 0x1a7ff};
  t[kLvtError] = {"LVT error", kReadWrite, kLvtMasked, 0x100ff};
  t[kTimerInitial] = {"timer initial count", kReadWrite, 0, 0xffffffff};
  t[kTimerCurrent] = {"timer current count", kReadOnly};
  t[kTimerDivide] = {"timer divide", kReadWrite, 0, 0x0b};
  t[kSelfIpi] = {"SELF IPI", kX2apicWrite, 0, 0xff};
  return t;
}
inline constexpr auto kRegisters = make_registers();

}  // namespace emu::lapic
