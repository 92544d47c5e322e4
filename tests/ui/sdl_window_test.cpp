// SPDX-License-Identifier: Apache-2.0
// The window on a virtual X screen: it shows the picture, and keys and pointer reach the machine.
#include "ui/sdl/sdl_window.h"

#include <SDL.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <functional>

#include "ui/fake_control.h"
#include "ui/png_file.h"
#include "ui/sdl/picture_layout.h"
#include "ui/sdl/sdl_screen.h"
#include "ui/serial_view.h"
#include "ui/virtual_screen.h"

namespace emu {
namespace {

using testing::FakeControl;

TEST(PictureLayout, PrefersWholeMultiples) {
  EXPECT_EQ(place_picture({640, 400}, {1280, 800}), (Placement{0, 0, {1280, 800}, true}));
  EXPECT_EQ(place_picture({640, 400}, {1400, 900}), (Placement{60, 50, {1280, 800}, true}));
  EXPECT_EQ(place_picture({640, 400}, {1000, 1000}), (Placement{0, 187, {1000, 625}, false}));
  EXPECT_EQ(place_picture({1920, 1080}, {640, 480}), (Placement{0, 60, {640, 360}, false}));
  EXPECT_EQ(place_picture({8192, 1}, {8, 8}).size, (Size{8, 1}));
}

TEST(PictureLayout, ScalesAsTheUserWants) {
  EXPECT_EQ(place_picture({640, 400}, {1000, 1000}, Scaling::kWhole),
            (Placement{180, 300, {640, 400}, true}));
  EXPECT_EQ(place_picture({640, 400}, {1400, 900}, Scaling::kSmooth).size, (Size{1400, 875}));
  EXPECT_EQ(place_picture({1920, 1080}, {640, 480}, Scaling::kWhole).size, (Size{640, 360}));
}

TEST(PictureLayout, SmallPicturesGetLargeWindows) {
  EXPECT_EQ(natural_window({640, 400}, {1920, 1080}), (Size{1280, 800}));
  EXPECT_EQ(natural_window({1280, 800}, {1920, 1080}), (Size{1280, 800}));
  EXPECT_EQ(natural_window({3840, 2160}, {1920, 1080}), (Size{1824, 1026}));
  EXPECT_EQ(natural_window({1280, 800}, {1400, 900}), (Size{1280, 800}));
}

// Every pixel in its own colour.
Frame test_picture(u32 width, u32 height) {
  Frame frame;
  frame.width = width;
  frame.height = height;
  for (u32 i = 0; i < width * height; ++i) frame.pixels.push_back(i * 2654435761u & 0xFFFFFF);
  frame.changed_bottom = height;
  return frame;
}

class RecordingKeyboard final : public KeyboardSink {
 public:
  void key(KeyCode code, bool pressed) override {
    keys += (pressed ? '+' : '-') + std::to_string(code) + ' ';
  }
  std::optional<KeyLocks> locks() const override { return lights; }
  std::string keys;
  std::optional<KeyLocks> lights;
};

class RecordingMouse final : public MouseSink {
 public:
  void move(i32 dx, i32 dy, i32 wheel) override {
    x += dx;
    y += dy;
    notches += wheel;
  }
  void button(MouseButton, bool pressed) override { presses += pressed ? 1 : 0; }
  i32 x = 0, y = 0, notches = 0, presses = 0;
};

// A picture that runs the next step of a script whenever the window asks for it, and at the end
// finishes the machine.
class ScriptedDisplay final : public DisplaySource {
 public:
  ScriptedDisplay(FakeControl& control, std::vector<std::function<void()>> steps)
      : control_(control), steps_(std::move(steps)) {}
  bool render(Frame& frame) override {
    if (next_ < steps_.size()) {
      steps_[next_++]();
    } else if (++idle_ == 3) {
      control_.finish();
    }
    if (frame.sequence == 1) return false;
    frame = test_picture(320, 200);
    frame.sequence = 1;
    return true;
  }
  bool text(TextScreen&) override { return false; }

 private:
  FakeControl& control_;
  std::vector<std::function<void()>> steps_;
  std::size_t next_ = 0;
  int idle_ = 0;
};

void press(SDL_Scancode code, bool pressed, int modifiers = 0) {
  SDL_Event event{};
  event.type = pressed ? SDL_KEYDOWN : SDL_KEYUP;
  event.key.keysym.scancode = code;
  event.key.keysym.mod = static_cast<Uint16>(modifiers);
  SDL_PushEvent(&event);
}

void click(u8 button, bool pressed) {
  SDL_Event event{};
  event.type = pressed ? SDL_MOUSEBUTTONDOWN : SDL_MOUSEBUTTONUP;
  event.button.button = button;
  SDL_PushEvent(&event);
}

class SdlWindowTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!screen_.is_running()) GTEST_SKIP() << "Xvfb is not installed";
    control_.keyboard_sink = &keyboard_;
    control_.mouse_sink = &mouse_;
  }
  // Runs the window with a script.
  void run(std::vector<std::function<void()>> steps) {
    ScriptedDisplay display(control_, std::move(steps));
    control_.display_source = &display;
    auto window = open_sdl_window({});
    ASSERT_TRUE(window) << window.error().message;
    (*window)->run(control_);
  }

  testing::VirtualScreen screen_;
  FakeControl control_;
  RecordingKeyboard keyboard_;
  RecordingMouse mouse_;
};

TEST_F(SdlWindowTest, ShowsThePicturePixelByPixel) {
  ASSERT_EQ(SDL_InitSubSystem(SDL_INIT_VIDEO), 0) << SDL_GetError();
  {
    auto screen = SdlScreen::open(false);
    ASSERT_TRUE(screen) << screen.error().message;
    const Frame picture = test_picture(800, 600);
    (*screen)->show(picture);
    auto shown = (*screen)->read_back();
    ASSERT_TRUE(shown) << shown.error().message;
    const i32 width = static_cast<i32>(shown->width);
    const i32 height = static_cast<i32>(shown->height);
    const Placement place = place_picture({800, 600}, {width, height});
    ASSERT_EQ(place.size, (Size{800, 600}));
    const std::size_t corner =
        static_cast<std::size_t>(place.y) * shown->width + static_cast<std::size_t>(place.x);
    for (u32 y = 0; y < 600; ++y) {
      for (u32 x = 0; x < 800; ++x) {
        ASSERT_EQ(shown->pixels[corner + y * shown->width + x], picture.pixels[y * 800 + x]);
      }
    }
  }
  SDL_QuitSubSystem(SDL_INIT_VIDEO);
}

TEST_F(SdlWindowTest, KeysReachTheGuest) {
  run({[] { press(SDL_SCANCODE_A, true); }, [] { press(SDL_SCANCODE_A, false); },
       [] { press(SDL_SCANCODE_RSHIFT, true); }});
  EXPECT_EQ(keyboard_.keys.substr(0, 12), "+4 -4 +229 ");
}

TEST_F(SdlWindowTest, HotKeysStayHere) {
  run({[] { press(SDL_SCANCODE_P, true, KMOD_LCTRL | KMOD_LALT); },
       [] { press(SDL_SCANCODE_P, false, KMOD_LCTRL | KMOD_LALT); },
       [] { press(SDL_SCANCODE_END, true, KMOD_LCTRL | KMOD_LALT); }});
  EXPECT_TRUE(control_.paused());
  EXPECT_EQ(keyboard_.keys, "+224 +226 +76 -224 -226 -76 ");
}

void type_text(const char* text) {
  SDL_Event event{};
  event.type = SDL_TEXTINPUT;
  std::snprintf(event.text.text, sizeof event.text.text, "%s", text);
  SDL_PushEvent(&event);
}

void get_keyboard() {
  SDL_Event event{};
  event.type = SDL_WINDOWEVENT;
  event.window.event = SDL_WINDOWEVENT_FOCUS_GAINED;
  SDL_PushEvent(&event);
}

TEST_F(SdlWindowTest, TheSerialConsoleAndTheMonitorTakeWhatIsTyped) {
  class Uart final : public CharReceiver {
   public:
    std::size_t can_receive() const override { return 100; }
    void receive(std::span<const u8> bytes) override { got.append(bytes.begin(), bytes.end()); }
    std::string got;
  } uart;
  SerialView serial;
  serial.set_receiver(&uart);
  ScriptedDisplay display(
      control_,
      {[] { press(SDL_SCANCODE_C, true, KMOD_LCTRL | KMOD_LALT); }, [] { type_text("ls"); },
       [] { press(SDL_SCANCODE_A, true); }, [] { press(SDL_SCANCODE_C, false); },
       [] { press(SDL_SCANCODE_C, true, KMOD_LCTRL | KMOD_LALT); }, [] { type_text("help"); },
       [] { press(SDL_SCANCODE_C, false); },
       [] { press(SDL_SCANCODE_C, true, KMOD_LCTRL | KMOD_LALT); },
       [] { press(SDL_SCANCODE_B, true); }});
  control_.display_source = &display;
  auto window = open_sdl_window({});
  ASSERT_TRUE(window) << window.error().message;
  (*window)->show_serial(serial);
  (*window)->run(control_);
  EXPECT_EQ(uart.got, "ls");
  EXPECT_EQ(keyboard_.keys.substr(0, 3), "+5 ") << "only what was typed at the picture";
}

TEST_F(SdlWindowTest, LocksOfTheGuestFollowTheHosts) {
  keyboard_.lights = KeyLocks{false, true};  // the host's are off here
  run({[] { get_keyboard(); }, [] {}});
  EXPECT_NE(keyboard_.keys.find("+57 -57 "), std::string::npos) << keyboard_.keys;
  EXPECT_EQ(keyboard_.keys.find("+83"), std::string::npos) << keyboard_.keys;
}

TEST_F(SdlWindowTest, PointerGoesToTheGuestAfterAClick) {
  run({[] { click(SDL_BUTTON_RIGHT, true); },  // not taken yet: ignored
       [] { click(SDL_BUTTON_LEFT, true); }, [] { click(SDL_BUTTON_RIGHT, true); },
       [] {
         SDL_Event event{};
         event.type = SDL_MOUSEWHEEL;
         event.wheel.y = 2;
         SDL_PushEvent(&event);
       },
       [] { press(SDL_SCANCODE_G, true, KMOD_LCTRL | KMOD_LALT); },
       [] { click(SDL_BUTTON_RIGHT, true); }});
  EXPECT_EQ(mouse_.presses, 1);
  EXPECT_EQ(mouse_.notches, 2);
}

TEST_F(SdlWindowTest, ClosingTheWindowAsksTheMachineToQuit) {
  run({[] {
    SDL_Event event{};
    event.type = SDL_QUIT;
    SDL_PushEvent(&event);
  }});
  EXPECT_TRUE(control_.finished());
}

void close_window() {
  SDL_Event event{};
  event.type = SDL_QUIT;
  SDL_PushEvent(&event);
}

TEST_F(SdlWindowTest, AGuestThatListensIsAskedFirst) {
  control_.hears_power_presses = true;
  bool was_finished = true;
  run({close_window, [&] { was_finished = control_.finished(); }, [] {}, close_window});
  EXPECT_EQ(control_.power_presses, 1);
  EXPECT_FALSE(was_finished);
  EXPECT_TRUE(control_.finished()) << "the second time";
}

class RecordingTablet final : public TabletSink {
 public:
  bool is_listening() const override { return true; }
  void point(u16 to_x, u16 to_y, i32 notches) override {
    x = to_x;
    y = to_y;
    wheel += notches;
  }
  void button(MouseButton, bool pressed) override { presses += pressed ? 1 : 0; }
  i32 x = -1, y = -1, wheel = 0, presses = 0;
};

TEST_F(SdlWindowTest, AnAbsolutePointerNeedsNoGrab) {
  RecordingTablet tablet;
  control_.tablet_sink = &tablet;
  run({[] {
         SDL_Event event{};
         event.type = SDL_MOUSEMOTION;
         event.motion.x = 100000;  // beyond the lower right corner
         event.motion.y = 100000;
         SDL_PushEvent(&event);
       },
       [] { click(SDL_BUTTON_LEFT, true); }, [] { click(SDL_BUTTON_LEFT, false); },
       [] {
         SDL_Event event{};
         event.type = SDL_MOUSEWHEEL;
         event.wheel.y = -1;
         SDL_PushEvent(&event);
       }});
  EXPECT_EQ(tablet.x, TabletSink::kRange);
  EXPECT_EQ(tablet.y, TabletSink::kRange);
  EXPECT_EQ(tablet.presses, 1);
  EXPECT_EQ(tablet.wheel, -1);
  EXPECT_EQ(mouse_.presses, 0);
}

TEST_F(SdlWindowTest, CtrlAltVTypesTheClipboard) {
  run({[] { SDL_SetClipboardText("aB"); },
       [] { press(SDL_SCANCODE_V, true, KMOD_LCTRL | KMOD_LALT); }, [] {}, [] {}, [] {}, [] {}});
  EXPECT_EQ(keyboard_.keys, "+4 -4 +225 +5 -5 -225 ");
}

TEST_F(SdlWindowTest, CombinationsTheHostWouldTakeAreSentByKey) {
  run({[] { press(SDL_SCANCODE_3, true, KMOD_LCTRL | KMOD_LALT); },
       [] { press(SDL_SCANCODE_3, false); }});
  EXPECT_EQ(keyboard_.keys, "+226 +43 -226 -43 ");
}

// The keys' list lies over the picture in the window, and goes again.
TEST_F(SdlWindowTest, TheOverlayIsDrawnOverThePicture) {
  ASSERT_EQ(SDL_InitSubSystem(SDL_INIT_VIDEO), 0) << SDL_GetError();
  {
    auto screen = SdlScreen::open(false);
    ASSERT_TRUE(screen) << screen.error().message;
    (*screen)->show(test_picture(800, 600));
    const auto plain = (*screen)->read_back();
    std::vector<u8> font(4096, 0x81);
    (*screen)->overlay().set_font(font);
    EXPECT_TRUE((*screen)->overlay().set_lines({"one", "two"}));
    EXPECT_FALSE((*screen)->overlay().set_lines({"one", "two"})) << "nothing new";
    (*screen)->redraw();
    const auto covered = (*screen)->read_back();
    ASSERT_TRUE(plain && covered);
    EXPECT_FALSE(plain->pixels == covered->pixels);
    (*screen)->overlay().set_lines({});
    (*screen)->redraw();
    EXPECT_TRUE(plain->pixels == (*screen)->read_back()->pixels);
  }
  SDL_QuitSubSystem(SDL_INIT_VIDEO);
}

TEST(SdlWindow, SaysWhyThereIsNoWindow) {
  ::setenv("DISPLAY", ":9999", 1);
  EXPECT_TRUE(has_graphical_display());
  const auto window = open_sdl_window({});
  ::unsetenv("DISPLAY");
  ASSERT_FALSE(window);
  EXPECT_NE(window.error().message.find("cannot open a window on display :9999: "),
            std::string::npos);
}

}  // namespace
}  // namespace emu
