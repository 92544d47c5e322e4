// SPDX-License-Identifier: Apache-2.0
// Snapshot fields of a processor. A loaded state is untrusted: what other code indexes by, branches
// on or hands to the host's XRSTOR is checked here.
#include "base/bits.h"
#include "cpu/cpu_state.h"
#include "cpu/debug_registers.h"
#include "cpu/page_walk.h"
#include "cpu/xsave_layout.h"

namespace emu {
namespace {

constexpr u64 kRflagsDefined = 0x3f7fd7;

void segment_fields(StateIo& io, std::string_view name, Segment& segment) {
  io.section(name, 1, [&] {
    io.field(1, "base", segment.base);
    io.field(2, "limit", segment.limit);
    io.field(3, "selector", segment.selector);
    io.field(4, "attributes", segment.attributes);
  });
}

void table_fields(StateIo& io, std::string_view name, DescriptorTable& table) {
  io.section(name, 1, [&] {
    io.field(1, "base", table.base);
    io.field(2, "limit", table.limit);
  });
}

void general_fields(CpuState& s, StateIo& io) {
  io.field(1, "gpr", s.gpr);
  io.field(2, "rip", s.rip);
  io.field(3, "rflags", s.rflags);
  constexpr std::string_view kNames[kSegmentCount] = {"es", "cs", "ss", "ds", "fs", "gs"};
  for (unsigned i = 0; i < kSegmentCount; ++i) segment_fields(io, kNames[i], s.segments[i]);
  segment_fields(io, "ldtr", s.ldtr);
  segment_fields(io, "tr", s.tr);
  table_fields(io, "gdtr", s.gdtr);
  table_fields(io, "idtr", s.idtr);
}

void control_fields(CpuState& s, StateIo& io) {
  io.field(10, "cr0", s.cr0);
  io.field(11, "cr2", s.cr2);
  io.field(12, "cr3", s.cr3);
  io.field(13, "cr4", s.cr4);
  io.field(14, "efer", s.efer);
  io.field(15, "xcr0", s.xcr0);
  io.field(16, "pdpte", s.pdpte);
  io.field(17, "dr", s.dr);
  io.field(18, "dr6", s.dr6);
  io.field(19, "dr7", s.dr7);
}

void msr_fields(CpuState& s, StateIo& io) {
  io.field(30, "star", s.star);
  io.field(31, "lstar", s.lstar);
  io.field(32, "cstar", s.cstar);
  io.field(33, "sfmask", s.sfmask);
  io.field(34, "kernel_gs_base", s.kernel_gs_base);
  io.field(35, "sysenter_cs", s.sysenter_cs);
  io.field(36, "sysenter_esp", s.sysenter_esp);
  io.field(37, "sysenter_eip", s.sysenter_eip);
  io.field(38, "pat", s.pat);
  io.field(39, "tsc_aux", s.tsc_aux);
  io.field(40, "xss", s.xss);
  io.field(41, "misc_enable", s.misc_enable);
  io.field(42, "spec_ctrl", s.spec_ctrl);
  io.field(43, "debugctl", s.debugctl);
  io.field(44, "mtrr_def_type", s.mtrr_def_type);
  io.field(45, "mtrr_variable", s.mtrr_variable);
  io.field(46, "mtrr_fixed", s.mtrr_fixed);
  io.field(47, "mcg_status", s.mcg_status);
  io.field(48, "mcg_ctl", s.mcg_ctl);
  io.field(49, "mc_banks", s.mc_banks);
  io.field(50, "tsc_offset", s.tsc_offset);
  io.field(51, "tsc_adjust", s.tsc_adjust);
  io.field(52, "smbase", s.smbase);
  io.field(53, "pkru", s.pkru);
}

void condition_fields(CpuState& s, StateIo& io) {
  io.field(70, "activity", s.activity);
  io.field(71, "interrupt_shadow", s.interrupt_shadow);
  io.field(72, "nmi_blocked", s.nmi_blocked);
  io.field(73, "nmi_pending", s.nmi_pending);
  io.field(74, "smi_pending", s.smi_pending);
  io.field(75, "smm", s.smm);
  io.field(76, "init_pending", s.init_pending);
  io.field(80, "xsave", s.xsave);
}

bool valid_modes(const CpuState& s) {
  const bool paging = (s.cr0 & kCr0Pg) != 0;
  const bool lme = (s.efer & kEferLme) != 0;
  if ((s.cr0 >> 32) != 0 || (paging && !s.protected_mode())) return false;
  if (s.long_mode() != (paging && lme)) return false;
  if (s.long_mode() && (s.cr4 & kCr4Pae) == 0) return false;
  if ((s.cr4 & kCr4Pcide) != 0 && !s.long_mode()) return false;
  if ((s.cr4 & kCr4La57) != 0) return false;
  return !(s.vm86() && (s.long_mode() || !s.protected_mode()));
}

bool valid_flags(const CpuState& s) {
  return (s.rflags & ~kRflagsDefined) == 0 && (s.rflags & kFlagFixed1) != 0;
}

bool valid_addresses(const CpuState& s) {
  return is_canonical(s.lstar) && is_canonical(s.cstar) && is_canonical(s.kernel_gs_base) &&
         is_canonical(s.sysenter_esp) && is_canonical(s.sysenter_eip) &&
         is_canonical(s.segments[kFs].base) && is_canonical(s.segments[kGs].base) &&
         is_canonical(s.gdtr.base) && is_canonical(s.idtr.base) && is_canonical(s.ldtr.base) &&
         is_canonical(s.tr.base);
}

// The image goes to the host's XRSTOR, which faults on reserved bits.
bool valid_xsave(const CpuState& s) {
  constexpr u64 kKnown = kXcr0X87 | kXcr0Sse | kXcr0Avx | kXcr0Avx512 | kXcr0Pkru;
  if ((s.xcr0 & ~kKnown) != 0 || (s.xcr0 & kXcr0X87) == 0) return false;
  if (load_le<u64>(s.xsave + kXcompBv) != 0) return false;
  for (unsigned i = kXcompBv + 8; i < kXsaveLegacyAndHeaderBytes; ++i) {
    if (s.xsave[i] != 0) return false;
  }
  return (load_le<u64>(s.xsave + kXstateBv) & ~kKnown) == 0 &&
         !check_mxcsr(load_le<u32>(s.xsave + kFxMxcsr));
}

}  // namespace

void transfer(CpuState& state, StateIo& io) {
  general_fields(state, io);
  control_fields(state, io);
  msr_fields(state, io);
  condition_fields(state, io);
  if (!io.loading()) return;
  io.check(state.activity <= Activity::kWaitForSipi, "activity");
  io.check(valid_flags(state), "rflags");
  io.check(valid_modes(state), "cr0, cr4, efer");
  io.check(valid_addresses(state), "canonical addresses");
  io.check((state.dr6 >> 32) == 0 && (state.dr7 >> 32) == 0, "dr6, dr7");
  io.check(valid_xsave(state), "xsave");
}

}  // namespace emu
