// SPDX-License-Identifier: Apache-2.0
#include "machine/processor.h"

#include "base/bits.h"

namespace emu {

Processor::Processor(const Wires& wires, unsigned index)
    : wires_(wires),
      index_(index),
      apic_({wires.apic_bus, *this, wires.clock, *this}, index, index == 0),
      pv_clock_({wires.map.memory(), wires.clock, [this] { return guest_tsc(); },
                 [this] { return wires_.clock.tsc_hz(); }, wires.wall_clock},
                index) {}

u32 Processor::read_port(u16 port, unsigned size) {
  const IoThread::DeviceAccess access(wires_.io);
  return static_cast<u32>(wires_.map.ports().load(port, size));
}

void Processor::write_port(u16 port, unsigned size, u32 value) {
  const IoThread::DeviceAccess access(wires_.io);
  wires_.map.ports().store(port, size, value);
}

u64 Processor::read_port_string(u16 port, unsigned size, std::span<u8> out) {
  const std::lock_guard guard(wires_.machine_lock);
  return wires_.map.ports().read_string(port, size, out);
}

u64 Processor::write_port_string(u16 port, unsigned size, std::span<const u8> in) {
  const std::lock_guard guard(wires_.machine_lock);
  return wires_.map.ports().write_string(port, size, in);
}

u64 Processor::read_mmio(PhysAddr address, unsigned size) {
  const IoThread::DeviceAccess access(wires_.io);
  if (const auto offset = apic_.window_offset(address.value)) {
    // The APIC has aligned doublewords; others read as the doubleword they lie in.
    const u64 value = apic_.read(align_down(*offset, 4), 4);
    return (value >> ((*offset & 3) * 8)) & byte_mask(size);
  }
  if (apic_.covers(address.value)) return byte_mask(size);
  u64 value = 0;
  wires_.map.memory().read(address.value, std::span(reinterpret_cast<u8*>(&value), size));
  return value;
}

void Processor::write_mmio(PhysAddr address, unsigned size, u64 value) {
  const IoThread::DeviceAccess access(wires_.io);
  if (const auto offset = apic_.window_offset(address.value)) {
    if ((*offset & 3) == 0) apic_.write(*offset, 4, value & 0xffffffff);
    return;
  }
  if (apic_.covers(address.value)) return;
  wires_.map.memory().write(address.value, std::span(reinterpret_cast<const u8*>(&value), size));
}

std::optional<u8> Processor::acknowledge_interrupt() {
  const std::lock_guard guard(wires_.machine_lock);
  return apic_.acknowledge();
}

u8 Processor::task_priority() {
  const std::lock_guard guard(wires_.machine_lock);
  return apic_.task_priority();
}

void Processor::set_task_priority(u8 priority_class) {
  const std::lock_guard guard(wires_.machine_lock);
  apic_.set_task_priority(priority_class);
}

std::optional<u64> Processor::read_msr(u32 index) {
  const std::lock_guard guard(wires_.machine_lock);
  const auto clock = pv_clock_.read_msr(index);
  return clock ? clock : apic_.read_msr(index);
}

bool Processor::write_msr(u32 index, u64 value) {
  const std::lock_guard guard(wires_.machine_lock);
  return pv_clock_.write_msr(index, value) || apic_.write_msr(index, value);
}

void Processor::end_of_interrupt(u8 vector) {
  const std::lock_guard guard(wires_.machine_lock);
  wires_.apic_bus.end_of_interrupt(vector);
}

void Processor::smm_changed(bool in_smm) {
  const std::lock_guard guard(wires_.machine_lock);
  wires_.map.smm_changed(in_smm);
}

void Processor::set_interrupt_line(bool active) {
  if (vcpu_) vcpu_->set_interrupt_line(active);
}

void Processor::raise_nmi() {
  if (vcpu_) vcpu_->raise_nmi();
}

void Processor::raise_smi() {
  if (vcpu_) vcpu_->raise_smi();
}

void Processor::raise_init() {
  if (vcpu_) vcpu_->raise_init();
}

void Processor::raise_sipi(u8 vector) {
  if (vcpu_) vcpu_->raise_sipi(vector);
}

u64 Processor::guest_tsc() {
  CpuState state;
  vcpu_->state(state);
  return Frequency{wires_.clock.tsc_hz(), 1}.ticks_at(wires_.clock.now_ns()) + state.tsc_offset;
}

u64 Processor::ns_at(u64 tsc) const {
  // The engine's TSC is VM time in ticks; the guest's is that plus its offset.
  CpuState state;
  vcpu_->state(state);
  const u64 engine_ticks = tsc - state.tsc_offset;
  if (static_cast<i64>(engine_ticks) < 0) return 0;
  return Frequency{wires_.clock.tsc_hz(), 1}.ns_at(engine_ticks);
}

}  // namespace emu
