// SPDX-License-Identifier: Apache-2.0
// Local APICs on a bus, with processors that record what reaches their pins.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/vm_time.h"
#include "devices/chipset/io_apic.h"
#include "devices/chipset/local_apic.h"

namespace emu {

class RecordingCpu final : public ApicCpuPort {
 public:
  void set_interrupt_line(bool active) override { line = active; }
  void raise_nmi() override { events += "nmi "; }
  void raise_smi() override { events += "smi "; }
  void raise_init() override { events += "init "; }
  void raise_sipi(u8 vector) override { events += fmt::format("sipi:{:02x} ", vector); }
  [[nodiscard]] std::string take_events() { return std::exchange(events, ""); }

  bool line = false;
  std::string events;
};

// A TSC of 2 GHz that started with the VM.
class DoubleTsc final : public GuestTsc {
 public:
  [[nodiscard]] u64 ns_at(u64 tsc) const override { return tsc / 2 + offset_ns; }
  u64 offset_ns = 0;
};

struct ApicRig {
  explicit ApicRig(unsigned count = 1) : cpus(count) {
    for (unsigned i = 0; i < count; ++i) {
      apics.push_back(
          std::make_unique<LocalApic>(LocalApic::Wires{bus, cpus[i], clock, tsc}, i, i == 0));
      apics.back()->reset();
    }
  }
  LocalApic& apic(unsigned i = 0) { return *apics[i]; }
  // A register by number, through the window.
  u32 get(unsigned reg, unsigned i = 0) {
    return static_cast<u32>(apics[i]->read(u64{reg} * 16, 4));
  }
  void set(unsigned reg, u32 value, unsigned i = 0) { apics[i]->write(u64{reg} * 16, 4, value); }
  void enable_all() {
    for (unsigned i = 0; i < apics.size(); ++i) set(lapic::kSvr, 0x1ff, i);
  }
  // "vector" of the next interrupt of processor i, or "-".
  std::string next(unsigned i = 0) {
    if (!cpus[i].line) return "-";
    const std::optional<u8> vector = apics[i]->acknowledge();
    return vector ? fmt::format("{:02x}", *vector) : "gone";
  }
  // The same, with the EOI at once.
  std::string serve(unsigned i = 0) {
    std::string vector = next(i);
    if (vector != "-") set(lapic::kEoi, 0, i);
    return vector;
  }

  FakeClock clock;
  DoubleTsc tsc;
  u8 pic_vector = 0x08;
  ApicBus bus{[this] { return pic_vector; }};
  std::vector<RecordingCpu> cpus;
  std::vector<std::unique_ptr<LocalApic>> apics;
};

}  // namespace emu
