// SPDX-License-Identifier: Apache-2.0
// Source: fork(2), wait4(2), prctl(2) PR_SET_PDEATHSIG.
#include "cli/bench/child.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/unique_fd.h"

namespace emu::cli::bench {
namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void be_child(const std::function<std::string()>& body, int out) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const std::string text = body();
  std::size_t sent = 0;
  while (sent < text.size()) {
    const ssize_t n = ::write(out, text.data() + sent, text.size() - sent);
    if (n < 0 && errno != EINTR) break;
    if (n > 0) sent += static_cast<std::size_t>(n);
  }
  std::fflush(nullptr);
  std::_Exit(0);
}

// Reads until the other end closes; false if `until` passed first.
bool read_all(int fd, Clock::time_point until, std::string& out) {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
    if (left <= 0) return false;
    pollfd wait{fd, POLLIN, 0};
    const int ready = ::poll(&wait, 1, static_cast<int>(left));
    if (ready < 0 && errno != EINTR) return true;
    if (ready <= 0) continue;
    char buffer[4096];
    const ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n == 0 || (n < 0 && errno != EINTR)) return true;
    if (n > 0) out.append(buffer, static_cast<std::size_t>(n));
  }
}

}  // namespace

Result<ChildEnd> run_in_child(const std::function<std::string()>& body,
                              std::chrono::seconds limit) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno(errno, "cannot make a pipe");
  UniqueFd from(ends[0]), to(ends[1]);
  std::fflush(nullptr);  // or the child would print it again
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno(errno, "cannot start a process");
  if (pid == 0) be_child(body, to.get());
  to.reset();
  ChildEnd end;
  const bool in_time = read_all(from.get(), Clock::now() + limit, end.output);
  if (!in_time) ::kill(pid, SIGKILL);
  int status = 0;
  rusage usage{};
  while (::wait4(pid, &status, 0, &usage) < 0 && errno == EINTR) {
  }
  if (!in_time) return fail("did not finish within {} s", limit.count());
  if (WIFSIGNALED(status)) {
    return fail("ended by signal {} ({})", WTERMSIG(status), ::strsignal(WTERMSIG(status)));
  }
  end.peak_mib = static_cast<double>(usage.ru_maxrss) / 1024;
  return end;
}

}  // namespace emu::cli::bench
