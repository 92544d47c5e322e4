// SPDX-License-Identifier: Apache-2.0
// Interrupt controllers and timer that an engine runs itself, and their registers as plain data:
// the machine carries these into and out of the state structs of its own models, so that what was
// saved with the one goes on with the other. Source: Linux Documentation/virt/kvm/api.rst,
// KVM_CREATE_IRQCHIP, KVM_CAP_SPLIT_IRQCHIP, KVM_CREATE_PIT2; the data sheets of the chips.
// Threads: as stated.
#pragma once

#include <array>
#include <optional>
#include <span>

#include "base/result.h"
#include "base/types.h"

namespace emu {

// Which chips the engine runs. kUser: none; kSplit: the local APICs; kKernel: both 8259s, the
// I/O APIC, the 8254 and the local APICs.
enum class ChipPlace : u8 { kUser, kSplit, kKernel };

// One 8259A.
struct EnginePic {
  u8 lines = 0;  // input levels
  u8 irr = 0, imr = 0, isr = 0, elcr = 0;
  u8 highest_priority = 0;  // the input that wins every tie
  u8 vector_base = 0;
  u8 icw_expected = 0;  // 0: initialized; 1, 2, 3: ICW2, ICW3, ICW4
  bool reads_isr = false, poll = false, special_mask = false, auto_eoi = false;
  bool rotate_on_auto_eoi = false, special_fully_nested = false, icw4_follows = false;
};

struct EngineIoApic {
  static constexpr unsigned kInputs = 24;
  u8 id = 0, select = 0;
  u32 requests = 0;                        // of level-triggered inputs
  std::array<u64, kInputs> redirection{};  // as the data sheet has IOREDTBL
};

// Register n is at offset 16 * n of the window.
struct EngineLocalApic {
  u64 base = 0;  // IA32_APIC_BASE
  std::array<u32, 64> registers{};
  u64 tsc_deadline = 0;  // IA32_TSC_DEADLINE; 0: not armed
};

// One counter of the 8254.
struct EnginePitCounter {
  u8 mode = 0xff;  // 0..5; ffh: never programmed
  u8 access = 3;   // 1: low byte, 2: high byte, 3: low then high
  bool bcd = false, gate = true;
  u16 count = 0;   // as written; 0 means the greatest
  u64 age_ns = 0;  // since the count was loaded, as far as the engine knows
  bool write_high_next = false, read_high_next = false;
  u8 low_byte = 0;
  bool has_latched_count = false, latched_high_next = false;
  u16 latched_count = 0;
  bool has_latched_status = false;
  u8 latched_status = 0;
};

struct EnginePit {
  std::array<EnginePitCounter, 3> counters{};
  bool irq0_is_hpets = false;  // the HPET's legacy replacement: counter 0 has no wire
};

// An interrupt message as a device writes it.
struct EngineMessage {
  u64 address = 0;
  u32 data = 0;
};

// The engine's half. Lines and messages: any thread. Registers: while no processor runs. Errors:
// the host's, in words for the user.
class EngineChips {
 public:
  virtual ~EngineChips() = default;
  [[nodiscard]] virtual ChipPlace place() const = 0;

  // kKernel: the board's interrupt `line` 0..23 (line 0 is the I/O APIC's input 2).
  virtual void set_line(unsigned line, bool active) = 0;
  // Both: a message to the local APICs; whether one took it.
  virtual bool send_message(const EngineMessage& message) = 0;
  // kSplit: the messages that the I/O APIC's inputs send, so that the end of a level-triggered one
  // is told to CpuBus::end_of_interrupt(). Nothing: an input whose end nobody waits for.
  [[nodiscard]] virtual Result<void> set_level_messages(
      std::span<const std::optional<EngineMessage>> inputs) = 0;

  // kKernel. `chip` 0 is the master.
  [[nodiscard]] virtual Result<EnginePic> pic(unsigned chip) = 0;
  [[nodiscard]] virtual Result<void> set_pic(unsigned chip, const EnginePic& pic) = 0;
  [[nodiscard]] virtual Result<EngineIoApic> io_apic() = 0;
  [[nodiscard]] virtual Result<void> set_io_apic(const EngineIoApic& io_apic) = 0;
  [[nodiscard]] virtual Result<EnginePit> pit() = 0;
  [[nodiscard]] virtual Result<void> set_pit(const EnginePit& pit) = 0;

  // Both. `cpu` is the processor's index.
  [[nodiscard]] virtual Result<EngineLocalApic> local_apic(unsigned cpu) = 0;
  [[nodiscard]] virtual Result<void> set_local_apic(unsigned cpu, const EngineLocalApic& apic) = 0;
};

}  // namespace emu
