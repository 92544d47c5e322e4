// SPDX-License-Identifier: Apache-2.0
// The soft TLB: filling, flushing, and the slow path of generated loads and stores.
// Source: Intel SDM vol. 3 4.10 (what may be cached and what flushes it).
#include "base/bits.h"
#include "cpu/debug_registers.h"
#include "tcg/host_thread.h"
#include "tcg/scalar_copy.h"
#include "tcg/tcg_cpu.h"

namespace emu {
namespace {

constexpr u64 kOffsetMask = kPageBytes - 1;
constexpr u64 kLargeShift = 21;
constexpr u64 kGiantShift = 30;

unsigned tlb_index(u64 linear) {
  return static_cast<unsigned>((linear >> 12) & (kTlbEntries - 1));
}

}  // namespace

const FlatRange* TcgCpu::find_range(u64 phys) noexcept {
  if (last_range_ != nullptr && last_range_->contains(phys)) return last_range_;
  const auto ranges = view_->ranges();
  std::size_t low = 0;
  std::size_t high = ranges.size();
  while (low < high) {
    const std::size_t middle = (low + high) / 2;
    if (ranges[middle].start <= phys) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (low == 0 || !ranges[low - 1].contains(phys)) return nullptr;
  last_range_ = &ranges[low - 1];
  return last_range_;
}

void TcgCpu::log_fill(unsigned set, unsigned index) noexcept {
  TlbInfo& e = tlb_info_[set * kTlbEntries + index];
  const unsigned global = e.global ? 1 : 0;
  if (bit(e.logged, global)) return;
  e.logged = static_cast<u8>(e.logged | 1u << global);
  FillLog& log = fill_log_[global];
  log.at[log.count++] = set * kTlbEntries + index;
}

void TcgCpu::drop_tlb_entry(u32 at) noexcept {
  tlb_info_[at].linear_page = 1;
  TlbSet& tlb = frame_->tlb[at / kTlbEntries];
  tlb.read_tag[at % kTlbEntries] = kTlbInvalidTag;
  tlb.write_tag[at % kTlbEntries] = kTlbInvalidTag;
}

TlbInfo* TcgCpu::resolve(u64 linear, unsigned set, bool write, bool implicit,
                         Fault& fault) noexcept {
  const u64 page = linear & ~kOffsetMask;
  const unsigned index = tlb_index(linear);
  TlbInfo& e = tlb_info_[set * kTlbEntries + index];
  if (e.linear_page == page && (write ? e.writable : e.readable)) return &e;

  PageTranslation t;
  PageAccess access;
  access.write = write;
  access.user = set == static_cast<unsigned>(MemorySet::kUser);
  access.implicit = implicit;
  fault = walk_page(core_, LinearAddr{linear}, access, t);
  if (fault) return nullptr;
  ++counters_.tlb_fills;
  e.linear_page = page;
  e.phys_page = t.physical.value & ~kOffsetMask;
  e.readable = t.readable;
  e.writable = t.writable;
  e.global = t.global;
  e.large = t.page_bytes > kPageBytes;
  e.host = nullptr;
  e.ram = nullptr;
  e.ram_writable = false;
  if (e.large) {
    const u64 hash = linear >> kLargeShift;
    large_regions_[hash & 63] |= u64{1} << ((hash >> 6) & 63);
    giant_pages_ = giant_pages_ || t.page_bytes > (u64{1} << 22);
  }
  const FlatRange* range = find_range(e.phys_page);
  if (range != nullptr && range->ram != nullptr && range->contains(e.phys_page + kOffsetMask)) {
    e.host = range->host(e.phys_page);
    e.ram = range->ram;
    e.ram_page = (range->ram_offset + (e.phys_page - range->start)) / kPageBytes;
    e.ram_writable = range->writable;
  }
  TlbSet& tlb = frame_->tlb[set];
  tlb.read_tag[index] = kTlbInvalidTag;
  tlb.write_tag[index] = kTlbInvalidTag;
  log_fill(set, index);
  return &e;
}

void TcgCpu::install(TlbInfo& e, unsigned set, unsigned index) noexcept {
  TlbSet& tlb = frame_->tlb[set];
  tlb.delta[index] = reinterpret_cast<u64>(e.host) - e.linear_page;
  tlb.read_tag[index] = e.readable ? e.linear_page : kTlbInvalidTag;
  const bool write = e.writable && e.ram_writable && e.ram->fast_writable(e.ram_page);
  tlb.write_tag[index] = write ? e.linear_page : kTlbInvalidTag;
  if (!write) return;
  note_write(e.host);
  note_write_entry(e.host, set * kTlbEntries + index);
}

void TcgCpu::note_write_entry(const u8* host_page, u32 at) noexcept {
  WriteEntry& w = write_entry(host_page);
  if (w.host != nullptr && (w.host != host_page || w.at != at)) w.several = true;
  w.host = host_page;
  w.at = at;
}

void TcgCpu::flush_tlb(bool global_too) noexcept {
  ++counters_.flushes;
  user_flushes_.flush();
  core_.paging_cache.flush();
  flush_fills(0);
  if (global_too) {
    flush_fills(1);
    other_spaces_.forget_all();
    const CpuState& s = frame_->cpu;
    other_spaces_.set_current(static_cast<u16>((s.cr4 & kCr4Pcide) != 0 ? s.cr3 & 0xfff : 0));
  }
  if (fill_log_[1].count == 0) {
    for (u64& r : large_regions_) r = 0;
    giant_pages_ = false;
  }
  flush_exec(global_too);
}

void TcgCpu::flush_fills(unsigned global) noexcept {
  FillLog& log = fill_log_[global];
  for (u32 i = 0; i < log.count; ++i) {
    TlbInfo& e = tlb_info_[log.at[i]];
    e.logged = static_cast<u8>(e.logged & ~(1u << global));
    // Of another page by now, which is in the other log?
    if (e.global == (global != 0)) drop_tlb_entry(log.at[i]);
  }
  log.count = 0;
}

void TcgCpu::flush_exec(bool global_too) noexcept {
  for (unsigned global = 0; global <= (global_too ? 1u : 0u); ++global) {
    ExecLog& log = exec_log_[global];
    for (u32 i = 0; i < log.count; ++i) {
      exec_info_[log.at[i]].linear_page = 1;
      frame_->itlb_id[log.at[i]] = 0;
    }
    log.count = 0;
  }
  flush_jump_cache(global_too);
}

void TcgCpu::flush_jump_cache(bool global_too) noexcept {
  for (unsigned global = 0; global <= (global_too ? 1u : 0u); ++global) {
    JumpLog& log = jump_log_[global];
    for (u32 i = 0; i < log.count; ++i) {
      const u32 at = log.at[i];
      frame_->jump_cache[at / kJumpCacheEntries].negated_rip[at % kJumpCacheEntries] = 0;
    }
    log.count = 0;
  }
}

void TcgCpu::flush_page(u64 linear) noexcept {
  user_flushes_.flush_page(linear);
  core_.paging_cache.flush();
  const u64 page = linear & ~kOffsetMask;
  const unsigned index = tlb_index(linear);
  for (unsigned set = 0; set < kMemorySets; ++set) {
    const u32 at = set * kTlbEntries + index;
    if (tlb_info_[at].linear_page == page) drop_tlb_entry(at);
  }
  const u64 region = linear >> kLargeShift;
  const bool large = bit(large_regions_[region & 63], static_cast<unsigned>((region >> 6) & 63));
  if (large || giant_pages_) {
    const u64 shift = giant_pages_ ? kGiantShift : kLargeShift + 1;  // 4 MiB pages exist
    for_each_fill([&](u32 at) {
      const TlbInfo& e = tlb_info_[at];
      if (e.large && (e.linear_page >> shift) == (linear >> shift)) drop_tlb_entry(at);
    });
  }
  bool executed = false;
  const u64 shift = giant_pages_ ? kGiantShift : kLargeShift + 1;
  for (unsigned i = 0; i < kItlbEntries; ++i) {
    ExecInfo& x = exec_info_[i];
    if (x.linear_page == 1) continue;
    const bool same = (x.linear_page & ~kOffsetMask) == page;
    if (!same && !(x.large && (x.linear_page >> shift) == (linear >> shift))) continue;
    x.linear_page = 1;
    frame_->itlb_id[i] = 0;
    executed = true;
  }
  // Entries may also stand for pages that the execute TLB has replaced since.
  if (executed || bit(jump_pages_[(page >> 12) & 63], static_cast<unsigned>((page >> 18) & 63))) {
    flush_jump_cache(true);
    for (u64& p : jump_pages_) p = 0;
  }
}

void TcgCpu::drop_write_entries(const u8* host_page) noexcept {
  WriteEntry& w = write_entry(host_page);
  const auto drop_at = [&](u32 at) {
    frame_->tlb[at / kTlbEntries].write_tag[at % kTlbEntries] = kTlbInvalidTag;
  };
  if (!w.several) {
    if (w.host == host_page && tlb_info_[w.at].host == host_page) drop_at(w.at);
    if (w.host == host_page) w = {};
    return;
  }
  w = {};
  for_each_fill([&](u32 at) {
    const u8* host = tlb_info_[at].host;
    if (host == host_page) {
      drop_at(at);
    } else if (&write_entry(host) == &w &&
               frame_->tlb[at / kTlbEntries].write_tag[at % kTlbEntries] != kTlbInvalidTag) {
      note_write_entry(host, at);
    }
  });
}

unsigned TcgCpu::set_for(Privilege who) const noexcept {
  const CpuState& s = frame_->cpu;
  if (who == Privilege::kUser || (who == Privilege::kCurrent && s.cpl() == 3)) {
    return static_cast<unsigned>(MemorySet::kUser);
  }
  const bool smap = (s.cr4 & kCr4Smap) != 0;
  const bool lifted = who == Privilege::kCurrent && (s.rflags & kFlagAc) != 0;
  return static_cast<unsigned>(smap && !lifted ? MemorySet::kSupervisor
                                               : MemorySet::kSupervisorAny);
}

u64 TcgCpu::read_mmio_chunks(u64 phys, u8* out, unsigned size) noexcept {
  save_vectors();
  ++counters_.mmio;
  u64 value = 0;
  for (unsigned done = 0; done < size;) {
    const unsigned chunk = size - done < 8 ? size - done : 8;
    if (!lock_step_ || !lock_step_->answers(phys + done, chunk, false, value)) {
      value = bus_->read_mmio(PhysAddr{phys + done}, chunk);
      if (lock_step_) lock_step_->note_device(phys + done, chunk, false, value);
    }
    copy_bytes(out + done, reinterpret_cast<const u8*>(&value), chunk);
    done += chunk;
  }
  return value;
}

void TcgCpu::write_mmio_chunks(u64 phys, const u8* in, unsigned size) noexcept {
  save_vectors();
  ++counters_.mmio;
  for (unsigned done = 0; done < size;) {
    const unsigned chunk = size - done < 8 ? size - done : 8;
    u64 value = 0;
    copy_bytes(reinterpret_cast<u8*>(&value), in + done, chunk);
    if (!lock_step_ || !lock_step_->answers(phys + done, chunk, true, value)) {
      if (lock_step_) lock_step_->note_device(phys + done, chunk, true, value);
      bus_->write_mmio(PhysAddr{phys + done}, chunk, value);
    }
    done += chunk;
  }
}

// After bytes of a RAM page were written other than through a fast path.
void TcgCpu::note_ram_write(const TlbInfo& e, u64 page_offset, u64 length) noexcept {
  if (e.ram->fast_writable(e.ram_page)) return;
  if (e.ram->has_code(e.ram_page)) {
    if (spares_code(e, page_offset, length)) return;
    save_vectors();
  }
  e.ram->mark_written(e.ram_page * kPageBytes + page_offset, length);
}

// Whether bytes just written in a page with code are of no concern to any translation, and to
// nobody else who watches the page.
bool TcgCpu::spares_code(const TlbInfo& e, u64 page_offset, u64 length) noexcept {
  if (!e.ram->is_dirty(DirtyClient::kDisplay, e.ram_page) ||
      !e.ram->is_dirty(DirtyClient::kMigration, e.ram_page)) {
    return false;
  }
  // The write comes before the look at what is translated; see TranslationCache::announce().
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  TranslationCache& cache = engine_.cache();
  if (cache.is_live_immediate(e.host + page_offset, length)) return true;
  if (engine_.options().park_pages) count_code_write(e.host);
  return !cache.touches_code(e.host, page_offset, page_offset + length);
}

void TcgCpu::count_code_write(const u8* host_page) noexcept {
  CodeWrites& w = code_writes(host_page);
  if (w.page != host_page) w = {host_page, 0, kWritesToPark};
  if (++w.count < w.limit) return;
  w.count = 0;
  save_vectors();
  engine_.park_page(host_page);
}

u64 TcgCpu::on_slow_access(u64 linear, u32 packed, const u8* return_address,
                           u64* needs_commit) noexcept {
  ++counters_.slow_accesses;
  const auto info = __builtin_bit_cast(AccessInfo, packed);
  const unsigned size = info.size;
  *needs_commit = 0;
  Fault raised;
  const auto fail = [&](const Fault& f) {
    take_flags_from_stub();
    set_rip_at(return_address - 1);
    fault(f);
    return u64{0};
  };
  if (mode().code64()) {
    if (!is_canonical(linear) || !is_canonical(linear + size - 1)) {
      return fail(info.stack_segment ? Fault::with_code(kVectorSs, 0) : Fault::gp());
    }
  } else {
    linear &= 0xffffffff;
  }
  // Alignment checking is one of the reasons for always_slow.
  if (mode().always_slow && info.align > 1 && (linear & (info.align - 1u)) != 0 &&
      mode().cpl == 3 && (frame_->cpu.cr0 & kCr0Am) != 0 && (frame_->cpu.rflags & kFlagAc) != 0) {
    return fail(Fault::with_code(kVectorAc, 0));
  }
  if (mode().always_slow) {
    debug_pending_ |= match_data_breakpoint(frame_->cpu, LinearAddr{linear}, size, info.write);
  }
  const unsigned set = info.implicit_supervisor ? set_for(Privilege::kSupervisor) : info.memory_set;
  const unsigned first = static_cast<unsigned>(kPageBytes - (linear & kOffsetMask)) < size
                             ? static_cast<unsigned>(kPageBytes - (linear & kOffsetMask))
                             : size;
  TlbInfo* e0 = resolve(linear, set, info.write, info.implicit_supervisor, raised);
  if (e0 == nullptr) return fail(raised);
  if (first == size && e0->host != nullptr && (!info.write || e0->ram_writable)) {
    if (info.write) note_write(e0->host);
    install(*e0, set, tlb_index(linear));
    if (info.write && !e0->ram->fast_writable(e0->ram_page)) {
      commit_ = {1, size, size, nullptr, {e0, nullptr}, {linear & kOffsetMask, 0}};
      *needs_commit = 1;
    }
    if (info.probe) *needs_commit = 0;
    if (vectors_saved_) restore_vectors();
    return reinterpret_cast<u64>(e0->host) - e0->linear_page;
  }
  if (info.probe) {
    if (vectors_saved_) restore_vectors();
    return 0;
  }

  TlbInfo* e1 = nullptr;
  if (first != size) {
    u64 second = linear + first;
    if (!mode().code64()) second &= 0xffffffff;
    e1 = resolve(second, set, info.write, info.implicit_supervisor, raised);
    if (e1 == nullptr) return fail(raised);
    // The two pages may share a TLB entry only if the table had one entry.
  }
  const bool split_lock = e1 != nullptr && info.read && info.write;
  if (split_lock) engine_.begin_split_lock();
  u8* bounce = frame_->bounce + (linear & 63);
  commit_ = {static_cast<u8>(e1 != nullptr ? 2 : 1),
             size,
             first,
             bounce,
             {e0, e1},
             {linear & kOffsetMask, 0},
             split_lock};
  if (info.read || !info.write) {
    for (unsigned part = 0; part < commit_.parts; ++part) {
      const TlbInfo& e = *commit_.entry[part];
      u8* to = part == 0 ? bounce : bounce + first;
      const unsigned n = part == 0 ? first : size - first;
      if (e.host != nullptr) {
        copy_bytes(to, e.host + commit_.offset[part], n);
      } else {
        read_mmio_chunks(e.phys_page + commit_.offset[part], to, n);
      }
    }
  }
  *needs_commit = info.write ? 1 : 0;
  if (vectors_saved_) restore_vectors();
  return reinterpret_cast<u64>(bounce) - linear;
}

// Makes the store that slow_access prepared: from the bounce slot to where it belongs, and the news
// of it to whoever watches the pages.
void TcgCpu::commit_store() noexcept {
  ++counters_.commits;
  for (unsigned part = 0; part < commit_.parts; ++part) {
    const TlbInfo& e = *commit_.entry[part];
    const unsigned n = part == 0 ? commit_.split : commit_.size - commit_.split;
    if (commit_.bounce != nullptr) {
      const u8* from = part == 0 ? commit_.bounce : commit_.bounce + commit_.split;
      if (e.host == nullptr || !e.ram_writable) {
        write_mmio_chunks(e.phys_page + commit_.offset[part], from, n);
        continue;
      }
      note_write(e.host);
      copy_bytes(e.host + commit_.offset[part], from, n);
    }
    note_ram_write(e, commit_.offset[part], n);
  }
  end_split_lock();
}

void TcgCpu::end_split_lock() noexcept {
  if (commit_.split_locked) engine_.end_split_lock();
  commit_.split_locked = false;
}

void TcgEngine::begin_split_lock() noexcept {
  for (u32 turn = 1; split_lock_.exchange(true, std::memory_order_acquire); ++turn) {
    __builtin_ia32_pause();
    if (turn % 64 == 0) yield_host();
  }
}

// Whether the block that called a stub was dropped meanwhile.
bool TcgCpu::runs_dropped_code(const u8* return_address) const noexcept {
  const TranslatedBlock* block = engine_.cache().block_at(return_address - 1);
  return block == nullptr || !block->valid.load(std::memory_order_seq_cst);
}

void TcgCpu::on_commit(const u8* return_address) noexcept {
  const u64 before = engine_.invalidation_count();
  commit_store();
  if (requests_.load(std::memory_order_relaxed) != 0 ||
      (engine_.invalidation_count() != before && runs_dropped_code(return_address))) {
    const InstructionAt at = engine_.cache().instruction_at(return_address - 1);
    take_flags_from_stub();
    frame_->cpu.rip = wrap_rip(at.rip + at.length);
    leave();
    return;
  }
  if (vectors_saved_) restore_vectors();
}

void TcgCpu::on_commit_part() noexcept {
  commit_store();
  if (vectors_saved_) restore_vectors();
}

Fault TcgCpu::read(LinearAddr address, unsigned size, u64& value, Privilege who) {
  u64 buffer = 0;
  const Fault f = read_linear(address.value, reinterpret_cast<u8*>(&buffer), size, who);
  if (!f) value = buffer;
  return f;
}

Fault TcgCpu::write(LinearAddr address, unsigned size, u64 value, Privilege who) {
  return write_linear(address.value, reinterpret_cast<const u8*>(&value), size, who);
}

Fault TcgCpu::check_range(u64 linear, u64 length, Privilege who) const noexcept {
  if (who != Privilege::kCurrent || !frame_->cpu.code64()) return Fault::none();
  return is_canonical(linear) && is_canonical(linear + length - 1) ? Fault::none() : Fault::gp();
}

// Operands of instructions that C++ carries out hit watchpoints as others do.
void TcgCpu::note_data_breakpoint(u64 linear, unsigned length, bool write, Privilege who) noexcept {
  if (!mode().always_slow || who != Privilege::kCurrent) return;
  debug_pending_ |= match_data_breakpoint(frame_->cpu, LinearAddr{linear}, length, write);
}

Fault TcgCpu::read_linear(u64 linear, u8* out, unsigned length, Privilege who) noexcept {
  if (const Fault f = check_range(linear, length, who)) return f;
  note_data_breakpoint(linear, length, false, who);
  const unsigned set = set_for(who);
  const u64 mask = frame_->cpu.long_mode() ? ~u64{0} : 0xffffffff;
  for (unsigned done = 0; done < length;) {
    const u64 at = (linear + done) & mask;
    const u64 room = kPageBytes - (at & kOffsetMask);
    const unsigned n = length - done < room ? length - done : static_cast<unsigned>(room);
    Fault fault;
    const TlbInfo* e = resolve(at, set, false, who == Privilege::kSupervisor, fault);
    if (e == nullptr) return fault;
    if (e->host != nullptr) {
      copy_access(out + done, e->host + (at & kOffsetMask), n);
    } else {
      read_mmio_chunks(e->phys_page + (at & kOffsetMask), out + done, n);
    }
    done += n;
  }
  return Fault::none();
}

Fault TcgCpu::write_linear(u64 linear, const u8* in, unsigned length, Privilege who) noexcept {
  if (const Fault f = check_range(linear, length, who)) return f;
  note_data_breakpoint(linear, length, true, who);
  if (((linear & kOffsetMask) + length) > kPageBytes) {
    if (const Fault f = probe_write(LinearAddr{linear}, length, who)) return f;
  }
  const unsigned set = set_for(who);
  const u64 mask = frame_->cpu.long_mode() ? ~u64{0} : 0xffffffff;
  for (unsigned done = 0; done < length;) {
    const u64 at = (linear + done) & mask;
    const u64 room = kPageBytes - (at & kOffsetMask);
    const unsigned n = length - done < room ? length - done : static_cast<unsigned>(room);
    Fault fault;
    const TlbInfo* e = resolve(at, set, true, who == Privilege::kSupervisor, fault);
    if (e == nullptr) return fault;
    if (e->host != nullptr && e->ram_writable) {
      u8* to = e->host + (at & kOffsetMask);
      note_write(to);
      copy_access(to, in + done, n);
      note_ram_write(*e, at & kOffsetMask, n);
    } else {
      write_mmio_chunks(e->phys_page + (at & kOffsetMask), in + done, n);
    }
    done += n;
  }
  return Fault::none();
}

Fault TcgCpu::probe_write(LinearAddr address, u64 length_bytes, Privilege who) {
  if (const Fault f = check_range(address.value, length_bytes, who)) return f;
  const u64 mask = frame_->cpu.long_mode() ? ~u64{0} : 0xffffffff;
  const u64 last = (address.value + length_bytes - 1) & ~kOffsetMask;
  for (u64 page = address.value & ~kOffsetMask;; page += kPageBytes) {
    const u64 at = page < address.value ? address.value : page;
    Fault fault;
    if (resolve(at & mask, set_for(who), true, who == Privilege::kSupervisor, fault) == nullptr) {
      return fault;
    }
    if (page == last) return Fault::none();
  }
}

Fault TcgCpu::compare_exchange(LinearAddr address, unsigned size, u64 expected, u64 desired,
                               bool& swapped) {
  Fault fault;
  const u64 mask = frame_->cpu.long_mode() ? ~u64{0} : 0xffffffff;
  const u64 at = address.value & mask;
  const TlbInfo* e = resolve(at, set_for(Privilege::kSupervisor), true, true, fault);
  if (e == nullptr) return fault;
  swapped =
      compare_exchange_phys(PhysAddr{e->phys_page + (at & kOffsetMask)}, size, expected, desired);
  return Fault::none();
}

u64 TcgCpu::read_phys(PhysAddr address, unsigned size) {
  u64 value = 0;
  const FlatRange* r = find_range(address.value);
  if (r != nullptr && r->ram != nullptr && r->contains(address.value + size - 1)) {
    const u8* p = r->host(address.value);
    copy_access(reinterpret_cast<u8*>(&value), p, size);
    return value;
  }
  read_mmio_chunks(address.value, reinterpret_cast<u8*>(&value), size);
  return value;
}

void TcgCpu::write_phys(PhysAddr address, unsigned size, u64 value) {
  const FlatRange* r = find_range(address.value);
  if (r != nullptr && r->ram != nullptr && r->writable && r->contains(address.value + size - 1)) {
    note_write(r->host(address.value));
    copy_access(r->host(address.value), reinterpret_cast<const u8*>(&value), size);
    const u64 offset = r->ram_offset + (address.value - r->start);
    if (!r->ram->fast_writable(offset / kPageBytes)) {
      save_vectors();
      r->ram->mark_written(offset, size);
    }
    return;
  }
  write_mmio_chunks(address.value, reinterpret_cast<const u8*>(&value), size);
}

bool TcgCpu::compare_exchange_phys(PhysAddr address, unsigned size, u64 expected, u64 desired) {
  const FlatRange* r = find_range(address.value);
  if (r == nullptr || r->ram == nullptr || !r->writable || !r->contains(address.value + size - 1)) {
    return true;  // nothing there remembers the bit; do not loop
  }
  u8* p = r->host(address.value);
  bool done = false;
  if (size == 8) {
    done = __atomic_compare_exchange_n(reinterpret_cast<u64*>(p), &expected, desired, false,
                                       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  } else if (size == 4) {
    auto wanted = static_cast<u32>(expected);
    done =
        __atomic_compare_exchange_n(reinterpret_cast<u32*>(p), &wanted, static_cast<u32>(desired),
                                    false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  } else {
    auto wanted = static_cast<u8>(expected);
    done = __atomic_compare_exchange_n(p, &wanted, static_cast<u8>(desired), false,
                                       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  }
  if (done && lock_step_) lock_step_->note_page_table_write(p, size);
  const u64 offset = r->ram_offset + (address.value - r->start);
  if (done && !r->ram->fast_writable(offset / kPageBytes)) {
    save_vectors();
    r->ram->mark_written(offset, size);
  }
  return done;
}

u8* TcgCpu::bulk_host(u64 linear, bool write, Fault& fault) noexcept {
  fault = check_range(linear, 1, Privilege::kCurrent);
  if (fault) return nullptr;
  TlbInfo* e = resolve(linear, set_for(Privilege::kCurrent), write, false, fault);
  if (e == nullptr || e->host == nullptr) return nullptr;
  if (write && (!e->ram_writable || !e->ram->fast_writable(e->ram_page))) return nullptr;
  if (write) note_write(e->host);
  // For the stubs that do the same (stubs_inline.cpp).
  const unsigned set = set_for(Privilege::kCurrent);
  const TlbSet& tlb = frame_->tlb[set];
  const unsigned index = tlb_index(linear);
  if ((write ? tlb.write_tag : tlb.read_tag)[index] != e->linear_page) install(*e, set, index);
  return e->host + (linear & kOffsetMask);
}

}  // namespace emu
