// SPDX-License-Identifier: Apache-2.0
// The benchmark guest in a machine of ours, and in QEMU's.
// Source: qemu(1): -debugcon, -device isa-debug-exit, -kernel with a Multiboot image.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <sstream>

#include "base/unique_fd.h"
#include "cli/bench/guest_run.h"
#include "machine/machine.h"

namespace emu::cli::bench {
namespace {

constexpr u64 kGuestMemory = 128 * kMiB;
constexpr u16 kExitPort = 0xf4;

// The debug port's other end.
class ReportStream final : public CharBackend {
 public:
  void send(std::span<const u8> bytes) override { report.feed(bytes, now_ns()); }
  void set_receiver(CharReceiver*) override {}
  GuestReport report;
};

// The image as a file without a name; its path is `/proc/self/fd/N`.
Result<UniqueFd> image_file(const GuestJob& job) {
  UniqueFd fd(::memfd_create("emu-bench-guest", 0));
  if (!fd) return fail_errno(errno, "cannot make a file in memory");
  const std::vector<u8> image = guest_image(job);
  if (::write(fd.get(), image.data(), image.size()) != static_cast<ssize_t>(image.size())) {
    return fail_errno(errno, "cannot write a file in memory");
  }
  return fd;
}

std::string path_of(const UniqueFd& fd) {
  return fmt::format("/proc/self/fd/{}", fd.get());
}

GuestRun failed(const std::string& why) {
  GuestRun run;
  run.error = why;
  return run;
}

GuestRun run_machine(EngineChoice engine, const GuestJob& job) {
  const i64 start = now_ns();
  const auto file = image_file(job);
  if (!file) return failed(file.error().message);
  MachineConfig config;
  config.engine = engine;
  config.memory_bytes = kGuestMemory;
  config.linux_boot.kernel = path_of(*file);
  config.display = DisplayKind::kNone;
  config.debug_exit_port = kExitPort;
  NullChar serial;
  ReportStream stream;
  auto machine = Machine::create(config, {serial, &stream});
  if (!machine) return failed(machine.error().message);
  const i64 began = now_ns();
  (*machine)->start();
  while (!(*machine)->wait_finished(std::chrono::seconds(1))) {
  }
  const double seconds = static_cast<double>(now_ns() - began) / 1e9;
  GuestRun run = read_report(stream.report, start);
  const MachineEnd end = (*machine)->end();
  if (!run.error.empty() && !end.message.empty()) run.error = end.message;
  add_counters((*machine)->engine_counters(), seconds, run.values);
  return run;
}

// Starts QEMU with its debug port on a pipe. Returns the pipe's other end.
Result<UniqueFd> start_qemu(const std::string& program, const UniqueFd& image) {
  int ends[2];
  if (::pipe(ends) != 0) return fail_errno(errno, "cannot make a pipe");
  UniqueFd from(ends[0]), to(ends[1]);
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno(errno, "cannot start {}", program);
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const UniqueFd null(::open("/dev/null", O_RDWR));
    ::dup2(null.get(), STDIN_FILENO);
    ::dup2(to.get(), STDOUT_FILENO);
    ::dup2(null.get(), STDERR_FILENO);
    const std::string kernel = path_of(image);
    const char* const arguments[] = {program.c_str(), "-accel",       "tcg",
                                     "-cpu",          "max",          "-m",
                                     "128",           "-nodefaults",  "-no-user-config",
                                     "-display",      "none",         "-debugcon",
                                     "stdio",         "-device",      "isa-debug-exit,iobase=0xf4",
                                     "-kernel",       kernel.c_str(), nullptr};
    ::execv(program.c_str(), const_cast<char* const*>(arguments));
    std::_Exit(127);
  }
  return from;
}

GuestRun run_qemu(const std::string& program, const GuestJob& job) {
  const i64 start = now_ns();
  const auto file = image_file(job);
  if (!file) return failed(file.error().message);
  const auto from = start_qemu(program, *file);
  if (!from) return failed(from.error().message);
  GuestReport report;
  u8 buffer[4096];
  for (;;) {
    const ssize_t n = ::read(from->get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    report.feed({buffer, static_cast<std::size_t>(n)}, now_ns());
  }
  while (::wait(nullptr) < 0 && errno == EINTR) {
  }
  GuestRun run = read_report(report, start);
  rusage usage{};
  ::getrusage(RUSAGE_CHILDREN, &usage);
  run.values["memory"] = static_cast<double>(usage.ru_maxrss) / 1024;
  return run;
}

}  // namespace

GuestRun run_under_engine(EngineChoice engine, const GuestJob& job) {
  return run_job([&] { return run_machine(engine, job); }, job.limit);
}

GuestRun run_natively(const GuestJob& job) {
  return run_job(
      [&] {
        const i64 start = now_ns();
        GuestReport report;
        do_native_work(guest_image(job), job, report);
        GuestRun run = read_report(report, start);
        run.values.erase("first-output");  // nothing started
        return run;
      },
      job.limit);
}

GuestRun run_under_qemu(const GuestJob& job) {
  const std::string program = find_program("qemu-system-x86_64");
  if (program.empty()) return failed("no qemu-system-x86_64 here: apt-get install qemu-system-x86");
  return run_job([&] { return run_qemu(program, job); }, job.limit);
}

std::string find_program(const std::string& program) {
  const char* const path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "/usr/bin" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::string file = folder + "/" + program;
    if (::access(file.c_str(), X_OK) == 0) return file;
  }
  return {};
}

}  // namespace emu::cli::bench
