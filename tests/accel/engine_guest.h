// SPDX-License-Identifier: Apache-2.0
// A machine of RAM, ROM, a device page and one or two processors of either engine, for small guests
// that both must run alike.
#pragma once

#include <asmjit/x86.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/bits.h"
#include "cpu/cpuid_model.h"
#include "kvm/kvm_accelerator.h"
#include "kvm/kvm_probe.h"
#include "kvm/kvm_vm.h"
#include "tcg/tcg_accelerator.h"

namespace emu {

enum class Engine : u8 { kTranslator, kKvm };

inline std::string engine_name(Engine engine) {
  return engine == Engine::kKvm ? "kvm" : "translator";
}

// Why this host has no such engine; empty if it has.
inline std::string engine_missing(Engine engine) {
  if (engine == Engine::kTranslator) return {};
  const auto vm = KvmVm::open(make_kvm_host());
  return vm ? "" : vm.error().message;
}

// Whether it executes kernel-mode code in software.
inline bool is_emulated(Engine engine) {
  return engine == Engine::kKvm && probe_kvm(make_kvm_host()).state == KvmState::kEmulated;
}

// What a backend cannot execute is a gap of this host, not of the engine: the test is skipped with
// the engine's own sentence.
#define SKIP_IF_BACKEND_CANNOT(guest)                                \
  do {                                                               \
    if (!(guest).cannot().empty()) GTEST_SKIP() << (guest).cannot(); \
  } while (false)

// Port E9h collects bytes, port F4h ends the run with its value, F5h interrupts the processor that
// writes it, F9h sends it an NMI, FAh counts. F6h, F7h and F8h send the other processor an
// interrupt, INIT and SIPI. MMIO at kMmioBase is an array of registers; ROM at kRomBase tells of
// writes.
class EngineGuest : public CpuBus, public IoHandler {
 public:
  static constexpr u64 kRamBytes = 4 * kMiB, kHighBytes = 1 * kMiB;
  static constexpr u64 kMmioBase = 0x4000'0000, kRomBase = 0x4010'0000, kWindowBase = 0x4020'0000;
  static constexpr u64 kHighBase = 0x1'0000'0000;
  static constexpr u64 kCodeAt = 0x10000, kHandlersAt = 0x30000, kTablesAt = 0x100000;
  static constexpr u64 kIdtAt = 0x180000, kGdtAt = 0x181000, kTssAt = 0x182000;
  static constexpr u64 kStackTop = 0x90000, kUserStackTop = 0xa0000;
  static constexpr u32 kStopped = 0xdead;  // exit_value if a processor shut down

  explicit EngineGuest(Engine engine, unsigned cpus = 1)
      : root_(Region::container("root", u64{1} << 40)),
        ram_(*GuestRam::create("ram", kRamBytes)),
        high_(*GuestRam::create("high", kHighBytes)),
        rom_(*GuestRam::create("rom", 16 * kPageBytes)),
        ram_region_(Region::ram("ram", *ram_, 0, kRamBytes)),
        high_region_(Region::ram("high", *high_, 0, kHighBytes)),
        mmio_region_(Region::mmio("regs", kPageBytes, *this, {1, 8, true})),
        rom_region_(Region::rom("rom", *rom_, 0, 16 * kPageBytes, &rom_writes_)),
        window_(Region::alias("window", *ram_region_, 0x200000, 2 * kPageBytes)),
        space_(*root_),
        model_(*CpuidModel::create({"default", cpus, 2'000'000'000, 1'000'000'000})) {
    root_->add(*ram_region_, 0);
    root_->add(*high_region_, kHighBase);
    root_->add(*mmio_region_, kMmioBase);
    root_->add(*rom_region_, kRomBase);
    root_->add(*window_, kWindowBase);
    auto made = engine == Engine::kKvm ? create_kvm(space_, clock_, make_kvm_host())
                                       : create_tcg(space_, clock_, TcgOptions{});
    EXPECT_TRUE(made) << (made ? "" : made.error().message);
    engine_ = std::move(*made);
    for (unsigned i = 0; i < cpus; ++i) {
      auto cpu = engine_->create_vcpu({i, i, &model_});
      EXPECT_TRUE(cpu) << (cpu ? "" : cpu.error().message);
      (i == 0 ? cpu_ : second_cpu_) = std::move(*cpu);
    }
    second_bus_.cpu_ = second_cpu_.get();
    fill_tables();
  }

  u8* ram() { return ram_->host(); }
  u8* high() { return high_->host(); }
  u8* rom() { return rom_->host(); }
  GuestRam& block() { return *ram_; }
  GuestRam& high_block() { return *high_; }
  Region& window() { return *window_; }
  VCpu& cpu() { return *cpu_; }
  u64 at(u64 address) { return load_le<u64>(ram() + address); }

  // 64-bit code for `address` in RAM.
  void assemble(u64 address, const std::function<void(asmjit::x86::Assembler&)>& body) {
    asmjit::CodeHolder code;
    code.init(asmjit::Environment::host(), address);
    asmjit::x86::Assembler a(&code);
    body(a);
    code.flatten();
    code.resolveUnresolvedLinks();
    code.relocateToBase(address);
    code.copyFlattenedData(ram() + address, kRamBytes - address);
    ram_->mark_written(address, code.codeSize());
  }
  // The main program, which ends with port F4h.
  void program(const std::function<void(asmjit::x86::Assembler&)>& body) {
    assemble(kCodeAt, body);
  }
  // A handler for `vector`, each on its own half KiB.
  void handler(unsigned vector, const std::function<void(asmjit::x86::Assembler&)>& body) {
    const u64 address = kHandlersAt + u64{vector} * 512;
    set_gate(vector, address);
    assemble(address, body);
  }

  // 64-bit mode, CPL 0; everything above identity-mapped for all levels.
  CpuState long_mode() {
    CpuState s;
    reset_cpu(s, false);
    s.cr0 = kCr0Pe | kCr0Et | kCr0Ne | kCr0Wp | kCr0Pg;
    s.cr4 = kCr4Pae | kCr4Osfxsr | kCr4Osxmmexcpt;
    s.efer = kEferLme | kEferLma | kEferNxe | kEferSce;
    s.cr3 = kTablesAt;
    s.gdtr = {kGdtAt, 10 * 8 - 1, {}};
    s.idtr = {kIdtAt, 0xfff, {}};
    s.segments[kCs] = {0, 0xffffffff, 8, 0xa09b};
    for (unsigned i : {kDs, kEs, kSs, kFs, kGs}) s.segments[i] = {0, 0xffffffff, 16, 0xc093};
    s.tr = {kTssAt, 0x67, 0x40, 0x008b};
    s.rip = kCodeAt;
    s.gpr[kRsp] = kStackTop;
    return s;
  }
  // 16-bit real mode at kCodeAt's segment.
  CpuState real_mode() {
    CpuState s;
    reset_cpu(s, false);
    s.segments[kCs] = {kCodeAt, 0xffff, kCodeAt >> 4, 0x9b};
    s.rip = 0;
    s.gpr[kRsp] = 0x7000;
    return s;
  }

  StopReason run(const CpuState& s) {
    cpu_->set_state(s);
    return go_on();
  }
  StopReason go_on() {
    StopReason reason = cpu_->run(*this);
    note(reason);
    return reason;
  }
  // Both processors at once, until both have stopped.
  void run_both(const CpuState& first, const CpuState& second) {
    cpu_->set_state(first);
    second_cpu_->set_state(second);
    std::thread other([this] { run_until_end(*second_cpu_, second_bus_); });
    run_until_end(*cpu_, *this);
    other.join();
  }
  CpuState state() {
    CpuState s;
    cpu_->state(s);
    return s;
  }
  // A backend's gap that this run met; empty if none.
  const std::string& cannot() const { return cannot_; }

  // What happened.
  std::string output;
  u32 exit_value = ~0u;
  std::vector<std::pair<unsigned, u32>> outs;  // port FAh: width, value
  u64 registers[512] = {};
  unsigned mmio_reads = 0, mmio_writes = 0;
  std::vector<u8> interrupts;  // vectors to hand out
  struct RomWrites final : IoHandler {
    u64 read(u64, unsigned) override { return 0; }
    void write(u64 offset, unsigned size, u64 value) override {
      all.push_back({offset, size, value});
    }
    struct One {
      u64 offset;
      unsigned size;
      u64 value;
    };
    std::vector<One> all;
  } rom_writes_;
  std::function<void(u32)> on_call;  // port FBh

  // CpuBus
  u32 read_port(u16 port, unsigned size) override {
    return port == 0xfa ? 0x81828384u >> (8 * (4 - size)) : 0xffffffff;
  }
  void write_port(u16 port, unsigned size, u32 value) override {
    if (port == 0xfb && on_call) return on_call(value);
    const std::lock_guard guard(lock_);
    if (port == 0xe9) output.push_back(static_cast<char>(value));
    if (port == 0xf4) end(value);
    if (port == 0xfa) outs.emplace_back(size, value);
    if (port == 0xf9) cpu_->raise_nmi();
    if (port == 0xf5) {
      interrupts.push_back(static_cast<u8>(value));
      cpu_->set_interrupt_line(true);
    }
    if (second_cpu_) signal(second_bus_.interrupts_, *second_cpu_, port, value);
  }
  u64 read_mmio(PhysAddr a, unsigned size) override {
    const std::lock_guard guard(lock_);
    u64 v = 0;
    space_.read(a.value, {reinterpret_cast<u8*>(&v), size});
    return v;
  }
  void write_mmio(PhysAddr a, unsigned size, u64 v) override {
    const std::lock_guard guard(lock_);
    space_.write(a.value, {reinterpret_cast<const u8*>(&v), size});
  }
  std::optional<u8> acknowledge_interrupt() override { return take(interrupts, *cpu_); }
  u8 task_priority() override { return priority; }
  void set_task_priority(u8 p) override { priority = p; }
  std::optional<u64> read_msr(u32 index) override {
    return index == 0x1b ? std::optional<u64>(0xfee00900) : std::nullopt;
  }
  bool write_msr(u32 index, u64 value) override {
    if (index != 0x6e0) return false;
    deadline = value;
    return true;
  }
  void smm_changed(bool) override {}
  u8 priority = 0;
  u64 deadline = 0;

  // IoHandler: the MMIO page.
  u64 read(u64 offset, unsigned size) override {
    ++mmio_reads;
    u64 v = 0;
    std::memcpy(&v, reinterpret_cast<u8*>(registers) + offset, size);
    return v;
  }
  void write(u64 offset, unsigned size, u64 value) override {
    ++mmio_writes;
    std::memcpy(reinterpret_cast<u8*>(registers) + offset, &value, size);
  }
  void request(u8 vector) {
    const std::lock_guard guard(lock_);
    interrupts.push_back(vector);
    cpu_->set_interrupt_line(true);
  }

 private:
  class SecondBus final : public CpuBus {
   public:
    explicit SecondBus(EngineGuest& guest) : guest_(guest) {}
    u32 read_port(u16 port, unsigned size) override { return guest_.read_port(port, size); }
    void write_port(u16 port, unsigned, u32 value) override {
      const std::lock_guard guard(guest_.lock_);
      if (port == 0xe9) guest_.output.push_back(static_cast<char>(value));
      if (port == 0xf4) guest_.end(value);
      guest_.signal(guest_.interrupts, *guest_.cpu_, port, value);
    }
    u64 read_mmio(PhysAddr a, unsigned size) override { return guest_.read_mmio(a, size); }
    void write_mmio(PhysAddr a, unsigned size, u64 v) override { guest_.write_mmio(a, size, v); }
    std::optional<u8> acknowledge_interrupt() override { return guest_.take(interrupts_, *cpu_); }
    u8 task_priority() override { return 0; }
    void set_task_priority(u8) override {}
    std::optional<u64> read_msr(u32) override { return std::nullopt; }
    bool write_msr(u32, u64) override { return false; }
    void smm_changed(bool) override {}

    VCpu* cpu_ = nullptr;
    std::vector<u8> interrupts_;

   private:
    EngineGuest& guest_;
  };

  void fill_tables() {
    u8* t = ram() + kTablesAt;
    store_le(t, u64{kTablesAt + 0x1000} | 7);
    for (u64 g = 0; g < 5; ++g) {  // GiB 0, 1 and 4 have tables
      if (g == 2 || g == 3) continue;
      const u64 at = kTablesAt + 0x2000 + g * 0x1000;
      store_le(t + 0x1000 + 8 * g, at | 7);
      for (u64 i = 0; i < 512; ++i) store_le(ram() + at + 8 * i, (g * kGiB + (i << 21)) | 0xe7);
    }
    const u64 gdt[] = {0,
                       0x00af9b000000ffff,
                       0x00cf93000000ffff,
                       0,
                       0,
                       0x00cff3000000ffff,  // 28h, 30h: user data and code, where Linux has them
                       0x00affb000000ffff,
                       0,
                       0x00008b0000000067 | kTssAt << 16,
                       0};
    std::memcpy(ram() + kGdtAt, gdt, sizeof gdt);
    store_le(ram() + kTssAt + 4, u64{kStackTop});  // RSP0
    ram_->mark_written(0, kRamBytes);
  }
  void set_gate(unsigned vector, u64 to) {
    u8* g = ram() + kIdtAt + 16 * vector;
    store_le(g, (to & 0xffff) | (u64{8} << 16) | (u64{0x8e00} << 32) | ((to >> 16 & 0xffff) << 48));
    store_le(g + 8, to >> 32);
  }
  void end(u32 value) {
    exit_value = value;
    ended_ = true;
    cpu_->kick();
    if (second_cpu_) second_cpu_->kick();
  }
  void signal(std::vector<u8>& queue, VCpu& to, u16 port, u32 value) {
    if (port == 0xf6) {
      queue.push_back(static_cast<u8>(value));
      to.set_interrupt_line(true);
    }
    if (port == 0xf7) to.raise_init();
    if (port == 0xf8) to.raise_sipi(static_cast<u8>(value));
  }
  std::optional<u8> take(std::vector<u8>& queue, VCpu& from) {
    const std::lock_guard guard(lock_);
    if (queue.empty()) return std::nullopt;
    const u8 v = queue.front();
    queue.erase(queue.begin());
    if (queue.empty()) from.set_interrupt_line(false);
    return v;
  }
  void note(const StopReason& reason) {
    if (reason.kind == StopReason::Kind::kError) cannot_ = reason.message;
  }
  void run_until_end(VCpu& cpu, CpuBus& bus) {
    while (!ended_) {
      const StopReason reason = cpu.run(bus);
      if (reason.kind == StopReason::Kind::kKicked) continue;
      const std::lock_guard guard(lock_);
      note(reason);
      end(kStopped);
    }
  }

  FakeClock clock_;
  std::unique_ptr<Region> root_;
  std::unique_ptr<GuestRam> ram_, high_, rom_;
  std::unique_ptr<Region> ram_region_, high_region_, mmio_region_, rom_region_, window_;
  AddressSpace space_;
  CpuidModel model_;
  std::unique_ptr<Accelerator> engine_;
  std::unique_ptr<VCpu> cpu_, second_cpu_;
  SecondBus second_bus_{*this};
  std::mutex lock_;  // what both processors reach through their buses
  std::atomic<bool> ended_{false};
  std::string cannot_;
};

// The suite's fixture: each test once for each engine that this host has.
class Engines : public ::testing::TestWithParam<Engine> {
 protected:
  void SetUp() override {
    const std::string missing = engine_missing(GetParam());
    if (!missing.empty()) GTEST_SKIP() << missing;
  }
};

// mov eax, value; out F4h, eax; jmp $
inline void exit_with(asmjit::x86::Assembler& a, u32 value) {
  a.mov(asmjit::x86::eax, value);
  a.out(0xf4, asmjit::x86::eax);
  const asmjit::Label here = a.newLabel();
  a.bind(here);
  a.jmp(here);
}

}  // namespace emu
