// SPDX-License-Identifier: Apache-2.0
// One guest access to device registers, cut into the accesses the device implements.
// Source: QEMU docs/devel/memory.rst, "MMIO Operations" (impl.min_access_size and friends). Unlike
// there, a widened access is aligned, so that a byte of a 32-bit register is that byte of it.
// Threads: the machine lock is held by every caller.
#pragma once

#include <span>

#include "memory/io_handler.h"

namespace emu {

// A window of `size_bytes` behind `handler`. Accesses below lie inside it.
struct DeviceWindow {
  IoHandler& handler;
  u64 size_bytes;
  AccessSizes sizes;
};

// Fills `out` from offset on. Bytes of an access smaller than the device's smallest are taken out
// of a read of the whole register.
void device_read(const DeviceWindow& window, u64 offset, std::span<u8> out);

// Writes `in` from offset on. An access smaller than the device's smallest writes the whole
// register, with zeros in the other byte lanes: reading them first could have effects.
void device_write(const DeviceWindow& window, u64 offset, std::span<const u8> in);

}  // namespace emu
