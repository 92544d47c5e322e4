// SPDX-License-Identifier: Apache-2.0
// Guest registers in host registers or in the frame; keeping the status flags across checks.
// Source: Intel SDM vol. 1 3.4.1.1 (partial register writes in 64-bit mode).
#include "tcg/emit_context.h"

namespace emu {
namespace {

// Offset of guest register `n` in the frame.
i32 slot(u8 n) {
  return EMU_FRAME(cpu.gpr) + 8 * n;
}

}  // namespace

u8 EmitContext::host_register(u8 guest, u8 scratch) {
  if (kHostRegister[guest] != kInFrame) return kHostRegister[guest];
  as_.load(scratch, HostMem::frame(slot(guest)));
  return scratch;
}

void EmitContext::write_register(u8 guest, u8 from, unsigned size) {
  const u8 host = kHostRegister[guest];
  if (host != kInFrame) {
    as_.mov(host, from, size);
    return;
  }
  if (size == 4) {
    as_.mov(from, from, 4);
    size = 8;
  }
  as_.store(HostMem::frame(slot(guest)), from, size);
}

// Into frame.spill[7]: AH image in bits 8-15, OF in bit 0. LAHF and SETO work on rAX only, which is
// the guest's: it waits in kT2.
void EmitContext::save_flags() {
  as_.mov(kT2, hRax);
  as_.lahf();
  as_.setcc(kCcO, hRax);
  as_.store(HostMem::frame(EMU_FRAME(spill[7])), hRax, 2);
  as_.mov(hRax, kT2);
}

void EmitContext::restore_flags() {
  as_.mov(kT2, hRax);
  as_.load(hRax, HostMem::frame(EMU_FRAME(spill[7])), 2);
  as_.alu_imm(0, hRax, 0x7f, 1);  // OF = (AL + 7Fh overflows) = saved OF
  as_.sahf();
  as_.mov(hRax, kT2);
}

}  // namespace emu
