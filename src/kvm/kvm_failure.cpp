// SPDX-License-Identifier: Apache-2.0
// What to tell the user when KVM cannot go on: what it could not do, where, and the instruction.
#include <Zydis/Zydis.h>

#include <algorithm>

#include "base/bits.h"
#include "kvm/kvm_cpu.h"

namespace emu {
namespace {

constexpr unsigned kLongestInstruction = 15;

std::string disassemble(std::span<const u8> bytes, const CpuState& s) {
  ZydisMachineMode mode = ZYDIS_MACHINE_MODE_LONG_64;
  ZydisStackWidth width = ZYDIS_STACK_WIDTH_64;
  if (!s.code64()) {
    const bool big = (s.segments[kCs].attributes & kSegBig) != 0;
    mode = big ? ZYDIS_MACHINE_MODE_LONG_COMPAT_32 : ZYDIS_MACHINE_MODE_LONG_COMPAT_16;
    width = big ? ZYDIS_STACK_WIDTH_32 : ZYDIS_STACK_WIDTH_16;
  }
  ZydisDecoder decoder;
  ZydisDecodedInstruction instruction;
  ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
  ZydisFormatter formatter;
  char text[128];
  ZydisDecoderInit(&decoder, mode, width);
  ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
  const bool decoded = ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes.data(), bytes.size(),
                                                           &instruction, operands)) &&
                       ZYAN_SUCCESS(ZydisFormatterFormatInstruction(
                           &formatter, &instruction, operands, instruction.operand_count_visible,
                           text, sizeof text, s.rip, ZYAN_NULL));
  return decoded ? text : "no known instruction";
}

std::string in_hex(std::span<const u8> bytes) {
  std::string text;
  for (const u8 b : bytes) text += fmt::format("{}{:02x}", text.empty() ? "" : " ", b);
  return text;
}

const char* internal_error_words(u32 suberror) {
  switch (suberror) {
    case KVM_INTERNAL_ERROR_EMULATION:
      return "KVM cannot execute the guest's instruction";
    case KVM_INTERNAL_ERROR_SIMUL_EX:
      return "KVM met an exception inside an exception that it cannot deliver";
    case KVM_INTERNAL_ERROR_DELIVERY_EV:
      return "KVM cannot deliver an event to the guest";
    default:
      return "KVM met an error of its own";
  }
}

}  // namespace

// The bytes at CS:RIP, as far as they are mapped.
std::vector<u8> KvmCpu::code_bytes(const CpuState& s) {
  std::vector<u8> bytes;
  const u64 base = s.code64() ? 0 : s.segments[kCs].base;
  for (unsigned i = 0; i < kLongestInstruction; ++i) {
    kvm_translation t{};
    t.linear_address = base + s.rip + i;
    if (call_with(KVM_TRANSLATE, t) < 0 || t.valid == 0) break;
    u8 b = 0;
    if (engine_.memory().ram_span(t.physical_address, 1, false).empty()) break;
    engine_.memory().read(t.physical_address, {&b, 1});
    bytes.push_back(b);
  }
  return bytes;
}

std::string KvmCpu::describe_place() {
  CpuState s = shadow_;
  load_registers(s);
  load_system(s);
  const kvm_run& run = shared();
  std::vector<u8> bytes = code_bytes(s);
  const auto& e = run.emulation_failure;
  const bool kernel_tells = run.exit_reason == KVM_EXIT_INTERNAL_ERROR &&
                            e.suberror == KVM_INTERNAL_ERROR_EMULATION && e.ndata >= 3 &&
                            (e.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) != 0;
  if (bytes.empty() && kernel_tells) {
    bytes.assign(e.insn_bytes, e.insn_bytes + std::min<unsigned>(e.insn_size, sizeof e.insn_bytes));
  }
  return fmt::format("at CS:RIP {:04x}:{:x} (CPL {}, bytes {}): {}", s.segments[kCs].selector,
                     s.rip, s.cpl(), bytes.empty() ? "unreadable" : in_hex(bytes),
                     disassemble(bytes, s));
}

std::string KvmCpu::describe_failure() {
  const kvm_run& run = shared();
  std::string what;
  switch (run.exit_reason) {
    case KVM_EXIT_INTERNAL_ERROR:
      what = internal_error_words(run.internal.suberror);
      break;
    case KVM_EXIT_FAIL_ENTRY:
      what = fmt::format("the host's processor refused to enter the guest (reason {:#x})",
                         run.fail_entry.hardware_entry_failure_reason);
      break;
    case KVM_EXIT_UNKNOWN:
      what = fmt::format("KVM stopped for a hardware reason that it does not know ({:#x})",
                         run.hw.hardware_exit_reason);
      break;
    default:
      what =
          fmt::format("KVM stopped for reason {}, which this emu does not know", run.exit_reason);
      break;
  }
  return fmt::format("{} {}; use --accel=tcg", what, describe_place());
}

}  // namespace emu
