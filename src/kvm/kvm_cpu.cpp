// SPDX-License-Identifier: Apache-2.0
// Making a processor, and its run loop.
#include "kvm/kvm_cpu.h"

#include <algorithm>
#include <cerrno>
#include <thread>

#include "kvm/kvm_table.h"

namespace emu {
namespace {

// An undelivered event reaches the guest within its first entries; more means that it never will.
constexpr unsigned kMostSettlingEntries = 1000;

}  // namespace

KvmCpu::KvmCpu(KvmEngine& engine, const VCpuConfig& config, UniqueFd fd, Mapping run)
    : engine_(engine), config_(config), fd_(std::move(fd)), run_(std::move(run)) {}

KvmCpu::~KvmCpu() {
  engine_.remove_cpu(*this);
}

Result<std::unique_ptr<KvmCpu>> KvmCpu::create(KvmEngine& engine, const VCpuConfig& config) {
  EMU_CHECK(config.cpuid != nullptr);
  const KvmVm& vm = engine.vm();
  const long fd = vm.call(KVM_CREATE_VCPU, config.index);
  if (fd < 0) return kvm_error(fd, fmt::format("create processor {}", config.index));
  UniqueFd owned(static_cast<int>(fd));
  auto run = vm.host().map(owned.get(), vm.run_bytes());
  if (!run) return run.error();
  std::unique_ptr<KvmCpu> cpu(new KvmCpu(engine, config, std::move(owned), std::move(*run)));
  EMU_TRY(cpu->set_cpuid());
  EMU_TRY(cpu->set_tsc_frequency());
  CpuState state;
  reset_cpu(state, false);
  if (config.index != 0) state.activity = Activity::kWaitForSipi;
  cpu->set_state(state);
  if (!cpu->failure_.empty()) return fail("{}", cpu->failure_);
  return cpu;
}

Result<void> KvmCpu::set_cpuid() {
  auto rows = filtered_cpuid(engine_.vm(), config_);
  if (!rows) return rows.error();
  for (const kvm_cpuid_entry2& row : *rows) {
    if (row.function == 0xd && row.index == 0) xsave_mask_ |= row.eax;
  }
  KvmTable<kvm_cpuid_entry2> table(rows->size());
  std::ranges::copy(*rows, table.entries().begin());
  const long r = call_with(kKvmSetCpuid2, table.header());
  if (r < 0) return kvm_error(r, fmt::format("take the CPUID of processor {}", config_.index));
  return {};
}

// The guest's TSC runs at the machine's frequency, which is the host's unless told otherwise.
Result<void> KvmCpu::set_tsc_frequency() {
  const u64 khz = config_.cpuid->features().tsc_hz / 1000;
  const long now = call(KVM_GET_TSC_KHZ);
  if (khz == 0 || now <= 0) return {};
  const u64 difference =
      khz > static_cast<u64>(now) ? khz - static_cast<u64>(now) : static_cast<u64>(now) - khz;
  if (difference * 4000 <= khz) return {};  // within KVM's own tolerance, 250 ppm
  (void)call(KVM_SET_TSC_KHZ, khz);         // without TSC scaling the guest sees the host's rate
  return {};
}

// --- other threads

void KvmCpu::request(u32 bits) {
  requests_.fetch_or(bits);
  wake_up();
}

void KvmCpu::wake_up() {
  if (inside_.load()) {
    std::atomic_ref<u8>(shared().immediate_exit).store(1);
    send_kick_signal(thread_id_.load());
  }
  if (!sleeping_.load()) return;
  const std::lock_guard lock(sleep_mutex_);
  wake_.notify_all();
}

void KvmCpu::kick() {
  request(kRequestKick);
}

void KvmCpu::set_interrupt_line(bool active) {
  if (engine_.place() == ChipPlace::kKernel) return;
  if (interrupt_line_.exchange(active) == active || !active) return;
  wake_up();
}

void KvmCpu::raise_nmi() {
  request(kRequestNmi);
}

void KvmCpu::raise_smi() {
  log(LogLevel::kDebug, "kvm", "SMI dropped: this engine has no system management mode");
}

void KvmCpu::raise_init() {
  request(kRequestInit);
}

void KvmCpu::raise_sipi(u8 vector) {
  sipi_vector_.store(vector);
  request(kRequestSipi);
}

void KvmCpu::wait_outside() {
  while (inside_.load()) {
    std::atomic_ref<u8>(shared().immediate_exit).store(1);
    send_kick_signal(thread_id_.load());
    std::this_thread::yield();
  }
}

// --- the processor's own thread

StopReason KvmCpu::run(CpuBus& bus) {
  bus_ = &bus;
  thread_id_.store(this_thread_id());
  follow_clock();
  for (;;) {
    const bool kicked = serve_requests();
    if (!failure_.empty()) return {StopReason::Kind::kError, failure_};
    if (kicked) {
      settle();
      publish_priority();
      note_guest_tsc();
      return {StopReason::Kind::kKicked, {}};
    }
    if (activity_ == Activity::kShutdown) return {StopReason::Kind::kTripleFault, {}};
    if (activity_ != Activity::kRunning) {
      wait_halted();
      continue;
    }
    prepare_entry();
    const long r = enter(Entry::kNormal);
    if (r == -EINTR || r == -EAGAIN) continue;
    StopReason reason;
    if (r < 0) {
      note_failure(r, "run the guest");
    } else if (handle_exit(reason)) {
      return reason;
    }
  }
}

// Whether somebody wants run() to return.
bool KvmCpu::serve_requests() {
  const u32 requests = requests_.fetch_and(~(kRequestKick | kRequestInit | kRequestSipi));
  if (engine_.has_failed() && failure_.empty()) failure_ = engine_.failure();
  if ((requests & kRequestInit) != 0) {
    settle();
    CpuState s;
    state(s);
    reset_cpu(s, true);
    s.activity = config_.index == 0 ? Activity::kRunning : Activity::kWaitForSipi;
    store(s);
  }
  if ((requests & kRequestSipi) != 0 && activity_ == Activity::kWaitForSipi) {
    CpuState s;
    state(s);
    start_cpu_at_sipi(s, static_cast<u8>(sipi_vector_.load()));
    store(s);
  }
  if ((requests_.load() & kRequestNmi) != 0 && activity_ == Activity::kHalted) {
    activity_ = Activity::kRunning;
  }
  return (requests & kRequestKick) != 0;
}

// Interrupts that the guest can take now, and the wish for an exit when it can take the rest.
void KvmCpu::prepare_entry() {
  kvm_run& run = shared();
  take_priority();
  if ((requests_.load() & kRequestNmi) != 0) {
    requests_.fetch_and(~kRequestNmi);
    if (const long r = call(KVM_NMI); r < 0) note_failure(r, "deliver an NMI");
  }
  if (interrupt_line_.load() && run.ready_for_interrupt_injection != 0) {
    if (const auto vector = bus_->acknowledge_interrupt()) {
      kvm_interrupt interrupt{*vector};
      const long r = call_with(KVM_INTERRUPT, interrupt);
      if (r < 0) note_failure(r, fmt::format("deliver interrupt {:#x}", *vector));
      run.ready_for_interrupt_injection = 0;
      vector_pending_ = has_kernel_apic();
      ++interrupts_;
    }
  }
  run.request_interrupt_window = interrupt_line_.load() ? 1 : 0;
}

// CR8 and the APIC's task priority are one register with two doors: what the guest did to CR8 goes
// to the APIC, and after an access to the APIC its priority goes to CR8.
void KvmCpu::publish_priority() {
  if (has_kernel_apic() || priority_stale_ || shared().cr8 == priority_) return;
  priority_ = shared().cr8;
  bus_->set_task_priority(static_cast<u8>(priority_ & 15));
}

void KvmCpu::take_priority() {
  publish_priority();
  if (has_kernel_apic() || !priority_stale_) return;
  priority_stale_ = false;
  shared().cr8 = priority_ = bus_->task_priority();
}

// Runs guest code until the next exit. kComplete only finishes the last exit's access; kRegardless
// enters although somebody wants something.
long KvmCpu::enter(Entry entry) {
  std::atomic_ref<u8> immediate(shared().immediate_exit);
  for (;;) {
    immediate.store(entry == Entry::kComplete ? 1 : 0);
    inside_.store(true);
    if (!engine_.gate_closed()) break;
    inside_.store(false);
    engine_.wait_while_closed();
  }
  // Who asks from here on sees inside_ and sets immediate_exit again.
  const bool wanted =
      entry == Entry::kNormal &&
      (requests_.load() != 0 || (interrupt_line_.load() && shared().request_interrupt_window == 0));
  long r = -EINTR;
  if (!wanted) {
    ++entries_;
    shared().exit_reason = KVM_EXIT_UNKNOWN;
    r = call(KVM_RUN);
    access_pending_ = false;
    // An entry takes the vector in; immediate_exit comes before that and leaves no reason.
    if (r >= 0 || shared().exit_reason == KVM_EXIT_INTR) vector_pending_ = false;
  }
  inside_.store(false);
  return r;
}

void KvmCpu::wait_halted() {
  std::unique_lock lock(sleep_mutex_);
  sleeping_.store(true);
  const u32 wakes = activity_ == Activity::kHalted ? ~0u : ~kRequestNmi;
  wake_.wait(lock, [&] {
    return (requests_.load() & wakes) != 0 ||
           (activity_ == Activity::kHalted && interrupts_on_ && interrupt_line_.load());
  });
  sleeping_.store(false);
  if (activity_ == Activity::kHalted && interrupts_on_ && interrupt_line_.load()) {
    activity_ = Activity::kRunning;
  }
}

// Brings the processor to where its state is all there is: no half-done access, and no event that
// was taken from its controller but did not reach the guest.
void KvmCpu::settle() {
  StopReason ignored;
  unsigned entries = 0;
  while (access_pending_ && failure_.empty() && entries++ < kMostSettlingEntries) {
    if (enter(Entry::kComplete) >= 0) (void)handle_exit(ignored);
  }
  if (!has_undelivered_event() && !vector_pending_) return;
  const RepeatedKick out_again;
  while (failure_.empty() && activity_ == Activity::kRunning && entries++ < kMostSettlingEntries &&
         (access_pending_ || vector_pending_ || has_undelivered_event())) {
    shared().request_interrupt_window = 0;
    if (enter(Entry::kRegardless) >= 0) (void)handle_exit(ignored);
    while (access_pending_ && failure_.empty() && entries++ < kMostSettlingEntries) {
      if (enter(Entry::kComplete) >= 0) (void)handle_exit(ignored);
    }
  }
}

bool KvmCpu::has_undelivered_event() {
  kvm_vcpu_events events{};
  if (call_with(KVM_GET_VCPU_EVENTS, events) < 0) return false;
  return events.interrupt.injected != 0 || events.exception.injected != 0 ||
         events.exception.pending != 0 || events.nmi.injected != 0;
}

std::string KvmCpu::counters() const {
  static constexpr const char* kNames[kExitKinds] = {
      "unknown", "exception", "io",       "hypercall", "debug", "hlt",
      "mmio",    "window",    "shutdown", "fail",      "intr",  "tpr",
  };
  const auto name_of = [](unsigned kind) {
    if (kind == KVM_EXIT_INTERNAL_ERROR) return std::string("internal_error");
    if (kind == KVM_EXIT_X86_RDMSR) return std::string("rdmsr");
    if (kind == KVM_EXIT_X86_WRMSR) return std::string("wrmsr");
    return kNames[kind] != nullptr ? kNames[kind] : std::to_string(kind);
  };
  std::string text = fmt::format("entries {}\ninterrupts {}\n", entries_, interrupts_);
  for (unsigned kind = 0; kind < kExitKinds; ++kind) {
    if (exits_[kind] == 0) continue;
    text += fmt::format("exits_{} {}\n", name_of(kind), exits_[kind]);
  }
  return text;
}

void KvmCpu::note_failure(long result, std::string_view what) {
  if (failure_.empty()) failure_ = kvm_error(result, what).message;
}

}  // namespace emu
