// SPDX-License-Identifier: Apache-2.0
// MOVS, STOS, LODS, CMPS and SCAS without a repeat prefix (with one they are system_string).
// Source: Intel SDM vol. 2 (each instruction); vol. 1 7.3.9.
#include "tcg/emit_context.h"

namespace emu {
namespace {

struct StringOperands {
  unsigned element = 1;  // bytes
  u8 source_segment = kDs;
};

StringOperands string_operands(const GuestInstruction& g) {
  StringOperands s;
  for (unsigned i = 0; i < g.info.operand_count; ++i) {
    const ZydisDecodedOperand& op = g.operands[i];
    if (op.type != ZYDIS_OPERAND_TYPE_MEMORY) continue;
    s.element = op.size / 8u;
    const bool source = op.mem.base == ZYDIS_REGISTER_SI || op.mem.base == ZYDIS_REGISTER_ESI ||
                        op.mem.base == ZYDIS_REGISTER_RSI;
    if (source && op.mem.segment != ZYDIS_REGISTER_NONE) {
      s.source_segment = static_cast<u8>(op.mem.segment - ZYDIS_REGISTER_ES);
    }
  }
  return s;
}

enum class Operation : u8 { kMovs, kStos, kLods, kCmps, kScas };

Operation operation(ZydisMnemonic mnemonic) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_STOSB:
    case ZYDIS_MNEMONIC_STOSW:
    case ZYDIS_MNEMONIC_STOSD:
    case ZYDIS_MNEMONIC_STOSQ:
      return Operation::kStos;
    case ZYDIS_MNEMONIC_LODSB:
    case ZYDIS_MNEMONIC_LODSW:
    case ZYDIS_MNEMONIC_LODSD:
    case ZYDIS_MNEMONIC_LODSQ:
      return Operation::kLods;
    case ZYDIS_MNEMONIC_CMPSB:
    case ZYDIS_MNEMONIC_CMPSW:
    case ZYDIS_MNEMONIC_CMPSD:
    case ZYDIS_MNEMONIC_CMPSQ:
      return Operation::kCmps;
    case ZYDIS_MNEMONIC_SCASB:
    case ZYDIS_MNEMONIC_SCASW:
    case ZYDIS_MNEMONIC_SCASD:
    case ZYDIS_MNEMONIC_SCASQ:
      return Operation::kScas;
    default:
      return Operation::kMovs;
  }
}

}  // namespace

void EmitContext::load_direction() {
  as_.load(kT2, HostMem::frame(EMU_FRAME(cpu.rflags)), 4);
  as_.mov_imm(kT1, 53);  // DF (bit 10) to the sign bit
  as_.shlx(kT2, kT2, kT1);
  as_.mov_imm(kT1, 63);
  as_.sarx(kT2, kT2, kT1);
}

void EmitContext::advance(u8 guest, unsigned element, unsigned address_bytes) {
  const u8 host = kHostRegister[guest];
  const i32 size = static_cast<i32>(element);
  HostMem sum{host, kT2, 0, false, size};
  if (element == 8) {  // no scale 16
    sum.scale = 3;
    as_.lea(kT0, sum);
    sum = {kT0, kT2, 3, false, 0};
  } else {
    sum.scale = element == 1 ? 1 : element == 2 ? 2 : 3;
  }
  if (address_bytes == 2) {
    as_.lea(kT0, sum, 4);
    as_.mov(host, kT0, 2);
  } else {
    as_.lea(host, sum, address_bytes);
  }
}

void EmitContext::emit_string(const GuestInstruction& g) {
  const Operation op = operation(g.info.mnemonic);
  const StringOperands s = string_operands(g);
  const unsigned address = g.info.address_width / 8u, size = s.element;
  const HostMem saved = HostMem::frame(EMU_FRAME(spill[0]));
  const bool source = op == Operation::kMovs || op == Operation::kLods || op == Operation::kCmps;
  if (source) {
    load_pointer(kRsi, address);
    begin_access(g, {.size = size, .read = true, .segment = s.source_segment});
    if (op == Operation::kLods) {
      as_.load_partial(hRax, host_operand(), size);
    } else {
      as_.load(kT2, host_operand(), size);
    }
    end_access();
    if (op != Operation::kLods) as_.store(saved, kT2);
  }
  if (op == Operation::kLods) {
    load_direction();
    return advance(kRsi, size, address);
  }
  load_pointer(kRdi, address);
  const bool write = op == Operation::kMovs || op == Operation::kStos;
  begin_access(g, {.size = size, .read = !write, .write = write, .segment = kEs});
  if (op == Operation::kMovs || op == Operation::kCmps) as_.load(kT2, saved);
  if (op == Operation::kMovs) as_.store(host_operand(), kT2, size);
  if (op == Operation::kStos) as_.store(host_operand(), hRax, size);
  if (op == Operation::kCmps) as_.alu_load(7, kT2, host_operand(), size);
  if (op == Operation::kScas) as_.alu_load(7, hRax, host_operand(), size);
  load_direction();
  if (source) advance(kRsi, size, address);
  advance(kRdi, size, address);
  end_access();
}

}  // namespace emu
