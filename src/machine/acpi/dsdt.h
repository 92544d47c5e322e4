// SPDX-License-Identifier: Apache-2.0
// The DSDT, compiled from firmware/acpi/dsdt.asl by iasl while building.
#pragma once

#include <span>

#include "base/types.h"

namespace emu {

[[nodiscard]] std::span<const u8> dsdt_aml();

}  // namespace emu
