// SPDX-License-Identifier: Apache-2.0
// What all processors of one machine under KVM share: the kernel's machine, its memory slots, the
// gate that keeps processors out of guest code while slots change, and the dirty log's thread.
// Threads: listeners with the machine lock held; the rest as stated.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "cpu/accelerator.h"
#include "kvm/kvm_accelerator.h"
#include "kvm/kvm_chips.h"
#include "kvm/kvm_slots.h"
#include "kvm/kvm_vm.h"

namespace emu {

class KvmCpu;

class KvmEngine final : public Accelerator,
                        public AddressSpaceListener,
                        private GuestRam::CleanObserver {
 public:
  [[nodiscard]] static Result<std::unique_ptr<KvmEngine>> create(AddressSpace& memory,
                                                                 const Clock& clock,
                                                                 std::shared_ptr<KvmHost> host,
                                                                 const KvmOptions& options);
  ~KvmEngine() override;

  [[nodiscard]] std::string_view name() const override { return "kvm"; }
  [[nodiscard]] bool has_smm() const override { return false; }
  [[nodiscard]] EngineChips* chips() override;
  [[nodiscard]] Result<std::unique_ptr<VCpu>> create_vcpu(const VCpuConfig& config) override;

  // AddressSpaceListener: collects the difference and applies it at commit().
  void range_removed(const FlatRange& range) override;
  void range_added(const FlatRange& range) override;
  void commit() override;

  [[nodiscard]] const KvmVm& vm() const { return *vm_; }
  [[nodiscard]] const Clock& clock() const { return clock_; }
  [[nodiscard]] AddressSpace& memory() const { return memory_; }

  [[nodiscard]] ChipPlace place() const { return chips_.place(); }

  // For processors. Whether guest code must not run now; wait_while_closed() waits for its end.
  [[nodiscard]] bool gate_closed() const { return gate_closed_.load(); }
  void wait_while_closed();
  void remove_cpu(KvmCpu& cpu);
  // What the kernel refused while nobody could be told; empty if nothing. Any thread.
  [[nodiscard]] std::string failure();
  [[nodiscard]] bool has_failed() const { return has_failed_.load(std::memory_order_relaxed); }

 private:
  KvmEngine(AddressSpace& memory, const Clock& clock, std::unique_ptr<KvmVm> vm, ChipPlace place);
  [[nodiscard]] KvmCpu* cpu(unsigned index);
  [[nodiscard]] Result<void> prepare_msr_exits();
  void page_cleaned(const GuestRam& ram, u64 page) override;
  void close_gate();
  void open_gate();
  void fail_with(const Error& error);
  void log_loop();

  AddressSpace& memory_;
  const Clock& clock_;
  std::unique_ptr<KvmVm> vm_;
  KvmChips chips_;
  KvmSlots slots_;
  std::vector<FlatRange> removed_, added_;  // until commit(); machine lock
  std::vector<GuestRam*> observed_;         // machine lock

  std::atomic<bool> gate_closed_{false};
  std::mutex gate_mutex_;
  std::condition_variable gate_;
  std::mutex cpus_mutex_;
  std::vector<KvmCpu*> cpus_;
  std::mutex failure_mutex_;
  std::string failure_;
  std::atomic<bool> has_failed_{false};

  std::mutex log_mutex_;
  std::condition_variable log_wanted_;
  bool log_ends_ = false;
  std::thread log_thread_;
};

}  // namespace emu
