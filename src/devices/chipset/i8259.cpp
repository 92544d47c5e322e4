// SPDX-License-Identifier: Apache-2.0
#include "devices/chipset/i8259.h"

#include "base/bits.h"

namespace emu {
namespace {

constexpr unsigned kCascade = 2;
// Inputs that the PIIX4 lets be level-triggered; 0, 1, 2, 8 and 13 are always edge-triggered.
constexpr std::array<u8, 2> kElcrMask{0xf8, 0xde};

constexpr u8 kIcw1 = 0x10;
constexpr u8 kIcw1Icw4Follows = 0x01;
constexpr u8 kIcw1Single = 0x02;
constexpr u8 kIcw4AutoEoi = 0x02;
constexpr u8 kIcw4SpecialFullyNested = 0x10;
constexpr u8 kOcw3 = 0x08;
constexpr u8 kOcw3ReadIsr = 0x01;
constexpr u8 kOcw3ReadRegister = 0x02;
constexpr u8 kOcw3Poll = 0x04;
constexpr u8 kOcw3SpecialMask = 0x20;
constexpr u8 kOcw3SetSpecialMask = 0x40;
constexpr u8 kPollPending = 0x80;

// OCW2 bits 7..5 (data sheet, figure 8).
enum class Ocw2 : u8 {
  kClearRotateOnAutoEoi = 0,
  kEoi = 1,
  kNoOperation = 2,
  kSpecificEoi = 3,
  kSetRotateOnAutoEoi = 4,
  kRotateOnEoi = 5,
  kSetPriority = 6,
  kRotateOnSpecificEoi = 7,
};

constexpr u8 mask_of(unsigned input) {
  return static_cast<u8>(1u << input);
}

constexpr u8 without(u8 set, u8 removed) {
  return static_cast<u8>(set & ~removed);
}

}  // namespace

I8259Pair::I8259Pair(IrqLine intr) : intr_(intr) {
  reset();
}

void I8259Pair::reset() {
  for (I8259State& s : chips_) {
    const u8 lines = s.lines;  // the wires belong to the devices
    s = I8259State{};
    s.lines = lines;
  }
  update();
}

// The input of `set` with the highest priority, or kNone.
int I8259Pair::highest(const I8259State& s, u8 set) {
  for (unsigned i = 1; i <= 8; ++i) {
    const unsigned input = (s.lowest_priority + i) & 7;
    if ((set & mask_of(input)) != 0) return static_cast<int>(input);
  }
  return kNone;
}

// The input that the chip would signal now, or kNone: unmasked and above everything in service.
int I8259Pair::pending(unsigned chip) const {
  const I8259State& s = chips_[chip];
  const int request = highest(s, without(s.irr, s.imr));
  if (request == kNone) return kNone;
  u8 blocking = s.isr;
  if (s.special_mask) blocking = without(blocking, s.imr);
  // The slave's own priorities decide between its inputs.
  if (chip == kMaster && s.special_fully_nested) blocking = without(blocking, mask_of(kCascade));
  const int in_service = highest(s, blocking);
  if (in_service == kNone) return request;
  const auto rank = [&s](int input) {
    return (static_cast<unsigned>(input) - s.lowest_priority - 1) & 7;
  };
  return rank(request) < rank(in_service) ? request : kNone;
}

// The acknowledge's effect on one chip.
void I8259Pair::take(unsigned chip, unsigned input) {
  I8259State& s = chips_[chip];
  if (!s.auto_eoi) {
    s.isr |= mask_of(input);
  } else if (s.rotate_on_auto_eoi) {
    s.lowest_priority = static_cast<u8>(input);
  }
  if ((s.elcr & mask_of(input)) == 0) s.irr = without(s.irr, mask_of(input));
  // INT drops during the acknowledge: what is still pending makes a new edge on the cascade.
  if (chip == kSlave) set_input(chips_[kMaster], kCascade, false);
}

u8 I8259Pair::acknowledge() {
  constexpr unsigned kSpurious = 7;
  const int master = pending(kMaster);
  u8 vector = static_cast<u8>(chips_[kMaster].vector_base + kSpurious);
  if (master != kNone) {
    const unsigned input = static_cast<unsigned>(master);
    take(kMaster, input);
    vector = static_cast<u8>(chips_[kMaster].vector_base + input);
  }
  if (master == static_cast<int>(kCascade)) {
    const int slave = pending(kSlave);
    const unsigned input = slave == kNone ? kSpurious : static_cast<unsigned>(slave);
    if (slave != kNone) take(kSlave, input);
    vector = static_cast<u8>(chips_[kSlave].vector_base + input);
  }
  update();
  return vector;
}

// Recomputes the slave's INT, the cascade input and INTR.
void I8259Pair::update() {
  set_input(chips_[kMaster], kCascade, pending(kSlave) != kNone);
  intr_level_ = pending(kMaster) != kNone;
  intr_.set(intr_level_);
}

void I8259Pair::set_input(I8259State& s, unsigned input, bool active) {
  const u8 mask = mask_of(input);
  const bool level = (s.elcr & mask) != 0;
  if (active && (level || (s.lines & mask) == 0)) s.irr |= mask;
  if (!active && level) s.irr = without(s.irr, mask);
  s.lines = active ? static_cast<u8>(s.lines | mask) : without(s.lines, mask);
}

void I8259Pair::set_irq(unsigned input, bool active) {
  if (input > 15 || input == kCascade) return;
  set_input(chips_[input / 8], input % 8, active);
  update();
}

void I8259Pair::restore_irq(unsigned input, bool active) {
  if (input > 15 || input == kCascade) return;
  u8& lines = chips_[input / 8].lines;
  const u8 mask = mask_of(input % 8);
  lines = active ? static_cast<u8>(lines | mask) : without(lines, mask);
}

void I8259Pair::begin_initialization(I8259State& s, u8 icw1) {
  // Data sheet, "Initialization Command Words": a. to f. Level requests stay, their wire is active.
  s.irr &= s.elcr;
  s.imr = 0;
  s.isr = 0;
  s.lowest_priority = 7;
  s.auto_eoi = false;
  s.rotate_on_auto_eoi = false;
  s.special_mask = false;
  s.special_fully_nested = false;
  s.reads_isr = false;
  s.poll = false;
  s.single = (icw1 & kIcw1Single) != 0;
  s.icw4_follows = (icw1 & kIcw1Icw4Follows) != 0;
  s.icw_expected = 2;
}

void I8259Pair::write_ocw2(I8259State& s, u8 value) {
  const auto command = static_cast<Ocw2>(value >> 5);
  const u8 level = value & 7;
  // In special mask mode a non-specific EOI leaves masked inputs in service.
  const int top = highest(s, s.special_mask ? without(s.isr, s.imr) : s.isr);
  switch (command) {
    case Ocw2::kClearRotateOnAutoEoi:
    case Ocw2::kSetRotateOnAutoEoi:
      s.rotate_on_auto_eoi = command == Ocw2::kSetRotateOnAutoEoi;
      break;
    case Ocw2::kEoi:
    case Ocw2::kRotateOnEoi:
      if (top == kNone) break;
      s.isr = without(s.isr, mask_of(static_cast<unsigned>(top)));
      if (command == Ocw2::kRotateOnEoi) s.lowest_priority = static_cast<u8>(top);
      break;
    case Ocw2::kSpecificEoi:
    case Ocw2::kRotateOnSpecificEoi:
      s.isr = without(s.isr, mask_of(level));
      if (command == Ocw2::kRotateOnSpecificEoi) s.lowest_priority = level;
      break;
    case Ocw2::kSetPriority:
      s.lowest_priority = level;
      break;
    case Ocw2::kNoOperation:
      break;
  }
}

void I8259Pair::write_ocw3(I8259State& s, u8 value) {
  if ((value & kOcw3Poll) != 0) s.poll = true;
  if ((value & kOcw3ReadRegister) != 0) s.reads_isr = (value & kOcw3ReadIsr) != 0;
  if ((value & kOcw3SetSpecialMask) != 0) s.special_mask = (value & kOcw3SpecialMask) != 0;
}

void I8259Pair::write_command(unsigned chip, u8 value) {
  I8259State& s = chips_[chip];
  if ((value & kIcw1) != 0) {
    begin_initialization(s, value);
  } else if ((value & kOcw3) != 0) {
    write_ocw3(s, value);
  } else {
    write_ocw2(s, value);
  }
  update();
}

void I8259Pair::write_data(unsigned chip, u8 value) {
  I8259State& s = chips_[chip];
  switch (s.icw_expected) {
    case 2:
      s.vector_base = value & 0xf8;
      s.icw_expected = s.single ? (s.icw4_follows ? 4 : 0) : 3;
      break;
    case 3:  // the cascade's wiring is fixed
      s.icw_expected = s.icw4_follows ? 4 : 0;
      break;
    case 4:
      s.special_fully_nested = (value & kIcw4SpecialFullyNested) != 0;
      s.auto_eoi = (value & kIcw4AutoEoi) != 0;
      s.icw_expected = 0;
      break;
    default:
      s.imr = value;
      break;
  }
  update();
}

u8 I8259Pair::poll(unsigned chip) {
  chips_[chip].poll = false;
  const int input = pending(chip);
  if (input == kNone) return 0;
  take(chip, static_cast<unsigned>(input));
  update();
  return static_cast<u8>(kPollPending | static_cast<u8>(input));
}

u8 I8259Pair::read(unsigned chip, bool a0) {
  const I8259State& s = chips_[chip];
  if (s.poll) return poll(chip);
  if (a0) return s.imr;
  return s.reads_isr ? s.isr : s.irr;
}

u64 I8259Pair::read_master(u64 offset, unsigned) {
  return read(kMaster, offset != 0);
}
u64 I8259Pair::read_slave(u64 offset, unsigned) {
  return read(kSlave, offset != 0);
}
void I8259Pair::write_master(u64 offset, unsigned, u64 value) {
  const u8 byte = static_cast<u8>(value);
  offset == 0 ? write_command(kMaster, byte) : write_data(kMaster, byte);
}
void I8259Pair::write_slave(u64 offset, unsigned, u64 value) {
  const u8 byte = static_cast<u8>(value);
  offset == 0 ? write_command(kSlave, byte) : write_data(kSlave, byte);
}

u64 I8259Pair::read_elcr(u64 offset, unsigned) {
  return chips_[offset & 1].elcr;
}

void I8259Pair::write_elcr(u64 offset, unsigned, u64 value) {
  I8259State& s = chips_[offset & 1];
  s.elcr = static_cast<u8>(value) & kElcrMask[offset & 1];
  // A level input requests exactly while its wire is active.
  s.irr = static_cast<u8>(without(s.irr, s.elcr) | (s.lines & s.elcr));
  update();
}

void I8259Pair::transfer(StateIo& io) {
  const auto chip = [&io](std::string_view name, I8259State& s) {
    io.section(name, 1, [&] {
      io.field(1, "lines", s.lines);
      io.field(2, "irr", s.irr);
      io.field(3, "imr", s.imr);
      io.field(4, "isr", s.isr);
      io.field(5, "elcr", s.elcr);
      io.field(6, "vector_base", s.vector_base);
      io.field(7, "lowest_priority", s.lowest_priority);
      io.field(8, "icw_expected", s.icw_expected);
      io.field(9, "icw4_follows", s.icw4_follows);
      io.field(10, "single", s.single);
      io.field(11, "auto_eoi", s.auto_eoi);
      io.field(12, "rotate_on_auto_eoi", s.rotate_on_auto_eoi);
      io.field(13, "special_mask", s.special_mask);
      io.field(14, "special_fully_nested", s.special_fully_nested);
      io.field(15, "reads_isr", s.reads_isr);
      io.field(16, "poll", s.poll);
      io.check(s.lowest_priority < 8, "lowest_priority is not an input");
      io.check(s.icw_expected != 1 && s.icw_expected < 5, "icw_expected is not an ICW");
    });
  };
  io.section(name(), 1, [&] {
    chip("master", chips_[kMaster]);
    chip("slave", chips_[kSlave]);
  });
}

void I8259Pair::resumed() {
  intr_level_ = pending(kMaster) != kNone;
  intr_.restore(intr_level_);
}

}  // namespace emu
