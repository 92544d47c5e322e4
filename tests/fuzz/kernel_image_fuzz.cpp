// SPDX-License-Identifier: Apache-2.0
// Files given as -kernel: parsed, or refused with a sentence.
// Input: the file.
#include "base/check.h"
#include "base/log.h"
#include "machine/boot/bzimage.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  emu::set_log_level(emu::LogLevel::kError);
  auto image = emu::BzImage::parse({data, data + size}, "fuzzed");
  if (image) {
    EMU_CHECK(image->setup_bytes <= image->file.size());
    EMU_CHECK(0x1F1u + image->header_bytes <= image->file.size());
  } else {
    EMU_CHECK(!image.error().message.empty());
  }
  return 0;
}
