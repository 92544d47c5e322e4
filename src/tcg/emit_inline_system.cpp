// SPDX-License-Identifier: Apache-2.0
// STI and RDTSC, which kernels execute on every entry and exit, without leaving generated code
// where the mode makes them simple. The sequences do not touch host flags, which hold the guest's.
// Source: Intel SDM vol. 2 STI, RDTSC; vol. 3 6.8.1.
#include "tcg/emit_context.h"

namespace emu {

bool EmitContext::emit_inline_system(const GuestInstruction& g) {
  if (mode_.single_step) return false;
  switch (g.info.mnemonic) {
    case ZYDIS_MNEMONIC_STI:
      // The last instruction of a block needs its shadow to be remembered.
      if (!mode_.iopl_ok || mode_.vm86 || &g == &block_->instructions.back()) return false;
      emit_set_interrupts(g);
      return true;
    case ZYDIS_MNEMONIC_RDTSC:
      if (mode_.cpl != 0 && mode_.tsd) return false;
      emit_read_tsc();
      return true;
    default:
      return false;
  }
}

// EDX:EAX = host TSC + bias + offset; the upper halves become zero.
void EmitContext::emit_read_tsc() {
  as_.word(0x310f);
  as_.mov_imm(kT0, 32);
  as_.shlx(hRdx, hRdx, kT0);
  as_.lea(hRax, HostMem::sum(hRax, hRdx));
  as_.load(kT1, HostMem::frame(EMU_FRAME(tsc_bias)));
  as_.lea(hRax, HostMem::sum(hRax, kT1));
  as_.load(kT1, HostMem::frame(EMU_FRAME(cpu.tsc_offset)));
  as_.lea(hRax, HostMem::sum(hRax, kT1));
  as_.shrx(hRdx, hRax, kT0);
  as_.zero_extend(hRax, hRax, 4);
}

// With an interrupt waiting, the handler sets the shadow and leaves the block. With none, the next
// instruction runs before anybody looks, which is all the shadow asks for: it is in this block.
void EmitContext::emit_set_interrupts(const GuestInstruction& g) {
  SystemCall call = describe(g);
  call.handler = system_sti;
  call.ends_block = true;
  as_.mov(kT1, hRcx);
  as_.load(hRcx, HostMem::frame(EMU_FRAME(interrupt_line)), 4);
  const u32 quiet = as_.jrcxz_short();
  as_.mov(hRcx, kT1);
  call_handler(call);
  const u32 done = as_.jmp_short();
  as_.patch_short(quiet);
  as_.mov(hRcx, kT1);
  emit_flag(kFlagIf, true);
  as_.patch_short(done);
}

}  // namespace emu
