// SPDX-License-Identifier: Apache-2.0
// PNG files and the guest's screen as text.
#include "ui/screenshot.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "ui/fake_control.h"
#include "ui/png_file.h"
#include "ui/terminal/code_page_437.h"

namespace emu {
namespace {

using testing::FakeControl;

class FixedDisplay final : public DisplaySource {
 public:
  bool render(Frame& out) override {
    out = frame;
    return true;
  }
  bool text(TextScreen& out) override {
    out = screen;
    return screen.columns != 0;
  }
  Frame frame;
  TextScreen screen;
};

TEST(Screenshot, PngKeepsEveryPixel) {
  FakeControl control;
  FixedDisplay display;
  control.display_source = &display;
  display.frame.width = 3;
  display.frame.height = 2;
  display.frame.pixels = {0xFF0000, 0x00FF00, 0x0000FF, 0x123456, 0x000000, 0xFFFFFF};
  const std::string path = ::testing::TempDir() + "emu_screenshot_test.png";
  const auto saved = save_screenshot(control, path);
  ASSERT_TRUE(saved) << saved.error().message;
  const auto read = read_png(path);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->width, 3u);
  EXPECT_EQ(read->pixels, display.frame.pixels);
  ::unlink(path.c_str());
}

TEST(Screenshot, ErrorsNameTheFile) {
  FakeControl control;
  const auto no_display = save_screenshot(control, "a.png");
  ASSERT_FALSE(no_display);
  EXPECT_NE(no_display.error().message.find("a.png"), std::string::npos);
  FixedDisplay display;
  control.display_source = &display;
  EXPECT_FALSE(save_screenshot(control, "a.png")) << "an empty screen";
  display.frame.width = display.frame.height = 1;
  display.frame.pixels = {0};
  const auto no_folder = save_screenshot(control, "/no/such/folder/a.png");
  ASSERT_FALSE(no_folder);
  EXPECT_NE(no_folder.error().message.find("/no/such/folder/a.png: No such file"),
            std::string::npos)
      << no_folder.error().message;
  EXPECT_FALSE(read_png("/dev/null"));
}

TEST(Screenshot, TextIsUtf8WithoutTrailingBlanks) {
  FakeControl control;
  FixedDisplay display;
  control.display_source = &display;
  display.screen.columns = 4;
  display.screen.rows = 2;
  display.screen.cells = {0x0748, 0x0769, 0x0720, 0x0700, 0x07C9, 0x0720, 0x0781, 0x0720};
  EXPECT_EQ(screen_text(control), "Hi\n╔ ü\n");
  EXPECT_TRUE(wait_for_screen_text(control, "Hi", std::chrono::milliseconds(0)));
  EXPECT_FALSE(wait_for_screen_text(control, "Ho", std::chrono::milliseconds(0)));
}

TEST(ScreenshotJob, WaitsForItsMomentOrTheEnd) {
  FakeControl control;
  FixedDisplay display;
  control.display_source = &display;
  display.frame.width = display.frame.height = 1;
  display.frame.pixels = {0x123456};
  display.screen.columns = display.screen.rows = 1;
  display.screen.cells = {0x0741};
  const std::string path = ::testing::TempDir() + "emu_screenshot_job_test.png";
  for (const char* after : {"0", "A"}) {  // at once, and when the text is there
    { const ScreenshotJob job(control, path, after); }
    EXPECT_TRUE(read_png(path)) << after;
    ::unlink(path.c_str());
  }
  for (const char* after : {"", "1000", "B"}) {  // only the end of the machine brings these
    {
      const ScreenshotJob job(control, path, after);
      control.finish();
    }
    EXPECT_TRUE(read_png(path)) << after;
    ::unlink(path.c_str());
  }
  { const ScreenshotJob none(control, "", ""); }
}

TEST(CodePage437, HasOneGlyphForEachCode) {
  std::string all;
  for (u32 code = 0; code < 256; ++code) append_code_page_437(all, static_cast<u8>(code));
  std::size_t glyphs = 0;
  for (const char c : all) glyphs += (c & 0xC0) != 0x80 ? 1 : 0;
  EXPECT_EQ(glyphs, 256u);
  EXPECT_NE(all.find("~⌂Ç"), std::string::npos);
  EXPECT_NE(all.find("²■ "), std::string::npos);
}

}  // namespace
}  // namespace emu
