// SPDX-License-Identifier: Apache-2.0
// One processor under KVM: its run loop, exits, interrupts and state.
// Source: Linux Documentation/virt/kvm/api.rst, sections 4 and 5.
// Threads: as VCpu says.
// Not modelled: SMM (SMIs are dropped); KVM_GET_MSRS values that the kernel does not have stay as
// they were last set.
#pragma once

#include <linux/kvm.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <mutex>

#include "base/log.h"
#include "base/mapping.h"
#include "base/unique_fd.h"
#include "cpu/accelerator.h"
#include "cpu/cpuid_model.h"
#include "kvm/kvm_engine.h"

namespace emu {

class KvmCpu final : public VCpu {
 public:
  [[nodiscard]] static Result<std::unique_ptr<KvmCpu>> create(KvmEngine& engine,
                                                              const VCpuConfig& config);
  ~KvmCpu() override;

  // VCpu
  StopReason run(CpuBus& bus) override;
  void kick() override;
  void set_interrupt_line(bool active) override;
  void raise_nmi() override;
  void raise_smi() override;
  void raise_init() override;
  void raise_sipi(u8 vector) override;
  void state(CpuState& out) override;
  void set_state(const CpuState& in) override;
  bool set_debug(const GuestDebug& wanted) override;
  [[nodiscard]] std::string counters() const override;

  // The kernel's local APIC; while this processor does not run. Errors: the host's.
  [[nodiscard]] Result<EngineLocalApic> local_apic();
  [[nodiscard]] Result<void> set_local_apic(const EngineLocalApic& apic);
  [[nodiscard]] unsigned index() const { return config_.index; }

  // For the engine, whose gate is closed: returns when this processor is not in guest code.
  void wait_outside();

 private:
  static constexpr u32 kRequestKick = 1, kRequestNmi = 2, kRequestInit = 4, kRequestSipi = 8;

  enum class Entry : u8 { kNormal, kComplete, kRegardless };

  KvmCpu(KvmEngine& engine, const VCpuConfig& config, UniqueFd fd, Mapping run);
  [[nodiscard]] Result<void> set_cpuid();
  [[nodiscard]] Result<void> set_tsc_frequency();
  template <class T>
  [[nodiscard]] long call_with(unsigned long request, T& argument) {
    return engine_.vm().host().call_with(fd_.get(), request, argument);
  }
  [[nodiscard]] long call(unsigned long request, u64 argument = 0) {
    return engine_.vm().host().call(fd_.get(), request, argument);
  }
  [[nodiscard]] kvm_run& shared() const { return *reinterpret_cast<kvm_run*>(run_.data()); }

  // Whose local APIC is the kernel's: it halts and wakes there, and has its task priority there.
  [[nodiscard]] bool has_kernel_apic() const { return engine_.place() != ChipPlace::kUser; }
  [[nodiscard]] Result<u64> get_msr(u32 index);
  [[nodiscard]] Result<void> set_msr(u32 index, u64 value);
  [[nodiscard]] Activity waiting_activity();
  void set_waiting_activity(Activity activity);

  // running
  [[nodiscard]] bool serve_requests();
  void prepare_entry();
  [[nodiscard]] long enter(Entry entry);
  [[nodiscard]] bool handle_exit(StopReason& reason);
  void handle_io();
  void handle_mmio();
  void handle_msr();
  void publish_priority();
  void take_priority();
  void settle();
  [[nodiscard]] bool has_undelivered_event();
  void wait_halted();
  void request(u32 bits);
  void wake_up();
  [[nodiscard]] std::string describe_failure();
  [[nodiscard]] std::string describe_place();
  [[nodiscard]] std::vector<u8> code_bytes(const CpuState& s);
  void note_failure(long result, std::string_view what);

  // state
  void load_registers(CpuState& out);
  void load_system(CpuState& out);
  void load_vectors(CpuState& out);
  void load_msrs(CpuState& out);
  void load_events(CpuState& out);
  void store(const CpuState& in);
  void store_registers(const CpuState& in);
  void store_system(const CpuState& in);
  void store_vectors(const CpuState& in);
  void store_msrs(const CpuState& in);
  void store_events(const CpuState& in);
  [[nodiscard]] u64 machine_tsc() const;
  [[nodiscard]] std::optional<u64> kernel_tsc();
  [[nodiscard]] bool tsc_moved(u64 from, u64 to) const;
  void follow_clock();
  void note_guest_tsc();

  KvmEngine& engine_;
  const VCpuConfig config_;
  UniqueFd fd_;
  Mapping run_;
  CpuBus* bus_ = nullptr;
  CpuState shadow_;                         // what was last set; has what the kernel does not
  Activity activity_ = Activity::kRunning;  // the kernel knows only running ones
  bool interrupts_on_ = false;              // RFLAGS.IF while halted
  bool access_pending_ = false;             // the last exit's access completes at the next entry
  bool priority_stale_ = true;              // the guest may have written its APIC's TPR
  bool vector_pending_ = false;             // split: the kernel holds a vector of the 8259's
  u64 priority_ = 0;                        // CR8 as the APIC knows it
  u64 xsave_mask_ = 3;                      // XCR0 bits of this kernel
  std::string failure_;

  std::atomic<u32> requests_{0};
  std::atomic<bool> interrupt_line_{false};
  std::atomic<u32> sipi_vector_{0};
  std::atomic<bool> inside_{false};  // in, or about to enter, guest code
  std::atomic<int> thread_id_{0};
  std::mutex sleep_mutex_;
  std::condition_variable wake_;
  std::atomic<bool> sleeping_{false};

  RateLimit unknown_msrs_;
  static constexpr unsigned kExitKinds = 40;
  std::array<u64, kExitKinds> exits_{};
  u64 entries_ = 0, interrupts_ = 0;
};

// The rows of the model that this kernel can serve, for KVM_SET_CPUID2.
[[nodiscard]] Result<std::vector<kvm_cpuid_entry2>> filtered_cpuid(const KvmVm& vm,
                                                                   const VCpuConfig& config);

}  // namespace emu
