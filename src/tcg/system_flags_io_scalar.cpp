// SPDX-License-Identifier: Apache-2.0
// RFLAGS, halting and port I/O.
// Source: Intel SDM vol. 2 (each instruction), vol. 1 ch. 19 (I/O).
#include "cpu/control_registers.h"
#include "cpu/flags.h"
#include "tcg/decimal_scalar.h"
#include "tcg/system_operands.h"

namespace emu {
namespace {

u16 port_of(TcgCpu& t, const SystemCall& c) {
  return c.reg2 == 1 ? static_cast<u16>(t.cpu().gpr[kRdx]) : static_cast<u16>(c.immediate);
}

bool may_do_io(TcgCpu& t, u16 port, unsigned size) {
  return has_io_privilege(t.cpu()) || done(t, check_io(t.core(), port, size));
}

}  // namespace

void system_pushf(TcgCpu& t, const SystemCall& c) noexcept {
  u64 value = 0;
  if (done(t, pushf_value(t.cpu(), c.operand_bytes, value))) push_stack(t, c.operand_bytes, value);
}

void system_popf(TcgCpu& t, const SystemCall& c) noexcept {
  u64 value = 0;
  if (!peek_stack(t, c.operand_bytes, value)) return;
  if (!done(t, popf(t.core(), c.operand_bytes, value))) return;
  set_stack_pointer(t.cpu(), t.cpu().gpr[kRsp] + c.operand_bytes);
}

void system_cli(TcgCpu& t, const SystemCall&) noexcept {
  done(t, clear_interrupts(t.core()));
}

void system_sti(TcgCpu& t, const SystemCall&) noexcept {
  done(t, set_interrupts(t.core()));
}

void system_stac(TcgCpu& t, const SystemCall&) noexcept {
  CpuState& s = t.cpu();
  if (s.cpl() != 0) return t.fault(Fault::ud());
  s.rflags |= kFlagAc;
}

void system_clac(TcgCpu& t, const SystemCall&) noexcept {
  CpuState& s = t.cpu();
  if (s.cpl() != 0) return t.fault(Fault::ud());
  s.rflags &= ~kFlagAc;
}

void system_hlt(TcgCpu& t, const SystemCall&) noexcept {
  if (!done(t, check_privileged(t.cpu()))) return;
  t.cpu().activity = Activity::kHalted;
}

// A processor that waits for another one which does not run on the host now would waste its time
// slice: after a while it gives way, as processors with pause-loop exiting make a host do.
// Source: Intel SDM vol. 2 PAUSE, vol. 3 26.1.3.
void system_pause(TcgCpu& t, const SystemCall&) noexcept {
  t.note_pause();
}

void system_monitor(TcgCpu& t, const SystemCall&) noexcept {
  t.fault(Fault::ud());  // not offered in CPUID
}

void system_mwait(TcgCpu& t, const SystemCall&) noexcept {
  t.fault(Fault::ud());
}

void system_in(TcgCpu& t, const SystemCall& c) noexcept {
  const u16 port = port_of(t, c);
  if (!may_do_io(t, port, c.operand_bytes)) return;
  t.save_vectors();
  write_gpr(t.cpu(), kRax, c.operand_bytes, t.bus().read_port(port, c.operand_bytes));
}

void system_out(TcgCpu& t, const SystemCall& c) noexcept {
  const u16 port = port_of(t, c);
  if (!may_do_io(t, port, c.operand_bytes)) return;
  t.save_vectors();
  t.bus().write_port(port, c.operand_bytes,
                     static_cast<u32>(read_gpr(t.cpu(), kRax, c.operand_bytes)));
}

void system_decimal(TcgCpu& t, const SystemCall& c) noexcept {
  decimal_adjust(t.cpu(), c.mnemonic);
}

}  // namespace emu
