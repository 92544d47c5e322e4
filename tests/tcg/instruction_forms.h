// SPDX-License-Identifier: Apache-2.0
// Finds an encoding of every operand form of every mnemonic, by walking the opcode space with the
// decoder, and makes random instances of a form.
#pragma once

#include <map>
#include <random>
#include <string>
#include <vector>

#include "frontend/decode_block.h"

namespace emu::instruction_test {

using Random = std::mt19937_64;

// One operand form ("ADD r32, m32") and encodings that have it, up to the ModRM byte.
struct Form {
  ZydisMnemonic mnemonic = ZYDIS_MNEMONIC_INVALID;
  std::vector<std::vector<u8>> encodings;  // complete, 15 bytes each
};
using Forms = std::map<std::string, Form>;

[[nodiscard]] TranslationMode test_mode(bool code64);
[[nodiscard]] Forms find_forms(bool code64);
// The name of the form of a decoded instruction.
[[nodiscard]] std::string form_name(const GuestInstruction& g);
[[nodiscard]] std::string disassemble(std::span<const u8> bytes, u64 rip, bool code64);

// Decodes one instruction at `rip`.
[[nodiscard]] GuestInstruction decode(std::span<const u8> bytes, u64 rip, TranslationMode mode);

// Another instruction of the same form: random registers, immediates and addressing.
[[nodiscard]] std::vector<u8> vary(const std::vector<u8>& encoding, const std::string& form,
                                   u64 rip, TranslationMode mode, Random& random);

}  // namespace emu::instruction_test
