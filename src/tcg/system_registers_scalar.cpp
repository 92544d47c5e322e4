// SPDX-License-Identifier: Apache-2.0
// Control and debug registers, MSRs, time stamps, CPUID, segment bases, TLB control.
// Source: Intel SDM vol. 2 (each instruction).
#include "cpu/control_registers.h"
#include "cpu/debug_registers.h"
#include "cpu/msr.h"
#include "cpu/page_walk.h"
#include "tcg/system_operands.h"

namespace emu {
namespace {

constexpr u64 kApicBaseEnable = u64{1} << 11;

void write_pair(CpuState& s, u64 value) {
  s.gpr[kRax] = value & 0xffffffff;
  s.gpr[kRdx] = value >> 32;
}

u64 read_pair(const CpuState& s) {
  return (s.gpr[kRax] & 0xffffffff) | (s.gpr[kRdx] << 32);
}

unsigned register_bytes(const CpuState& s) {
  return s.code64() ? 8 : 4;
}

void read_base(TcgCpu& t, const SystemCall& c, SegmentIndex index) {
  if (!done(t, check_fsgsbase(t.cpu()))) return;
  write_gpr(t.cpu(), c.reg, c.operand_bytes, t.cpu().segments[index].base);
}

void write_base(TcgCpu& t, const SystemCall& c, SegmentIndex index) {
  if (!done(t, check_fsgsbase(t.cpu()))) return;
  done(t, write_segment_base(t.core(), index, read_gpr(t.cpu(), c.reg, c.operand_bytes)));
}

}  // namespace

void system_mov_to_cr(TcgCpu& t, const SystemCall& c) noexcept {
  CpuState& s = t.cpu();
  const u64 value = read_gpr(s, c.reg2, register_bytes(s));
  if (c.reg != 8) return static_cast<void>(done(t, write_control_register(t.core(), c.reg, value)));
  if (!done(t, check_cr8_write(t.core(), value))) return;
  t.save_vectors();
  t.bus().set_task_priority(static_cast<u8>(value));
}

void system_mov_from_cr(TcgCpu& t, const SystemCall& c) noexcept {
  CpuState& s = t.cpu();
  u64 value = 0;
  if (c.reg == 8) {
    if (!done(t, check_privileged(s))) return;
    t.save_vectors();
    value = t.bus().task_priority();
  } else if (!done(t, read_control_register(t.core(), c.reg, value))) {
    return;
  }
  write_gpr(s, c.reg2, register_bytes(s), value);
}

void system_mov_to_dr(TcgCpu& t, const SystemCall& c) noexcept {
  CpuState& s = t.cpu();
  done(t, write_debug_register(t.core(), c.reg, read_gpr(s, c.reg2, register_bytes(s))));
}

void system_mov_from_dr(TcgCpu& t, const SystemCall& c) noexcept {
  u64 value = 0;
  if (!done(t, read_debug_register(t.core(), c.reg, value))) return;
  write_gpr(t.cpu(), c.reg2, register_bytes(t.cpu()), value);
}

void system_clts(TcgCpu& t, const SystemCall&) noexcept {
  done(t, clear_task_switched(t.core()));
}

void system_rdmsr(TcgCpu& t, const SystemCall&) noexcept {
  CpuState& s = t.cpu();
  const auto index = static_cast<u32>(s.gpr[kRcx]);
  if (!is_bus_msr(index)) {
    u64 value = 0;
    if (done(t, read_msr(t.core(), index, t.engine_tsc(), value))) write_pair(s, value);
    return;
  }
  if (!done(t, check_privileged(s))) return;
  t.save_vectors();
  const auto value = t.bus().read_msr(index);
  if (!value) return t.fault(Fault::gp());
  write_pair(s, *value);
}

void system_wrmsr(TcgCpu& t, const SystemCall&) noexcept {
  CpuState& s = t.cpu();
  const auto index = static_cast<u32>(s.gpr[kRcx]);
  if (!is_bus_msr(index)) {
    done(t, write_msr(t.core(), index, t.engine_tsc(), read_pair(s)));
    if (index < kMsrFsBase || index > kMsrKernelGsBase) t.forget_transfers();
    return;
  }
  if (!done(t, check_privileged(s))) return;
  t.save_vectors();
  if (!t.bus().write_msr(index, read_pair(s))) t.fault(Fault::gp());
}

void system_rdtsc(TcgCpu& t, const SystemCall&) noexcept {
  if (!done(t, check_rdtsc(t.cpu()))) return;
  write_pair(t.cpu(), guest_tsc(t.cpu(), t.engine_tsc()));
}

void system_rdtscp(TcgCpu& t, const SystemCall&) noexcept {
  if (!t.core().features.rdtscp) return t.fault(Fault::ud());
  if (!done(t, check_rdtsc(t.cpu()))) return;
  write_pair(t.cpu(), guest_tsc(t.cpu(), t.engine_tsc()));
  t.cpu().gpr[kRcx] = t.cpu().tsc_aux & 0xffffffff;
}

void system_rdpmc(TcgCpu& t, const SystemCall&) noexcept {
  // No counters are offered in CPUID: every index is invalid.
  if (done(t, check_rdpmc(t.cpu()))) t.fault(Fault::gp());
}

void system_rdpid(TcgCpu& t, const SystemCall& c) noexcept {
  if (!t.core().features.rdtscp) return t.fault(Fault::ud());
  write_gpr(t.cpu(), c.reg, t.cpu().code64() ? 8 : 4, t.cpu().tsc_aux);
}

void system_cpuid(TcgCpu& t, const SystemCall&) noexcept {
  CpuState& s = t.cpu();
  const CpuidResult r =
      t.config().cpuid->lookup(static_cast<u32>(s.gpr[kRax]), static_cast<u32>(s.gpr[kRcx]), s,
                               t.config().apic_id, t.apic_enabled());
  s.gpr[kRax] = r.eax;
  s.gpr[kRbx] = r.ebx;
  s.gpr[kRcx] = r.ecx;
  s.gpr[kRdx] = r.edx;
}

bool TcgCpu::apic_enabled() noexcept {
  save_vectors();
  const auto base = bus_->read_msr(kMsrApicBase);
  return base && (*base & kApicBaseEnable) != 0;
}

void system_xgetbv(TcgCpu& t, const SystemCall&) noexcept {
  CpuState& s = t.cpu();
  u64 value = 0;
  // Nothing that is in use is hidden: all enabled components count as in use.
  if (done(t, read_xcr(t.core(), static_cast<u32>(s.gpr[kRcx]), s.xcr0, value))) {
    write_pair(s, value);
  }
}

void system_xsetbv(TcgCpu& t, const SystemCall&) noexcept {
  CpuState& s = t.cpu();
  done(t, write_xcr(t.core(), static_cast<u32>(s.gpr[kRcx]), read_pair(s)));
}

void system_rdpkru(TcgCpu& t, const SystemCall&) noexcept {
  CpuState& s = t.cpu();
  if ((s.cr4 & kCr4Pke) == 0) return t.fault(Fault::ud());
  if ((s.gpr[kRcx] & 0xffffffff) != 0) return t.fault(Fault::gp());
  write_pair(s, s.pkru);
}

void system_wrpkru(TcgCpu& t, const SystemCall&) noexcept {
  CpuState& s = t.cpu();
  if ((s.cr4 & kCr4Pke) == 0) return t.fault(Fault::ud());
  if ((s.gpr[kRcx] & 0xffffffff) != 0 || (s.gpr[kRdx] & 0xffffffff) != 0) {
    return t.fault(Fault::gp());
  }
  s.pkru = static_cast<u32>(s.gpr[kRax]);
  t.core().effects |= kEffectFlushAll;
}

void system_swapgs(TcgCpu& t, const SystemCall&) noexcept {
  done(t, swap_gs(t.core()));
}

void system_rdfsbase(TcgCpu& t, const SystemCall& c) noexcept {
  read_base(t, c, kFs);
}

void system_rdgsbase(TcgCpu& t, const SystemCall& c) noexcept {
  read_base(t, c, kGs);
}

void system_wrfsbase(TcgCpu& t, const SystemCall& c) noexcept {
  write_base(t, c, kFs);
}

void system_wrgsbase(TcgCpu& t, const SystemCall& c) noexcept {
  write_base(t, c, kGs);
}

void system_invlpg(TcgCpu& t, const SystemCall&) noexcept {
  if (!done(t, check_privileged(t.cpu()))) return;
  const u64 linear = t.frame().exit_address;
  if (!t.cpu().code64() || is_canonical(linear)) t.flush_page(linear);
}

void system_invpcid(TcgCpu& t, const SystemCall& c) noexcept {
  if (!done(t, check_privileged(t.cpu()))) return;
  u8 image[16] = {};
  if (!done(t, t.read_linear(t.frame().exit_address, image, 16, Privilege::kCurrent))) return;
  done(t, invalidate_pcid(t.core(), read_gpr(t.cpu(), c.reg, register_bytes(t.cpu())),
                          load_le<u64>(image), load_le<u64>(image + 8)));
}

void system_wbinvd(TcgCpu& t, const SystemCall&) noexcept {
  done(t, check_privileged(t.cpu()));
}

void system_clflush(TcgCpu& t, const SystemCall&) noexcept {
  u8 byte = 0;
  done(t, t.read_linear(t.frame().exit_address, &byte, 1, Privilege::kCurrent));
}

}  // namespace emu
