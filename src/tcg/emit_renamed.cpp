// SPDX-License-Identifier: Apache-2.0
// Source: Intel SDM vol. 2 ch. 2 (instruction format, REX, VEX, EVEX), appendix A (opcode maps).
#include "tcg/emit_renamed.h"

#include "base/check.h"

namespace emu {
namespace {

bool is_memory(const GuestInstruction& g) {
  for (unsigned i = 0; i < g.info.operand_count_visible; ++i) {
    if (g.operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY) return true;
  }
  return false;
}

bool is_general(const ZydisDecodedOperand& op) {
  return op.type == ZYDIS_OPERAND_TYPE_REGISTER && guest_register(op.reg.value).number < 16;
}

// In 16-bit code an operand-size prefix selects 32 bits; here its absence does.
bool wants_operand_size_prefix(const GuestInstruction& g) {
  if (g.info.operand_width != 16) return false;
  if (g.info.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT) {
    return (g.info.opcode & 0xf8) != 0xd8;  // not x87
  }
  for (unsigned i = 0; i < g.info.operand_count_visible; ++i) {
    const ZydisDecodedOperand& op = g.operands[i];
    if (op.type != ZYDIS_OPERAND_TYPE_REGISTER) continue;
    const ZydisRegisterClass c = ZydisRegisterGetClass(op.reg.value);
    if (c == ZYDIS_REGCLASS_MMX || c == ZYDIS_REGCLASS_XMM) return false;
  }
  for (unsigned i = 0; i < g.info.operand_count_visible; ++i) {
    const ZydisDecodedOperand& op = g.operands[i];
    if (op.size == 16 && (is_general(op) || op.type == ZYDIS_OPERAND_TYPE_MEMORY)) return true;
  }
  return false;
}

class Encoder {
 public:
  Encoder(HostAssembler& as, const GuestInstruction& g, const Renaming& names)
      : as_(as), g_(g), names_(names), memory_(is_memory(g)) {
    code64_ = g.info.machine_mode == ZYDIS_MACHINE_MODE_LONG_64;
    has_modrm_ = (g.info.attributes & ZYDIS_ATTRIB_HAS_MODRM) != 0;
    if (has_modrm_) {
      const u8 modrm = g.bytes[g.info.raw.modrm.offset];
      reg_ = (modrm >> 3) & 7;
      rm_ = modrm & 7;
    }
  }

  void emit() {
    if (memory_ && names_.memory.gs) as_.byte(0x65);
    switch (g_.info.encoding) {
      case ZYDIS_INSTRUCTION_ENCODING_LEGACY:
        return legacy();
      case ZYDIS_INSTRUCTION_ENCODING_VEX:
        return vex();
      case ZYDIS_INSTRUCTION_ENCODING_EVEX:
        return evex();
      default:
        EMU_CHECK(!"encoding that the classifier lets through");
    }
  }

 private:
  static bool bit3(u8 value) { return value != kNoRegister && (value & 8) != 0; }

  void rename_registers() {
    if (names_.reg != kNoRegister) reg_ = names_.reg;
    if (names_.rm != kNoRegister) rm_ = names_.rm;
    if (names_.vvvv != kNoRegister) vvvv_ = names_.vvvv;
  }

  // --- legacy encoding ---

  void legacy() {
    if (g_.info.mnemonic == ZYDIS_MNEMONIC_PAUSE) {
      as_.byte(0xf3);
      as_.byte(0x90);
      return;
    }
    u8 opcode = g_.info.opcode;
    bool w = false;
    if (code64_) {
      const auto& rex = g_.info.raw.rex;
      if ((g_.info.attributes & ZYDIS_ATTRIB_HAS_REX) != 0) {
        w = rex.W != 0;
        reg_ = static_cast<u8>(reg_ | rex.R << 3);
        rm_ = static_cast<u8>(rm_ | rex.B << 3);
      }
    }
    rename_registers();
    opcode = replace_short_forms(opcode);
    legacy_prefixes();
    rex(w);
    escape_bytes();
    if (names_.opcode != kNoRegister && !dropped_opcode_register_) {
      opcode = static_cast<u8>((opcode & 0xf8) | (names_.opcode & 7));
    }
    as_.byte(opcode);
    operand_bytes();
    immediates(absolute_move_ ? 0 : 0xff);
  }

  // INC/DEC r (40-4F), opcode 82 and MOV with an absolute address have no 64-bit encoding like it.
  u8 replace_short_forms(u8 opcode) {
    if (g_.info.opcode_map != ZYDIS_OPCODE_MAP_DEFAULT) return opcode;
    if (opcode >= 0x40 && opcode <= 0x4f) {
      has_modrm_ = true;
      reg_ = opcode >= 0x48 ? 1 : 0;
      rm_ = names_.opcode;
      dropped_opcode_register_ = true;
      return 0xff;
    }
    if (opcode == 0x82) return 0x80;
    if (opcode >= 0xa0 && opcode <= 0xa3) {
      absolute_move_ = true;
      has_modrm_ = true;
      reg_ = 0;
      return static_cast<u8>((opcode & 1) | (opcode < 0xa2 ? 0x8a : 0x88));
    }
    return opcode;
  }

  void legacy_prefixes() {
    bool size = false;
    u8 mandatory = 0;
    for (unsigned i = 0; i < g_.info.raw.prefix_count; ++i) {
      const auto& p = g_.info.raw.prefixes[i];
      if (p.value == 0x66 && (p.type == ZYDIS_PREFIX_TYPE_MANDATORY ||
                              g_.info.machine_mode == ZYDIS_MACHINE_MODE_LONG_64 || code32())) {
        size = true;
      }
      if ((p.value == 0xf2 || p.value == 0xf3) && p.type == ZYDIS_PREFIX_TYPE_MANDATORY) {
        mandatory = p.value;
      }
    }
    if (!code64_ && !code32() && wants_operand_size_prefix(g_)) size = true;
    if (size) as_.byte(0x66);
    if (mandatory != 0) as_.byte(mandatory);
    if ((g_.info.attributes & ZYDIS_ATTRIB_HAS_LOCK) != 0) as_.byte(0xf0);
  }

  [[nodiscard]] bool code32() const {
    return g_.info.machine_mode == ZYDIS_MACHINE_MODE_LONG_COMPAT_32 ||
           g_.info.machine_mode == ZYDIS_MACHINE_MODE_LEGACY_32;
  }

  void rex(bool w) {
    u8 bits = w ? 8 : 0;
    const bool rm_register = has_modrm_ && !memory_;
    if (has_modrm_ && bit3(reg_)) bits |= 4;
    if (memory_) {
      if (bit3(names_.memory.index)) bits |= 2;
      if (bit3(names_.memory.base)) bits |= 1;
    } else if ((rm_register && bit3(rm_)) || (!has_modrm_ && bit3(names_.opcode))) {
      bits |= 1;
    }
    if (bits != 0 || names_.byte_needs_rex) as_.byte(0x40 | bits);
  }

  void escape_bytes() {
    switch (g_.info.opcode_map) {
      case ZYDIS_OPCODE_MAP_DEFAULT:
        return;
      case ZYDIS_OPCODE_MAP_0F:
        return as_.byte(0x0f);
      case ZYDIS_OPCODE_MAP_0F38:
        as_.byte(0x0f);
        return as_.byte(0x38);
      case ZYDIS_OPCODE_MAP_0F3A:
        as_.byte(0x0f);
        return as_.byte(0x3a);
      default:
        EMU_CHECK(!"legacy opcode map");
    }
  }

  // --- VEX and EVEX ---

  void vex() {
    const u8* p = g_.bytes + g_.info.raw.vex.offset;
    u8 map = 1, last;
    bool r, w = false;
    if (p[0] == 0xc5) {
      r = (p[1] & 0x80) == 0;
      last = p[1];
    } else {
      r = (p[1] & 0x80) == 0;
      if ((p[1] & 0x20) == 0) rm_ |= 8;
      map = p[1] & 31;
      w = (p[2] & 0x80) != 0;
      last = p[2];
    }
    if (r) reg_ |= 8;
    vvvv_ = static_cast<u8>((~last >> 3) & 15);
    if (!code64_) w = narrow(w);
    rename_registers();
    const bool x = memory_ && bit3(names_.memory.index);
    const bool b = memory_ ? bit3(names_.memory.base) : bit3(rm_);
    const u8 tail = static_cast<u8>((~vvvv_ & 15) << 3 | (last & 7));
    if (map == 1 && !w && !x && !b) {
      as_.byte(0xc5);
      as_.byte(static_cast<u8>((bit3(reg_) ? 0 : 0x80) | tail));
    } else {
      as_.byte(0xc4);
      as_.byte(static_cast<u8>((bit3(reg_) ? 0 : 0x80) | (x ? 0 : 0x40) | (b ? 0 : 0x20) | map));
      as_.byte(static_cast<u8>((w ? 0x80 : 0) | tail));
    }
    as_.byte(g_.info.opcode);
    operand_bytes();
    immediates(code64_ ? 0xff : is4_mask());
  }

  void evex() {
    const u8* p = g_.bytes + g_.info.raw.evex.offset;
    bool w = (p[2] & 0x80) != 0;
    if ((p[1] & 0x80) == 0) reg_ |= 8;
    if ((p[1] & 0x10) == 0) reg_ |= 16;
    if ((p[1] & 0x20) == 0) rm_ |= 8;
    if ((p[1] & 0x40) == 0) rm_ |= 16;
    vvvv_ = static_cast<u8>(((~p[2] >> 3) & 15) | ((p[3] & 8) == 0 ? 16 : 0));
    if (!code64_) w = narrow(w);
    rename_registers();
    const bool x = memory_ ? bit3(names_.memory.index) : (rm_ & 16) != 0;
    const bool b = memory_ ? bit3(names_.memory.base) : (rm_ & 8) != 0;
    as_.byte(0x62);
    as_.byte(static_cast<u8>(((reg_ & 8) != 0 ? 0 : 0x80) | (x ? 0 : 0x40) | (b ? 0 : 0x20) |
                             ((reg_ & 16) != 0 ? 0 : 0x10) | (p[1] & 0x0f)));
    as_.byte(static_cast<u8>((w ? 0x80 : 0) | (~vvvv_ & 15) << 3 | (p[2] & 7)));
    as_.byte(static_cast<u8>((p[3] & 0xf7) | ((vvvv_ & 16) != 0 ? 0 : 8)));
    as_.byte(g_.info.opcode);
    operand_bytes();
    immediates(0xff);
  }

  // Outside 64-bit code only registers 0..7 exist and W does not select 64-bit general registers.
  bool narrow(bool w) {
    reg_ &= 7;
    rm_ &= 7;
    vvvv_ &= 7;
    switch (g_.info.mnemonic) {
      case ZYDIS_MNEMONIC_VMOVD:
      case ZYDIS_MNEMONIC_VPINSRD:
      case ZYDIS_MNEMONIC_VPEXTRD:
      case ZYDIS_MNEMONIC_VCVTSI2SD:
      case ZYDIS_MNEMONIC_VCVTSI2SS:
      case ZYDIS_MNEMONIC_VCVTSI2SH:
      case ZYDIS_MNEMONIC_VCVTUSI2SD:
      case ZYDIS_MNEMONIC_VCVTUSI2SS:
      case ZYDIS_MNEMONIC_VCVTUSI2SH:
      case ZYDIS_MNEMONIC_VPCMPESTRI:
      case ZYDIS_MNEMONIC_VPCMPESTRM:
        return false;
      default:
        break;
    }
    for (unsigned i = 0; i < g_.info.operand_count_visible; ++i) {
      if (is_general(g_.operands[i])) return false;
    }
    return w;
  }

  [[nodiscard]] u8 is4_mask() const {
    for (unsigned i = 0; i < g_.info.operand_count_visible; ++i) {
      if (g_.operands[i].encoding == ZYDIS_OPERAND_ENCODING_IS4) return 0x7f;
    }
    return 0xff;
  }

  // --- common ---

  void operand_bytes() {
    if (!has_modrm_) return;
    if (memory_) {
      as_.modrm_memory(reg_, names_.memory);
    } else {
      as_.modrm_register(reg_, rm_);
    }
  }

  void immediates(u8 mask) {
    if (absolute_move_) return;
    for (const auto& imm : g_.info.raw.imm) {
      const unsigned size = imm.size / 8u;
      if (size == 1) {
        as_.byte(g_.bytes[imm.offset] & mask);
      } else if (size != 0) {
        as_.bytes(g_.bytes + imm.offset, size);
      }
    }
  }

  HostAssembler& as_;
  const GuestInstruction& g_;
  const Renaming& names_;
  bool memory_;
  bool code64_ = false;
  bool has_modrm_ = false;
  bool absolute_move_ = false;
  bool dropped_opcode_register_ = false;
  u8 reg_ = 0, rm_ = 0, vvvv_ = 0;
};

}  // namespace

GuestRegister guest_register(ZydisRegister reg) {
  const auto number = [reg](ZydisRegister first) { return static_cast<u8>(reg - first); };
  if (reg >= ZYDIS_REGISTER_AL && reg <= ZYDIS_REGISTER_BL) return {number(ZYDIS_REGISTER_AL)};
  if (reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH) {
    return {number(ZYDIS_REGISTER_AH), true};
  }
  if (reg >= ZYDIS_REGISTER_SPL && reg <= ZYDIS_REGISTER_R15B) {
    return {static_cast<u8>(number(ZYDIS_REGISTER_SPL) + 4)};
  }
  if (reg >= ZYDIS_REGISTER_AX && reg <= ZYDIS_REGISTER_R15W) return {number(ZYDIS_REGISTER_AX)};
  if (reg >= ZYDIS_REGISTER_EAX && reg <= ZYDIS_REGISTER_R15D) return {number(ZYDIS_REGISTER_EAX)};
  if (reg >= ZYDIS_REGISTER_RAX && reg <= ZYDIS_REGISTER_R15) return {number(ZYDIS_REGISTER_RAX)};
  return {};
}

void emit_renamed(HostAssembler& as, const GuestInstruction& g, const Renaming& names) {
  Encoder(as, g, names).emit();
}

}  // namespace emu
