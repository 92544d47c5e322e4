// SPDX-License-Identifier: Apache-2.0
#include <asm/ldt.h>
#include <asm/prctl.h>
#include <elf.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstring>

#include "base/bits.h"
#include "base/unique_fd.h"
#include "cpu/xsave_layout.h"
#include "tcg/tcg_accelerator.h"
#include "tcg/user/user_process.h"

namespace emu {
namespace {

// The stub: `syscall; int3` at 0, and at 16 a loop over Changes [rbx, rbp) that ends in int3.
constexpr u8 kStubCode[] = {
    0x0f, 0x05, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc,  // syscall; int3
    0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc,  //
    0x48, 0x39, 0xeb,                                // 16: cmp rbx, rbp
    0x74, 0x21,                                      // je 54
    0x8b, 0x03,                                      // mov eax, [rbx]
    0x8b, 0x53, 0x04,                                // mov edx, [rbx + 4]
    0x48, 0x8b, 0x7b, 0x08,                          // mov rdi, [rbx + 8]
    0x48, 0x8b, 0x73, 0x10,                          // mov rsi, [rbx + 16]
    0x4c, 0x8b, 0x4b, 0x18,                          // mov r9, [rbx + 24]
    0x0f, 0x05,                                      // syscall
    0x48, 0x3d, 0x00, 0xf0, 0xff, 0xff,              // cmp rax, -4096
    0x77, 0x06,                                      // ja 54
    0x48, 0x83, 0xc3, 0x20,                          // add rbx, 32
    0xeb, 0xda,                                      // jmp 16
    0xcc,                                            // 54: int3
};
constexpr u64 kCallStub = 0, kListStub = 16;
static_assert(sizeof kStubCode == 55 && sizeof(UserProcess::Change) == 32);

constexpr u64 kVsyscallPage = 0xffff'ffff'ff60'0000;
constexpr u64 kUserFlags = kFlagsArithmetic | kFlagDf;
constexpr u64 kVisibleFlags = kUserFlags | kFlagTf | kFlagNt | kFlagAc | kFlagId;
constexpr std::size_t kMaxVectorBytes = 16384;

i64 trace(int request, pid_t pid, u64 address, u64 data) {
  return ::syscall(SYS_ptrace, request, pid, address, data);
}

u64 pointer(const void* p) {
  return reinterpret_cast<u64>(p);
}

Result<u64> random_place() {
  u64 value = 0;
  if (::getrandom(&value, sizeof value, 0) != static_cast<ssize_t>(sizeof value)) {
    return fail_errno(errno, "no random numbers");
  }
  constexpr u64 kFirst = u64{0x1000'0000'0000}, kRange = u64{0x4000'0000'0000};
  return (kFirst + value % kRange) & ~u64{0x1fffff};
}

constexpr u64 kNoBase = ~u64{0};

UserSegments segments_in(const user_regs_struct& r) {
  return {static_cast<u16>(r.cs),
          static_cast<u16>(r.ss),
          static_cast<u16>(r.ds),
          static_cast<u16>(r.es),
          static_cast<u16>(r.fs),
          static_cast<u16>(r.gs),
          r.fs_base,
          r.gs_base};
}

}  // namespace

UserProcess::Change UserProcess::map(u64 address, u64 length_bytes, u64 ram_offset, bool writable,
                                     bool executable) {
  // SAFETY: only numbers; the mapping is made in the other process, within [kBegin, kEnd).
  const int protection = PROT_READ | (writable ? PROT_WRITE : 0) | (executable ? PROT_EXEC : 0);
  return {SYS_mmap, static_cast<u32>(protection), address, length_bytes, ram_offset};
}

UserProcess::Change UserProcess::unmap(u64 address, u64 length_bytes) {
  return {SYS_munmap, 0, address, length_bytes, 0};
}

UserProcess::UserProcess(pid_t pid, u64 stub, Mapping list)
    : pid_(pid), stub_(stub), list_(std::move(list)), vectors_(kMaxVectorBytes) {
  std::fill(std::begin(tls_bases_), std::end(tls_bases_), kNoBase);
}

UserProcess::~UserProcess() {
  if (pid_ == kGone) return;
  ::kill(pid_, SIGKILL);
  int status = 0;
  while (::waitpid(pid_, &status, __WALL) == pid_ && !WIFEXITED(status) && !WIFSIGNALED(status)) {
  }
}

Result<std::unique_ptr<UserProcess>> UserProcess::create(int ram_fd) {
  const Result<u64> place = random_place();
  if (!place) return place.error();
  const u64 stub = *place;
  const UniqueFd file(::memfd_create("emu-user", MFD_CLOEXEC));
  constexpr u64 kBytes = kPageBytes + kListBytes;
  if (!file || ::ftruncate(file.get(), static_cast<off_t>(kBytes)) != 0) {
    return fail_errno(errno, "no memory for a stub");
  }
  // SAFETY: fresh mappings of a file of our own: ours to write, and at `stub`, only until the
  // process is made, what that will see of it, where nothing else is.
  void* own = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  if (own == MAP_FAILED) return fail_errno(errno, "cannot map a stub");
  Mapping list(own, kBytes);
  std::memcpy(own, kStubCode, sizeof kStubCode);
  // SAFETY: as above.
  void* code = ::mmap(reinterpret_cast<void*>(stub), kPageBytes, PROT_READ | PROT_EXEC,
                      MAP_SHARED | MAP_FIXED_NOREPLACE, file.get(), 0);
  if (code == MAP_FAILED) return fail_errno(errno, "cannot map a stub");
  const Mapping shown_code(code, kPageBytes);
  // SAFETY: as above.
  void* changes = ::mmap(reinterpret_cast<void*>(stub + kPageBytes), kListBytes, PROT_READ,
                         MAP_SHARED | MAP_FIXED_NOREPLACE, file.get(), kPageBytes);
  if (changes == MAP_FAILED) return fail_errno(errno, "cannot map a stub");
  const Mapping shown_list(changes, kListBytes);
  // Not fork(): other threads may hold the C library's locks. No signal when it dies.
  const auto pid = static_cast<pid_t>(::syscall(SYS_clone, 0, nullptr, nullptr, nullptr, nullptr));
  if (pid < 0) return fail_errno(errno, "cannot make a process");
  if (pid == 0) {
    const i64 traced = trace(PTRACE_TRACEME, 0, 0, 0);
    if (traced == 0) ::syscall(SYS_kill, ::syscall(SYS_getpid), SIGSTOP);
    for (;;) ::syscall(SYS_exit_group, 1);
  }
  std::unique_ptr<UserProcess> process(new UserProcess(pid, stub, std::move(list)));
  if (Result<void> done = process->set_up(ram_fd); !done) return done.error();
  return process;
}

std::string native_user_missing() {
  const UniqueFd page(::memfd_create("emu-probe", MFD_CLOEXEC));
  if (!page || ::ftruncate(page.get(), kPageBytes) != 0) return "no memory";
  const auto process = UserProcess::create(page.get());
  return process ? std::string() : process.error().message;
}

bool UserProcess::wait(int& status) {
  pid_t got = 0;
  do {
    got = static_cast<pid_t>(::syscall(SYS_wait4, pid_, &status, __WALL, nullptr));
  } while (got < 0 && errno == EINTR);
  if (got == pid_ && WIFSTOPPED(status)) return true;
  pid_ = kGone;  // the number may soon be another's
  return false;
}

bool UserProcess::get_registers() {
  registers_known_ = trace(PTRACE_GETREGS, pid_, 0, pointer(&registers_)) == 0;
  return registers_known_;
}

bool UserProcess::set_registers() {
  registers_.orig_rax = ~u64{0};  // no system call to restart
  return trace(PTRACE_SETREGS, pid_, 0, pointer(&registers_)) == 0;
}

bool UserProcess::run_stub(user_regs_struct& registers, u64 offset) {
  registers_known_ = false;
  registers.cs = kUserCode64;
  registers.ss = kUserData;
  registers.rip = stub_ + offset;
  registers.orig_rax = ~u64{0};
  registers.eflags = kFlagFixed1 | kFlagIf;
  follow_processor();
  if (trace(PTRACE_SETREGS, pid_, 0, pointer(&registers)) != 0) return false;
  for (;;) {
    int status = 0;
    if (trace(PTRACE_CONT, pid_, 0, 0) != 0 || !wait(status)) return false;
    if (WSTOPSIG(status) == SIGTRAP) break;
    if (WSTOPSIG(status) == SIGSEGV || WSTOPSIG(status) == SIGSYS) return false;
  }
  return trace(PTRACE_GETREGS, pid_, 0, pointer(&registers)) == 0;
}

i64 UserProcess::call(u64 number, u64 a, u64 b, u64 c, u64 d) {
  user_regs_struct r = registers_;
  r.rax = number;
  r.rdi = a;
  r.rsi = b;
  r.rdx = c;
  r.r10 = d;
  r.r8 = r.r9 = 0;
  if (!run_stub(r, kCallStub)) return -ESRCH;
  return static_cast<i64>(r.rax);
}

// From a copy of this process to an empty one.
Result<void> UserProcess::set_up(int ram_fd) {
  int status = 0;
  if (!wait(status)) return fail("this host does not let a process be traced");
  const u64 options = PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD;
  const u64 no_signals = 0;
  if (trace(PTRACE_SETOPTIONS, pid_, 0, options) != 0 ||
      trace(PTRACE_SETSIGMASK, pid_, sizeof no_signals, pointer(&no_signals)) != 0 ||
      !get_registers()) {
    return fail_errno(errno, "ptrace has not all that is needed");
  }
  const rlimit no_core{0, 0};
  if (::prlimit(pid_, RLIMIT_CORE, &no_core, nullptr) != 0) return fail_errno(errno, "prlimit");
  if (__rseq_size != 0) {
    const u64 area = pointer(__builtin_thread_pointer()) + static_cast<u64>(__rseq_offset);
    // Longer areas were registered with their full length.
    i64 done = call(SYS_rseq, area, 32, RSEQ_FLAG_UNREGISTER, RSEQ_SIG);
    if (done != 0) done = call(SYS_rseq, area, __rseq_size, RSEQ_FLAG_UNREGISTER, RSEQ_SIG);
    if (done != 0) return fail_errno(static_cast<int>(-done), "rseq");
  }
  if (call(SYS_dup2, static_cast<u64>(ram_fd), 0) != 0 || call(SYS_close_range, 1, ~0u, 0) != 0) {
    return fail("close_range");
  }
  if (!clear()) return fail("cannot empty the address space of a process");
  registers_ = {};
  registers_.cs = kUserCode64;
  registers_.ss = kUserData;
  iovec all{vectors_.data(), vectors_.size()};
  if (trace(PTRACE_GETREGSET, pid_, NT_X86_XSTATE, pointer(&all)) != 0) {
    return fail_errno(errno, "ptrace has no vector state");
  }
  vector_bytes_ = all.iov_len;
  vectors_.assign(vector_bytes_, 0);
  if (vector_bytes_ < kXsaveLegacyAndHeaderBytes) return fail("ptrace has no vector state");
  return confine();
}

// Takes away what is left: the time, CPUID, and system calls.
Result<void> UserProcess::confine() {
  if (const i64 done = call(SYS_prctl, PR_SET_TSC, PR_TSC_SIGSEGV); done != 0) {
    return fail_errno(static_cast<int>(-done), "PR_SET_TSC");
  }
  if (const i64 done = call(SYS_arch_prctl, ARCH_SET_CPUID, 0); done != 0) {
    return fail_errno(static_cast<int>(-done), "the processor or kernel has no CPUID faulting");
  }
  struct Program {
    sock_fprog header;
    sock_filter code[7];
  } p{};
  const sock_filter code[7] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_munmap, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  std::copy(std::begin(code), std::end(code), p.code);
  const u64 shown = stub_ + kPageBytes;
  p.header.len = 7;
  p.header.filter = reinterpret_cast<sock_filter*>(shown + offsetof(Program, code));
  std::memcpy(list_.data() + kPageBytes, &p, sizeof p);
  if (call(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1) != 0 ||
      call(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, shown) != 0) {
    return fail("seccomp filters are not allowed");
  }
  return {};
}

bool UserProcess::clear() {
  const u64 after = stub_ + kPageBytes + kListBytes;
  const Change all[] = {unmap(0, stub_), unmap(after, kEnd - after)};
  return apply(all);
}

bool UserProcess::apply(std::span<const Change> changes) {
  const std::size_t most = kListBytes / sizeof(Change);
  while (!changes.empty()) {
    const std::size_t count = std::min(changes.size(), most);
    std::memcpy(list_.data() + kPageBytes, changes.data(), count * sizeof(Change));
    changes = changes.subspan(count);
    user_regs_struct r = registers_;
    r.rbx = stub_ + kPageBytes;
    r.rbp = r.rbx + count * sizeof(Change);
    r.r10 = MAP_SHARED | MAP_FIXED | MAP_POPULATE;
    r.r8 = 0;  // the descriptor of guest RAM
    if (!run_stub(r, kListStub) || r.rbx != r.rbp) return false;
  }
  return true;
}

// A process that stops and one that waits for that cost a tenth on one processor of what they cost
// on two.
void UserProcess::follow_processor() {
  const int now = ::sched_getcpu();
  if (now == processor_ || now < 0) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(now), &set);
  if (::sched_setaffinity(pid_, sizeof set, &set) == 0) processor_ = now;
}

// A descriptor for thread-local storage: a data segment of all 4 GiB from `base` on.
bool UserProcess::set_tls(u16 selector, u64 base) {
  const auto* at = std::find(std::begin(kUserTls), std::end(kUserTls), selector);
  if (at == std::end(kUserTls)) return true;
  u64& known = tls_bases_[at - kUserTls];
  if (known == base) return true;
  if (base > 0xffff'ffff) return false;
  user_desc d{};
  d.entry_number = selector >> 3;
  d.base_addr = static_cast<u32>(base);
  d.limit = 0xfffff;
  d.seg_32bit = 1;
  d.limit_in_pages = 1;
  d.useable = 1;
  if (trace(PTRACE_SET_THREAD_AREA, pid_, d.entry_number, pointer(&d)) != 0) return false;
  known = base;
  return true;
}

bool UserProcess::load(const CpuState& s, const UserSegments& segments, u64 components) {
  user_regs_struct& r = registers_;
  const u64* g = s.gpr;
  r.rax = g[kRax], r.rcx = g[kRcx], r.rdx = g[kRdx], r.rbx = g[kRbx];
  r.rsp = g[kRsp], r.rbp = g[kRbp], r.rsi = g[kRsi], r.rdi = g[kRdi];
  r.r8 = g[kR8], r.r9 = g[kR9], r.r10 = g[kR10], r.r11 = g[kR11];
  r.r12 = g[kR12], r.r13 = g[kR13], r.r14 = g[kR14], r.r15 = g[kR15];
  r.rip = s.rip;
  r.eflags = (s.rflags & kUserFlags) | kFlagFixed1 | kFlagIf;
  segments_ = segments;
  kernel32_ = !s.long_mode();
  r.cs = segments.cs, r.ss = segments.ss, r.ds = segments.ds, r.es = segments.es;
  r.fs = segments.fs, r.gs = segments.gs;
  r.fs_base = segments.fs_base, r.gs_base = segments.gs_base;
  if (!set_tls(segments.fs, segments.fs_base) || !set_tls(segments.gs, segments.gs_base)) {
    return false;
  }

  const std::size_t bytes = std::min<std::size_t>(vector_bytes_, kXsaveBytes);
  std::memcpy(vectors_.data(), s.xsave, bytes);
  normalize_vectors(components);
  if (loaded_vectors_ != vectors_) {
    iovec all{vectors_.data(), vector_bytes_};
    if (trace(PTRACE_SETREGSET, pid_, NT_X86_XSTATE, pointer(&all)) != 0) return false;
  }
  registers_known_ = false;
  return true;
}

// One form for one content. Components in their initial state need not be written by XSAVEOPT, and
// the kernel does not take MXCSR from an area that has neither x87 nor SSE state.
void UserProcess::normalize_vectors(u64 components) {
  u8* v = vectors_.data();
  u64 in_use = load_le<u64>(v + kXstateBv) & components;
  if ((in_use & kXcr0X87) == 0) {
    std::memset(v, 0, kFxMxcsr);
    std::memset(v + kFxSt0, 0, kFxXmm0 - kFxSt0);
    store_le(v, kFcwReset);
  }
  constexpr std::size_t kXmmEnd = kFxXmm0 + 256;
  if ((in_use & kXcr0Sse) == 0) std::memset(v + kFxXmm0, 0, kXmmEnd - kFxXmm0);
  in_use |= kXcr0X87 | kXcr0Sse;
  store_le(v + kFxMxcsrMask, u32{0});
  std::memset(v + kXmmEnd, 0, kXsaveLegacyAndHeaderBytes - kXmmEnd);
  store_le(v + kXstateBv, in_use);
}

UserProcess::Stop UserProcess::run() {
  follow_processor();
  if (!registers_known_ && !set_registers()) return Stop::kDied;
  int status = 0;
  if (trace(PTRACE_SYSEMU, pid_, 0, 0) != 0 || !wait(status) || !get_registers()) {
    return Stop::kDied;
  }
  const Stop stop = classify(WSTOPSIG(status));
  const bool gone = kernel32_ && registers_.cs != kUserCode32 && stop != Stop::kDied;
  return gone ? Stop::kStrayed : stop;
}

// Whether it was INTO that stopped 32-bit code: a trap, unlike all the others.
bool UserProcess::overflowed() {
  constexpr u8 kInto = 0xce;
  const user_regs_struct& r = registers_;
  if (r.cs != kUserCode32 || (r.eflags & kFlagOf) == 0) return false;
  u64 bytes = 0;
  return trace(PTRACE_PEEKTEXT, pid_, r.rip - 1, pointer(&bytes)) == 0 && (bytes & 0xff) == kInto;
}

UserProcess::Stop UserProcess::classify(int signal) {
  user_regs_struct& r = registers_;
  if (signal == (SIGTRAP | 0x80)) {
    // SYSCALL or INT 80h, both two bytes long. (SYSENTER leaves an address of the host's behind
    // where the guest has nothing: its program gets a page fault.)
    r.rip -= 2;
    r.rax = r.orig_rax;
    registers_known_ = false;
    return Stop::kSystemCall;
  }
  // SAFETY: a plain buffer for ptrace to fill.
  siginfo_t info{};
  if (trace(PTRACE_GETSIGINFO, pid_, 0, pointer(&info)) != 0) return Stop::kDied;
  switch (signal) {
    case SIGSEGV:
      if (info.si_code != SEGV_MAPERR && info.si_code != SEGV_ACCERR) {
        if (overflowed()) {
          r.rip -= 1;
          registers_known_ = false;
        }
        return Stop::kInstruction;
      }
      address_ = pointer(info.si_addr);
      return Stop::kMemory;
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
      return info.si_code > 0 ? Stop::kInstruction : Stop::kInterrupted;
    case SIGTRAP:
      if (info.si_code == TRAP_TRACE) return Stop::kSingleStep;
      r.rip -= 1;  // INT3, INT1
      registers_known_ = false;
      return Stop::kInstruction;
    case SIGSYS: {
      // The host's kernel began to carry out a call of the vsyscall page: back to the call.
      const u64 entry = info.si_syscall == SYS_gettimeofday ? 0
                        : info.si_syscall == SYS_time       ? 0x400
                                                            : 0x800;
      r.rsp -= 8;
      r.rip = kVsyscallPage + entry;
      registers_known_ = false;
      return Stop::kInstruction;
    }
    default:
      return Stop::kInterrupted;
  }
}

bool UserProcess::store(CpuState& s, u64 components) {
  const user_regs_struct& r = registers_;
  u64* g = s.gpr;
  g[kRax] = r.rax, g[kRcx] = r.rcx, g[kRdx] = r.rdx, g[kRbx] = r.rbx;
  g[kRsp] = r.rsp, g[kRbp] = r.rbp, g[kRsi] = r.rsi, g[kRdi] = r.rdi;
  g[kR8] = r.r8, g[kR9] = r.r9, g[kR10] = r.r10, g[kR11] = r.r11;
  g[kR12] = r.r12, g[kR13] = r.r13, g[kR14] = r.r14, g[kR15] = r.r15;
  s.rip = r.rip;
  s.rflags = (s.rflags & ~kVisibleFlags) | (r.eflags & kVisibleFlags);
  take_user_segments(s, segments_, segments_in(r));
  iovec all{vectors_.data(), vector_bytes_};
  if (trace(PTRACE_GETREGSET, pid_, NT_X86_XSTATE, pointer(&all)) != 0) return false;
  normalize_vectors(components);
  loaded_vectors_ = vectors_;
  std::memcpy(s.xsave, vectors_.data(), std::min<std::size_t>(vector_bytes_, kXsaveBytes));
  return true;
}

}  // namespace emu
