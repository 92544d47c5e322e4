// SPDX-License-Identifier: Apache-2.0
#include "machine/engine_chips.h"

#include <algorithm>

#include "base/bits.h"
#include "base/log.h"
#include "devices/chipset/hpet.h"
#include "devices/chipset/io_apic.h"
#include "devices/chipset/irq_fan_out.h"

namespace emu {
namespace {

// Lines of the master that the engine drives itself and pulses: the 8254's and the cascade. It
// waits for the end of a pulse that makes no edge for ever.
constexpr u8 kOwnLines = 1 << 0 | 1 << 2;
constexpr u8 kNeverProgrammed = 0xff;

}  // namespace

// --- 8259

// The engine pulses the cascade where ours holds it: resumed() and the next change bring it back.
I8259State from_engine(const EnginePic& pic, const I8259State& known) {
  I8259State s;
  s.lines = known.lines;
  s.irr = pic.irr;
  s.imr = pic.imr;
  s.isr = pic.isr;
  s.elcr = pic.elcr;
  s.vector_base = pic.vector_base & 0xf8;
  s.lowest_priority = (pic.highest_priority + 7u) & 7;
  s.icw_expected =
      pic.icw_expected == 0 ? u8{0} : static_cast<u8>(std::min(pic.icw_expected + 1, 4));
  s.icw4_follows = pic.icw4_follows;
  s.single = known.single;
  s.auto_eoi = pic.auto_eoi;
  s.rotate_on_auto_eoi = pic.rotate_on_auto_eoi;
  s.special_mask = pic.special_mask;
  s.special_fully_nested = pic.special_fully_nested;
  s.reads_isr = pic.reads_isr;
  s.poll = pic.poll;
  return s;
}

EnginePic to_engine(const I8259State& s) {
  EnginePic pic;
  pic.lines = s.lines;
  pic.irr = s.irr;
  pic.imr = s.imr;
  pic.isr = s.isr;
  pic.elcr = s.elcr;
  pic.vector_base = s.vector_base;
  pic.highest_priority = (s.lowest_priority + 1u) & 7;
  pic.icw_expected = s.icw_expected == 0 ? u8{0} : static_cast<u8>(s.icw_expected - 1);
  pic.icw4_follows = s.icw4_follows;
  pic.auto_eoi = s.auto_eoi;
  pic.rotate_on_auto_eoi = s.rotate_on_auto_eoi;
  pic.special_mask = s.special_mask;
  pic.special_fully_nested = s.special_fully_nested;
  pic.reads_isr = s.reads_isr;
  pic.poll = s.poll;
  return pic;
}

// --- 8254

// The counter is programmed as the guest did and lives through its age.
PitCounterState from_engine(const EnginePitCounter& c) {
  PitCounter counter(c.gate);
  if (c.mode > 5) return counter.state();
  const bool triggered = c.mode == 1 || c.mode == 5;
  counter.set_gate(!triggered);
  counter.write_control(static_cast<u8>(3u << 4 | c.mode << 1 | (c.bcd ? 1u : 0u)));
  counter.write(static_cast<u8>(c.count));
  counter.write(static_cast<u8>(c.count >> 8));
  if (triggered) counter.set_gate(true);
  counter.advance(1 + kPitFrequency.ticks_at(c.age_ns));
  counter.set_gate(c.gate);
  PitCounterState s = counter.state();
  s.access = c.access;
  s.write_high_next = c.access == 3 && c.write_high_next;
  s.low_byte = c.low_byte;
  s.has_latched_count = c.has_latched_count;
  s.latched_count = c.latched_count;
  s.read_high_next =
      c.access == 3 && (c.has_latched_count ? c.latched_high_next : c.read_high_next);
  s.has_latched_status = c.has_latched_status;
  s.latched_status = c.latched_status;
  return s;
}

EnginePitCounter to_engine(const PitCounterState& s) {
  EnginePitCounter c;
  const bool programmed = s.counting || s.load_at_tick || s.count_register != 0 || s.mode != 0 ||
                          s.access != 3 || s.write_high_next;
  c.mode = programmed ? s.mode : kNeverProgrammed;
  c.access = std::clamp<u8>(s.access, 1, 3);
  c.bcd = s.bcd;
  c.gate = s.gate;
  c.count = s.count_register;
  c.write_high_next = s.write_high_next;
  c.low_byte = s.low_byte;
  c.has_latched_count = s.has_latched_count;
  c.latched_high_next = s.has_latched_count && s.read_high_next;
  c.read_high_next = !s.has_latched_count && s.read_high_next;
  c.latched_count = s.latched_count;
  c.has_latched_status = s.has_latched_status;
  c.latched_status = s.latched_status;
  return c;
}

// --- local APIC

LocalApicState from_engine(const EngineLocalApic& apic, const LocalApicState& known, u64 now_ns) {
  using namespace lapic;
  LocalApicState s;
  s.base = apic.base;
  std::ranges::copy(apic.registers, s.registers.begin());
  s.lint_levels = known.lint_levels;
  s.tsc_deadline = apic.tsc_deadline;
  const u32 lvt = apic.registers[kLvtTimer], divide = apic.registers[kTimerDivide];
  const unsigned shift = ((((divide >> 1) & 4) | (divide & 3)) + 1) & 7;
  const u32 initial = apic.registers[kTimerInitial];
  const u32 count = std::min(apic.registers[kTimerCurrent], initial);
  if (initial == 0 || (lvt & kTimerModes) == kTimerTscDeadline) return s;
  // Where time before the machine's first would be needed, the count is a little younger.
  const u64 done = u64{initial - count} << shift;
  s.timer_start_ns = now_ns - std::min(now_ns, done);
  s.timer_deadline_ns = now_ns + (u64{count} << shift);
  return s;
}

EngineLocalApic to_engine(const LocalApicState& s, u32 count) {
  using namespace lapic;
  EngineLocalApic apic;
  apic.base = s.base;
  std::ranges::copy(s.registers, apic.registers.begin());
  apic.registers[kTimerCurrent] = count;
  apic.tsc_deadline = s.tsc_deadline;
  // The engine would take an expired count for one that expires now.
  const bool one_shot = (s.registers[kLvtTimer] & kTimerModes) == 0;
  if (one_shot && s.timer_deadline_ns == kNever) apic.registers[kTimerInitial] = 0;
  return apic;
}

// --- the link

Result<void> EngineChipsLink::hand_over() {
  disconnect();
  EMU_TRY(give_local_apics());
  if (has_all()) {
    EMU_TRY(give_lines());
    hpet_has_irq0_ = board_.hpet.legacy();
    EMU_TRY(give_pit());
  }
  connect();
  return {};
}

Result<void> EngineChipsLink::take_back() {
  if (!connected_) return {};
  if (has_all()) {
    EMU_TRY(take_lines());
    EMU_TRY(take_pit());
  }
  EMU_TRY(take_local_apics());
  disconnect();
  if (has_all()) board_.pic.resumed();
  for (auto& processor : board_.processors) {
    processor->apic().tsc_changed();
    processor->apic().resumed();
  }
  return {};
}

void EngineChipsLink::connect() {
  connected_ = true;
  for (auto& processor : board_.processors) processor->apic().set_remote(true);
  board_.messages.set_remote([this](u64 address, u32 data) {
    return chips_.send_message({address, data});
  });
  if (!has_all()) {
    board_.io_apic.set_listener([this] { tell_level_messages(); });
    return tell_level_messages();
  }
  board_.lines.set_remote([this](unsigned line, bool active) { chips_.set_line(line, active); });
  board_.pit.set_remote(I8254::Remote{[this] { refresh_pit(); }, [this] { (void)give_pit(); }});
  board_.hpet.set_legacy_listener([this](bool legacy) {
    if (legacy == hpet_has_irq0_) return;
    refresh_pit();
    hpet_has_irq0_ = legacy;
    (void)give_pit();
  });
}

void EngineChipsLink::disconnect() {
  if (!connected_) return;
  connected_ = false;
  board_.hpet.set_legacy_listener(nullptr);
  board_.pit.set_remote(std::nullopt);
  board_.lines.set_remote(nullptr);
  board_.io_apic.set_listener(nullptr);
  board_.messages.set_remote(nullptr);
  for (auto& processor : board_.processors) processor->apic().set_remote(false);
}

// Levels the engine still has go first, and come back last: an input that is high and
// edge-triggered must not make another edge.
Result<void> EngineChipsLink::give_lines() {
  for (unsigned line = 0; line < EngineIoApic::kInputs; ++line) chips_.set_line(line, false);
  for (unsigned chip = 0; chip < 2; ++chip) {
    EnginePic pic = to_engine(board_.pic.state(chip));
    if (chip == 0) pic.lines &= static_cast<u8>(~kOwnLines);
    EMU_TRY(chips_.set_pic(chip, pic));
  }
  const IoApicState& state = board_.io_apic.state();
  EngineIoApic io_apic;
  io_apic.id = state.id;
  io_apic.select = state.select;
  io_apic.redirection = state.redirection;
  u32 level_lines = 0;
  for (unsigned input = 0; input < IoApicState::kInputs; ++input) {
    if (bit(state.levels, input) && board_.io_apic.is_level_triggered(input)) {
      level_lines |= 1u << input;
    }
  }
  io_apic.requests = level_lines;
  EMU_TRY(chips_.set_io_apic(io_apic));
  for (unsigned line = 3; line < EngineIoApic::kInputs; ++line) {
    const unsigned chip = line / 8;
    const bool pic_holds = chip < 2 && bit(board_.pic.state(chip).elcr, line % 8) &&
                           bit(board_.pic.state(chip).lines, line % 8);
    if (pic_holds || bit(level_lines, line)) chips_.set_line(line, true);
  }
  return {};
}

Result<void> EngineChipsLink::take_lines() {
  for (unsigned chip = 0; chip < 2; ++chip) {
    const auto pic = chips_.pic(chip);
    if (!pic) return pic.error();
    board_.pic.set_state(chip, from_engine(*pic, board_.pic.state(chip)));
  }
  const auto io_apic = chips_.io_apic();
  if (!io_apic) return io_apic.error();
  IoApicState state = board_.io_apic.state();
  state.id = io_apic->id;
  state.select = io_apic->select;
  state.redirection = io_apic->redirection;
  board_.io_apic.set_state(state);
  return {};
}

Result<void> EngineChipsLink::give_local_apics() {
  for (auto& processor : board_.processors) {
    const LocalApic& apic = processor->apic();
    EngineLocalApic registers = to_engine(apic.state(), apic.timer_count());
    registers.registers[lapic::kId] = processor->index() << 24;  // in either mode
    EMU_TRY(chips_.set_local_apic(processor->index(), registers));
  }
  return {};
}

Result<void> EngineChipsLink::take_local_apics() {
  for (auto& processor : board_.processors) {
    const auto registers = chips_.local_apic(processor->index());
    if (!registers) return registers.error();
    LocalApic& apic = processor->apic();
    apic.set_state(from_engine(*registers, apic.state(), board_.clock.now_ns()));
  }
  return {};
}

Result<void> EngineChipsLink::take_pit() {
  const auto pit = chips_.pit();
  if (!pit) return pit.error();
  for (unsigned i = 0; i < I8254::kChannels; ++i) {
    board_.pit.set_state(i, from_engine(pit->counters[i]));
  }
  return {};
}

Result<void> EngineChipsLink::give_pit() {
  EnginePit pit;
  for (unsigned i = 0; i < I8254::kChannels; ++i) {
    pit.counters[i] = to_engine(board_.pit.known_state(i));
  }
  pit.irq0_is_hpets = hpet_has_irq0_;
  return chips_.set_pit(pit);
}

// The engine reports its own failures; the copy stays as it was.
void EngineChipsLink::refresh_pit() {
  if (const auto taken = take_pit(); !taken) {
    log(LogLevel::kWarning, "machine", "{}", taken.error().message);
  }
}

void EngineChipsLink::tell_level_messages() {
  std::array<std::optional<EngineMessage>, IoApicState::kInputs> messages;
  for (unsigned input = 0; input < messages.size(); ++input) {
    if (const auto message = board_.io_apic.level_message(input)) {
      const auto [address, data] = ApicBus::as_write(*message);
      messages[input] = EngineMessage{address, data};
    }
  }
  if (const auto told = chips_.set_level_messages(messages); !told) {
    log(LogLevel::kWarning, "machine", "{}", told.error().message);
  }
}

}  // namespace emu
