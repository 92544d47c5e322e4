// SPDX-License-Identifier: Apache-2.0
#include "instruction_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/bits.h"
#include "cpu/xsave_layout.h"
#include "tcg/emit_renamed.h"

namespace emu::instruction_test {
namespace {

u64 interesting(Random& random) {
  static constexpr u64 kValues[] = {0,
                                    1,
                                    2,
                                    0x7f,
                                    0x80,
                                    0xff,
                                    0x7fff,
                                    0x8000,
                                    0xffff,
                                    0x7fffffff,
                                    0x80000000,
                                    0xffffffff,
                                    0x7fffffffffffffff,
                                    0x8000000000000000,
                                    ~u64{0}};
  switch (random() % 4) {
    case 0:
      return kValues[random() % std::size(kValues)];
    case 1:
      return random() % 128;
    default:
      return random();
  }
}

u64 random_double(Random& random) {
  static constexpr u64 kValues[] = {0x3ff0000000000000, 0x7ff0000000000000, 0xfff8000000000000,
                                    0x7ff4000000000000, 0x0000000000000001, 0x8000000000000000,
                                    0x7fefffffffffffff, 0x4330000000000000};
  if (random() % 4 == 0) return kValues[random() % std::size(kValues)];
  return (random() & 0x800fffffffffffff) | ((0x3f8 + random() % 16) << 52);
}

u64 random_float_pair(Random& random) {
  static constexpr u32 kValues[] = {0x3f800000, 0x7f800000, 0xffc00000, 0x7fa00000,
                                    0x00000001, 0x80000000, 0x7f7fffff, 0x4b000000};
  u64 result = 0;
  for (int i = 0; i < 2; ++i) {
    u32 v = static_cast<u32>((random() & 0x807fffff) | ((0x78 + random() % 16) << 23));
    if (random() % 4 == 0) v = kValues[random() % std::size(kValues)];
    result = result << 32 | v;
  }
  return result;
}

u64 random_vector_word(unsigned kind, Random& random) {
  switch (kind) {
    case 0:
      return random_double(random);
    case 1:
      return random_float_pair(random);
    case 2:
      return interesting(random);
    default:
      return random();
  }
}

void random_fpu(Random& random, MachineState& state) {
  u8* x = state.xsave.data();
  std::memset(x, 0, kXsaveBytes);
  const u16 fcw =
      static_cast<u16>(0x40 | (random() & 0xf00) | (random() % 8 == 0 ? random() & 0x3f : 0x3f));
  store_le<u16>(x + kFxFcw, fcw);
  u16 fsw = static_cast<u16>(random() & 0x7f00);
  if (random() % 4 == 0) fsw |= static_cast<u16>(random() & 0x7f & fcw);  // no pending exception
  store_le<u16>(x + kFxFsw, fsw);
  x[kFxFtw] = static_cast<u8>(random() % 2 == 0 ? 0xff : random());
  for (unsigned i = 0; i < 8; ++i) {
    u8* st = x + kFxSt0 + 16 * i;
    u64 mantissa = random() | u64{1} << 63;
    u16 exponent = static_cast<u16>((0x3ff0 + random() % 32) | (random() & 0x8000));
    const u64 r = random() % 16;
    if (r == 0) mantissa = exponent = 0;
    if (r == 1) exponent |= 0x7fff;
    if (r == 2) mantissa = u64{1} << 63, exponent |= 0x7fff;
    if (r == 3) mantissa = random();
    if (r == 4) exponent = static_cast<u16>(random());
    store_le<u64>(st, mantissa);
    store_le<u16>(st + 8, exponent);
  }
  u32 mxcsr = static_cast<u32>(0x1f80 | (random() & 0xe040));
  if (random() % 16 == 0) mxcsr &= ~static_cast<u32>(random() & 0x1f80);
  store_le<u32>(x + kFxMxcsr, mxcsr);
}

void random_vectors(Random& random, MachineState& state) {
  u8* x = state.xsave.data();
  const unsigned kind = static_cast<unsigned>(random() % 4);
  const auto fill = [&](unsigned from, unsigned bytes) {
    for (unsigned i = 0; i < bytes; i += 8) {
      store_le<u64>(x + from + i, random_vector_word(kind, random));
    }
  };
  fill(kFxXmm0, 256);
  fill(xsave_component(2).offset, 256);
  fill(xsave_component(6).offset, 512);
  fill(xsave_component(7).offset, 1024);
  for (unsigned i = 0; i < 8; ++i) {
    u64 mask = random();
    if (random() % 8 == 0) mask = random() % 2 == 0 ? 0 : ~u64{0};
    store_le<u64>(x + xsave_component(5).offset + 8 * i, mask);
  }
  store_le<u64>(x + kXstateBv, 0xe7);
}

// The bytes of vector register `n` at 16-byte lane `lane` in the image.
u8* vector_lane(u8* x, unsigned n, unsigned lane) {
  if (n >= 16) return x + xsave_component(7).offset + 64 * (n - 16) + 16 * lane;
  if (lane == 0) return x + kFxXmm0 + 16 * n;
  if (lane == 1) return x + xsave_component(2).offset + 16 * n;
  return x + xsave_component(6).offset + 32 * n + 16 * (lane - 2);
}

const ZydisDecodedOperand* find_memory(const GuestInstruction& g) {
  for (unsigned i = 0; i < g.info.operand_count; ++i) {
    if (g.operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY) return &g.operands[i];
  }
  return nullptr;
}

class Placer {
 public:
  Placer(std::vector<u8>& bytes, const GuestInstruction& g, bool code64, u64 target, Random& random,
         MachineState& state)
      : bytes_(bytes), g_(g), code64_(code64), target_(target), random_(random), state_(state) {}

  bool place(const ZydisDecodedOperand& op) {
    const auto segment = op.mem.segment;
    if (segment == ZYDIS_REGISTER_FS || segment == ZYDIS_REGISTER_GS) return false;
    if (segment == ZYDIS_REGISTER_CS) return false;
    if (g_.info.address_width == 16) return false;
    if (op.mem.type == ZYDIS_MEMOP_TYPE_VSIB) return place_vector(op);
    if (is_bit_string(op)) return place_bit_string(op);
    return place_scalar(op);
  }

 private:
  static i64 displacement(const ZydisDecodedOperand& op) {
    return op.mem.disp.has_displacement != 0 ? op.mem.disp.value : 0;
  }

  bool patch(u64 value) {
    const auto& disp = g_.info.raw.disp;
    if (disp.size < 32) return false;
    std::memcpy(bytes_.data() + disp.offset, &value, disp.size / 8u);
    return true;
  }

  bool place_scalar(const ZydisDecodedOperand& op) {
    if (op.mem.base == ZYDIS_REGISTER_RIP || op.mem.base == ZYDIS_REGISTER_EIP) {
      return patch(target_ - (kNativeCode + g_.length));
    }
    const u8 base = guest_register(op.mem.base).number, index = guest_register(op.mem.index).number;
    const u64 scale = op.mem.scale == 0 ? 1 : op.mem.scale;
    u64 rest = target_ - static_cast<u64>(displacement(op));
    if (base == kNoRegister && index == kNoRegister) return patch(target_);
    if (base == kNoRegister || base == index) {
      state_.gpr[index] = random_() % 1000;
      const u64 factor = base == index ? scale + 1 : scale;
      return patch(target_ - state_.gpr[index] * factor);
    }
    if (index != kNoRegister) {
      if (random_() % 2 == 0) state_.gpr[index] = random_() % 2000 - 1000;
      rest -= state_.gpr[index] * scale;
    }
    state_.gpr[base] = rest;
    if (g_.info.address_width == 32 && code64_) {
      state_.gpr[base] = (rest & 0xffffffff) | (random_() << 32);
    }
    return true;
  }

  bool is_bit_string(const ZydisDecodedOperand& op) const {
    switch (g_.info.mnemonic) {
      case ZYDIS_MNEMONIC_BT:
      case ZYDIS_MNEMONIC_BTS:
      case ZYDIS_MNEMONIC_BTR:
      case ZYDIS_MNEMONIC_BTC:
        return &op == &g_.operands[0] && g_.operands[1].type == ZYDIS_OPERAND_TYPE_REGISTER;
      default:
        return false;
    }
  }

  bool place_bit_string(const ZydisDecodedOperand& op) {
    const u8 offset = guest_register(g_.operands[1].reg.value).number;
    if (guest_register(op.mem.base).number == offset ||
        guest_register(op.mem.index).number == offset) {
      return false;
    }
    state_.gpr[offset] = random_() % 4096 - 2048;
    return place_scalar(op);
  }

  bool place_vector(const ZydisDecodedOperand& op) {
    const unsigned n = static_cast<unsigned>(ZydisRegisterGetId(op.mem.index));
    for (unsigned lane = 0; lane < 4; ++lane) {
      for (unsigned i = 0; i < 2; ++i) {
        const bool dword = g_.info.mnemonic == ZYDIS_MNEMONIC_VPGATHERDD || dword_index();
        const u64 a = (random_() % 200 - 100) & (dword ? 0xffffffff : ~u64{0});
        const u64 b = (random_() % 200 - 100) & 0xffffffff;
        store_le<u64>(vector_lane(state_.xsave.data(), n, lane) + 8 * i, dword ? a | b << 32 : a);
      }
    }
    const u8 base = guest_register(op.mem.base).number;
    if (base == kNoRegister) return patch(target_);
    state_.gpr[base] = target_ - static_cast<u64>(displacement(op));
    return true;
  }

  [[nodiscard]] bool dword_index() const {
    const std::string name = ZydisMnemonicGetString(g_.info.mnemonic);
    const auto at = name.find("gather") != std::string::npos ? name.find("gather") + 6
                                                             : name.find("scatter") + 7;
    return at < name.size() && name[at] == 'd';
  }

  std::vector<u8>& bytes_;
  const GuestInstruction& g_;
  bool code64_;
  u64 target_;
  Random& random_;
  MachineState& state_;
};

// Registers that address memory without saying so.
void place_implicit(const GuestInstruction& g, bool unmapped, Random& random, MachineState& state) {
  const u64 middle = (unmapped ? kUnmapped : kScratch) + kScratchBytes / 2;
  const u64 near = random() % 4 == 0 ? 0 : 512 + random() % 1024 / 8 * 8;
  if (g.kind == InstructionClass::kStack) {
    state.gpr[kRsp] = middle + near;
    state.gpr[kRbp] = middle - near;
  }
  for (unsigned i = 0; i < g.info.operand_count; ++i) {
    const ZydisDecodedOperand& op = g.operands[i];
    if (op.type != ZYDIS_OPERAND_TYPE_MEMORY ||
        op.visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT) {
      continue;
    }
    const u8 base = guest_register(op.mem.base).number;
    if (base == kRsi || base == kRdi || base == kRbx) {
      state.gpr[base] = middle + (base == kRdi ? near : 0) - (base == kRbx ? 100 : 0);
    }
  }
}

void restrict_operands(std::vector<u8>& bytes, const GuestInstruction& g) {
  if (g.info.mnemonic == ZYDIS_MNEMONIC_ENTER) {
    bytes[g.info.raw.imm[0].offset + 1u] = 0;
  }
}

std::string bytes_text(const u8* a, const u8* b, unsigned count) {
  std::string x, y;
  for (unsigned i = count; i-- > 0;) {
    x += fmt::format("{:02x}", a[i]);
    y += fmt::format("{:02x}", b[i]);
  }
  return fmt::format("native {} emitted {}", x, y);
}

u64 undefined_flags(const GuestInstruction& g) {
  u64 flags = g.info.cpu_flags != nullptr ? g.info.cpu_flags->undefined & kFlagsArithmetic : 0;
  return flags;
}

}  // namespace

bool randomize(std::vector<u8>& bytes, const GuestInstruction& original, bool code64, bool unmapped,
               Random& random, MachineState& state) {
  for (u64& r : state.gpr) r = interesting(random);
  if (!code64) {
    for (u64& r : state.gpr) r &= 0xffffffff;
  }
  state.rflags = (random() & kFlagsArithmetic) | 2;
  if (original.kind == InstructionClass::kString && random() % 2 == 0) state.rflags |= kFlagDf;
  state.outcome = 0;
  state.target = 0;
  random_fpu(random, state);
  random_vectors(random, state);
  const unsigned kind = static_cast<unsigned>(random() % 4);
  for (unsigned i = 0; i < kScratchBytes; i += 8) {
    store_le<u64>(&state.memory[i], i % 64 == 0 ? random_vector_word(kind, random) : random());
  }
  restrict_operands(bytes, original);
  if (const ZydisDecodedOperand* op = find_memory(original);
      op != nullptr && op->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT) {
    const unsigned size = std::max(op->size / 8u, 1u);
    u64 offset = 1024 + random() % (kScratchBytes - 2048);
    if (unmapped || random() % 8 != 0) offset = align_down(offset, std::bit_ceil(size));
    if (!unmapped && random() % 8 == 0) offset = kPageBytes - random() % size;  // crosses pages
    // The operand runs over the end of mapped memory: masked-out elements must not fault.
    const unsigned one_in = original.kind == InstructionClass::kSpecial ? 3 : 16;
    if (!unmapped && random() % one_in == 0) offset = kScratchBytes - random() % size;
    Placer placer(bytes, original, code64, (unmapped ? kUnmapped : kScratch) + offset, random,
                  state);
    if (!placer.place(*op)) return false;
  }
  place_implicit(original, unmapped, random, state);
  if (!code64) {
    for (u64& r : state.gpr) r &= 0xffffffff;
    for (unsigned i = 8; i < 16; ++i) state.gpr[i] = 0;
  }
  return true;
}

std::string compare(const GuestInstruction& g, bool code64, const MachineState& native,
                    const MachineState& emitted) {
  std::string out;
  const auto differ = [&](std::string_view what, u64 a, u64 b) {
    if (a != b) out += fmt::format("  {}: native {:#x} emitted {:#x}\n", what, a, b);
  };
  differ("outcome", native.outcome, emitted.outcome);
  // Gathers and scatters that fault have done some elements; ours start again.
  if (const ZydisDecodedOperand* op = find_memory(g);
      native.outcome == 14 && op != nullptr && op->mem.type == ZYDIS_MEMOP_TYPE_VSIB) {
    return out;
  }
  const unsigned registers = code64 ? 16 : 8;
  for (unsigned i = 0; i < registers; ++i) {
    const u64 mask = code64 ? ~u64{0} : 0xffffffff;
    differ(fmt::format("r{}", i), native.gpr[i] & mask, emitted.gpr[i] & mask);
    if (!code64) differ(fmt::format("upper half of r{}", i), 0, emitted.gpr[i] >> 32);
  }
  u64 flags = kFlagsArithmetic | kFlagDf;
  flags &= ~undefined_flags(g);
  if (native.outcome < 0x100) flags &= g.flags_live_before | kFlagDf;
  differ("flags", native.rflags & flags, emitted.rflags & flags);
  const u8 *x = native.xsave.data(), *y = emitted.xsave.data();
  const auto same = [&](std::string_view what, unsigned at, unsigned bytes) {
    if (std::memcmp(x + at, y + at, bytes) != 0) {
      out += fmt::format("  {}: {}\n", what, bytes_text(x + at, y + at, bytes));
    }
  };
  same("fcw", kFxFcw, 2);
  // Stores that fault: this host has by then set exception flags (VCVTPS2PH) or switched to MMX
  // mode; here the fault comes first. Both are repeated when the instruction is.
  if (native.outcome != 14) {
    same("fsw", kFxFsw, 2);
    same("ftw", kFxFtw, 1);
    same("mxcsr", kFxMxcsr, 4);
    for (unsigned i = 0; i < 8; ++i) same(fmt::format("st{}", i), kFxSt0 + 16 * i, 10);
  }
  for (unsigned i = 0; i < 8; ++i) {
    same(fmt::format("k{}", i), xsave_component(5).offset + 8 * i, 8);
  }
  for (unsigned i = 0; i < 32; ++i) {
    for (unsigned lane = 0; lane < 4; ++lane) {
      const unsigned at = static_cast<unsigned>(vector_lane(const_cast<u8*>(x), i, lane) - x);
      same(fmt::format("zmm{} lane {}", i, lane), at, 16);
    }
  }
  for (unsigned i = 0; i < kScratchBytes; i += 8) {
    const u64 a = load_le<u64>(&native.memory[i]), b = load_le<u64>(&emitted.memory[i]);
    if (a != b) differ(fmt::format("memory {:#x}", kScratch + i), a, b);
  }
  return out;
}

std::string describe(const MachineState& state) {
  std::string out;
  for (unsigned i = 0; i < 16; ++i) out += fmt::format("  r{}={:#x}", i, state.gpr[i]);
  out += fmt::format("\n  rflags={:#x} mxcsr={:#x} fcw={:#x} fsw={:#x}\n", state.rflags,
                     load_le<u32>(&state.xsave[kFxMxcsr]), load_le<u16>(&state.xsave[kFxFcw]),
                     load_le<u16>(&state.xsave[kFxFsw]));
  return out;
}

}  // namespace emu::instruction_test
