// SPDX-License-Identifier: Apache-2.0
// Saved states from strangers: a stream is loaded into a processor; what loads must save again.
// Input: the stream.
#include <memory>

#include "base/check.h"
#include "base/log.h"
#include "base/state_io.h"
#include "cpu/cpu_state.h"

namespace emu {
namespace {

void run(std::span<const u8> data) {
  const auto state = std::make_unique<CpuState>();
  StateIo in = StateIo::loader(data);
  transfer(*state, in);
  if (!in.finish()) return;
  StateIo out = StateIo::saver();
  transfer(*state, out);
  StateIo again = StateIo::loader(out.bytes());
  transfer(*state, again);
  EMU_CHECK(again.finish());
}

}  // namespace
}  // namespace emu

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  emu::set_log_level(emu::LogLevel::kError);
  emu::run({data, size});
  return 0;
}
