// SPDX-License-Identifier: Apache-2.0
#include "kvm/kvm_chips.h"

#include <linux/kvm.h>

#include <cerrno>
#include <chrono>
#include <cstring>

#include "base/bits.h"
#include "kvm/kvm_cpu.h"
#include "kvm/kvm_table.h"

namespace emu {
namespace {

constexpr u32 kPicInputs = 8, kIsaLines = 16, kCascade = 2, kTimerInput = 2;
// kvm_pit_channel_state's RW_STATE_: which byte is next.
constexpr u8 kHighByte = 2, kLowOfWord = 3, kHighOfWord = 4;

struct Needed {
  long number;
  const char* name;
};

Result<void> check(const KvmVm& vm, std::span<const Needed> all) {
  for (const Needed& needed : all) {
    if (vm.capability(needed.number) != 0) continue;
    return fail("this kernel's KVM has no {}: use --accel=kvm,irqchip=user", needed.name);
  }
  return {};
}

constexpr Needed kForBoth[] = {
    {KVM_CAP_IRQCHIP, "interrupt controllers"},
    {KVM_CAP_IRQ_ROUTING, "interrupt routing"},
    {KVM_CAP_SIGNAL_MSI, "interrupt messages"},
    {KVM_CAP_MP_STATE, "states of processors that wait"},
};
constexpr Needed kForKernel[] = {{KVM_CAP_PIT2, "8254 timer"},
                                 {KVM_CAP_PIT_STATE2, "state of its 8254 timer"}};
constexpr Needed kForSplit[] = {{KVM_CAP_SPLIT_IRQCHIP, "split interrupt controllers"}};

Result<void> set_routes(const KvmVm& vm, std::span<const kvm_irq_routing_entry> routes) {
  KvmTable<kvm_irq_routing_entry> table(routes.size());
  std::ranges::copy(routes, table.entries().begin());
  if (const long r = vm.call_with(kKvmSetGsiRouting, table.header()); r < 0) {
    return kvm_error(r, "connect interrupt lines");
  }
  return {};
}

// As IrqFanOut wires the board: a line reaches the 8259s and the I/O APIC, line 0 its input 2.
Result<void> connect_lines(const KvmVm& vm) {
  std::vector<kvm_irq_routing_entry> routes;
  const auto add = [&](u32 line, u32 chip, u32 pin) {
    kvm_irq_routing_entry route{};
    route.gsi = line;
    route.type = KVM_IRQ_ROUTING_IRQCHIP;
    route.u.irqchip = {chip, pin};
    routes.push_back(route);
  };
  for (u32 line = 0; line < EngineIoApic::kInputs; ++line) {
    if (line == kCascade) continue;
    if (line < kIsaLines) {
      add(line, line < kPicInputs ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE,
          line % kPicInputs);
    }
    add(line, KVM_IRQCHIP_IOAPIC, line == 0 ? kTimerInput : line);
  }
  return set_routes(vm, routes);
}

u64 monotonic_ns() {
  return static_cast<u64>(
      std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count());
}

}  // namespace

Result<void> KvmChips::create(const KvmVm& vm, ChipPlace place) {
  if (place == ChipPlace::kUser) return {};
  EMU_TRY(check(vm, kForBoth));
  if (place == ChipPlace::kSplit) {
    EMU_TRY(check(vm, kForSplit));
    kvm_enable_cap cap{};
    cap.cap = KVM_CAP_SPLIT_IRQCHIP;
    cap.args[0] = EngineIoApic::kInputs;
    if (const long r = vm.call_with(KVM_ENABLE_CAP, cap); r < 0) {
      return kvm_error(r, "run local APICs");
    }
    return {};
  }
  EMU_TRY(check(vm, kForKernel));
  if (const long r = vm.call(KVM_CREATE_IRQCHIP); r < 0) {
    return kvm_error(r, "run interrupt controllers");
  }
  kvm_pit_config config{};
  if (const long r = vm.call_with(KVM_CREATE_PIT2, config); r < 0) {
    return kvm_error(r, "run an 8254 timer");
  }
  return connect_lines(vm);
}

void KvmChips::set_line(unsigned line, bool active) {
  kvm_irq_level level{};
  level.irq = line;
  level.level = active ? 1 : 0;
  if (const long r = wires_.vm.call_with(KVM_IRQ_LINE, level); r < 0) {
    wires_.failed(kvm_error(r, fmt::format("take interrupt {}", line)));
  }
}

bool KvmChips::send_message(const EngineMessage& message) {
  kvm_msi msi{};
  msi.address_lo = static_cast<u32>(message.address);
  msi.address_hi = static_cast<u32>(message.address >> 32);
  msi.data = message.data;
  const long r = wires_.vm.call_with(KVM_SIGNAL_MSI, msi);
  // EPERM (-1) is how the kernel says that no processor listens.
  if (r < 0 && r != -EPERM) wires_.failed(kvm_error(r, "deliver an interrupt message"));
  return r > 0;
}

Result<void> KvmChips::set_level_messages(std::span<const std::optional<EngineMessage>> inputs) {
  std::vector<kvm_irq_routing_entry> routes;
  for (u32 input = 0; input < inputs.size(); ++input) {
    if (!inputs[input]) continue;
    kvm_irq_routing_entry route{};
    route.gsi = input;
    route.type = KVM_IRQ_ROUTING_MSI;
    route.u.msi.address_lo = static_cast<u32>(inputs[input]->address);
    route.u.msi.address_hi = static_cast<u32>(inputs[input]->address >> 32);
    route.u.msi.data = inputs[input]->data;
    routes.push_back(route);
  }
  return set_routes(wires_.vm, routes);
}

Result<EnginePic> KvmChips::pic(unsigned chip) {
  kvm_irqchip state{};
  state.chip_id = chip == 0 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE;
  if (const long r = wires_.vm.call_with(KVM_GET_IRQCHIP, state); r < 0) {
    return kvm_error(r, "show its 8259");
  }
  const kvm_pic_state& k = state.chip.pic;
  EnginePic pic;
  pic.lines = k.last_irr;
  pic.irr = k.irr;
  pic.imr = k.imr;
  pic.isr = k.isr;
  pic.elcr = k.elcr;
  pic.highest_priority = k.priority_add & 7;
  pic.vector_base = k.irq_base;
  pic.icw_expected = std::min<u8>(k.init_state, 3);
  pic.reads_isr = k.read_reg_select != 0;
  pic.poll = k.poll != 0;
  pic.special_mask = k.special_mask != 0;
  pic.auto_eoi = k.auto_eoi != 0;
  pic.rotate_on_auto_eoi = k.rotate_on_auto_eoi != 0;
  pic.special_fully_nested = k.special_fully_nested_mode != 0;
  pic.icw4_follows = k.init4 != 0;
  return pic;
}

Result<void> KvmChips::set_pic(unsigned chip, const EnginePic& pic) {
  kvm_irqchip state{};
  state.chip_id = chip == 0 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE;
  kvm_pic_state& k = state.chip.pic;
  k.last_irr = pic.lines;
  k.irr = pic.irr;
  k.imr = pic.imr;
  k.isr = pic.isr;
  k.elcr = pic.elcr;
  k.elcr_mask = chip == 0 ? 0xf8 : 0xde;
  k.priority_add = pic.highest_priority;
  k.irq_base = pic.vector_base;
  k.init_state = pic.icw_expected;
  k.read_reg_select = pic.reads_isr;
  k.poll = pic.poll;
  k.special_mask = pic.special_mask;
  k.auto_eoi = pic.auto_eoi;
  k.rotate_on_auto_eoi = pic.rotate_on_auto_eoi;
  k.special_fully_nested_mode = pic.special_fully_nested;
  k.init4 = pic.icw4_follows;
  if (const long r = wires_.vm.call_with(KVM_SET_IRQCHIP, state); r < 0) {
    return kvm_error(r, "take the state of an 8259");
  }
  return {};
}

Result<EngineIoApic> KvmChips::io_apic() {
  kvm_irqchip state{};
  state.chip_id = KVM_IRQCHIP_IOAPIC;
  if (const long r = wires_.vm.call_with(KVM_GET_IRQCHIP, state); r < 0) {
    return kvm_error(r, "show its I/O APIC");
  }
  const kvm_ioapic_state& k = state.chip.ioapic;
  EngineIoApic io_apic;
  io_apic.id = static_cast<u8>(k.id);
  io_apic.select = static_cast<u8>(k.ioregsel);
  io_apic.requests = k.irr;
  for (unsigned i = 0; i < EngineIoApic::kInputs; ++i) io_apic.redirection[i] = k.redirtbl[i].bits;
  return io_apic;
}

Result<void> KvmChips::set_io_apic(const EngineIoApic& io_apic) {
  kvm_irqchip state{};
  state.chip_id = KVM_IRQCHIP_IOAPIC;
  kvm_ioapic_state& k = state.chip.ioapic;
  k.base_address = 0xfec00000;
  k.id = io_apic.id;
  k.ioregsel = io_apic.select;
  k.irr = io_apic.requests;
  for (unsigned i = 0; i < EngineIoApic::kInputs; ++i) k.redirtbl[i].bits = io_apic.redirection[i];
  if (const long r = wires_.vm.call_with(KVM_SET_IRQCHIP, state); r < 0) {
    return kvm_error(r, "take the state of an I/O APIC");
  }
  return {};
}

Result<EnginePit> KvmChips::pit() {
  kvm_pit_state2 state{};
  if (const long r = wires_.vm.call_with(KVM_GET_PIT2, state); r < 0) {
    return kvm_error(r, "show its 8254");
  }
  EnginePit pit;
  pit.irq0_is_hpets = (state.flags & KVM_PIT_FLAGS_HPET_LEGACY) != 0;
  const u64 now = monotonic_ns();
  for (unsigned i = 0; i < pit.counters.size(); ++i) {
    const kvm_pit_channel_state& k = state.channels[i];
    EnginePitCounter& c = pit.counters[i];
    c.mode = k.mode <= 5 ? k.mode : 0xff;
    c.access = std::clamp<u8>(k.rw_mode, 1, 3);
    c.bcd = k.bcd != 0;
    c.gate = k.gate != 0;
    c.count = static_cast<u16>(k.count);
    // The kernel keeps the load time of counters 1 and 2 only.
    const u64 loaded = static_cast<u64>(k.count_load_time);
    c.age_ns = i != 0 && loaded < now ? now - loaded : 0;
    c.write_high_next = k.write_state == kHighOfWord;
    c.read_high_next = k.read_state == kHighOfWord;
    c.low_byte = k.write_latch;
    c.has_latched_count = k.count_latched != 0;
    c.latched_high_next = k.count_latched == kHighByte;
    c.latched_count = k.latched_count;
    c.has_latched_status = k.status_latched != 0;
    c.latched_status = k.status;
  }
  return pit;
}

Result<void> KvmChips::set_pit(const EnginePit& pit) {
  kvm_pit_state2 state{};
  state.flags = pit.irq0_is_hpets ? KVM_PIT_FLAGS_HPET_LEGACY : 0;
  for (unsigned i = 0; i < pit.counters.size(); ++i) {
    const EnginePitCounter& c = pit.counters[i];
    kvm_pit_channel_state& k = state.channels[i];
    k.mode = c.mode;
    k.rw_mode = c.access;
    k.bcd = c.bcd;
    k.gate = c.gate;
    k.count = c.count == 0 ? 0x10000u : c.count;
    const u8 first = c.access == kLowOfWord ? kLowOfWord : c.access;
    k.write_state = c.write_high_next ? kHighOfWord : first;
    k.read_state = c.read_high_next ? kHighOfWord : first;
    k.write_latch = c.low_byte;
    if (c.has_latched_count) k.count_latched = c.latched_high_next ? kHighByte : first;
    k.latched_count = c.latched_count;
    k.status_latched = c.has_latched_status;
    k.status = c.latched_status;
  }
  if (const long r = wires_.vm.call_with(KVM_SET_PIT2, state); r < 0) {
    return kvm_error(r, "take the state of an 8254");
  }
  return {};
}

Result<EngineLocalApic> KvmChips::local_apic(unsigned cpu) {
  KvmCpu* const processor = wires_.cpu(cpu);
  if (processor == nullptr) return fail("there is no processor {}", cpu);
  return processor->local_apic();
}

Result<void> KvmChips::set_local_apic(unsigned cpu, const EngineLocalApic& apic) {
  KvmCpu* const processor = wires_.cpu(cpu);
  if (processor == nullptr) return fail("there is no processor {}", cpu);
  return processor->set_local_apic(apic);
}

}  // namespace emu
