// SPDX-License-Identifier: Apache-2.0
// Task switches, SDM vol. 3 ch. 7.
#include "cpu/task_switch.h"

#include "cpu/debug_registers.h"
#include "cpu/delivery.h"
#include "cpu/far_transfer.h"
#include "cpu/lab.h"

namespace emu::test {
namespace {

constexpr u64 kNext = 0x20007;

class Tasks : public Lab {
 protected:
  // A level 0 task in the second TSS.
  void second_task() {
    protected_mode();
    put(kTss2At + 0x20, 4, 0x5000);
    put(kTss2At + 0x24, 4, kFlagFixed1 | kFlagCf);
    for (u32 i = 0; i < 8; ++i) put(kTss2At + 0x28 + 4 * i, 4, 0x6000 + i * 0x10);
    put(kTss2At + 0x48, 2, kData0);
    put(kTss2At + 0x4c, 2, kCode0);
    for (u32 i = 2; i < 6; ++i) put(kTss2At + 0x48 + 4 * i, 2, kData0);
  }
  u8 type(u16 selector) { return static_cast<u8>(get(kGdtAt + selector + 5, 1)); }
};

TEST_F(Tasks, JumpSavesAndLoadsEverything) {
  second_task();
  state.gpr[kRbx] = 0xbbbb;
  EXPECT_FALSE(far_jump(core, kTss2, 0, 4, kNext));
  EXPECT_EQ(state.rip, 0x5000u);
  EXPECT_EQ(state.rflags, kFlagFixed1 | kFlagCf);
  EXPECT_EQ(state.gpr[kRsp], 0x6040u);
  EXPECT_EQ(state.tr.selector, kTss2);
  EXPECT_NE(state.cr0 & kCr0Ts, 0u);
  EXPECT_EQ(type(kTss), 0x89);   // the old task is available again
  EXPECT_EQ(type(kTss2), 0x8b);  // the new one busy
  EXPECT_EQ(get(kTssAt + 0x20, 4), kNext);
  EXPECT_EQ(get(kTssAt + 0x28 + 4 * kRbx, 4), 0xbbbbu);
  EXPECT_EQ(get(kTssAt + 0x4c, 2), kCode0);
}

TEST_F(Tasks, CallNestsAndIretReturns) {
  second_task();
  EXPECT_FALSE(far_call(core, kTss2, 0, 4, kNext));
  EXPECT_NE(state.rflags & kFlagNt, 0u);
  EXPECT_EQ(get(kTss2At, 2), kTss);
  EXPECT_EQ(type(kTss), 0x8b);
  EXPECT_FALSE(interrupt_return(core, 4, 0x5001));
  EXPECT_EQ(state.rip, kNext);
  EXPECT_EQ(state.tr.selector, kTss);
  EXPECT_EQ(type(kTss2), 0x89);
  EXPECT_EQ(get(kTss2At + 0x20, 4), 0x5001u);
  EXPECT_EQ(get(kTss2At + 0x24, 4) & kFlagNt, 0u);
}

TEST_F(Tasks, ChecksBeforeTheSwitchChangeNothing) {
  second_task();
  const auto before = snapshot();
  gdt(kTss2, descriptor(kTss2At, 0x66, 0x89, 0));
  expect_fault(far_jump(core, kTss2, 0, 4, kNext), kVectorTs, kTss2);
  gdt(kTss2, descriptor(kTss2At, 0x67, 0x8b, 0));
  expect_fault(far_jump(core, kTss2, 0, 4, kNext), kVectorGp, kTss2);
  gdt(kTss2, descriptor(kTss2At, 0x67, 0x09, 0));
  expect_fault(far_jump(core, kTss2, 0, 4, kNext), kVectorNp, kTss2);
  EXPECT_EQ(snapshot(), before);
}

TEST_F(Tasks, FaultsAfterTheSwitchBelongToTheNewTask) {
  second_task();
  put(kTss2At + 0x50, 2, kCode0);  // SS is no data segment
  expect_fault(far_jump(core, kTss2, 0, 4, kNext), kVectorTs, kCode0);
  EXPECT_EQ(state.rip, 0x5000u);
  EXPECT_EQ(state.tr.selector, kTss2);
  EXPECT_FALSE(state.segments[kSs].usable());
}

TEST_F(Tasks, DebugTrapFlag) {
  second_task();
  put(kTss2At + 0x64, 2, 1);
  const Fault fault = far_jump(core, kTss2, 0, 4, kNext);
  expect_fault(fault, kVectorDb);
  EXPECT_EQ(fault.address, kDr6Bt);
  EXPECT_EQ(state.rip, 0x5000u);
}

TEST_F(Tasks, TaskGateInTheIdtPushesTheErrorCode) {
  second_task();
  idt32(kVectorDf, kTss2, 0, 0x85);
  EXPECT_EQ(deliver_fault(core, Fault::with_code(kVectorDf, 0)), DeliveryResult::kDelivered);
  EXPECT_EQ(state.rip, 0x5000u);
  EXPECT_EQ(state.gpr[kRsp], 0x603cu);
  EXPECT_EQ(get(0x603c, 4), 0u);
  EXPECT_EQ(get(kTssAt + 0x20, 4), 0x20000u);
  EXPECT_NE(state.rflags & kFlagNt, 0u);
}

TEST_F(Tasks, ToVirtual8086Mode) {
  second_task();
  put(kTss2At + 0x24, 4, kFlagFixed1 | kFlagVm);
  put(kTss2At + 0x4c, 2, 0x1234);
  EXPECT_FALSE(far_jump(core, kTss2, 0, 4, kNext));
  EXPECT_TRUE(state.vm86());
  EXPECT_EQ(state.segments[kCs], vm86_segment(0x1234));
}

TEST_F(Tasks, SixteenBitTask) {  // SDM vol. 3 7.6
  protected_mode();
  gdt(kTss2, descriptor(kTss2At, 0x2b, 0x81, 0));
  put(kTss2At + 0x0e, 2, 0x5000);
  put(kTss2At + 0x10, 2, kFlagFixed1);
  put(kTss2At + 0x12 + 2 * kRsp, 2, 0x6000);
  put(kTss2At + 0x22, 2, kData0);
  put(kTss2At + 0x24, 2, kCode16);
  put(kTss2At + 0x26, 2, kData16);
  put(kTss2At + 0x28, 2, kData0);
  EXPECT_FALSE(far_call(core, kTss2, 0, 4, kNext));
  EXPECT_EQ(state.rip, 0x5000u);
  EXPECT_EQ(state.gpr[kRsp], 0x6000u);
  EXPECT_FALSE(state.segments[kFs].usable());
  EXPECT_FALSE(interrupt_return(core, 2, 0x5001));
  EXPECT_EQ(state.rip, kNext);
}

TEST_F(Tasks, BusyGateIsADoubleFaultLoopThatEnds) {
  second_task();
  for (unsigned v = 0; v < 32; ++v) idt32(static_cast<u8>(v), kTss, 0, 0x85);  // always busy
  EXPECT_EQ(deliver_fault(core, Fault::ud()), DeliveryResult::kShutdown);
}

}  // namespace
}  // namespace emu::test
