// SPDX-License-Identifier: Apache-2.0
// One translated vCPU: run loop, soft TLB, requests from other threads.
//
// Code that runs with the guest's vector registers live in the host ("scalar code") is in
// *_scalar.cpp files; before anything else runs, save_vectors() moves them to frame().cpu.xsave.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>

#include "cpu/accelerator.h"
#include "cpu/cpu_core.h"
#include "cpu/cpuid_model.h"
#include "cpu/page_walk.h"
#include "frontend/decode_cache.h"
#include "tcg/address_spaces.h"
#include "tcg/block_emitter.h"
#include "tcg/frame.h"
#include "tcg/lock_step.h"
#include "tcg/stubs.h"
#include "tcg/tcg_engine.h"
#include "tcg/user/user_flushes.h"
#include "tcg/user/user_mode.h"
#include "tcg/user/user_policy.h"

namespace emu {

class TcgCpu final : public VCpu, public CpuMemory {
 public:
  [[nodiscard]] static Result<std::unique_ptr<TcgCpu>> create(TcgEngine& engine,
                                                              const VCpuConfig& config);
  ~TcgCpu() override;

  // VCpu.
  StopReason run(CpuBus& bus) override;
  void kick() override;
  void set_interrupt_line(bool active) override;
  void raise_nmi() override;
  void raise_smi() override;
  void raise_init() override;
  void raise_sipi(u8 vector) override;
  void state(CpuState& out) override;
  void set_state(const CpuState& in) override;
  [[nodiscard]] std::string counters() const override;

  // CpuMemory (scalar).
  Fault read(LinearAddr address, unsigned size, u64& value, Privilege who) override;
  Fault write(LinearAddr address, unsigned size, u64 value, Privilege who) override;
  Fault probe_write(LinearAddr address, u64 length_bytes, Privilege who) override;
  Fault compare_exchange(LinearAddr address, unsigned size, u64 expected, u64 desired,
                         bool& swapped) override;
  u64 read_phys(PhysAddr address, unsigned size) override;
  void write_phys(PhysAddr address, unsigned size, u64 value) override;
  bool compare_exchange_phys(PhysAddr address, unsigned size, u64 expected, u64 desired) override;

  // For system handlers (scalar unless said otherwise).
  [[nodiscard]] CpuState& cpu() noexcept { return frame_->cpu; }
  [[nodiscard]] VcpuFrame& frame() noexcept { return *frame_; }
  [[nodiscard]] CpuCore& core() noexcept { return core_; }
  [[nodiscard]] TcgEngine& engine() noexcept { return engine_; }
  [[nodiscard]] const VCpuConfig& config() const noexcept { return config_; }
  // Only after save_vectors().
  [[nodiscard]] CpuBus& bus() noexcept { return *bus_; }
  // Moves the guest's x87 and vector registers to cpu().xsave (once) and gives C++ its own
  // defaults. They are loaded again before guest code continues.
  void save_vectors() noexcept;
  void restore_vectors() noexcept;
  // Ends the instruction: with a fault delivered, or by leaving for the run loop.
  void fault(const Fault& fault) noexcept;
  void leave() noexcept { frame_->leave_reason = static_cast<u64>(LeaveReason::kLeft); }
  // The handler delivered INT n, INT3 or INTO.
  void int_delivered() noexcept { int_delivered_ = true; }
  // The handler delivered an event itself.
  void delivered() noexcept {
    delivered_ = true;
    transferred_ = true;
  }
  [[nodiscard]] bool apic_enabled() noexcept;
  // The handler set cpu.rip itself.
  void transferred() noexcept { transferred_ = true; }
  [[nodiscard]] u64 next_rip() const noexcept { return next_rip_; }
  // SS was loaded: interrupts, and this instruction's debug traps, wait for the next instruction.
  void hold_debug_traps() noexcept {
    frame_->cpu.interrupt_shadow = true;
    debug_traps_held_ = true;
  }
  // The guest says that it waits for another processor.
  void note_pause() noexcept;
  // Acts on core().effects.
  void apply_effects() noexcept;
  [[nodiscard]] u64 engine_tsc() const noexcept;
  // Whether another thread wants this vCPU's attention, or a deliverable interrupt waits.
  [[nodiscard]] bool attention() const noexcept {
    return requests_.load(std::memory_order_relaxed) != 0 ||
           (interrupt_line() && (frame_->cpu.rflags & kFlagIf) != 0);
  }
  // A linear range inside one page for a bulk operation: host memory that may be read (or written
  // without further notice), or null with or without `fault`.
  u8* bulk_host(u64 linear, bool write, Fault& fault) noexcept;
  // Linear memory to and from a buffer, any length up to a few KiB; page by page.
  Fault read_linear(u64 linear, u8* out, unsigned length, Privilege who) noexcept;
  Fault write_linear(u64 linear, const u8* in, unsigned length, Privilege who) noexcept;
  // #GP for what is not canonical, where the instruction's own operand is meant.
  Fault check_range(u64 linear, u64 length, Privilege who) const noexcept;
  void flush_page(u64 linear) noexcept;
  // The host PC -> guest RIP of x87 instruction pointers; 0 if unknown.
  [[nodiscard]] u64 guest_fip(u64 host_pc) const noexcept;

  // For the engine.
  void request_exit(u32 request) noexcept;
  [[nodiscard]] bool in_code() const noexcept { return in_code_.load(std::memory_order_seq_cst); }
  void drop_write_entries(const u8* host_page) noexcept;
  void drop_jump_cache(const TranslatedBlock& block) noexcept;
  void revoke_user_write(const GuestRam& ram, u64 page) {
    if (user_ != nullptr) user_->revoke_write(ram, page);
  }
  void forget_code() noexcept;  // jump cache, execute TLB
  static constexpr u32 kRequestKick = 1, kRequestNmi = 2, kRequestSmi = 4, kRequestInit = 8,
                       kRequestSipi = 16, kRequestFlush = 32, kRequestPark = 64,
                       kRequestWriteFlush = 128;

  // For stubs and signal handlers.
  u64 on_slow_access(u64 linear, u32 info, const u8* return_address, u64* needs_commit) noexcept;
  void on_commit(const u8* return_address) noexcept;
  void on_commit_part() noexcept;
  // Where in generated code to go on; null: after the instruction, or leave_reason is set.
  const u8* on_system(const SystemCall& call) noexcept;
  void on_raise(u32 what, const u8* return_address) noexcept;
  void on_host_fault() noexcept;
  // Called in the signal handler: where to continue for a fault at `pc`, or nullptr if the PC is
  // not in generated code. Sets exit_address/exit_argument.
  [[nodiscard]] const u8* redirect_host_fault(const u8* pc, u32 trap) noexcept;
  // The range of the memory map that has guest-physical address `phys`, or null.
  const FlatRange* find_range(u64 phys) noexcept;
  // Called there first: the new RSP if a call at `pc` ran over the return stack, else 0.
  [[nodiscard]] u64 empty_return_stack(const u8* pc, u64 fault_address) const noexcept;

 private:
  friend class UserMode;
  // While it lives, no other vCPU works exclusively. Waits for one that does; not inside loop().
  class InCode {
   public:
    explicit InCode(TcgCpu& cpu);
    ~InCode() { cpu_.in_code_.store(false, std::memory_order_seq_cst); }
    InCode(const InCode&) = delete;
    InCode& operator=(const InCode&) = delete;

   private:
    TcgCpu& cpu_;
  };

  // What the scalar loop wants from run().
  enum class Service : u8 { kTranslate, kLink, kHalted, kPark, kRequests, kNative, kLockStep };

  TcgCpu(TcgEngine& engine, const VCpuConfig& config, Mapping frame_memory, Mapping return_stack);

  // Scalar parts.
  Service loop() noexcept;
  // Whether run() must act on `service` first.
  bool take_requests(Service& service) noexcept;
  void take_interrupts() noexcept;
  struct ModeInputs {
    u64 cr0_and_segments = 0, flags = 0, cr4 = 0, efer = 0, xcr0 = 0, dr7 = 0;
    bool operator==(const ModeInputs&) const = default;
  };
  [[nodiscard]] ModeInputs mode_inputs() const noexcept;
  void refresh_mode() noexcept;
  TranslationMode compute_mode() noexcept;
  // mode_, and which translation is wanted.
  [[nodiscard]] TranslationMode block_mode() const noexcept {
    TranslationMode m = mode_;
    m.unshared = wants_unshared_;
    return m;
  }
  void update_segment_limits() noexcept;
  TranslatedBlock* lookup_block() noexcept;
  [[nodiscard]] u64 linear_rip() const noexcept;
  [[nodiscard]] Service stop_for(Service service) noexcept;
  void rearm_polls() noexcept;
  void run_block(const TranslatedBlock& block) noexcept;
  void set_return_stack_end() noexcept;
  const u8* continue_inside() noexcept;
  bool fill_exec(u64 linear, unsigned index) noexcept;
  void cache_jump(const TranslatedBlock& block) noexcept;
  void find_jump_slot() noexcept;
  TlbInfo* resolve(u64 linear, unsigned set, bool write, bool implicit, Fault& fault) noexcept;
  void install(TlbInfo& entry, unsigned set, unsigned index) noexcept;
  [[nodiscard]] unsigned set_for(Privilege who) const noexcept;
  u64 read_mmio_chunks(u64 phys, u8* out, unsigned size) noexcept;
  void write_mmio_chunks(u64 phys, const u8* in, unsigned size) noexcept;
  void commit_store() noexcept;
  void end_split_lock() noexcept;
  void note_data_breakpoint(u64 linear, unsigned length, bool write, Privilege who) noexcept;
  void note_ram_write(const TlbInfo& entry, u64 page_offset, u64 length) noexcept;
  [[nodiscard]] bool spares_code(const TlbInfo& entry, u64 page_offset, u64 length) noexcept;
  void count_code_write(const u8* host_page) noexcept;
  [[nodiscard]] bool runs_dropped_code(const u8* return_address) const noexcept;
  void note_write_entry(const u8* host_page, u32 at) noexcept;
  // Everything that invalidates translations comes through these three and flush_page(). What
  // flush_tlb(true) drops includes other address spaces.
  void flush_tlb(bool global_too) noexcept;
  void switch_address_space(bool keeps_entries) noexcept;
  void flush_pcid(u16 pcid) noexcept;
  void note_write(u8* host) noexcept {
    if (lock_step_) lock_step_->note_write(host);
  }
  void flush_fills(unsigned global) noexcept;
  void drop_tlb_entry(u32 at) noexcept;
  void save_address_space(SavedSpace& to) noexcept;
  void restore_address_space(const SavedSpace& from) noexcept;
  void restore_jumps(const SavedSpace& from) noexcept;
  void flush_exec(bool global_too) noexcept;
  void flush_jump_cache(bool global_too) noexcept;
  void log_fill(unsigned set, unsigned index) noexcept;
  void take_flags_from_stub() noexcept;
  void set_rip_at(const u8* pc) noexcept;
  [[nodiscard]] u64 wrap_rip(u64 rip) const noexcept {
    return mode_.code64() ? rip : rip & 0xffffffff;
  }

  // Others.
  void translate();
  bool unpark_page(const u8* host_page);
  void choose_live_immediates(const BlockKey& key);
  // What is left of translate() when the block runs over its page's end: the next page, or a fault
  // (false).
  bool fetch_next_page(u64 next, ExecInfo& second);
  void translate_uncached();
  unsigned fetch_uncached(u64 linear, u8* bytes, unsigned size);
  [[nodiscard]] bool bytes_are_current(const u8* first, u64 room, const u8* second) const;
  bool move_translation(const BlockKey& key, const ExecInfo& page);
  TranslatedBlock* emit_and_add(const BlockKey& key, const TranslationCache::PageUse& first,
                                const TranslationCache::PageUse& second, bool cached);
  const u8* emit_page_check(unsigned index, u32 page_id, const TranslatedBlock& target,
                            const u8* cold);
  void run_optimised(TranslatedBlock& block);
  bool step_reference();
  bool run_in_lock_step();
  void wake_up();
  void link_exit();
  void run_native();
  // Whether the code that is to run next runs natively.
  [[nodiscard]] bool wants_native() const noexcept {
    return user_policy_.on() && mode_.cpl == 3 && mode_.code() != CodeSize::k16 &&
           !mode_.single_step && !mode_.always_slow && user_policy_.wants(frame_->cpu.cr3) &&
           !user_->leaves_out(frame_->cpu.rip);
  }
  void note_user_tick() noexcept;
  void wait_halted();
  bool serve_requests(StopReason& reason);
  void refresh_view();

  // parts
  TcgEngine& engine_;
  VCpuConfig config_;
  Mapping frame_memory_;
  Mapping return_stack_;  // a guard page at the lower end
  VcpuFrame* frame_;
  CpuCore core_;
  StubTable emit_table_;
  std::unique_ptr<BlockEmitter> emitter_;
  GuestBlock guest_block_;
  std::unique_ptr<DecodeCache> decode_cache_;
  EmittedBlock emitted_;
  std::unique_ptr<LockStep> lock_step_;  // null: off
  CpuBus* bus_ = nullptr;
  std::shared_ptr<const FlatView> view_;
  const FlatRange* last_range_ = nullptr;

  // run state
  TranslationMode mode_;
  struct KnownMode {
    ModeInputs inputs;
    TranslationMode mode;
  };
  KnownMode known_modes_[8];  // of 64-bit code, by CPL and AC
  bool mode_stale_ = true;
  bool reference_run_ = false;  // lock-step wants single instructions
  bool vectors_saved_ = true;
  bool transferred_ = false;
  bool delivered_ = false;
  bool int_delivered_ = false;
  u64 next_rip_ = 0;
  u64 xsave_mask_ = 3;
  Fault fetch_fault_;
  bool fetch_uncached_ = false;       // the code is not in RAM
  TranslatedBlock* found_ = nullptr;  // by lookup_block() or made for it last
  u32 link_id_ = 0;
  bool wants_unshared_ = false;  // the block that runs next is one without shared checks
  u64 cache_clears_ = 0;         // the cache's count when link_id_ (or an uncached block) was valid
  unsigned jump_slot_ = kJumpCacheSlots + 1;
  // Jump-cache slots of modes seen lately, by a hash of the mode.
  struct KnownSlot {
    u32 mode = ~0u;
    u32 slot = 0;
  };
  KnownSlot known_slots_[64];
  bool host_memory_failed_ = false;
  // Ring-3 code in other processes.
  UserPolicy user_policy_;
  UserFlushes user_flushes_;
  std::unique_ptr<UserMode> user_;
  std::atomic<int> native_pid_{0};  // the process that runs guest code now
  bool user_process_lost_ = false;
  bool one_by_translator_ = false;  // the next instruction of ring 3
  u64 debug_pending_ = 0;           // DR6 bits of data breakpoints hit by the running instruction
  bool debug_traps_held_ = false;   // the instruction before this one loaded SS
  // What commit_write has to do: copy the bounce slot out (if any) and mark pages as written.
  struct PendingCommit {
    unsigned parts = 0;
    unsigned size = 0;
    unsigned split = 0;  // bytes on the first page
    u8* bounce = nullptr;
    TlbInfo* entry[2] = {};
    u64 offset[2] = {};
    bool split_locked = false;
  } commit_;
  std::unique_ptr<TlbInfo[]> tlb_info_;  // kMemorySets * kTlbEntries
  ExecInfo exec_info_[kItlbEntries];
  struct FillLog {
    std::unique_ptr<u32[]> at = std::make_unique<u32[]>(kMemorySets * kTlbEntries);
    u32 count = 0;
  };
  FillLog fill_log_[2];  // filled entries; [1]: of global pages, which a CR3 load leaves alone
  template <class F>
  void for_each_fill(F&& f) noexcept {
    for (const FillLog& log : fill_log_) {
      for (u32 i = 0; i < log.count; ++i) f(log.at[i]);
    }
  }
  AddressSpaces other_spaces_;  // all but the one in CR3
  // Filled jump-cache entries, those of global pages apart: a CR3 load leaves them alone.
  struct JumpLog {
    std::unique_ptr<u32[]> at = std::make_unique_for_overwrite<u32[]>(kJumpLogEntries);
    u32 count = 0;
  };
  static constexpr u32 kJumpLogEntries = kJumpCacheSlots * kJumpCacheEntries;
  JumpLog jump_log_[2];  // [1]: global pages
  struct ExecLog {
    std::unique_ptr<u16[]> at = std::make_unique<u16[]>(kExecLogEntries);
    u32 count = 0;
  };
  static constexpr u32 kExecLogEntries = 4 * kItlbEntries;
  ExecLog exec_log_[2];         // filled execute-TLB entries, likewise
  u64 jump_pages_[64] = {};     // hashed pages that jump-cache entries stand for
  u64 large_regions_[64] = {};  // hashed 2 MiB regions with large-page entries
  bool giant_pages_ = false;
  u8 poll_byte_[64] = {};
  u64 last_pause_ = 0;       // host TSC
  u32 pauses_in_a_row_ = 0;  // with less than kPauseGap between them
  static constexpr u64 kPauseGap = 4096;
  static constexpr u32 kPausesToYield = 32;
  struct PageIdEntry {
    u64 linear = ~u64{0};
    const u8* host = nullptr;
    u32 id = 0;
  };
  static constexpr unsigned kPageIdCacheEntries = 1024;
  std::unique_ptr<PageIdEntry[]> page_ids_;

  // Writes to pages with code: so many since the page was parked last.
  struct CodeWrites {
    const u8* page = nullptr;
    u32 count = 0;
    u32 limit = 0;
  };
  static constexpr u32 kWritesToPark = 8, kMaxWritesToPark = 2048;
  CodeWrites code_writes_[64];
  [[nodiscard]] CodeWrites& code_writes(const u8* host_page) noexcept {
    return code_writes_[(reinterpret_cast<u64>(host_page) >> 12) & 63];
  }
  // Where the fast-path write entry of a host page is in the TLB, unless there may be several.
  struct WriteEntry {
    const u8* host = nullptr;
    u32 at = 0;
    bool several = false;
  };
  static constexpr unsigned kWriteEntryBits = 12;
  std::unique_ptr<WriteEntry[]> write_entries_;
  [[nodiscard]] WriteEntry& write_entry(const u8* host_page) noexcept {
    const u64 hash = (reinterpret_cast<u64>(host_page) >> 12) * 0x9e3779b97f4a7c15u;
    return write_entries_[hash >> (64 - kWriteEntryBits)];
  }
  std::vector<const u8*> live_immediates_;
  std::vector<u8> block_bytes_;

  // requests
  std::atomic<bool> in_code_{false};
  std::atomic<u32> requests_{0};
  [[nodiscard]] bool interrupt_line() const noexcept {
    return __atomic_load_n(&frame_->interrupt_line, __ATOMIC_SEQ_CST) != 0;
  }
  std::atomic<u32> sipi_vector_{0};
  std::atomic<bool> sleeping_{false};
  std::mutex sleep_mutex_;
  std::condition_variable wake_;

  static constexpr unsigned kMnemonics = 2048;
  struct Counters {
    u64 tlb_fills = 0, slow_accesses = 0, mmio = 0, translations = 0, translated_bytes = 0,
        system_calls = 0, faults = 0, interrupts = 0, flushes = 0, loop_turns = 0, commits = 0,
        uncached = 0, lock_steps = 0;
    u64 leaves[5] = {};                                                   // by LeaveReason
    std::unique_ptr<u64[]> system = std::make_unique<u64[]>(kMnemonics);  // by ZydisMnemonic
  } counters_;
};

}  // namespace emu
