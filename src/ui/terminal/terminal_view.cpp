// SPDX-License-Identifier: Apache-2.0
// Source: xterm "ctlseqs" (alternate screen 1049).
#include "ui/terminal/terminal_view.h"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <deque>

#include "ui/console_reader.h"
#include "ui/output_queue.h"
#include "ui/terminal/ansi_painter.h"
#include "ui/terminal/escape_keys.h"
#include "ui/terminal/terminal_keys.h"

namespace emu {
namespace {

constexpr int kFrameMs = 33;
constexpr int kKeyMs = 8;  // between strokes, so that a paste does not overrun the keyboard
constexpr const char* kHello = "\x1b[?1049h\x1b[2J";
constexpr const char* kFarewell = "\x1b[0m\x1b[?25h\x1b[?1049l";

std::span<const u8> bytes_of(std::string_view text) {
  return {reinterpret_cast<const u8*>(text.data()), text.size()};
}

class TerminalView final : public UserInterface {
 public:
  void run(MachineControl& control) override {
    const RawTerminal raw(STDIN_FILENO, RawTerminal::Signals::kGoToGuest, kFarewell);
    ConsoleReader reader(control.text_font());
    output_.send(bytes_of(kHello));
    auto next_frame = std::chrono::steady_clock::now();
    while (!control.finished()) {
      read_keys(control);
      type(control);
      const auto now = std::chrono::steady_clock::now();
      if (now < next_frame) continue;
      next_frame = now + std::chrono::milliseconds(kFrameMs);
      paint(control, reader);
    }
    output_.flush();
  }

 private:
  void read_keys(MachineControl& control) {
    const int wait = strokes_.empty() ? kFrameMs : kKeyMs;
    if (input_ended_) {
      static_cast<void>(control.wait_finished(std::chrono::milliseconds(wait)));
      return;
    }
    pollfd waiting{STDIN_FILENO, POLLIN, 0};
    if (::poll(&waiting, 1, wait) <= 0) return;
    std::array<u8, 1024> buffer;
    const ssize_t count = ::read(STDIN_FILENO, buffer.data(), buffer.size());
    if (count <= 0) {
      input_ended_ = true;
      return;
    }
    std::vector<u8> for_guest;
    const auto commands =
        escapes_.filter(std::span(buffer).first(static_cast<std::size_t>(count)), for_guest);
    std::vector<KeyStroke> strokes;
    append_key_strokes(for_guest, strokes);
    strokes_.insert(strokes_.end(), strokes.begin(), strokes.end());
    for (const EscapeKeys::Command command : commands) obey(command, control);
  }

  void obey(EscapeKeys::Command command, MachineControl& control) {
    if (command == EscapeKeys::Command::kQuit) control.request_quit();
    if (command == EscapeKeys::Command::kHelp) {
      output_.send(bytes_of("\x1b[H\x1b[0m"));
      output_.send(bytes_of(EscapeKeys::help()));
      painter_.forget();  // the help stays until the next change
      help_shown_ = true;
    }
  }

  // One stroke each time.
  void type(MachineControl& control) {
    if (strokes_.empty()) return;
    help_shown_ = false;
    const MachineLock lock = control.lock();
    if (KeyboardSink* const keyboard = control.keyboard()) {
      type_key_stroke(*keyboard, strokes_.front());
    }
    strokes_.pop_front();
  }

  void paint(MachineControl& control, ConsoleReader& reader) {
    DisplaySource* const display = control.display();
    if (display == nullptr || help_shown_) return;
    bool is_text = false;
    bool changed = false;
    {
      const MachineLock lock = control.lock();
      is_text = display->text(screen_);
      changed = !is_text && display->render(frame_);
    }
    if (changed) is_console_ = reader.read(frame_, console_);
    const TerminalSize size = terminal_size(STDOUT_FILENO);
    std::string out;
    if (is_text) {
      out = painter_.paint_text(screen_, size);
    } else if (is_console_) {
      out = painter_.paint_text(console_, size);
    } else if (changed || was_text_ || size != size_) {
      out = painter_.paint_picture(frame_, size);
    }
    was_text_ = is_text;
    size_ = size;
    if (out == last_) return;  // only the cursor's place, and that is known
    last_ = out;
    output_.send(bytes_of(out));
  }

  OutputQueue output_{STDOUT_FILENO};
  AnsiPainter painter_;
  EscapeKeys escapes_;
  std::deque<KeyStroke> strokes_;
  TextScreen screen_;
  Frame frame_;
  TextScreen console_;  // what frame_ says, if is_console_
  bool is_console_ = false;
  TerminalSize size_;
  std::string last_;
  bool was_text_ = true;
  bool help_shown_ = false;
  bool input_ended_ = false;
};

}  // namespace

Result<std::unique_ptr<UserInterface>> open_terminal_view() {
  if (::isatty(STDIN_FILENO) != 1 || ::isatty(STDOUT_FILENO) != 1) {
    return fail(
        "the terminal display needs a terminal on standard input and output; "
        "use --display=none or -nographic here");
  }
  return std::unique_ptr<UserInterface>(std::make_unique<TerminalView>());
}

}  // namespace emu
