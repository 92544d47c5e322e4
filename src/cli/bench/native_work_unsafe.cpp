// SPDX-License-Identifier: Apache-2.0
// The benchmark guest's image, and its ring-3 half in this process: natively, and step by step to
// count instructions. The host's kernel stands in for the guest's.
// Source: Intel SDM vol. 3, 18.3.1.4 (single steps by RFLAGS.TF); madvise(2) MADV_DONTNEED;
// pipe(7).
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <thread>

#include "base/bits.h"
#include "base/mapping.h"
#include "cli/bench/child.h"
#include "cli/bench/guest_run.h"

// SAFETY: EMU_BENCH_GUEST names the image that the build makes; the bytes are constants.
asm(".section .rodata\n"
    ".balign 16\n"
    "emu_bench_guest_begin: .incbin \"" EMU_BENCH_GUEST
    "\"\n"
    "emu_bench_guest_end: .byte 0\n"
    ".previous\n");
extern "C" const emu::u8 emu_bench_guest_begin[], emu_bench_guest_end[];

namespace emu::cli::bench {
namespace {

constexpr u64 kPage = 4096, kTrapFlag = 0x100;
constexpr std::chrono::seconds kCountingLimit{10};

// Two threads on one processor that wake each other through pipes.
class PingPong {
 public:
  PingPong() {
    if (::pipe2(to_other_, O_CLOEXEC) != 0 || ::pipe2(to_us_, O_CLOEXEC) != 0) std::_Exit(1);
    stay_here();
    other_ = std::thread([this] {
      stay_here();
      char c = 0;
      while (::read(to_other_[0], &c, 1) == 1 && c != 0 && ::write(to_us_[1], &c, 1) == 1) {
      }
    });
  }
  ~PingPong() {
    send(0);
    other_.join();
    for (const int fd : {to_other_[0], to_other_[1], to_us_[0], to_us_[1]}) ::close(fd);
  }
  PingPong(const PingPong&) = delete;
  PingPong& operator=(const PingPong&) = delete;
  void there_and_back() {
    char c = 1;
    send(c);
    while (::read(to_us_[0], &c, 1) < 0 && errno == EINTR) {
    }
  }

 private:
  void stay_here() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (cpu_ < 0) cpu_ = ::sched_getcpu();
    CPU_SET(static_cast<unsigned>(std::max(cpu_, 0)), &set);
    (void)::sched_setaffinity(0, sizeof set, &set);
  }
  void send(char c) {
    while (::write(to_other_[1], &c, 1) < 0 && errno == EINTR) {
    }
  }

  int to_other_[2] = {-1, -1}, to_us_[2] = {-1, -1};
  int cpu_ = -1;
  std::thread other_;
};

// The work's code, and what it asks for, in this process.
class NativeWork : private Environment {
 public:
  NativeWork(std::span<const u8> image, const GuestJob& job, GuestReport* report)
      : Environment{},
        report_(report),
        memory_(take(kMemoryBytes)),
        faults_(take(kFaultPages * kPage)) {
    const u64 bytes = align_up(image.size(), kPage);
    // SAFETY: fresh memory, filled before it becomes executable and never written again. The code
    // in it is our own, uses no address of its own and only what Environment hands it.
    void* const code =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (code == MAP_FAILED) std::_Exit(1);
    code_ = Mapping(code, bytes);
    std::memcpy(code_.data(), image.data(), image.size());
    if (::mprotect(code, bytes, PROT_READ | PROT_EXEC) != 0) std::_Exit(1);
    Environment::put = [](const Environment* e, const char* text, U64 length) {
      const auto* const w = static_cast<const NativeWork*>(e);
      w->report_->feed({reinterpret_cast<const u8*>(text), length}, now_ns());
    };
    Environment::call = [](const Environment*) { (void)::syscall(SYS_getppid); };
    Environment::forget = [](const Environment* e) {
      // SAFETY: private anonymous memory of this object; zeros come back.
      (void)::madvise(e->fault_area, kFaultPages * kPage, MADV_DONTNEED);
    };
    Environment::yield = [](const Environment* e) {
      auto* const w = const_cast<NativeWork*>(static_cast<const NativeWork*>(e));
      if (!w->ping_pong_) w->ping_pong_ = std::make_unique<PingPong>();
      w->ping_pong_->there_and_back();
    };
    Environment::end = [](const Environment*) {};
    Environment::memory = memory_.data();
    Environment::fault_area = faults_.data();
    Environment::target_ticks = job.target_ticks;
    Environment::only = (1u << kWorkCount) - 1;
  }

  void run_all() { entry<void (*)(const Environment*)>(kMainEntry)(this); }
  void run(unsigned work, u64 runs) {
    (void)entry<U64 (*)(const Environment*, U64, U64)>(kRunEntry)(this, work, runs);
  }
  [[nodiscard]] bool contains(u64 address) const {
    return address - reinterpret_cast<u64>(code_.data()) < code_.size_bytes();
  }

 private:
  static Mapping take(u64 bytes) {
    auto mapping = Mapping::anonymous(bytes);
    if (!mapping) std::_Exit(1);
    return std::move(*mapping);
  }
  template <class F>
  [[nodiscard]] F entry(u64 offset) const {
    // SAFETY: the image has a jump to a function of this type there (firmware/bench/kernel.S).
    return reinterpret_cast<F>(code_.data() + kUserOffset + offset);
  }

  GuestReport* report_;
  Mapping memory_, faults_, code_;
  std::unique_ptr<PingPong> ping_pong_;
};

std::span<const u8> plain_image() {
  return {emu_bench_guest_begin,
          static_cast<std::size_t>(emu_bench_guest_end - emu_bench_guest_begin)};
}

// Instructions of the work that this thread has executed, while it counts.
struct Steps {
  const NativeWork* work = nullptr;
  u64 count = 0;
};
thread_local Steps* counting = nullptr;

void count_step(int, siginfo_t*, void* context) {
  const auto& registers = static_cast<const ucontext_t*>(context)->uc_mcontext.gregs;
  if (counting->work->contains(static_cast<u64>(registers[REG_RIP]))) ++counting->count;
}

// Runs `work` with a trap after each instruction; in a process of its own.
u64 count_steps(NativeWork& native, unsigned work, u64 runs) {
  Steps steps{&native, 0};
  counting = &steps;
  struct sigaction action {};
  action.sa_sigaction = count_step;
  action.sa_flags = SA_SIGINFO;
  // SAFETY: the handler touches nothing but this thread's counter, which outlives the trap flag.
  if (::sigaction(SIGTRAP, &action, nullptr) != 0) return 0;
  const u64 flags = __builtin_ia32_readeflags_u64();
  __builtin_ia32_writeeflags_u64(flags | kTrapFlag);
  native.run(work, runs);
  __builtin_ia32_writeeflags_u64(flags);
  return steps.count;
}

}  // namespace

std::vector<u8> guest_image(const GuestJob& job) {
  std::vector<u8> image(plain_image().begin(), plain_image().end());
  store_le<u64>(image.data() + kParametersOffset, job.target_ticks);
  store_le<u64>(image.data() + kParametersOffset + 8, (1u << kWorkCount) - 1);
  return image;
}

void do_native_work(std::span<const u8> image, const GuestJob& job, GuestReport& report) {
  NativeWork(image, job, &report).run_all();
}

std::array<u64, kWorkCount> count_instructions() {
  std::array<u64, kWorkCount> counts{};
  const auto end = run_in_child(
      [] {
        NativeWork native(plain_image(), {}, nullptr);
        std::string text;
        for (const unsigned work : {kInteger, kCalls, kFloatingPoint, kSimd}) {
          const u64 around = count_steps(native, work, 0);
          text += fmt::format("{} ", count_steps(native, work, 1) - around);
        }
        return text;
      },
      kCountingLimit);
  if (!end) return counts;
  std::istringstream words(end->output);
  for (const unsigned work : {kInteger, kCalls, kFloatingPoint, kSimd}) words >> counts[work];
  return counts;
}

}  // namespace emu::cli::bench
