// SPDX-License-Identifier: Apache-2.0
// Far control transfers, software interrupts, system calls, RSM.
// Source: Intel SDM vol. 2 (each instruction).
#include "cpu/delivery.h"
#include "cpu/far_transfer.h"
#include "cpu/smm.h"
#include "tcg/system_operands.h"

namespace emu {
namespace {

bool far_target(TcgCpu& t, const SystemCall& c, u16& selector, u64& offset) {
  if (!c.memory) {
    selector = static_cast<u16>(c.immediate >> 32);
    offset = c.immediate & (c.operand_bytes == 2 ? 0xffff : 0xffffffff);
    return true;
  }
  u8 image[10] = {};
  const Fault f =
      t.read_linear(t.frame().exit_address, image, c.operand_bytes + 2u, Privilege::kCurrent);
  if (!done(t, f)) return false;
  offset = load_le<u64>(image) & byte_mask(c.operand_bytes);
  selector = load_le<u16>(image + c.operand_bytes);
  return true;
}

void finish(TcgCpu& t, const Fault& f) {
  if (done(t, f)) t.transferred();
}

void software_event(TcgCpu& t, u8 vector, EventKind kind) {
  deliver_software(t.core(), vector, kind, t.next_rip());
  if (kind != EventKind::kIcebp) t.int_delivered();
  t.delivered();
}

}  // namespace

void system_far_jump(TcgCpu& t, const SystemCall& c) noexcept {
  u16 selector = 0;
  u64 offset = 0;
  if (!far_target(t, c, selector, offset)) return;
  finish(t, far_jump(t.core(), selector, offset, c.operand_bytes, t.next_rip()));
}

void system_far_call(TcgCpu& t, const SystemCall& c) noexcept {
  u16 selector = 0;
  u64 offset = 0;
  if (!far_target(t, c, selector, offset)) return;
  finish(t, far_call(t.core(), selector, offset, c.operand_bytes, t.next_rip()));
}

void system_far_return(TcgCpu& t, const SystemCall& c) noexcept {
  finish(t, far_return(t.core(), c.operand_bytes, static_cast<u16>(c.immediate)));
}

void system_iret(TcgCpu& t, const SystemCall& c) noexcept {
  finish(t, interrupt_return(t.core(), c.operand_bytes, t.next_rip()));
}

void system_int(TcgCpu& t, const SystemCall& c) noexcept {
  software_event(t, static_cast<u8>(c.immediate), EventKind::kSoftwareInterrupt);
}

void system_int3(TcgCpu& t, const SystemCall&) noexcept {
  software_event(t, kVectorBp, EventKind::kSoftwareException);
}

void system_int1(TcgCpu& t, const SystemCall&) noexcept {
  software_event(t, kVectorDb, EventKind::kIcebp);
}

void system_into(TcgCpu& t, const SystemCall&) noexcept {
  if ((t.cpu().rflags & kFlagOf) == 0) return;
  software_event(t, kVectorOf, EventKind::kSoftwareException);
}

void system_syscall(TcgCpu& t, const SystemCall&) noexcept {
  finish(t, syscall_enter(t.core(), t.next_rip()));
}

void system_sysret(TcgCpu& t, const SystemCall& c) noexcept {
  finish(t, syscall_return(t.core(), c.operand_bytes == 8 ? 8 : 4));
}

void system_sysenter(TcgCpu& t, const SystemCall&) noexcept {
  finish(t, sysenter(t.core()));
}

void system_sysexit(TcgCpu& t, const SystemCall& c) noexcept {
  finish(t, sysexit(t.core(), c.operand_bytes == 8 ? 8 : 4));
}

void system_rsm(TcgCpu& t, const SystemCall&) noexcept {
  SmmResult result{};
  finish(t, leave_smm(t.core(), result));
}

}  // namespace emu
