// SPDX-License-Identifier: Apache-2.0
// The timed probe: a scratch machine that executes a loop in ring 0.
#include <linux/kvm.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "base/bits.h"
#include "cpu/cpu_state.h"
#include "kvm/kvm_chips.h"
#include "kvm/kvm_probe.h"
#include "kvm/kvm_vm.h"
#include "memory/guest_ram.h"

namespace emu {
namespace {

constexpr u64 kRamBytes = 64 * kKiB;
constexpr u64 kTablesAt = 0x1000, kCodeAt = 0x4000;
constexpr u32 kLoops = 2000;
constexpr unsigned kInstructionsPerLoop = 2;
constexpr unsigned kRuns = 3;
constexpr double kMostNsPerInstruction = 20;
// mov ecx, kLoops; dec ecx; jnz; hlt; jmp to the start
constexpr u8 kCode[] = {0xb9, kLoops & 0xff, kLoops >> 8, 0,    0,    0xff,
                        0xc9, 0x75,          0xfc,        0xf4, 0xeb, 0xf4};

class Scratch {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Scratch>> create(std::shared_ptr<KvmHost> host) {
    auto vm = KvmVm::open(std::move(host));
    if (!vm) return vm.error();
    auto ram = GuestRam::create("kvm-probe", kRamBytes);
    if (!ram) return ram.error();
    std::unique_ptr<Scratch> s(new Scratch(std::move(*vm), std::move(*ram)));
    EMU_TRY(s->prepare());
    return s;
  }

  // Whether CR0.PG with EFER.LME = 0 is still there after the kernel took it.
  [[nodiscard]] bool keeps_32_bit_paging() {
    kvm_sregs s{};
    if (call(KVM_GET_SREGS, s) < 0) return false;
    const kvm_sregs before = s;
    s.cr0 = kCr0Pe | kCr0Et | kCr0Pg;
    s.cr3 = kTablesAt;
    s.cr4 = 0;
    s.efer = 0;
    const bool taken = call(KVM_SET_SREGS, s) >= 0 && call(KVM_GET_SREGS, s) >= 0;
    const bool kept = taken && (s.cr0 & kCr0Pg) != 0;
    s = before;
    (void)call(KVM_SET_SREGS, s);
    return kept;
  }

  // The time of one loop's instruction, the best of some runs. Errors: the guest does not get to
  // its end.
  [[nodiscard]] Result<double> measure() {
    EMU_TRY(enter_long_mode());
    double best = 1e9;
    for (unsigned i = 0; i < kRuns + 1; ++i) {
      const auto start = std::chrono::steady_clock::now();
      EMU_TRY(run_to_halt());
      const std::chrono::duration<double, std::nano> took =
          std::chrono::steady_clock::now() - start;
      const double each = took.count() / (kLoops * kInstructionsPerLoop);
      if (i != 0) best = std::min(best, each);  // the first run faults memory in
      if (i != 0 && each > 10 * kMostNsPerInstruction) break;
    }
    return best;
  }

 private:
  Scratch(std::unique_ptr<KvmVm> vm, std::unique_ptr<GuestRam> ram)
      : vm_(std::move(vm)), ram_(std::move(ram)) {}
  template <class T>
  long call(unsigned long request, T& argument) {
    return vm_->host().call_with(cpu_.get(), request, argument);
  }

  [[nodiscard]] Result<void> prepare() {
    // SAFETY: kRamBytes of fresh memory that only this machine sees; the block outlives the slot.
    u8* const ram = ram_->host();
    store_le(ram + kTablesAt, u64{kTablesAt + 0x1000} | 3);
    store_le(ram + kTablesAt + 0x1000, u64{kTablesAt + 0x2000} | 3);
    store_le(ram + kTablesAt + 0x2000, u64{0x83});  // one large page
    std::memcpy(ram + kCodeAt, kCode, sizeof kCode);
    kvm_userspace_memory_region region{};
    region.memory_size = kRamBytes;
    region.userspace_addr = reinterpret_cast<u64>(ram);
    if (const long r = vm_->call_with(KVM_SET_USER_MEMORY_REGION, region); r < 0) {
      return kvm_error(r, "map memory");
    }
    const long fd = vm_->call(KVM_CREATE_VCPU, 0);
    if (fd < 0) return kvm_error(fd, "create a processor");
    cpu_.reset(static_cast<int>(fd));
    auto run = vm_->host().map(cpu_.get(), vm_->run_bytes());
    if (!run) return run.error();
    run_ = std::move(*run);
    return {};
  }

  [[nodiscard]] Result<void> enter_long_mode() {
    kvm_sregs s{};
    if (const long r = call(KVM_GET_SREGS, s); r < 0) return kvm_error(r, "show registers");
    s.cr0 = kCr0Pe | kCr0Et | kCr0Ne | kCr0Wp | kCr0Pg;
    s.cr3 = kTablesAt;
    s.cr4 = kCr4Pae;
    s.efer = kEferLme | kEferLma;
    kvm_segment flat{};
    flat.limit = 0xffffffff;
    flat.present = flat.s = flat.g = 1;
    flat.type = 3;
    flat.db = 1;
    flat.selector = 16;
    s.ds = s.es = s.fs = s.gs = s.ss = flat;
    flat.type = 11;
    flat.db = 0;
    flat.l = 1;
    flat.selector = 8;
    s.cs = flat;
    if (const long r = call(KVM_SET_SREGS, s); r < 0) return kvm_error(r, "enter long mode");
    kvm_regs regs{};
    regs.rip = kCodeAt;
    regs.rflags = kFlagFixed1;
    if (const long r = call(KVM_SET_REGS, regs); r < 0) return kvm_error(r, "take registers");
    return {};
  }

  [[nodiscard]] Result<void> run_to_halt() {
    for (unsigned tries = 0; tries < 100; ++tries) {
      const long r = vm_->host().call(cpu_.get(), KVM_RUN, 0);
      if (r == -EINTR || r == -EAGAIN) continue;
      if (r < 0) return kvm_error(r, "run a guest");
      const u32 reason = reinterpret_cast<const kvm_run*>(run_.data())->exit_reason;
      if (reason == KVM_EXIT_HLT) return {};
      if (reason != KVM_EXIT_INTR) {
        return fail("KVM stops at plain instructions (exit reason {})", reason);
      }
    }
    return fail("KVM does not get a guest to run");
  }

  std::unique_ptr<KvmVm> vm_;
  std::unique_ptr<GuestRam> ram_;
  UniqueFd cpu_;
  Mapping run_;
};

KvmVerdict refused(const Error& error) {
  KvmVerdict v;
  const bool old = error.code == 0 && error.message.find("too old") != std::string::npos;
  v.state = old ? KvmState::kTooOld : KvmState::kRefused;
  const auto end = error.message.find("; ");
  v.reason = error.message.substr(0, old ? error.message.find(':') : end);
  if (old) v.fix = "use Linux 5.14 or later";
  return v;
}

}  // namespace

KvmVerdict probe_kvm(std::shared_ptr<KvmHost> host, const HostFacts& facts) {
  const int fd = host->open_device();
  if (fd < 0) return explain_open_error(-fd, facts);
  (void)UniqueFd(fd);
  auto scratch = Scratch::create(std::move(host));
  if (!scratch) return refused(scratch.error());
  KvmVerdict v;
  const auto speed = (*scratch)->measure();
  if (!speed) return refused(speed.error());
  v.keeps_paging = (*scratch)->keeps_32_bit_paging();
  v.ns_per_instruction = *speed;
  if (v.keeps_paging && *speed < kMostNsPerInstruction) return v;
  v.state = KvmState::kEmulated;
  v.reason =
      !v.keeps_paging && *speed < kMostNsPerInstruction
          ? "/dev/kvm cannot run 32-bit paging"
          : fmt::format("/dev/kvm emulates kernel-mode code ({:.0f} ns an instruction)", *speed);
  v.fix = "use a host with VT-x or AMD-V (or nested virtualization) to get real KVM";
  return v;
}

std::string missing_kernel_chips(std::shared_ptr<KvmHost> host) {
  const auto vm = KvmVm::open(std::move(host));
  if (!vm) return {};
  const auto chips = KvmChips::create(**vm, ChipPlace::kKernel);
  return chips ? "" : chips.error().message;
}

}  // namespace emu
