// SPDX-License-Identifier: Apache-2.0
// Segment loads and checks, SDM vol. 3 ch. 5 rule by rule.
#include "cpu/segmentation.h"

#include "cpu/lab.h"

namespace emu::test {
namespace {

class Segmentation : public Lab {};

TEST_F(Segmentation, RealModeKeepsTheLimit) {  // "unreal mode"
  real_mode();
  state.segments[kDs].limit = 0xffffffff;
  EXPECT_FALSE(load_segment(core, kDs, 0x1234));
  EXPECT_EQ(state.segments[kDs].base, 0x12340u);
  EXPECT_EQ(state.segments[kDs].limit, 0xffffffffu);
}

TEST_F(Segmentation, Vm86SegmentsAreUserReadWrite64K) {  // SDM vol. 3 20.2.1
  protected_mode();
  state.rflags |= kFlagVm;
  EXPECT_FALSE(load_segment(core, kSs, 0x1234));
  EXPECT_EQ(state.segments[kSs], (Segment{0x12340, 0xffff, 0x1234, 0xf3}));
}

TEST_F(Segmentation, DataSegmentLoads) {
  protected_mode();
  EXPECT_FALSE(load_segment(core, kDs, kData3 & ~3));
  EXPECT_EQ(state.segments[kDs].limit, 0xffffffffu);
  EXPECT_EQ(state.segments[kDs].dpl(), 3u);
  EXPECT_FALSE(load_segment(core, kEs, 0));
  EXPECT_FALSE(state.segments[kEs].usable());
  EXPECT_FALSE(load_segment(core, kFs, kCode0));  // readable code
}

TEST_F(Segmentation, AccessedBitIsSetInMemory) {
  protected_mode();
  gdt(kData3, descriptor(0, 0xfffff, 0xf2, 0xc));
  EXPECT_FALSE(load_segment(core, kDs, kData3));
  EXPECT_EQ(get(kGdtAt + 0x20 + 5, 1), 0xf3u);
  EXPECT_EQ(state.segments[kDs].attributes & kSegAccessed, kSegAccessed);
}

TEST_F(Segmentation, PrivilegeOfDataSegments) {  // SDM vol. 3 5.6
  protected_mode();
  expect_fault(load_segment(core, kDs, kData0 | 3), kVectorGp, kData0);  // RPL > DPL
  to_user();
  expect_fault(load_segment(core, kDs, kData0), kVectorGp, kData0);  // CPL > DPL
  EXPECT_FALSE(load_segment(core, kDs, kConforming));  // conforming code is for everybody
}

TEST_F(Segmentation, StackSegmentRules) {  // SDM vol. 3 5.7
  protected_mode();
  expect_fault(load_segment(core, kSs, 0), kVectorGp, 0);
  expect_fault(load_segment(core, kSs, kData3), kVectorGp, kData3 & ~3u);
  expect_fault(load_segment(core, kSs, kData0 | 3), kVectorGp, kData0);
  expect_fault(load_segment(core, kSs, kCode0), kVectorGp, kCode0);
  gdt(kAbsent, descriptor(0, 0xfffff, 0x12, 0xc));
  expect_fault(load_segment(core, kSs, kAbsent), kVectorSs, kAbsent);
  EXPECT_FALSE(load_segment(core, kSs, kData0));
}

TEST_F(Segmentation, AbsentAndOutOfRange) {
  protected_mode();
  expect_fault(load_segment(core, kDs, kAbsent), kVectorNp, kAbsent);
  state.gdtr.limit = 0x16;
  expect_fault(load_segment(core, kDs, kData0), kVectorGp, kData0);
  expect_fault(load_segment(core, kDs, 0x0c), kVectorGp, 0x0c);  // no LDT
  expect_fault(load_segment(core, kDs, 0x28), kVectorGp, 0x28);
}

TEST_F(Segmentation, NullStackSegmentIn64BitModeBelowLevel3) {
  long_mode();
  EXPECT_FALSE(load_segment(core, kSs, 0));
  EXPECT_EQ(state.cpl(), 0u);
  expect_fault(load_segment(core, kSs, 3), kVectorGp, 0);
  to_user64();
  expect_fault(load_segment(core, kSs, 3), kVectorGp, 0);
  EXPECT_EQ(state.cpl(), 3u);
}

TEST_F(Segmentation, LocalDescriptorTable) {
  protected_mode();
  put(kLdtAt + 8, 8, descriptor(0x5000, 0x10, 0xf2, 0));
  EXPECT_FALSE(load_ldtr(core, kLdtSelector));
  EXPECT_EQ(state.ldtr.base, kLdtAt);
  EXPECT_FALSE(load_segment(core, kDs, 0x0f));
  EXPECT_EQ(state.segments[kDs].base, 0x5000u);
  EXPECT_FALSE(load_ldtr(core, 0));
  expect_fault(load_segment(core, kDs, 0x0f), kVectorGp, 0x0c);
  expect_fault(load_ldtr(core, kData0), kVectorGp, kData0);
  expect_fault(load_ldtr(core, kLdtSelector | 4), kVectorGp, kLdtSelector | 4);
  to_user();
  expect_fault(load_ldtr(core, kLdtSelector), kVectorGp, 0);
}

TEST_F(Segmentation, TaskRegister) {  // SDM vol. 2 LTR
  protected_mode();
  expect_fault(load_tr(core, kTss), kVectorGp, kTss);  // busy
  EXPECT_FALSE(load_tr(core, kTss2));
  EXPECT_EQ(state.tr.base, kTss2At);
  EXPECT_EQ(get(kGdtAt + kTss2 + 5, 1), 0x8bu);
  expect_fault(load_tr(core, 0), kVectorGp, 0);
  real_mode();
  expect_fault(load_tr(core, kTss2), kVectorUd);
}

TEST_F(Segmentation, LongModeSystemDescriptorsAre16Bytes) {
  long_mode();
  gdt(kTss2, descriptor(kTss2At, 0x67, 0x89, 0), 0xffff8000);
  EXPECT_FALSE(load_tr(core, kTss2));
  EXPECT_EQ(state.tr.base, 0xffff8000'00003800u);
  gdt(kTss2, descriptor(kTss2At, 0x67, 0x89, 0), 0x00008000);
  expect_fault(load_tr(core, kTss2), kVectorGp, kTss2);  // not canonical
  gdt(kTss2, descriptor(kTss2At, 0x67, 0x89, 0), u64{0x1f} << 40);
  expect_fault(load_tr(core, kTss2), kVectorGp, kTss2);  // upper type field
  gdt(kTss2, descriptor(kTss2At, 0x2b, 0x81, 0), 0);
  expect_fault(load_tr(core, kTss2), kVectorGp, kTss2);  // 16-bit TSS
}

TEST_F(Segmentation, LarLslVerrVerw) {
  protected_mode();
  bool ok = false;
  u32 value = 0;
  EXPECT_FALSE(load_access_rights(core, kData3, ok, value));
  EXPECT_TRUE(ok);
  EXPECT_EQ(value, 0x00c0f300u);
  EXPECT_FALSE(load_limit(core, kTss, ok, value));
  EXPECT_TRUE(ok);
  EXPECT_EQ(value, 0x67u);
  EXPECT_FALSE(load_limit(core, kCallGate, ok, value));
  EXPECT_FALSE(ok);
  EXPECT_FALSE(verify_segment(core, kCode0, false, ok));
  EXPECT_TRUE(ok);
  EXPECT_FALSE(verify_segment(core, kCode0, true, ok));
  EXPECT_FALSE(ok);
  to_user();
  EXPECT_FALSE(verify_segment(core, kData0, false, ok));
  EXPECT_FALSE(ok);
  EXPECT_FALSE(load_access_rights(core, 0, ok, value));
  EXPECT_FALSE(ok);
  state.rflags |= kFlagVm;
  expect_fault(load_access_rights(core, kData3, ok, value), kVectorUd);
}

TEST_F(Segmentation, LimitChecks) {  // SDM vol. 3 5.3
  protected_mode();
  state.segments[kDs] = {0x1000, 0x1fff, 0x20, 0x93};
  EXPECT_FALSE(check_segment_access(state, kDs, 0x1ffc, 4, true));
  expect_fault(check_segment_access(state, kDs, 0x1ffd, 4, true), kVectorGp);
  state.segments[kDs].attributes = 0x91;  // read-only
  EXPECT_FALSE(check_segment_access(state, kDs, 0, 4, false));
  expect_fault(check_segment_access(state, kDs, 0, 4, true), kVectorGp);
  state.segments[kSs] = {0, 0xfff, 0x20, 0x4097};  // expand-down, 32-bit
  expect_fault(check_segment_access(state, kSs, 0xfff, 1, true), kVectorSs);
  EXPECT_FALSE(check_segment_access(state, kSs, 0x1000, 4, true));
  EXPECT_FALSE(check_segment_access(state, kSs, 0xfffffffc, 4, true));
  expect_fault(check_segment_access(state, kSs, 0xfffffffd, 4, true), kVectorSs);
  state.segments[kSs].attributes = 0x0097;  // 16-bit: upper bound FFFFh
  expect_fault(check_segment_access(state, kSs, 0xfffe, 4, true), kVectorSs);
  state.segments[kDs] = null_segment(0, 0);
  expect_fault(check_segment_access(state, kDs, 0, 1, false), kVectorGp);
}

TEST_F(Segmentation, RealModeOffsetsFrom1MiBReachPastTheLimit) {  // see the deviation's comment
  real_mode();
  EXPECT_FALSE(check_segment_access(state, kDs, 0xfffe, 2, true));
  expect_fault(check_segment_access(state, kDs, 0xffff, 2, true), kVectorGp);
  expect_fault(check_segment_access(state, kDs, 0xfffff, 1, false), kVectorGp);
  EXPECT_FALSE(check_segment_access(state, kDs, 0xc0000000, 1, false));
  expect_fault(check_segment_access(state, kDs, 0xffffffff, 2, false), kVectorGp);
  protected_mode();
  state.segments[kDs] = {0, 0xffff, 0x20, 0x93};
  expect_fault(check_segment_access(state, kDs, 0xc0000000, 1, false), kVectorGp);
}

TEST_F(Segmentation, CanonicalChecksIn64BitMode) {
  long_mode();
  state.segments[kDs] = null_segment(0, 0);
  EXPECT_FALSE(check_segment_access(state, kDs, 0x1234, 8, true));
  expect_fault(check_segment_access(state, kDs, 0x0000800000000000, 1, false), kVectorGp);
  expect_fault(check_segment_access(state, kSs, 0x00007ffffffffffc, 8, false), kVectorSs);
  state.segments[kGs].base = 0xffff888000000000;
  EXPECT_EQ(segment_linear(state, kGs, 0x10).value, 0xffff888000000010u);
  EXPECT_EQ(segment_linear(state, kDs, 0x10).value, 0x10u);
}

TEST_F(Segmentation, DescriptorInAnUnmappedPageIsAPageFault) {
  long_mode();
  put(kTablesAt + 0x2000, 8, 0);  // the first 2 MiB
  Fault fault = load_segment(core, kDs, kData0);
  expect_fault(fault, kVectorPf, 0);
  EXPECT_EQ(fault.address, kGdtAt + kData0);
}

}  // namespace
}  // namespace emu::test
