// SPDX-License-Identifier: Apache-2.0
// Which address spaces of a vCPU run their ring-3 code natively. Entering and leaving the other
// process costs about 10 us, so those that compute: seen in ring 3 by five timer interrupts in a
// row, with few kernel entries between. Those that turn out to stop all the time go back to
// translation, for longer each time.
// Scalar: called while the guest's vector registers are live.
#pragma once

#include "base/types.h"

namespace emu {

class UserPolicy {
 public:
  enum class When : u8 { kOff, kComputing, kAlways };
  void set(When when) noexcept { when_ = when; }
  [[nodiscard]] bool on() const noexcept { return when_ != When::kOff; }

  [[nodiscard]] bool wants(u64 cr3) const noexcept {
    if (when_ == When::kOff) return false;
    const Space& s = spaces_[index(cr3)];
    if (when_ == When::kComputing) return s.cr3 == cr3 && s.native;
    return s.cr3 != cr3 || s.native || __builtin_ia32_rdtsc() >= s.refused_until;
  }
  // An external interrupt found ring-3 code running. `entries` counts system calls and
  // exceptions, `thread_ns` the processor time of this vCPU's thread.
  void tick(u64 cr3, u64 entries, u64 thread_ns) noexcept {
    if (when_ != When::kComputing) return;
    const u64 used = thread_ns - tick_ns_;
    const bool computes = cr3 == tick_cr3_ && (entries - tick_entries_) * kNsPerEntry <= used;
    tick_cr3_ = cr3;
    tick_entries_ = entries;
    tick_ns_ = thread_ns;
    ticks_ = computes ? ticks_ + 1 : 0;
    if (ticks_ < kTicksToGo) return;
    Space& s = spaces_[index(cr3)];
    if (s.cr3 != cr3) s = {cr3, 0, 0, false};
    if (s.native || __builtin_ia32_rdtsc() < s.refused_until) return;
    s.native = true;
    stops_ = kWindow;
    window_cr3_ = 0;
  }
  // Whether judge() is due: native code stopped for the translator once more.
  [[nodiscard]] bool stopped() noexcept { return when_ == When::kComputing && ++stops_ >= kWindow; }
  // `process_ns` and `thread_ns` are the processor times of the process and of this thread, which
  // does nothing but serve it, `now_ns` the host's clock.
  void judge(u64 cr3, u64 process_ns, u64 thread_ns, u64 now_ns) noexcept {
    const u64 used = process_ns - window_process_ns_;
    const u64 serving = thread_ns - window_thread_ns_;
    const u64 passed = now_ns - window_ns_;
    const bool whole = window_cr3_ == cr3;  // nobody else ran between
    const u64 stops = stops_;
    stops_ = 0;
    window_cr3_ = cr3;
    window_process_ns_ = process_ns;
    window_thread_ns_ = thread_ns;
    window_ns_ = now_ns;
    if (!whole) return;
    const u64 entering = stops * kStopNs;
    const u64 useful = used > entering ? used - entering : 0;
    const bool costly = (used + serving) * 2 > useful * 5;
    // With other work on the host every stop may lose the processor.
    const bool crowded = useful < stops * kFarBetweenNs && passed > 6 * (used + serving);
    Space& s = spaces_[index(cr3)];
    if (costly || crowded) {
      refuse(cr3);
      window_cr3_ = 0;
    } else if (s.patience > 0) {
      --s.patience;
    }
  }
  // It cannot run there for now.
  void refuse(u64 cr3) noexcept {
    Space& s = spaces_[index(cr3)];
    if (s.cr3 != cr3) s = {cr3, 0, 0, false};
    s.native = false;
    s.refused_until = __builtin_ia32_rdtsc() + (kFirstRefusal << s.patience);
    if (s.patience < kMostPatience) ++s.patience;
  }

 private:
  static constexpr u64 kNsPerEntry = 120'000;
  static constexpr u32 kTicksToGo = 4;
  static constexpr u64 kFarBetweenNs = 200'000;
  static constexpr u64 kFirstRefusal = 50'000'000;  // ticks of the host's TSC, about 20 ms
  static constexpr u8 kMostPatience = 7;
  static constexpr u64 kWindow = 128;
  static constexpr u64 kStopNs = 3000;  // of the process's time that a stop takes
  static constexpr unsigned kSpaces = 64;
  struct Space {
    u64 cr3 = 0;
    u64 refused_until = 0;
    u8 patience = 0;
    bool native = false;
  };
  [[nodiscard]] static unsigned index(u64 cr3) noexcept {
    return static_cast<unsigned>(((cr3 >> 5) * 0x9e3779b97f4a7c15u) >> 58);
  }

  When when_ = When::kOff;
  Space spaces_[kSpaces];
  u64 tick_cr3_ = 0, tick_entries_ = 0, tick_ns_ = 0;
  u64 window_cr3_ = 0, window_process_ns_ = 0, window_thread_ns_ = 0, window_ns_ = 0;
  u64 stops_ = 0;
  u32 ticks_ = 0;  // in a row that found this address space computing
};

}  // namespace emu
