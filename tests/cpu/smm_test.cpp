// SPDX-License-Identifier: Apache-2.0
// SMI entry and RSM, reset, start-up and snapshots.
#include "cpu/smm.h"

#include "cpu/debug_registers.h"
#include "cpu/lab.h"
#include "cpu/xsave_layout.h"

namespace emu::test {
namespace {

constexpr u64 kBase = 0x30000;

class Smm : public Lab {};

TEST_F(Smm, EntryWritesThe64BitMap) {  // AMD APM vol. 2 table 10-1
  long_mode();
  state.gpr[kRax] = 0x1122334455667788;
  state.gpr[kR15] = 15;
  state.rflags |= kFlagIf;
  enter_smm(core);
  EXPECT_TRUE(state.smm);
  EXPECT_EQ(get(kBase + 0xfff8, 8), 0x1122334455667788u);
  EXPECT_EQ(get(kBase + 0xff80, 8), 15u);
  EXPECT_EQ(get(kBase + 0xff78, 8), 0x20000u);
  EXPECT_EQ(get(kBase + 0xff70, 4), kFlagFixed1 | kFlagIf);
  EXPECT_EQ(get(kBase + 0xfefc, 4), kSmmRevisionLong);
  EXPECT_EQ(get(kBase + 0xff00, 4), kBase);
  EXPECT_EQ(get(kBase + 0xff50, 8), kTablesAt);
  EXPECT_EQ(get(kBase + 0xfed0, 8) & kEferLma, kEferLma);
  EXPECT_EQ(get(kBase + 0xfe10, 2), kCode64);
  EXPECT_EQ(get(kBase + 0xfe12, 2), 0xa09bu);
  // Execution starts in big real mode (SDM vol. 3 table 30-4).
  EXPECT_EQ(state.rip, 0x8000u);
  EXPECT_EQ(state.segments[kCs].base, kBase);
  EXPECT_EQ(state.segments[kCs].selector, 0x3000u);
  EXPECT_EQ(state.segments[kDs].limit, 0xffffffffu);
  EXPECT_FALSE(state.protected_mode());
  EXPECT_FALSE(state.long_mode());
  EXPECT_TRUE(state.nmi_blocked);
}

TEST_F(Smm, RsmGoesBackToTheSameState) {
  for (const bool long_map : {true, false}) {
    if (long_map) {
      long_mode();
    } else {
      protected_mode();
    }
    features.long_mode = long_map;
    state.activity = Activity::kHalted;
    state.segments[kGs] = null_segment(0, 0);
    const auto before = snapshot();
    enter_smm(core);
    SmmResult result = SmmResult::kShutdown;
    EXPECT_FALSE(leave_smm(core, result));
    EXPECT_EQ(result, SmmResult::kDone);
    EXPECT_EQ(snapshot(), before);
  }
}

TEST_F(Smm, SmbaseCanBeMoved) {
  long_mode();
  enter_smm(core);
  put(kBase + 0xff00, 4, 0xa0000);
  SmmResult result = SmmResult::kShutdown;
  EXPECT_FALSE(leave_smm(core, result));
  EXPECT_EQ(state.smbase, 0xa0000u);
}

TEST_F(Smm, InvalidImagesShutDown) {  // SDM vol. 3 30.4.1.1
  for (const u64 cr0 : {u64{kCr0Pg}, u64{kCr0Nw}, u64{kCr0Pe}}) {
    long_mode();
    enter_smm(core);
    put(kBase + 0xff58, 4, cr0);
    SmmResult result = SmmResult::kDone;
    EXPECT_FALSE(leave_smm(core, result));
    EXPECT_EQ(result, SmmResult::kShutdown);
    EXPECT_EQ(state.activity, Activity::kShutdown);
  }
}

TEST_F(Smm, RsmOutsideSmmIsUndefined) {
  real_mode();
  SmmResult result = SmmResult::kDone;
  expect_fault(leave_smm(core, result), kVectorUd);
}

TEST_F(Smm, ResetState) {  // SDM vol. 3 table 9-1
  CpuState s;
  reset_cpu(s, false);
  EXPECT_EQ(s.segments[kCs].base + s.rip, 0xfffffff0u);
  EXPECT_EQ(s.segments[kCs].selector, 0xf000u);
  EXPECT_EQ(s.cr0, kCr0Cd | kCr0Nw | kCr0Et);
  EXPECT_EQ(s.rflags, kFlagFixed1);
  EXPECT_EQ(s.dr6, kDr6Fixed1);
  EXPECT_EQ(load_le<u16>(s.xsave + kFxFcw), kFcwReset);
  EXPECT_EQ(load_le<u32>(s.xsave + kFxMxcsr), kMxcsrReset);
}

TEST_F(Smm, InitKeepsMsrsAndVectorState) {  // SDM vol. 3 table 9-1
  long_mode();
  state.mtrr_def_type = 0xc06;
  state.xsave[kFxXmm0] = 0x55;
  state.smbase = 0xa0000;
  reset_cpu(state, true);
  EXPECT_EQ(state.mtrr_def_type, 0xc06u);
  EXPECT_EQ(state.xsave[kFxXmm0], 0x55);
  EXPECT_EQ(state.smbase, 0xa0000u);
  EXPECT_FALSE(state.protected_mode());
  EXPECT_EQ(state.efer, 0u);
  start_cpu_at_sipi(state, 0x9a);
  EXPECT_EQ(state.segments[kCs].base, 0x9a000u);
  EXPECT_EQ(state.rip, 0u);
}

TEST_F(Smm, SnapshotRoundTrip) {
  long_mode();
  state.mc_banks[39] = 7;
  state.activity = Activity::kWaitForSipi;
  const auto bytes = snapshot();
  reset_cpu(state, false);
  StateIo io = StateIo::loader(bytes);
  io.section("cpu", 1, [&] { transfer(state, io); });
  EXPECT_TRUE(io.finish());
  EXPECT_EQ(snapshot(), bytes);
}

TEST_F(Smm, ImpossibleSnapshotsAreRefused) {
  using Spoil = void (*)(CpuState&);
  for (const Spoil spoil : {
           +[](CpuState& s) { s.activity = static_cast<Activity>(9); },
           +[](CpuState& s) { s.rflags |= kFlagVm; },
           +[](CpuState& s) { s.rflags |= u64{1} << 40; },
           +[](CpuState& s) { s.efer &= ~kEferLma; },
           +[](CpuState& s) { s.cr4 &= ~kCr4Pae; },
           +[](CpuState& s) { s.lstar = 0x0000900000000000; },
           +[](CpuState& s) { s.xsave[kFxMxcsr + 3] = 1; },
           +[](CpuState& s) { s.xsave[kXcompBv + 7] = 0x80; },
       }) {
    long_mode();
    spoil(state);
    StateIo save = StateIo::saver();
    save.section("cpu", 1, [&] { transfer(state, save); });
    ASSERT_TRUE(save.finish());
    StateIo load = StateIo::loader(save.bytes());
    load.section("cpu", 1, [&] { transfer(state, load); });
    EXPECT_FALSE(load.finish());
  }
}

}  // namespace
}  // namespace emu::test
