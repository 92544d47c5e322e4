// SPDX-License-Identifier: Apache-2.0
// Runs one instruction on the host twice: as it is, and as the emitter translates it.
// Everything it needs lies at fixed low addresses, so that 32-bit code can be run, too. One per
// process (signal handlers, GS base).
#pragma once

#include <signal.h>

#include <array>
#include <memory>
#include <span>
#include <vector>

#include "frontend/decode_block.h"
#include "tcg/block_emitter.h"
#include "tcg/frame.h"
#include "tcg/register_map.h"

namespace emu::instruction_test {

// Where things are.
inline constexpr u64 kNativeCode = 0x20000000, kStubs = 0x20001000, kEmitted = 0x20010000,
                     kScratch = 0x20100000, kUnmapped = 0x20200000;
inline constexpr u64 kScratchBytes = 2 * kPageBytes;

// How it ended.
inline constexpr u32 kContinued = 0x100, kIndirect = 0x101, kSystemCalled = 0x102;

// What an instruction can see and change. `xsave` is a standard XSAVE image.
struct MachineState {
  std::array<u64, 16> gpr{};
  u64 rflags = 2;
  u32 outcome = 0;  // kContinued ..., or the vector of an exception
  u64 target = 0;   // RIP after a control transfer
  alignas(64) std::array<u8, kXsaveBytes> xsave{};
  std::array<u8, kScratchBytes> memory{};
};

enum class Variant : u8 {
  kHit,         // the inline check succeeds
  kSlow,        // it fails, the access is made directly
  kCommit,      // it fails, stores need work afterwards
  kAlwaysSlow,  // no inline check
  kFault,       // it fails and the access faults
};
inline constexpr Variant kVariants[] = {Variant::kHit, Variant::kSlow, Variant::kCommit,
                                        Variant::kAlwaysSlow, Variant::kFault};

class Host {
 public:
  struct Area;  // reached through GS
  Host();
  ~Host();
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  // Whether user code may run in a 32-bit code segment here.
  [[nodiscard]] bool has_compatibility_mode() const { return compatibility_; }

  // Executes `bytes` (at kNativeCode) as they are, in 64- or 32-bit mode; `state` is in and out.
  void run_native(std::span<const u8> bytes, bool code64, MachineState& state);
  // Decodes, emits and executes.
  void run_emitted(std::span<const u8> bytes, TranslationMode mode, Variant variant,
                   MachineState& state);
  // The same for a sequence of `count` instructions without control transfer.
  void run_emitted_sequence(std::span<const u8> bytes, unsigned count, TranslationMode mode,
                            Variant variant, MachineState& state);
  // How often a sequence went on without shared checks.
  [[nodiscard]] unsigned unshared_runs() const { return unshared_runs_; }
  [[nodiscard]] const EmittedBlock& last_block() const { return out_; }
  [[nodiscard]] const GuestBlock& last_guest_block() const { return block_; }

 private:
  void run_block(Variant variant, MachineState& state);
  void make_stubs();
  void load(const MachineState& state);
  void store(MachineState& state, bool emitted);
  void enter(u64 entry, u64 target);
  bool probe_compatibility_mode();

  Area* area_ = nullptr;
  struct sigaction before_[5];  // of the signals it takes
  u64 enter_native_ = 0, enter_emitted_ = 0, exit_native_ = 0, exit_emitted_ = 0, exit_fault_ = 0;
  u64 enter_compat_ = 0;
  bool compatibility_ = false;
  std::array<StubTable, 3> stubs_;
  TcgOptions options_;
  std::vector<std::unique_ptr<BlockEmitter>> emitters_;
  GuestBlock block_;
  EmittedBlock out_;
  unsigned unshared_runs_ = 0;
};

}  // namespace emu::instruction_test
