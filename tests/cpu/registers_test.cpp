// SPDX-License-Identifier: Apache-2.0
// Control registers, debug registers, MSRs, flags and I/O permission.
#include "cpu/control_registers.h"
#include "cpu/debug_registers.h"
#include "cpu/flags.h"
#include "cpu/lab.h"
#include "cpu/msr.h"
#include "cpu/xsave_layout.h"

namespace emu::test {
namespace {

class Registers : public Lab {
 protected:
  Fault cr(unsigned index, u64 value) {
    core.effects = 0;
    return write_control_register(core, index, value);
  }
  Fault wrmsr(u32 index, u64 value) { return write_msr(core, index, 1000, value); }
  u64 rdmsr(u32 index) {
    u64 value = 0xdeadbeef;
    EXPECT_FALSE(read_msr(core, index, 1000, value)) << index;
    return value;
  }
};

// --- CR0, CR3, CR4: SDM vol. 3 2.5, 4.1.2, 9.8.5.

TEST_F(Registers, Cr0InvalidCombinations) {
  real_mode();
  expect_fault(cr(0, kCr0Pg), kVectorGp);
  expect_fault(cr(0, kCr0Nw), kVectorGp);
  expect_fault(cr(0, u64{1} << 32), kVectorGp);
  EXPECT_FALSE(cr(0, kCr0Pe | 0x1ffaffc0));  // reserved bits are ignored
  EXPECT_EQ(state.cr0, kCr0Pe | kCr0Et);
  expect_fault(cr(1, 0), kVectorUd);
  to_user();
  state.segments[kSs].attributes = 0xf3;
  expect_fault(cr(0, 0), kVectorGp);
}

TEST_F(Registers, EnteringAndLeavingLongMode) {
  protected_mode();
  identity_tables(7);
  EXPECT_FALSE(cr(4, kCr4Pae));
  EXPECT_FALSE(cr(3, kTablesAt));
  EXPECT_FALSE(wrmsr(kMsrEfer, kEferLme));
  EXPECT_FALSE(cr(0, state.cr0 | kCr0Pg));
  EXPECT_TRUE(state.long_mode());
  EXPECT_NE(core.effects & kEffectFlushAll, 0u);
  expect_fault(cr(4, 0), kVectorGp);  // PAE may not go
  expect_fault(wrmsr(kMsrEfer, 0), kVectorGp);
  load(kCs, kCode64);
  expect_fault(cr(0, kCr0Pe), kVectorGp);  // not from 64-bit mode
  load(kCs, kCode0);
  EXPECT_FALSE(cr(0, kCr0Pe));
  EXPECT_FALSE(state.long_mode());
  EXPECT_EQ(rdmsr(kMsrEfer), kEferLme);
}

TEST_F(Registers, LongModeNeedsPaeAndA32BitTss) {
  protected_mode();
  EXPECT_FALSE(wrmsr(kMsrEfer, kEferLme));
  expect_fault(cr(0, state.cr0 | kCr0Pg), kVectorGp);
  EXPECT_FALSE(cr(4, kCr4Pae));
  state.tr.attributes = 0x83;
  expect_fault(cr(0, state.cr0 | kCr0Pg), kVectorGp);
}

TEST_F(Registers, PaePagingLoadsPdptes) {
  protected_mode();
  put(kTablesAt, 8, 0x11001);
  EXPECT_FALSE(cr(4, kCr4Pae));
  EXPECT_FALSE(cr(3, kTablesAt));
  EXPECT_EQ(state.pdpte[0], 0u);
  EXPECT_FALSE(cr(0, state.cr0 | kCr0Pg));
  EXPECT_EQ(state.pdpte[0], 0x11001u);
  put(kTablesAt + 0x20, 8, 0x12001 | 2);
  expect_fault(cr(3, kTablesAt + 0x20), kVectorGp);  // reserved bit 1
  EXPECT_EQ(state.cr3, kTablesAt);
}

TEST_F(Registers, Pcids) {  // SDM vol. 3 4.10.1, 4.10.4
  protected_mode();
  expect_fault(cr(4, kCr4Pae | kCr4Pcide), kVectorGp);
  long_mode();
  state.cr3 |= 1;
  expect_fault(cr(4, kCr4Pae | kCr4Pcide), kVectorGp);
  state.cr3 &= ~u64{1};
  EXPECT_FALSE(cr(4, kCr4Pae | kCr4Pcide));
  EXPECT_FALSE(cr(3, kTablesAt | 5));
  EXPECT_EQ(core.effects, kEffectAddressSpace | kEffectFlushPcid);
  EXPECT_FALSE(cr(3, u64{1} << 63 | kTablesAt | 6));
  EXPECT_EQ(core.effects, u32{kEffectAddressSpace});
  EXPECT_EQ(state.cr3, kTablesAt | 6);
  expect_fault(cr(3, u64{1} << 62), kVectorGp);
  state.cr4 &= ~kCr4Pcide;
  expect_fault(cr(3, u64{1} << 63), kVectorGp);
  EXPECT_FALSE(cr(3, kTablesAt));
  EXPECT_EQ(core.effects, kEffectAddressSpace | kEffectFlushNonGlobal);
}

TEST_F(Registers, Invpcid) {  // SDM vol. 2 INVPCID
  long_mode();
  core.effects = 0;
  expect_fault(invalidate_pcid(core, 4, 0, 0), kVectorGp);
  expect_fault(invalidate_pcid(core, 0, 0x1000, 0), kVectorGp);
  expect_fault(invalidate_pcid(core, 0, 0, 0x0000800000000000), kVectorGp);
  expect_fault(invalidate_pcid(core, 1, 5, 0), kVectorGp);  // CR4.PCIDE is clear
  state.cr4 |= kCr4Pcide;
  EXPECT_FALSE(invalidate_pcid(core, 0, 5, 0x1000));
  EXPECT_EQ(core.effects, u32{kEffectFlushPage});
  EXPECT_EQ(core.flush_pcid, 5u);
  EXPECT_EQ(core.flush_page.value, 0x1000u);
  EXPECT_FALSE(invalidate_pcid(core, 2, 0, 0));
  EXPECT_NE(core.effects & kEffectFlushAll, 0u);
}

TEST_F(Registers, Cr4ReservedBits) {
  protected_mode();
  expect_fault(cr(4, kCr4La57), kVectorGp);
  expect_fault(cr(4, u64{1} << 40), kVectorGp);
  EXPECT_FALSE(cr(4, kCr4Pge));
  EXPECT_NE(core.effects & kEffectFlushAll, 0u);
}

TEST_F(Registers, LmswSetsPeButNeverClearsIt) {
  real_mode();
  EXPECT_FALSE(load_machine_status_word(core, 0xf));
  EXPECT_EQ(state.cr0 & 0xf, 0xfu);
  EXPECT_FALSE(load_machine_status_word(core, 0));
  EXPECT_EQ(state.cr0 & 0xf, 1u);
  EXPECT_FALSE(clear_task_switched(core));
}

TEST_F(Registers, Xcr0) {  // SDM vol. 1 13.3
  long_mode();
  expect_fault(write_xcr(core, 0, 1), kVectorUd);
  state.cr4 |= kCr4Osxsave;
  expect_fault(write_xcr(core, 0, 0), kVectorGp);
  expect_fault(write_xcr(core, 0, kXcr0X87 | kXcr0Avx), kVectorGp);
  expect_fault(write_xcr(core, 0, 7 | kXcr0Opmask), kVectorGp);
  expect_fault(write_xcr(core, 1, 7), kVectorGp);
  expect_fault(write_xcr(core, 0, 7 | kXcr0Pkru), kVectorGp);
  EXPECT_FALSE(write_xcr(core, 0, 0xe7));
  u64 value = 0;
  EXPECT_FALSE(read_xcr(core, 1, 3, value));
  EXPECT_EQ(value, 3u);
}

TEST_F(Registers, SystemInstructionPrivilege) {
  long_mode();
  EXPECT_FALSE(load_gdtr(core, 0x7f, 0xffff800000000000));
  expect_fault(load_idtr(core, 0x7f, 0x0000800000000000), kVectorGp);
  state.segments[kGs].base = 1;
  state.kernel_gs_base = 2;
  EXPECT_FALSE(swap_gs(core));
  EXPECT_EQ(state.segments[kGs].base, 2u);
  expect_fault(check_fsgsbase(state), kVectorUd);
  state.cr4 |= kCr4Fsgsbase | kCr4Umip | kCr4Tsd;
  EXPECT_FALSE(write_segment_base(core, kFs, 0x1234));
  EXPECT_FALSE(check_umip(state));
  to_user64();
  expect_fault(check_umip(state), kVectorGp);
  expect_fault(check_rdtsc(state), kVectorGp);
  expect_fault(check_rdpmc(state), kVectorGp);
  expect_fault(swap_gs(core), kVectorGp);
  expect_fault(load_gdtr(core, 0, 0), kVectorGp);
}

// --- Debug registers: SDM vol. 3 17.2.

TEST_F(Registers, DebugRegisterAccess) {
  protected_mode();
  EXPECT_FALSE(write_debug_register(core, 7, 0xffffffff));
  EXPECT_EQ(state.dr7, 0xffff27ffu);
  u64 value = 0;
  const Fault fault = read_debug_register(core, 0, value);  // GD is set
  expect_fault(fault, kVectorDb);
  EXPECT_EQ(fault.address, kDr6Bd);
  state.dr7 = kDr7Fixed1;
  EXPECT_FALSE(write_debug_register(core, 4, 0));  // an alias of DR6
  EXPECT_EQ(state.dr6, kDr6Fixed1);
  state.cr4 |= kCr4De;
  expect_fault(write_debug_register(core, 4, 0), kVectorUd);
  expect_fault(write_debug_register(core, 7, u64{1} << 32), kVectorGp);
  to_user();
  expect_fault(read_debug_register(core, 0, value), kVectorGp);
}

TEST_F(Registers, BreakpointMatching) {
  protected_mode();
  state.dr[0] = 0x1000;  // execute
  state.dr[1] = 0x2003;  // write, 4 bytes: 2000h-2003h
  state.dr[2] = 0x3000;  // read or write, 8 bytes, disabled
  state.dr[3] = 0x60;    // I/O
  state.dr7 = kDr7Fixed1 | 1u << 0 | 1u << 2 | 1u << 6 | 1u << 20 | 3u << 22 | 3u << 24 | 2u << 26 |
              2u << 28;
  EXPECT_EQ(match_code_breakpoint(state, LinearAddr{0x1000}), 1u);
  EXPECT_EQ(match_code_breakpoint(state, LinearAddr{0x1001}), 0u);
  EXPECT_EQ(match_data_breakpoint(state, LinearAddr{0x1ffd}, 4, true), 2u);
  EXPECT_EQ(match_data_breakpoint(state, LinearAddr{0x1ffc}, 4, true), 0u);
  EXPECT_EQ(match_data_breakpoint(state, LinearAddr{0x2000}, 4, false), 0u);
  EXPECT_EQ(match_data_breakpoint(state, LinearAddr{0x3000}, 1, true), 0u);  // disabled
  EXPECT_EQ(match_io_breakpoint(state, 0x60, 1), 0u);                        // CR4.DE is clear
  state.cr4 |= kCr4De;
  EXPECT_EQ(match_io_breakpoint(state, 0x60, 1), 8u);
  EXPECT_TRUE(page_has_data_breakpoint(state, LinearAddr{0x2fff}));
  EXPECT_FALSE(page_has_data_breakpoint(state, LinearAddr{0x3000}));
  EXPECT_TRUE(has_code_breakpoints(state) && has_data_breakpoints(state));
}

// --- MSRs: SDM vol. 4.

TEST_F(Registers, MsrsThatReturnWhatWasWritten) {
  long_mode();
  for (const u32 index : {u32{kMsrStar}, u32{kMsrLstar}, u32{kMsrCstar}, u32{kMsrSfmask},
                          u32{kMsrFsBase}, u32{kMsrGsBase}, u32{kMsrKernelGsBase},
                          u32{kMsrSysenterCs}, u32{kMsrSysenterEsp}, u32{kMsrTscAux}}) {
    EXPECT_FALSE(wrmsr(index, 0x1234)) << index;
    EXPECT_EQ(rdmsr(index), 0x1234u) << index;
  }
  EXPECT_EQ(state.segments[kFs].base, 0x1234u);
}

TEST_F(Registers, MsrValueChecks) {
  long_mode();
  expect_fault(wrmsr(kMsrLstar, 0x0000800000000000), kVectorGp);
  expect_fault(wrmsr(kMsrSfmask, u64{1} << 32), kVectorGp);
  expect_fault(wrmsr(kMsrTscAux, u64{1} << 32), kVectorGp);
  expect_fault(wrmsr(kMsrEfer, state.efer | 2), kVectorGp);
  expect_fault(wrmsr(kMsrPat, 2), kVectorGp);
  EXPECT_FALSE(wrmsr(kMsrPat, 0x0007010600070106));
  expect_fault(wrmsr(kMsrXss, 1), kVectorGp);
  expect_fault(wrmsr(kMsrMtrrPhysBase0, 2), kVectorGp);
  expect_fault(wrmsr(kMsrMtrrPhysBase0 + 1, u64{1} << 40), kVectorGp);
  EXPECT_FALSE(wrmsr(kMsrMtrrPhysBase0 + 1, 0xffc0000800));
  EXPECT_FALSE(wrmsr(kMsrMtrrFix4kC0000 + 7, 0x0606060606060606));
  expect_fault(wrmsr(kMsrMtrrFix4kC0000 + 7, 2), kVectorGp);
  expect_fault(wrmsr(kMsrMtrrCap, 0), kVectorGp);
  expect_fault(wrmsr(0x12345, 0), kVectorGp);
  u64 value = 0;
  expect_fault(read_msr(core, 0x12345, 0, value), kVectorGp);
  to_user64();
  expect_fault(read_msr(core, kMsrTsc, 0, value), kVectorGp);
}

TEST_F(Registers, TimeStampCounter) {  // SDM vol. 3 17.17.3
  long_mode();
  EXPECT_FALSE(wrmsr(kMsrTsc, 5000));
  EXPECT_EQ(rdmsr(kMsrTsc), 5000u);
  EXPECT_EQ(rdmsr(kMsrTscAdjust), 4000u);
  EXPECT_FALSE(wrmsr(kMsrTscAdjust, 0));
  EXPECT_EQ(rdmsr(kMsrTsc), 1000u);
}

TEST_F(Registers, ModelWithout64BitMode) {
  protected_mode();
  features.long_mode = false;
  features.efer_allowed = 0;
  expect_fault(wrmsr(kMsrEfer, 0), kVectorGp);
  expect_fault(wrmsr(kMsrLstar, 0), kVectorGp);
}

TEST_F(Registers, BusMsrs) {
  EXPECT_TRUE(is_bus_msr(kMsrApicBase));
  EXPECT_TRUE(is_bus_msr(0x80f));
  EXPECT_TRUE(is_bus_msr(kMsrTscDeadline));
  EXPECT_FALSE(is_bus_msr(0x900));
}

// --- Flags: SDM vol. 2 POPF tables, vol. 3 20.3.

TEST_F(Registers, PopfByPrivilege) {
  protected_mode();
  EXPECT_FALSE(popf(core, 4, 0xffffffff));
  EXPECT_EQ(state.rflags, 0x00247fd7u);  // no VM, RF, VIF, VIP
  EXPECT_FALSE(popf(core, 4, 0));
  to_user();
  EXPECT_FALSE(popf(core, 4, 0xffffffff));
  EXPECT_EQ(state.rflags & (kFlagIf | kFlagIopl), 0u);
  state.rflags = kFlagFixed1 | kFlagIopl;
  EXPECT_FALSE(popf(core, 2, 0xffffffff));
  EXPECT_EQ(state.rflags, kFlagFixed1 | 0x7fd5u);
}

TEST_F(Registers, CliSti) {
  protected_mode();
  EXPECT_FALSE(set_interrupts(core));
  EXPECT_TRUE(state.interrupt_shadow);
  state.interrupt_shadow = false;
  EXPECT_FALSE(set_interrupts(core));
  EXPECT_FALSE(state.interrupt_shadow);  // only when IF was clear
  to_user();
  expect_fault(clear_interrupts(core), kVectorGp);
  state.cr4 |= kCr4Pvi;
  EXPECT_FALSE(set_interrupts(core));
  EXPECT_NE(state.rflags & kFlagVif, 0u);
  EXPECT_FALSE(clear_interrupts(core));
  EXPECT_EQ(state.rflags & kFlagVif, 0u);
  state.rflags |= kFlagVip;
  expect_fault(set_interrupts(core), kVectorGp);
}

TEST_F(Registers, FlagsInVirtual8086Mode) {
  protected_mode();
  state.rflags = kFlagFixed1 | kFlagVm | kFlagIf;
  u64 value = 0;
  expect_fault(pushf_value(state, 2, value), kVectorGp);
  expect_fault(popf(core, 2, 0), kVectorGp);
  state.cr4 |= kCr4Vme;
  EXPECT_FALSE(pushf_value(state, 2, value));
  EXPECT_EQ(value, kFlagFixed1 | kFlagIopl);  // IF shows VIF
  EXPECT_FALSE(popf(core, 2, kFlagIf));
  EXPECT_NE(state.rflags & kFlagVif, 0u);
  expect_fault(popf(core, 2, kFlagTf), kVectorGp);
  expect_fault(popf(core, 4, 0), kVectorGp);
}

TEST_F(Registers, IoPermissionBitmap) {  // SDM vol. 1 18.5.2
  protected_mode();
  EXPECT_FALSE(check_io(core, 0x60, 1));
  to_user();
  expect_fault(check_io(core, 0x60, 1), kVectorGp);  // no bitmap inside the limit
  state.tr.limit = 0x68 + 0x2000;
  for (u32 i = 0; i < 0x2000; i += 8) put(kTssAt + 0x68 + i, 8, ~u64{0});
  put(kTssAt + 0x68 + 0x60 / 8, 1, 0xfe);
  EXPECT_FALSE(check_io(core, 0x60, 1));
  expect_fault(check_io(core, 0x60, 2), kVectorGp);
  expect_fault(check_io(core, 0x61, 1), kVectorGp);
  state.rflags |= kFlagIopl;
  EXPECT_FALSE(check_io(core, 0x61, 4));
}

}  // namespace
}  // namespace emu::test
