// SPDX-License-Identifier: Apache-2.0
// Which instruction-set extensions of the host a guest may use: what is executed as it stands needs
// a host that has it.
#pragma once

#include <Zydis/Zydis.h>

#include <bitset>

namespace emu {

// Indexed by ZydisISASet: whether instructions of the set can be executed by this host. System
// instructions (written by us) count as available; extensions this emulator never offers (VMX, SVM,
// TSX, SGX, AMX, CET, MPX, key locker, ...) do not. Computed from CPUID and XCR0 (Intel SDM vol. 2
// CPUID, vol. 1 14.3 and 15.3).
using IsaSets = std::bitset<ZYDIS_ISA_SET_MAX_VALUE + 1>;
[[nodiscard]] const IsaSets& available_isa_sets();

}  // namespace emu
