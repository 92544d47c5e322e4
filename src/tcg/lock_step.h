// SPDX-License-Identifier: Apache-2.0
// Lock-step: a translation's first runs are repeated one instruction at a time, by code made
// without any optimisation, from the same state; both must end in the same registers and memory.
// The block's effects are taken back in between: every page it writes is saved when its first store
// misses the TLB (whose write entries are dropped before), and what devices answered is handed out
// again.
// Not compared: blocks with system instructions (both ways call the same C++), RDRAND and RDSEED;
// more than one processor; status flags that the manual leaves undefined; x87 instruction pointers.
// Memory that a device writes on its own at the same time can look like a difference.
// Threads: the vCPU's.
#pragma once

#include <memory>
#include <string>

#include "cpu/cpu_state.h"
#include "frontend/guest_block.h"
#include "memory/address_space.h"
#include "tcg/translation_cache.h"

namespace emu {

class LockStep {
 public:
  enum class Phase : u8 { kOff, kOptimised, kReference };

  // What to compare about a block just translated from `guest`; `runs` times.
  static BlockCheck check_of(const GuestBlock& guest, unsigned runs);

  [[nodiscard]] Phase phase() const noexcept { return phase_; }
  // The run loop found this block; it is checked next.
  TranslatedBlock* pending = nullptr;

  // From here on writes and device accesses are noted.
  void begin(const CpuState& state) noexcept;
  // The optimised run ended in `state`: takes its stores back. False: too much happened to compare.
  [[nodiscard]] bool take_back(const CpuState& state) noexcept;
  // Makes the optimised run's stores again, without a comparison.
  void redo() noexcept;
  void end() noexcept { phase_ = Phase::kOff; }
  [[nodiscard]] const CpuState& start() const noexcept { return start_; }
  [[nodiscard]] const CpuState& after() const noexcept { return after_; }

  // Scalar code, called where guest memory is about to be written through the page's host address,
  // and where a device is accessed.
  void note_write(u8* host) noexcept {
    if (phase_ != Phase::kOff) save_page(host);
  }
  // The walk set accessed or dirty bits: they stay set.
  void note_page_table_write(const u8* host, unsigned size) noexcept;
  // Whether the device must not be asked again; `value` is what it said.
  [[nodiscard]] bool answers(u64 phys, unsigned size, bool write, u64& value) noexcept;
  void note_device(u64 phys, unsigned size, bool write, u64 value) noexcept;

  // What differs between the optimised run and the reference, which ended in `state` having
  // delivered an exception or not; empty if nothing does.
  [[nodiscard]] std::string differences(const CpuState& state, const TranslatedBlock& block,
                                        unsigned instructions, const FlatView& view) const;

 private:
  static constexpr unsigned kMaxPages = 48, kMaxDeviceAccesses = 64;
  struct Page {
    u8* host;
    u8 before[kPageBytes];
    u8 after[kPageBytes];
    bool by_optimised;
  };
  struct DeviceAccess {
    u64 phys;
    u64 value;
    u32 size;
    bool write;
  };
  void save_page(u8* host) noexcept;
  void add_registers(const CpuState& state, u64 undefined, std::string& out) const;
  void add_vectors(const CpuState& state, std::string& out) const;
  void add_memory(const FlatView& view, std::string& out) const;

  Phase phase_ = Phase::kOff;
  bool overflow_ = false;
  bool devices_differ_ = false;
  CpuState start_, after_;
  unsigned page_count_ = 0, device_count_ = 0, device_at_ = 0;
  std::unique_ptr<Page[]> pages_ = std::make_unique<Page[]>(kMaxPages);
  DeviceAccess devices_[kMaxDeviceAccesses] = {};
};

}  // namespace emu
