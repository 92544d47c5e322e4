// SPDX-License-Identifier: Apache-2.0
// Why the guest left KVM_RUN: accesses for the machine, halts, and what ends the run.
// Source: Linux Documentation/virt/kvm/api.rst, section 5 "The kvm_run structure".
#include <algorithm>
#include <cstring>

#include "base/bits.h"
#include "cpu/msr.h"
#include "kvm/kvm_cpu.h"

namespace emu {

// Whether run() returns, with `reason`.
bool KvmCpu::handle_exit(StopReason& reason) {
  const kvm_run& run = shared();
  ++exits_[std::min(run.exit_reason, kExitKinds - 1)];
  switch (run.exit_reason) {
    case KVM_EXIT_IO:
      handle_io();
      return false;
    case KVM_EXIT_MMIO:
      handle_mmio();
      return false;
    case KVM_EXIT_X86_RDMSR:
    case KVM_EXIT_X86_WRMSR:
      handle_msr();
      return false;
    case KVM_EXIT_HLT:
      activity_ = Activity::kHalted;
      interrupts_on_ = run.if_flag != 0;
      return false;
    case KVM_EXIT_IOAPIC_EOI:
      bus_->end_of_interrupt(run.eoi.vector);
      return false;
    case KVM_EXIT_IRQ_WINDOW_OPEN:
    case KVM_EXIT_INTR:
    case KVM_EXIT_SET_TPR:
      return false;  // prepare_entry() looks
    case KVM_EXIT_SHUTDOWN:
      activity_ = Activity::kShutdown;
      reason = {StopReason::Kind::kTripleFault, {}};
      return true;
    case KVM_EXIT_DEBUG:  // set_debug()
      reason = {StopReason::Kind::kDebug, {}};
      return true;
    default:
      failure_ = describe_failure();
      reason = {StopReason::Kind::kError, failure_};
      return true;
  }
}

void KvmCpu::handle_io() {
  const auto& io = shared().io;
  const bool fits = io.size != 0 && io.size <= 4 &&
                    range_fits(io.data_offset, u64{io.size} * io.count, run_.size_bytes());
  if (!fits) {
    failure_ = "KVM reported a port access that makes no sense; use --accel=tcg";
    return;
  }
  access_pending_ = true;
  u8* data = run_.data() + io.data_offset;
  const auto [direction, size, port, count] = std::tuple(io.direction, io.size, io.port, io.count);
  const u64 total = u64{size} * count;
  u64 done = 0;
  if (count > 1) {  // what the device takes at once
    done = direction == KVM_EXIT_IO_OUT ? bus_->write_port_string(port, size, {data, total})
                                        : bus_->read_port_string(port, size, {data, total});
    data += done;
  }
  for (; done < total; done += size, data += size) {
    if (direction == KVM_EXIT_IO_OUT) {
      u32 value = 0;
      std::memcpy(&value, data, size);
      bus_->write_port(port, size, value);
    } else {
      const u32 value = bus_->read_port(port, size);
      std::memcpy(data, &value, size);
    }
  }
}

void KvmCpu::handle_mmio() {
  auto& mmio = shared().mmio;
  const unsigned size = std::min<unsigned>(mmio.len, sizeof mmio.data);
  access_pending_ = true;
  publish_priority();
  priority_stale_ = true;
  const PhysAddr address{mmio.phys_addr};
  if (mmio.is_write != 0) {
    bus_->write_mmio(address, size, load_le<u64>(mmio.data) & byte_mask(size));
  } else {
    const u64 value = bus_->read_mmio(address, size);
    std::memcpy(mmio.data, &value, size);
  }
}

// The local APIC's registers; what else comes here is unknown to the kernel and a #GP.
void KvmCpu::handle_msr() {
  kvm_run& run = shared();
  access_pending_ = true;
  run.msr.error = 1;
  if (is_bus_msr(run.msr.index)) {
    publish_priority();
    if (run.exit_reason == KVM_EXIT_X86_WRMSR) {
      run.msr.error = bus_->write_msr(run.msr.index, run.msr.data) ? 0 : 1;
    } else if (const auto value = bus_->read_msr(run.msr.index)) {
      run.msr.data = *value;
      run.msr.error = 0;
    }
    priority_stale_ = true;
  } else if (unknown_msrs_.pass()) {
    log(LogLevel::kDebug, "kvm", "{} of unknown MSR {:#x} is a #GP",
        run.exit_reason == KVM_EXIT_X86_WRMSR ? "WRMSR" : "RDMSR", u32{run.msr.index});
  }
}

}  // namespace emu
