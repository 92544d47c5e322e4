// SPDX-License-Identifier: Apache-2.0
// Random descriptor tables, stacks and registers against everything that walks them: nothing may
// crash, and a Fault must leave the processor as it was.
#include <cstring>
#include <random>

#include "cpu/control_registers.h"
#include "cpu/delivery.h"
#include "cpu/far_transfer.h"
#include "cpu/flags.h"
#include "cpu/lab.h"
#include "cpu/msr.h"
#include "cpu/smm.h"

namespace emu::test {
namespace {

class Hostile : public Lab {
 protected:
  u64 pick(u64 n) { return random_() % n; }
  bool chance(unsigned one_in) { return pick(one_in) == 0; }

  u16 selector() {
    if (chance(16)) return static_cast<u16>(random_());
    return static_cast<u16>(pick(24) * 8 + (chance(8) ? 4 : 0) + pick(4));
  }
  u64 offset() {
    switch (pick(6)) {
      case 0:
        return random_();
      case 1:
        return random_() & 0xffffffff;
      case 2:
        return 0x00007fffffffff00 + pick(0x200);
      default:
        return pick(0x10000);
    }
  }
  // A descriptor that is often almost right.
  u64 random_descriptor() {
    const u64 any = random_();
    if (chance(4)) return any;
    const u8 access = static_cast<u8>(0x80 | pick(128));
    if (chance(2)) return gate(selector(), static_cast<u32>(offset()), access, pick(4) & 0x1f);
    const u32 base = chance(2) ? 0 : static_cast<u32>(pick(0x10000));
    return descriptor(base, static_cast<u32>(any & 0xfffff), access, static_cast<u8>(pick(16)));
  }
  void scramble() {
    for (unsigned i = 0; i < 8; ++i) {
      put(kGdtAt + 8 + pick(24) * 8, 8, random_descriptor());
      put(kIdtAt + pick(64) * 8, 8, random_descriptor());
      put(kLdtAt + pick(24) * 8, 8, random_descriptor());
      put(kTssAt + pick(13) * 8, 8, chance(2) ? offset() : selector());
      put(kTss2At + pick(26) * 4, 4, chance(2) ? offset() : selector());
      put(0x6f80 + pick(32) * 8, 8, chance(2) ? offset() : selector());
      put(kStack3 - 8 + pick(8) * 8, 8, chance(2) ? offset() : selector());
    }
  }
  void random_mode() {
    switch (pick(4)) {
      case 0:
        real_mode();
        break;
      case 1:
        protected_mode();
        if (chance(2)) to_user();
        break;
      case 2:
        protected_mode();
        state.rflags |= kFlagVm | kFlagIopl;
        if (chance(2)) state.rflags &= ~kFlagIopl;
        for (Segment& s : state.segments) s = vm86_segment(static_cast<u16>(pick(0x800)));
        break;
      default:
        long_mode();
        if (chance(2)) to_user64();
        if (chance(4)) load(kCs, state.cpl() == 3 ? kCompat3 : kCode0);
        break;
    }
    scramble();
    state.rflags |= random_() & (kFlagIf | kFlagNt | kFlagTf | kFlagAc | kFlagCf);
    state.cr4 |= random_() & (kCr4Vme | kCr4Pvi | kCr4Umip);
    if (chance(8)) state.gpr[kRsp] = offset();
    if (chance(2)) state.gpr[kRsp] = 0x6f80 + pick(16) * 8;
    if (chance(4)) state.tr.limit = static_cast<u32>(pick(0x80));
    if (chance(8)) state.idtr.limit = static_cast<u16>(pick(0x400));
    state.gdtr.limit = static_cast<u16>(chance(4) ? pick(0x100) : 0xff);
    if (chance(2)) state.ldtr = {kLdtAt, 0xff, kLdtSelector, 0x82};
    state.sysenter_cs = selector();
    state.star = random_();
    state.gpr[kRcx] = offset();
  }

  Fault random_operation() {
    const unsigned bytes = 2u << pick(3);
    bool flag = false;
    u32 value = 0;
    switch (pick(16)) {
      case 0:
        return far_jump(core, selector(), offset(), bytes, 0x20007);
      case 1:
        return far_call(core, selector(), offset(), bytes, 0x20007);
      case 2:
      case 3:
        return far_return(core, bytes, static_cast<u16>(pick(32)));
      case 4:
      case 5:
      case 6:
        return interrupt_return(core, bytes, 0x20007);
      case 7:
        return load_segment(core, static_cast<SegmentIndex>(chance(2) ? kSs : kDs), selector());
      case 8:
        return chance(2) ? load_ldtr(core, selector()) : load_tr(core, selector());
      case 9:
        return chance(2) ? load_access_rights(core, selector(), flag, value)
                         : load_limit(core, selector(), flag, value);
      case 10:
        return write_control_register(core, static_cast<unsigned>(pick(5)), random_() >> pick(64));
      case 11:
        return write_msr(core, static_cast<u32>(random_() >> pick(64)), 0, random_() >> pick(64));
      case 12:
        return popf(core, bytes, random_());
      case 13:
        return check_io(core, static_cast<u16>(random_()), 1u << pick(3));
      case 14:
        return chance(2) ? sysenter(core) : sysexit(core, bytes);
      default:
        return chance(2) ? syscall_enter(core, 0x20007) : syscall_return(core, bytes);
    }
  }

  // What must hold of any state (src/cpu/state_transfer.cpp refuses others).
  void expect_sane() {
    ASSERT_NE(state.rflags & kFlagFixed1, 0u);
    ASSERT_EQ(state.rflags & ~u64{0x3f7fd7}, 0u);
    ASSERT_FALSE(state.vm86() && (state.long_mode() || !state.protected_mode()));
    ASSERT_EQ(state.long_mode(), (state.cr0 & kCr0Pg) != 0 && (state.efer & kEferLme) != 0);
    ASSERT_TRUE(is_canonical(state.tr.base) && is_canonical(state.ldtr.base));
    if (state.code64()) {
      ASSERT_EQ(state.segments[kCs].attributes & kSegBig, 0);
      ASSERT_TRUE(is_canonical(state.rip));
    }
  }

  std::mt19937_64 random_{2026};
};

TEST_F(Hostile, FaultsChangeNothing) {
  unsigned faults = 0;
  unsigned successes = 0;
  static CpuState before;
  for (unsigned round = 0; round < 60000; ++round) {
    random_mode();
    std::memcpy(static_cast<void*>(&before), &state, sizeof state);
    const Fault fault = random_operation();
    (fault ? faults : successes) += 1;
    const bool task_switched =
        state.tr.selector != before.tr.selector || ((before.rflags ^ state.rflags) & kFlagNt) != 0;
    if (fault && !task_switched) {
      ASSERT_EQ(std::memcmp(&before, &state, sizeof state), 0)
          << "round " << round << " vector " << unsigned{fault.vector};
    }
    expect_sane();
    if (HasFatalFailure()) FAIL() << "round " << round;
  }
  EXPECT_GT(faults, 10000u);
  EXPECT_GT(successes, 10000u);
}

TEST_F(Hostile, DeliveryEndsInAHandlerOrInShutdown) {
  unsigned delivered = 0;
  unsigned shutdowns = 0;
  for (unsigned round = 0; round < 60000; ++round) {
    random_mode();
    Event event;
    event.vector = static_cast<u8>(pick(32));
    event.kind = static_cast<EventKind>(pick(6));
    event.has_error_code = event.kind == EventKind::kException && chance(2);
    event.error_code = static_cast<u32>(pick(0x10000));
    event.next_rip = 0x20002;
    if (deliver(core, event) == DeliveryResult::kDelivered) {
      ++delivered;
      ASSERT_EQ(state.activity, Activity::kRunning);
    } else {
      ++shutdowns;
      ASSERT_EQ(state.activity, Activity::kShutdown);
    }
    expect_sane();
    if (HasFatalFailure()) FAIL() << "round " << round;
  }
  EXPECT_GT(delivered, 1000u);
  EXPECT_GT(shutdowns, 1000u);
}

TEST_F(Hostile, AnySmmImage) {
  for (unsigned round = 0; round < 5000; ++round) {
    random_mode();
    features.long_mode = chance(2);
    enter_smm(core);
    for (unsigned i = 0; i < 4; ++i) put(0x3fe00 + pick(0x200), 1, random_());
    put(0x3ff00, 4, 0x30000);
    SmmResult result = SmmResult::kDone;
    ASSERT_FALSE(leave_smm(core, result));
    expect_sane();
    if (HasFatalFailure()) FAIL() << "round " << round;
    state.smm = false;
    state.smbase = 0x30000;
  }
}

}  // namespace
}  // namespace emu::test
