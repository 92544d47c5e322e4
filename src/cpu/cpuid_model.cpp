// SPDX-License-Identifier: Apache-2.0
// Building the CPUID table of a model.
// Source: Intel SDM vol. 2 CPUID; vol. 4 IA32_ARCH_CAPABILITIES; Linux kvm/x86/cpuid.rst.
#include "cpu/cpuid_model.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/bits.h"
#include "cpu/cpuid_bits.h"
#include "cpu/pv_clock_spec.h"
#include "cpu/xsave_layout.h"

namespace emu {
namespace {

using namespace cpuid;

// What the engines emulate themselves, whatever the host has.
constexpr CpuidFeatureWords kEmulated{kPcid | kX2apic | kTscDeadline | kHypervisor,
                                      kVme | kDe | kPse | kTsc | kMsr | kPae | kMce | kApic | kSep |
                                          kMtrr | kPge | kMca | kPat | kPse36 | kSelfSnoop,
                                      kFsgsbase | kTscAdjust | kSmep | kErms | kInvpcid | kSmap,
                                      kUmip | kRdpid,
                                      kFsrm | kSpecCtrl | kStibp | kArchCapabilities | kSsbd,
                                      kFzrm | kFsrs | kFsrc,
                                      0,
                                      kSyscall | kNx | kGiantPages | kRdtscp | kLongMode,
                                      0};

// What is offered if the host executes it.
constexpr CpuidFeatureWords kNative{
    kSse3 | kPclmul | kSsse3 | kFma | kCx16 | kSse41 | kSse42 | kMovbe | kPopcnt | kAes | kXsave |
        kAvx | kF16c | kRdrand,
    kFpu | kCx8 | kCmov | kClflush | kMmx | kFxsr | kSse | kSse2,
    kBmi1 | kAvx2 | kFdpExceptionOnly | kBmi2 | kZeroFcsFds | kAvx512f | kAvx512dq | kRdseed |
        kAdx | kAvx512ifma | kClflushopt | kClwb | kAvx512cd | kSha | kAvx512bw | kAvx512vl,
    kAvx512vbmi | kAvx512vbmi2 | kGfni | kVaes | kVpclmul | kAvx512vnni | kAvx512bitalg |
        kAvx512vpopcntdq | kCldemote | kMovdiri,
    kVp2intersect | kSerialize | kAvx512fp16,
    kAvxVnni | kAvx512bf16,
    kLahf | kLzcnt | kPrefetchw,
    0,
    kXsaveopt | kXsavec | kXgetbv1};

// Features that need the AVX or the AVX-512 state components.
constexpr CpuidFeatureWords kNeedsAvx{
    kFma | kAvx | kF16c, 0, kAvx2, kVaes | kVpclmul, 0, kAvxVnni, 0, 0, 0};
constexpr CpuidFeatureWords kNeedsAvx512{
    0,
    0,
    kAvx512f | kAvx512dq | kAvx512ifma | kAvx512cd | kAvx512bw | kAvx512vl,
    kAvx512vbmi | kAvx512vbmi2 | kAvx512vnni | kAvx512bitalg | kAvx512vpopcntdq,
    kVp2intersect | kAvx512fp16,
    kAvx512bf16,
    0,
    0,
    0};

template <class F>
CpuidFeatureWords combine(const CpuidFeatureWords& a, const CpuidFeatureWords& b, F f) {
  return {f(a.leaf1_ecx, b.leaf1_ecx), f(a.leaf1_edx, b.leaf1_edx), f(a.leaf7_ebx, b.leaf7_ebx),
          f(a.leaf7_ecx, b.leaf7_ecx), f(a.leaf7_edx, b.leaf7_edx), f(a.leaf7_1_eax, b.leaf7_1_eax),
          f(a.ext1_ecx, b.ext1_ecx),   f(a.ext1_edx, b.ext1_edx),   f(a.xsave_eax, b.xsave_eax)};
}

CpuidFeatureWords both(const CpuidFeatureWords& a, const CpuidFeatureWords& b) {
  return combine(a, b, [](u32 x, u32 y) { return x & y; });
}
CpuidFeatureWords either(const CpuidFeatureWords& a, const CpuidFeatureWords& b) {
  return combine(a, b, [](u32 x, u32 y) { return x | y; });
}
CpuidFeatureWords without(const CpuidFeatureWords& a, const CpuidFeatureWords& b) {
  return combine(a, b, [](u32 x, u32 y) { return x & ~y; });
}

constexpr u32 kAll = 0xffffffff;
constexpr CpuidFeatureWords kEverything{kAll, kAll, kAll, kAll, kAll, kAll, kAll, kAll, kAll};

constexpr u32 kBaselineEdx = kFpu | kVme | kDe | kPse | kTsc | kMsr | kPae | kMce | kCx8 | kApic |
                             kSep | kMtrr | kPge | kMca | kCmov | kPat | kPse36 | kClflush | kMmx |
                             kFxsr | kSse | kSse2 | kSelfSnoop;
constexpr u32 kVirtual = kHypervisor | kX2apic | kTscDeadline;
// Host behaviours that show through natively executed x87 code and cannot be hidden.
constexpr u32 kX87Facts = kFdpExceptionOnly | kZeroFcsFds;
constexpr u32 kNoBugs = kSpecCtrl | kStibp | kArchCapabilities | kSsbd;
constexpr u32 kExt64 = kSyscall | kNx | kRdtscp | kLongMode;

// A model: which of the supported features it shows, and who it says it is. Signature 0 is the
// host's own (or kFallbackSignature on a host of another vendor).
struct Model {
  std::string_view name;
  std::string_view description;
  u32 signature;
  u32 max_basic;
  CpuidFeatureWords words;
  u8 phys_bits;
};

constexpr u32 kFallbackSignature = 0x000606a6;
constexpr CpuidFeatureWords kQemu64{
    kSse3 | kCx16 | kVirtual, kBaselineEdx, kX87Facts, 0, kNoBugs, 0, kLahf, kExt64, 0};
constexpr CpuidFeatureWords kV2{kQemu64.leaf1_ecx | kSsse3 | kSse41 | kSse42 | kPopcnt,
                                kBaselineEdx,
                                kX87Facts,
                                0,
                                kNoBugs,
                                0,
                                kLahf,
                                kExt64,
                                0};
constexpr CpuidFeatureWords kV3{
    kV2.leaf1_ecx | kFma | kMovbe | kXsave | kAvx | kF16c | kPcid | kAes | kPclmul,
    kBaselineEdx,
    kX87Facts | kBmi1 | kAvx2 | kBmi2 | kFsgsbase | kSmep | kErms | kInvpcid | kSmap,
    kUmip,
    kNoBugs,
    0,
    kLahf | kLzcnt,
    kExt64 | kGiantPages,
    kXsaveopt};
constexpr CpuidFeatureWords kPentium3{
    0, kBaselineEdx & ~(kSse2 | kClflush | kSelfSnoop), 0, 0, 0, 0, 0, 0, 0};

constexpr Model kModels[] = {
    {"default", "everything the host and the engine support", 0, 0x1f, kEverything, 40},
    {"host", "the same as default", 0, 0x1f, kEverything, 40},
    {"max", "the same as default", 0, 0x1f, kEverything, 40},
    {"qemu64", "64-bit baseline (x86-64-v1)", 0x6fb, 0x16, kQemu64, 40},
    {"x86-64-v2", "64-bit with SSE4.2", 0x106a3, 0x16, kV2, 40},
    {"x86-64-v3", "64-bit with AVX2", 0x306c3, 0x16, kV3, 40},
    {"pentium3", "32-bit with SSE, for old systems", 0x683, 2, kPentium3, 36},
};

const Model* find_model(std::string_view name) {
  for (const Model& model : kModels) {
    if (model.name == name) return &model;
  }
  return nullptr;
}

std::string known_names() {
  std::string text;
  for (const Model& model : kModels) {
    if (!text.empty()) text += ", ";
    text += model.name;
  }
  return text;
}

// The state components a guest may enable.
u64 usable_xcr0(const HostCpu& host) {
  u64 usable = host.xcr0 & (kXcr0X87 | kXcr0Sse | kXcr0Avx | kXcr0Avx512);
  const bool avx512 = (usable & kXcr0Avx512) == kXcr0Avx512 && host.intel_xsave_layout;
  return avx512 ? usable : usable & ~kXcr0Avx512;
}

// Drops what depends on something that is missing.
CpuidFeatureWords consistent(CpuidFeatureWords words, u64 xcr0) {
  if ((words.leaf1_ecx & kXsave) == 0) xcr0 = 0;
  if ((xcr0 & kXcr0Avx) == 0) words.leaf1_ecx &= ~kAvx;
  if ((words.leaf1_ecx & kAvx) == 0) words = without(words, either(kNeedsAvx, kNeedsAvx512));
  if ((xcr0 & kXcr0Avx512) == 0) words.leaf7_ebx &= ~kAvx512f;
  if ((words.leaf7_ebx & kAvx512f) == 0) words = without(words, kNeedsAvx512);
  if ((words.leaf1_ecx & kXsave) == 0) words.xsave_eax = 0;
  // XSAVES and XRSTORS are executed as XSAVEC and XRSTOR: there is no supervisor state.
  constexpr u32 kCompaction = kXsavec | kXgetbv1;
  const bool offers_xsaves = (words.xsave_eax & kCompaction) == kCompaction;
  words.xsave_eax = offers_xsaves ? words.xsave_eax | kXsaves : words.xsave_eax & ~kXsaves;
  return words;
}

// IA32_ARCH_CAPABILITIES: a guest cannot fix the host's speculation from inside, so it is told
// that there is nothing to fix (bits 0 RDCL_NO, 1 IBRS_ALL, 3 SKIP_L1DFL_VMENTRY, 4 SSB_NO, 5
// MDS_NO, 6 PSCHANGE_MC_NO, 8 TAA_NO, 13 SBDR_SSDP_NO, 14 FBSDP_NO, 15 PSDP_NO, 20 BHI_NO,
// 24 PBRSB_NO, 26 GDS_NO, 27 RFDS_NO, 62 ITS_NO).
constexpr u64 kArchCapabilitiesValue = u64{1} << 0 | u64{1} << 1 | u64{1} << 3 | u64{1} << 4 |
                                       u64{1} << 5 | u64{1} << 6 | u64{1} << 8 | u64{1} << 13 |
                                       u64{1} << 14 | u64{1} << 15 | u64{1} << 20 | u64{1} << 24 |
                                       u64{1} << 26 | u64{1} << 27 | u64{1} << 62;

u64 cr4_allowed(const CpuidFeatureWords& w) {
  u64 allowed = kCr4Pce;
  const auto offer = [&](bool has, u64 bits_offered) { allowed |= has ? bits_offered : 0; };
  offer((w.leaf1_edx & kVme) != 0, kCr4Vme | kCr4Pvi);
  offer((w.leaf1_edx & kTsc) != 0, kCr4Tsd);
  offer((w.leaf1_edx & kDe) != 0, kCr4De);
  offer((w.leaf1_edx & kPse) != 0, kCr4Pse);
  offer((w.leaf1_edx & kPae) != 0, kCr4Pae);
  offer((w.leaf1_edx & kMce) != 0, kCr4Mce);
  offer((w.leaf1_edx & kPge) != 0, kCr4Pge);
  offer((w.leaf1_edx & kFxsr) != 0, kCr4Osfxsr);
  offer((w.leaf1_edx & kSse) != 0, kCr4Osxmmexcpt);
  offer((w.leaf1_ecx & kPcid) != 0, kCr4Pcide);
  offer((w.leaf1_ecx & kXsave) != 0, kCr4Osxsave);
  offer((w.leaf7_ebx & kFsgsbase) != 0, kCr4Fsgsbase);
  offer((w.leaf7_ebx & kSmep) != 0, kCr4Smep);
  offer((w.leaf7_ebx & kSmap) != 0, kCr4Smap);
  offer((w.leaf7_ecx & kUmip) != 0, kCr4Umip);
  offer((w.leaf7_ecx & kPku) != 0, kCr4Pke);
  return allowed;
}

u64 efer_allowed(const CpuidFeatureWords& w) {
  u64 allowed = 0;
  if ((w.ext1_edx & kSyscall) != 0) allowed |= kEferSce;
  if ((w.ext1_edx & kLongMode) != 0) allowed |= kEferLme | kEferLma;
  if ((w.ext1_edx & kNx) != 0) allowed |= kEferNxe;
  return allowed;
}

u64 xcr0_allowed(const CpuidFeatureWords& w) {
  if ((w.leaf1_ecx & kXsave) == 0) return 0;
  u64 allowed = kXcr0X87 | kXcr0Sse;
  if ((w.leaf1_ecx & kAvx) != 0) allowed |= kXcr0Avx;
  if ((w.leaf7_ebx & kAvx512f) != 0) allowed |= kXcr0Avx512;
  return allowed;
}

CpuFeatures derive_features(const CpuidFeatureWords& w, const Model& model, u64 tsc_hz) {
  CpuFeatures f;
  f.cr4_allowed = cr4_allowed(w);
  f.efer_allowed = efer_allowed(w);
  f.xcr0_allowed = xcr0_allowed(w);
  f.xss_allowed = 0;
  if ((w.leaf7_edx & kSpecCtrl) != 0) f.spec_ctrl_allowed |= 1 | 1u << 10;  // IBRS, BHI_DIS_S
  if ((w.leaf7_edx & kStibp) != 0) f.spec_ctrl_allowed |= 2;
  if ((w.leaf7_edx & kSsbd) != 0) f.spec_ctrl_allowed |= 4;
  f.arch_capabilities_msr = (w.leaf7_edx & kArchCapabilities) != 0;
  f.arch_capabilities = kArchCapabilitiesValue;
  f.pred_cmd = (w.leaf7_edx & kSpecCtrl) != 0;
  f.tsc_hz = tsc_hz;
  f.phys_bits = model.phys_bits;
  f.long_mode = (w.ext1_edx & kLongMode) != 0;
  f.sysenter = (w.leaf1_edx & kSep) != 0;
  f.rdtscp = (w.ext1_edx & kRdtscp) != 0;
  f.tsc_adjust = (w.leaf7_ebx & kTscAdjust) != 0;
  f.pat = (w.leaf1_edx & kPat) != 0;
  f.mtrr = (w.leaf1_edx & kMtrr) != 0;
  f.pse36 = (w.leaf1_edx & kPse36) != 0;
  f.giant_pages = (w.ext1_edx & kGiantPages) != 0;
  return f;
}

// Leaf 4: one row per cache; sizes are fixed so that they do not depend on the host.
struct Cache {
  u32 type;  // 1 data, 2 instruction, 3 unified
  u32 level;
  u32 ways;
  u32 sets;
  bool shared;  // by all processors of the package
};
constexpr Cache kCaches[] = {
    {1, 1, 8, 64, false}, {2, 1, 8, 64, false}, {3, 2, 16, 2048, false}, {3, 3, 16, 32768, true}};

// Leaf 15h: TSC Hz = ECX * EBX / EAX. Linux computes crystal kHz * EBX in 32 bits, which bounds
// the terms; the best fraction within the bounds is off by less than one part in a million.
CpuidResult tsc_ratio(u64 tsc_hz, u64 crystal_hz) {
  const u64 crystal_khz = crystal_hz / 1000;
  const double wanted = static_cast<double>(tsc_hz) / static_cast<double>(crystal_hz);
  CpuidResult best;
  double best_error = 1e300;
  for (u32 denominator = 1; denominator <= 4096; ++denominator) {
    const double numerator = std::round(wanted * denominator);
    if (numerator < 1 || numerator * static_cast<double>(crystal_khz) > 4294967295.0) continue;
    const double error = std::fabs(numerator / denominator - wanted);
    if (error >= best_error) continue;
    best_error = error;
    best = {denominator, static_cast<u32>(numerator), static_cast<u32>(crystal_hz), 0};
  }
  return best;
}

}  // namespace

// Fills a CpuidModel leaf by leaf.
class CpuidBuilder {
 public:
  CpuidBuilder(CpuidModel& model, const Model& row, const CpuidConfig& config, u32 signature)
      : out_(model), row_(row), config_(config), signature_(signature) {}

  void build() {
    add_basic();
    add_caches();
    if (row_.max_basic >= 7) add_modern();
    add_hypervisor();
    add_extended();
  }

 private:
  void row(u32 leaf, const CpuidResult& value) { out_.rows_.push_back({leaf, 0, true, value}); }
  void row(u32 leaf, u32 subleaf, const CpuidResult& value) {
    out_.rows_.push_back({leaf, subleaf, false, value});
  }
  [[nodiscard]] u32 id_bits() const { return std::bit_width(config_.cpu_count - 1); }

  void add_basic() {
    const CpuidFeatureWords& w = out_.words_;
    out_.max_basic_ = row_.max_basic;
    row(0, {row_.max_basic, 0x756e6547, 0x6c65746e, 0x49656e69});  // GenuineIntel
    const bool several = config_.cpu_count > 1;
    const u32 count = std::min(1u << id_bits(), 255u);
    const u32 clflush_line = (w.leaf1_edx & kClflush) != 0 ? 8u << 8 : 0;
    row(1,
        {signature_, count << 16 | clflush_line, w.leaf1_ecx, w.leaf1_edx | (several ? kHtt : 0)});
    row(2, {0x00feff01, 0xf0, 0, 0});  // "see leaf 4", 64-byte prefetch
  }

  void add_caches() {
    if (row_.max_basic < 4) return;
    const u32 cores = (1u << id_bits()) - 1;
    for (u32 i = 0; i < std::size(kCaches); ++i) {
      const Cache& cache = kCaches[i];
      const u32 sharing = cache.shared ? cores : 0;
      row(4, i,
          {cache.type | cache.level << 5 | 1u << 8 | sharing << 14 | std::min(cores, 63u) << 26,
           63 | (cache.ways - 1) << 22, cache.sets - 1, 0});
    }
  }

  void add_modern() {
    const CpuidFeatureWords& w = out_.words_;
    row(6, {4, 0, 0, 0});  // ARAT: the APIC timer never stops
    row(7, 0, {2, w.leaf7_ebx, w.leaf7_ecx, w.leaf7_edx});
    row(7, 1, {w.leaf7_1_eax, 0, 0, 0});
    // MCDT_NO, and BHI_DIS_S: without it Linux clears the branch history on every system call.
    row(7, 2, {0, 0, 0, (w.leaf7_edx & kSpecCtrl) != 0 ? kBhiCtrl | kMcdtNo : 0});
    add_topology(0xb);
    if (out_.features_.xcr0_allowed != 0) add_xsave();
    if (config_.tsc_hz != 0) {
      const u32 mhz = static_cast<u32>((config_.tsc_hz + 500'000) / 1'000'000);
      row(0x15, tsc_ratio(config_.tsc_hz, config_.apic_bus_hz));
      row(0x16, {mhz, mhz, 100, 0});
    }
    if (row_.max_basic >= 0x1f) add_topology(0x1f);
  }

  // EDX (x2APIC id) and the subleaf number in ECX are filled in by lookup().
  void add_topology(u32 leaf) {
    row(leaf, 0, {0, 1, 1u << 8, 0});
    row(leaf, 1, {id_bits(), config_.cpu_count, 2u << 8 | 1, 0});
  }

  void add_xsave() {
    const u64 xcr0 = out_.features_.xcr0_allowed;
    const u32 bytes = xsave_standard_bytes(xcr0);
    row(0xd, 0, {static_cast<u32>(xcr0), bytes, bytes, 0});
    row(0xd, 1, {out_.words_.xsave_eax, xsave_compacted_bytes(xcr0), 0, 0});
    for (unsigned i = 2; i < 10; ++i) {
      const XsaveComponent c = xsave_component(i);
      if (bit(xcr0, i) && c.size != 0) row(0xd, i, {c.size, c.offset, 0, 0});
    }
  }

  // The KVM interface with its clock and "port 80h delays are not needed", and the timing leaf that
  // several systems read before they calibrate.
  void add_hypervisor() {
    if ((out_.words_.leaf1_ecx & kHypervisor) == 0) return;
    out_.max_hypervisor_ = 0x40000010;
    row(0x40000000, {0x40000010, 0x4b4d564b, 0x564b4d56, 0x4d});
    row(0x40000001, {kPvNoIoDelay | kPvClockMsrs | kPvClockStable, 0, 0, 0});
    row(0x40000010, {static_cast<u32>(config_.tsc_hz / 1000),
                     static_cast<u32>(config_.apic_bus_hz / 1000), 0, 0});
  }

  void add_extended() {
    const CpuidFeatureWords& w = out_.words_;
    const bool modern = (w.ext1_edx & kLongMode) != 0;
    out_.max_extended_ = modern ? 0x80000008 : 0x80000004;
    row(0x80000000, {out_.max_extended_, 0, 0, 0});
    row(0x80000001, {0, 0, w.ext1_ecx, w.ext1_edx});
    add_brand();
    if (!modern) return;
    row(0x80000006, {0, 0, 0x08008040, 0});  // L2: 2 MiB, 16-way, 64-byte lines
    row(0x80000007, {0, 0, 0, 1u << 8});     // invariant TSC
    row(0x80000008, {row_.phys_bits | 48u << 8, 0, 0, 0});
  }

  void add_brand() {
    std::string brand = "emu ";
    brand += row_.name;
    brand += " processor";
    brand.resize(48, '\0');
    const auto word = [&](u32 i) { return load_le<u32>(brand.data() + i * 4); };
    for (u32 i = 0; i < 3; ++i) {
      row(0x80000002 + i, {word(i * 4), word(i * 4 + 1), word(i * 4 + 2), word(i * 4 + 3)});
    }
  }

  CpuidModel& out_;
  const Model& row_;
  const CpuidConfig& config_;
  u32 signature_;
};

Result<CpuidModel> CpuidModel::create(const CpuidConfig& config, const HostCpu& host) {
  const Model* row = find_model(config.model);
  if (row == nullptr) {
    return fail("unknown CPU model '{}'; known models: {}", config.model, known_names());
  }
  if (config.cpu_count < 1 || config.cpu_count > 255) {
    return fail("{} processors are not possible; choose 1 to 255", config.cpu_count);
  }
  CpuidModel model;
  const u64 xcr0 = usable_xcr0(host);
  const CpuidFeatureWords supported = either(kEmulated, both(kNative, host.words));
  model.words_ = consistent(both(row->words, supported), xcr0);
  model.features_ = derive_features(model.words_, *row, config.tsc_hz);
  const u32 own = host.is_intel ? host.signature : kFallbackSignature;
  CpuidBuilder(model, *row, config, row->signature != 0 ? row->signature : own).build();
  return model;
}

const std::vector<CpuidModelName>& cpuid_model_names() {
  static const std::vector<CpuidModelName> names = [] {
    std::vector<CpuidModelName> list;
    for (const Model& model : kModels) list.push_back({model.name, model.description});
    return list;
  }();
  return names;
}

}  // namespace emu
