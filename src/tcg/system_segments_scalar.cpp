// SPDX-License-Identifier: Apache-2.0
// System instructions on segments and descriptor tables.
// Source: Intel SDM vol. 2 (each instruction).
#include "cpu/control_registers.h"
#include "tcg/system_operands.h"

namespace emu {
namespace {

void set_zf(CpuState& s, bool on) {
  s.rflags = on ? s.rflags | kFlagZf : s.rflags & ~kFlagZf;
}

// SS loads inhibit interrupts and traps until the next instruction is done.
void after_segment_load(TcgCpu& t, SegmentIndex index) {
  if (index == kSs) t.hold_debug_traps();
}

unsigned register_operand(const SystemCall& c) {
  return c.reg;
}

void store_table(TcgCpu& t, const SystemCall&, const DescriptorTable& table) {
  CpuState& s = t.cpu();
  if (!done(t, check_umip(s))) return;
  u8 image[10];
  store_le(image, table.limit);
  store_le(image + 2, table.base);
  const unsigned bytes = s.code64() ? 10 : 6;
  done(t, t.write_linear(t.frame().exit_address, image, bytes, Privilege::kCurrent));
}

bool fetch_table(TcgCpu& t, const SystemCall& c, u16& limit, u64& base) {
  CpuState& s = t.cpu();
  if (!done(t, check_privileged(s))) return false;
  u8 image[10] = {};
  const unsigned bytes = s.code64() ? 10 : 6;
  if (!done(t, t.read_linear(t.frame().exit_address, image, bytes, Privilege::kCurrent))) {
    return false;
  }
  limit = load_le<u16>(image);
  base = load_le<u64>(image + 2);
  if (!s.code64()) base &= c.operand_bytes == 2 ? 0xffffff : 0xffffffff;
  return true;
}

}  // namespace

void system_check_segment(TcgCpu& t, const SystemCall& c) noexcept {
  done(t, check_segment_access(t.cpu(), static_cast<SegmentIndex>(c.segment),
                               t.frame().exit_address, c.operand_bytes, (c.immediate & 1) != 0));
}

void system_mov_to_segment(TcgCpu& t, const SystemCall& c) noexcept {
  u64 selector = 0;
  const auto index = static_cast<SegmentIndex>(c.reg);
  if (!read_operand(t, c, c.reg2, 2, selector)) return;
  if (!done(t, load_segment(t.core(), index, static_cast<u16>(selector)))) return;
  after_segment_load(t, index);
}

void system_pop_segment(TcgCpu& t, const SystemCall& c) noexcept {
  u64 value = 0;
  const auto index = static_cast<SegmentIndex>(c.reg);
  // The selector is 16 bits whatever the operand size (SDM vol. 2 POP).
  if (!peek_stack(t, 2, value)) return;
  CpuState& s = t.cpu();
  // The size of the stack that is left counts, not that of one which POP SS enters.
  const u64 mask = stack_mask(s);
  if (!done(t, load_segment(t.core(), index, static_cast<u16>(value)))) return;
  s.gpr[kRsp] = (s.gpr[kRsp] & ~mask) | ((s.gpr[kRsp] + c.operand_bytes) & mask);
  after_segment_load(t, index);
}

void system_load_far_pointer(TcgCpu& t, const SystemCall& c) noexcept {
  u8 image[10] = {};
  if (!done(t, t.read_linear(t.frame().exit_address, image, c.operand_bytes + 2u,
                             Privilege::kCurrent))) {
    return;
  }
  const u16 selector = load_le<u16>(image + c.operand_bytes);
  const u64 offset = load_le<u64>(image) & byte_mask(c.operand_bytes);
  const auto index = static_cast<SegmentIndex>(c.segment);
  if (!done(t, load_segment(t.core(), index, selector))) return;
  write_gpr(t.cpu(), c.reg, c.operand_bytes, offset);
  after_segment_load(t, index);
}

void system_lar(TcgCpu& t, const SystemCall& c) noexcept {
  u64 selector = 0;
  bool valid = false;
  u32 rights = 0;
  if (!read_operand(t, c, c.reg2, 2, selector)) return;
  if (!done(t, load_access_rights(t.core(), static_cast<u16>(selector), valid, rights))) return;
  if (valid) write_gpr(t.cpu(), c.reg, c.operand_bytes, rights);
  set_zf(t.cpu(), valid);
}

void system_lsl(TcgCpu& t, const SystemCall& c) noexcept {
  u64 selector = 0;
  bool valid = false;
  u32 limit = 0;
  if (!read_operand(t, c, c.reg2, 2, selector)) return;
  if (!done(t, load_limit(t.core(), static_cast<u16>(selector), valid, limit))) return;
  if (valid) write_gpr(t.cpu(), c.reg, c.operand_bytes, limit);
  set_zf(t.cpu(), valid);
}

void system_verr(TcgCpu& t, const SystemCall& c) noexcept {
  u64 selector = 0;
  bool ok = false;
  if (!read_operand(t, c, register_operand(c), 2, selector)) return;
  if (done(t, verify_segment(t.core(), static_cast<u16>(selector), false, ok))) set_zf(t.cpu(), ok);
}

void system_verw(TcgCpu& t, const SystemCall& c) noexcept {
  u64 selector = 0;
  bool ok = false;
  if (!read_operand(t, c, register_operand(c), 2, selector)) return;
  if (done(t, verify_segment(t.core(), static_cast<u16>(selector), true, ok))) set_zf(t.cpu(), ok);
}

void system_arpl(TcgCpu& t, const SystemCall& c) noexcept {
  CpuState& s = t.cpu();
  if (!s.protected_mode() || s.vm86()) return t.fault(Fault::ud());
  u64 target = 0;
  if (!read_operand(t, c, c.reg2, 2, target)) return;
  const u64 source = read_gpr(s, c.reg, 2);
  const bool raise = (target & 3) < (source & 3);
  if (raise && c.memory && !segment_allows(s.segments[c.segment], true)) {
    return t.fault(Fault::with_code(c.segment == kSs ? kVectorSs : kVectorGp, 0));
  }
  if (raise && !write_operand(t, c, c.reg2, 2, (target & ~u64{3}) | (source & 3))) return;
  set_zf(s, raise);
}

void system_sgdt(TcgCpu& t, const SystemCall& c) noexcept {
  store_table(t, c, t.cpu().gdtr);
}

void system_sidt(TcgCpu& t, const SystemCall& c) noexcept {
  store_table(t, c, t.cpu().idtr);
}

void system_lgdt(TcgCpu& t, const SystemCall& c) noexcept {
  u16 limit = 0;
  u64 base = 0;
  if (fetch_table(t, c, limit, base)) done(t, load_gdtr(t.core(), limit, base));
}

void system_lidt(TcgCpu& t, const SystemCall& c) noexcept {
  u16 limit = 0;
  u64 base = 0;
  if (fetch_table(t, c, limit, base)) done(t, load_idtr(t.core(), limit, base));
}

void system_sldt(TcgCpu& t, const SystemCall& c) noexcept {
  CpuState& s = t.cpu();
  if (!s.protected_mode() || s.vm86()) return t.fault(Fault::ud());
  if (!done(t, check_umip(s))) return;
  write_operand(t, c, c.reg, c.memory ? 2 : c.operand_bytes, s.ldtr.selector);
}

void system_str(TcgCpu& t, const SystemCall& c) noexcept {
  CpuState& s = t.cpu();
  if (!s.protected_mode() || s.vm86()) return t.fault(Fault::ud());
  if (!done(t, check_umip(s))) return;
  write_operand(t, c, c.reg, c.memory ? 2 : c.operand_bytes, s.tr.selector);
}

void system_lldt(TcgCpu& t, const SystemCall& c) noexcept {
  CpuState& s = t.cpu();
  if (!s.protected_mode() || s.vm86()) return t.fault(Fault::ud());
  u64 selector = 0;
  if (!done(t, check_privileged(s)) || !read_operand(t, c, c.reg, 2, selector)) return;
  done(t, load_ldtr(t.core(), static_cast<u16>(selector)));
}

void system_ltr(TcgCpu& t, const SystemCall& c) noexcept {
  CpuState& s = t.cpu();
  if (!s.protected_mode() || s.vm86()) return t.fault(Fault::ud());
  u64 selector = 0;
  if (!done(t, check_privileged(s)) || !read_operand(t, c, c.reg, 2, selector)) return;
  done(t, load_tr(t.core(), static_cast<u16>(selector)));
}

void system_smsw(TcgCpu& t, const SystemCall& c) noexcept {
  u64 value = 0;
  const unsigned bytes = c.memory ? 2 : c.operand_bytes;
  if (!done(t, store_machine_status_word(t.core(), bytes, value))) return;
  write_operand(t, c, c.reg, bytes, value);
}

void system_lmsw(TcgCpu& t, const SystemCall& c) noexcept {
  u64 value = 0;
  if (!done(t, check_privileged(t.cpu())) || !read_operand(t, c, c.reg, 2, value)) return;
  done(t, load_machine_status_word(t.core(), static_cast<u16>(value)));
}

}  // namespace emu
