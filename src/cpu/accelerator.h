// SPDX-License-Identifier: Apache-2.0
// The interface both engines implement, and what they ask of the machine.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/types.h"
#include "base/vm_time.h"
#include "cpu/cpu_state.h"
#include "cpu/engine_chips.h"
#include "memory/address_space.h"

namespace emu {

class CpuidModel;

// What one processor asks of the machine around it. Every method takes the machine lock itself;
// vCPU threads call without holding it.
class CpuBus {
 public:
  virtual ~CpuBus() = default;
  // `size` is 1, 2 or 4 bytes.
  virtual u32 read_port(u16 port, unsigned size) = 0;
  virtual void write_port(u16 port, unsigned size, u32 value) = 0;
  // INS and OUTS: as many of the bytes as the device takes at once, a multiple of `size`. 0: the
  // accesses are to be made one by one.
  virtual u64 read_port_string(u16 /*port*/, unsigned /*size*/, std::span<u8> /*out*/) { return 0; }
  virtual u64 write_port_string(u16 /*port*/, unsigned /*size*/, std::span<const u8> /*in*/) {
    return 0;
  }
  // `size` is 1..8 bytes; what is not RAM: devices, writes to ROM, open bus.
  virtual u64 read_mmio(PhysAddr address, unsigned size) = 0;
  virtual void write_mmio(PhysAddr address, unsigned size, u64 value) = 0;
  // The interrupt-acknowledge cycle: the vector to deliver, or nothing if the request went away.
  virtual std::optional<u8> acknowledge_interrupt() = 0;
  // CR8 / task priority class, 0..15.
  virtual u8 task_priority() = 0;
  virtual void set_task_priority(u8 priority_class) = 0;
  // MSRs that live outside the processor core: APIC base, x2APIC 800h-8FFh, TSC deadline.
  // False / nothing: not this bus's, or a #GP.
  virtual std::optional<u64> read_msr(u32 index) = 0;
  virtual bool write_msr(u32 index, u64 value) = 0;
  // The end of a level-triggered interrupt whose local APIC is the engine's (ChipPlace::kSplit).
  virtual void end_of_interrupt(u8 /*vector*/) {}
  // The processor entered or left SMM (SMRAM becomes visible or hidden to it).
  virtual void smm_changed(bool in_smm) = 0;
};

// Why run() returned.
struct StopReason {
  enum class Kind : u8 {
    kKicked,       // kick() was called: the machine wants to look (pause, reset, save, stop)
    kTripleFault,  // the processor is in shutdown
    kDebug,        // a debugger's breakpoint or single step
    kError,        // the engine cannot go on; `message` says why, in words for the user
  };
  Kind kind = Kind::kKicked;
  std::string message;
};

// What a debugger wants of a processor: run() returns with kDebug after each instruction, or before
// the one at a breakpoint (linear addresses).
struct GuestDebug {
  bool single_step = false;
  std::array<std::optional<u64>, 4> breakpoints{};
};

// One virtual processor. run(), state() and set_state() belong to its own thread (or any one thread
// while it does not run); the others may be called from any thread, with or without the machine
// lock, and never block.
class VCpu {
 public:
  virtual ~VCpu() = default;
  // Runs guest code; handles port I/O, MMIO, interrupts, HLT and exceptions inside.
  virtual StopReason run(CpuBus& bus) = 0;
  // Makes run() return soon with kKicked; sticky until it has.
  virtual void kick() = 0;
  // The level of the processor's INTR input.
  virtual void set_interrupt_line(bool active) = 0;
  virtual void raise_nmi() = 0;
  virtual void raise_smi() = 0;
  virtual void raise_init() = 0;
  virtual void raise_sipi(u8 vector) = 0;
  virtual void state(CpuState& out) = 0;
  virtual void set_state(const CpuState& in) = 0;
  // From the next run() on, until the next call. False: this engine cannot.
  [[nodiscard]] virtual bool set_debug(const GuestDebug& /*wanted*/) { return false; }
  // "name value" lines for people: blocks, misses, exits.
  [[nodiscard]] virtual std::string counters() const = 0;
};

// What an engine needs to make processors.
struct VCpuConfig {
  unsigned index = 0;  // 0 is the boot processor
  u32 apic_id = 0;
  const CpuidModel* cpuid = nullptr;  // outlives the VCpu
};

// An engine. The machine owns it; it outlives its VCpus and is outlived by memory and clock.
class Accelerator {
 public:
  virtual ~Accelerator() = default;
  [[nodiscard]] virtual std::string_view name() const = 0;
  // Whether its processors have system management mode.
  [[nodiscard]] virtual bool has_smm() const { return true; }
  // Interrupt controllers that it runs itself; null: none.
  [[nodiscard]] virtual EngineChips* chips() { return nullptr; }
  [[nodiscard]] virtual Result<std::unique_ptr<VCpu>> create_vcpu(const VCpuConfig& config) = 0;
};

}  // namespace emu
