// SPDX-License-Identifier: Apache-2.0
#include "tcg/user/user_scan.h"

#include <Zydis/Zydis.h>

#include <cstring>

namespace emu {
namespace {

// Code read out of step falls into step again after a few instructions, mostly; a row of like
// instructions may keep it out of step to its end.
constexpr std::size_t kRunUp[] = {kScanRunUpBytes, 207, 61, 58, 51};

// From so many bytes on, the beginning of what is known is better than nothing.
constexpr std::size_t kFewBytes = 6;

bool is_telling(const ZydisDecodedInstruction& i, ScanFor what) {
  switch (i.mnemonic) {
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
      return what.xgetbv;
    case ZYDIS_MNEMONIC_MOV:
      return what.code32 && (i.opcode == 0x8c || i.opcode == 0x8e);
    case ZYDIS_MNEMONIC_POP:
      return what.code32 && (i.opcode == 0xa1 || i.opcode == 0xa9);
    case ZYDIS_MNEMONIC_LSS:
    case ZYDIS_MNEMONIC_LFS:
    case ZYDIS_MNEMONIC_LGS:
    case ZYDIS_MNEMONIC_SYSCALL:
      return what.code32;
    default:
      return false;
  }
}

// Whether 0F and the two bytes behind it may be such an instruction.
bool may_be_telling(u8 opcode, u8 modrm, ScanFor what) {
  const unsigned reg = (modrm >> 3) & 7u;
  const bool memory = modrm < 0xc0;
  switch (opcode) {
    case 0x00:
      return reg <= 1 || reg == 4 || reg == 5;
    case 0x01:
      return (memory && reg <= 1) || reg == 4 || (modrm == 0xd0 && what.xgetbv);
    case 0x02:
    case 0x03:
    case 0x34:
      return true;
    case 0x05:
    case 0xa1:
    case 0xa9:
      return what.code32;
    case 0xb2:
    case 0xb4:
    case 0xb5:
      return what.code32 && memory;
    case 0xc7:
      return modrm >= 0xf8;
    default:
      return false;
  }
}

// Whether decoding from `from` on finds such an instruction whose opcode is at `at`.
bool comes_to(const ZydisDecoder& decoder, std::span<const u8> page, std::size_t from,
              std::size_t at, ScanFor what) {
  while (from <= at) {
    ZydisDecodedInstruction i;
    const bool known = ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(
        &decoder, nullptr, page.data() + from, page.size() - from, &i));
    const std::size_t length = known ? i.length : 1;
    if (known && at < from + length && at - from <= i.raw.prefix_count) {
      return is_telling(i, what);
    }
    from += length;
  }
  return false;
}

// Whether most ways to read the code before `at` come to such an instruction there.
bool mostly_comes_to(const ZydisDecoder& decoder, std::span<const u8> code, std::size_t at,
                     ScanFor what) {
  std::size_t found = 0, tried = 0;
  for (const std::size_t run_up : kRunUp) {
    if (at < run_up) continue;
    if (tried == 2 && found == 0) break;  // the majority is not to be expected any more
    ++tried;
    found += comes_to(decoder, code, at - run_up, at, what) ? 1 : 0;
  }
  if (tried == 0 && at >= kFewBytes) {
    ++tried;
    found += comes_to(decoder, code, 0, at, what) ? 1 : 0;
  }
  return tried != 0 && found * 2 > tried;
}

// Goes through the places of `lead`.
template <typename MayBe>
bool any_at(std::span<const u8> code, std::size_t first, std::size_t last, u8 lead, MayBe may_be) {
  for (std::size_t at = first; at < last && at + 2 < code.size(); ++at) {
    const void* p = std::memchr(code.data() + at, lead, last - at);
    if (p == nullptr) return false;
    at = static_cast<std::size_t>(static_cast<const u8*>(p) - code.data());
    if (at + 2 < code.size() && may_be(at)) return true;
  }
  return false;
}

}  // namespace

bool shows_host(std::span<const u8> code, std::size_t first, std::size_t last, ScanFor what) {
  ZydisDecoder decoder;
  if (what.code32) {
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
  } else {
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
  }
  const auto escaped = [&](std::size_t at) {
    return may_be_telling(code[at + 1], code[at + 2], what) &&
           mostly_comes_to(decoder, code, at, what);
  };
  if (any_at(code, first, last, 0x0f, escaped)) return true;
  if (!what.code32) return false;
  // MOV from and to segment registers; behind 0F these are jumps.
  const auto segment_move = [&](std::size_t at) {
    return ((code[at + 1] >> 3) & 7) < 6 && (at == 0 || code[at - 1] != 0x0f) &&
           mostly_comes_to(decoder, code, at, what);
  };
  return any_at(code, first, last, 0x8c, segment_move) ||
         any_at(code, first, last, 0x8e, segment_move);
}

}  // namespace emu
