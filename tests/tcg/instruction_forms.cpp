// SPDX-License-Identifier: Apache-2.0
#include "instruction_forms.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>

namespace emu::instruction_test {
namespace {

constexpr std::size_t kEncodingsPerForm = 4;

std::string operand_name(const ZydisDecodedOperand& op) {
  switch (op.type) {
    case ZYDIS_OPERAND_TYPE_REGISTER: {
      const ZydisRegisterClass c = ZydisRegisterGetClass(op.reg.value);
      if (op.encoding == ZYDIS_OPERAND_ENCODING_NONE) {
        return fmt::format("<{}>", ZydisRegisterGetString(op.reg.value));
      }
      switch (c) {
        case ZYDIS_REGCLASS_GPR8:
          return op.reg.value >= ZYDIS_REGISTER_AH && op.reg.value <= ZYDIS_REGISTER_BH ? "rh"
                                                                                        : "r8";
        case ZYDIS_REGCLASS_GPR16:
          return "r16";
        case ZYDIS_REGCLASS_GPR32:
          return "r32";
        case ZYDIS_REGCLASS_GPR64:
          return "r64";
        case ZYDIS_REGCLASS_X87:
          return "st";
        case ZYDIS_REGCLASS_MMX:
          return "mm";
        case ZYDIS_REGCLASS_XMM:
          return "xmm";
        case ZYDIS_REGCLASS_YMM:
          return "ymm";
        case ZYDIS_REGCLASS_ZMM:
          return "zmm";
        case ZYDIS_REGCLASS_MASK:
          return op.encoding == ZYDIS_OPERAND_ENCODING_MASK ? "{k}" : "k";
        default:
          return ZydisRegisterGetString(op.reg.value);
      }
    }
    case ZYDIS_OPERAND_TYPE_MEMORY:
      return fmt::format("{}{}", op.mem.type == ZYDIS_MEMOP_TYPE_VSIB ? "vm" : "m", op.size);
    case ZYDIS_OPERAND_TYPE_IMMEDIATE:
      return fmt::format("i{}", op.size);
    default:
      return "p";
  }
}

void consider(std::span<const u8> bytes, TranslationMode mode, Forms& forms) {
  GuestInstruction g = decode(bytes, 0x20000000, mode);
  if (g.info.mnemonic == ZYDIS_MNEMONIC_INVALID) return;
  Form& form = forms[form_name(g)];
  form.mnemonic = g.info.mnemonic;
  if (form.encodings.size() < kEncodingsPerForm)
    form.encodings.emplace_back(bytes.begin(), bytes.end());
}

// ModRM bytes worth trying: register and memory operands for every /digit; and single-byte forms of
// x87.
void with_modrm(std::array<u8, 15> bytes, unsigned at, bool all, TranslationMode mode, Forms& forms,
                bool groups = true) {
  for (unsigned reg = groups ? 0 : 7; reg < 8; ++reg) {
    for (const unsigned mod : {0xc0u, 0x00u}) {
      const unsigned last = all && mod != 0 ? 8 : mod != 0 ? 2 : 1;
      for (unsigned rm = 0; rm < last; ++rm) {
        bytes[at] = static_cast<u8>(mod | reg << 3 | (mod != 0 ? (all ? rm : rm + 1) : 3));
        consider(bytes, mode, forms);
      }
    }
  }
}

// VEX and EVEX opcodes whose ModRM.reg selects the operation.
bool is_group(unsigned opcode) {
  return (opcode >= 0x71 && opcode <= 0x73) || opcode == 0xae || opcode == 0xf3 || opcode == 0xc6 ||
         opcode == 0xc7;
}

void legacy(TranslationMode mode, Forms& forms) {
  static constexpr u8 kPrefixes[] = {0, 0x66, 0xf2, 0xf3, 0xf0};
  static constexpr u8 kMaps[][2] = {{0, 0}, {0x0f, 0}, {0x0f, 0x38}, {0x0f, 0x3a}};
  for (const u8 prefix : kPrefixes) {
    for (const u8 second : {u8{0}, u8{0x66}}) {
      if (second != 0 && (prefix == 0 || prefix == 0x66)) continue;
      for (const u8 rex : {u8{0}, u8{0x40}, u8{0x48}}) {
        if (rex != 0 && !mode.code64()) continue;
        for (const auto& map : kMaps) {
          for (unsigned opcode = 0; opcode < 256; ++opcode) {
            std::array<u8, 15> bytes{};
            unsigned n = 0;
            if (second != 0) bytes[n++] = second;
            if (prefix != 0) bytes[n++] = prefix;
            if (rex != 0) bytes[n++] = rex;
            if (map[0] != 0) bytes[n++] = map[0];
            if (map[1] != 0) bytes[n++] = map[1];
            bytes[n++] = static_cast<u8>(opcode);
            with_modrm(bytes, n, map[0] == 0 && (opcode & 0xf8) == 0xd8, mode, forms);
          }
        }
      }
    }
  }
}

void vex(TranslationMode mode, Forms& forms) {
  for (unsigned map = 1; map <= 3; ++map) {
    for (unsigned w = 0; w < 2; ++w) {
      for (unsigned low = 0; low < 8; ++low) {  // L and pp
        for (const unsigned vvvv : {15u, 14u}) {
          for (unsigned opcode = 0; opcode < 256; ++opcode) {
            std::array<u8, 15> bytes{0xc4, static_cast<u8>(0xe0 | map),
                                     static_cast<u8>(w << 7 | vvvv << 3 | low),
                                     static_cast<u8>(opcode)};
            with_modrm(bytes, 4, false, mode, forms, is_group(opcode));
          }
        }
      }
    }
  }
}

void evex(TranslationMode mode, Forms& forms) {
  // z, L'L, b, V', aaa
  std::vector<u8> last;
  for (unsigned ll = 0; ll < 4; ++ll) {
    for (unsigned b = 0; b < 2; ++b) {
      for (const unsigned mask : {0u, 2u, 0x82u}) {
        last.push_back(static_cast<u8>(ll << 5 | b << 4 | 8 | mask));
      }
    }
  }
  for (const unsigned map : {1u, 2u, 3u, 5u, 6u}) {
    for (unsigned w = 0; w < 2; ++w) {
      for (unsigned pp = 0; pp < 4; ++pp) {
        for (const unsigned vvvv : {15u, 14u}) {
          for (unsigned opcode = 0; opcode < 256; ++opcode) {
            for (const u8 tail : last) {
              std::array<u8, 15> bytes{0x62, static_cast<u8>(0xf0 | map),
                                       static_cast<u8>(w << 7 | vvvv << 3 | 4 | pp), tail,
                                       static_cast<u8>(opcode)};
              with_modrm(bytes, 5, false, mode, forms, is_group(opcode));
            }
          }
        }
      }
    }
  }
  // Vector-index memory operands need a SIB byte.
  for (const bool is_evex : {false, true}) {
    for (unsigned opcode = 0x90; opcode <= 0xc7; ++opcode) {
      for (unsigned w = 0; w < 2; ++w) {
        for (unsigned ll = 0; ll < 3; ++ll) {
          for (unsigned digit = 0; digit < 8; ++digit) {
            std::array<u8, 15> bytes{};
            if (is_evex) {
              bytes = {0x62,
                       0xf2,
                       static_cast<u8>(w << 7 | 15 << 3 | 5),
                       static_cast<u8>(ll << 5 | 8 | 2),
                       static_cast<u8>(opcode),
                       static_cast<u8>(digit << 3 | 4),
                       0x2b};
            } else {
              bytes = {0xc4,
                       0xe2,
                       static_cast<u8>(w << 7 | 14 << 3 | (ll & 1) << 2 | 1),
                       static_cast<u8>(opcode),
                       static_cast<u8>(digit << 3 | 4),
                       0x2b};
            }
            consider(bytes, mode, forms);
          }
        }
      }
    }
  }
}

// Offset of the ModRM byte, or 0.
unsigned modrm_offset(const GuestInstruction& g) {
  return (g.info.attributes & ZYDIS_ATTRIB_HAS_MODRM) != 0 ? g.info.raw.modrm.offset : 0;
}

void randomize_prefix(std::vector<u8>& bytes, const GuestInstruction& g, bool code64,
                      Random& random) {
  const u64 r = random();
  switch (g.info.encoding) {
    case ZYDIS_INSTRUCTION_ENCODING_VEX: {
      u8* p = bytes.data() + g.info.raw.vex.offset;
      if (p[0] != 0xc4) return;
      if (code64) p[1] = static_cast<u8>((p[1] & 0x1f) | (r & 0xe0));
      p[2] = static_cast<u8>((p[2] & 0x87) | (code64 ? (r >> 8) & 0x78 : 0x40 | ((r >> 8) & 0x38)));
      return;
    }
    case ZYDIS_INSTRUCTION_ENCODING_EVEX: {
      u8* p = bytes.data() + g.info.raw.evex.offset;
      if (code64) p[1] = static_cast<u8>((p[1] & 0x0f) | (r & 0xf0));
      p[2] = static_cast<u8>((p[2] & 0x87) | (code64 ? (r >> 8) & 0x78 : 0x40 | ((r >> 8) & 0x38)));
      if (code64) p[3] = static_cast<u8>((p[3] & 0xf7) | ((r >> 16) & 8));
      if ((p[3] & 7) != 0) p[3] = static_cast<u8>((p[3] & 0xf8) | (1 + (r >> 24) % 7));
      return;
    }
    default:
      if ((g.info.attributes & ZYDIS_ATTRIB_HAS_REX) != 0) {
        u8& rex = bytes[g.info.raw.rex.offset];
        rex = static_cast<u8>((rex & 0xf8) | (r & 7));
      }
  }
}

}  // namespace

TranslationMode test_mode(bool code64) {
  TranslationMode m;
  m.code_size = m.stack_size = static_cast<u32>(code64 ? CodeSize::k64 : CodeSize::k32) & 3;
  m.protected_mode = m.long_mode = 1;
  m.cpl = 3;
  m.memory_set = static_cast<u32>(MemorySet::kUser) & 3;
  m.flat_segments = 63;
  m.osfxsr = m.avx = m.avx512 = m.fsgsbase = 1;
  return m;
}

GuestInstruction decode(std::span<const u8> bytes, u64 rip, TranslationMode mode) {
  static GuestBlock block;
  mode.single_step = 1;
  std::array<u8, 32> padded{};
  std::copy(bytes.begin(), bytes.end(), padded.begin());
  if (decode_block({padded, {}}, rip, mode, {}, block) != DecodeStatus::kOk) return {};
  return block.instructions.front();
}

std::string form_name(const GuestInstruction& g) {
  std::string name = ZydisMnemonicGetString(g.info.mnemonic);
  if ((g.info.attributes & ZYDIS_ATTRIB_HAS_LOCK) != 0) name = "lock " + name;
  if ((g.info.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE)) != 0) {
    name = "rep " + name;
  }
  if ((g.info.attributes & ZYDIS_ATTRIB_HAS_REPNE) != 0) name = "repne " + name;
  switch (g.info.encoding) {
    case ZYDIS_INSTRUCTION_ENCODING_EVEX:
      name += ".e";
      break;
    case ZYDIS_INSTRUCTION_ENCODING_VEX:
      name += ".v";
      break;
    default:
      if (g.info.operand_count_visible == 0) name += fmt::format(".{}", g.info.operand_width);
  }
  for (unsigned i = 0; i < g.info.operand_count_visible; ++i) {
    name += (i == 0 ? " " : ",") + operand_name(g.operands[i]);
  }
  if (g.info.avx.mask.mode == ZYDIS_MASK_MODE_ZEROING) name += "{z}";
  if (g.info.avx.broadcast.mode != ZYDIS_BROADCAST_MODE_INVALID &&
      g.info.avx.broadcast.is_static == 0) {
    name += "{b}";
  }
  if (g.info.avx.has_sae != 0) name += "{sae}";
  if (g.info.avx.rounding.mode != ZYDIS_ROUNDING_MODE_INVALID) name += "{rc}";
  return name;
}

Forms find_forms(bool code64) {
  Forms forms;
  const TranslationMode mode = test_mode(code64);
  legacy(mode, forms);
  vex(mode, forms);
  evex(mode, forms);
  return forms;
}

std::string disassemble(std::span<const u8> bytes, u64 rip, bool code64) {
  ZydisDisassembledInstruction d;
  const ZydisMachineMode mode =
      code64 ? ZYDIS_MACHINE_MODE_LONG_64 : ZYDIS_MACHINE_MODE_LONG_COMPAT_32;
  if (!ZYAN_SUCCESS(ZydisDisassembleIntel(mode, rip, bytes.data(), bytes.size(), &d))) return "?";
  return d.text;
}

std::vector<u8> vary(const std::vector<u8>& encoding, const std::string& form, u64 rip,
                     TranslationMode mode, Random& random) {
  const GuestInstruction original = decode(encoding, rip, mode);
  const unsigned modrm = modrm_offset(original);
  const unsigned keep = modrm != 0 ? modrm : original.length;
  for (int attempt = 0; attempt < 40; ++attempt) {
    std::vector<u8> bytes = encoding;
    if (original.kind != InstructionClass::kNop) {
      randomize_prefix(bytes, original, mode.code64(), random);
    }
    for (std::size_t i = keep; i < bytes.size(); ++i) bytes[i] = static_cast<u8>(random());
    if (modrm != 0) {
      const bool memory = original.info.raw.modrm.mod != 3;
      u8& m = bytes[modrm];
      m = static_cast<u8>(memory ? m % 0xc0 : m | 0xc0);
    } else if (original.info.raw.imm[0].size != 0) {
      const unsigned imm = original.info.raw.imm[0].offset;
      for (std::size_t i = imm; i < bytes.size(); ++i) bytes[i] = static_cast<u8>(random());
    }
    if (modrm == 0) {  // a register in the opcode
      for (unsigned i = 0; i < original.info.operand_count_visible; ++i) {
        if (original.operands[i].encoding == ZYDIS_OPERAND_ENCODING_OPCODE) {
          const unsigned at = original.length -
                              (original.info.raw.imm[0].size + original.info.raw.disp.size) / 8u -
                              1;
          bytes[at] = static_cast<u8>((bytes[at] & 0xf8) | (random() & 7));
        }
      }
    }
    const GuestInstruction g = decode(bytes, rip, mode);
    if (g.info.mnemonic == ZYDIS_MNEMONIC_INVALID || form_name(g) != form) continue;
    bytes.resize(g.length);
    return bytes;
  }
  std::vector<u8> bytes = encoding;
  bytes.resize(original.length);
  return bytes;
}

}  // namespace emu::instruction_test
