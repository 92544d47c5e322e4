// SPDX-License-Identifier: Apache-2.0
// An X server without a screen (Xvfb), for tests that open a window.
#pragma once

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "base/unique_fd.h"

namespace emu::testing {

// Runs Xvfb with a 1280x960 screen and points this process's DISPLAY at it, for the object's life.
class VirtualScreen {
 public:
  VirtualScreen() {
    int ends[2];
    if (::pipe(ends) != 0) return;
    const UniqueFd reading(ends[0]);
    UniqueFd writing(ends[1]);
    child_ = ::fork();
    if (child_ == 0) {
      const std::string fd = std::to_string(writing.get());
      ::execlp("Xvfb", "Xvfb", "-displayfd", fd.c_str(), "-screen", "0", "1280x960x24", "-nolisten",
               "tcp", nullptr);
      ::_exit(127);
    }
    writing.reset();
    std::string number;
    for (char c; ::read(reading.get(), &c, 1) == 1 && c != '\n';) number += c;
    running_ = !number.empty();
    if (!running_) return;
    ::setenv("DISPLAY", (":" + number).c_str(), 1);
    ::setenv("SDL_VIDEODRIVER", "x11", 1);
    ::setenv("SDL_RENDER_DRIVER", "software", 1);
  }
  ~VirtualScreen() {
    if (child_ <= 0) return;
    ::kill(child_, SIGTERM);
    ::waitpid(child_, nullptr, 0);
    for (const char* name : {"DISPLAY", "SDL_VIDEODRIVER", "SDL_RENDER_DRIVER"}) ::unsetenv(name);
  }
  VirtualScreen(const VirtualScreen&) = delete;
  VirtualScreen& operator=(const VirtualScreen&) = delete;

  // False if there is no Xvfb on this machine.
  [[nodiscard]] bool is_running() const { return running_; }

 private:
  pid_t child_ = -1;
  bool running_ = false;
};

}  // namespace emu::testing
