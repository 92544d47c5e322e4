// SPDX-License-Identifier: Apache-2.0
#include "tcg/user/user_scan.h"

#include <Zydis/Zydis.h>

#include <cstring>

namespace emu {
namespace {

// Code read out of step falls into step again after a few instructions.
constexpr std::size_t kRunUp[] = {64, 61, 58, 55};

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

bool shows_host(std::span<const u8> page, bool xgetbv) {
  if (page.size() < 3) return false;
  ZydisDecoder decoder;
  ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
  const u8* const end = page.data() + page.size() - 2;
  for (const u8* p = page.data(); p < end; ++p) {
    p = static_cast<const u8*>(std::memchr(p, 0x0f, static_cast<std::size_t>(end - p)));
    if (p == nullptr) return false;
    if (!may_be_telling(p[1], p[2], xgetbv)) continue;
    const auto at = static_cast<std::size_t>(p - page.data());
    for (const std::size_t run_up : kRunUp) {
      if (comes_to(decoder, page, at > run_up ? at - run_up : 0, at, xgetbv)) return true;
    }
  }
  return false;
}

}  // namespace emu
