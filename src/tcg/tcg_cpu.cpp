// SPDX-License-Identifier: Apache-2.0
#include "tcg/tcg_cpu.h"

#include "base/bits.h"
#include "base/log.h"
#include "cpu/delivery.h"
#include "cpu/xsave_layout.h"
#include "frontend/decode_block.h"
#include "tcg/dump.h"
#include "tcg/host_thread.h"

namespace emu {

TcgCpu::TcgCpu(TcgEngine& engine, const VCpuConfig& config, Mapping frame_memory,
               Mapping return_stack)
    : engine_(engine),
      config_(config),
      frame_memory_(std::move(frame_memory)),
      return_stack_(std::move(return_stack)),
      frame_(new (frame_memory_.data()) VcpuFrame),
      core_{frame_->cpu, *this, config.cpuid->features()},
      emit_table_(engine.stubs().table),
      emitter_(std::make_unique<BlockEmitter>(emit_table_, engine.options())),
      decode_cache_(engine.options().decode_cache ? std::make_unique<DecodeCache>() : nullptr),
      xsave_mask_(host_vector_components()),
      tlb_info_(std::make_unique<TlbInfo[]>(kMemorySets * kTlbEntries)),
      page_ids_(std::make_unique<PageIdEntry[]>(kPageIdCacheEntries)),
      write_entries_(std::make_unique<WriteEntry[]>(1u << kWriteEntryBits)) {
  frame_->self = frame_;
  frame_->owner = this;
  frame_->return_stack_top =
      reinterpret_cast<u64>(return_stack_.data()) + return_stack_.size_bytes() - sizeof(u64);
  for (TlbSet& set : frame_->tlb) {
    for (unsigned i = 0; i < kTlbEntries; ++i) {
      set.read_tag[i] = set.write_tag[i] = kTlbInvalidTag;
    }
  }
  for (JumpCacheSlot& slot : frame_->jump_cache) {
    slot.negated_rip[0] = 1;  // the rest is fresh memory: empty
    slot.code[0] = engine.stubs().table.loop_exit;
  }
  for (u32& id : frame_->itlb_id) id = 0;
  if (engine.options().native_user != NativeUser::kOff &&
      !engine.options().one_instruction_blocks && engine.options().dump_block == 0) {
    user_ = std::make_unique<UserMode>(*this);
    user_policy_.set(engine.options().native_user == NativeUser::kAlways
                         ? UserPolicy::When::kAlways
                         : UserPolicy::When::kComputing);
  }
  reset_cpu(frame_->cpu, false);
  note_native_wish();
  if (config.index != 0) frame_->cpu.activity = Activity::kWaitForSipi;
  view_ = engine.memory().view();
  if (engine.options().lock_step_runs != 0) lock_step_ = std::make_unique<LockStep>();
  engine_.add_cpu(*this);
}

Result<std::unique_ptr<TcgCpu>> TcgCpu::create(TcgEngine& engine, const VCpuConfig& config) {
  EMU_CHECK(config.cpuid != nullptr);
  if (engine.options().lock_step_runs != 0 && config.index != 0) {
    return fail("lock-step compares the code of one processor: use --cpus 1");
  }
  Result<Mapping> memory = Mapping::anonymous(sizeof(VcpuFrame));
  if (!memory) return memory.error();
  Result<Mapping> return_stack = make_return_stack();
  if (!return_stack) return return_stack.error();
  return std::unique_ptr<TcgCpu>(
      new TcgCpu(engine, config, *std::move(memory), *std::move(return_stack)));
}

TcgCpu::~TcgCpu() {
  engine_.remove_cpu(*this);
}

TcgCpu::InCode::InCode(TcgCpu& cpu) : cpu_(cpu) {
  for (;;) {
    cpu_.in_code_.store(true, std::memory_order_seq_cst);
    if (!cpu_.engine_.exclusive_wanted()) return;
    cpu_.in_code_.store(false, std::memory_order_seq_cst);
    cpu_.engine_.park();
  }
}

void TcgCpu::kick() {
  request_exit(kRequestKick);
  wake_up();
}

void TcgCpu::wake_up() {
  if (!sleeping_.load(std::memory_order_seq_cst)) return;
  const std::lock_guard lock(sleep_mutex_);
  wake_.notify_all();
}

void TcgCpu::set_interrupt_line(bool active) {
  if ((__atomic_exchange_n(&frame_->interrupt_line, u32{active}, __ATOMIC_SEQ_CST) != 0) ==
          active ||
      !active)
    return;
  request_exit(0);
  wake_up();
}

void TcgCpu::raise_nmi() {
  request_exit(kRequestNmi);
  wake_up();
}

void TcgCpu::raise_smi() {
  request_exit(kRequestSmi);
  wake_up();
}

void TcgCpu::raise_init() {
  request_exit(kRequestInit);
  wake_up();
}

void TcgCpu::raise_sipi(u8 vector) {
  sipi_vector_.store(vector, std::memory_order_relaxed);
  request_exit(kRequestSipi);
  wake_up();
}

void TcgCpu::state(CpuState& out) {
  out = frame_->cpu;
  const u32 requests = requests_.load(std::memory_order_seq_cst);
  out.nmi_pending = out.nmi_pending || (requests & kRequestNmi) != 0;
  out.smi_pending = out.smi_pending || (requests & kRequestSmi) != 0;
}

void TcgCpu::set_state(const CpuState& in) {
  requests_.fetch_and(~(kRequestNmi | kRequestSmi | kRequestInit | kRequestSipi),
                      std::memory_order_seq_cst);
  frame_->cpu = in;
  vectors_saved_ = true;
  mode_stale_ = true;
  forget_transfers();
  note_native_wish();
  refresh_view();
  flush_tlb(true);
}

void TcgCpu::refresh_view() {
  view_ = engine_.memory().view();
  last_range_ = nullptr;
}

std::string TcgCpu::counters() const {
  const Counters& c = counters_;
  const TranslationCache::Counters& t = engine_.cache().counters();
  std::string text = fmt::format(
      "loop_turns {}\n  indirect {}\n  link {}\n  loop {}\n  left "
      "{}\ntranslations {}\ntranslated_bytes {}\n"
      "moves {}\nlinks {}\ninvalidations {}\nparked_pages {}\nunparked {}\ncode_flushes "
      "{}\ntlb_fills "
      "{}\nslow_accesses {}\n"
      "commits {}\nmmio {}\nsystem_calls {}\nfaults {}\ninterrupts "
      "{}\ntlb_flushes {}\n"
      "uncached {}\nlock_steps {}\n"
      "fast_syscalls {}\nfast_sysrets {}\nfast_strings {}\n",
      c.loop_turns, c.leaves[1], c.leaves[2], c.leaves[3], c.leaves[4], c.translations,
      c.translated_bytes, t.moves.load(), t.links.load(), t.invalidations.load(), t.parked.load(),
      t.unparked.load(), t.clears.load(), c.tlb_fills, c.slow_accesses, c.commits, c.mmio,
      c.system_calls, c.faults, c.interrupts, c.flushes, c.uncached, c.lock_steps,
      frame_->fast_syscalls, frame_->fast_sysrets, frame_->fast_strings);
  for (unsigned m = 0; m < kMnemonics; ++m) {
    if (c.system[m] == 0) continue;
    text += fmt::format("  {} {}\n", ZydisMnemonicGetString(static_cast<ZydisMnemonic>(m)),
                        c.system[m]);
  }
  if (user_ != nullptr) text += user_->counters();
  return text;
}

StopReason TcgCpu::run(CpuBus& bus) {
  bus_ = &bus;
  frame_->tsc_bias = engine_.tsc_bias(config_.cpuid->features().tsc_hz);
  const HostThread thread(*this, *frame_);
  for (;;) {
    switch (loop()) {
      case Service::kTranslate:
        translate();
        break;
      case Service::kLockStep:
        if (!run_in_lock_step()) {
          return {StopReason::Kind::kError, "lock-step found a difference: see above"};
        }
        break;
      case Service::kLink:
        link_exit();
        break;
      case Service::kNative:
        run_native();
        break;
      case Service::kHalted:
        if (frame_->cpu.activity == Activity::kShutdown) {
          return {StopReason::Kind::kTripleFault, {}};
        }
        wait_halted();
        break;
      case Service::kPark:
        engine_.park();
        break;
      case Service::kRequests: {
        StopReason reason;
        if (serve_requests(reason)) return reason;
        break;
      }
    }
  }
}

// Runs ring-3 code natively until the translator is needed.
void TcgCpu::run_native() {
  const InCode in_code(*this);
  const u64 cr3 = frame_->cpu.cr3;
  switch (user_->run()) {
    case UserMode::Result::kInstruction:
      one_by_translator_ = true;
      if (user_policy_.stopped()) {
        user_policy_.judge(cr3, user_->process_ns(), thread_time_ns(), UserMode::now_ns());
      }
      break;
    case UserMode::Result::kAgain:
      break;
    case UserMode::Result::kRefused:
      user_policy_.refuse(cr3);
      break;
    case UserMode::Result::kLost:
      user_process_lost_ = true;
      request_exit(kRequestKick);
      break;
  }
  mode_stale_ = true;
  note_native_wish();
}

bool TcgCpu::serve_requests(StopReason& reason) {
  const u32 requests = requests_.fetch_and(
      ~(kRequestKick | kRequestFlush | kRequestInit | kRequestSipi), std::memory_order_seq_cst);
  CpuState& s = frame_->cpu;
  const InCode in_code(*this);
  if ((requests & kRequestFlush) != 0) {
    refresh_view();
    flush_tlb(true);
  }
  if ((requests & kRequestInit) != 0) {
    reset_cpu(s, true);
    s.activity = config_.index == 0 ? Activity::kRunning : Activity::kWaitForSipi;
    mode_stale_ = true;
    flush_tlb(true);
  }
  if ((requests & kRequestSipi) != 0 && s.activity == Activity::kWaitForSipi) {
    start_cpu_at_sipi(s, static_cast<u8>(sipi_vector_.load(std::memory_order_relaxed)));
    mode_stale_ = true;
  }
  if (host_memory_failed_) {
    reason = {StopReason::Kind::kError,
              "the host could not provide guest memory: free some, or give the "
              "guest less (-m)"};
    return true;
  }
  if (user_process_lost_) {
    reason = {StopReason::Kind::kError,
              "the host ended a process that ran the guest's programs, perhaps for want of memory: "
              "free some, or switch such processes off (--translator native-user=off)"};
    return true;
  }
  if ((requests & kRequestKick) == 0) return false;
  reason = {StopReason::Kind::kKicked, {}};
  return true;
}

void TcgCpu::wait_halted() {
  std::unique_lock lock(sleep_mutex_);
  sleeping_.store(true, std::memory_order_seq_cst);
  const CpuState& s = frame_->cpu;
  wake_.wait(lock, [&] {
    return requests_.load(std::memory_order_seq_cst) != 0 ||
           (s.activity == Activity::kHalted && (s.rflags & kFlagIf) != 0 && interrupt_line());
  });
  sleeping_.store(false, std::memory_order_seq_cst);
}

void TcgCpu::translate() {
  if (fetch_uncached_) return translate_uncached();
  const u64 linear = linear_rip();
  const ExecInfo first = exec_info_[(linear >> 12) & (kItlbEntries - 1)];
  const std::size_t offset = linear & (kPageBytes - 1);
  const u64 linear_mask = mode().code64() ? ~u64{0} : 0xffffffff;
  if (move_translation({first.host + offset, frame_->cpu.rip, block_mode().packed()}, first))
    return;
  DecodeLimits limits;
  limits.max_instructions = mode().single_step || engine_.options().one_instruction_blocks
                                ? 1
                                : engine_.options().max_block_instructions;
  limits.cs_limit = mode().code64() ? ~u64{0} : frame_->cpu.segments[kCs].limit;
  // Again if another processor changed the bytes meanwhile; if it keeps doing
  // so, from a copy.
  for (unsigned attempt = 0; attempt < 16; ++attempt) {
    engine_.protect_page(*this, *first.ram, first.ram_page);
    if (unpark_page(first.host)) {
      const std::lock_guard lock(engine_.cache().mutex());
      if (engine_.cache().find({first.host + offset, frame_->cpu.rip, block_mode().packed()}))
        return;
    }
    FetchWindow window{{first.host + offset, kPageBytes - offset}, {}};
    ExecInfo second{};
    if (decode_block(window, frame_->cpu.rip, block_mode(), limits, guest_block_,
                     decode_cache_.get()) == DecodeStatus::kNeedsNextPage) {
      if (!fetch_next_page(((linear | (kPageBytes - 1)) + 1) & linear_mask, second)) return;
      engine_.protect_page(*this, *second.ram, second.ram_page);
      window.next_page = {second.host, kPageBytes};
      if (decode_block(window, frame_->cpu.rip, block_mode(), limits, guest_block_,
                       decode_cache_.get()) != DecodeStatus::kOk) {
        return translate_uncached();
      }
    }
    if (emit_and_add({first.host + offset, frame_->cpu.rip, block_mode().packed()},
                     {first.ram, first.ram_page, first.host},
                     {second.ram, second.ram_page, second.host}, true) != nullptr) {
      return;
    }
  }
  translate_uncached();
}

// The same bytes were translated for another address, where a program had them mapped.
bool TcgCpu::move_translation(const BlockKey& key, const ExecInfo& page) {
  if (!engine_.options().move_code || mode().cpl != 3 || !mode().code64()) return false;
  TranslationCache& cache = engine_.cache();
  const std::lock_guard lock(cache.mutex());
  const TranslatedBlock* known = cache.movable(key);
  if (known == nullptr || !cache.has_room()) return false;
  cache_clears_ = cache.counters().clears.load();
  TranslatedBlock* block = cache.move(*known, key, {page.ram, page.ram_page, page.host});
  found_ = block;
  if (lock_step_ && block->check.instructions != 0) {
    block->check.runs_left = engine_.options().lock_step_runs;
  }
  if (PerfMap* map = engine_.perf_map()) map->add_block(block->code, block->code_bytes, key.rip);
  return true;
}

// The page is executed again: what was translated from it is back unless it
// changed. Pages that come back are parked less eagerly.
bool TcgCpu::unpark_page(const u8* host_page) {
  const std::lock_guard lock(engine_.cache().mutex());
  if (!engine_.cache().unpark(host_page)) return false;
  CodeWrites& w = code_writes(host_page);
  if (w.page == host_page && w.limit < kMaxWritesToPark) w.limit *= 2;
  return true;
}

bool TcgCpu::fetch_next_page(u64 next, ExecInfo& second) {
  const auto index = static_cast<unsigned>((next >> 12) & (kItlbEntries - 1));
  {
    const InCode in_code(*this);
    if (fill_exec(next, index)) {
      second = exec_info_[index];
      return true;
    }
    if (fetch_fault_) {
      deliver_fault(core_, fetch_fault_);
      mode_stale_ = true;
      return false;
    }
  }
  translate_uncached();
  return false;
}

// Whether guest memory still holds the bytes that guest_block_ was decoded
// from: `first` has `room` of them, the rest are at `second`.
bool TcgCpu::bytes_are_current(const u8* first, u64 room, const u8* second) const {
  u64 at = 0;
  for (const GuestInstruction& g : guest_block_.instructions) {
    if (at >= guest_block_.length_bytes) break;
    for (unsigned i = 0; i < g.length; ++i, ++at) {
      const u8 now = at < room ? first[at] : second[at - room];
      if (now != g.bytes[i]) return false;
    }
  }
  return true;
}

// Null if the guest's bytes changed since they were decoded, or nothing watches
// them any more.
TranslatedBlock* TcgCpu::emit_and_add(const BlockKey& key, const TranslationCache::PageUse& first,
                                      const TranslationCache::PageUse& second, bool cached) {
  TranslationCache& cache = engine_.cache();
  std::unique_lock lock(cache.mutex());
  while (!cache.has_room() || engine_.has_many_page_ids()) {
    lock.unlock();
    engine_.flush_code(*this);
    lock.lock();
  }
  const auto watched = [](const TranslationCache::PageUse& use) {
    return use.ram == nullptr || use.ram->has_code(use.page);
  };
  // Marks go away only under this lock, and whoever writes marked bytes takes
  // it after the write.
  if (!watched(first) || !watched(second)) return nullptr;
  live_immediates_.clear();
  if (cached) {
    const u64 from = reinterpret_cast<u64>(key.guest) & (kPageBytes - 1);
    const u64 room = kPageBytes - from;
    const u64 length = guest_block_.length_bytes;
    cache.announce(first, from, length < room ? from + length : kPageBytes);
    if (length > room) cache.announce(second, 0, length - room);
    choose_live_immediates(key);
    cache.settle_sites(key.guest, length, live_immediates_);
    if (!bytes_are_current(key.guest, room, second.host)) return nullptr;
  }
  ++counters_.translations;
  counters_.translated_bytes += guest_block_.length_bytes;
  cache_clears_ = cache.counters().clears.load();
  emit_table_ = engine_.stubs().table;
  find_jump_slot();
  if (jump_slot_ < kJumpCacheSlots && !mode().single_step && engine_.options().jump_cache) {
    emit_table_.indirect_exit = engine_.stubs().indirect_exit[jump_slot_];
    emit_table_.jump_slot = jump_slot_;
  } else {
    emit_table_.indirect_exit = engine_.stubs().table.loop_exit;
  }
  if (mode().cpl == 0) {
    // STAC and CLAC go between these two.
    TranslationMode lifted = mode(), checked = mode();
    lifted.memory_set = static_cast<u32>(MemorySet::kSupervisorAny) & 3;
    checked.memory_set = static_cast<u32>(MemorySet::kSupervisor) & 3;
    emit_table_.access_barrier = engine_.stubs().access_barrier[slot_of(lifted.packed())];
    emit_table_.checked_stack_end = engine_.stubs().return_underflow[slot_of(checked.packed())];
  }
  emitter_->emit(guest_block_, cache.code().next(), cache.next_exit_id(), emitted_);
  if (engine_.options().dump_block != 0 && engine_.options().dump_block == key.rip) {
    fmt::print(stderr, "{}", describe_translation(guest_block_, emitted_, cache.code().next()));
  }
  block_bytes_.clear();
  for (const GuestInstruction& g : guest_block_.instructions) {
    block_bytes_.insert(block_bytes_.end(), g.bytes, g.bytes + g.length);
  }
  block_bytes_.resize(guest_block_.length_bytes);
  TranslatedBlock* block = cache.add(key, block_bytes_, emitted_, first, second, cached);
  if (cached) found_ = block;
  if (PerfMap* map = engine_.perf_map()) map->add_block(block->code, block->code_bytes, key.rip);
  if (lock_step_ && cached && !mode().single_step) {
    block->check = LockStep::check_of(guest_block_, engine_.options().lock_step_runs);
  }
  if (!live_immediates_.empty()) cache.set_live_immediates(*block, live_immediates_);
  return block;
}

// Marks the constants in guest_block_ that the guest keeps overwriting.
void TcgCpu::choose_live_immediates(const BlockKey& key) {
  if (!engine_.options().live_immediates || guest_block_.crosses_page) return;
  const u8* at = key.guest;
  for (GuestInstruction& g : guest_block_.instructions) {
    const ImmediatePlace place = live_immediate_place(g);
    if (place.length_bytes != 0 &&
        engine_.cache().is_patched_often(at + place.offset, place.length_bytes)) {
      g.live_immediate = at + place.offset;
      live_immediates_.push_back(g.live_immediate);
    }
    at += g.length;
  }
}

// Up to `size` instruction bytes from `linear` on, wherever they are; 0: a
// fault was delivered.
unsigned TcgCpu::fetch_uncached(u64 linear, u8* bytes, unsigned size) {
  const InCode in_code(*this);
  const u64 mask = frame_->cpu.long_mode() ? ~u64{0} : 0xffffffff;
  for (unsigned have = 0; have < size; ++have) {
    PageAccess access;
    access.fetch = true;
    access.user = mode().cpl == 3;
    PageTranslation t;
    const Fault f = walk_page(core_, LinearAddr{(linear + have) & mask}, access, t);
    if (f && have == 0) {
      deliver_fault(core_, f);
      mode_stale_ = true;
    }
    if (f) return have;
    bytes[have] = static_cast<u8>(read_phys(t.physical, 1));
  }
  return size;
}

// Code that is not in RAM (device memory, open bus): one instruction,
// translated from a copy of the bytes and never found again.
void TcgCpu::translate_uncached() {
  ++counters_.uncached;
  u8 bytes[16];
  const u64 linear = linear_rip();
  const unsigned have = fetch_uncached(linear, bytes, sizeof bytes);
  if (have == 0) return;
  DecodeLimits limits;
  limits.max_instructions = 1;
  TranslationMode one_mode = mode();
  one_mode.single_step = 1;
  const FetchWindow window{{bytes, have}, {}};
  if (decode_block(window, frame_->cpu.rip, one_mode, limits, guest_block_) != DecodeStatus::kOk) {
    const u64 mask = frame_->cpu.long_mode() ? ~u64{0} : 0xffffffff;
    const u64 next = ((linear | (kPageBytes - 1)) + 1) & mask;
    const InCode in_code(*this);
    deliver_fault(core_, Fault::page(next, kPfFetch | (mode().cpl == 3 ? kPfUser : 0)));
    mode_stale_ = true;
    return;
  }
  const TranslatedBlock* block = emit_and_add({nullptr, frame_->cpu.rip, 0}, {}, {}, false);
  const InCode in_code(*this);
  if (block == nullptr || engine_.cache().counters().clears.load() != cache_clears_) return;
  run_block(*block);
  link_id_ = 0;
  save_vectors();
}

// An unlinked direct exit was taken: links it if its target is (or can be)
// translated.
void TcgCpu::link_exit() {
  const u32 id = link_id_;
  const u64 clears = cache_clears_;
  link_id_ = 0;
  if (mode_stale_) return;
  const auto look_up = [this] {
    const InCode in_code(*this);
    return lookup_block();
  };
  TranslatedBlock* target = look_up();
  if (target == nullptr) {
    if (fetch_fault_ || fetch_uncached_) return;
    translate();
    if (mode_stale_) return;
    target = look_up();
    if (target == nullptr) return;
  }
  const u64 linear = linear_rip();
  const unsigned index = static_cast<unsigned>((linear >> 12) & (kItlbEntries - 1));
  TranslationCache& cache = engine_.cache();
  const std::lock_guard lock(cache.mutex());
  // Otherwise the id and the target may be another's, or nobody's.
  if (cache.counters().clears.load() != clears) return;
  const ExitRecord& exit = cache.exit(id);
  const auto machine_mode = [](u32 packed) {
    auto m = __builtin_bit_cast(TranslationMode, packed);
    m.unshared = 0;
    return m;
  };
  if (exit.to != nullptr || !exit.from->valid.load() ||
      machine_mode(exit.from->key.mode ^ exit.mode_change) != machine_mode(target->key.mode)) {
    return;
  }
  if (target->check.runs_left != 0 || exit.from->check.runs_left != 0) return;
  const u8* entry = target->code;
  const auto page_of = [](const u8* p) { return reinterpret_cast<u64>(p) & ~(kPageBytes - 1); };
  const bool same_page = page_of(exit.from->key.guest) == page_of(target->key.guest) &&
                         (exit.from->key.rip - target->key.rip) ==
                             static_cast<u64>(exit.from->key.guest - target->key.guest);
  if (!same_page) {
    if (!cache.has_room()) return;
    entry = emit_page_check(index, frame_->itlb_id[index], *target, exit.cold);
  }
  cache.link(id, *target, entry);
}

// A link to another page: valid only while the execute TLB still has that page
// where it was. Flag-free; clobbers kT2 only.
const u8* TcgCpu::emit_page_check(unsigned index, u32 page_id, const TranslatedBlock& target,
                                  const u8* cold) {
  CodeCache& code = engine_.cache().code();
  u8 bytes[64];
  std::size_t n = 0;
  const auto put = [&](std::initializer_list<u8> list) {
    for (u8 b : list) bytes[n++] = b;
  };
  const auto put32 = [&](u32 v) {
    store_le(bytes + n, v);
    n += 4;
  };
  const auto jump = [&](const u8* to) {
    put({0xe9});
    put32(static_cast<u32>(to - (code.next() + n + 4)));
  };
  put({0x49, 0x89, 0xcb});        // mov r11, rcx
  put({0x65, 0x8b, 0x0c, 0x25});  // mov ecx, gs:[itlb_id + 4 * index]
  put32(static_cast<u32>(EMU_FRAME(itlb_id)) + 4 * index);
  put({0x48, 0x8d, 0x89});  // lea rcx, [rcx - page_id]
  put32(0u - page_id);
  put({0xe3, 0x08});        // jrcxz +8
  put({0x4c, 0x89, 0xd9});  // mov rcx, r11
  jump(cold);
  put({0x4c, 0x89, 0xd9});  // mov rcx, r11
  jump(target.code);
  return code.append(bytes, n);
}

}  // namespace emu
