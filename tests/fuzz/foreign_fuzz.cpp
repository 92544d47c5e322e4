// SPDX-License-Identifier: Apache-2.0
// The input is a VMDK, VDI, VHD or VHDX file, opened for writing and used.
#include "base/log.h"
#include "block/hostile_foreign.h"

extern "C" int LLVMFuzzerTestOneInput(const emu::u8* data, std::size_t size) {
  using namespace emu;
  set_log_level(LogLevel::kError);
  auto file = std::make_unique<MemoryFile>("hostile");
  EMU_CHECK(file->write_flat(0, {data, size}));
  const auto format = size == 0 ? Result<DiskFormat>(DiskFormat::kRaw) : probe_format(*file);
  if (!format || *format == DiskFormat::kRaw || *format == DiskFormat::kQcow2) return 0;
  test::use_hostile_foreign(std::move(file), *format);
  return 0;
}
