// SPDX-License-Identifier: Apache-2.0
#include "ui/sdl/sdl_window.h"

#include <SDL.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>

#include "base/log.h"
#include "ui/png_file.h"
#include "ui/sdl/sdl_consoles.h"
#include "ui/sdl/sdl_input.h"
#include "ui/sdl/sdl_screen.h"

namespace emu {
namespace {

constexpr u64 kFrameMs = 16;
constexpr u64 kStillFrames = 12;  // without a change, until the guest counts as idle
constexpr u64 kStillFrameMs = 50;
constexpr u64 kMessageMs = 4000;
constexpr std::size_t kConsoleLines = 24;

bool is_set(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0';
}

// SDL's drivers for the displays that the environment names; empty: whatever SDL finds. The
// environment's SDL_VIDEODRIVER overrides a hint.
std::string announced_drivers() {
  std::string drivers = is_set("DISPLAY") ? "x11" : "";
  if (is_set("WAYLAND_DISPLAY")) drivers += drivers.empty() ? "wayland" : ",wayland";
  return drivers;
}

bool shows_nothing() {
  const std::string_view driver = SDL_GetCurrentVideoDriver();
  return driver == "offscreen" || driver == "dummy" || driver == "evdev";
}

// Initialises SDL's video for its life.
class SdlVideo {
 public:
  SdlVideo() {
    SDL_SetHint(SDL_HINT_NO_SIGNAL_HANDLERS, "1");       // HostSignals has them
    SDL_SetHint(SDL_HINT_VIDEO_ALLOW_SCREENSAVER, "1");  // a PC is no film
    SDL_SetHint(SDL_HINT_VIDEO_X11_NET_WM_BYPASS_COMPOSITOR, "0");
    SDL_SetHint(SDL_HINT_GRAB_KEYBOARD, "0");
    // Ask only for what is announced: SDL also takes drivers that show nothing to anybody.
    const std::string drivers = announced_drivers();
    if (!drivers.empty()) SDL_SetHint(SDL_HINT_VIDEODRIVER, drivers.c_str());
    ok_ = SDL_InitSubSystem(SDL_INIT_VIDEO) == 0;
    if (ok_ && !is_set("SDL_VIDEODRIVER") && shows_nothing()) {
      SDL_QuitSubSystem(SDL_INIT_VIDEO);
      SDL_SetError("there is no display here");
      ok_ = false;
    }
  }
  ~SdlVideo() {
    if (ok_) SDL_QuitSubSystem(SDL_INIT_VIDEO);
  }
  SdlVideo(const SdlVideo&) = delete;
  SdlVideo& operator=(const SdlVideo&) = delete;
  [[nodiscard]] bool ok() const { return ok_; }

 private:
  bool ok_ = false;
};

std::string screenshot_name() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  ::localtime_r(&now, &local);
  char name[64];
  std::strftime(name, sizeof name, "emu-%Y%m%d-%H%M%S.png", &local);
  return name;
}

constexpr u64 kSettleMs = 300;
constexpr u64 kNever = ~u64{0};

class SdlWindow final : public UserInterface {
 public:
  SdlWindow(std::unique_ptr<SdlVideo> video, std::unique_ptr<SdlScreen> screen)
      : video_(std::move(video)), screen_(std::move(screen)) {}

  void show_serial(SerialView& serial) override { serial_ = &serial; }

  void run(MachineControl& control) override {
    SdlInput input(control, *screen_);
    consoles_.emplace(control, serial_);
    screen_->overlay().set_font(control.text_font());
    update_title(control, input);
    u64 next_frame = SDL_GetTicks64();
    while (!control.finished()) {
      const u64 now = SDL_GetTicks64();
      const u64 wait = next_frame > now ? next_frame - now : 0;
      SDL_Event event;
      if (SDL_WaitEventTimeout(&event, static_cast<int>(wait)) != 0) {
        handle(event, control, input);
        next_frame = std::min(next_frame, now + kFrameMs);  // the answer shall be seen soon
      }
      if (SDL_GetTicks64() < next_frame) continue;
      next_frame = SDL_GetTicks64() + frame_ms(input);
      input.step();
      ask_for_size(control);
      update_overlay(control, input);
      refresh(control);
      update_title(control, input);
    }
  }

 private:
  void handle(const SDL_Event& event, MachineControl& control, SdlInput& input) {
    if (event.type == SDL_QUIT) ask_to_quit(control);
    if (event.type == SDL_WINDOWEVENT) handle_window(event.window);
    if (event.type == SDL_RENDER_TARGETS_RESET || event.type == SDL_RENDER_DEVICE_RESET) {
      frame_.sequence = 0;  // the texture's contents are gone: draw everything
    }
    if (const auto command = input.handle(event)) obey(*command, control, input);
  }

  void handle_window(const SDL_WindowEvent& event) {
    if (event.event == SDL_WINDOWEVENT_RESIZED && !screen_->is_full_screen()) {
      screen_->was_resized({event.data1, event.data2});
    }
    if (event.event == SDL_WINDOWEVENT_EXPOSED || event.event == SDL_WINDOWEVENT_SIZE_CHANGED) {
      needs_redraw_ = true;
    }
    if (event.event == SDL_WINDOWEVENT_RESIZED || event.event == SDL_WINDOWEVENT_SIZE_CHANGED) {
      size_settles_at_ = SDL_GetTicks64() + kSettleMs;
    }
  }

  // A guest that can follows the size that the user chose.
  void ask_for_size(MachineControl& control) {
    if (SDL_GetTicks64() < size_settles_at_) return;
    size_settles_at_ = kNever;
    const Size size = screen_->output();
    DisplaySource* const display = control.display();
    if (display == nullptr || !screen_->is_chosen_size() || size.width < 1 || size.height < 1) {
      return;
    }
    const MachineLock lock = control.lock();
    display->prefer_size(static_cast<u32>(size.width), static_cast<u32>(size.height));
  }

  void obey(SdlInput::Command command, MachineControl& control, SdlInput& input) {
    switch (command) {
      case SdlInput::Command::kToggleGrab:
        input.toggle_grab();
        break;
      case SdlInput::Command::kToggleFullScreen:
        screen_->toggle_full_screen();
        break;
      case SdlInput::Command::kTogglePause:
        control.paused() ? control.resume() : control.pause();
        break;
      case SdlInput::Command::kScreenshot:
        save_picture();
        break;
      case SdlInput::Command::kNaturalSize:
        screen_->make_natural();
        break;
      case SdlInput::Command::kNextScaling:
        next_scaling();
        break;
      case SdlInput::Command::kToggleStatus:
        shows_status_ = !shows_status_;
        break;
      case SdlInput::Command::kToggleHelp:
        shows_help_ = !shows_help_;
        break;
      case SdlInput::Command::kNextConsole:
        next_console(input);
        break;
      case SdlInput::Command::kQuit:
        ask_to_quit(control);
        break;
    }
  }

  // What is typed goes to what is shown.
  void next_console(SdlInput& input) {
    consoles_->next();
    if (consoles_->view() == SdlConsoles::View::kPicture) {
      input.set_typing({});
    } else {
      input.set_typing([this](std::string_view text) { consoles_->type(text); });
    }
  }

  // A picture that has not changed for a while is looked at less often.
  [[nodiscard]] u64 frame_ms(const SdlInput& input) const {
    if (input.is_typing()) return KeyTyper::kPause.count();
    return still_frames_ > kStillFrames ? kStillFrameMs : kFrameMs;
  }

  // The guest is asked first, if it listens, and told to go the second time.
  void ask_to_quit(MachineControl& control) {
    if (quit_asked_ || control.paused() || !control.hears_power_button()) {
      control.request_quit();
      return;
    }
    quit_asked_ = true;
    control.press_power_button();
    say("The guest was asked to shut down; close the window again to power it off.");
  }

  void next_scaling() {
    switch (screen_->scaling()) {
      case Scaling::kAuto:
        screen_->set_scaling(Scaling::kWhole);
        say("scaling: whole multiples");
        break;
      case Scaling::kWhole:
        screen_->set_scaling(Scaling::kSmooth);
        say("scaling: smooth");
        break;
      case Scaling::kSmooth:
        screen_->set_scaling(Scaling::kAuto);
        say("scaling: automatic");
        break;
    }
    needs_redraw_ = true;
  }

  // Shows a line over the picture for some seconds.
  void say(std::string text) {
    message_ = std::move(text);
    message_until_ = SDL_GetTicks64() + kMessageMs;
  }

  void update_overlay(MachineControl& control, SdlInput& input) {
    if (SDL_GetTicks64() >= message_until_) message_.clear();
    std::vector<std::string> lines = consoles_->lines(kConsoleLines);
    if (shows_help_) lines = SdlInput::help();
    if (!message_.empty()) lines.push_back(message_);
    if (control.paused()) lines.push_back("paused; Ctrl+Alt+P goes on");
    if (shows_status_) lines.push_back(status_line(control, input));
    needs_redraw_ = screen_->overlay().set_lines(std::move(lines)) || needs_redraw_;
  }

  std::string status_line(MachineControl& control, SdlInput& input) {
    measure_load();
    measure_activity(control);
    const char* const pointer = input.is_grabbed()    ? "grabbed"
                                : input.is_absolute() ? "absolute"
                                                      : "click to grab";
    return fmt::format("{}  {}  {}x{}  host CPU {} %  disk {}/s  net {}/s  pointer: {}",
                       control.guest_name(), control.engine_name(), frame_.width, frame_.height,
                       load_percent_, per_second_.disk_requests, per_second_.network_frames,
                       pointer);
  }

  // What disks and networks did in the last second.
  void measure_activity(MachineControl& control) {
    const u64 now = SDL_GetTicks64();
    if (now < activity_at_ + 1000) return;
    const MachineActivity seen = control.activity();
    const u64 elapsed = activity_at_ == 0 ? 0 : now - activity_at_;
    const auto rate = [elapsed](u64 before, u64 after) {
      return elapsed == 0 || after < before ? 0 : ((after - before) * 1000 + elapsed - 1) / elapsed;
    };
    per_second_ = {rate(activity_.disk_requests, seen.disk_requests),
                   rate(activity_.network_frames, seen.network_frames)};
    activity_ = seen;
    activity_at_ = now;
  }

  // What this process used of one host CPU, once a second.
  void measure_load() {
    const u64 now = SDL_GetTicks64();
    if (now < load_measured_at_ + 1000) return;
    timespec used{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    const u64 used_ms =
        static_cast<u64>(used.tv_sec) * 1000 + static_cast<u64>(used.tv_nsec) / 1000000;
    if (load_measured_at_ != 0)
      load_percent_ = (used_ms - load_used_ms_) * 100 / (now - load_measured_at_);
    load_measured_at_ = now;
    load_used_ms_ = used_ms;
  }

  void refresh(MachineControl& control) {
    bool changed = false;
    if (DisplaySource* const display = control.display()) {
      const MachineLock lock = control.lock();
      changed = display->render(frame_);
    }
    if (changed) {
      screen_->show(frame_);
    } else if (needs_redraw_) {
      screen_->redraw();
    }
    still_frames_ = changed || needs_redraw_ ? 0 : still_frames_ + 1;
    needs_redraw_ = false;
  }

  void save_picture() {
    const std::string name = screenshot_name();
    const Result<void> saved = write_png(name, frame_);
    if (!saved) log(LogLevel::kError, "ui", "{}", saved.error().message);
    say(saved ? "screenshot: " + name : saved.error().message);
  }

  void update_title(const MachineControl& control, const SdlInput& input) {
    measure_load();
    std::string title = fmt::format("{} - emu ({}, host CPU {} %)", control.guest_name(),
                                    control.engine_name(), load_percent_);
    if (control.paused()) title += " [paused]";
    title += input.is_grabbed() ? " - Ctrl+Alt+G releases the pointer" : " - Ctrl+Alt+H: keys";
    if (title == title_) return;
    title_ = title;
    screen_->set_title(title_);
  }

  std::unique_ptr<SdlVideo> video_;
  std::unique_ptr<SdlScreen> screen_;
  SerialView* serial_ = nullptr;
  std::optional<SdlConsoles> consoles_;  // while it runs
  Frame frame_;
  std::string title_;
  bool needs_redraw_ = true;
  u64 still_frames_ = 0;  // looked at without a change
  bool shows_status_ = false;
  bool shows_help_ = false;
  bool quit_asked_ = false;
  u64 size_settles_at_ = kNever;  // when the window's size counts as chosen
  std::string message_;
  u64 message_until_ = 0;
  u64 activity_at_ = 0;
  MachineActivity activity_, per_second_;
  u64 load_measured_at_ = 0, load_used_ms_ = 0, load_percent_ = 0;
};

}  // namespace

bool has_graphical_display() {
  return is_set("SDL_VIDEODRIVER") || is_set("DISPLAY") || is_set("WAYLAND_DISPLAY");
}

Result<std::unique_ptr<UserInterface>> open_sdl_window(const SdlWindowOptions& options) {
  auto video = std::make_unique<SdlVideo>();
  if (!video->ok() && is_set("DISPLAY")) {
    return fail("cannot open a window on display {}: {}", std::getenv("DISPLAY"), SDL_GetError());
  }
  if (!video->ok()) return fail("cannot open a window: {}", SDL_GetError());
  auto screen = SdlScreen::open(options.is_full_screen);
  if (!screen) return screen.error();
  return std::unique_ptr<UserInterface>(
      std::make_unique<SdlWindow>(std::move(video), std::move(*screen)));
}

}  // namespace emu
