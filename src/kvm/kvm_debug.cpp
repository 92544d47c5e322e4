// SPDX-License-Identifier: Apache-2.0
// A debugger's single steps and breakpoints. While there are any, the guest's own debug registers
// do nothing: the processor has only one set.
// Source: Linux Documentation/virt/kvm/api.rst, 4.87 KVM_SET_GUEST_DEBUG; Intel SDM vol. 3, 18.2.4.
#include "kvm/kvm_cpu.h"

namespace emu {
namespace {

constexpr u64 kDr7Fixed1 = 0x400;
constexpr unsigned kDr7 = 7;

// "Global enable" of breakpoint n; type and length 0: the instruction there is to be executed.
constexpr u64 enable_bit(std::size_t n) {
  return u64{2} << (2 * n);
}

}  // namespace

bool KvmCpu::set_debug(const GuestDebug& wanted) {
  kvm_guest_debug debug{};
  debug.arch.debugreg[kDr7] = kDr7Fixed1;
  if (wanted.single_step) debug.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP;
  for (std::size_t i = 0; i < wanted.breakpoints.size(); ++i) {
    if (!wanted.breakpoints[i]) continue;
    debug.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP;
    debug.arch.debugreg[i] = *wanted.breakpoints[i];
    debug.arch.debugreg[kDr7] |= enable_bit(i);
  }
  return call_with(KVM_SET_GUEST_DEBUG, debug) >= 0;
}

}  // namespace emu
