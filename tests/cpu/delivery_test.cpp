// SPDX-License-Identifier: Apache-2.0
// Interrupt and exception delivery in every mode.
#include "cpu/delivery.h"

#include "cpu/debug_registers.h"
#include "cpu/lab.h"

namespace emu::test {
namespace {

constexpr auto kDelivered = DeliveryResult::kDelivered;
constexpr auto kShutdown = DeliveryResult::kShutdown;

class Delivery : public Lab {
 protected:
  // The word `i` of the frame at RSP.
  u64 frame(unsigned i, unsigned bytes) { return get(state.gpr[kRsp] + i * bytes, bytes); }
};

// --- Real mode: SDM vol. 3 20.1.4.

TEST_F(Delivery, RealModePushesFlagsCsIp) {
  real_mode();
  put(0x21 * 4, 4, 0x40001234);
  state.rflags |= kFlagIf | kFlagTf | kFlagCf;
  EXPECT_EQ(deliver_software(core, 0x21, EventKind::kSoftwareInterrupt, 0x12), kDelivered);
  EXPECT_EQ(state.rip, 0x1234u);
  EXPECT_EQ(state.segments[kCs].base, 0x40000u);
  EXPECT_EQ(state.gpr[kRsp], 0x7ffau);
  EXPECT_EQ(frame(0, 2), 0x12u);
  EXPECT_EQ(frame(1, 2), 0x100u);
  EXPECT_EQ(frame(2, 2), kFlagFixed1 | kFlagIf | kFlagTf | kFlagCf);
  EXPECT_EQ(state.rflags, kFlagFixed1 | kFlagCf);
}

TEST_F(Delivery, RealModeExceptionsPushNoErrorCodeAndReturnToTheInstruction) {
  real_mode();
  put(kVectorGp * 4, 4, 0x40001234);
  EXPECT_EQ(deliver_fault(core, Fault::gp()), kDelivered);
  EXPECT_EQ(state.gpr[kRsp], 0x7ffau);
  EXPECT_EQ(frame(0, 2), 0x10u);
}

TEST_F(Delivery, RealModeStackWrapsAt64K) {
  real_mode();
  put(0x21 * 4, 4, 0x40001234);
  state.gpr[kRsp] = 0x12340004;
  EXPECT_EQ(deliver_interrupt(core, 0x21, false), kDelivered);
  EXPECT_EQ(state.gpr[kRsp], 0x1234fffeu);
}

TEST_F(Delivery, RealModeVectorBeyondIdtLimit) {  // #GP, then #DF, then shutdown
  real_mode();
  state.idtr.limit = 0;
  EXPECT_EQ(deliver_interrupt(core, 0x21, false), kShutdown);
  EXPECT_EQ(state.activity, Activity::kShutdown);
  EXPECT_EQ(state.rip, 0x10u);
}

TEST_F(Delivery, InterruptsWakeAHaltedProcessorAndEndTheShadow) {
  real_mode();
  state.activity = Activity::kHalted;
  state.interrupt_shadow = true;
  EXPECT_EQ(deliver_interrupt(core, 8, false), kDelivered);
  EXPECT_EQ(state.activity, Activity::kRunning);
  EXPECT_FALSE(state.interrupt_shadow);
}

TEST_F(Delivery, NmiBlocksFurtherOnes) {
  real_mode();
  EXPECT_EQ(deliver_nmi(core, false), kDelivered);
  EXPECT_TRUE(state.nmi_blocked);
}

// --- Protected mode: SDM vol. 3 6.12.

TEST_F(Delivery, SameLevelInterruptGate) {
  protected_mode();
  idt32(0x30, kCode0, 0x12345678);
  state.rflags |= kFlagIf | kFlagNt;
  EXPECT_EQ(deliver_interrupt(core, 0x30, false), kDelivered);
  EXPECT_EQ(state.rip, 0x12345678u);
  EXPECT_EQ(state.gpr[kRsp], 0x7000u - 12);
  EXPECT_EQ(frame(0, 4), 0x20000u);
  EXPECT_EQ(frame(1, 4), kCode0);
  EXPECT_EQ(frame(2, 4), kFlagFixed1 | kFlagIf | kFlagNt);
  EXPECT_EQ(state.rflags, kFlagFixed1);
}

TEST_F(Delivery, TrapGateKeepsIf) {
  protected_mode();
  idt32(0x30, kCode0, 0x5000, 0x8f);
  state.rflags |= kFlagIf;
  EXPECT_EQ(deliver_interrupt(core, 0x30, false), kDelivered);
  EXPECT_EQ(state.rflags, kFlagFixed1 | kFlagIf);
}

TEST_F(Delivery, SixteenBitGate) {
  protected_mode();
  idt32(0x30, kCode0, 0xffff5000, 0x86);
  EXPECT_EQ(deliver_interrupt(core, 0x30, false), kDelivered);
  EXPECT_EQ(state.rip, 0x5000u);
  EXPECT_EQ(state.gpr[kRsp], 0x7000u - 6);
}

TEST_F(Delivery, InnerLevelSwitchesStacks) {
  protected_mode();
  to_user();
  idt32(kVectorGp, kCode0, 0x5000);
  EXPECT_EQ(deliver_fault(core, Fault::gp(0x1234)), kDelivered);
  EXPECT_EQ(state.cpl(), 0u);
  EXPECT_EQ(state.segments[kSs].selector, kData0);
  EXPECT_EQ(state.gpr[kRsp], kStack0 - 24u);
  EXPECT_EQ(frame(0, 4), 0x1234u);
  EXPECT_EQ(frame(1, 4), 0x20000u);
  EXPECT_EQ(frame(2, 4), kCode3);
  EXPECT_EQ(frame(3, 4), kFlagFixed1 | kFlagRf);
  EXPECT_EQ(frame(4, 4), kStack3);
  EXPECT_EQ(frame(5, 4), kData3);
}

TEST_F(Delivery, SoftwareInterruptsNeedGateDpl) {  // SDM vol. 3 6.12.1.2
  protected_mode();
  to_user();
  idt32(0x80, kCode0, 0x5000, 0x8e);
  idt32(kVectorGp, kCode0, 0x6000);
  EXPECT_EQ(deliver_software(core, 0x80, EventKind::kSoftwareInterrupt, 0x20002), kDelivered);
  EXPECT_EQ(state.rip, 0x6000u);
  EXPECT_EQ(frame(0, 4), 0x80u * 8 + 2);  // EXT clear
  EXPECT_EQ(frame(1, 4), 0x20000u);       // the INT itself
  to_user();
  state.rip = 0x20000;
  idt32(0x80, kCode0, 0x5000, 0xee);
  EXPECT_EQ(deliver_software(core, 0x80, EventKind::kSoftwareInterrupt, 0x20002), kDelivered);
  EXPECT_EQ(state.rip, 0x5000u);
  EXPECT_EQ(frame(0, 4), 0x20002u);
}

TEST_F(Delivery, IcebpIgnoresGateDpl) {
  protected_mode();
  to_user();
  idt32(kVectorDb, kCode0, 0x5000, 0x8e);
  EXPECT_EQ(deliver_software(core, kVectorDb, EventKind::kIcebp, 0x20001), kDelivered);
  EXPECT_EQ(frame(0, 4), 0x20001u);
}

TEST_F(Delivery, ExternalEventsSetExtInNestedErrorCodes) {
  protected_mode();
  idt32(0x30, kAbsent, 0x5000);
  gdt(kAbsent, descriptor(0, 0xfffff, 0x1b, 0xc));
  idt32(kVectorNp, kCode0, 0x6000);
  EXPECT_EQ(deliver_interrupt(core, 0x30, false), kDelivered);
  EXPECT_EQ(state.rip, 0x6000u);
  EXPECT_EQ(frame(0, 4), kAbsent | 1u);
}

TEST_F(Delivery, ContributoryTwiceIsADoubleFault) {  // SDM vol. 3 table 6-5
  protected_mode();
  idt32(kVectorDf, kCode0, 0x6000);
  EXPECT_EQ(deliver_fault(core, Fault::gp(0x44)), kDelivered);  // the #GP gate is empty
  EXPECT_EQ(state.rip, 0x6000u);
  EXPECT_EQ(frame(0, 4), 0u);
  EXPECT_EQ(frame(1, 4), 0x20000u);
}

TEST_F(Delivery, BenignThenContributoryIsHandledSerially) {
  protected_mode();
  idt32(kVectorGp, kCode0, 0x6000);
  EXPECT_EQ(deliver_fault(core, Fault::ud()), kDelivered);
  EXPECT_EQ(state.rip, 0x6000u);
  EXPECT_EQ(frame(0, 4), kVectorUd * 8u + 2 + 1);
}

TEST_F(Delivery, TripleFaultKeepsTheState) {
  protected_mode();
  const u64 rsp = state.gpr[kRsp];
  EXPECT_EQ(deliver_fault(core, Fault::ud()), kShutdown);
  EXPECT_EQ(state.rip, 0x20000u);
  EXPECT_EQ(state.gpr[kRsp], rsp);
  EXPECT_EQ(state.activity, Activity::kShutdown);
}

TEST_F(Delivery, BadInnerStackIsInvalidTss) {
  protected_mode();
  to_user();
  idt32(0x30, kCode0, 0x5000);
  idt32(kVectorTs, kConforming, 0x6000);
  put(kTssAt + 8, 2, kData3);
  EXPECT_EQ(deliver_interrupt(core, 0x30, false), kDelivered);
  EXPECT_EQ(state.rip, 0x6000u);
  EXPECT_EQ(state.cpl(), 3u);
  EXPECT_EQ(frame(0, 4), (kData3 & ~3u) | 1);
}

TEST_F(Delivery, PageFaultLoadsCr2) {
  protected_mode();
  idt32(kVectorPf, kCode0, 0x5000);
  EXPECT_EQ(deliver_fault(core, Fault::page(0xabcde, 6)), kDelivered);
  EXPECT_EQ(state.cr2, 0xabcdeu);
  EXPECT_EQ(frame(0, 4), 6u);
}

TEST_F(Delivery, DebugExceptionsUpdateDr6AndClearGd) {  // SDM vol. 3 17.2.3, 17.3.1
  protected_mode();
  idt32(kVectorDb, kCode0, 0x5000);
  state.dr6 = kDr6Fixed1 | kDr6Bt | 3;
  state.dr7 |= kDr7Gd;
  EXPECT_EQ(deliver_fault(core, debug_fault(kDr6Bs | 4)), kDelivered);
  EXPECT_EQ(state.dr6, kDr6Fixed1 | kDr6Bt | kDr6Bs | 4);
  EXPECT_EQ(state.dr7 & kDr7Gd, 0u);
  EXPECT_EQ(frame(2, 4) & kFlagRf, 0u);  // a trap
}

TEST_F(Delivery, ResumeFlagBetweenIterations) {
  protected_mode();
  idt32(0x30, kCode0, 0x5000);
  EXPECT_EQ(deliver_interrupt(core, 0x30, true), kDelivered);
  EXPECT_NE(frame(2, 4) & kFlagRf, 0u);
}

TEST_F(Delivery, ResumeFlagOfTheStateCountsOnlyUnderBreakpoints) {
  protected_mode();
  idt32(0x30, kCode0, 0x5000);
  state.rflags |= kFlagRf;
  EXPECT_EQ(deliver_interrupt(core, 0x30, false), kDelivered);
  EXPECT_EQ(frame(2, 4) & kFlagRf, 0u);
  state.rflags |= kFlagRf;
  state.dr7 |= 1;
  EXPECT_EQ(deliver_interrupt(core, 0x30, false), kDelivered);
  EXPECT_NE(frame(2, 4) & kFlagRf, 0u);
}

// --- Virtual-8086 mode: SDM vol. 3 20.2, 20.3.

class Vm86Delivery : public Delivery {
 protected:
  void vm86(unsigned iopl) {
    protected_mode();
    state.rflags = kFlagFixed1 | kFlagVm | kFlagIf | (u64{iopl} << 12);
    for (unsigned i = 0; i < kSegmentCount; ++i) {
      state.segments[i] = vm86_segment(static_cast<u16>(0x100 * (i + 1)));
    }
    state.rip = 0x10;
    state.gpr[kRsp] = 0x800;
  }
};

TEST_F(Vm86Delivery, ToLevel0PushesTheDataSegments) {
  vm86(0);
  idt32(0x30, kCode0, 0x5000);
  EXPECT_EQ(deliver_interrupt(core, 0x30, false), kDelivered);
  EXPECT_FALSE(state.vm86());
  EXPECT_EQ(state.cpl(), 0u);
  EXPECT_EQ(state.gpr[kRsp], kStack0 - 36u);
  EXPECT_EQ(frame(0, 4), 0x10u);
  EXPECT_EQ(frame(1, 4), 0x200u);
  EXPECT_EQ(frame(2, 4), kFlagFixed1 | kFlagVm | kFlagIf);
  EXPECT_EQ(frame(3, 4), 0x800u);
  EXPECT_EQ(frame(4, 4), 0x300u);
  EXPECT_EQ(frame(5, 4), 0x100u);  // ES
  EXPECT_EQ(frame(6, 4), 0x400u);  // DS
  EXPECT_EQ(frame(7, 4), 0x500u);  // FS
  EXPECT_EQ(frame(8, 4), 0x600u);  // GS
  EXPECT_FALSE(state.segments[kDs].usable());
}

TEST_F(Vm86Delivery, OnlyLevel0HandlersAreAllowed) {
  vm86(0);
  idt32(0x30, kConforming, 0x5000);
  idt32(kVectorGp, kCode0, 0x6000);
  EXPECT_EQ(deliver_interrupt(core, 0x30, false), kDelivered);
  EXPECT_EQ(state.rip, 0x6000u);
  EXPECT_EQ(frame(0, 4), kConforming | 1u);
}

TEST_F(Vm86Delivery, IntNeedsIopl3) {
  vm86(0);
  idt32(0x21, kCode0, 0x5000, 0xee);
  idt32(kVectorGp, kCode0, 0x6000);
  EXPECT_EQ(deliver_software(core, 0x21, EventKind::kSoftwareInterrupt, 0x12), kDelivered);
  EXPECT_EQ(state.rip, 0x6000u);
  EXPECT_EQ(frame(0, 4), 0u);
  vm86(3);
  EXPECT_EQ(deliver_software(core, 0x21, EventKind::kSoftwareInterrupt, 0x12), kDelivered);
  EXPECT_EQ(state.rip, 0x5000u);
  vm86(0);
  idt32(kVectorBp, kCode0, 0x7000, 0xee);
  EXPECT_EQ(deliver_software(core, kVectorBp, EventKind::kSoftwareException, 0x11), kDelivered);
  EXPECT_EQ(state.rip, 0x7000u);
}

TEST_F(Vm86Delivery, VmeRedirectsToTheProgramsOwnVector) {  // SDM vol. 3 20.3.3
  vm86(0);
  state.cr4 |= kCr4Vme;
  state.tr.limit = 0xff;
  put(kTssAt + 102, 2, 0x88);  // redirection bitmap at 68h, all clear
  put(0x21 * 4, 4, 0x40001234);
  EXPECT_EQ(deliver_software(core, 0x21, EventKind::kSoftwareInterrupt, 0x12), kDelivered);
  EXPECT_TRUE(state.vm86());
  EXPECT_EQ(state.rip, 0x1234u);
  EXPECT_EQ(state.segments[kCs].base, 0x40000u);
  EXPECT_EQ(get(0x3000 + 0x800 - 2, 2), kFlagFixed1 | kFlagIopl);  // IF shows VIF
  EXPECT_NE(state.rflags & kFlagIf, 0u);
}

// --- Long mode: SDM vol. 3 6.14.

TEST_F(Delivery, LongModeAlignsTheStackAndPushesSsRsp) {
  long_mode();
  idt64(0x30, kCode64, 0xffff800000012345);
  state.gpr[kRsp] = 0x7009;
  state.rflags |= kFlagIf;
  EXPECT_EQ(deliver_interrupt(core, 0x30, false), kDelivered);
  EXPECT_EQ(state.rip, 0xffff800000012345u);
  EXPECT_EQ(state.gpr[kRsp], 0x7000u - 40);
  EXPECT_EQ(frame(0, 8), 0x20000u);
  EXPECT_EQ(frame(1, 8), kCode64);
  EXPECT_EQ(frame(2, 8), kFlagFixed1 | kFlagIf);
  EXPECT_EQ(frame(3, 8), 0x7009u);
  EXPECT_EQ(frame(4, 8), kData0);
  EXPECT_EQ(state.segments[kSs].selector, kData0);  // same level: kept
}

TEST_F(Delivery, LongModeFromUserLoadsANullStackSegment) {
  long_mode();
  to_user64();
  idt64(kVectorPf, kCode64, 0x5000);
  EXPECT_EQ(deliver_fault(core, Fault::page(0x1234, 7)), kDelivered);
  EXPECT_EQ(state.cpl(), 0u);
  EXPECT_TRUE(state.code64());
  EXPECT_EQ(state.segments[kSs].selector, 0u);
  EXPECT_EQ(state.gpr[kRsp], kStack0 - 48u);
  EXPECT_EQ(frame(0, 8), 7u);
  EXPECT_EQ(frame(2, 8), kCode64User);
  EXPECT_EQ(frame(5, 8), kData3);
}

TEST_F(Delivery, LongModeInterruptStackTable) {
  long_mode();
  idt64(kVectorDf, kCode64, 0x5000, 0x8e, 3);
  put(kTssAt + 0x34, 8, 0x6808);  // IST3
  EXPECT_EQ(deliver_fault(core, Fault::with_code(kVectorDf, 0)), kDelivered);
  EXPECT_EQ(state.gpr[kRsp], 0x6800u - 48);
}

TEST_F(Delivery, LongModeRefusesTaskGates16BitGatesAndCompatibilityHandlers) {
  long_mode();
  idt64(kVectorGp, kCode64, 0x6000);
  for (const u8 access : {u8{0x85}, u8{0x86}, u8{0x87}, u8{0x8c}}) {
    state.gpr[kRsp] = 0x7000;
    state.rip = 0x20000;
    idt64(0x30, kCode64, 0x5000, access);
    EXPECT_EQ(deliver_interrupt(core, 0x30, false), kDelivered);
    EXPECT_EQ(state.rip, 0x6000u);
    EXPECT_EQ(frame(0, 8), 0x30u * 8 + 3);
  }
  idt64(0x30, kCode0, 0x5000);
  EXPECT_EQ(deliver_interrupt(core, 0x30, false), kDelivered);
  EXPECT_EQ(frame(0, 8), kCode0 | 1u);
}

TEST_F(Delivery, PageFaultOnTheStackOfAPageFaultIsADoubleFault) {
  long_mode();
  idt64(kVectorPf, kCode64, 0x5000);
  idt64(kVectorDf, kCode64, 0x6000, 0x8e, 1);
  put(kTssAt + 0x24, 8, 0x6800);
  state.gpr[kRsp] = 0xffff900000000000;
  EXPECT_EQ(deliver_fault(core, Fault::page(0x1234, 2)), kDelivered);
  EXPECT_EQ(state.rip, 0x6000u);
  EXPECT_EQ(state.cr2, 0xffff8ffffffffff8u);  // the second one's address
  EXPECT_EQ(frame(4, 8), 0xffff900000000000u);
}

TEST_F(Delivery, NonCanonicalStackIsAStackFault) {
  long_mode();
  idt64(0x30, kCode64, 0x5000);
  idt64(kVectorSs, kCode64, 0x6000, 0x8e, 1);
  put(kTssAt + 0x24, 8, 0x6800);
  state.gpr[kRsp] = 0x0000900000000000;
  EXPECT_EQ(deliver_interrupt(core, 0x30, false), kDelivered);
  EXPECT_EQ(state.rip, 0x6000u);
  EXPECT_EQ(frame(0, 8), 1u);
}

}  // namespace
}  // namespace emu::test
