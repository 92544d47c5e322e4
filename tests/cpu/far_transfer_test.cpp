// SPDX-License-Identifier: Apache-2.0
// JMP, CALL, RET far, IRET, SYSCALL, SYSENTER.
#include "cpu/far_transfer.h"

#include "cpu/lab.h"

namespace emu::test {
namespace {

constexpr u64 kNext = 0x20007;

class FarTransfer : public Lab {
 protected:
  // Pushes words for a return, last one on top.
  void push(std::initializer_list<u64> words, unsigned bytes) {
    for (const u64 word : words) {
      state.gpr[kRsp] -= bytes;
      put(state.gpr[kRsp], bytes, word);
    }
  }
  u64 frame(unsigned i, unsigned bytes) { return get(state.gpr[kRsp] + i * bytes, bytes); }
};

TEST_F(FarTransfer, RealMode) {
  real_mode();
  EXPECT_FALSE(far_jump(core, 0x1234, 0x5678, 2, 0x15));
  EXPECT_EQ(state.segments[kCs].base, 0x12340u);
  EXPECT_EQ(state.rip, 0x5678u);
  EXPECT_FALSE(far_call(core, 0x2000, 0x10, 2, 0x567d));
  EXPECT_EQ(get(0x7ffc, 2), 0x567du);
  EXPECT_EQ(get(0x7ffe, 2), 0x1234u);
  EXPECT_FALSE(far_return(core, 2, 0));
  EXPECT_EQ(state.rip, 0x567du);
  EXPECT_EQ(state.segments[kCs].selector, 0x1234u);
  EXPECT_EQ(state.gpr[kRsp], 0x8000u);
  expect_fault(far_jump(core, 0, 0x10000, 4, 0), kVectorGp);
}

TEST_F(FarTransfer, EnteringProtectedModeFromRealMode) {
  real_mode();
  standard_gdt();
  state.cr0 |= kCr0Pe;
  EXPECT_FALSE(far_jump(core, kCode0, 0x12345678, 4, 0));
  EXPECT_EQ(state.segments[kCs].selector, kCode0);
  EXPECT_EQ(state.segments[kCs].attributes & kSegBig, kSegBig);
  EXPECT_EQ(state.rip, 0x12345678u);
}

TEST_F(FarTransfer, DirectJumpChecks) {  // SDM vol. 3 5.8.1
  protected_mode();
  expect_fault(far_jump(core, 0, 0, 4, kNext), kVectorGp, 0);
  expect_fault(far_jump(core, kData0, 0, 4, kNext), kVectorGp, kData0);
  expect_fault(far_jump(core, kCode3, 0, 4, kNext), kVectorGp, kCode3 & ~3u);
  expect_fault(far_jump(core, kCode0 | 1, 0, 4, kNext), kVectorGp, kCode0);
  expect_fault(far_jump(core, kCode16, 0x10000, 4, kNext), kVectorGp, 0);
  gdt(kAbsent, descriptor(0, 0xfffff, 0x1b, 0xc));
  expect_fault(far_jump(core, kAbsent, 0, 4, kNext), kVectorNp, kAbsent);
  to_user();
  EXPECT_FALSE(far_jump(core, kConforming, 0x30000, 4, kNext));
  EXPECT_EQ(state.cpl(), 3u);
  EXPECT_EQ(state.segments[kCs].selector, kConforming | 3);
}

TEST_F(FarTransfer, CallAndReturnSameLevel) {
  protected_mode();
  EXPECT_FALSE(far_call(core, kCode16, 0x1000, 4, kNext));
  EXPECT_EQ(frame(0, 4), kNext);
  EXPECT_EQ(frame(1, 4), kCode0);
  push({0x1111}, 4);
  state.gpr[kRsp] += 4;
  EXPECT_FALSE(far_return(core, 4, 8));
  EXPECT_EQ(state.rip, kNext);
  EXPECT_EQ(state.gpr[kRsp], 0x7008u);
}

TEST_F(FarTransfer, CallGateToInnerLevelCopiesParameters) {  // SDM vol. 3 5.8.5
  protected_mode();
  gdt(kCallGate, gate(kCode0, 0x5000, 0xec, 2));
  to_user();
  push({0xaaaa, 0xbbbb}, 4);
  EXPECT_FALSE(far_call(core, kCallGate | 3, 0xdead, 4, kNext));
  EXPECT_EQ(state.cpl(), 0u);
  EXPECT_EQ(state.rip, 0x5000u);
  EXPECT_EQ(state.gpr[kRsp], kStack0 - 24u);
  EXPECT_EQ(frame(0, 4), kNext);
  EXPECT_EQ(frame(1, 4), kCode3);
  EXPECT_EQ(frame(2, 4), 0xbbbbu);
  EXPECT_EQ(frame(3, 4), 0xaaaau);
  EXPECT_EQ(frame(4, 4), kStack3 - 8);
  EXPECT_EQ(frame(5, 4), kData3);
  // RETF 8 goes back and drops the parameters from both stacks.
  load(kDs, kData0);
  EXPECT_FALSE(far_return(core, 4, 8));
  EXPECT_EQ(state.cpl(), 3u);
  EXPECT_EQ(state.gpr[kRsp], kStack3);
  EXPECT_FALSE(state.segments[kDs].usable());  // level 0 data may not leak out
}

TEST_F(FarTransfer, CallGateChecks) {
  protected_mode();
  gdt(kCallGate, gate(kCode0, 0x5000, 0x8c));
  to_user();
  expect_fault(far_call(core, kCallGate | 3, 0, 4, kNext), kVectorGp, kCallGate);
  gdt(kCallGate, gate(kCode0, 0x5000, 0x6c));
  expect_fault(far_call(core, kCallGate | 3, 0, 4, kNext), kVectorNp, kCallGate);
  gdt(kCallGate, gate(kCode0, 0x5000, 0xec));
  expect_fault(far_jump(core, kCallGate | 3, 0, 4, kNext), kVectorGp, kCode0);  // JMP: not inwards
  gdt(kCallGate, gate(kConforming, 0x5000, 0xec));
  EXPECT_FALSE(far_jump(core, kCallGate | 3, 0, 4, kNext));
  EXPECT_EQ(state.cpl(), 3u);
}

TEST_F(FarTransfer, LongModeCallGate) {
  long_mode();
  to_user64();
  gdt(kTaskGate, gate(kCode64, 0x5000, 0xec), 0xffff8000);
  EXPECT_FALSE(far_call(core, kTaskGate | 3, 0, 4, kNext));
  EXPECT_EQ(state.rip, 0xffff800000005000u);
  EXPECT_EQ(state.segments[kSs].selector, 0u);
  EXPECT_EQ(state.gpr[kRsp], kStack0 - 32u);
  EXPECT_EQ(frame(3, 8), kData3);
  EXPECT_FALSE(far_return(core, 8, 0));
  EXPECT_EQ(state.rip, kNext);
  EXPECT_EQ(state.cpl(), 3u);
  EXPECT_EQ(state.gpr[kRsp], kStack3);
}

TEST_F(FarTransfer, LongModeHasNoTasks) {
  long_mode();
  expect_fault(far_jump(core, kTss2, 0, 4, kNext), kVectorGp, kTss2);
}

TEST_F(FarTransfer, LongModeToCompatibilityAndBack) {
  long_mode();
  EXPECT_FALSE(far_jump(core, kCode0, 0x5000, 4, kNext));
  EXPECT_FALSE(state.code64());
  EXPECT_FALSE(far_jump(core, kCode64, 0x6000, 4, kNext));
  EXPECT_TRUE(state.code64());
  gdt(kCode64, descriptor(0, 0xfffff, 0x9b, 0xe));  // L and D
  expect_fault(far_jump(core, kCode64, 0x6000, 4, kNext), kVectorGp, kCode64);
}

// --- IRET.

TEST_F(FarTransfer, IretRealMode) {
  real_mode();
  state.nmi_blocked = true;
  push({kFlagIf | kFlagCf, 0x1234, 0x5678}, 2);
  EXPECT_FALSE(interrupt_return(core, 2, 0));
  EXPECT_EQ(state.rip, 0x5678u);
  EXPECT_EQ(state.rflags, kFlagFixed1 | kFlagIf | kFlagCf);
  EXPECT_FALSE(state.nmi_blocked);
  EXPECT_EQ(state.gpr[kRsp], 0x8000u);
}

TEST_F(FarTransfer, IretSameLevelDoesNotPopTheStackPointer) {
  protected_mode();
  push({kFlagIf, kCode0, 0x5000}, 4);
  EXPECT_FALSE(interrupt_return(core, 4, kNext));
  EXPECT_EQ(state.gpr[kRsp], 0x7000u);
  EXPECT_NE(state.rflags & kFlagIf, 0u);
}

TEST_F(FarTransfer, IretToOuterLevel) {
  protected_mode();
  push({kData3, 0x9990, kFlagIf | kFlagIopl | kFlagRf, kCode3, 0x5000}, 4);
  EXPECT_FALSE(interrupt_return(core, 4, kNext));
  EXPECT_EQ(state.cpl(), 3u);
  EXPECT_EQ(state.gpr[kRsp], 0x9990u);
  EXPECT_EQ(state.rflags, kFlagFixed1 | kFlagIf | kFlagIopl | kFlagRf);
  EXPECT_FALSE(state.segments[kDs].usable());
}

TEST_F(FarTransfer, IretCannotRaisePrivilegeOrItsFlags) {
  protected_mode();
  to_user();
  push({kFlagIf | kFlagIopl, kCode3, 0x5000}, 4);
  EXPECT_FALSE(interrupt_return(core, 4, kNext));
  EXPECT_EQ(state.rflags, kFlagFixed1);  // neither IF nor IOPL
  push({0, kCode0, 0x5000}, 4);
  const auto before = snapshot();
  expect_fault(interrupt_return(core, 4, kNext), kVectorGp, kCode0);
  EXPECT_EQ(snapshot(), before);
}

TEST_F(FarTransfer, IretToVirtual8086Mode) {  // SDM vol. 3 20.2.4
  protected_mode();
  push({6, 5, 4, 3, 0x200, 0x8000, kFlagVm | kFlagIf | kFlagIopl, 0x100, 0x1234}, 4);
  EXPECT_FALSE(interrupt_return(core, 4, kNext));
  EXPECT_TRUE(state.vm86());
  EXPECT_EQ(state.cpl(), 3u);
  EXPECT_EQ(state.rip, 0x1234u);
  EXPECT_EQ(state.segments[kCs], vm86_segment(0x100));
  EXPECT_EQ(state.segments[kSs], vm86_segment(0x200));
  EXPECT_EQ(state.segments[kEs].selector, 3u);
  EXPECT_EQ(state.segments[kGs].selector, 6u);
  EXPECT_EQ(state.gpr[kRsp], 0x8000u);
}

TEST_F(FarTransfer, IretInVirtual8086Mode) {
  protected_mode();
  state.rflags = kFlagFixed1 | kFlagVm | kFlagIf;
  for (Segment& s : state.segments) s = vm86_segment(0);
  push({kFlagCf, 0x100, 0x1234}, 2);
  expect_fault(interrupt_return(core, 2, 0), kVectorGp);  // IOPL 0
  state.cr4 |= kCr4Vme;
  EXPECT_FALSE(interrupt_return(core, 2, 0));
  EXPECT_EQ(state.rip, 0x1234u);
  EXPECT_EQ(state.rflags, kFlagFixed1 | kFlagVm | kFlagIf | kFlagCf);  // IF kept, VIF clear
  push({kFlagIf, 0x100, 0x1234}, 2);
  EXPECT_FALSE(interrupt_return(core, 2, 0));
  EXPECT_NE(state.rflags & kFlagVif, 0u);
  push({kFlagIf, 0x100, 0x1234}, 2);
  state.rflags |= kFlagVip;
  expect_fault(interrupt_return(core, 2, 0), kVectorGp);
}

TEST_F(FarTransfer, IretqAlwaysPopsTheStack) {
  long_mode();
  push({0, 0x6660, kFlagIf, kCode64, 0xffff800000005000}, 8);
  EXPECT_FALSE(interrupt_return(core, 8, kNext));
  EXPECT_EQ(state.rip, 0xffff800000005000u);
  EXPECT_EQ(state.gpr[kRsp], 0x6660u);
  EXPECT_EQ(state.segments[kSs].selector, 0u);
  EXPECT_EQ(state.cpl(), 0u);
}

TEST_F(FarTransfer, IretqToUserAndToCompatibilityMode) {
  long_mode();
  push({kData3, 0x7fff00000010, kFlagIf, kCode64User, 0x400000}, 8);
  EXPECT_FALSE(interrupt_return(core, 8, kNext));
  EXPECT_EQ(state.cpl(), 3u);
  EXPECT_EQ(state.gpr[kRsp], 0x7fff00000010u);
  long_mode();
  push({kData3, 0xf00000010, kFlagIf | kFlagVm, kCompat3, 0x400000}, 8);
  EXPECT_FALSE(interrupt_return(core, 8, kNext));
  EXPECT_FALSE(state.code64());
  EXPECT_FALSE(state.vm86());  // VM is not loaded in long mode
  EXPECT_EQ(state.gpr[kRsp], 0x10u);
}

TEST_F(FarTransfer, IretqChecks) {
  long_mode();
  push({kData3, 0x9000, 0, kCode64User, 0x0000800000000000}, 8);
  expect_fault(interrupt_return(core, 8, kNext), kVectorGp, 0);  // not canonical
  push({0, 0x9000, 0, kCode64User, 0x5000}, 8);
  expect_fault(interrupt_return(core, 8, kNext), kVectorGp, 0);  // null SS for level 3
  state.rflags |= kFlagNt;
  expect_fault(interrupt_return(core, 8, kNext), kVectorGp, 0);
}

// --- SYSCALL and friends.

TEST_F(FarTransfer, SyscallAndSysret) {  // SDM vol. 3 5.8.8
  long_mode();
  to_user64();
  state.star = u64{0x23} << 48 | u64{kCode0} << 32;
  state.lstar = 0xffff800000001000;
  state.sfmask = kFlagIf | kFlagTf;
  state.rflags = kFlagFixed1 | kFlagIf | kFlagCf | kFlagRf;
  EXPECT_FALSE(syscall_enter(core, kNext));
  EXPECT_EQ(state.gpr[kRcx], kNext);
  EXPECT_EQ(state.gpr[kR11], kFlagFixed1 | kFlagIf | kFlagCf);
  EXPECT_EQ(state.rflags, kFlagFixed1 | kFlagCf);
  EXPECT_EQ(state.rip, 0xffff800000001000u);
  EXPECT_EQ(state.cpl(), 0u);
  EXPECT_EQ(state.segments[kCs].selector, kCode0);
  EXPECT_EQ(state.segments[kSs].selector, kCode0 + 8);
  EXPECT_TRUE(state.code64());
  EXPECT_FALSE(syscall_return(core, 8));
  EXPECT_EQ(state.rip, kNext);
  EXPECT_EQ(state.cpl(), 3u);
  EXPECT_EQ(state.segments[kCs].selector, 0x33u);
  EXPECT_EQ(state.segments[kSs].selector, 0x2bu);
  EXPECT_NE(state.rflags & kFlagIf, 0u);
}

TEST_F(FarTransfer, SysretChecks) {
  long_mode();
  state.gpr[kRcx] = 0x0000800000000000;
  expect_fault(syscall_return(core, 8), kVectorGp, 0);
  EXPECT_FALSE(syscall_return(core, 4));  // only the low half counts
  EXPECT_FALSE(state.code64());
  expect_fault(syscall_enter(core, 0), kVectorUd);  // Intel: 64-bit mode only
  long_mode();
  state.efer &= ~kEferSce;
  expect_fault(syscall_enter(core, 0), kVectorUd);
}

TEST_F(FarTransfer, SysenterAndSysexit) {  // SDM vol. 3 5.8.7
  protected_mode();
  to_user();
  expect_fault(sysenter(core), kVectorGp, 0);  // IA32_SYSENTER_CS is null
  state.sysenter_cs = kCode0;
  state.sysenter_esp = 0x7000;
  state.sysenter_eip = 0x5000;
  state.rflags |= kFlagIf;
  EXPECT_FALSE(sysenter(core));
  EXPECT_EQ(state.cpl(), 0u);
  EXPECT_EQ(state.rip, 0x5000u);
  EXPECT_EQ(state.gpr[kRsp], 0x7000u);
  EXPECT_EQ(state.rflags & kFlagIf, 0u);
  state.gpr[kRcx] = 0x9000;
  state.gpr[kRdx] = 0x6000;
  EXPECT_FALSE(sysexit(core, 4));
  EXPECT_EQ(state.cpl(), 3u);
  EXPECT_EQ(state.rip, 0x6000u);
  EXPECT_EQ(state.segments[kCs].selector, kCode0 + 16 + 3);
  expect_fault(sysexit(core, 4), kVectorGp, 0);
  real_mode();
  expect_fault(sysenter(core), kVectorGp, 0);
}

}  // namespace
}  // namespace emu::test
