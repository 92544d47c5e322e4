// SPDX-License-Identifier: Apache-2.0
#include "tcg/user/user_scan.h"

#include <Zydis/Zydis.h>

#include <cstring>

namespace emu {
namespace {

// Code read out of step falls into step again after a few instructions, mostly.
constexpr std::size_t kRunUp[] = {kScanRunUpBytes, 61, 58, 55, 51};

// From so many bytes on, the beginning of what is known is better than nothing.
constexpr std::size_t kFewBytes = 6;

bool is_telling(ZydisMnemonic m, bool xgetbv) {
  switch (m) {
    case ZYDIS_MNEMONIC_SLDT:
    case ZYDIS_MNEMONIC_STR:
    case ZYDIS_MNEMONIC_VERR:
    case ZYDIS_MNEMONIC_VERW:
    case ZYDIS_MNEMONIC_SGDT:
    case ZYDIS_MNEMONIC_SIDT:
    case ZYDIS_MNEMONIC_SMSW:
    case ZYDIS_MNEMONIC_LAR:
    case ZYDIS_MNEMONIC_LSL:
    case ZYDIS_MNEMONIC_RDPID:
    case ZYDIS_MNEMONIC_SYSENTER:
      return true;
    case ZYDIS_MNEMONIC_XGETBV:
      return xgetbv;
    default:
      return false;
  }
}

// Whether 0F and the two bytes behind it may be such an instruction.
bool may_be_telling(u8 opcode, u8 modrm, bool xgetbv) {
  const unsigned reg = (modrm >> 3) & 7u;
  const bool memory = modrm < 0xc0;
  switch (opcode) {
    case 0x00:
      return reg <= 1 || reg == 4 || reg == 5;
    case 0x01:
      return (memory && reg <= 1) || reg == 4 || (modrm == 0xd0 && xgetbv);
    case 0x02:
    case 0x03:
    case 0x34:
      return true;
    case 0xc7:
      return modrm >= 0xf8;
    default:
      return false;
  }
}

// Whether decoding from `from` on finds such an instruction whose 0F is at `at`.
bool comes_to(const ZydisDecoder& decoder, std::span<const u8> page, std::size_t from,
              std::size_t at, bool xgetbv) {
  while (from <= at) {
    ZydisDecodedInstruction i;
    const bool known = ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(
        &decoder, nullptr, page.data() + from, page.size() - from, &i));
    const std::size_t length = known ? i.length : 1;
    if (known && at < from + length && at - from <= i.raw.prefix_count) {
      return is_telling(i.mnemonic, xgetbv);
    }
    from += length;
  }
  return false;
}

}  // namespace

bool shows_host(std::span<const u8> code, std::size_t first, std::size_t last, bool xgetbv) {
  ZydisDecoder decoder;
  ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
  for (std::size_t at = first; at < last && at + 2 < code.size(); ++at) {
    const void* p = std::memchr(code.data() + at, 0x0f, last - at);
    if (p == nullptr) return false;
    at = static_cast<std::size_t>(static_cast<const u8*>(p) - code.data());
    if (at + 2 >= code.size()) return false;
    if (!may_be_telling(code[at + 1], code[at + 2], xgetbv)) continue;
    std::size_t found = 0, tried = 0;
    for (const std::size_t run_up : kRunUp) {
      if (at < run_up) continue;
      if (tried == 2 && found == 0) break;  // the majority is not to be expected any more
      ++tried;
      found += comes_to(decoder, code, at - run_up, at, xgetbv) ? 1 : 0;
    }
    if (tried == 0 && at >= kFewBytes) {
      ++tried;
      found += comes_to(decoder, code, 0, at, xgetbv) ? 1 : 0;
    }
    if (tried != 0 && found * 2 > tried) return true;
  }
  return false;
}

}  // namespace emu
