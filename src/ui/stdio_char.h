// SPDX-License-Identifier: Apache-2.0
// A serial port (or debug console) on this process's standard input and output.
// Threads: CharBackend methods with the machine lock held; start() and stop() without it.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "devices/ports/character.h"
#include "machine/control.h"
#include "ui/monitor/monitor_console.h"
#include "ui/output_queue.h"
#include "ui/terminal/escape_keys.h"
#include "ui/terminal/raw_terminal.h"

namespace emu {

// Output is batched and complete when the object dies. Input comes from a thread that delivers
// under the machine lock, as fast as the device takes it: a pipe is then not read further, while a
// terminal is always read, so that Ctrl-A x works when the guest does not listen.
// End of file on input is no event: the guest just gets no more bytes.
class StdioChar final : public CharBackend {
 public:
  struct Options {
    bool escapes = true;           // Ctrl-A commands; only if the input is a terminal or a pipe
    bool monitor_only = false;     // everything typed is for the monitor
    bool signals_to_guest = true;  // a raw terminal's Ctrl-C goes to the guest
    int input_fd = 0;
    int output_fd = 1;
  };
  explicit StdioChar(const Options& options);
  ~StdioChar() override;

  // Makes the terminal raw and starts to read. `control` must outlive the object or stop().
  void start(MachineControl& control);
  // Stops reading, flushes, restores the terminal. Called by the destructor.
  void stop();
  // After SIGCONT. Any thread.
  void continued();

  void send(std::span<const u8> bytes) override { output_.send(bytes); }
  void set_receiver(CharReceiver* receiver) override { receiver_ = receiver; }
  void receiver_ready() override;

 private:
  void read_loop();
  // Waits for input or a wake-up, reads and delivers; false at end of file or stop.
  bool read_some();
  void take_input(std::span<const u8> typed);
  // To the monitor if it is open, else to the guest.
  void pass_on(std::span<const u8> bytes);
  void send_to_guest(std::span<const u8> bytes);
  void switch_monitor();
  void run_commands(const std::vector<EscapeKeys::Command>& commands);
  // Machine lock held. Hands the receiver what it can take.
  void deliver();
  [[nodiscard]] bool wants_input();

  // wires
  const Options options_;
  MachineControl* control_ = nullptr;
  CharReceiver* receiver_ = nullptr;
  // parts
  OutputQueue output_;
  std::mutex terminal_mutex_;  // continued() comes from the signal thread
  std::unique_ptr<RawTerminal> terminal_;
  UniqueFd wake_;
  EscapeKeys escapes_;
  std::unique_ptr<MonitorConsole> monitor_;  // reading thread
  bool in_monitor_ = false;
  std::thread thread_;
  std::atomic<bool> stop_{false};
  bool input_is_terminal_ = false;
  // input that the device has not taken yet; machine lock
  std::vector<u8> pending_;
  bool delivering_ = false;
  bool reader_waits_ = false;
};

}  // namespace emu
