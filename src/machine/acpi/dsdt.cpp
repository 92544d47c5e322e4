// SPDX-License-Identifier: Apache-2.0
#include "machine/acpi/dsdt.h"

namespace emu {
namespace {
#include "dsdt.hex"  // written by iasl -tc: an array of bytes
}  // namespace

std::span<const u8> dsdt_aml() {
  return dsdt_aml_code;
}

}  // namespace emu
