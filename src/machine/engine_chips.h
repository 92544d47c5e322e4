// SPDX-License-Identifier: Apache-2.0
// Interrupt controllers and timer that the engine runs in place of our models. While the machine
// runs, the board's lines and messages go to the engine; while it stands still, the models have
// the state and the lines, as they always have under an engine without such chips. So whatever is
// saved, loaded, reset or shown is the models', and goes on under any engine.
// Source: Linux Documentation/virt/kvm/api.rst; Intel SDM vol. 3, 11.5.4 (timer).
// Threads: the machine lock is held by every caller, and no processor runs.
// Not modelled: of the engine's 8254, the phase of counter 0: a period or a one-shot count begins
// anew when the machine goes on. A one-shot local APIC timer that expired just before the machine
// stopped may fire once more; firing twice is harmless, not firing is not.
#pragma once

#include <memory>
#include <vector>

#include "cpu/engine_chips.h"
#include "devices/chipset/i8254.h"
#include "devices/chipset/i8259.h"
#include "devices/chipset/local_apic.h"
#include "machine/processor.h"

namespace emu {

class Hpet;
class IoApic;
class IrqFanOut;

// One chip's registers, both ways. What the engine's form does not have is taken from `known`.
[[nodiscard]] I8259State from_engine(const EnginePic& pic, const I8259State& known);
[[nodiscard]] EnginePic to_engine(const I8259State& state);
[[nodiscard]] PitCounterState from_engine(const EnginePitCounter& counter);
[[nodiscard]] EnginePitCounter to_engine(const PitCounterState& state);
// At VM time `now_ns`; a TSC deadline is left to LocalApic::tsc_changed().
[[nodiscard]] LocalApicState from_engine(const EngineLocalApic& apic, const LocalApicState& known,
                                         u64 now_ns);
// `count` is the timer's current count.
[[nodiscard]] EngineLocalApic to_engine(const LocalApicState& state, u32 count);

class EngineChipsLink {
 public:
  struct Board {
    I8259Pair& pic;
    IoApic& io_apic;
    I8254& pit;
    Hpet& hpet;
    IrqFanOut& lines;
    ApicBus& messages;
    std::vector<std::unique_ptr<Processor>>& processors;
    Clock& clock;
  };
  EngineChipsLink(const Board& board, EngineChips& chips) : board_(board), chips_(chips) {}
  ~EngineChipsLink() { disconnect(); }
  EngineChipsLink(const EngineChipsLink&) = delete;
  EngineChipsLink& operator=(const EngineChipsLink&) = delete;

  // The machine goes on: the models' state goes to the engine, and the board is wired to it.
  // Errors: what the engine refuses; the board is with the models then.
  [[nodiscard]] Result<void> hand_over();
  // The machine stands still: the other way. Nothing if the models have the board already.
  [[nodiscard]] Result<void> take_back();
  // The models get the board as they are, for a reset.
  void disconnect();

 private:
  void connect();
  [[nodiscard]] Result<void> give_lines();
  [[nodiscard]] Result<void> give_local_apics();
  [[nodiscard]] Result<void> take_lines();
  [[nodiscard]] Result<void> take_local_apics();
  [[nodiscard]] Result<void> take_pit();
  [[nodiscard]] Result<void> give_pit();
  void refresh_pit();
  void tell_level_messages();
  [[nodiscard]] bool has_all() const { return chips_.place() == ChipPlace::kKernel; }

  const Board board_;
  EngineChips& chips_;
  bool connected_ = false;
  bool hpet_has_irq0_ = false;
};

}  // namespace emu
