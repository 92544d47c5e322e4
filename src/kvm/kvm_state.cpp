// SPDX-License-Identifier: Apache-2.0
// CpuState to and from the kernel's structures.
// Source: Linux Documentation/virt/kvm/api.rst, KVM_GET_REGS, _SREGS2, _XSAVE, _XCRS, _DEBUGREGS,
// _MSRS, _VCPU_EVENTS; arch/x86/include/uapi/asm/kvm.h.
#include <cstring>
#include <vector>

#include "base/bits.h"
#include "cpu/msr.h"
#include "cpu/xsave_layout.h"
#include "kvm/kvm_cpu.h"
#include "kvm/kvm_table.h"

namespace emu {
namespace {

// A TSC this close to where it should be was not moved by anybody: reading it takes time.
constexpr u64 kTscTolerancePerSecond = 20'000;  // 50 us

kvm_segment to_kvm(const Segment& s) {
  kvm_segment k{};
  k.base = s.base;
  k.limit = s.limit;
  k.selector = s.selector;
  k.type = s.attributes & kSegTypeMask;
  k.s = (s.attributes & kSegNotSystem) != 0;
  k.dpl = static_cast<u8>(s.dpl());
  k.present = s.present();
  k.avl = (s.attributes & kSegAvailable) != 0;
  k.l = (s.attributes & kSegLong) != 0;
  k.db = (s.attributes & kSegBig) != 0;
  k.g = (s.attributes & kSegGranularity) != 0;
  k.unusable = !s.usable();
  return k;
}

Segment from_kvm(const kvm_segment& k) {
  Segment s;
  s.base = k.base;
  s.limit = k.limit;
  s.selector = k.selector;
  unsigned attributes = k.type & kSegTypeMask;
  const auto set = [&](bool on, u16 flag) { attributes |= on ? flag : 0u; };
  set(k.s != 0, kSegNotSystem);
  attributes |= (k.dpl & 3u) << kSegDplShift;
  set(k.present != 0, kSegPresent);
  set(k.avl != 0, kSegAvailable);
  set(k.l != 0, kSegLong);
  set(k.db != 0, kSegBig);
  set(k.g != 0, kSegGranularity);
  set(k.unusable != 0, kSegUnusable);
  s.attributes = static_cast<u16>(attributes);
  return s;
}

// The model-specific registers of CpuState, one call each.
template <class State, class F>
void for_each_msr(State& s, F&& visit) {
  visit(kMsrStar, s.star);
  visit(kMsrLstar, s.lstar);
  visit(kMsrCstar, s.cstar);
  visit(kMsrSfmask, s.sfmask);
  visit(kMsrKernelGsBase, s.kernel_gs_base);
  visit(kMsrSysenterCs, s.sysenter_cs);
  visit(kMsrSysenterEsp, s.sysenter_esp);
  visit(kMsrSysenterEip, s.sysenter_eip);
  visit(kMsrPat, s.pat);
  visit(kMsrTscAux, s.tsc_aux);
  visit(kMsrTscAdjust, s.tsc_adjust);
  visit(kMsrXss, s.xss);
  visit(kMsrMiscEnable, s.misc_enable);
  visit(kMsrSpecCtrl, s.spec_ctrl);
  visit(kMsrDebugctl, s.debugctl);
  visit(kMsrMtrrDefType, s.mtrr_def_type);
  for (u32 i = 0; i < std::size(s.mtrr_variable); ++i) {
    visit(kMsrMtrrPhysBase0 + i, s.mtrr_variable[i]);
  }
  visit(kMsrMtrrFix64k00000, s.mtrr_fixed[0]);
  visit(kMsrMtrrFix16k80000, s.mtrr_fixed[1]);
  visit(kMsrMtrrFix16kA0000, s.mtrr_fixed[2]);
  for (u32 i = 0; i < 8; ++i) visit(kMsrMtrrFix4kC0000 + i, s.mtrr_fixed[3 + i]);
  visit(kMsrMcgStatus, s.mcg_status);
  visit(kMsrMcgCtl, s.mcg_ctl);
  for (u32 i = 0; i < std::size(s.mc_banks); ++i) visit(kMsrMc0Ctl + i, s.mc_banks[i]);
}

constexpr u64 kApicBaseReset = 0xfee00800, kApicBaseBoot = 0x100;

}  // namespace

void KvmCpu::state(CpuState& out) {
  note_guest_tsc();
  out = shadow_;
  load_registers(out);
  load_system(out);
  load_vectors(out);
  load_msrs(out);
  load_events(out);
  const bool kernel_knows = has_kernel_apic() && activity_ == Activity::kRunning;
  out.activity = kernel_knows ? waiting_activity() : activity_;
}

void KvmCpu::set_state(const CpuState& in) {
  requests_.fetch_and(~(kRequestNmi | kRequestInit | kRequestSipi));
  store(in);
}

// Requests that come meanwhile stay: a SIPI may follow its INIT at once.
void KvmCpu::store(const CpuState& in) {
  shadow_ = in;
  activity_ = in.activity;
  interrupts_on_ = (in.rflags & kFlagIf) != 0;
  access_pending_ = false;
  vector_pending_ = false;
  priority_stale_ = true;
  // What the kernel would say at an exit here.
  shared().ready_for_interrupt_injection =
      !has_kernel_apic() && interrupts_on_ && !in.interrupt_shadow;
  store_system(in);
  store_registers(in);
  store_vectors(in);
  store_msrs(in);
  store_events(in);
  if (has_kernel_apic()) {
    set_waiting_activity(in.activity);
    if (activity_ != Activity::kShutdown) activity_ = Activity::kRunning;
  }
  follow_clock();
}

void KvmCpu::load_registers(CpuState& out) {
  kvm_regs r{};
  if (const long e = call_with(KVM_GET_REGS, r); e < 0) return note_failure(e, "show registers");
  const u64 in_order[16] = {r.rax, r.rcx, r.rdx, r.rbx, r.rsp, r.rbp, r.rsi, r.rdi,
                            r.r8,  r.r9,  r.r10, r.r11, r.r12, r.r13, r.r14, r.r15};
  std::copy(std::begin(in_order), std::end(in_order), out.gpr);
  out.rip = r.rip;
  out.rflags = r.rflags;
  kvm_debugregs d{};
  if (const long e = call_with(KVM_GET_DEBUGREGS, d); e < 0) {
    return note_failure(e, "show debug registers");
  }
  std::copy(std::begin(d.db), std::end(d.db), out.dr);
  out.dr6 = d.dr6;
  out.dr7 = d.dr7;
}

void KvmCpu::store_registers(const CpuState& in) {
  const u64* g = in.gpr;
  kvm_regs r{g[kRax], g[kRbx], g[kRcx], g[kRdx], g[kRsi], g[kRdi], g[kRsp], g[kRbp], g[8],
             g[9],    g[10],   g[11],   g[12],   g[13],   g[14],   g[15],   in.rip,  in.rflags};
  if (const long e = call_with(KVM_SET_REGS, r); e < 0) return note_failure(e, "take registers");
  kvm_debugregs d{};
  std::copy(std::begin(in.dr), std::end(in.dr), d.db);
  d.dr6 = in.dr6;
  d.dr7 = in.dr7;
  if (const long e = call_with(KVM_SET_DEBUGREGS, d); e < 0)
    note_failure(e, "take debug registers");
}

void KvmCpu::load_system(CpuState& out) {
  kvm_sregs2 s{};
  if (const long e = call_with(KVM_GET_SREGS2, s); e < 0) {
    return note_failure(e, "show control registers");
  }
  const kvm_segment* segments[kSegmentCount] = {&s.es, &s.cs, &s.ss, &s.ds, &s.fs, &s.gs};
  for (unsigned i = 0; i < kSegmentCount; ++i) out.segments[i] = from_kvm(*segments[i]);
  out.ldtr = from_kvm(s.ldt);
  out.tr = from_kvm(s.tr);
  out.gdtr = {s.gdt.base, s.gdt.limit, {}};
  out.idtr = {s.idt.base, s.idt.limit, {}};
  out.cr0 = s.cr0;
  out.cr2 = s.cr2;
  out.cr3 = s.cr3;
  out.cr4 = s.cr4;
  out.efer = s.efer;
  if ((s.flags & KVM_SREGS2_FLAGS_PDPTRS_VALID) != 0) {
    for (unsigned i = 0; i < 4; ++i) out.pdpte[i] = s.pdptrs[i];
  }
}

void KvmCpu::store_system(const CpuState& in) {
  kvm_sregs2 s{};
  kvm_segment* segments[kSegmentCount] = {&s.es, &s.cs, &s.ss, &s.ds, &s.fs, &s.gs};
  for (unsigned i = 0; i < kSegmentCount; ++i) *segments[i] = to_kvm(in.segments[i]);
  s.ldt = to_kvm(in.ldtr);
  s.tr = to_kvm(in.tr);
  s.gdt.base = in.gdtr.base;
  s.gdt.limit = in.gdtr.limit;
  s.idt.base = in.idtr.base;
  s.idt.limit = in.idtr.limit;
  s.cr0 = in.cr0;
  s.cr2 = in.cr2;
  s.cr3 = in.cr3;
  s.cr4 = in.cr4;
  s.efer = in.efer;
  s.apic_base = kApicBaseReset | (config_.index == 0 ? kApicBaseBoot : 0);
  if (has_kernel_apic()) {  // its mode and task priority come and go with its registers
    kvm_sregs2 now{};
    if (const long e = call_with(KVM_GET_SREGS2, now); e < 0) {
      return note_failure(e, "show control registers");
    }
    s.apic_base = now.apic_base;
    s.cr8 = now.cr8;
  }
  const bool pae = (in.cr0 & kCr0Pg) != 0 && (in.cr4 & kCr4Pae) != 0 && !in.long_mode();
  if (pae) {
    s.flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
    for (unsigned i = 0; i < 4; ++i) s.pdptrs[i] = in.pdpte[i];
  }
  if (const long e = call_with(KVM_SET_SREGS2, s); e < 0) note_failure(e, "take control registers");
}

void KvmCpu::load_vectors(CpuState& out) {
  auto area = std::make_unique<KvmXsaveArea>();
  if (const long e = call_with(kKvmGetXsave, *area); e < 0) {
    return note_failure(e, "show vector registers");
  }
  static_assert(sizeof area->region >= kXsaveBytes);
  std::memcpy(out.xsave, area->region, kXsaveBytes);
  // The kernel shows components that no CpuState has, and its own mark of the MXCSR mask.
  store_le(out.xsave + kXstateBv, load_le<u64>(out.xsave + kXstateBv) & xsave_mask_);
  std::memset(out.xsave + kXcompBv, 0, kXsaveLegacyAndHeaderBytes - kXcompBv);
  kvm_xcrs xcrs{};
  if (call_with(KVM_GET_XCRS, xcrs) >= 0 && xcrs.nr_xcrs > 0 && xcrs.xcrs[0].xcr == 0) {
    out.xcr0 = xcrs.xcrs[0].value;
  }
}

void KvmCpu::store_vectors(const CpuState& in) {
  kvm_xcrs xcrs{};
  xcrs.nr_xcrs = 1;
  xcrs.xcrs[0].value = in.xcr0;
  if (const long e = call_with(KVM_SET_XCRS, xcrs); e < 0) note_failure(e, "take XCR0");
  auto area = std::make_unique<KvmXsaveArea>();
  std::memcpy(area->region, in.xsave, kXsaveBytes);
  u8* const bytes = reinterpret_cast<u8*>(area->region);
  store_le(bytes + kXstateBv, load_le<u64>(bytes + kXstateBv) & xsave_mask_);
  if (const long e = call_with(kKvmSetXsave, *area); e < 0)
    note_failure(e, "take vector registers");
}

// Registers that the kernel does not have keep the value in `out`.
void KvmCpu::load_msrs(CpuState& out) {
  std::vector<std::pair<u32, u64*>> wanted;
  for_each_msr(out, [&](u32 index, u64& value) { wanted.emplace_back(index, &value); });
  for (std::size_t first = 0; first < wanted.size();) {
    const std::size_t count = wanted.size() - first;
    KvmTable<kvm_msr_entry> msrs(count);
    for (std::size_t i = 0; i < count; ++i) msrs[i].index = wanted[first + i].first;
    const long done = call_with(kKvmGetMsrs, msrs.header());
    if (done < 0) return note_failure(done, "show model-specific registers");
    for (std::size_t i = 0; i < static_cast<std::size_t>(done); ++i) {
      *wanted[first + i].second = msrs[i].data;
    }
    first += static_cast<std::size_t>(done) + 1;  // the one it stopped at is not there
  }
}

// What the kernel refuses stays in shadow_ only.
void KvmCpu::store_msrs(const CpuState& in) {
  std::vector<std::pair<u32, u64>> values;
  for_each_msr(in, [&](u32 index, u64 value) { values.emplace_back(index, value); });
  for (std::size_t first = 0; first < values.size();) {
    const std::size_t count = values.size() - first;
    KvmTable<kvm_msr_entry> msrs(count);
    for (std::size_t i = 0; i < count; ++i) {
      msrs[i].index = values[first + i].first;
      msrs[i].data = values[first + i].second;
    }
    const long done = call_with(kKvmSetMsrs, msrs.header());
    if (done < 0) return note_failure(done, "take model-specific registers");
    first += static_cast<std::size_t>(done) + 1;
  }
}

void KvmCpu::load_events(CpuState& out) {
  kvm_vcpu_events e{};
  if (const long r = call_with(KVM_GET_VCPU_EVENTS, e); r < 0)
    return note_failure(r, "show events");
  out.interrupt_shadow = e.interrupt.shadow != 0;
  out.nmi_blocked = e.nmi.masked != 0;
  out.nmi_pending = e.nmi.pending != 0 || (requests_.load() & kRequestNmi) != 0;
}

void KvmCpu::store_events(const CpuState& in) {
  kvm_vcpu_events e{};
  e.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
  e.interrupt.shadow = in.interrupt_shadow ? KVM_X86_SHADOW_INT_STI : 0;
  e.nmi.masked = in.nmi_blocked;
  e.nmi.pending = in.nmi_pending;
  if (const long r = call_with(KVM_SET_VCPU_EVENTS, e); r < 0) note_failure(r, "take events");
}

// --- time stamp counter: the guest's is the machine's plus an offset

u64 KvmCpu::machine_tsc() const {
  const u64 hz = config_.cpuid->features().tsc_hz;
  return hz == 0 ? 0 : Frequency{hz, 1}.ticks_at(engine_.clock().now_ns());
}

std::optional<u64> KvmCpu::kernel_tsc() {
  KvmTable<kvm_msr_entry> table(1);
  table[0].index = kMsrTsc;
  if (call_with(kKvmGetMsrs, table.header()) != 1) return std::nullopt;
  return table[0].data;
}

bool KvmCpu::tsc_moved(u64 from, u64 to) const {
  const u64 tolerance = config_.cpuid->features().tsc_hz / kTscTolerancePerSecond;
  return to - from + tolerance > 2 * tolerance;  // modulo 2^64
}

// Guest time stood still while the machine did.
void KvmCpu::follow_clock() {
  const auto now = kernel_tsc();
  const u64 wanted = machine_tsc() + shadow_.tsc_offset;
  if (!now || !tsc_moved(wanted, *now)) return;
  KvmTable<kvm_msr_entry> table(1);
  table[0].index = kMsrTsc;
  table[0].data = wanted;
  (void)call_with(kKvmSetMsrs, table.header());
}

// The guest may have written its TSC.
void KvmCpu::note_guest_tsc() {
  const auto now = kernel_tsc();
  if (!now) return;
  const u64 offset = *now - machine_tsc();
  if (tsc_moved(shadow_.tsc_offset, offset)) shadow_.tsc_offset = offset;
}

}  // namespace emu
