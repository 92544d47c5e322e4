// SPDX-License-Identifier: Apache-2.0
// EMU_CHECK: our own mistakes, in every build. Never for what a guest, file or host can cause.
#pragma once

namespace emu {

// Prints the place and the condition, then aborts.
[[noreturn]] void check_failed(const char* file, int line, const char* condition) noexcept;

}  // namespace emu

#define EMU_CHECK(condition)                           \
  (static_cast<bool>(condition) ? static_cast<void>(0) \
                                : ::emu::check_failed(__FILE__, __LINE__, #condition))
