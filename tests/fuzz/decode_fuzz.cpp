// SPDX-License-Identifier: Apache-2.0
// Guest code as bytes: every block that the decoder makes keeps its promises.
// Input: packed mode (4 bytes), offset in the page (2), instruction limit (1), then the page.
#include <algorithm>

#include "base/bits.h"
#include "base/check.h"
#include "base/log.h"
#include "base/types.h"
#include "frontend/decode_block.h"

namespace emu {
namespace {

constexpr std::size_t kHeaderBytes = 7;

void run(std::span<const u8> data) {
  if (data.size() <= kHeaderBytes) return;
  auto mode = __builtin_bit_cast(TranslationMode, load_le<u32>(data.data()));
  if (mode.code_size == 3 || mode.stack_size == 3 || mode.memory_set == 3) return;
  const auto bytes = data.subspan(kHeaderBytes);
  const u64 offset = load_le<u16>(data.data() + 4) % kPageBytes;
  const std::size_t here = std::min<std::size_t>(bytes.size(), kPageBytes - offset);
  DecodeLimits limits;
  limits.max_instructions = 1u + data[6] % 64;
  GuestBlock block;
  const FetchWindow window{bytes.first(here), bytes.subspan(here)};
  if (decode_block(window, offset, mode, limits, block) != DecodeStatus::kOk) return;
  EMU_CHECK(!block.instructions.empty());
  EMU_CHECK(block.instructions.size() <= limits.max_instructions);
  u64 rip = offset;
  for (const GuestInstruction& instruction : block.instructions) {
    EMU_CHECK(instruction.rip == rip && instruction.length <= 15);
    rip += instruction.length;
  }
}

}  // namespace
}  // namespace emu

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  emu::set_log_level(emu::LogLevel::kError);
  emu::run({data, size});
  return 0;
}
