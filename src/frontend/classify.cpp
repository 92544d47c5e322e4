// SPDX-License-Identifier: Apache-2.0
// Classification of instructions, availability of the FPU and vector units, and status flags.
// Source: Intel SDM vol. 2 (each instruction), vol. 3 2.5 and 13.1 (FPU and SIMD exceptions by
// CR0.EM/TS/MP, CR4.OSFXSR/OSXSAVE, XCR0).
#include "frontend/classify.h"

#include "cpu/cpu_state.h"
#include "cpu/fault.h"
#include "frontend/host_features.h"

namespace emu {
namespace {

using Kind = InstructionClass;

bool is_far(const GuestInstruction& g) {
  return g.info.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;
}

bool has_operand_class(const GuestInstruction& g, ZydisRegisterClass wanted) {
  for (unsigned i = 0; i < g.info.operand_count_visible; ++i) {
    if (g.operands[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
        ZydisRegisterGetClass(g.operands[i].reg.value) == wanted) {
      return true;
    }
  }
  return false;
}

bool has_memory(const GuestInstruction& g) {
  for (unsigned i = 0; i < g.info.operand_count_visible; ++i) {
    if (g.operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY) return true;
  }
  return false;
}

struct Choice {
  Kind kind;
  bool ends_block = false;
};

// MOV: plain unless a segment, control or debug register takes part.
Choice classify_mov(const GuestInstruction& g) {
  if (has_operand_class(g, ZYDIS_REGCLASS_CONTROL) || has_operand_class(g, ZYDIS_REGCLASS_DEBUG)) {
    const bool writes = ZydisRegisterGetClass(g.operands[0].reg.value) != ZYDIS_REGCLASS_GPR64 &&
                        ZydisRegisterGetClass(g.operands[0].reg.value) != ZYDIS_REGCLASS_GPR32;
    return {Kind::kSystem, writes};
  }
  if (!has_operand_class(g, ZYDIS_REGCLASS_SEGMENT)) return {Kind::kPlain};
  const bool to_segment = g.operands[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
                          ZydisRegisterGetClass(g.operands[0].reg.value) == ZYDIS_REGCLASS_SEGMENT;
  if (to_segment) return {Kind::kSystem, true};
  return {Kind::kSpecial};
}

Choice classify_string(const GuestInstruction& g) {
  const bool repeated = (g.info.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE |
                                              ZYDIS_ATTRIB_HAS_REPNE)) != 0;
  return {repeated ? Kind::kSystem : Kind::kString};
}

// MOVSD and CMPSD name both a string and an SSE2 instruction.
bool is_sse(const GuestInstruction& g) {
  return g.info.meta.isa_ext != ZYDIS_ISA_EXT_BASE && g.info.meta.isa_ext != ZYDIS_ISA_EXT_LONGMODE;
}

// Exception classes without "NF": masked-out elements do not fault (SDM vol. 2 2.8).
bool suppresses_faults(const GuestInstruction& g) {
  switch (g.info.mnemonic) {  // Zydis has another class for these
    case ZYDIS_MNEMONIC_VGF2P8AFFINEQB:
    case ZYDIS_MNEMONIC_VGF2P8AFFINEINVQB:
    case ZYDIS_MNEMONIC_VDBPSADBW:
    case ZYDIS_MNEMONIC_VCVTNE2PS2BF16:
    case ZYDIS_MNEMONIC_VFMADDCPH:
    case ZYDIS_MNEMONIC_VFCMADDCPH:
    case ZYDIS_MNEMONIC_VFMULCPH:
    case ZYDIS_MNEMONIC_VFCMULCPH:
      return false;
    default:
      break;
  }
  switch (g.info.meta.exception_class) {
    case ZYDIS_EXCEPTION_CLASS_E1NF:
    case ZYDIS_EXCEPTION_CLASS_E2NF:
    case ZYDIS_EXCEPTION_CLASS_E3NF:
    case ZYDIS_EXCEPTION_CLASS_E4NF:
    case ZYDIS_EXCEPTION_CLASS_E5NF:
    case ZYDIS_EXCEPTION_CLASS_E6NF:
    case ZYDIS_EXCEPTION_CLASS_E9NF:
    case ZYDIS_EXCEPTION_CLASS_E10NF:
    case ZYDIS_EXCEPTION_CLASS_E11NF:
      return false;
    default:
      return true;
  }
}

// Memory operands whose address or extent depends on a mask or on vector indices.
bool is_masked_memory(const GuestInstruction& g) {
  for (unsigned i = 0; i < g.info.operand_count; ++i) {
    const ZydisDecodedOperand& op = g.operands[i];
    if (op.type != ZYDIS_OPERAND_TYPE_MEMORY) continue;
    if (op.mem.type == ZYDIS_MEMOP_TYPE_VSIB) return true;
    return g.info.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX &&
           g.info.avx.mask.reg != ZYDIS_REGISTER_NONE && g.info.avx.mask.reg != ZYDIS_REGISTER_K0 &&
           suppresses_faults(g);
  }
  return false;
}

// System instructions that are simple enough in some modes to be emitted inline.
bool is_inline_system(ZydisMnemonic mnemonic, TranslationMode mode) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_SWAPGS:
      return mode.code64() && mode.cpl == 0;
    case ZYDIS_MNEMONIC_CLI:
      return mode.iopl_ok != 0 && mode.vm86 == 0;
    case ZYDIS_MNEMONIC_PUSHFQ:
      return mode.code64();
    default:
      return false;
  }
}

Choice classify_mnemonic(const GuestInstruction& g) {
  switch (g.info.mnemonic) {
    case ZYDIS_MNEMONIC_MOV:
      return classify_mov(g);

    case ZYDIS_MNEMONIC_JMP:
    case ZYDIS_MNEMONIC_CALL:
    case ZYDIS_MNEMONIC_RET:
      return {is_far(g) ? Kind::kSystem : Kind::kControl, true};
    case ZYDIS_MNEMONIC_JB:
    case ZYDIS_MNEMONIC_JBE:
    case ZYDIS_MNEMONIC_JL:
    case ZYDIS_MNEMONIC_JLE:
    case ZYDIS_MNEMONIC_JNB:
    case ZYDIS_MNEMONIC_JNBE:
    case ZYDIS_MNEMONIC_JNL:
    case ZYDIS_MNEMONIC_JNLE:
    case ZYDIS_MNEMONIC_JNO:
    case ZYDIS_MNEMONIC_JNP:
    case ZYDIS_MNEMONIC_JNS:
    case ZYDIS_MNEMONIC_JNZ:
    case ZYDIS_MNEMONIC_JO:
    case ZYDIS_MNEMONIC_JP:
    case ZYDIS_MNEMONIC_JS:
    case ZYDIS_MNEMONIC_JZ:
    case ZYDIS_MNEMONIC_JCXZ:
    case ZYDIS_MNEMONIC_JECXZ:
    case ZYDIS_MNEMONIC_JRCXZ:
    case ZYDIS_MNEMONIC_LOOP:
    case ZYDIS_MNEMONIC_LOOPE:
    case ZYDIS_MNEMONIC_LOOPNE:
      return {Kind::kControl, true};

    case ZYDIS_MNEMONIC_POP:
      if (has_operand_class(g, ZYDIS_REGCLASS_SEGMENT)) return {Kind::kSystem, true};
      return {Kind::kStack};
    case ZYDIS_MNEMONIC_PUSH:
    case ZYDIS_MNEMONIC_PUSHA:
    case ZYDIS_MNEMONIC_PUSHAD:
    case ZYDIS_MNEMONIC_POPA:
    case ZYDIS_MNEMONIC_POPAD:
    case ZYDIS_MNEMONIC_ENTER:
    case ZYDIS_MNEMONIC_LEAVE:
      return {Kind::kStack};

    case ZYDIS_MNEMONIC_MOVSD:
    case ZYDIS_MNEMONIC_CMPSD:
      if (is_sse(g)) return {Kind::kPlain};
      return classify_string(g);
    case ZYDIS_MNEMONIC_MOVSB:
    case ZYDIS_MNEMONIC_MOVSW:
    case ZYDIS_MNEMONIC_MOVSQ:
    case ZYDIS_MNEMONIC_CMPSB:
    case ZYDIS_MNEMONIC_CMPSW:
    case ZYDIS_MNEMONIC_CMPSQ:
    case ZYDIS_MNEMONIC_SCASB:
    case ZYDIS_MNEMONIC_SCASW:
    case ZYDIS_MNEMONIC_SCASD:
    case ZYDIS_MNEMONIC_SCASQ:
    case ZYDIS_MNEMONIC_LODSB:
    case ZYDIS_MNEMONIC_LODSW:
    case ZYDIS_MNEMONIC_LODSD:
    case ZYDIS_MNEMONIC_LODSQ:
    case ZYDIS_MNEMONIC_STOSB:
    case ZYDIS_MNEMONIC_STOSW:
    case ZYDIS_MNEMONIC_STOSD:
    case ZYDIS_MNEMONIC_STOSQ:
      return classify_string(g);

    case ZYDIS_MNEMONIC_LEA:
    case ZYDIS_MNEMONIC_XLAT:
    case ZYDIS_MNEMONIC_AAM:
    case ZYDIS_MNEMONIC_AAD:
    case ZYDIS_MNEMONIC_SALC:
    case ZYDIS_MNEMONIC_BOUND:
    case ZYDIS_MNEMONIC_CLD:
    case ZYDIS_MNEMONIC_STD:
    case ZYDIS_MNEMONIC_MASKMOVQ:
    case ZYDIS_MNEMONIC_MASKMOVDQU:
    case ZYDIS_MNEMONIC_VMASKMOVDQU:
      return {Kind::kSpecial};
    case ZYDIS_MNEMONIC_VMASKMOVPS:
    case ZYDIS_MNEMONIC_VMASKMOVPD:
    case ZYDIS_MNEMONIC_VPMASKMOVD:
    case ZYDIS_MNEMONIC_VPMASKMOVQ:
      return {Kind::kSpecial};
    case ZYDIS_MNEMONIC_BT:
    case ZYDIS_MNEMONIC_BTS:
    case ZYDIS_MNEMONIC_BTR:
    case ZYDIS_MNEMONIC_BTC:
      return {has_memory(g) && g.operands[1].type == ZYDIS_OPERAND_TYPE_REGISTER ? Kind::kSpecial
                                                                                 : Kind::kPlain};
    // Outside 64-bit code they leave registers 8 to 15 alone.
    case ZYDIS_MNEMONIC_VZEROALL:
    case ZYDIS_MNEMONIC_VZEROUPPER:
      return {g.info.machine_mode == ZYDIS_MACHINE_MODE_LONG_64 ? Kind::kPlain : Kind::kSpecial};

    // Segment loads, far transfers, interrupts, system calls: the mode may change.
    case ZYDIS_MNEMONIC_LDS:
    case ZYDIS_MNEMONIC_LES:
    case ZYDIS_MNEMONIC_LFS:
    case ZYDIS_MNEMONIC_LGS:
    case ZYDIS_MNEMONIC_LSS:
    case ZYDIS_MNEMONIC_INT:
    case ZYDIS_MNEMONIC_INT3:
    case ZYDIS_MNEMONIC_INT1:
    case ZYDIS_MNEMONIC_INTO:
    case ZYDIS_MNEMONIC_IRET:
    case ZYDIS_MNEMONIC_IRETD:
    case ZYDIS_MNEMONIC_IRETQ:
    case ZYDIS_MNEMONIC_SYSCALL:
    case ZYDIS_MNEMONIC_SYSRET:
    case ZYDIS_MNEMONIC_SYSENTER:
    case ZYDIS_MNEMONIC_SYSEXIT:
    case ZYDIS_MNEMONIC_RSM:
    case ZYDIS_MNEMONIC_LGDT:
    case ZYDIS_MNEMONIC_LIDT:
    case ZYDIS_MNEMONIC_LLDT:
    case ZYDIS_MNEMONIC_LTR:
    case ZYDIS_MNEMONIC_LMSW:
    case ZYDIS_MNEMONIC_CLTS:
    case ZYDIS_MNEMONIC_WRMSR:
    case ZYDIS_MNEMONIC_XSETBV:
    case ZYDIS_MNEMONIC_WRPKRU:
    case ZYDIS_MNEMONIC_INVLPG:
    case ZYDIS_MNEMONIC_INVPCID:
    case ZYDIS_MNEMONIC_WBINVD:
    case ZYDIS_MNEMONIC_INVD:
    case ZYDIS_MNEMONIC_POPF:
    case ZYDIS_MNEMONIC_POPFD:
    case ZYDIS_MNEMONIC_POPFQ:
    case ZYDIS_MNEMONIC_STAC:
    case ZYDIS_MNEMONIC_CLAC:
    case ZYDIS_MNEMONIC_HLT:
    case ZYDIS_MNEMONIC_MWAIT:
    case ZYDIS_MNEMONIC_IN:
    case ZYDIS_MNEMONIC_OUT:
    case ZYDIS_MNEMONIC_INSB:
    case ZYDIS_MNEMONIC_INSW:
    case ZYDIS_MNEMONIC_INSD:
    case ZYDIS_MNEMONIC_OUTSB:
    case ZYDIS_MNEMONIC_OUTSW:
    case ZYDIS_MNEMONIC_OUTSD:
      return {Kind::kSystem, true};

    case ZYDIS_MNEMONIC_PAUSE:
    case ZYDIS_MNEMONIC_AAA:
    case ZYDIS_MNEMONIC_AAS:
    case ZYDIS_MNEMONIC_DAA:
    case ZYDIS_MNEMONIC_DAS:
    case ZYDIS_MNEMONIC_LAR:
    case ZYDIS_MNEMONIC_LSL:
    case ZYDIS_MNEMONIC_VERR:
    case ZYDIS_MNEMONIC_VERW:
    case ZYDIS_MNEMONIC_ARPL:
    case ZYDIS_MNEMONIC_SGDT:
    case ZYDIS_MNEMONIC_SIDT:
    case ZYDIS_MNEMONIC_SLDT:
    case ZYDIS_MNEMONIC_STR:
    case ZYDIS_MNEMONIC_SMSW:
    case ZYDIS_MNEMONIC_RDMSR:
    case ZYDIS_MNEMONIC_RDTSC:
    case ZYDIS_MNEMONIC_RDTSCP:
    case ZYDIS_MNEMONIC_RDPMC:
    case ZYDIS_MNEMONIC_RDPID:
    case ZYDIS_MNEMONIC_CPUID:
    case ZYDIS_MNEMONIC_XGETBV:
    case ZYDIS_MNEMONIC_RDPKRU:
    case ZYDIS_MNEMONIC_SWAPGS:
    case ZYDIS_MNEMONIC_RDFSBASE:
    case ZYDIS_MNEMONIC_RDGSBASE:
    case ZYDIS_MNEMONIC_WRFSBASE:
    case ZYDIS_MNEMONIC_WRGSBASE:
    case ZYDIS_MNEMONIC_CLFLUSH:
    case ZYDIS_MNEMONIC_CLFLUSHOPT:
    case ZYDIS_MNEMONIC_CLWB:
    case ZYDIS_MNEMONIC_PUSHF:
    case ZYDIS_MNEMONIC_PUSHFD:
    case ZYDIS_MNEMONIC_PUSHFQ:
    case ZYDIS_MNEMONIC_CLI:
    case ZYDIS_MNEMONIC_STI:  // see emit_set_interrupts()
    case ZYDIS_MNEMONIC_MONITOR:
    case ZYDIS_MNEMONIC_FXSAVE:
    case ZYDIS_MNEMONIC_FXSAVE64:
    case ZYDIS_MNEMONIC_FXRSTOR:
    case ZYDIS_MNEMONIC_FXRSTOR64:
    case ZYDIS_MNEMONIC_XSAVE:
    case ZYDIS_MNEMONIC_XSAVE64:
    case ZYDIS_MNEMONIC_XSAVEC:
    case ZYDIS_MNEMONIC_XSAVEC64:
    case ZYDIS_MNEMONIC_XSAVEOPT:
    case ZYDIS_MNEMONIC_XSAVEOPT64:
    case ZYDIS_MNEMONIC_XSAVES:
    case ZYDIS_MNEMONIC_XSAVES64:
    case ZYDIS_MNEMONIC_XRSTOR:
    case ZYDIS_MNEMONIC_XRSTOR64:
    case ZYDIS_MNEMONIC_XRSTORS:
    case ZYDIS_MNEMONIC_XRSTORS64:
    case ZYDIS_MNEMONIC_FNSTENV:
    case ZYDIS_MNEMONIC_FLDENV:
    case ZYDIS_MNEMONIC_FNSAVE:
    case ZYDIS_MNEMONIC_FRSTOR:
      return {Kind::kSystem};

    case ZYDIS_MNEMONIC_NOP:
    case ZYDIS_MNEMONIC_PREFETCH:
    case ZYDIS_MNEMONIC_PREFETCHNTA:
    case ZYDIS_MNEMONIC_PREFETCHT0:
    case ZYDIS_MNEMONIC_PREFETCHT1:
    case ZYDIS_MNEMONIC_PREFETCHT2:
    case ZYDIS_MNEMONIC_PREFETCHW:
    case ZYDIS_MNEMONIC_PREFETCHWT1:
    case ZYDIS_MNEMONIC_ENDBR32:
    case ZYDIS_MNEMONIC_ENDBR64:
    case ZYDIS_MNEMONIC_RDSSPD:
    case ZYDIS_MNEMONIC_RDSSPQ:
    case ZYDIS_MNEMONIC_CLDEMOTE:
    case ZYDIS_MNEMONIC_FENI8087_NOP:
    case ZYDIS_MNEMONIC_FDISI8087_NOP:
    case ZYDIS_MNEMONIC_FSETPM287_NOP:
      return {Kind::kNop};

    case ZYDIS_MNEMONIC_UD0:
    case ZYDIS_MNEMONIC_UD1:
    case ZYDIS_MNEMONIC_UD2:
    case ZYDIS_MNEMONIC_MOVDIR64B:
      return {Kind::kInvalid, true};
    default:
      break;
  }
  return {is_masked_memory(g) ? Kind::kSpecial : Kind::kPlain};
}

enum class Unit : u8 { kInteger, kX87, kWait, kMmx, kSse, kAvx, kAvx512 };

Unit unit_of(const GuestInstruction& g) {
  switch (g.info.encoding) {
    case ZYDIS_INSTRUCTION_ENCODING_EVEX:
      return Unit::kAvx512;
    case ZYDIS_INSTRUCTION_ENCODING_VEX:
      if (g.info.meta.isa_set == ZYDIS_ISA_SET_BMI1 || g.info.meta.isa_set == ZYDIS_ISA_SET_BMI2) {
        return Unit::kInteger;
      }
      return g.info.meta.isa_ext == ZYDIS_ISA_EXT_AVX512VEX ? Unit::kAvx512 : Unit::kAvx;
    default:
      break;
  }
  switch (g.info.mnemonic) {
    case ZYDIS_MNEMONIC_FWAIT:
      return Unit::kWait;
    case ZYDIS_MNEMONIC_CRC32:
    case ZYDIS_MNEMONIC_POPCNT:
    case ZYDIS_MNEMONIC_MOVNTI:
    case ZYDIS_MNEMONIC_LFENCE:
    case ZYDIS_MNEMONIC_MFENCE:
    case ZYDIS_MNEMONIC_SFENCE:
    case ZYDIS_MNEMONIC_PREFETCHNTA:
    case ZYDIS_MNEMONIC_PREFETCHT0:
    case ZYDIS_MNEMONIC_PREFETCHT1:
    case ZYDIS_MNEMONIC_PREFETCHT2:
    case ZYDIS_MNEMONIC_FXSAVE:
    case ZYDIS_MNEMONIC_FXSAVE64:
    case ZYDIS_MNEMONIC_FXRSTOR:
    case ZYDIS_MNEMONIC_FXRSTOR64:
      return Unit::kInteger;
    case ZYDIS_MNEMONIC_FISTTP:
      return Unit::kX87;
    default:
      break;
  }
  switch (g.info.meta.isa_ext) {
    case ZYDIS_ISA_EXT_X87:
      return Unit::kX87;
    case ZYDIS_ISA_EXT_MMX:
      return Unit::kMmx;
    case ZYDIS_ISA_EXT_SSE:
    case ZYDIS_ISA_EXT_SSE2:
    case ZYDIS_ISA_EXT_SSE3:
    case ZYDIS_ISA_EXT_SSSE3:
    case ZYDIS_ISA_EXT_SSE4:
    case ZYDIS_ISA_EXT_AES:
    case ZYDIS_ISA_EXT_PCLMULQDQ:
    case ZYDIS_ISA_EXT_SHA:
    case ZYDIS_ISA_EXT_GFNI:
      return has_operand_class(g, ZYDIS_REGCLASS_MMX) && !has_operand_class(g, ZYDIS_REGCLASS_XMM)
                 ? Unit::kMmx
                 : Unit::kSse;
    default:
      return Unit::kInteger;
  }
}

// The exception an instruction of `unit` raises in `mode` whatever its operands; 0: none.
u8 unit_fault(Unit unit, TranslationMode mode) {
  const bool real = mode.protected_mode == 0 || mode.vm86 != 0;
  switch (unit) {
    case Unit::kInteger:
      return 0;
    case Unit::kX87:
      return mode.fpu_em != 0 || mode.fpu_ts != 0 ? u8{kVectorNm} : u8{0};
    case Unit::kWait:
      return mode.fpu_mp != 0 && mode.fpu_ts != 0 ? u8{kVectorNm} : u8{0};
    case Unit::kMmx:
      if (mode.fpu_em != 0) return kVectorUd;
      break;
    case Unit::kSse:
      if (mode.fpu_em != 0 || mode.osfxsr == 0) return kVectorUd;
      break;
    case Unit::kAvx:
      if (mode.avx == 0 || real) return kVectorUd;
      break;
    case Unit::kAvx512:
      if (mode.avx512 == 0 || real) return kVectorUd;
      break;
  }
  return mode.fpu_ts != 0 ? u8{kVectorNm} : u8{0};
}

bool is_available(const GuestInstruction& g) {
  switch (g.info.encoding) {
    case ZYDIS_INSTRUCTION_ENCODING_3DNOW:
    case ZYDIS_INSTRUCTION_ENCODING_XOP:
    case ZYDIS_INSTRUCTION_ENCODING_MVEX:
      return false;
    default:
      break;
  }
  return available_isa_sets().test(g.info.meta.isa_set);
}

// Shifts and rotates leave all flags alone when the masked count is zero.
bool is_shift(ZydisMnemonic mnemonic) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_SHL:
    case ZYDIS_MNEMONIC_SHR:
    case ZYDIS_MNEMONIC_SAR:
    case ZYDIS_MNEMONIC_ROL:
    case ZYDIS_MNEMONIC_ROR:
    case ZYDIS_MNEMONIC_RCL:
    case ZYDIS_MNEMONIC_RCR:
    case ZYDIS_MNEMONIC_SHLD:
    case ZYDIS_MNEMONIC_SHRD:
      return true;
    default:
      return false;
  }
}

bool may_shift_by_zero(const GuestInstruction& g) {
  if (!is_shift(g.info.mnemonic)) return false;
  const ZydisDecodedOperand& count = g.operands[g.info.operand_count_visible - 1];
  if (count.type != ZYDIS_OPERAND_TYPE_IMMEDIATE) return true;
  return (count.imm.value.u & (g.info.operand_width == 64 ? 63u : 31u)) == 0;
}

void find_flags(GuestInstruction& g) {
  if (g.info.cpu_flags == nullptr) return;
  const ZydisAccessedFlags& f = *g.info.cpu_flags;
  g.flags_read = static_cast<u16>(f.tested & kFlagsArithmetic);
  if (may_shift_by_zero(g)) return;
  g.flags_written =
      static_cast<u16>((f.modified | f.set_0 | f.set_1 | f.undefined) & kFlagsArithmetic);
}

}  // namespace

void classify(GuestInstruction& g, TranslationMode mode) {
  const Choice choice = classify_mnemonic(g);
  g.kind = choice.kind;
  g.ends_block = choice.ends_block;
  if (g.kind == Kind::kSystem && is_inline_system(g.info.mnemonic, mode)) g.kind = Kind::kSpecial;
  g.vector = kVectorUd;
  g.flags_read = g.flags_written = 0;
  if (g.kind != Kind::kNop && g.kind != Kind::kInvalid) {
    if (!is_available(g)) {
      g.kind = Kind::kInvalid;
    } else if (const u8 vector = unit_fault(unit_of(g), mode); vector != 0) {
      g.kind = Kind::kInvalid;
      g.vector = vector;
    }
  }
  if (g.kind == Kind::kInvalid) g.ends_block = true;
  if (g.kind == Kind::kSystem || g.kind == Kind::kInvalid) {
    g.flags_read = static_cast<u16>(kFlagsArithmetic);
  } else {
    find_flags(g);
    if (g.info.mnemonic == ZYDIS_MNEMONIC_PUSHFQ) {
      g.flags_read = static_cast<u16>(kFlagsArithmetic);
      g.flags_written = 0;
    }
  }
}

}  // namespace emu
