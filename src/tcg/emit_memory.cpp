// SPDX-License-Identifier: Apache-2.0
// Guest addresses: effective address, segmentation, and the inline TLB check.
// Source: Intel SDM vol. 1 3.7.5 (effective address), 3.3.7 (address size wrap); vol. 3 5.3 (limit
// checks), 3.2.4 (segmentation in 64-bit mode).
// Not modelled: #GP of a 32-bit access that wraps around 4 GiB in a flat segment (it wraps).
#include "base/check.h"
#include "tcg/emit_context.h"

namespace emu {
namespace {

i32 site_offset(u32 site) {
  return EMU_FRAME(page_site) + static_cast<i32>(sizeof(u16) * site);
}

}  // namespace

const ZydisDecodedOperand* EmitContext::memory_operand(const GuestInstruction& g) {
  for (unsigned i = 0; i < g.info.operand_count; ++i) {
    if (g.operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY) return &g.operands[i];
  }
  return nullptr;
}

u8 EmitContext::segment_of(const ZydisDecodedOperand& op) {
  const ZydisRegister s = op.mem.segment;
  if (s < ZYDIS_REGISTER_ES || s > ZYDIS_REGISTER_GS) return kDs;
  return static_cast<u8>(s - ZYDIS_REGISTER_ES);
}

void EmitContext::truncate_offset(unsigned address_bytes) {
  if (address_bytes == 2) as_.zero_extend(kT0, kT0, 2);
  if (address_bytes == 4) as_.mov(kT0, kT0, 4);
}

void EmitContext::load_offset(const GuestInstruction& g, const ZydisDecodedOperand& op, i64 extra) {
  const unsigned width = g.info.address_width / 8u;
  const unsigned lea_size = width == 8 ? 8 : 4;
  i64 disp = op.mem.disp.has_displacement != 0 ? op.mem.disp.value : 0;
  disp += extra;
  if (op.mem.base == ZYDIS_REGISTER_RIP || op.mem.base == ZYDIS_REGISTER_EIP) {
    u64 address = g.next_rip() + static_cast<u64>(disp);
    if (width == 4) {
      out_->movable = false;
      address &= 0xffffffffu;
    }
    load_rip(kT0, address);
    return;
  }
  const GuestRegister base = guest_register(op.mem.base), index = guest_register(op.mem.index);
  if (base.number == kNoRegister && index.number == kNoRegister) {
    as_.mov_imm(kT0, static_cast<u64>(disp) & (width == 8 ? ~u64{0} : (u64{1} << width * 8) - 1));
    return;
  }
  HostMem m;
  if (base.number != kNoRegister) m.base = host_register(base.number, kT0);
  if (index.number != kNoRegister) {
    if (kHostRegister[index.number] == kInFrame) in_t1_ = nullptr;
    m.index = host_register(index.number, kT1);
    m.scale = static_cast<u8>(op.mem.scale >= 8   ? 3
                              : op.mem.scale == 4 ? 2
                              : op.mem.scale == 2 ? 1
                                                  : 0);
  }
  m.disp = static_cast<i32>(disp);
  if (m.disp != disp && width == 8) {  // only with `extra`
    m.disp = static_cast<i32>(disp - extra);
    as_.lea(kT0, m);
    m = HostMem::at(kT0, static_cast<i32>(extra));
  }
  if (m.index == kNoRegister && m.disp == 0) {
    if (m.base != kT0 || lea_size == 4) as_.mov(kT0, m.base, lea_size);
  } else {
    as_.lea(kT0, m, lea_size);
  }
  if (width == 2) truncate_offset(2);
}

void EmitContext::load_pointer(u8 guest, unsigned address_bytes) {
  const u8 host = host_register(guest, kT0);
  if (address_bytes == 2) {
    as_.zero_extend(kT0, host, 2);
  } else if (host != kT0 || address_bytes == 4) {
    as_.mov(kT0, host, address_bytes);
  }
}

bool EmitContext::needs_limit_check(u8 segment) const {
  return !mode_.code64() && (mode_.flat_segments & (1u << segment)) == 0;
}

void EmitContext::add_segment_base(u8 segment) {
  const i32 base = EMU_FRAME(cpu.segments) +
                   static_cast<i32>(sizeof(Segment) * segment + offsetof(Segment, base));
  if (mode_.code64()) {
    if (segment != kFs && segment != kGs) return;
    as_.load(kT1, HostMem::frame(base));
    as_.lea(kT0, HostMem::sum(kT0, kT1));
  } else if ((mode_.flat_segments & (1u << segment)) == 0) {
    as_.load(kT1, HostMem::frame(base), 4);
    as_.lea(kT0, HostMem::sum(kT0, kT1), 4);
  }
}

void EmitContext::to_linear(const GuestInstruction& g, u8 segment, unsigned size, bool write,
                            FlagPlace place) {
  if (size != 0 && needs_limit_check(segment)) {
    const i32 limit =
        (write ? EMU_FRAME(segment_write_limit) : EMU_FRAME(segment_read_limit)) + 8 * segment;
    as_.lea(kT2, HostMem::at(kT0, static_cast<i32>(size)));
    as_.alu_load(7, kT2, HostMem::frame(limit));
    ColdPart part;
    part.kind = ColdPart::Kind::kSegment;
    part.flags = place;
    part.recipe = recipe_;
    part.from = as_.jcc_forward(7);  // above
    part.back = as_.offset();
    part.guest = &g;
    SystemCall call = describe(g);
    call.handler = system_check_segment;
    call.operand_bytes = static_cast<u8>(size);
    call.segment = segment;
    call.immediate = write ? 1 : 0;
    call.ends_block = false;
    part.call = keep(call);
    cold_.push_back(part);
  }
  add_segment_base(segment);
}

i32 EmitContext::tag_offset(bool write) const {
  return EMU_FRAME(tlb) +
         static_cast<i32>(sizeof(TlbSet) * mode_.memory_set +
                          (write ? offsetof(TlbSet, write_tag) : offsetof(TlbSet, read_tag)));
}

u32 EmitContext::emit_tag_check(unsigned span, bool write) {
  if (span == 1) {
    as_.mov(kT2, kT0);
  } else {
    as_.lea(kT2, HostMem::at(kT0, static_cast<i32>(span - 1)));
  }
  as_.alu_imm(4, kT2, -4096);
  as_.alu_load(7, kT2, HostMem::frame_indexed(kT1, 3, tag_offset(write)));
  return as_.jcc_forward(kCcNz);
}

u32 EmitContext::emit_lookup(unsigned span, bool write) {
  as_.pext(kT1, kT0, HostMem::frame(EMU_FRAME(tlb_index_mask)));
  return emit_tag_check(span, write);
}

// As emit_lookup(), but with the entry used last, for aligned accesses: their ends are on one page.
void EmitContext::check_predicted(unsigned size, bool write, ColdPart& part) {
  part.site = next_site_;
  next_site_ = (next_site_ + 1) & ((1u << kPageSiteBits) - 1);
  as_.load(kT1, HostMem::frame(site_offset(part.site)), 2);
  as_.mov(kT2, kT0);
  as_.alu_imm(4, kT2, -4096 | static_cast<i32>(size - 1));
  as_.alu_load(7, kT2, HostMem::frame_indexed(kT1, 3, tag_offset(write)));
  part.from = as_.jcc_forward(kCcNz);
}

void EmitContext::load_delta() {
  const i32 set = EMU_FRAME(tlb) + static_cast<i32>(sizeof(TlbSet) * mode_.memory_set);
  as_.load(kT1, HostMem::frame_indexed(kT1, 3, set + static_cast<i32>(offsetof(TlbSet, delta))));
}

void EmitContext::begin_access(const GuestInstruction& g, const Access& access) {
  const unsigned size = access.size;
  EMU_CHECK(size >= 1 && size <= 64);
  in_t1_ = nullptr;
  const bool inline_check = mode_.always_slow == 0;
  const bool checks_limit = !access.linear && needs_limit_check(access.segment);
  if (!access.flags_in_frame && (inline_check || checks_limit)) free_flags(g);
  const FlagPlace place = access.flags_in_frame ? FlagPlace::kFrame : flags_;
  if (!access.linear) to_linear(g, access.segment, size, access.write, place);
  AccessInfo info;
  info.size = size & 0xff;
  info.read = access.read;
  info.write = access.write;
  info.memory_set = mode_.memory_set;
  info.stack_segment = access.segment == kSs;
  info.implicit_supervisor = access.implicit_supervisor;
  info.align = (size & (size - 1)) == 0 && size <= 8 ? size & 0xff : 0;
  ColdPart part;
  part.kind = access.masked ? ColdPart::Kind::kMasked : ColdPart::Kind::kAccess;
  part.write = access.write;
  part.partial = access.partial;
  part.number = info.packed();
  part.guest = &g;
  if (inline_check) {
    const bool aligned = size <= 8 && (size & (size - 1)) == 0;
    if (access.predict && aligned && options_.predict_pages) {
      check_predicted(size, access.write, part);
    } else {
      part.from = emit_lookup(size, access.write);
    }
    part.hit = as_.offset();
    part.flags = place;
    part.recipe = recipe_;
    if (settle_in_access_ && !access.flags_in_frame) settle_flags();
    load_delta();
  } else {
    if (settle_in_access_ && !access.flags_in_frame) settle_flags();
    part.flags = access.flags_in_frame ? FlagPlace::kFrame : flags_;
    part.recipe = recipe_;
    part.from = as_.jmp_forward();
  }
  part.back = as_.offset();
  open_access_ = cold_.size();
  cold_.push_back(part);
}

void EmitContext::end_access() {
  if (open_access_ != kNoAccess) cold_[open_access_].end = as_.offset();
  open_access_ = kNoAccess;
}

void EmitContext::emit_cold_access(const ColdPart& part) {
  as_.patch(part.from);
  if (part.site != kNoSite) {
    const u32 misses = emit_lookup(__builtin_bit_cast(AccessInfo, part.number).size, part.write);
    as_.store(HostMem::frame(site_offset(part.site)), kT1, 2);
    as_.jmp_back(part.hit);
    as_.patch(misses);
  }
  make_flags(part.flags, part.recipe);
  emit_slow_access(part);
}

void EmitContext::emit_slow_access(const ColdPart& part) {
  as_.mov_imm(kT1, part.number);
  as_.call_to(stubs_.slow_access);
  as_.jmp_back(part.back);
  if (!part.write) return;
  as_.repeat(part.back, part.end);
  as_.call_to(part.partial ? stubs_.commit_part : stubs_.commit_write);
  as_.jmp_back(part.end);
}

void EmitContext::emit_cold_segment(const ColdPart& part) {
  as_.patch(part.from);
  make_flags(part.flags, part.recipe);
  load_call(part.call);
  as_.call_to(stubs_.call_system);
  as_.load(kT0, HostMem::frame(EMU_FRAME(exit_address)));
  as_.jmp_back(part.back);
}

unsigned EmitContext::stack_bytes() const {
  switch (static_cast<CodeSize>(mode_.stack_size)) {
    case CodeSize::k16:
      return 2;
    case CodeSize::k32:
      return 4;
    default:
      return 8;
  }
}

void EmitContext::load_stack_offset(i64 displacement) {
  const u8 sp = kHostRegister[kRsp];
  const unsigned bytes = stack_bytes();
  as_.lea(kT0, HostMem::at(sp, static_cast<i32>(displacement)), bytes == 8 ? 8 : 4);
  if (bytes == 2) truncate_offset(2);
}

void EmitContext::adjust_stack(i64 displacement) {
  // CALL and RET only: for others, must_settle() sees that rSP is written.
  const bool needs_old = recipe_.kind == FlagRecipe::Kind::kTest ||
                         recipe_.kind == FlagRecipe::Kind::kRepeat ||
                         recipe_.other == kHostRegister[kRsp];
  if (flags_ == FlagPlace::kRecipe && needs_old && (recipe_.uses >> kRsp & 1) != 0) settle_flags();
  if (recipe_.reg == kHostRegister[kRsp]) recipe_.bias -= static_cast<i32>(displacement);
  const u8 sp = kHostRegister[kRsp];
  const unsigned bytes = stack_bytes();
  const HostMem sum = HostMem::at(sp, static_cast<i32>(displacement));
  if (bytes == 2) {
    as_.lea(kT2, sum, 4);
    as_.mov(sp, kT2, 2);
  } else {
    as_.lea(sp, sum, bytes);
  }
}

}  // namespace emu
