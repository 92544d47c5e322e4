// SPDX-License-Identifier: Apache-2.0
#include "tcg/user/user_mode.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "cpu/debug_registers.h"
#include "cpu/delivery.h"
#include "cpu/xsave_layout.h"
#include "tcg/host_thread.h"
#include "tcg/tcg_cpu.h"

namespace emu {
namespace {

// An access this close behind RIP may be the fetch of the instruction.
constexpr u64 kMostInstructionBytes = 15;

GuestRam* find_ram(const FlatView& view) {
  for (const FlatRange& r : view.ranges()) {
    if (r.ram != nullptr && r.writable && r.ram->name() == "ram") return r.ram;
  }
  return nullptr;
}

}  // namespace

// What the processes can represent.
bool UserMode::fits(UserSegments& segments) const {
  const CpuState& s = cpu_.cpu();
  constexpr u64 kNeeded = kCr4Pae | kCr4Osfxsr | kCr4Osxmmexcpt | kCr4Osxsave;
  constexpr u64 kStrange = kFlagTf | kFlagNt | kFlagAc | kFlagId | kFlagVm | kFlagIopl;
  return s.cpl() == 3 && (s.rflags & kStrange) == 0 && (s.cr4 & kNeeded) == kNeeded &&
         (s.cr4 & (kCr4Pke | kCr4La57)) == 0 && (s.cr0 & (kCr0Ts | kCr0Em)) == 0 &&
         (s.cr0 & kCr0Pg) != 0 && (s.efer & kEferNxe) != 0 && s.xcr0 == host_vector_components() &&
         !s.smm && s.rip < UserProcess::kEnd && user_segments_of(s, segments);
}

std::unique_ptr<UserProcess> UserMode::make_process() {
  if (ram_ == nullptr) {
    ram_ = find_ram(*cpu_.engine().memory().view());
    if (ram_ == nullptr) return nullptr;
    maybe_writable_.resize(ram_->size_bytes() / kPageBytes);
    xgetbv_ = host_extended_control() != host_vector_components();
  }
  emu::Result<std::unique_ptr<UserProcess>> made = UserProcess::create(ram_->fd());
  if (!made) {
    failed_ = true;
    why_ = made.error().message;
    return nullptr;
  }
  ++counts_.processes;
  return *std::move(made);
}

// The space of the current CR3.
UserSpace* UserMode::select() {
  const u64 cr3 = cpu_.cpu().cr3;
  const auto found =
      std::find_if(spaces_.begin(), spaces_.end(), [&](const auto& s) { return s->cr3() == cr3; });
  if (found != spaces_.end()) {
    std::rotate(found, found + 1, spaces_.end());
    return spaces_.back().get();
  }
  if (spaces_.size() == kMostSpaces) {
    std::rotate(spaces_.begin(), spaces_.begin() + 1, spaces_.end());
    if (spaces_.back()->assign(cr3)) return spaces_.back().get();
    spaces_.pop_back();
  }
  std::unique_ptr<UserProcess> process = make_process();
  if (process == nullptr) return nullptr;
  spaces_.push_back(std::make_unique<UserSpace>(std::move(process), *ram_, maybe_writable_, scans_,
                                                xgetbv_, cr3));
  return spaces_.back().get();
}

void UserMode::forget() {
  spaces_.clear();
  std::fill(maybe_writable_.begin(), maybe_writable_.end(), false);
}

// Passes the vCPU's flushes on to every space: address-space identifiers are not told apart.
void UserMode::note_flushes() {
  UserFlushes& f = cpu_.user_flushes_;
  for (const auto& space : spaces_) {
    if (f.all) {
      space->flush();
    } else {
      for (unsigned i = 0; i < f.count; ++i) space->flush_page(f.pages[i]);
    }
  }
  f.all = false;
  f.count = 0;
}

bool UserMode::prepare(UserSpace& space, const UserSegments& segments) {
  note_flushes();
  if (!space.set_code_size(segments.cs == kUserCode32)) return false;
  UserTables tables(cpu_, *ram_);
  // The guest must have nothing where the stub is.
  (void)tables.select(space.process().stub_region());
  if (tables.any()) return false;
  if (!space.catch_up(tables, space_counts_)) return false;
  // What stopped it last time may be there now.
  const u64 missed = std::exchange(missed_, 0);
  if (missed != 0 && !space.entry(missed).mapped() && !space.fill(missed, tables, space_counts_)) {
    return false;
  }
  return space.process().load(cpu_.cpu(), segments, host_vector_components());
}

UserMode::Result UserMode::run() {
  UserSegments segments;
  if (failed_ || !fits(segments)) return Result::kRefused;
  if (const pid_t thread = ::gettid(); thread != thread_) {
    forget();
    thread_ = thread;
  }
  UserSpace* space = select();
  if (space == nullptr) return Result::kRefused;
  if (!prepare(*space, segments)) {
    spaces_.pop_back();
    return Result::kRefused;
  }
  ++counts_.entries;
  left_out_page_ = ~u64{0};
  const UserProcessors::Seat seat(cpu_.engine().user_processors());
  const u64 start = __builtin_ia32_rdtsc();
  UserProcess::Stop stop = UserProcess::Stop::kInterrupted;
  const UserProcess::Stop died = UserProcess::Stop::kDied;
  do {
    cpu_.native_pid_.store(space->process().pid(), std::memory_order_seq_cst);
    if (!cpu_.attention()) {
      stop = space->process().run();
    } else {
      stop = UserProcess::Stop::kInterrupted;
    }
    cpu_.native_pid_.store(0, std::memory_order_seq_cst);
  } while (stop != died && serve(*space, stop));
  counts_.ticks += __builtin_ia32_rdtsc() - start;
  return leave(*space, stop);
}

UserMode::Result UserMode::leave(UserSpace& space, UserProcess::Stop stop) {
  CpuState& s = cpu_.cpu();
  if (stop == UserProcess::Stop::kDied || !space.process().store(s, host_vector_components())) {
    spaces_.pop_back();
    return Result::kLost;
  }
  switch (stop) {
    case UserProcess::Stop::kInterrupted:
      ++counts_.interrupts;
      return Result::kAgain;
    case UserProcess::Stop::kSingleStep:
      deliver_fault(cpu_.core(), debug_fault(kDr6Bs));
      return Result::kAgain;
    case UserProcess::Stop::kStrayed:
      s.rip &= 0xffffffff;
      deliver_fault(cpu_.core(), Fault::gp(kUserCode64 & ~7u));
      return Result::kAgain;
    case UserProcess::Stop::kSystemCall:
      ++counts_.system_calls;
      return Result::kInstruction;
    case UserProcess::Stop::kMemory:
      ++counts_.memory;
      return Result::kInstruction;
    default:
      ++counts_.instructions;
      return Result::kInstruction;
  }
}

bool UserMode::serve(UserSpace& space, UserProcess::Stop stop) {
  if (stop == UserProcess::Stop::kInterrupted) return !cpu_.attention();
  return stop == UserProcess::Stop::kMemory && serve_memory(space);
}

bool UserMode::fill(UserSpace& space, u64 linear) {
  UserTables tables(cpu_, *ram_);
  ++counts_.fills;
  if (!space.fill(linear, tables, space_counts_)) return false;
  return space.entry(linear).mapped();
}

// A store found its page read-only: the dirty bit may be set now, as the guest's access does it.
// False if that is a page fault, or the page has code that the store may change.
bool UserMode::allow_write(u64 linear) {
  PageTranslation t;
  PageAccess access;
  access.write = true;
  access.user = true;
  if (walk_page(cpu_.core(), LinearAddr{linear}, access, t)) return false;
  const FlatRange* r = cpu_.find_range(t.physical.value);
  if (r == nullptr || r->ram != ram_) return false;
  const u64 page = (r->ram_offset + (t.physical.value - r->start)) / kPageBytes;
  if (ram_->has_code(page)) {
    if (++code_writes_[page] < kWritesToPark) return false;
    code_writes_[page] = 0;
    ++counts_.parked;
    cpu_.engine().park_page(ram_->host() + page * kPageBytes);
  }
  return ram_->fast_writable(page);
}

bool UserMode::serve_memory(UserSpace& space) {
  const u64 linear = space.process().address();
  const u64 page = linear & ~(kPageBytes - 1);
  if (page < UserProcess::kBegin || page >= UserProcess::kEnd) return false;
  const UserSpace::Entry entry = space.entry(linear);
  if (!entry.mapped()) {
    PageTranslation t;
    PageAccess access;
    access.user = true;
    if (walk_page(cpu_.core(), LinearAddr{linear}, access, t)) {
      missed_ = linear;
      return false;
    }
    return fill(space, linear);
  }
  const bool maybe_fetch = linear - space.process().rip() < kMostInstructionBytes;
  if (maybe_fetch && !entry.executable()) {
    if (entry.refused()) left_out_page_ = linear >> 12;
    return false;
  }
  if (entry.writable() || !allow_write(linear)) return false;
  return fill(space, linear) && space.entry(linear).writable();
}

void UserMode::revoke_write(const GuestRam& ram, u64 page) {
  if (&ram != ram_ || !maybe_writable_[page]) return;
  maybe_writable_[page] = false;
  for (const auto& space : spaces_) space->revoke(page);
}

u64 UserMode::process_ns() const {
  timespec t{};
  if (!spaces_.empty()) {
    // The kernel's encoding of "processor time of process N".
    ::clock_gettime((~spaces_.back()->process().pid() << 3) | 2, &t);
  }
  const u64 all = static_cast<u64>(t.tv_sec) * 1'000'000'000 + static_cast<u64>(t.tv_nsec);
  const u64 mapping = spaces_.empty() ? 0 : spaces_.back()->mapping_ns();
  return all > mapping ? all - mapping : 0;
}

u64 UserMode::now_ns() {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<u64>(t.tv_sec) * 1'000'000'000 + static_cast<u64>(t.tv_nsec);
}

std::string UserMode::counters() const {
  const auto& c = counts_;
  const UserSpace::Counts& n = space_counts_;
  std::string text = fmt::format(
      "native_entries {}\n  system_calls {}\n  memory {}\n  instructions {}\n  interrupts {}\n"
      "native_fills {}\nnative_pages {}\nnative_mappings {}\nnative_flushes {}\n"
      "native_page_flushes {}\nnative_scans {}\nnative_refused_pages {}\nnative_parked {}\n"
      "native_processes {}\nnative_mega_ticks {}\n",
      c.entries, c.system_calls, c.memory, c.instructions, c.interrupts, c.fills, n.pages, n.calls,
      n.flushes, n.page_flushes, n.scans, n.refusals, c.parked, c.processes, c.ticks / 1'000'000);
  if (failed_) text += fmt::format("native_unavailable ({})\n", why_);
  return text;
}

}  // namespace emu
