// SPDX-License-Identifier: Apache-2.0
// The kernel's interrupt controllers and timer: all of them (8259s, I/O APIC, 8254, local APICs),
// or the local APICs alone. Source: Linux Documentation/virt/kvm/api.rst, 4.24
// to 4.27, 4.52, 4.57, 4.70 to 4.72, 7.5. Threads: as EngineChips says. Not modelled: what KVM's
// 8254 has not: the phase of counter 0 (a saved counter starts its period anew), and whether a
// count was loaded since the last control word.
#pragma once

#include <functional>

#include "cpu/engine_chips.h"
#include "kvm/kvm_vm.h"

namespace emu {

class KvmCpu;

class KvmChips final : public EngineChips {
 public:
  struct Wires {
    const KvmVm& vm;
    std::function<KvmCpu*(unsigned)> cpu;      // by index; null: there is none
    std::function<void(const Error&)> failed;  // for what nobody waits for
  };
  // Makes the chips that `place` has in the kernel, before any processor. Errors: what the kernel
  // has not, or refuses; the virtual machine is of no other use then.
  [[nodiscard]] static Result<void> create(const KvmVm& vm, ChipPlace place);

  KvmChips(Wires wires, ChipPlace place) : wires_(std::move(wires)), place_(place) {}

  [[nodiscard]] ChipPlace place() const override { return place_; }
  void set_line(unsigned line, bool active) override;
  bool send_message(const EngineMessage& message) override;
  [[nodiscard]] Result<void> set_level_messages(
      std::span<const std::optional<EngineMessage>> inputs) override;
  [[nodiscard]] Result<EnginePic> pic(unsigned chip) override;
  [[nodiscard]] Result<void> set_pic(unsigned chip, const EnginePic& pic) override;
  [[nodiscard]] Result<EngineIoApic> io_apic() override;
  [[nodiscard]] Result<void> set_io_apic(const EngineIoApic& io_apic) override;
  [[nodiscard]] Result<EnginePit> pit() override;
  [[nodiscard]] Result<void> set_pit(const EnginePit& pit) override;
  [[nodiscard]] Result<EngineLocalApic> local_apic(unsigned cpu) override;
  [[nodiscard]] Result<void> set_local_apic(unsigned cpu, const EngineLocalApic& apic) override;

 private:
  const Wires wires_;
  const ChipPlace place_;
};

}  // namespace emu
