// SPDX-License-Identifier: Apache-2.0
// Random sequences of flag producers, flag readers and memory accesses in one block: flags must
// survive the inline checks between them. With pointers that move by constants, so that accesses
// share checks: nothing may change by that.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <initializer_list>

#include "cpu/xsave_layout.h"
#include "instruction_forms.h"
#include "instruction_host_unsafe.h"
#include "instruction_state.h"

namespace emu::instruction_test {
namespace {

constexpr ZydisRegister kRegisters[] = {ZYDIS_REGISTER_RAX, ZYDIS_REGISTER_RCX, ZYDIS_REGISTER_RDX,
                                        ZYDIS_REGISTER_RBX, ZYDIS_REGISTER_R8,  ZYDIS_REGISTER_R9,
                                        ZYDIS_REGISTER_R12, ZYDIS_REGISTER_R15};

class Sequence {
 public:
  // With `pointers`: mostly accesses and changes of the registers they are based on.
  explicit Sequence(Random& random, bool pointers = false) : random_(random), pointers_(pointers) {}

  void add() {
    if (pointers_ && random_() % 2 == 0) return random_() % 2 == 0 ? pointer() : neutral();
    switch (random_() % 8) {
      case 0:
      case 1:
        return producer();
      case 2:
        return reader();
      case 3:
        return other_flags();
      case 4:
        return stack();
      default:
        return neutral();
    }
  }
  [[nodiscard]] const std::vector<u8>& bytes() const { return bytes_; }
  [[nodiscard]] unsigned count() const { return count_; }

 private:
  ZydisRegister reg() { return kRegisters[random_() % std::size(kRegisters)]; }
  ZydisRegister sized(ZydisRegister r, unsigned bits) {
    const int n = r - ZYDIS_REGISTER_RAX;
    if (bits == 32) return static_cast<ZydisRegister>(ZYDIS_REGISTER_EAX + n);
    if (bits == 16) return static_cast<ZydisRegister>(ZYDIS_REGISTER_AX + n);
    if (bits == 8) {
      return static_cast<ZydisRegister>(n < 4 ? ZYDIS_REGISTER_AL + n : ZYDIS_REGISTER_R8B + n - 8);
    }
    return r;
  }
  unsigned bits() {
    static constexpr unsigned kBits[] = {8, 16, 32, 64, 64, 32};
    return kBits[random_() % std::size(kBits)];
  }

  static ZydisEncoderOperand of(ZydisRegister r) {
    ZydisEncoderOperand o{};
    o.type = ZYDIS_OPERAND_TYPE_REGISTER;
    o.reg.value = r;
    return o;
  }
  ZydisEncoderOperand memory(unsigned width) {
    ZydisEncoderOperand o{};
    o.type = ZYDIS_OPERAND_TYPE_MEMORY;
    o.mem.base = pointer_register();
    o.mem.displacement = static_cast<i64>(random_() % 256) - 128;
    if (o.mem.base == ZYDIS_REGISTER_RSP) o.mem.displacement &= 127;
    o.mem.size = static_cast<u16>(width / 8);
    return o;
  }
  ZydisEncoderOperand immediate(i64 value) {
    ZydisEncoderOperand o{};
    o.type = ZYDIS_OPERAND_TYPE_IMMEDIATE;
    o.imm.s = value;
    return o;
  }

  void emit(ZydisMnemonic mnemonic, std::initializer_list<ZydisEncoderOperand> operands) {
    ZydisEncoderRequest request{};
    request.machine_mode = ZYDIS_MACHINE_MODE_LONG_64;
    request.mnemonic = mnemonic;
    for (const auto& o : operands) request.operands[request.operand_count++] = o;
    u8 buffer[15];
    ZyanUSize length = sizeof buffer;
    if (!ZYAN_SUCCESS(ZydisEncoderEncodeInstruction(&request, buffer, &length))) return;
    bytes_.insert(bytes_.end(), buffer, buffer + length);
    ++count_;
  }

  void producer() {
    static constexpr ZydisMnemonic kAlu[] = {
        ZYDIS_MNEMONIC_ADD, ZYDIS_MNEMONIC_SUB, ZYDIS_MNEMONIC_CMP, ZYDIS_MNEMONIC_TEST,
        ZYDIS_MNEMONIC_AND, ZYDIS_MNEMONIC_OR,  ZYDIS_MNEMONIC_XOR};
    const ZydisMnemonic m = kAlu[random_() % std::size(kAlu)];
    const unsigned width = bits();
    const ZydisRegister a = sized(reg(), width);
    if (random_() % 4 == 0) return emit(m, {memory(width), of(a)});
    if (random_() % 2 == 0) {
      return emit(m, {of(a), immediate(static_cast<i8>(random_()))});
    }
    emit(m, {of(a), of(sized(reg(), width))});
  }

  void other_flags() {
    const unsigned width = bits();
    const ZydisRegister a = sized(reg(), width);
    switch (random_() % 6) {
      case 0:
        return emit(ZYDIS_MNEMONIC_INC, {of(a)});
      case 1:
        return emit(ZYDIS_MNEMONIC_DEC, {memory(width)});
      case 2:
        return emit(ZYDIS_MNEMONIC_SHL, {of(a), of(ZYDIS_REGISTER_CL)});
      case 3:
        return emit(ZYDIS_MNEMONIC_SHR, {memory(width), immediate(1)});
      case 4:
        return emit(ZYDIS_MNEMONIC_NEG, {of(a)});
      default:
        return emit(ZYDIS_MNEMONIC_CMC, {});
    }
  }

  void reader() {
    switch (random_() % 6) {
      case 0:
        return emit(ZYDIS_MNEMONIC_ADC, {of(reg()), memory(64)});
      case 1:
        return emit(ZYDIS_MNEMONIC_SBB, {of(reg()), of(reg())});
      case 2:
        return emit(ZYDIS_MNEMONIC_SETL, {memory(8)});
      case 3:
        return emit(ZYDIS_MNEMONIC_CMOVBE, {of(reg()), memory(64)});
      case 4:
        return emit(ZYDIS_MNEMONIC_SETP, {of(sized(reg(), 8))});
      default:
        return emit(ZYDIS_MNEMONIC_CMOVS, {of(reg()), of(reg())});
    }
  }

  void stack() {
    const auto sp = of(ZYDIS_REGISTER_RSP);
    switch (random_() % 6) {
      case 0:
      case 1:
        return emit(ZYDIS_MNEMONIC_PUSH, {of(reg())});
      case 2:
      case 3:
        return emit(ZYDIS_MNEMONIC_POP, {of(reg())});
      case 4:
        return emit(ZYDIS_MNEMONIC_ADD, {sp, immediate(8)});
      default:
        return emit(ZYDIS_MNEMONIC_SUB, {sp, immediate(24)});
    }
  }

  ZydisRegister pointer_register() {
    static constexpr ZydisRegister kPointers[] = {ZYDIS_REGISTER_RSI, ZYDIS_REGISTER_RBP,
                                                  ZYDIS_REGISTER_RSP, ZYDIS_REGISTER_R10};
    return kPointers[random_() % (pointers_ ? 4 : 2)];
  }

  void pointer() {
    static constexpr ZydisRegister kMoving[] = {ZYDIS_REGISTER_RSI, ZYDIS_REGISTER_RBP,
                                                ZYDIS_REGISTER_R10};
    const auto to = of(kMoving[random_() % 3]);
    const i64 step = static_cast<i64>(random_() % 64) - 32;
    auto place = memory(64);
    switch (random_() % 9) {
      case 0:
        place.mem.displacement = step;
        return emit(ZYDIS_MNEMONIC_LEA, {to, place});
      case 1:
        return emit(ZYDIS_MNEMONIC_MOV, {to, of(pointer_register())});
      case 2:
        return emit(ZYDIS_MNEMONIC_ADD, {to, immediate(step)});
      case 3:
        return emit(ZYDIS_MNEMONIC_SUB, {to, immediate(step)});
      case 4:
        return emit(ZYDIS_MNEMONIC_INC, {to});
      case 5:
        return emit(ZYDIS_MNEMONIC_PUSH, {place});
      case 6:
        return emit(ZYDIS_MNEMONIC_POP, {place});
      case 7:
        return emit(ZYDIS_MNEMONIC_XCHG, {to, of(pointer_register())});
      default:
        return emit(ZYDIS_MNEMONIC_MOVUPS, {memory(128), of(ZYDIS_REGISTER_XMM1)});
    }
  }

  void neutral() {
    const unsigned width = bits();
    switch (random_() % 5) {
      case 0:
        return emit(ZYDIS_MNEMONIC_MOV, {memory(width), of(sized(reg(), width))});
      case 1:
      case 2:
        return emit(ZYDIS_MNEMONIC_MOV, {of(sized(reg(), width)), memory(width)});
      case 3:
        return emit(ZYDIS_MNEMONIC_MOVZX, {of(reg()), memory(8)});
      default:
        return emit(ZYDIS_MNEMONIC_NOT, {memory(width)});
    }
  }

  Random& random_;
  bool pointers_;
  std::vector<u8> bytes_;
  unsigned count_ = 0;
};

std::string listing(std::span<const u8> code, u64 address) {
  std::string text;
  for (std::size_t at = 0; at < code.size();) {
    ZydisDisassembledInstruction d;
    if (!ZYAN_SUCCESS(ZydisDisassembleIntel(ZYDIS_MACHINE_MODE_LONG_64, address + at, &code[at],
                                            code.size() - at, &d))) {
      break;
    }
    text += fmt::format("    {:#x} {}\n", address + at, d.text);
    at += d.info.length;
  }
  return text;
}

// Runs random sequences natively and emitted.
void compare_sequences(Host& host, Random& random, bool pointers) {
  MachineState before, native, emitted;
  const TranslationMode mode = test_mode(true);
  const std::vector<u8> nop = {0x90};
  GuestInstruction g = decode(nop, kNativeCode, mode);
  for (int i = 0; i < 6000; ++i) {
    Sequence sequence(random, pointers);
    while (sequence.count() < 2 + random() % (pointers ? 15 : 9)) sequence.add();
    std::vector<u8> bytes = nop;
    ASSERT_TRUE(randomize(bytes, g, true, false, random, before));
    before.gpr[kRsi] = kScratch + 1024;
    before.gpr[kRbp] = kScratch + (random() % 4 == 0 ? kPageBytes : 2048);
    before.gpr[kRsp] = kScratch + 3072;
    before.gpr[kR10] = kScratch + (random() % 2 == 0 ? 1500 : kPageBytes + 2000);
    native = before;
    host.run_native(sequence.bytes(), true, native);
    emitted = before;
    const Variant variant = kVariants[random() % 4];
    host.run_emitted_sequence(sequence.bytes(), sequence.count(), mode, variant, emitted);
    const std::string differences = compare(g, true, native, emitted);
    ASSERT_EQ(differences, "") << "sequence " << i << " variant " << static_cast<int>(variant)
                               << "\n"
                               << listing(sequence.bytes(), kNativeCode) << describe(before)
                               << listing(host.last_block().code, kEmitted);
  }
}

TEST(InstructionSequence, FlagsSurviveChecks) {
  Host host;
  Random random(7);
  compare_sequences(host, random, false);
}

TEST(InstructionSequence, AccessesThatShareChecks) {
  Host host;
  Random random(8);
  compare_sequences(host, random, true);
  EXPECT_GT(host.unshared_runs(), 1000u);
}

}  // namespace
}  // namespace emu::instruction_test
