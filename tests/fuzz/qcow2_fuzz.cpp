// SPDX-License-Identifier: Apache-2.0
// The input is a qcow2 file, opened for writing and used.
#include "base/log.h"
#include "block/hostile_image.h"

extern "C" int LLVMFuzzerTestOneInput(const emu::u8* data, std::size_t size) {
  emu::set_log_level(emu::LogLevel::kError);
  static_cast<void>(emu::test::use_hostile_image({data, size}));
  return 0;
}
