// SPDX-License-Identifier: Apache-2.0
// What all vCPUs of one translating machine share: stubs, translated code, page ids, and the gate
// that gets every vCPU out of generated code.
#pragma once

#include <condition_variable>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "cpu/accelerator.h"
#include "memory/address_space.h"
#include "tcg/perf_map.h"
#include "tcg/stubs.h"
#include "tcg/tcg_options.h"
#include "tcg/translation_cache.h"
#include "tcg/user/user_processors.h"

namespace emu {

class TcgCpu;

class TcgEngine final : public Accelerator, public AddressSpaceListener {
 public:
  TcgEngine(AddressSpace& memory, const Clock& clock, const TcgOptions& options,
            std::unique_ptr<TranslationCache> cache, const Stubs& stubs,
            std::unique_ptr<PerfMap> perf_map);
  ~TcgEngine() override;

  [[nodiscard]] std::string_view name() const override { return "translator"; }
  [[nodiscard]] Result<std::unique_ptr<VCpu>> create_vcpu(const VCpuConfig& config) override;

  // AddressSpaceListener: guest-physical memory moved; machine lock held.
  void range_removed(const FlatRange& range) override;
  void range_added(const FlatRange& range) override;
  void commit() override;

  [[nodiscard]] AddressSpace& memory() { return memory_; }
  [[nodiscard]] const Clock& clock() const { return clock_; }
  [[nodiscard]] const TcgOptions& options() const { return options_; }
  [[nodiscard]] const Stubs& stubs() const { return stubs_; }
  [[nodiscard]] TranslationCache& cache() { return *cache_; }
  // Null unless it was asked for.
  [[nodiscard]] PerfMap* perf_map() { return perf_map_.get(); }

  // Jump-cache slot for a mode; kJumpCacheSlots: none left, do not cache.
  [[nodiscard]] unsigned jump_slot(u32 mode);
  // The id of (linear page | user bit, host page); never 0. Ids die with the translation cache.
  [[nodiscard]] u32 page_id(u64 linear_page, const u8* host_page);

  void add_cpu(TcgCpu& cpu);
  void remove_cpu(TcgCpu& cpu);

  // Runs `work` while no other vCPU is in generated code or in C++ called from it. The caller is
  // not in generated code and holds no lock.
  template <class F>
  void exclusively(TcgCpu& self, F&& work) {
    begin_exclusive(self);
    work();
    end_exclusive();
  }
  // Where vCPUs wait while another one works exclusively.
  void park();
  [[nodiscard]] bool exclusive_wanted() const noexcept {
    return exclusive_wanted_.load(std::memory_order_seq_cst);
  }
  // Locked operations that cross a page are done on a copy: only one at a time, so that they are
  // atomic among each other. Scalar code.
  void begin_split_lock() noexcept;
  void end_split_lock() noexcept { split_lock_.store(false, std::memory_order_release); }
  // Guest TSC ticks of VM time minus the host's TSC; moves only when VM time stood still.
  [[nodiscard]] u64 tsc_bias(u64 tsc_hz);

  // Whether it is time to forget them with all code, so that their memory stays bounded.
  [[nodiscard]] bool has_many_page_ids();

  // Before a page's bytes are translated: no vCPU may write it on a fast path from now on.
  void protect_page(TcgCpu& self, GuestRam& ram, u64 page);
  // Empties the translation cache.
  void flush_code(TcgCpu& self);
  // Guest bytes changed: drops their translations. Any thread.
  void invalidate_code(const GuestRam& ram, u64 ram_offset, u64 length_bytes);
  // Takes the translations of a page out of service until it is executed again. Any thread.
  void park_page(const u8* host_page);
  // Counts invalidations, so that a store can tell that it changed code.
  [[nodiscard]] u64 invalidation_count() const noexcept {
    return invalidation_count_.load(std::memory_order_acquire);
  }

  [[nodiscard]] UserProcessors& user_processors() { return user_processors_; }

 private:
  class RamObserver;
  void begin_exclusive(TcgCpu& self);
  void end_exclusive();
  void observe(GuestRam& ram);
  void count_dropped(const std::vector<TranslatedBlock*>& dropped);

  AddressSpace& memory_;
  const Clock& clock_;
  TcgOptions options_;
  std::unique_ptr<TranslationCache> cache_;
  Stubs stubs_;
  std::unique_ptr<PerfMap> perf_map_;

  std::mutex gate_mutex_;
  std::condition_variable gate_;
  std::atomic<bool> exclusive_wanted_{false};

  std::mutex cpus_mutex_;
  std::vector<TcgCpu*> cpus_;
  std::unordered_map<u32, unsigned> jump_slots_;
  struct PageKey {
    u64 linear;
    const u8* host;
    bool operator==(const PageKey&) const = default;
  };
  struct PageKeyHash {
    std::size_t operator()(const PageKey& k) const {
      return (k.linear * 0x9e3779b97f4a7c15u) ^ (reinterpret_cast<u64>(k.host) >> 12);
    }
  };
  std::unordered_map<PageKey, u32, PageKeyHash> page_ids_;
  u32 next_page_id_ = 1;
  static constexpr std::size_t kMaxPageIds = 1 << 20;
  std::vector<std::unique_ptr<RamObserver>> observers_;
  std::atomic<u64> invalidation_count_{0};
  std::atomic<bool> split_lock_{false};
  UserProcessors user_processors_;
  u64 tsc_bias_ = 0;
  bool tsc_bias_known_ = false;
};

}  // namespace emu
