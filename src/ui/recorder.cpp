// SPDX-License-Identifier: Apache-2.0
#include "ui/recorder.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "base/log.h"

namespace emu {
namespace {

constexpr std::string_view kName = "ffmpeg";

// Where a program is in PATH; empty: nowhere.
std::string find_program(std::string_view name) {
  const char* const path = std::getenv("PATH");
  std::string_view rest = path != nullptr ? path : "/usr/bin:/bin";
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find(':'), rest.size());
    std::string file = std::string(rest.substr(0, end)) + "/" + std::string(name);
    if (::access(file.c_str(), X_OK) == 0) return file;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return {};
}

// Runs `arguments` with `input` as standard input.
Result<pid_t> spawn(std::vector<std::string> arguments, int input) {
  std::vector<char*> words;
  for (std::string& word : arguments) words.push_back(word.data());
  words.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
  ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  // Not in the terminal's group: Ctrl-C ends the machine, and then the video in good order.
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  pid_t pid = 0;
  const int error = ::posix_spawn(&pid, words[0], &actions, &attributes, words.data(), environ);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return fail("--record: cannot start {}: {}", words[0], std::strerror(error));
  return pid;
}

}  // namespace

Result<std::unique_ptr<Recorder>> Recorder::open(const std::string& path) {
  const std::string program = find_program(kName);
  if (program.empty())
    return fail("--record: there is no ffmpeg here to encode the video; sudo apt install ffmpeg");
  int ends[2] = {};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    return fail("--record: no connection to ffmpeg: {}", std::strerror(errno));
  UniqueFd ours(ends[0]), theirs(ends[1]);
  const std::string file = path.starts_with('-') ? "./" + path : path;
  auto pid = spawn({program,
                    "-loglevel",
                    "error",
                    "-nostdin",
                    "-y",
                    "-f",
                    "rawvideo",
                    "-pix_fmt",
                    "bgr0",
                    "-video_size",
                    fmt::format("{}x{}", kWidth, kHeight),
                    "-use_wallclock_as_timestamps",
                    "1",
                    "-i",
                    "pipe:0",
                    "-vsync",
                    "vfr",
                    "-pix_fmt",
                    "yuv420p",
                    file},
                   theirs.get());
  if (!pid) return pid.error();
  return std::unique_ptr<Recorder>(new Recorder(path, std::move(ours), *pid));
}

Recorder::~Recorder() {
  stop();
}

void Recorder::start(MachineControl& control) {
  thread_ = std::thread([this, &control] { run(control); });
}

void Recorder::stop() {
  if (thread_.joinable()) thread_.join();
  to_encoder_ = UniqueFd();
  if (encoder_ == 0) return;
  int status = 0;
  const pid_t encoder = std::exchange(encoder_, 0);
  while (::waitpid(encoder, &status, 0) < 0 && errno == EINTR) {
  }
  if (status != 0)
    log(LogLevel::kError, "record", "{}: ffmpeg failed, see what it says above", path_);
}

void Recorder::place(const Frame& frame, std::span<u32> canvas) {
  std::ranges::fill(canvas, 0u);
  if (frame.width == 0 || frame.height == 0) return;
  u32 width = frame.width, height = frame.height;
  if (width > kWidth || height > kHeight) {
    const bool wide = u64{width} * kHeight > u64{height} * kWidth;
    width = wide ? kWidth
                 : std::max<u32>(1, static_cast<u32>(u64{frame.width} * kHeight / frame.height));
    height = wide ? std::max<u32>(1, static_cast<u32>(u64{frame.height} * kWidth / frame.width))
                  : kHeight;
  }
  const u32 left = (kWidth - width) / 2, top = (kHeight - height) / 2;
  for (u32 y = 0; y < height; ++y) {
    const u32* const from = &frame.pixels[u64{y} * frame.height / height * frame.width];
    u32* const to = &canvas[std::size_t{top + y} * kWidth + left];
    if (width == frame.width) {
      std::copy_n(from, width, to);
      continue;
    }
    for (u32 x = 0; x < width; ++x) to[x] = from[u64{x} * frame.width / width];
  }
}

// The last picture goes out once more at the end: it is what gives the one before its length.
void Recorder::run(MachineControl& control) {
  Frame frame;
  std::vector<u32> canvas(std::size_t{kWidth} * kHeight);
  bool works = true;
  const std::chrono::milliseconds pause(1000 / kPicturesPerSecond);
  unsigned still = kPicturesPerSecond;
  do {
    bool changed = false;
    if (DisplaySource* const display = control.display()) {
      const MachineLock lock = control.lock();
      changed = display->render(frame);
    }
    if (changed) place(frame, canvas);
    still = changed ? 0 : still + 1;
    if (works && (changed || still >= kPicturesPerSecond)) {
      works = send(canvas);
      still = 0;
    }
  } while (!control.wait_finished(pause));
  if (works) static_cast<void>(send(canvas));
}

bool Recorder::send(std::span<const u32> canvas) const {
  std::span<const u8> left(reinterpret_cast<const u8*>(canvas.data()), canvas.size_bytes());
  while (!left.empty()) {
    const ssize_t sent = ::send(to_encoder_.get(), left.data(), left.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    left = left.subspan(static_cast<std::size_t>(sent));
  }
  return true;
}

}  // namespace emu
