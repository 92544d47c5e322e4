// SPDX-License-Identifier: Apache-2.0
// CPUID models and the XSAVE layout, the latter against the host's own instructions.
#include "cpu/cpuid_model.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "base/bits.h"
#include "cpu/cpuid_bits.h"
#include "cpu/xsave_layout.h"

namespace emu::test {
namespace {

using namespace cpuid;

HostCpu everything() {
  HostCpu host;
  host.words = {~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u};
  host.xcr0 = ~u64{0};
  host.signature = 0x000c06f2;
  host.is_intel = true;
  host.intel_xsave_layout = true;
  return host;
}

CpuidModel make(const CpuidConfig& config, const HostCpu& host) {
  auto model = CpuidModel::create(config, host);
  EXPECT_TRUE(model);
  return *model;
}

TEST(Cpuid, NeverOffersWhatTheEngineLacks) {
  const CpuidModel model = make({}, everything());
  const CpuState state;
  const CpuidResult leaf1 = model.lookup(1, 0, state, 0, true);
  EXPECT_EQ(leaf1.ecx & (1u << 3 | 1u << 5 | 1u << 6), 0u);  // MONITOR, VMX, SMX
  const CpuidResult leaf7 = model.lookup(7, 0, state, 0, true);
  EXPECT_EQ(leaf7.ebx & (1u << 2 | 1u << 4 | 1u << 11 | 1u << 14 | 1u << 25), 0u);  // SGX HLE RTM
  EXPECT_EQ(leaf7.ecx & (kPku | 1u << 5 | 1u << 7 | 1u << 16 | 1u << 28), 0u);  // PKU WAITPKG CET
  EXPECT_EQ(leaf7.edx & (1u << 5 | 1u << 16 | 1u << 20 | 1u << 22 | 1u << 24), 0u);  // UINTR AMX
  EXPECT_EQ(model.features().cr4_allowed & kCr4La57, 0u);
  EXPECT_EQ(model.features().xcr0_allowed, 0xe7u);
}

TEST(Cpuid, NeverOffersWhatTheHostLacks) {
  HostCpu host = everything();
  host.words.leaf1_ecx &= ~kAvx;
  const CpuidModel model = make({}, host);
  EXPECT_EQ(model.words().leaf1_ecx & (kAvx | kFma), 0u);
  EXPECT_EQ(model.words().leaf7_ebx & (kAvx2 | kAvx512f | kAvx512vl), 0u);
  EXPECT_EQ(model.features().xcr0_allowed, 3u);
}

TEST(Cpuid, HostSystemDecidesByXcr0) {
  HostCpu host = everything();
  host.xcr0 = 7;
  EXPECT_EQ(make({}, host).features().xcr0_allowed, 7u);
  host.xcr0 = ~u64{0};
  host.intel_xsave_layout = false;
  EXPECT_EQ(make({}, host).features().xcr0_allowed, 7u);
}

TEST(Cpuid, EmulatedFeaturesNeedNoHost) {
  HostCpu host = everything();
  host.words = {kSse3, kFpu | kCx8 | kCmov | kMmx | kFxsr | kSse | kSse2, 0, 0, 0, 0, 0, 0, 0};
  host.xcr0 = 0;
  const CpuidModel model = make({}, host);
  EXPECT_NE(model.words().leaf1_ecx & kX2apic, 0u);
  EXPECT_NE(model.words().leaf7_ebx & kSmap, 0u);
  EXPECT_NE(model.words().ext1_edx & kLongMode, 0u);
  EXPECT_EQ(model.features().cr4_allowed & kCr4Osxsave, 0u);
}

TEST(Cpuid, DynamicBits) {
  const CpuidModel model = make({.cpu_count = 4}, everything());
  CpuState state;
  state.xcr0 = 1;
  EXPECT_EQ(model.lookup(1, 0, state, 3, true).ebx >> 24, 3u);
  EXPECT_EQ(model.lookup(1, 0, state, 3, false).edx & kApic, 0u);
  EXPECT_EQ(model.lookup(1, 0, state, 3, true).ecx & kOsxsave, 0u);
  state.cr4 = kCr4Osxsave;
  EXPECT_NE(model.lookup(1, 0, state, 3, true).ecx & kOsxsave, 0u);
  EXPECT_EQ(model.lookup(0xd, 0, state, 0, true).ebx, 576u);
  state.xcr0 = 7;
  EXPECT_EQ(model.lookup(0xd, 0, state, 0, true).ebx, 832u);
  EXPECT_EQ(model.lookup(0xd, 0, state, 0, true).ecx, 2688u);
}

TEST(Cpuid, Topology) {
  const CpuidModel model = make({.cpu_count = 3}, everything());
  const CpuState state;
  EXPECT_EQ(model.lookup(0xb, 0, state, 2, true), (CpuidResult{0, 1, 0x100, 2}));
  EXPECT_EQ(model.lookup(0xb, 1, state, 2, true), (CpuidResult{2, 3, 0x201, 2}));
  EXPECT_EQ(model.lookup(0xb, 7, state, 2, true), (CpuidResult{0, 0, 7, 2}));
  EXPECT_EQ(bits(model.lookup(4, 0, state, 2, true).eax, 26, 6), 3u);
  EXPECT_NE(model.lookup(1, 0, state, 0, true).edx & kHtt, 0u);
}

TEST(Cpuid, OutOfRangeLeavesAnswerAsTheHighestBasicOne) {
  const CpuidModel model = make({.cpu_count = 2}, everything());
  const CpuState state;
  EXPECT_EQ(model.lookup(0x12345, 1, state, 1, true), model.lookup(0x1f, 1, state, 1, true));
  EXPECT_EQ(model.lookup(0x8000ffff, 1, state, 1, true), model.lookup(0x1f, 1, state, 1, true));
}

TEST(Cpuid, TscFrequencyFitsLinuxArithmetic) {
  for (const u64 hz : {u64{2'095'076'123}, u64{3'000'000'000}, u64{1'999'999'999}, u64{800'000'000},
                       u64{4'987'654'321}}) {
    const CpuidModel model = make({.tsc_hz = hz}, everything());
    const CpuidResult r = model.lookup(0x15, 0, {}, 0, true);
    const u64 crystal_khz = r.ecx / 1000;
    ASSERT_LT(crystal_khz * r.ebx, u64{1} << 32);
    const double khz = static_cast<double>(crystal_khz * r.ebx) / r.eax;
    EXPECT_NEAR(khz * 1000 / static_cast<double>(hz), 1.0, 1e-6);
    EXPECT_EQ(model.lookup(0x40000010, 0, {}, 0, true).eax, hz / 1000);
  }
}

TEST(Cpuid, NamedModels) {
  const CpuidModel old = make({.model = "pentium3"}, everything());
  EXPECT_FALSE(old.features().long_mode);
  EXPECT_EQ(old.features().efer_allowed, 0u);
  EXPECT_EQ(old.words().leaf1_edx & kSse2, 0u);
  EXPECT_EQ(old.words().leaf1_ecx, 0u);
  EXPECT_EQ(make({.model = "x86-64-v3"}, everything()).features().xcr0_allowed, 7u);
  const auto unknown = CpuidModel::create({.model = "z80"}, everything());
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().message.find("pentium3"), std::string::npos);
  EXPECT_FALSE(CpuidModel::create({.cpu_count = 0}, everything()));
  EXPECT_FALSE(CpuidModel::create({.cpu_count = 256}, everything()));
  EXPECT_EQ(cpuid_model_names().front().name, "default");
}

// --- XSAVE: SDM vol. 1 ch. 13.

struct alignas(64) Area {
  u8 bytes[4096] = {};
};

// What the host's XRSTOR and XSAVE make of an area: the oracle for our own conversion.
__attribute__((noinline)) void host_round_trip(const Area& in, Area& out, u64 mask) {
  Area keep;
  const u32 low = static_cast<u32>(mask);
  u32 eax = 0xff;
  asm volatile(
      "xsave (%[keep])\n\t"
      "mov %[mask], %%eax\n\t"
      "xrstor (%[in])\n\t"
      "xsave (%[out])\n\t"
      "mov $0xff, %%eax\n\t"
      "xrstor (%[keep])\n\t"
      : "+a"(eax)
      : [keep] "r"(&keep), [in] "r"(&in), [out] "r"(&out), [mask] "r"(low), "d"(0)
      : "memory", "cc");
}

TEST(Xsave, LayoutMatchesTheHostAndLeaf0d) {
  const HostCpu host = HostCpu::probe();
  if (host.xcr0 == 0 || !host.intel_xsave_layout) GTEST_SKIP() << "host without Intel's XSAVE";
  const CpuidModel model = make({}, host);
  const u64 mask = model.features().xcr0_allowed;
  std::mt19937 random(7);
  Area standard;
  for (u8& b : standard.bytes) b = static_cast<u8>(random());
  std::memset(standard.bytes + kXsaveHeader, 0, 64);
  store_le<u32>(standard.bytes + kFxMxcsr, 0x1fa0);
  for (unsigned i = 6; i < 32; ++i) standard.bytes[i] = i >= 24 ? standard.bytes[i] : u8{0};
  store_le<u16>(standard.bytes + kFxFcw, 0x37f);
  store_le<u64>(standard.bytes + kXstateBv, mask);
  if ((model.words().xsave_eax & kXsavec) == 0) GTEST_SKIP() << "host without XSAVEC";
  for (const u64 requested : {mask, mask & ~u64{kXcr0Avx}, mask & kXcr0Avx512, u64{3}}) {
    Area compacted;
    xsave_export(standard.bytes, compacted.bytes, requested, true);
    EXPECT_FALSE(check_xrstor(compacted.bytes, mask, requested, true));
    Area by_host;
    host_round_trip(compacted, by_host, requested);
    Area by_us;
    xsave_import(by_us.bytes, compacted.bytes, requested);
    for (unsigned i = 2; i < 8; ++i) {
      const XsaveComponent c = xsave_component(i);
      if (!bit(requested, i) || c.size == 0) continue;
      EXPECT_EQ(std::memcmp(by_us.bytes + c.offset, by_host.bytes + c.offset, c.size), 0) << i;
    }
    if ((requested & kXcr0Sse) != 0) {
      EXPECT_EQ(std::memcmp(by_us.bytes + kFxXmm0, by_host.bytes + kFxXmm0, 256), 0);
      EXPECT_EQ(load_le<u32>(by_us.bytes + kFxMxcsr), 0x1fa0u);
    }
  }
}

TEST(Xsave, ImportOfAbsentComponentsInitializes) {
  Area area;
  Area standard;
  std::memset(standard.bytes, 0xaa, kXsaveBytes);
  std::memset(standard.bytes + kXsaveHeader, 0, 64);
  store_le<u64>(standard.bytes + kXstateBv, 7);
  store_le<u32>(area.bytes + kFxMxcsr, kMxcsrReset);
  xsave_import(standard.bytes, area.bytes, kXcr0X87 | kXcr0Avx);
  EXPECT_EQ(load_le<u16>(standard.bytes + kFxFcw), kFcwReset);
  EXPECT_EQ(standard.bytes[576], 0);
  EXPECT_EQ(standard.bytes[kFxXmm0], 0xaa);
  EXPECT_EQ(load_le<u32>(standard.bytes + kFxMxcsr), kMxcsrReset);  // AVX loads MXCSR too
}

TEST(Xsave, ExportOfUnusedComponentsWritesInitialValues) {  // SDM vol. 1 13.7
  Area standard;
  std::memset(standard.bytes, 0xaa, kXsaveBytes);
  std::memset(standard.bytes + kXsaveHeader, 0, 64);  // nothing in use: the bytes are stale
  Area area;
  std::memset(area.bytes, 0xbb, kXsaveBytes);
  xsave_export(standard.bytes, area.bytes, kXcr0X87 | kXcr0Avx, false);
  EXPECT_EQ(load_le<u16>(area.bytes + kFxFcw), kFcwReset);
  EXPECT_EQ(area.bytes[576], 0);
  EXPECT_EQ(area.bytes[kFxXmm0], 0xbb);
  EXPECT_EQ(load_le<u64>(area.bytes + kXstateBv) & 7, 2u);  // the bit of SSE was not asked for
}

TEST(Xsave, XrstorChecks) {  // SDM vol. 1 13.8.1, 13.8.2
  Area area;
  store_le<u32>(area.bytes + kFxMxcsr, kMxcsrReset);
  EXPECT_FALSE(check_xrstor(area.bytes, 7, 7, false));
  EXPECT_TRUE(check_xrstor(area.bytes, 7, 7, true));  // XRSTORS wants the compacted format
  store_le<u64>(area.bytes + kXstateBv, 8);
  EXPECT_TRUE(check_xrstor(area.bytes, 7, 7, false));
  store_le<u64>(area.bytes + kXstateBv, 7);
  store_le<u32>(area.bytes + kFxMxcsr, 0x10000);
  EXPECT_TRUE(check_xrstor(area.bytes, 7, 7, false));
  EXPECT_FALSE(check_xrstor(area.bytes, 7, 1, false));
  store_le<u32>(area.bytes + kFxMxcsr, kMxcsrReset);
  store_le<u64>(area.bytes + kXcompBv, kXcompBvCompacted | 3);
  EXPECT_TRUE(check_xrstor(area.bytes, 7, 7, false));  // XSTATE_BV names a component it lacks
  store_le<u64>(area.bytes + kXstateBv, 3);
  EXPECT_FALSE(check_xrstor(area.bytes, 7, 7, true));
  area.bytes[560] = 1;
  EXPECT_TRUE(check_xrstor(area.bytes, 7, 7, false));
}

TEST(Xsave, Sizes) {
  EXPECT_EQ(xsave_standard_bytes(3), 576u);
  EXPECT_EQ(xsave_standard_bytes(0xe7), 2688u);
  EXPECT_EQ(xsave_compacted_bytes(0xe7), 576u + 256 + 64 + 512 + 1024);
  EXPECT_EQ(xsave_compacted_offset(0xe3, 6), 576u + 64);
}

}  // namespace
}  // namespace emu::test
