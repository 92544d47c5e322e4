// SPDX-License-Identifier: Apache-2.0
#include "net/passt_net.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "net/socket_net.h"

namespace emu {
namespace {

constexpr int kChildFd = 3;
constexpr std::size_t kMostWords = 2000;

// Forwarded ports are for this host alone unless the user names an address, as passt spells it.
std::string on_loopback(const std::string& ports) {
  if (ports.find('/') != std::string::npos || ports == "none") return ports;
  return "127.0.0.1/" + ports;
}

// What the program says until it ends, without its complaints about the system's log.
std::string last_words(int fd) {
  std::string text, out;
  char buffer[512];
  ssize_t got = 0;
  while ((got = ::read(fd, buffer, sizeof buffer)) > 0) {
    text.append(buffer, static_cast<std::size_t>(got));
    if (text.size() > kMostWords) break;
  }
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    at = end + 1;
    if (line.empty() || line.find("syslog") != std::string::npos ||
        line.find("nobody") != std::string::npos)
      continue;
    out += (out.empty() ? "" : "; ") + line;
  }
  return out;
}

// Runs it until it has gone into the background. Returns its exit status, or the error.
Result<int> start(const PasstConfig& config, int socket, int messages) {
  std::vector<std::string> words{config.program, "--quiet", "--stderr", "--fd",
                                 std::to_string(kChildFd)};
  words.insert(words.end(), config.arguments.begin(), config.arguments.end());
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, messages, STDERR_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, socket, kChildFd);
  pid_t child = 0;
  const int error =
      ::posix_spawnp(&child, config.program.c_str(), &actions, nullptr, arguments.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error == ENOENT) {
    return fail("{} is not installed: sudo apt install passt, or use --nic user", config.program);
  }
  if (error != 0) return fail_errno(error, "cannot start {}", config.program);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

}  // namespace

Result<PasstConfig> PasstConfig::parse(const NetOptions& options) {
  PasstConfig out;
  std::string tcp = "none", udp = "none";
  for (const auto& [name, value] : options.values) {
    if (name == "tcp-ports") {
      tcp = on_loopback(value);
    } else if (name == "udp-ports") {
      udp = on_loopback(value);
    } else if (name == "path") {
      out.program = value;
    } else {
      return fail("a passt network has no setting {}; tcp-ports, udp-ports and path exist", name);
    }
  }
  out.arguments = {"--tcp-ports", tcp, "--udp-ports", udp};
  return out;
}

Result<std::unique_ptr<NetBackend>> open_passt(const PasstConfig& config,
                                               std::mutex& machine_lock) {
  int ends[2] = {-1, -1}, pipes[2] = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return fail_errno(errno, "cannot make a socket for {}", config.program);
  }
  UniqueFd ours(ends[0]), theirs(ends[1]);
  if (::pipe2(pipes, O_CLOEXEC) != 0) return fail_errno(errno, "cannot make a pipe");
  const UniqueFd messages(pipes[0]);
  UniqueFd talking(pipes[1]);
  // Lest what it says be more than the pipe holds while nobody reads yet.
  static_cast<void>(::fcntl(talking.get(), F_SETFL, O_NONBLOCK));
  const auto status = start(config, theirs.get(), talking.get());
  if (!status) return status.error();
  talking.reset();
  theirs.reset();
  if (*status != 0) {
    const std::string said = last_words(messages.get());
    return fail("{} refuses: {}", config.program, said.empty() ? "it says not why" : said);
  }
  return SocketNet::adopt(std::move(ours), machine_lock);
}

}  // namespace emu
