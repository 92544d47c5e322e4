// SPDX-License-Identifier: Apache-2.0
// A machine of RAM, one or two processors and a few debug ports, for small guests.
#pragma once

#include <asmjit/x86.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "base/bits.h"
#include "cpu/cpuid_model.h"
#include "tcg/tcg_accelerator.h"

namespace emu {

// Port E9h collects bytes, port F4h ends the run with its value, port F5h interrupts the processor
// that writes it. Ports F6h, F7h and F8h send an interrupt, INIT and SIPI to the other processor.
// MMIO at kMmioBase is an array of registers that counts accesses.
class SmallGuest : public CpuBus, public IoHandler {
 public:
  static constexpr u64 kRamBytes = 8 * kMiB;
  static constexpr u64 kMmioBase = 0x4000'0000;
  static constexpr u64 kCodeAt = 0x10000;
  static constexpr u64 kPageTablesAt = 0x100000;
  static constexpr u64 kIdtAt = 0x180000;
  static constexpr u64 kGdtAt = 0x181000;
  static constexpr u64 kStackTop = 0x90000;
  static constexpr u32 kStopped = 0xdead;  // exit_value if a processor shut down

  explicit SmallGuest(const TcgOptions& options = {}, unsigned cpus = 1)
      : root_(Region::container("root", u64{1} << 40)),
        ram_(*GuestRam::create("ram", kRamBytes)),
        ram_region_(Region::ram("ram", *ram_, 0, kRamBytes)),
        mmio_region_(Region::mmio("regs", kPageBytes, *this, {1, 8, true})),
        space_(*root_),
        model_(*CpuidModel::create({"default", cpus, 2'000'000'000, 1'000'000'000})) {
    root_->add(*ram_region_, 0);
    root_->add(*mmio_region_, kMmioBase);
    auto engine = create_tcg(space_, clock_, options);
    EXPECT_TRUE(engine) << engine.error().message;
    engine_ = *std::move(engine);
    cpu_ = *engine_->create_vcpu({0, 0, &model_});
    if (cpus > 1) {
      second_cpu_ = *engine_->create_vcpu({1, 1, &model_});
      second_bus_.cpu_ = second_cpu_.get();
    }
  }

  u8* ram() { return ram_->host(); }
  GuestRam& block() { return *ram_; }
  VCpu& cpu() { return *cpu_; }
  VCpu& second_cpu() { return *second_cpu_; }

  void load(u64 address, const std::vector<u8>& bytes) {
    std::copy(bytes.begin(), bytes.end(), ram() + address);
  }
  // Assembles 64-bit code for `address`.
  void assemble(u64 address, const std::function<void(asmjit::x86::Assembler&)>& body) {
    asmjit::CodeHolder code;
    code.init(asmjit::Environment::host(), address);
    asmjit::x86::Assembler a(&code);
    body(a);
    code.flatten();
    code.resolveUnresolvedLinks();
    code.relocateToBase(address);
    std::vector<u8> bytes(code.codeSize());
    code.copyFlattenedData(bytes.data(), bytes.size());
    load(address, bytes);
  }

  // 64-bit mode, CPL 0, first GiB and the MMIO page identity-mapped with 2 MiB pages.
  CpuState long_mode() {
    CpuState s;
    reset_cpu(s, false);
    u8* t = ram() + kPageTablesAt;
    store_le(t, u64{kPageTablesAt + 0x1000} | 7);
    store_le(t + 0x1000, u64{kPageTablesAt + 0x2000} | 7);
    store_le(t + 0x1008, u64{kPageTablesAt + 0x3000} | 7);
    for (u64 i = 0; i < 512; ++i) {
      store_le(t + 0x2000 + 8 * i, (i << 21) | 0xe7);
      store_le(t + 0x3000 + 8 * i, (kGiB + (i << 21)) | 0xe7);
    }
    const u64 gdt[] = {0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00affb000000ffff,
                       0x00cff3000000ffff};
    std::memcpy(ram() + kGdtAt, gdt, sizeof gdt);
    s.cr0 = kCr0Pe | kCr0Et | kCr0Ne | kCr0Wp | kCr0Pg;
    s.cr4 = kCr4Pae | kCr4Osfxsr | kCr4Osxmmexcpt;
    s.efer = kEferLme | kEferLma | kEferNxe | kEferSce;
    s.cr3 = kPageTablesAt;
    s.gdtr = {kGdtAt, sizeof gdt - 1, {}};
    s.idtr = {kIdtAt, 0xfff, {}};
    s.segments[kCs] = {0, 0xffffffff, 8, 0xa09b};
    for (unsigned i : {kDs, kEs, kSs, kFs, kGs}) s.segments[i] = {0, 0xffffffff, 16, 0xc093};
    s.tr = {0, 0x67, 0, 0x008b};
    s.rip = kCodeAt;
    s.gpr[kRsp] = kStackTop;
    s.rflags = kFlagFixed1;
    return s;
  }
  // A 64-bit interrupt gate.
  void set_gate(unsigned vector, u64 handler) {
    u8* g = ram() + kIdtAt + 16 * vector;
    store_le(g, (handler & 0xffff) | (u64{8} << 16) | (u64{0x8e00} << 32) |
                    ((handler >> 16 & 0xffff) << 48));
    store_le(g + 8, handler >> 32);
  }

  StopReason run(const CpuState& s) {
    cpu_->set_state(s);
    return cpu_->run(*this);
  }
  // Both processors at once, until both have stopped.
  void run_both(const CpuState& first, const CpuState& second) {
    cpu_->set_state(first);
    second_cpu_->set_state(second);
    std::thread other([this] { run_until_exit(*second_cpu_, second_bus_); });
    run_until_exit(*cpu_, *this);
    other.join();
  }
  CpuState state() {
    CpuState s;
    cpu_->state(s);
    return s;
  }

  // What happened.
  std::string output;
  u32 exit_value = ~0u;
  u64 registers[512] = {};
  unsigned mmio_reads = 0, mmio_writes = 0;
  std::vector<u8> interrupts;  // vectors to hand out

  // CpuBus.
  u32 read_port(u16 port, unsigned) override { return port == 0xe9 ? 0xe9 : 0xffffffff; }
  void write_port(u16 port, unsigned, u32 value) override {
    const std::lock_guard guard(lock_);
    if (port == 0xe9) output.push_back(static_cast<char>(value));
    if (port == 0xf4) end(value);
    if (port == 0xf5) {
      interrupts.push_back(static_cast<u8>(value));
      cpu_->set_interrupt_line(true);
    }
    if (second_cpu_) signal(second_bus_.interrupts_, *second_cpu_, port, value);
  }
  u64 read_mmio(PhysAddr a, unsigned size) override {
    u64 v = 0;
    space_.read(a.value, {reinterpret_cast<u8*>(&v), size});
    return v;
  }
  void write_mmio(PhysAddr a, unsigned size, u64 v) override {
    space_.write(a.value, {reinterpret_cast<const u8*>(&v), size});
  }
  std::optional<u8> acknowledge_interrupt() override { return take(interrupts, *cpu_); }
  u8 task_priority() override { return priority_; }
  void set_task_priority(u8 p) override { priority_ = p; }
  std::optional<u64> read_msr(u32) override { return std::nullopt; }
  bool write_msr(u32, u64) override { return false; }
  void smm_changed(bool) override {}

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

 private:
  // The second processor's bus: the same, but for its own interrupts and what "other" means.
  class SecondBus final : public CpuBus {
   public:
    explicit SecondBus(SmallGuest& guest) : guest_(guest) {}
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
    SmallGuest& guest_;
  };

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
  void run_until_exit(VCpu& cpu, CpuBus& bus) {
    while (!ended_) {
      if (cpu.run(bus).kind != StopReason::Kind::kKicked) {
        const std::lock_guard guard(lock_);
        end(kStopped);
      }
    }
  }

  FakeClock clock_;
  std::unique_ptr<Region> root_;
  std::unique_ptr<GuestRam> ram_;
  std::unique_ptr<Region> ram_region_, mmio_region_;
  AddressSpace space_;
  CpuidModel model_;
  std::unique_ptr<Accelerator> engine_;
  std::unique_ptr<VCpu> cpu_;
  std::unique_ptr<VCpu> second_cpu_;
  SecondBus second_bus_{*this};
  std::mutex lock_;  // what both processors reach through their buses
  std::atomic<bool> ended_{false};
  u8 priority_ = 0;
};

}  // namespace emu
