// SPDX-License-Identifier: Apache-2.0
// AAA, AAS, DAA and DAS, which are C++: every AL with every AF and CF against the host.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/bits.h"
#include "cpu/xsave_layout.h"
#include "instruction_host_unsafe.h"
#include "tcg/decimal_scalar.h"

namespace emu::instruction_test {
namespace {

struct Case {
  u8 opcode;
  ZydisMnemonic mnemonic;
  u64 defined;  // status flags
};

constexpr u64 kAll = kFlagCf | kFlagAf | kFlagSf | kFlagZf | kFlagPf;
const Case kCases[] = {{0x37, ZYDIS_MNEMONIC_AAA, kFlagCf | kFlagAf},
                       {0x3f, ZYDIS_MNEMONIC_AAS, kFlagCf | kFlagAf},
                       {0x27, ZYDIS_MNEMONIC_DAA, kAll},
                       {0x2f, ZYDIS_MNEMONIC_DAS, kAll}};

TEST(InstructionDecimal, AsTheHostDoes) {
  Host host;
  if (!host.has_compatibility_mode()) GTEST_SKIP() << "no 32-bit code segment on this host";
  MachineState state;
  xsave_reset(state.xsave.data());
  for (const Case& c : kCases) {
    for (unsigned i = 0; i < 256 * 4; ++i) {
      const u64 ax = 0x5a00 | (i & 0xff);
      const u64 flags = 2 | ((i & 0x100) != 0 ? kFlagCf : 0) | ((i & 0x200) != 0 ? kFlagAf : 0);
      state.gpr[kRax] = ax;
      state.rflags = flags;
      const u8 code[] = {c.opcode};
      host.run_native(code, false, state);
      ASSERT_EQ(state.outcome, kContinued);
      CpuState ours;
      ours.gpr[kRax] = ax;
      ours.rflags = flags;
      decimal_adjust(ours, static_cast<u16>(c.mnemonic));
      ASSERT_EQ(ours.gpr[kRax] & 0xffff, state.gpr[kRax] & 0xffff)
          << fmt::format("opcode {:#x} ax {:#x} flags {:#x}", c.opcode, ax, flags);
      ASSERT_EQ(ours.rflags & c.defined, state.rflags & c.defined)
          << fmt::format("opcode {:#x} ax {:#x} flags {:#x}", c.opcode, ax, flags);
    }
  }
}

}  // namespace
}  // namespace emu::instruction_test
