// SPDX-License-Identifier: Apache-2.0
#include "tcg/tcg_engine.h"

#include <algorithm>
#include <thread>

#include "tcg/host_thread.h"
#include "tcg/tcg_accelerator.h"
#include "tcg/tcg_cpu.h"

namespace emu {
namespace {

// Jump-cache slots that code without SSE (CR4.OSFXSR) may take, and those that only CPL 3 may.
constexpr unsigned kFirmwareSlots = 4;
constexpr unsigned kProgramSlots = 5;

TcgCpu& cpu_of(void* owner) {
  return *static_cast<TcgCpu*>(owner);
}

constexpr StubCallbacks kCallbacks = {
    [](void* o, u64 linear, u32 info, const u8* pc, u64* commit) noexcept {
      return cpu_of(o).on_slow_access(linear, info, pc, commit);
    },
    [](void* o, const u8* pc) noexcept { cpu_of(o).on_commit(pc); },
    [](void* o, const u8*) noexcept { cpu_of(o).on_commit_part(); },
    [](void* o, const void* call) noexcept {
      return cpu_of(o).on_system(*static_cast<const SystemCall*>(call));
    },
    [](void* o, u32 what, const u8* pc) noexcept { cpu_of(o).on_raise(what, pc); },
    [](void* o) noexcept { cpu_of(o).on_host_fault(); },
};

}  // namespace

class TcgEngine::RamObserver final : public CodeWriteObserver, public GuestRam::CleanObserver {
 public:
  RamObserver(TcgEngine& engine, GuestRam& ram) : engine_(engine), ram_(ram) {
    ram_.set_code_observer(this);
    ram_.set_clean_observer(this);
  }
  ~RamObserver() override {
    ram_.set_code_observer(nullptr);
    ram_.set_clean_observer(nullptr);
  }
  [[nodiscard]] const GuestRam& ram() const { return ram_; }
  void code_written(u64 ram_offset, u64 length_bytes) override {
    engine_.invalidate_code(ram_, ram_offset, length_bytes);
  }
  void page_cleaned(const GuestRam&, u64) override {
    const std::lock_guard lock(engine_.cpus_mutex_);
    for (TcgCpu* cpu : engine_.cpus_) cpu->request_exit(TcgCpu::kRequestWriteFlush);
  }

 private:
  TcgEngine& engine_;
  GuestRam& ram_;
};

TcgEngine::TcgEngine(AddressSpace& memory, const Clock& clock, const TcgOptions& options,
                     std::unique_ptr<TranslationCache> cache, const Stubs& stubs,
                     std::unique_ptr<PerfMap> perf_map)
    : memory_(memory),
      clock_(clock),
      options_(options),
      cache_(std::move(cache)),
      stubs_(stubs),
      perf_map_(std::move(perf_map)) {
  memory_.add_listener(*this);
}

TcgEngine::~TcgEngine() {
  memory_.remove_listener(*this);
}

Result<std::unique_ptr<VCpu>> TcgEngine::create_vcpu(const VCpuConfig& config) {
  Result<std::unique_ptr<TcgCpu>> cpu = TcgCpu::create(*this, config);
  if (!cpu) return cpu.error();
  return std::unique_ptr<VCpu>(*std::move(cpu));
}

void TcgEngine::observe(GuestRam& ram) {
  const auto known = [&](const auto& o) { return &o->ram() == &ram; };
  if (std::none_of(observers_.begin(), observers_.end(), known)) {
    observers_.push_back(std::make_unique<RamObserver>(*this, ram));
    cache_->add_ram(ram);
  }
}

void TcgEngine::range_removed(const FlatRange&) {}

void TcgEngine::range_added(const FlatRange& range) {
  if (range.ram != nullptr) observe(*range.ram);
}

void TcgEngine::commit() {
  const std::lock_guard lock(cpus_mutex_);
  for (TcgCpu* cpu : cpus_) cpu->request_exit(TcgCpu::kRequestFlush);
}

unsigned TcgEngine::jump_slot(u32 mode) {
  const std::lock_guard lock(cpus_mutex_);
  if (const auto found = jump_slots_.find(mode); found != jump_slots_.end()) return found->second;
  const auto decoded = __builtin_bit_cast(TranslationMode, mode);
  // Real-mode code is short-lived: it must not take the slots of the system that follows. Where the
  // base of CS may change while nothing else does, RIP does not say what runs.
  const bool fixed_base = decoded.code64() || (decoded.flat_segments & (1u << kCs)) != 0;
  // Firmware and boot loaders go through many modes, and an early kernel through some: the last
  // slots are kept for a running system, and the very last for its programs.
  const unsigned share = decoded.cpl == 3      ? kJumpCacheSlots
                         : decoded.osfxsr != 0 ? kJumpCacheSlots - kProgramSlots
                                               : kFirmwareSlots;
  if (decoded.single_step != 0 || !decoded.protected_mode || !fixed_base ||
      jump_slots_.size() >= share) {
    return kJumpCacheSlots;
  }
  const auto slot = static_cast<unsigned>(jump_slots_.size());
  jump_slots_.emplace(mode, slot);
  return slot;
}

bool TcgEngine::has_many_page_ids() {
  const std::lock_guard lock(cpus_mutex_);
  return page_ids_.size() > kMaxPageIds;
}

u32 TcgEngine::page_id(u64 linear_page, const u8* host_page) {
  const std::lock_guard lock(cpus_mutex_);
  const auto [at, added] = page_ids_.try_emplace({linear_page, host_page}, next_page_id_);
  if (added) ++next_page_id_;
  return at->second;
}

void TcgEngine::add_cpu(TcgCpu& cpu) {
  const std::lock_guard lock(cpus_mutex_);
  cpus_.push_back(&cpu);
}

void TcgEngine::remove_cpu(TcgCpu& cpu) {
  const std::lock_guard lock(cpus_mutex_);
  std::erase(cpus_, &cpu);
}

u64 TcgEngine::tsc_bias(u64 tsc_hz) {
  const std::lock_guard lock(cpus_mutex_);
  const u64 now = Frequency{tsc_hz, 1}.ticks_at(clock_.now_ns());
  const u64 bias = now - __builtin_ia32_rdtsc();
  const auto moved = static_cast<i64>(bias - tsc_bias_);
  // All vCPUs share one bias; it moves only when VM time stood still (by more than a millisecond).
  const auto tolerance = static_cast<i64>(tsc_hz / 1000);
  if (!tsc_bias_known_ || moved > tolerance || moved < -tolerance) tsc_bias_ = bias;
  tsc_bias_known_ = true;
  return tsc_bias_;
}

void TcgEngine::begin_exclusive(TcgCpu& self) {
  for (;;) {
    std::unique_lock lock(gate_mutex_);
    if (!exclusive_wanted_.load()) {
      exclusive_wanted_.store(true);
      break;
    }
    gate_.wait(lock, [&] { return !exclusive_wanted_.load(); });
  }
  std::vector<TcgCpu*> cpus;
  {  // not held while waiting: the one waited for may want it
    const std::lock_guard lock(cpus_mutex_);
    cpus = cpus_;
  }
  for (TcgCpu* cpu : cpus) {
    if (cpu == &self) continue;
    while (cpu->in_code()) {
      cpu->request_exit(TcgCpu::kRequestPark);
      __builtin_ia32_pause();
      std::this_thread::yield();
    }
  }
}

void TcgEngine::end_exclusive() {
  const std::lock_guard lock(gate_mutex_);
  exclusive_wanted_.store(false);
  gate_.notify_all();
}

void TcgEngine::park() {
  std::unique_lock lock(gate_mutex_);
  gate_.wait(lock, [&] { return !exclusive_wanted_.load(); });
}

void TcgEngine::protect_page(TcgCpu& self, GuestRam& ram, u64 page) {
  if (ram.has_code(page)) return;
  const u8* host = ram.host() + page * kPageBytes;
  if (cpus_.size() == 1) {
    ram.set_code(page, true);
    self.drop_write_entries(host);
    self.revoke_user_write(ram, page);
    return;
  }
  exclusively(self, [&] {
    ram.set_code(page, true);
    for (TcgCpu* cpu : cpus_) {
      cpu->drop_write_entries(host);
      cpu->revoke_user_write(ram, page);
    }
  });
}

void TcgEngine::flush_code(TcgCpu& self) {
  exclusively(self, [&] {
    const std::lock_guard lock(cache_->mutex());
    cache_->clear();
    const std::lock_guard ids_lock(cpus_mutex_);
    page_ids_.clear();
    next_page_id_ = 1;
    jump_slots_.clear();
    for (TcgCpu* cpu : cpus_) cpu->forget_code();
  });
}

void TcgEngine::invalidate_code(const GuestRam& ram, u64 ram_offset, u64 length_bytes) {
  std::vector<TranslatedBlock*> dropped;
  const std::lock_guard lock(cache_->mutex());
  cache_->invalidate(ram, ram_offset, length_bytes, dropped);
  count_dropped(dropped);
}

void TcgEngine::park_page(const u8* host_page) {
  std::vector<TranslatedBlock*> dropped;
  const std::lock_guard lock(cache_->mutex());
  cache_->park(host_page, dropped);
  count_dropped(dropped);
}

// Counts first: see TcgCpu::restore_jumps().
void TcgEngine::count_dropped(const std::vector<TranslatedBlock*>& dropped) {
  if (!dropped.empty()) invalidation_count_.fetch_add(1, std::memory_order_seq_cst);
  for (const TranslatedBlock* b : dropped) {
    for (TcgCpu* cpu : cpus_) cpu->drop_jump_cache(*b);
  }
}

Result<std::unique_ptr<Accelerator>> create_tcg(AddressSpace& memory, const Clock& clock,
                                                const TcgOptions& options) {
  if (!host_can_translate()) {
    return fail(
        "the translator needs a host processor with AVX, BMI2 and XSAVEOPT (Intel since 2013, AMD "
        "since 2015): use --accel=kvm");
  }
  Result<std::unique_ptr<TranslationCache>> cache =
      TranslationCache::create(options.code_cache_bytes);
  if (!cache) return cache.error();
  Result<Stubs> stubs = emit_stubs((*cache)->code(), kCallbacks);
  if (!stubs) return stubs.error();
  (*cache)->keep_from_here();
  std::unique_ptr<PerfMap> perf_map;
  if (options.perf_map) {
    Result<std::unique_ptr<PerfMap>> made = PerfMap::create();
    if (!made) return made.error();
    perf_map = *std::move(made);
    const u64 bytes = (*cache)->code().used_bytes();
    perf_map->add((*cache)->code().next() - bytes, bytes, "emu_stubs");
  }
  return std::unique_ptr<Accelerator>(std::make_unique<TcgEngine>(
      memory, clock, options, *std::move(cache), *stubs, std::move(perf_map)));
}

}  // namespace emu
