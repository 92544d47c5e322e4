// SPDX-License-Identifier: Apache-2.0
// An empty host process that runs ring-3 guest code on the host's processor, held by ptrace.
//
// What that code can reach: the guest RAM pages that apply() mapped, a few pages of a stub at a
// random address (read-only), and nothing else. None of its system calls is executed (they stop
// it: PTRACE_SYSEMU), a seccomp filter would refuse all but mmap and munmap, its only descriptor is
// guest RAM. CPUID and RDTSC stop it too. It dies with the thread that made it.
// Source: ptrace(2), seccomp(2), prctl(2) PR_SET_TSC, arch_prctl(2) ARCH_SET_CPUID, rseq(2).
// Threads: everything belongs to the thread that called create().
#pragma once

#include <sys/types.h>
#include <sys/user.h>

#include <iterator>
#include <memory>
#include <span>
#include <vector>

#include "base/mapping.h"
#include "base/result.h"
#include "cpu/cpu_state.h"
#include "tcg/user/user_segments.h"

namespace emu {

class UserProcess {
 public:
  // Why guest code stopped. The state is that before the instruction, which is then to be carried
  // out by the translator; after kSingleStep a #DB is due first.
  enum class Stop : u8 {
    kSystemCall,
    kMemory,       // an access to `address` that its mappings do not allow
    kInstruction,  // any other exception
    kSingleStep,
    kStrayed,      // a 32-bit kernel's code went to a code segment of the host's
    kInterrupted,  // interrupt_user_process() was called, or nothing in particular happened
    kDied,
  };
  // One system call: pages of guest RAM to appear at, or to go from, guest addresses.
  struct Change {
    u32 call = 0;
    u32 protection = 0;
    u64 address = 0;
    u64 length_bytes = 0;
    u64 ram_offset = 0;
  };
  [[nodiscard]] static Change map(u64 address, u64 length_bytes, u64 ram_offset, bool writable,
                                  bool executable);
  [[nodiscard]] static Change unmap(u64 address, u64 length_bytes);

  // Addresses below kEnd can be mapped, but for the stub's and those below the host's
  // vm.mmap_min_addr.
  static constexpr u64 kBegin = 0x10000;
  static constexpr u64 kEnd = 0x7fff'ffff'f000;

  // A process without any guest memory. Errors: what this host does not have or does not allow.
  [[nodiscard]] static Result<std::unique_ptr<UserProcess>> create(int ram_fd);
  ~UserProcess();
  UserProcess(const UserProcess&) = delete;
  UserProcess& operator=(const UserProcess&) = delete;

  // Makes changes in order; false if the host refused one (then some may be made) or it died.
  [[nodiscard]] bool apply(std::span<const Change> changes);
  // Unmaps everything.
  [[nodiscard]] bool clear();

  // Takes over registers, flags, segments and the `components` of the vector state. False: this
  // host does not have such segments, or the process died.
  [[nodiscard]] bool load(const CpuState& state, const UserSegments& segments, u64 components);
  // Runs guest code until something stops it.
  [[nodiscard]] Stop run();
  // Of the last kMemory.
  [[nodiscard]] u64 address() const { return address_; }
  [[nodiscard]] u64 rip() const { return registers_.rip; }
  // Gives back what load() took.
  [[nodiscard]] bool store(CpuState& state, u64 components);

  // interrupt_user_process() with it makes run() return soon, or the next one at once.
  [[nodiscard]] pid_t pid() const { return pid_; }

  // The 2 MiB region that guest page tables must leave free.
  [[nodiscard]] u64 stub_region() const { return stub_ & ~u64{0x1fffff}; }

 private:
  static constexpr u64 kListBytes = 64 * kKiB;
  UserProcess(pid_t pid, u64 stub, Mapping list);
  [[nodiscard]] Result<void> set_up(int ram_fd);
  [[nodiscard]] Result<void> confine();
  // Runs the stub from `offset` on; false if the process died.
  [[nodiscard]] bool run_stub(user_regs_struct& registers, u64 offset);
  [[nodiscard]] i64 call(u64 number, u64 a = 0, u64 b = 0, u64 c = 0, u64 d = 0);
  [[nodiscard]] bool wait(int& status);
  [[nodiscard]] bool get_registers();
  [[nodiscard]] bool set_registers();
  [[nodiscard]] Stop classify(int signal);
  void normalize_vectors(u64 components);
  [[nodiscard]] bool set_tls(u16 selector, u64 base);
  [[nodiscard]] bool overflowed();
  void follow_processor();

  static constexpr pid_t kGone = -1;
  pid_t pid_ = kGone;
  u64 stub_ = 0;
  Mapping list_;
  UserSegments segments_;  // as load() set them
  bool kernel32_ = false;  // the guest's kernel has no 64-bit code
  u64 tls_bases_[std::size(kUserTls)];
  user_regs_struct registers_{};
  bool registers_known_ = false;  // registers_ holds what the process has
  u64 address_ = 0;
  int processor_ = -1;  // the process may only run there
  std::vector<u8> vectors_, loaded_vectors_;
  std::size_t vector_bytes_ = 0;
};

}  // namespace emu
