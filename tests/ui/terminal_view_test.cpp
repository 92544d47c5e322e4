// SPDX-License-Identifier: Apache-2.0
// The terminal display as a whole, in a child process on a pseudo-terminal.
#include "ui/terminal/terminal_view.h"

#include <gtest/gtest.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "base/unique_fd.h"
#include "ui/fake_control.h"

namespace emu {
namespace {

using testing::FakeControl;

// Shows the keys that arrived, as HID usages.
class KeyScreen final : public DisplaySource, public KeyboardSink {
 public:
  void key(KeyCode code, bool pressed) override {
    if (pressed) text_ += "<" + std::to_string(code) + ">";
  }
  bool render(Frame&) override { return false; }
  bool text(TextScreen& screen) override {
    screen.columns = 40;
    screen.rows = 2;
    screen.cells.assign(80, 0x0720);
    for (std::size_t i = 0; i < text_.size() && i < 80; ++i) {
      screen.cells[i] = static_cast<u16>(0x0700 | text_[i]);
    }
    return true;
  }

 private:
  std::string text_ = "Ready";
};

int show_in_this_terminal() {
  FakeControl control;
  KeyScreen screen;
  control.display_source = &screen;
  control.keyboard_sink = &screen;
  auto view = open_terminal_view();
  if (!view) return 1;
  (*view)->run(control);
  return 0;
}

void read_until(int fd, std::string& out, std::string_view what) {
  std::array<char, 4096> buffer;
  while (out.find(what) == std::string::npos) {
    const ssize_t count = ::read(fd, buffer.data(), buffer.size());
    if (count <= 0) return;
    out.append(buffer.data(), static_cast<std::size_t>(count));
  }
}

TEST(TerminalView, ShowsTextTakesKeysAndLeavesTheTerminalAsItWas) {
  int terminal = -1;
  const pid_t child = ::forkpty(&terminal, nullptr, nullptr, nullptr);
  if (child < 0) GTEST_SKIP() << "no /dev/ptmx";
  if (child == 0) ::_exit(show_in_this_terminal());
  const UniqueFd fd(terminal);
  std::string out;
  read_until(terminal, out, "Ready");
  EXPECT_EQ(out.find("\x1b[?1049h"), 0u) << "an own screen";
  ASSERT_EQ(::write(terminal, "a", 1), 1);
  read_until(terminal, out, "<4>");
  ASSERT_EQ(::write(terminal, "\x01x", 2), 2);
  read_until(terminal, out, "\x1b[?1049l");
  EXPECT_NE(out.find("\x1b[?1049l"), std::string::npos) << "and the old one back";
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

}  // namespace
}  // namespace emu
