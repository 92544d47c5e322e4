// SPDX-License-Identifier: Apache-2.0
// The architectural state of one processor: plain data, the same for both engines and in snapshots.
// Source: Intel SDM vol. 1 ch. 3 and 13, vol. 3 ch. 2, 3 and 17.
#pragma once

#include <array>

#include "base/state_io.h"
#include "base/types.h"

namespace emu {

enum Gpr : u8 {
  kRax,
  kRcx,
  kRdx,
  kRbx,
  kRsp,
  kRbp,
  kRsi,
  kRdi,
  kR8,
  kR9,
  kR10,
  kR11,
  kR12,
  kR13,
  kR14,
  kR15,
};

// In instruction-encoding order (SDM vol. 2 table B-8).
enum SegmentIndex : u8 { kEs, kCs, kSs, kDs, kFs, kGs };
inline constexpr unsigned kSegmentCount = 6;

// Segment attributes: bits 40-47 and 52-55 of a descriptor, shifted down by 40, and kSegUnusable.
inline constexpr u16 kSegTypeMask = 0x000f;
inline constexpr u16 kSegAccessed = 1 << 0;
inline constexpr u16 kSegWritable = 1 << 1;    // data
inline constexpr u16 kSegReadable = 1 << 1;    // code
inline constexpr u16 kSegExpandDown = 1 << 2;  // data
inline constexpr u16 kSegConforming = 1 << 2;  // code
inline constexpr u16 kSegCode = 1 << 3;
inline constexpr u16 kSegNotSystem = 1 << 4;  // S
inline constexpr u16 kSegDplShift = 5;
inline constexpr u16 kSegPresent = 1 << 7;
inline constexpr u16 kSegUnusable = 1 << 8;  // a null selector was loaded
inline constexpr u16 kSegAvailable = 1 << 12;
inline constexpr u16 kSegLong = 1 << 13;  // L
inline constexpr u16 kSegBig = 1 << 14;   // D/B
inline constexpr u16 kSegGranularity = 1 << 15;

// A segment register with its hidden part. `limit` is in bytes, inclusive, after granularity.
struct Segment {
  u64 base = 0;
  u32 limit = 0;
  u16 selector = 0;
  u16 attributes = 0;

  bool operator==(const Segment&) const = default;
  [[nodiscard]] constexpr unsigned dpl() const { return (attributes >> kSegDplShift) & 3u; }
  [[nodiscard]] constexpr unsigned rpl() const { return selector & 3u; }
  [[nodiscard]] constexpr bool present() const { return (attributes & kSegPresent) != 0; }
  [[nodiscard]] constexpr bool usable() const { return (attributes & kSegUnusable) == 0; }
};

struct DescriptorTable {
  u64 base = 0;
  u16 limit = 0;
  u16 reserved[3] = {};
  bool operator==(const DescriptorTable&) const = default;
};

// RFLAGS (SDM vol. 1 3.4.3).
inline constexpr u64 kFlagCf = 1u << 0, kFlagFixed1 = 1u << 1, kFlagPf = 1u << 2, kFlagAf = 1u << 4,
                     kFlagZf = 1u << 6, kFlagSf = 1u << 7, kFlagTf = 1u << 8, kFlagIf = 1u << 9,
                     kFlagDf = 1u << 10, kFlagOf = 1u << 11, kFlagIopl = 3u << 12,
                     kFlagNt = 1u << 14, kFlagRf = 1u << 16, kFlagVm = 1u << 17, kFlagAc = 1u << 18,
                     kFlagVif = 1u << 19, kFlagVip = 1u << 20, kFlagId = 1u << 21;
inline constexpr u64 kFlagsArithmetic = kFlagCf | kFlagPf | kFlagAf | kFlagZf | kFlagSf | kFlagOf;

// CR0, CR4, EFER (SDM vol. 3 2.5 and 2.2.1).
inline constexpr u64 kCr0Pe = 1u << 0, kCr0Mp = 1u << 1, kCr0Em = 1u << 2, kCr0Ts = 1u << 3,
                     kCr0Et = 1u << 4, kCr0Ne = 1u << 5, kCr0Wp = 1u << 16, kCr0Am = 1u << 18,
                     kCr0Nw = 1u << 29, kCr0Cd = 1u << 30, kCr0Pg = 1u << 31;
inline constexpr u64 kCr4Vme = 1u << 0, kCr4Pvi = 1u << 1, kCr4Tsd = 1u << 2, kCr4De = 1u << 3,
                     kCr4Pse = 1u << 4, kCr4Pae = 1u << 5, kCr4Mce = 1u << 6, kCr4Pge = 1u << 7,
                     kCr4Pce = 1u << 8, kCr4Osfxsr = 1u << 9, kCr4Osxmmexcpt = 1u << 10,
                     kCr4Umip = 1u << 11, kCr4La57 = 1u << 12, kCr4Fsgsbase = 1u << 16,
                     kCr4Pcide = 1u << 17, kCr4Osxsave = 1u << 18, kCr4Smep = 1u << 20,
                     kCr4Smap = 1u << 21, kCr4Pke = 1u << 22;
inline constexpr u64 kEferSce = 1u << 0, kEferLme = 1u << 8, kEferLma = 1u << 10,
                     kEferNxe = 1u << 11;

// Large enough for the standard (not compacted) XSAVE image of x87, SSE, AVX, AVX-512 and PKRU.
inline constexpr unsigned kXsaveBytes = 2752;

enum class Activity : u8 { kRunning, kHalted, kShutdown, kWaitForSipi };

// Field groups: hot fields first; generated code addresses them relative to the struct.
struct CpuState {
  u64 gpr[16] = {};
  u64 rip = 0;  // offset in CS
  u64 rflags = kFlagFixed1;
  Segment segments[kSegmentCount];
  Segment ldtr, tr;
  DescriptorTable gdtr, idtr;

  u64 cr0 = 0, cr2 = 0, cr3 = 0, cr4 = 0;
  u64 efer = 0, xcr0 = 1;
  u64 pdpte[4] = {};  // loaded with CR3 in PAE mode (SDM vol. 3 4.4.1)
  u64 dr[4] = {};
  u64 dr6 = 0xffff0ff0, dr7 = 0x400;

  u64 star = 0, lstar = 0, cstar = 0, sfmask = 0, kernel_gs_base = 0;
  u64 sysenter_cs = 0, sysenter_esp = 0, sysenter_eip = 0;
  u64 pat = 0x0007040600070406, tsc_aux = 0, xss = 0;
  u64 misc_enable = 1, spec_ctrl = 0, debugctl = 0;
  u64 mtrr_def_type = 0;
  u64 mtrr_variable[16] = {};  // base, mask pairs
  u64 mtrr_fixed[11] = {};
  u64 mcg_status = 0, mcg_ctl = 0;
  u64 mc_banks[40] = {};  // ten banks of CTL, STATUS, ADDR, MISC
  u64 tsc_offset = 0;     // guest TSC = engine's TSC of VM time + this
  u64 tsc_adjust = 0;
  u32 smbase = 0x30000;
  u32 pkru = 0;

  Activity activity = Activity::kRunning;
  bool interrupt_shadow = false;  // after STI, MOV SS, POP SS: until the next instruction is done
  bool nmi_blocked = false;       // an NMI handler runs (until IRET)
  bool nmi_pending = false;
  bool smi_pending = false;
  bool smm = false;
  bool init_pending = false;
  bool reserved = false;

  alignas(64) u8 xsave[kXsaveBytes] = {};  // standard format, as XSAVE with all of XCR0 writes it

  // Current privilege level: SS.DPL outside real mode, 3 in virtual-8086 mode.
  [[nodiscard]] constexpr unsigned cpl() const {
    return (cr0 & kCr0Pe) == 0 ? 0 : (rflags & kFlagVm) != 0 ? 3 : segments[kSs].dpl();
  }
  [[nodiscard]] constexpr bool protected_mode() const { return (cr0 & kCr0Pe) != 0; }
  [[nodiscard]] constexpr bool vm86() const { return (rflags & kFlagVm) != 0; }
  [[nodiscard]] constexpr bool long_mode() const { return (efer & kEferLma) != 0; }
  [[nodiscard]] constexpr bool code64() const {
    return long_mode() && (segments[kCs].attributes & kSegLong) != 0;
  }
};

// State after power-on or INIT (SDM vol. 3 table 9-1): real mode at F000:FFF0 with base FFFF0000h.
// INIT keeps the FPU and vector state, MTRRs and most MSRs; a reset does not.
void reset_cpu(CpuState& state, bool init_only);
// Starts a processor that waits for SIPI at page `vector` (SDM vol. 3 8.4.4).
void start_cpu_at_sipi(CpuState& state, u8 vector);
// Snapshot fields; loading validates what other code indexes or branches by.
void transfer(CpuState& state, StateIo& io);

}  // namespace emu
