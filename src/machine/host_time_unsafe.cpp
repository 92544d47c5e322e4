// SPDX-License-Identifier: Apache-2.0
#include "machine/host_time.h"

#include <cpuid.h>
#include <linux/perf_event.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "base/unique_fd.h"
#include "base/vm_time.h"

namespace emu {
namespace {

constexpr u64 kMeasureNs = 10'000'000;

// CPUID 80000007h EDX bit 8, or a hypervisor (which would not offer a TSC that stops).
bool tsc_is_steady() {
  u32 a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(0x80000007, &a, &b, &c, &d) != 0 && (d & (1u << 8)) != 0) return true;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & (1u << 31)) != 0;
}

// The kernel's own figure, or 0 if it does not tell.
u64 tsc_hz_from_kernel() {
  perf_event_attr attributes{};
  attributes.type = PERF_TYPE_SOFTWARE;
  attributes.size = sizeof attributes;
  attributes.config = PERF_COUNT_SW_DUMMY;
  attributes.exclude_kernel = 1;
  const UniqueFd fd(static_cast<int>(::syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0ul)));
  if (!fd) return 0;
  const auto page_bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  // SAFETY: a fresh read-only mapping of our own descriptor, unmapped below.
  void* const map = ::mmap(nullptr, page_bytes, PROT_READ, MAP_SHARED, fd.get(), 0);
  if (map == MAP_FAILED) return 0;
  u64 hz = 0;
  {
    // SAFETY: the kernel keeps a perf_event_mmap_page at the start of the mapping.
    const auto* page = static_cast<const perf_event_mmap_page*>(map);
    if (page->cap_user_time != 0 && page->time_mult != 0 && page->time_shift < 64) {
      hz = static_cast<u64>((u128{kNsPerSecond} << page->time_shift) / page->time_mult);
    }
  }
  ::munmap(map, page_bytes);
  return hz;
}

struct Sample {
  u64 tsc;
  u64 ns;
};

// Both clocks at (nearly) one moment: the closest of some readings.
Sample sample(u64 (*clock)()) {
  Sample best{};
  u64 best_width = ~u64{0};
  for (int i = 0; i < 16; ++i) {
    const u64 before = __builtin_ia32_rdtsc();
    const u64 ns = clock();
    const u64 after = __builtin_ia32_rdtsc();
    if (after - before < best_width) {
      best_width = after - before;
      best = {before + (after - before) / 2, ns};
    }
  }
  return best;
}

}  // namespace

HostTime::HostTime() {
  const Sample start = sample(&monotonic_ns);
  tsc_base_ = start.tsc;
  monotonic_base_ns_ = start.ns;
}

void HostTime::settle() {
  if (tsc_hz_ != 0) return;
  u64 hz = tsc_hz_from_kernel();
  if (hz == 0) {
    const u64 passed_ns = monotonic_ns() - monotonic_base_ns_;
    if (passed_ns < kMeasureNs) {
      const timespec rest{0, static_cast<long>(kMeasureNs - passed_ns)};
      ::nanosleep(&rest, nullptr);
    }
    const Sample end = sample(&monotonic_ns);
    hz = static_cast<u64>(u128{end.tsc - tsc_base_} * kNsPerSecond /
                          std::max<u64>(end.ns - monotonic_base_ns_, 1));
  }
  tsc_hz_ = std::max<u64>(hz, 1);
  multiplier_ = static_cast<u64>((u128{kNsPerSecond} << kShift) / tsc_hz_);
  use_tsc_ = tsc_is_steady();
}

u64 HostTime::monotonic_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<u64>(now.tv_sec) * kNsPerSecond + static_cast<u64>(now.tv_nsec);
}

}  // namespace emu
