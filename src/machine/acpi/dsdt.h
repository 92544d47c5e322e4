// SPDX-License-Identifier: Apache-2.0
// The DSDT, compiled from firmware/acpi/dsdt.asl by iasl while building.
#pragma once

#include "base/types.h"

namespace emu {

#include "firmware/acpi/dsdt.hex"
inline constexpr const auto& kDsdtAml = dsdt_aml_code;

}  // namespace emu
