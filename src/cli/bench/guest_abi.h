// SPDX-License-Identifier: Apache-2.0
// What the benchmark guest (firmware/bench) and its host agree on: where it is loaded, what it is
// given, which work it knows. Plain data: the guest is compiled without a library.
#pragma once

namespace emu::cli::bench {

using U8 = unsigned char;
using U64 = unsigned long;

// The image's address in guest memory; its first 64 KiB are the kernel, then comes ring-3 code,
// which runs at any address and has no writable data.
inline constexpr U64 kImageBase = 0x1000000;
inline constexpr U64 kUserOffset = 0x10000;
// In the image from kUserOffset on: jumps to bench_main() and bench_run().
inline constexpr U64 kMainEntry = 0, kRunEntry = 16;
// In the image: the two U64s that the host fills in, `target_ticks` and `only` of the guest's
// Environment.
inline constexpr U64 kParametersOffset = kUserOffset + 32 + 7 * 8;

inline constexpr U64 kMemoryBytes = U64{64} << 20;
inline constexpr U64 kFaultPages = 64;  // touched in one piece of work
inline constexpr U64 kCallsPerRun = 16, kSwitchesPerRun = 32, kHopsPerRun = 4096;
inline constexpr U64 kCopiedPerRun = U64{1} << 20;  // bytes

enum Work : unsigned {
  kInteger,
  kCalls,
  kFloatingPoint,
  kSimd,
  kLatency,
  kBandwidth,
  kSystemCalls,
  kPageFaults,
  kSwitches,
  kWorkCount,
};

// What ring-3 code asks of whatever is below it: the guest's kernel, or a host process.
struct Environment {
  using Ask = void (*)(const Environment*);
  void (*put)(const Environment*, const char* text, U64 bytes);  // a piece of the report
  Ask call;                                                      // a system call that does nothing
  Ask forget;        // takes the pages of fault_area away, so that touching them faults
  Ask yield;         // lets the other context run until that yields
  Ask end;           // the guest's does not return
  U8* memory;        // kMemoryBytes
  U8* fault_area;    // kFaultPages
  U64 target_ticks;  // how long measured work takes, in ticks of the TSC
  U64 only;          // bit w: do work w
};

// The report, one line each: "hello", "call N" (0: SYSCALL; 1: UD2, because SYSCALL does not
// raise the privilege here), "C work checksum", "B" and "E work runs" around measured work, "bye".
// Numbers are hexadecimal.

}  // namespace emu::cli::bench
