// SPDX-License-Identifier: Apache-2.0
// The kernel's KVM interface: every ioctl of the project on /dev/kvm is made here.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <ctime>

#include "kvm/kvm_host.h"

namespace emu {
namespace {

class KernelKvm final : public KvmHost {
 public:
  explicit KernelKvm(std::string device) : device_(std::move(device)) {}

  int open_device() override {
    const int fd = ::open(device_.c_str(), O_RDWR | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
  }

  long call(int fd, unsigned long request, u64 argument) override {
    // SAFETY: callers pass the structure that api.rst names for `request`; the kernel writes only
    // inside it, and reaches guest memory only through slots that GuestRam backs while they exist.
    const long result = ::ioctl(fd, request, argument);
    return result < 0 ? -errno : result;
  }

  Result<Mapping> map(int fd, u64 size_bytes) override {
    // SAFETY: a new shared mapping of the processor's descriptor; Mapping unmaps it.
    void* const p = ::mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) return fail_errno(errno, "cannot map a processor's shared memory");
    return Mapping(p, size_bytes);
  }

 private:
  const std::string device_;
};

int kick_signal() {
  return SIGRTMIN + 1;
}

void do_nothing(int) {}

}  // namespace

std::shared_ptr<KvmHost> make_kvm_host(std::string device) {
  return std::make_shared<KernelKvm>(std::move(device));
}

void prepare_kick_signal() {
  struct sigaction action {};
  action.sa_handler = do_nothing;
  action.sa_flags = SA_RESTART;
  // SAFETY: the handler does nothing, in any thread; the number is nobody else's here.
  (void)::sigaction(kick_signal(), &action, nullptr);
}

void send_kick_signal(int thread_id) {
  (void)::syscall(SYS_tgkill, ::getpid(), thread_id, kick_signal());
}

int this_thread_id() {
  return static_cast<int>(::syscall(SYS_gettid));
}

RepeatedKick::RepeatedKick() {
  sigevent event{};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = kick_signal();
  event._sigev_un._tid = this_thread_id();
  armed_ = ::timer_create(CLOCK_MONOTONIC, &event, &timer_) == 0;
  if (!armed_) return;
  constexpr long kPeriodNs = 1'000'000;
  const itimerspec period{{0, kPeriodNs}, {0, kPeriodNs}};
  (void)::timer_settime(timer_, 0, &period, nullptr);
}

RepeatedKick::~RepeatedKick() {
  if (armed_) (void)::timer_delete(timer_);
}

}  // namespace emu
