// SPDX-License-Identifier: Apache-2.0
#include "kvm/kvm_engine.h"

#include <linux/kvm.h>
#include <pthread.h>

#include <algorithm>

#include "cpu/msr.h"
#include "cpu/pv_clock_spec.h"
#include "kvm/kvm_cpu.h"

namespace emu {
namespace {

// How often the display hears what the guest wrote: its frame time, about.
constexpr std::chrono::milliseconds kLogPeriod{15};

}  // namespace

Result<std::unique_ptr<Accelerator>> create_kvm(AddressSpace& memory, const Clock& clock,
                                                std::shared_ptr<KvmHost> host,
                                                const KvmOptions& options) {
  auto engine = KvmEngine::create(memory, clock, std::move(host), options);
  if (!engine) return engine.error();
  return std::unique_ptr<Accelerator>(std::move(*engine));
}

Result<std::unique_ptr<KvmEngine>> KvmEngine::create(AddressSpace& memory, const Clock& clock,
                                                     std::shared_ptr<KvmHost> host,
                                                     const KvmOptions& options) {
  auto vm = KvmVm::open(host);
  if (!vm) return vm.error();
  ChipPlace place = options.chips;
  if (const auto chips = KvmChips::create(**vm, place); !chips) {
    if (!options.chips_may_differ) return chips.error();
    log(LogLevel::kInfo, "kvm", "interrupt controllers are the machine's own: {}",
        chips.error().message);
    place = ChipPlace::kUser;
    vm = KvmVm::open(std::move(host));  // the other one may have half of them
    if (!vm) return vm.error();
  }
  prepare_kick_signal();
  std::unique_ptr<KvmEngine> engine(new KvmEngine(memory, clock, std::move(*vm), place));
  EMU_TRY(engine->prepare_msr_exits());
  memory.add_listener(*engine);
  if (const std::string refused = engine->failure(); !refused.empty()) return fail("{}", refused);
  return engine;
}

KvmEngine::KvmEngine(AddressSpace& memory, const Clock& clock, std::unique_ptr<KvmVm> vm,
                     ChipPlace place)
    : memory_(memory),
      clock_(clock),
      vm_(std::move(vm)),
      chips_({*vm_, [this](unsigned index) { return cpu(index); },
              [this](const Error& error) { fail_with(error); }},
             place),
      slots_(*vm_) {}

KvmEngine::~KvmEngine() {
  memory_.remove_listener(*this);
  for (GuestRam* ram : observed_) ram->set_clean_observer(nullptr);
  if (log_thread_.joinable()) {
    {
      const std::lock_guard guard(log_mutex_);
      log_ends_ = true;
    }
    log_wanted_.notify_all();
    log_thread_.join();
  }
}

// Accesses that the kernel does not know come to us, and those to MSRs of the machine's own: its
// clock for guests, and its local APIC if it has that.
Result<void> KvmEngine::prepare_msr_exits() {
  kvm_enable_cap cap{};
  cap.cap = KVM_CAP_X86_USER_SPACE_MSR;
  cap.args[0] =
      KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_FILTER;
  if (const long r = vm_->call_with(KVM_ENABLE_CAP, cap); r < 0) {
    return kvm_error(r, "hand over unknown model-specific registers");
  }
  u8 none = 0;
  kvm_msr_filter filter{};
  constexpr u32 kBoth = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE;
  static_assert(kMsrPvSystemTime == kMsrPvWallClock + 1);
  filter.ranges[0] = {kBoth, 2, kMsrPvWallClock, &none};
  if (place() == ChipPlace::kUser) {
    filter.ranges[1] = {kBoth, 1, kMsrApicBase, &none};
    filter.ranges[2] = {kBoth, 1, kMsrTscDeadline, &none};
  }
  if (const long r = vm_->call_with(KVM_X86_SET_MSR_FILTER, filter); r < 0) {
    return kvm_error(r, "hand over the local APIC's and the clock's registers");
  }
  return {};
}

Result<std::unique_ptr<VCpu>> KvmEngine::create_vcpu(const VCpuConfig& config) {
  const long most = std::max(vm_->capability(KVM_CAP_MAX_VCPUS), vm_->capability(KVM_CAP_NR_VCPUS));
  if (most != 0 && static_cast<long>(config.index) >= most) {
    return fail("this host's KVM runs {} processors at most: use --cpus {} or less", most, most);
  }
  auto cpu = KvmCpu::create(*this, config);
  if (!cpu) return cpu.error();
  const std::lock_guard guard(cpus_mutex_);
  cpus_.push_back(cpu->get());
  return std::unique_ptr<VCpu>(std::move(*cpu));
}

EngineChips* KvmEngine::chips() {
  return place() == ChipPlace::kUser ? nullptr : &chips_;
}

KvmCpu* KvmEngine::cpu(unsigned index) {
  const std::lock_guard guard(cpus_mutex_);
  const auto found = std::ranges::find(cpus_, index, &KvmCpu::index);
  return found == cpus_.end() ? nullptr : *found;
}

void KvmEngine::remove_cpu(KvmCpu& cpu) {
  const std::lock_guard guard(cpus_mutex_);
  std::erase(cpus_, &cpu);
}

void KvmEngine::range_removed(const FlatRange& range) {
  if (range.ram != nullptr) removed_.push_back(range);
}

void KvmEngine::range_added(const FlatRange& range) {
  if (range.ram == nullptr) return;
  added_.push_back(range);
  if (std::ranges::find(observed_, range.ram) != observed_.end()) return;
  observed_.push_back(range.ram);
  range.ram->set_clean_observer(this);
}

void KvmEngine::commit() {
  if (removed_.empty() && added_.empty()) return;
  // A range that moves is taken out and put in again; a processor must not see the hole between.
  close_gate();
  if (const auto done = slots_.replace(removed_, added_); !done) fail_with(done.error());
  open_gate();
  removed_.clear();
  added_.clear();
}

void KvmEngine::close_gate() {
  gate_closed_.store(true);
  const std::lock_guard guard(cpus_mutex_);
  for (KvmCpu* cpu : cpus_) cpu->wait_outside();
}

void KvmEngine::open_gate() {
  {
    const std::lock_guard guard(gate_mutex_);
    gate_closed_.store(false);
  }
  gate_.notify_all();
}

void KvmEngine::wait_while_closed() {
  std::unique_lock guard(gate_mutex_);
  gate_.wait(guard, [this] { return !gate_closed_.load(); });
}

std::string KvmEngine::failure() {
  const std::lock_guard guard(failure_mutex_);
  return failure_;
}

void KvmEngine::fail_with(const Error& error) {
  const std::lock_guard guard(failure_mutex_);
  if (failure_.empty()) failure_ = error.message;
  has_failed_.store(true);
}

// Somebody saw the page's contents and wants to hear of the next write. The first time, the
// kernel begins to log, and a thread begins to carry the log into the page's flags.
void KvmEngine::page_cleaned(const GuestRam& ram, u64) {
  const auto fresh = slots_.watch(ram);
  if (!fresh) return fail_with(fresh.error());
  if (!*fresh) return;
  const std::lock_guard guard(log_mutex_);
  if (!log_thread_.joinable()) log_thread_ = std::thread([this] { log_loop(); });
}

void KvmEngine::log_loop() {
  ::pthread_setname_np(::pthread_self(), "emu-dirty-log");
  std::unique_lock guard(log_mutex_);
  while (!log_wanted_.wait_for(guard, kLogPeriod, [this] { return log_ends_; })) {
    guard.unlock();
    if (const auto done = slots_.collect_written(); !done) fail_with(done.error());
    guard.lock();
  }
}

}  // namespace emu
