// SPDX-License-Identifier: Apache-2.0
// Runs a vCPU's ring-3 code, 64-bit or 32-bit, natively, in processes that hold nothing but the
// guest pages it may use (user_process.h), one for each of the last few address spaces. An
// accelerator, as a TLB is: whatever such a process cannot do (system calls, exceptions, devices,
// CPUID, RDTSC, setting dirty bits) stops it with the state before the instruction, and the
// translator does it.
//
// Coherence. The vCPU's own flushes are noted and applied before its guest code runs again. A page
// with translated code is mapped read-only, so that writing it invalidates the translation; before
// a page is translated, TcgEngine::protect_page() gets every vCPU out of guest code, as for the
// soft TLB's write entries, and calls revoke_write(): the mappings go before the vCPU is back in.
// Pages that are written natively again and again lose their translations instead.
//
// Not done: 16-bit code, segments that are not flat, paging without PAE, protection keys, 1 GiB
// pages; debug registers, single steps and alignment checks are the translator's. Pages are looked
// at for instructions that would show the host (see user_scan.h) when they are mapped for
// execution, not again when they are written after that. Threads: the vCPU's own; revoke_write()
// also others' while the vCPU is out of guest code.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "tcg/user/user_space.h"

namespace emu {

class UserMode {
 public:
  explicit UserMode(TcgCpu& cpu) : cpu_(cpu) {}

  enum class Result : u8 {
    kInstruction,  // the translator's: the one at rip
    kAgain,        // something is to be looked at first: a request or an interrupt
    kRefused,      // this state, or this host, cannot be run natively
    kLost,         // the process is gone, and with it the guest's registers
  };
  // Runs ring-3 code from the vCPU's state on, whose vector registers are saved.
  Result run();

  // Whether the translator runs the code of this page: see user_scan.h.
  [[nodiscard]] bool leaves_out(u64 linear) const noexcept {
    return linear >> 12 == left_out_page_;
  }
  // Processor time that the process of the last run() has used since it was made, less what mapping
  // pages took of it; the host's clock.
  [[nodiscard]] u64 process_ns() const;
  [[nodiscard]] static u64 now_ns();

  // Before RAM page `page` is translated: it must not be written natively from now on.
  void revoke_write(const GuestRam& ram, u64 page);
  // "name value" lines.
  [[nodiscard]] std::string counters() const;

 private:
  static constexpr std::size_t kMostSpaces = 8;
  static constexpr unsigned kWritesToPark = 3;

  [[nodiscard]] bool fits(UserSegments& segments) const;
  [[nodiscard]] UserSpace* select();
  [[nodiscard]] bool prepare(UserSpace& space, const UserSegments& segments);
  [[nodiscard]] std::unique_ptr<UserProcess> make_process();
  // Deals with a stop; false: the translator has to.
  [[nodiscard]] bool serve(UserSpace& space, UserProcess::Stop stop);
  [[nodiscard]] bool serve_memory(UserSpace& space);
  [[nodiscard]] bool allow_write(u64 linear);
  [[nodiscard]] bool fill(UserSpace& space, u64 linear);
  [[nodiscard]] Result leave(UserSpace& space, UserProcess::Stop stop);
  void forget();
  void note_flushes();

  TcgCpu& cpu_;
  GuestRam* ram_ = nullptr;
  bool failed_ = false;  // this host cannot
  u64 left_out_page_ = ~u64{0};
  u64 missed_ = 0;  // the guest may be mapping this address now
  bool xgetbv_ = false;
  std::string why_;
  pid_t thread_ = 0;                                // that traces the processes
  std::vector<std::unique_ptr<UserSpace>> spaces_;  // the one used last is the last
  UserSpace::Scans scans_;
  std::vector<bool> maybe_writable_;               // RAM pages, in some space
  std::unordered_map<u64, unsigned> code_writes_;  // RAM pages with code
  struct {
    u64 entries = 0, system_calls = 0, memory = 0, fills = 0, instructions = 0, interrupts = 0,
        processes = 0, parked = 0, ticks = 0;
  } counts_;
  UserSpace::Counts space_counts_;
};

}  // namespace emu
