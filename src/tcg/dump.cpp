// SPDX-License-Identifier: Apache-2.0
#include "tcg/dump.h"

#include <Zydis/Zydis.h>
#include <fmt/core.h>

#include <array>

#include "cpu/cpu_state.h"

namespace emu {
namespace {

std::string flag_names(u16 flags) {
  std::string text;
  constexpr std::pair<u64, char> kNames[] = {{kFlagCf, 'C'}, {kFlagPf, 'P'}, {kFlagAf, 'A'},
                                             {kFlagZf, 'Z'}, {kFlagSf, 'S'}, {kFlagOf, 'O'}};
  for (const auto& [mask, name] : kNames) text += (flags & mask) != 0 ? name : '-';
  return text;
}

std::string disassemble_guest(const GuestInstruction& g) {
  ZydisFormatter formatter;
  ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
  std::array<char, 128> text{};
  if (!ZYAN_SUCCESS(ZydisFormatterFormatInstruction(&formatter, &g.info, g.operands,
                                                    g.info.operand_count_visible, text.data(),
                                                    text.size(), g.rip, nullptr))) {
    return "(undefined)";
  }
  return text.data();
}

std::string disassemble_host(const EmittedBlock& e, u64 from, u64 to, const u8* address) {
  std::string out;
  while (from < to) {
    ZydisDisassembledInstruction d;
    const u64 at = __builtin_bit_cast(u64, address) + from;
    if (!ZYAN_SUCCESS(ZydisDisassembleIntel(ZYDIS_MACHINE_MODE_LONG_64, at, e.code.data() + from,
                                            to - from, &d))) {
      return out + fmt::format("      +{:04x}  (data)\n", from);
    }
    out += fmt::format("      +{:04x}  {}\n", from, d.text);
    from += d.info.length;
  }
  return out;
}

}  // namespace

std::string describe_translation(const GuestBlock& block, const EmittedBlock& emitted,
                                 const u8* host_address) {
  std::string out =
      fmt::format("block {:#x}, mode {:#x}, {} guest bytes, {} host bytes\n", block.rip,
                  block.mode.packed(), block.length_bytes, emitted.code.size());
  for (std::size_t i = 0; i < emitted.map.size(); ++i) {
    const InstructionMapEntry& m = emitted.map[i];
    const u64 end =
        i + 1 < emitted.map.size() ? emitted.map[i + 1].host_offset : emitted.code.size();
    for (const GuestInstruction& g : block.instructions) {
      if (g.rip != block.rip + m.guest_offset) continue;
      out += fmt::format("  {:#x}  {}  ; live {}\n", g.rip, disassemble_guest(g),
                         flag_names(g.flags_live));
    }
    out += disassemble_host(emitted, m.host_offset, end, host_address);
  }
  return out;
}

}  // namespace emu
