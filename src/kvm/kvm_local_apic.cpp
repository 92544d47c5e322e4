// SPDX-License-Identifier: Apache-2.0
// The kernel's local APIC of one processor, and what it makes of waiting processors.
// Source: Linux Documentation/virt/kvm/api.rst, KVM_GET_LAPIC, KVM_SET_LAPIC, KVM_GET_MP_STATE;
// arch/x86/kvm/lapic.c (the timer goes on from its current count).
#include <algorithm>
#include <cstring>

#include "base/bits.h"
#include "cpu/msr.h"
#include "kvm/kvm_cpu.h"
#include "kvm/kvm_table.h"

namespace emu {
namespace {

constexpr std::size_t kRegisterStride = 16;
static_assert(sizeof(kvm_lapic_state) == 64 * kRegisterStride);

}  // namespace

Result<u64> KvmCpu::get_msr(u32 index) {
  KvmTable<kvm_msr_entry> table(1);
  table[0].index = index;
  const long r = call_with(kKvmGetMsrs, table.header());
  if (r != 1) return kvm_error(std::min(r, -1L), fmt::format("show MSR {:#x}", index));
  return table[0].data;
}

Result<void> KvmCpu::set_msr(u32 index, u64 value) {
  KvmTable<kvm_msr_entry> table(1);
  table[0].index = index;
  table[0].data = value;
  const long r = call_with(kKvmSetMsrs, table.header());
  if (r != 1) return kvm_error(std::min(r, -1L), fmt::format("take MSR {:#x}", index));
  return {};
}

Result<EngineLocalApic> KvmCpu::local_apic() {
  kvm_lapic_state page{};
  if (const long r = call_with(KVM_GET_LAPIC, page); r < 0) {
    return kvm_error(r, "show its local APIC");
  }
  EngineLocalApic apic;
  for (std::size_t i = 0; i < apic.registers.size(); ++i) {
    std::memcpy(&apic.registers[i], page.regs + i * kRegisterStride, sizeof(u32));
  }
  const auto base = get_msr(kMsrApicBase);
  if (!base) return base.error();
  apic.base = *base;
  const auto deadline = get_msr(kMsrTscDeadline);
  if (deadline) apic.tsc_deadline = *deadline;  // absent where the guest has no such timer
  return apic;
}

// The mode first, which the registers' meaning hangs on; the deadline last, when the TSC is right.
Result<void> KvmCpu::set_local_apic(const EngineLocalApic& apic) {
  EMU_TRY(set_msr(kMsrApicBase, apic.base));
  kvm_lapic_state page{};
  for (std::size_t i = 0; i < apic.registers.size(); ++i) {
    std::memcpy(page.regs + i * kRegisterStride, &apic.registers[i], sizeof(u32));
  }
  if (const long r = call_with(KVM_SET_LAPIC, page); r < 0) {
    return kvm_error(r, "take the state of a local APIC");
  }
  follow_clock();
  if (apic.tsc_deadline != 0) EMU_TRY(set_msr(kMsrTscDeadline, apic.tsc_deadline));
  return {};
}

Activity KvmCpu::waiting_activity() {
  kvm_mp_state mp{};
  if (const long r = call_with(KVM_GET_MP_STATE, mp); r < 0) {
    note_failure(r, "say whether a processor waits");
    return Activity::kRunning;
  }
  switch (mp.mp_state) {
    case KVM_MP_STATE_HALTED:
      return Activity::kHalted;
    case KVM_MP_STATE_UNINITIALIZED:
    case KVM_MP_STATE_INIT_RECEIVED:
      return Activity::kWaitForSipi;
    default:
      return Activity::kRunning;
  }
}

void KvmCpu::set_waiting_activity(Activity activity) {
  kvm_mp_state mp{};
  mp.mp_state = KVM_MP_STATE_RUNNABLE;
  if (activity == Activity::kHalted) mp.mp_state = KVM_MP_STATE_HALTED;
  if (activity == Activity::kWaitForSipi) mp.mp_state = KVM_MP_STATE_UNINITIALIZED;
  if (const long r = call_with(KVM_SET_MP_STATE, mp); r < 0) {
    note_failure(r, "let a processor wait");
  }
}

}  // namespace emu
