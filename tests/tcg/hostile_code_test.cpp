// SPDX-License-Identifier: Apache-2.0
// Random bytes as guest code in every mode and privilege: the host process must survive, a kick
// must stop the guest, and memory must stay bounded. Exceptions lead to more random code.
#include <random>

#include "tcg/host_thread.h"
#include "tcg/small_guest.h"

namespace emu {
namespace {

constexpr u64 kCode = 0x10000, kCodeBytes = 0x10000;
constexpr u64 kTssAt = 0x182000, kGdt = SmallGuest::kGdtAt;
constexpr unsigned kGates = 64;

enum class Mode : u8 { kReal, kProtected16, kProtected32, kLong, kVm86 };

struct Case {
  Mode mode;
  unsigned ring;
  const char* name;
  bool native = false;  // in a process of its own
};

// Bytes that random numbers rarely hit and that reach deep: system opcodes and prefixes.
constexpr u8 kSeeds[][4] = {
    {0x0f, 0x01, 0xd0, 0},    {0x0f, 0x22, 0xc0, 0}, {0x0f, 0x22, 0xd8, 0},
    {0x0f, 0x22, 0xe0, 0},    {0x0f, 0x30, 0, 0},    {0x0f, 0x32, 0, 0},
    {0x0f, 0x05, 0, 0},       {0x0f, 0x34, 0, 0},    {0x0f, 0x00, 0xd8, 0},
    {0x0f, 0x01, 0x10, 0},    {0x0f, 0x01, 0x18, 0}, {0x0f, 0x01, 0x38, 0},
    {0xcf, 0, 0, 0},          {0xcb, 0, 0, 0},       {0x9d, 0, 0, 0},
    {0x0f, 0xae, 0x00, 0},    {0x0f, 0xae, 0x08, 0}, {0x0f, 0xc7, 0x20, 0},
    {0x0f, 0x23, 0xf8, 0},    {0xf3, 0xa4, 0, 0},    {0xf3, 0xab, 0, 0},
    {0x8e, 0xd0, 0, 0},       {0xff, 0x28, 0, 0},    {0xf0, 0x0f, 0xb1, 0x08},
    {0x62, 0xf1, 0x7c, 0x48}, {0xc5, 0xf8, 0x28, 0}, {0xd9, 0x30, 0, 0},
    {0xdd, 0x20, 0, 0},
};

class Fuzzed {
 public:
  Fuzzed(const Case& c, u32 seed) : random_(seed) {
    options_.code_cache_bytes = 4 * kMiB;
    if (c.native) options_.native_user = NativeUser::kAlways;
    guest_ = std::make_unique<SmallGuest>(options_);
    state_ = guest_->long_mode();
    fill();
    enter(c);
    if (c.native) make_fit();
  }

  [[nodiscard]] std::string counters() const { return guest_->cpu().counters(); }
  // Lets it run a moment, from several starts.
  void run() {
    for (unsigned start = 0; start < 3; ++start) {
      state_.rip =
          state_.protected_mode() ? kCode + random_() % kCodeBytes : random_() % kCodeBytes;
      for (unsigned r = 0; r < 16; ++r) {
        if (r != kRsp) state_.gpr[r] = random_register();
      }
      guest_->cpu().set_state(state_);
      std::thread runner([this] { static_cast<void>(guest_->cpu().run(*guest_)); });
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      guest_->cpu().kick();
      runner.join();  // a hang here is the failure
    }
  }

 private:
  u64 random64() { return (u64{random_()} << 32) | random_(); }
  // Small numbers, addresses of RAM and of the device, and anything.
  u64 random_register() {
    switch (random_() % 4) {
      case 0:
        return random_() % 256;
      case 1:
        return kCode + random_() % kCodeBytes;
      case 2:
        return SmallGuest::kMmioBase + random_() % kPageBytes;
      default:
        return random64();
    }
  }

  void fill() {
    u8* const ram = guest_->ram();
    for (u64 i = 0; i < kCodeBytes; ++i) ram[kCode + i] = static_cast<u8>(random_());
    for (unsigned i = 0; i < 2000; ++i) {
      const auto& seed = kSeeds[random_() % std::size(kSeeds)];
      std::copy_n(seed, 4, ram + kCode + random_() % (kCodeBytes - 4));
    }
  }

  void enter(const Case& c) {
    switch (c.mode) {
      case Mode::kReal:
        return enter_real();
      case Mode::kLong:
        return enter_long(c.ring);
      case Mode::kVm86:
        enter_protected(true, 3);
        state_.rflags |= kFlagVm | kFlagIopl;
        for (Segment& s : state_.segments) s = {kCode, 0xffff, static_cast<u16>(kCode >> 4), 0xf3};
        return;
      default:
        return enter_protected(c.mode == Mode::kProtected32, c.ring);
    }
  }

  void enter_real() {
    for (u64 v = 0; v < 256; ++v) {  // vectors into the code
      store_le(guest_->ram() + 4 * v, static_cast<u16>(random_()));
      store_le(guest_->ram() + 4 * v + 2, static_cast<u16>(kCode >> 4));
    }
    reset_cpu(state_, false);
    for (Segment& s : state_.segments) s = {kCode, 0xffff, static_cast<u16>(kCode >> 4), 0x93};
    state_.segments[kCs].attributes = 0x9b;
    state_.gpr[kRsp] = 0x8000;
  }

  void enter_long(unsigned ring) {
    for (unsigned v = 0; v < kGates; ++v) guest_->set_gate(v, kCode + random_() % kCodeBytes);
    state_.tr = {kTssAt, 0x67, 0, 0x008b};
    store_le(guest_->ram() + kTssAt + 4, u64{SmallGuest::kStackTop});
    if (ring == 0) return;
    state_.segments[kCs] = {0, 0xffffffff, 0x1b, 0xa0fb};
    for (unsigned i : {kDs, kEs, kSs, kFs, kGs}) state_.segments[i] = {0, 0xffffffff, 0x23, 0xc0f3};
  }

  // The selectors and extended state that native code needs.
  void make_fit() {
    store_le(guest_->ram() + SmallGuest::kGdtAt + 0x28, u64{0x00cff3000000ffff});
    store_le(guest_->ram() + SmallGuest::kGdtAt + 0x30, u64{0x00affb000000ffff});
    state_.gdtr.limit = 0x37;
    state_.segments[kCs].selector = 0x33;
    state_.segments[kSs].selector = 0x2b;
    for (unsigned i : {kDs, kEs, kFs, kGs}) state_.segments[i] = {0, 0, 0, kSegUnusable};
    state_.cr4 |= kCr4Osxsave;
    state_.xcr0 = host_vector_components();
  }

  void enter_protected(bool wide, unsigned ring) {
    const u64 big = wide ? u64{0xcf} << 48 : u64{0x8f} << 48;
    const u64 dpl = u64{ring} << 45;
    const u64 table[] = {0, 0x00009b000000ffff | big, 0x000093000000ffff | big,
                         0x00009b000000ffff | big | dpl, 0x000093000000ffff | big | dpl};
    std::memcpy(guest_->ram() + kGdt, table, sizeof table);
    for (unsigned v = 0; v < kGates; ++v) {
      const u64 to = kCode + random_() % kCodeBytes;
      store_le(guest_->ram() + SmallGuest::kIdtAt + 8 * v,
               (to & 0xffff) | u64{8} << 16 | u64{0xee00} << 32 | (to >> 16) << 48);
    }
    store_le(guest_->ram() + kTssAt + 4, static_cast<u32>(SmallGuest::kStackTop));
    store_le(guest_->ram() + kTssAt + 8, u16{0x10});
    state_.efer = 0;
    state_.cr0 &= ~kCr0Pg;
    state_.tr = {kTssAt, 0x67, 0, 0x008b};
    const auto attributes = static_cast<u16>((wide ? 0xc000 : 0x8000) | ring << 5);
    const auto selector = static_cast<u16>(ring == 0 ? 0x08 : 0x18 | ring);
    state_.segments[kCs] = {0, 0xffffffff, selector, static_cast<u16>(attributes | 0x9b)};
    for (unsigned i : {kDs, kEs, kSs, kFs, kGs}) {
      state_.segments[i] = {0, 0xffffffff, static_cast<u16>(selector + 8),
                            static_cast<u16>(attributes | 0x93)};
    }
  }

  std::mt19937 random_;
  TcgOptions options_;
  std::unique_ptr<SmallGuest> guest_;
  CpuState state_;
};

class HostileCode : public testing::TestWithParam<Case> {};

TEST_P(HostileCode, NeitherCrashesNorHangsTheHost) {
  // EMU_FUZZ_SEEDS=10000 for a long run.
  const char* const wanted = std::getenv("EMU_FUZZ_SEEDS");
  const u32 seeds = wanted != nullptr ? static_cast<u32>(std::atoi(wanted)) : 12;
  const char* const first = std::getenv("EMU_FUZZ_FIRST");
  const u32 from = first != nullptr ? static_cast<u32>(std::atoi(first)) : 0;
  bool was_native = !GetParam().native;
  for (u32 seed = from; seed < from + seeds; ++seed) {
    SCOPED_TRACE(seed);
    Fuzzed fuzzed(GetParam(), seed);
    fuzzed.run();
    const std::string counters = fuzzed.counters();
    was_native = was_native || counters.find("native_entries 0\n") == std::string::npos ||
                 counters.find("native_unavailable") != std::string::npos;
  }
  EXPECT_TRUE(was_native);
}

INSTANTIATE_TEST_SUITE_P(
    Modes, HostileCode,
    testing::Values(Case{Mode::kReal, 0, "Real"}, Case{Mode::kProtected16, 0, "Protected16Ring0"},
                    Case{Mode::kProtected16, 3, "Protected16Ring3"},
                    Case{Mode::kProtected32, 0, "Protected32Ring0"},
                    Case{Mode::kProtected32, 3, "Protected32Ring3"}, Case{Mode::kVm86, 3, "Vm86"},
                    Case{Mode::kLong, 0, "LongRing0"}, Case{Mode::kLong, 3, "LongRing3"},
                    Case{Mode::kLong, 3, "LongRing3Native", true}),
    [](const auto& c) { return std::string(c.param.name); });

// WRMSR and RDMSR of every index in the ranges that processors use, with three values each; #GP
// goes on with the next.
TEST(HostileCode, EveryMsrTakesAnything) {
  using namespace asmjit::x86;
  static constexpr u32 kRanges[][2] = {
      {0, 0x1100}, {0x40000000, 0x40000200}, {0xc0000081, 0xc0000200}, {0xc0010000, 0xc0010200}};
  for (const u64 value : {u64{0}, u64{0x5a}, ~u64{0}}) {
    SmallGuest g;
    CpuState s = g.long_mode();
    g.set_gate(kVectorGp, 0x50000);
    g.set_gate(kVectorUd, 0x50000);
    g.assemble(0x50000, [](Assembler& a) {
      a.add(rsp, 8);
      a.add(qword_ptr(rsp), 2);  // past the instruction
      a.iretq();
    });
    g.assemble(SmallGuest::kCodeAt, [value](Assembler& a) {
      for (const auto& [from, to] : kRanges) {
        const auto loop = a.newLabel();
        a.mov(ecx, from);
        a.bind(loop);
        a.mov(rax, value);
        a.mov(rdx, value);
        a.shr(rdx, 32);
        a.wrmsr();
        a.rdmsr();
        a.inc(ecx);
        a.cmp(ecx, to);
        a.jb(loop);
      }
      a.mov(eax, 1);
      a.out(0xf4, eax);
      a.hlt();
    });
    g.run(s);
    EXPECT_EQ(g.exit_value, 1u) << value;
  }
}

// A guest that rewrites its code all the time, or runs it from a device, fills memory with
// translations that nothing finds again: now and then they have to go.
TEST(HostileCode, DroppedTranslationsDoNotPileUp) {
  using namespace asmjit::x86;
  TcgOptions options;
  options.code_cache_bytes = 2 * kMiB;
  options.live_immediates = false;
  SmallGuest g(options);
  const CpuState s = g.long_mode();
  g.load(0x40000, {0xb8, 0, 0, 0, 0, 0xc3});  // mov eax, N; ret
  g.assemble(SmallGuest::kCodeAt, [](Assembler& a) {
    const auto loop = a.newLabel();
    a.mov(ecx, 10'000);
    a.bind(loop);
    a.mov(dword_ptr(u64{0x40001}), ecx);
    a.mov(ebx, 0x40000);
    a.call(rbx);
    a.dec(ecx);
    a.jnz(loop);
    a.out(0xf4, eax);
    a.hlt();
  });
  g.run(s);
  EXPECT_EQ(g.exit_value, 1u);
  const std::string counters = g.cpu().counters();
  EXPECT_EQ(counters.find("code_flushes 0\n"), std::string::npos) << counters;
}

}  // namespace
}  // namespace emu
