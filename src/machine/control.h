// SPDX-License-Identifier: Apache-2.0
// What a user interface may do to a machine, and what it may see of it. The machine implements it;
// `ui` knows nothing else of the machine.
// Threads: every method may be called from any thread; none needs the machine lock unless it says
// so, and none waits for the guest unless it says so.
#pragma once

#include <chrono>
#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "devices/ports/display.h"
#include "devices/ports/input.h"

namespace emu {

// Proof that the machine lock is held. Whoever holds it may call devices and ports.
using MachineLock = std::unique_lock<std::mutex>;

// Something a person can ask of a machine by name, in a monitor or a menu. A room of the machine
// offers what its parts can do; user interfaces only pass the words on.
struct ControlCommand {
  std::string name;        // "save"
  std::string parameters;  // "FILE": for the help text
  std::string help;        // one line
  // What `name` is followed by; returns the answer, lines ending in '\n'. Any thread, without the
  // machine lock; may wait for the machine.
  std::function<Result<std::string>(std::span<const std::string> words)> run;
};

// What disks and networks have done since the start, for whoever shows that something happens.
struct MachineActivity {
  u64 disk_requests = 0;
  u64 network_frames = 0;
};

class MachineControl {
 public:
  virtual ~MachineControl() = default;

  // Takes the machine lock, waiting for it.
  [[nodiscard]] virtual MachineLock lock() = 0;

  // Stops and continues guest time; no-ops if already so.
  virtual void pause() = 0;
  virtual void resume() = 0;
  [[nodiscard]] virtual bool paused() const = 0;

  // The reset button, the (ACPI) power button, and "end this process in an orderly way": disks are
  // flushed, nothing asks the guest. All return at once; the machine acts soon after.
  virtual void reset() = 0;
  virtual void press_power_button() = 0;
  virtual void request_quit() = 0;
  // Whether the guest acts on the power button (it enabled ACPI's event). Takes the machine lock.
  [[nodiscard]] virtual bool hears_power_button() { return false; }

  // Whether the machine has stopped for good (power-off, quit, error). A user interface then
  // returns from its loop. wait_finished() waits up to `limit` for that and returns finished().
  [[nodiscard]] virtual bool finished() const = 0;
  [[nodiscard]] virtual bool wait_finished(std::chrono::milliseconds limit) = 0;

  // The picture and the input devices, or nullptr where the machine has none. The pointers stay
  // valid for the machine's life; calls through them need the machine lock.
  [[nodiscard]] virtual DisplaySource* display() = 0;
  [[nodiscard]] virtual KeyboardSink* keyboard() = 0;
  [[nodiscard]] virtual MouseSink* mouse() = 0;
  [[nodiscard]] virtual TabletSink* tablet() { return nullptr; }

  // The PC font of the machine's video BIOS: 256 glyphs of 8x16 dots, 4096 bytes; may be empty.
  [[nodiscard]] virtual std::span<const u8> text_font() const { return {}; }

  // What can be asked by name; valid for the machine's life.
  [[nodiscard]] virtual std::span<const ControlCommand> commands() const { return {}; }

  // Takes the machine lock.
  [[nodiscard]] virtual MachineActivity activity() { return {}; }

  // For people: "disk.qcow2" and "translator" or "kvm".
  [[nodiscard]] virtual std::string guest_name() const = 0;
  [[nodiscard]] virtual std::string engine_name() const = 0;
};

}  // namespace emu
