// SPDX-License-Identifier: Apache-2.0
// Recording: what reaches the encoder, with a program of that name that only keeps it; a stream's
// last lines; a serial port in a window.
#include "ui/recorder.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "ui/fake_control.h"
#include "ui/serial_view.h"
#include "ui/text_lines.h"

namespace emu {
namespace {

using testing::FakeControl;

class FixedDisplay final : public DisplaySource {
 public:
  bool render(Frame& out) override {
    const bool changed = out.sequence != frame.sequence;
    out = frame;
    return changed;
  }
  bool text(TextScreen&) override { return false; }
  Frame frame;
};

// A folder with a program "ffmpeg" as PATH, while it lives.
class FakeEncoder {
 public:
  FakeEncoder() : folder_(::testing::TempDir() + "emu_recorder_test"), path_(std::getenv("PATH")) {
    std::filesystem::create_directories(folder_);
    std::ofstream(folder_ + "/ffmpeg")
        << "#!/bin/sh\nfor file; do :; done\nexec /bin/cat > \"$file\"\n";
    std::filesystem::permissions(folder_ + "/ffmpeg", std::filesystem::perms::owner_all);
    ::setenv("PATH", folder_.c_str(), 1);
  }
  ~FakeEncoder() {
    ::setenv("PATH", path_.c_str(), 1);
    std::filesystem::remove_all(folder_);
  }
  [[nodiscard]] std::string video() const { return folder_ + "/video.mp4"; }
  void remove() const { std::filesystem::remove(folder_ + "/ffmpeg"); }

 private:
  const std::string folder_, path_;
};

TEST(Recorder, SendsPicturesToTheEncoder) {
  FakeEncoder encoder;
  FakeControl control;
  FixedDisplay display;
  display.frame.width = 2;
  display.frame.height = 1;
  display.frame.pixels = {0x112233, 0x445566};
  display.frame.sequence = 1;
  control.display_source = &display;
  auto recorder = Recorder::open(encoder.video());
  ASSERT_TRUE(recorder) << recorder.error().message;
  (*recorder)->start(control);
  control.finish();
  (*recorder)->stop();
  std::ifstream file(encoder.video(), std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(file), {});
  constexpr std::size_t kPicture = std::size_t{4} * Recorder::kWidth * Recorder::kHeight;
  ASSERT_EQ(bytes.size(), 2 * kPicture) << "the picture, and once more at the end";
  const std::size_t middle = (std::size_t{399} * Recorder::kWidth + 639) * 4;
  EXPECT_EQ(bytes.substr(middle, 8), std::string("\x33\x22\x11\0\x66\x55\x44\0", 8));
  EXPECT_EQ(bytes[0], '\0') << "the border";
}

TEST(Recorder, SaysWhatIsMissing) {
  FakeEncoder encoder;
  encoder.remove();
  const auto recorder = Recorder::open(encoder.video());
  ASSERT_FALSE(recorder);
  EXPECT_NE(recorder.error().message.find("apt install ffmpeg"), std::string::npos);
}

TEST(Recorder, ScalesLargePicturesDown) {
  Frame frame;
  frame.width = 2 * Recorder::kWidth;
  frame.height = 2 * Recorder::kHeight;
  frame.pixels.assign(std::size_t{frame.width} * frame.height, 0xabcdef);
  std::vector<u32> canvas(std::size_t{Recorder::kWidth} * Recorder::kHeight);
  Recorder::place(frame, canvas);
  EXPECT_EQ(canvas.front(), 0xabcdefu);
  EXPECT_EQ(canvas.back(), 0xabcdefu);
}

TEST(TextLines, ShowsWhatATerminalWould) {
  TextLines lines;
  lines.add("one\r\ntw\x1b[31mo\x1b[0m\r\nabc\b\bX\n");
  EXPECT_EQ(lines.last(10), (std::vector<std::string>{"one", "two", "aXc"}));
  EXPECT_EQ(lines.last(1), std::vector<std::string>{"aXc"});
  lines.add("a\tb");
  EXPECT_EQ(lines.last(1), std::vector<std::string>{"a       b"});
}

class Uart final : public CharReceiver {
 public:
  std::size_t can_receive() const override { return room; }
  void receive(std::span<const u8> bytes) override {
    got.append(bytes.begin(), bytes.end());
    room -= bytes.size();
  }
  std::size_t room = 2;
  std::string got;
};

TEST(SerialView, KeepsWhatIsSentAndTypesAsFastAsTheGuestListens) {
  FakeControl control;
  SerialView view;
  Uart uart;
  view.set_receiver(&uart);
  const std::string_view hello = "login: ";
  view.send({reinterpret_cast<const u8*>(hello.data()), hello.size()});
  EXPECT_EQ(view.last(5), std::vector<std::string>{"login: "});
  view.type(control, "root\r");
  EXPECT_EQ(uart.got, "ro");
  uart.room = 10;
  view.receiver_ready();
  EXPECT_EQ(uart.got, "root\r");
}

}  // namespace
}  // namespace emu
