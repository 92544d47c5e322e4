// SPDX-License-Identifier: Apache-2.0
// One processor socket: the engine's vCPU, its local APIC, and the bus between them and the board.
// Threads: CpuBus methods on the vCPU's thread without the machine lock; the rest as stated.
#pragma once

#include <memory>

#include "cpu/accelerator.h"
#include "devices/chipset/local_apic.h"
#include "machine/io_thread.h"
#include "machine/memory_map.h"
#include "machine/pv_clock.h"
#include "machine/vm_clock.h"

namespace emu {

class Processor final : public CpuBus, public ApicCpuPort, public GuestTsc {
 public:
  struct Wires {
    std::mutex& machine_lock;
    MemoryMap& map;
    ApicBus& apic_bus;
    VmClock& clock;
    IoThread& io;
    std::function<i64()> wall_clock;  // seconds
  };
  Processor(const Wires& wires, unsigned index);

  // Plugs in the engine's half; before anything runs. Machine lock not needed.
  void attach(std::unique_ptr<VCpu> vcpu) { vcpu_ = std::move(vcpu); }
  [[nodiscard]] VCpu& vcpu() { return *vcpu_; }
  [[nodiscard]] LocalApic& apic() { return apic_; }
  [[nodiscard]] PvClock& pv_clock() { return pv_clock_; }
  [[nodiscard]] unsigned index() const { return index_; }

  // CpuBus
  u32 read_port(u16 port, unsigned size) override;
  u64 read_port_string(u16 port, unsigned size, std::span<u8> out) override;
  u64 write_port_string(u16 port, unsigned size, std::span<const u8> in) override;
  void write_port(u16 port, unsigned size, u32 value) override;
  u64 read_mmio(PhysAddr address, unsigned size) override;
  void write_mmio(PhysAddr address, unsigned size, u64 value) override;
  std::optional<u8> acknowledge_interrupt() override;
  u8 task_priority() override;
  void set_task_priority(u8 priority_class) override;
  std::optional<u64> read_msr(u32 index) override;
  bool write_msr(u32 index, u64 value) override;
  void end_of_interrupt(u8 vector) override;
  void smm_changed(bool in_smm) override;

  // ApicCpuPort: any thread; nothing happens before attach().
  void set_interrupt_line(bool active) override;
  void raise_nmi() override;
  void raise_smi() override;
  void raise_init() override;
  void raise_sipi(u8 vector) override;

  // The guest's time stamp counter now; as ns_at().
  [[nodiscard]] u64 guest_tsc();

  // GuestTsc: on the vCPU's thread, or while it is stopped.
  [[nodiscard]] u64 ns_at(u64 tsc) const override;

 private:
  Wires wires_;
  const unsigned index_;
  std::unique_ptr<VCpu> vcpu_;
  LocalApic apic_;
  PvClock pv_clock_;
};

}  // namespace emu
