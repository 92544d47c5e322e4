// SPDX-License-Identifier: Apache-2.0
// Memory operands under a mask, and gathers and scatters: elements that are masked out must not
// fault. When the whole operand passes the inline check the instruction runs as it is. Otherwise
// its elements are moved one by one between guest memory and frame.vector_spill, and it runs there.
// Source: Intel SDM vol. 2 2.8 (fault suppression), VGATHER*, VSCATTER*, VMASKMOV, MASKMOVDQU,
// VCOMPRESS*, VEXPAND*.
// Not modelled: outside 64-bit code limits are checked for the whole operand; a gather that faults
// has not loaded the elements before the fault (it starts again).
#include <algorithm>

#include "tcg/emit_context.h"

namespace emu {
namespace {

// frame.spill slots of an element loop; slot 7 has the flags.
constexpr unsigned kBase = 2, kRemaining = 3, kIndex = 4;

HostMem spill(unsigned n) {
  return HostMem::frame(EMU_FRAME(spill) + 8 * static_cast<i32>(n));
}

// vector_spill[0] has indices, [1] data.
i32 data_buffer() {
  return EMU_FRAME(vector_spill) + 64;
}

HostMem data_element(u8 index, unsigned bytes) {
  const u8 scale = bytes == 8 ? 3 : bytes == 4 ? 2 : bytes == 2 ? 1 : 0;
  return HostMem::frame_indexed(index, scale, data_buffer());
}

u8 vector_number(ZydisRegister reg) {
  return static_cast<u8>(ZydisRegisterGetId(reg));
}

bool is_vector(const ZydisDecodedOperand& op) {
  if (op.type != ZYDIS_OPERAND_TYPE_REGISTER) return false;
  const ZydisRegisterClass c = ZydisRegisterGetClass(op.reg.value);
  return c == ZYDIS_REGCLASS_XMM || c == ZYDIS_REGCLASS_YMM || c == ZYDIS_REGCLASS_ZMM;
}

bool is_evex(const GuestInstruction& g) {
  return g.info.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX;
}

bool is_compressing(const GuestInstruction& g) {
  return g.info.meta.category == ZYDIS_CATEGORY_COMPRESS ||
         g.info.meta.category == ZYDIS_CATEGORY_EXPAND ||
         g.info.mnemonic == ZYDIS_MNEMONIC_VPCOMPRESSB ||
         g.info.mnemonic == ZYDIS_MNEMONIC_VPCOMPRESSW ||
         g.info.mnemonic == ZYDIS_MNEMONIC_VPEXPANDB || g.info.mnemonic == ZYDIS_MNEMONIC_VPEXPANDW;
}

// Aligned, so on one page: what is true for one element is true for all.
bool is_aligned_move(ZydisMnemonic mnemonic) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_VMOVAPS:
    case ZYDIS_MNEMONIC_VMOVAPD:
    case ZYDIS_MNEMONIC_VMOVDQA32:
    case ZYDIS_MNEMONIC_VMOVDQA64:
      return true;
    default:
      return false;
  }
}

bool is_mask_move(ZydisMnemonic mnemonic) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_MASKMOVQ:
    case ZYDIS_MNEMONIC_MASKMOVDQU:
    case ZYDIS_MNEMONIC_VMASKMOVDQU:
      return true;
    default:
      return false;
  }
}

}  // namespace

EmitContext::Elements EmitContext::elements_of(const GuestInstruction& g) {
  const ZydisDecodedOperand& memory = *memory_operand(g);
  const unsigned size = memory.size / 8u;
  Elements e;
  if (is_mask_move(g.info.mnemonic)) {
    e.count = e.mask_bits = size;
    e.bytes = 1;
    return e;
  }
  const bool broadcast = g.info.avx.broadcast.mode != ZYDIS_BROADCAST_MODE_INVALID;
  e.packed = is_compressing(g);
  e.whole = is_aligned_move(g.info.mnemonic);
  e.count = std::max<unsigned>(memory.element_count, 1);
  e.mask_bits = e.count;
  if (broadcast) e.mask_bits = g.info.avx.vector_length / memory.element_size;
  if (is_vector(g.operands[0])) {
    const unsigned written = std::max<unsigned>(g.operands[0].element_count, 1);
    e.mask_bits = broadcast ? std::min(e.mask_bits, written) : std::min(e.count, written);
    if (!broadcast) e.count = e.mask_bits;
  }
  e.bytes = size / e.count;
  if (e.bytes == 0 || e.bytes > 8) e.whole = true;
  return e;
}

// kT1 = the elements to access, a bit each. Host flags are free; uses kT2.
void EmitContext::load_mask(const GuestInstruction& g, const Elements& elements) {
  if (is_evex(g)) {
    as_.vex({1, 3, 1, 0, 0x93}, kT1, 0, vector_number(g.info.avx.mask.reg));  // kmovq
  } else if (g.info.mnemonic == ZYDIS_MNEMONIC_MASKMOVQ) {
    as_.byte(0x44);  // pmovmskb r10d, mm
    as_.byte(0x0f);
    as_.byte(0xd7);
    as_.modrm_register(kT1, vector_number(g.operands[1].reg.value));
  } else {
    // vpmovmskb, vmovmskps or vmovmskpd of the mask operand.
    const bool gathers = g.operands[1].type == ZYDIS_OPERAND_TYPE_MEMORY;
    const ZydisDecodedOperand& mask = gathers ? g.operands[2] : g.operands[1];
    const u8 wide = mask.size == 256 ? 1 : 0;
    const u8 number = vector_number(mask.reg.value);
    if (elements.bytes == 1) {
      as_.vex({1, 1, 0, wide, 0xd7}, kT1, 0, number);
    } else {
      as_.vex({1, static_cast<u8>(elements.bytes == 8 ? 1 : 0), 0, wide, 0x50}, kT1, 0, number);
    }
  }
  if (elements.mask_bits < 64) {
    as_.mov_imm(kT2, elements.mask_bits);
    as_.bzhi(kT1, kT1, kT2);
  }
  // An element that is broadcast is read if any of its copies is wanted.
  for (unsigned shift = elements.mask_bits / 2; shift >= elements.count; shift /= 2) {
    as_.rorx(kT2, kT1, static_cast<u8>(shift));
    as_.alu(1, kT1, kT2);
  }
  if (elements.mask_bits > elements.count) {
    as_.mov_imm(kT2, elements.count);
    as_.bzhi(kT1, kT1, kT2);
  }
  if (elements.packed) {
    as_.popcnt(kT1, kT1);
    as_.mov_imm(kT2, ~u64{0});
    as_.bzhi(kT1, kT2, kT1);
  }
}

void EmitContext::emit_masked(const GuestInstruction& g) {
  const ZydisDecodedOperand* memory = memory_operand(g);
  if (memory == nullptr) return raise_unsupported(g);
  if (memory->mem.type == ZYDIS_MEMOP_TYPE_VSIB) return emit_gather(g);
  switch (g.info.mnemonic) {
    case ZYDIS_MNEMONIC_MASKMOVQ:
    case ZYDIS_MNEMONIC_MASKMOVDQU:
    case ZYDIS_MNEMONIC_VMASKMOVDQU:
      return emit_mask_move(g);
    default:
      return emit_masked_operand(g);
  }
}

void EmitContext::emit_masked_operand(const GuestInstruction& g) {
  const ZydisDecodedOperand& memory = *memory_operand(g);
  load_offset(g, memory);
  Access access;
  access.size = memory.size / 8u;
  access.write = g.operands[0].type == ZYDIS_OPERAND_TYPE_MEMORY;
  access.read = !access.write;
  access.segment = segment_of(memory);
  access.masked = true;
  begin_access(g, access);
  emit_with_memory(g, host_operand(), false);
  end_access();
}

// The address is in rDI without saying so: the host's RDI is lent for the moment.
void EmitContext::emit_mask_move(const GuestInstruction& g) {
  load_pointer(kRdi, g.info.address_width / 8u);
  Access access;
  access.size = g.info.mnemonic == ZYDIS_MNEMONIC_MASKMOVQ ? 8 : 16;
  access.write = true;
  access.segment = segment_of(*memory_operand(g));
  access.masked = true;
  begin_access(g, access);
  as_.mov(kT2, hRdi);
  as_.lea(hRdi, host_operand());
  emit_renamed(as_, g, Renaming{});
  as_.mov(hRdi, kT2);
  end_access();
}

// Next set bit of the remaining mask: its number to kT2 and frame; jumps to the field it returns
// when there is none.
u32 EmitContext::next_element() {
  as_.load(kT1, spill(kRemaining));
  as_.tzcnt(kT2, kT1);
  const u32 done = as_.jcc_forward(kCcB);
  as_.blsr(kT1, kT1);
  as_.store(spill(kRemaining), kT1);
  as_.store(spill(kIndex), kT2);
  return done;
}

// Moves the element at linear address kT0 from or to the data buffer.
void EmitContext::move_element(const GuestInstruction& g, unsigned bytes, Pass pass, u8 segment,
                               bool linear) {
  const bool write = pass != kLoad;
  begin_access(g, {.size = bytes,
                   .read = !write,
                   .write = write,
                   .segment = segment,
                   .partial = true,
                   .linear = linear,
                   .flags_in_frame = flags_needed(g)});
  if (pass == kProbe) return end_access();
  if (write) {
    as_.load(kT2, spill(kIndex));
    as_.load(kT2, data_element(kT2, bytes), bytes);
    as_.store(host_operand(), kT2, bytes);
  } else {
    as_.load(kT2, host_operand(), bytes);
    as_.load(kT0, spill(kIndex));
    as_.store(data_element(kT0, bytes), kT2, bytes);
  }
  end_access();
}

void EmitContext::emit_cold_masked(const ColdPart& part) {
  const GuestInstruction& g = *part.guest;
  const Elements e = elements_of(g);
  const HostMem buffer = HostMem::frame(data_buffer());
  as_.patch(part.from);
  if (flags_needed(g) && part.flags != FlagPlace::kFrame) {
    make_flags(part.flags, part.recipe);
    save_flags();
  }
  as_.store(spill(kBase), kT0);
  load_mask(g, e);
  if (e.whole) {
    as_.test(kT1, kT1);
    const u32 any = as_.jcc_forward(kCcNz);
    if (flags_needed(g)) restore_flags();
    masked_operation(g, buffer);
    as_.jmp_back(part.end);
    as_.patch(any);
    if (flags_needed(g)) restore_flags();
    return emit_slow_access(part);
  }
  if (part.write) {
    // No element may be stored before the last fault is past.
    as_.store(spill(kRemaining + 2), kT1);
    element_loop(g, e, kProbe);
    if (flags_needed(g)) restore_flags();  // the operation may raise #XM
    masked_operation(g, buffer);
    as_.load(kT1, spill(kRemaining + 2));
  }
  element_loop(g, e, part.write ? kStore : kLoad);
  if (flags_needed(g)) restore_flags();
  if (!part.write) masked_operation(g, buffer);
  as_.jmp_back(part.end);
}

// One pass over the elements of the mask in kT1, from the linear address in spill slot kBase.
void EmitContext::element_loop(const GuestInstruction& g, const Elements& e, Pass pass) {
  as_.store(spill(kRemaining), kT1);
  const u32 top = as_.offset();
  const u32 done = next_element();
  as_.load(kT0, spill(kBase));
  const u8 scale = e.bytes == 8 ? 3 : e.bytes == 4 ? 2 : e.bytes == 2 ? 1 : 0;
  as_.lea(kT0, {kT0, kT2, scale, false, 0});
  move_element(g, e.bytes, pass, kDs, true);
  as_.jmp_back(top);
  as_.patch(done);
}

void EmitContext::masked_operation(const GuestInstruction& g, const HostMem& buffer) {
  switch (g.info.mnemonic) {
    case ZYDIS_MNEMONIC_MASKMOVQ:
      return as_.move_vector(false, vector_number(g.operands[0].reg.value), buffer, 8, false);
    case ZYDIS_MNEMONIC_MASKMOVDQU:
    case ZYDIS_MNEMONIC_VMASKMOVDQU:
      return move_sse(g, buffer);
    default:
      return emit_with_memory(g, buffer, true);
  }
}

// The stored register of MASKMOVDQU. (SSE2 form: the host may lack AVX.)
void EmitContext::move_sse(const GuestInstruction& g, const HostMem& buffer) {
  const u8 reg = vector_number(g.operands[0].reg.value);
  as_.byte(0x65);
  as_.byte(0xf3);
  if (reg >= 8) as_.byte(0x44);
  as_.byte(0x0f);
  as_.byte(0x7f);
  as_.modrm_memory(reg, buffer);
}

void EmitContext::emit_gather(const GuestInstruction& g) {
  const bool scatter = g.operands[0].type == ZYDIS_OPERAND_TYPE_MEMORY;
  const ZydisDecodedOperand& memory = *memory_operand(g);
  const ZydisDecodedOperand* data = nullptr;
  for (unsigned i = 0; i < g.info.operand_count_visible && data == nullptr; ++i) {
    if (is_vector(g.operands[i])) data = &g.operands[i];
  }
  const unsigned index_bytes = gather_index_bytes(g.info.mnemonic);
  const u8 index_register = vector_number(memory.mem.index);
  const unsigned index_size = ZydisRegisterGetWidth(ZYDIS_MACHINE_MODE_LONG_64, memory.mem.index);
  const bool evex = is_evex(g);
  Elements e;
  e.bytes = memory.element_size / 8u;
  // At least an XMM register is moved, even where the decoder counts only what is gathered.
  const unsigned data_bytes = std::max(data->size / 8u, 16u);
  e.count = e.mask_bits = std::min(index_size / 8u / index_bytes, data_bytes / e.bytes);
  const u8 data_register = vector_number(data->reg.value);
  const HostMem buffer = HostMem::frame(data_buffer());

  if (flags_needed(g)) save_flags();
  as_.move_vector(false, index_register, HostMem::frame(EMU_FRAME(vector_spill)), index_size / 8u,
                  evex);
  as_.move_vector(false, data_register, buffer, data_bytes, evex);
  for (unsigned i = e.count * e.bytes; !scatter && i < data_bytes; i += 8) {
    as_.store_imm(HostMem::frame(data_buffer() + static_cast<i32>(i)), 0);
  }
  load_mask(g, e);
  as_.store(spill(kRemaining), kT1);
  const u32 top = as_.offset();
  const u32 done = next_element();
  // kT0 = base + index * scale + displacement.
  as_.load_signed(kT1,
                  HostMem::frame_indexed(kT2, index_bytes == 8 ? 3 : 2, EMU_FRAME(vector_spill)),
                  index_bytes);
  HostMem address;
  const GuestRegister base = guest_register(memory.mem.base);
  if (base.number != kNoRegister) address.base = host_register(base.number, kT0);
  address.index = kT1;
  address.scale = memory.mem.scale >= 8   ? u8{3}
                  : memory.mem.scale == 4 ? u8{2}
                  : memory.mem.scale == 2 ? u8{1}
                                          : u8{0};
  if (memory.mem.disp.has_displacement != 0) {
    address.disp = static_cast<i32>(memory.mem.disp.value);
  }
  as_.lea(kT0, address, g.info.address_width == 64 ? 8 : 4);
  move_element(g, e.bytes, scatter ? kStore : kLoad, segment_of(memory), false);
  as_.jmp_back(top);
  as_.patch(done);
  if (flags_needed(g)) restore_flags();
  if (!scatter) as_.move_vector(true, data_register, buffer, data_bytes, evex);
  if (evex) {
    const u8 k = vector_number(g.info.avx.mask.reg);
    as_.vex({1, 0, 1, 1, 0x47}, k, k, k);  // kxorq
  } else {
    const u8 mask = vector_number(g.operands[2].reg.value);
    as_.vex({1, 1, 0, 0, 0xef}, mask, mask, mask);  // vpxor
  }
}

// Registers 0..7 only, one by one.
void EmitContext::emit_zero_upper(const GuestInstruction& g) {
  for (u8 n = 0; n < 8; ++n) {
    if (g.info.mnemonic == ZYDIS_MNEMONIC_VZEROALL) {
      as_.vex({1, 1, 0, 0, 0xef}, n, n, n);  // vpxor xmm, xmm, xmm
    } else {
      as_.vex({1, 0, 0, 0, 0x28}, n, 0, n);  // vmovaps xmm, xmm
    }
  }
}

unsigned EmitContext::gather_index_bytes(ZydisMnemonic mnemonic) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_VGATHERDPD:
    case ZYDIS_MNEMONIC_VGATHERDPS:
    case ZYDIS_MNEMONIC_VPGATHERDD:
    case ZYDIS_MNEMONIC_VPGATHERDQ:
    case ZYDIS_MNEMONIC_VSCATTERDPD:
    case ZYDIS_MNEMONIC_VSCATTERDPS:
    case ZYDIS_MNEMONIC_VPSCATTERDD:
    case ZYDIS_MNEMONIC_VPSCATTERDQ:
      return 4;
    default:
      return 8;
  }
}

}  // namespace emu
