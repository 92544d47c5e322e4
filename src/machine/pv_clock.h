// SPDX-License-Identifier: Apache-2.0
// KVM's clock for guests (kvmclock), one processor's: two MSRs name places in guest memory that
// then say how a time stamp makes VM time. The guest's time stamp counter follows VM time at one
// rate under every engine, so what was written stays true: through a pause, in a saved machine, and
// after a change of engine. It is the machine's under KVM, too, for that reason. Source: Linux
// Documentation/virt/kvm/x86/msr.rst; struct pvclock_vcpu_time_info. Threads: the machine lock is
// held by every caller. Not modelled: a guest that writes its time stamp counter writes MSR
// 4B564D01h again.
#pragma once

#include <functional>
#include <optional>

#include "base/vm_time.h"
#include "devices/device.h"
#include "memory/address_space.h"

namespace emu {

class PvClock final : public Device {
 public:
  struct Wires {
    AddressSpace& memory;
    const Clock& clock;
    std::function<u64()> guest_tsc;   // now
    std::function<u64()> tsc_hz;      // of the guest's counter
    std::function<i64()> wall_clock;  // seconds since 1970
  };
  PvClock(Wires wires, unsigned index);

  // Nothing / false: not this clock's. A write fills the place in guest memory.
  [[nodiscard]] std::optional<u64> read_msr(u32 index) const;
  [[nodiscard]] bool write_msr(u32 index, u64 value);

  [[nodiscard]] std::string_view name() const override { return name_; }
  void reset() override;
  void transfer(StateIo& io) override;
  void resumed() override {}

 private:
  void write_system_time();
  void write_wall_clock();

  const Wires wires_;
  const std::string name_;
  // state (saved)
  u64 system_time_ = 0, wall_clock_ = 0;  // the MSRs
  u32 version_ = 0;                       // of what was written last; even
};

}  // namespace emu
