// SPDX-License-Identifier: Apache-2.0
// The VNC server with a client that speaks the protocol by hand, well and badly.
#include "ui/vnc/vnc_server.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <random>

#include "devices/input/scancodes.h"
#include "ui/fake_control.h"
#include "ui/vnc/vnc_client.h"
#include "ui/vnc/vnc_keys.h"

namespace emu {
namespace {

using testing::FakeControl;
using testing::VncClient;

TEST(VncAddress, IsADisplayOrASocket) {
  EXPECT_EQ(parse_vnc_address(":1")->text(), "127.0.0.1:5901");
  EXPECT_EQ(parse_vnc_address("localhost:0")->text(), "127.0.0.1:5900");
  EXPECT_EQ(parse_vnc_address("unix:/tmp/x")->text(), "unix:/tmp/x");
  for (const char* wrong : {"", "1", ":", ":x", ":60000", ":-1", "example.org:1",
                            "unix:", ":1,tls=on", ":1,password-file=/nonexistent"}) {
    EXPECT_FALSE(parse_vnc_address(wrong)) << wrong;
  }
}

TEST(VncAddress, OthersNeedAPassword) {
  const auto open = parse_vnc_address("0.0.0.0:1");
  ASSERT_FALSE(open);
  EXPECT_NE(open.error().message.find("password-file"), std::string::npos);
}

// Every key of a PS/2 keyboard has the XT code that the 8042 makes of it.
TEST(VncKeys, XtCodesAreThe8042s) {
  for (KeyCode key = 4; key < 0xe8; ++key) {
    const KeyScanCodes codes = scan_codes(key);
    if (codes.set2 == 0 || key == 0x32 || key == kKeyPause || (key >= 0x66 && key <= 0x73))
      continue;
    const u32 code = translate_set2_to_set1(codes.set2) | (codes.extended ? 0x80u : 0u);
    ASSERT_TRUE(key_of_xt_code(code)) << key << " is " << code;
    EXPECT_EQ(*key_of_xt_code(code), key);
  }
  EXPECT_FALSE(key_of_xt_code(0));
  EXPECT_FALSE(key_of_xt_code(~0u));
}

TEST(VncKeys, KeysymsAreKeysOfAUsBoard) {
  EXPECT_EQ(*key_of_keysym('a'), 0x04);
  EXPECT_EQ(*key_of_keysym('A'), 0x04);
  EXPECT_EQ(*key_of_keysym('!'), 0x1e);
  EXPECT_EQ(*key_of_keysym(0xff0d), 0x28);
  EXPECT_EQ(*key_of_keysym(0xffc9), 0x45);
  EXPECT_FALSE(key_of_keysym(0x20ac));
}

// A picture whose size a test may change.
class StillDisplay final : public DisplaySource {
 public:
  bool render(Frame& frame) override {
    if (frame.sequence == sequence) return false;
    frame.width = width;
    frame.height = height;
    frame.pixels.clear();
    for (u32 i = 0; i < width * height; ++i) frame.pixels.push_back(i * 2654435761u & 0xffffff);
    frame.changed_top = 0;
    frame.changed_bottom = height;
    frame.sequence = sequence;
    return true;
  }
  bool text(TextScreen&) override { return false; }
  void prefer_size(u32 new_width, u32 new_height) override {
    width = new_width;
    height = new_height;
    ++sequence;
  }
  u32 width = 320, height = 200;
  u64 sequence = 1;
};

class RecordingKeyboard final : public KeyboardSink {
 public:
  void key(KeyCode code, bool pressed) override {
    keys += (pressed ? '+' : '-') + std::to_string(code) + ' ';
  }
  std::string keys;
};

class RecordingMouse final : public MouseSink {
 public:
  void move(i32 dx, i32 dy, i32 wheel) override {
    log += fmt::format("move {} {} {}; ", dx, dy, wheel);
  }
  void button(MouseButton button, bool pressed) override {
    log += fmt::format("{}{}; ", pressed ? "press " : "release ", static_cast<unsigned>(button));
  }
  std::string log;
};

class RecordingTablet final : public TabletSink {
 public:
  bool is_listening() const override { return true; }
  void point(u16 x, u16 y, i32 wheel) override { log += fmt::format("{} {} {}; ", x, y, wheel); }
  void button(MouseButton, bool pressed) override { log += pressed ? "press; " : "release; "; }
  std::string log;
};

class VncServerTest : public ::testing::Test {
 protected:
  VncServerTest() {
    char folder[] = "/tmp/emu-vnc-XXXXXX";
    folder_ = ::mkdtemp(folder);
    control_.display_source = &display_;
    control_.keyboard_sink = &keyboard_;
    control_.mouse_sink = &mouse_;
  }
  ~VncServerTest() override {
    server_.reset();
    if (has_password_) ::unlink((folder_ + "/password").c_str());
    EXPECT_EQ(::rmdir(folder_.c_str()), 0) << "the socket is still there";
  }
  std::string socket() const { return folder_ + "/vnc"; }
  void serve(const std::string& options = {}) {
    const auto address = parse_vnc_address("unix:" + socket() + options);
    ASSERT_TRUE(address) << address.error().message;
    auto server = VncServer::open(*address);
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
    server_->start(control_);
  }
  // Waits until the server has handled everything the client sent, then looks.
  template <class Look>
  auto after(VncClient& client, Look look) {
    static_cast<void>(client.screen());
    const MachineLock lock = control_.lock();
    return look();
  }
  std::string pressed(VncClient& client) {
    return after(client, [this] { return keyboard_.keys; });
  }

  std::string folder_;
  bool has_password_ = false;
  FakeControl control_;
  StillDisplay display_;
  RecordingKeyboard keyboard_;
  RecordingMouse mouse_;
  RecordingTablet tablet_;
  std::unique_ptr<VncServer> server_;
};

TEST_F(VncServerTest, ShowsThePicturePixelByPixel) {
  serve();
  VncClient client(socket());
  ASSERT_TRUE(client.greet());
  Frame picture;
  display_.render(picture);
  static_cast<void>(client.screen());  // from the size before the first picture
  const Frame shown = client.screen();
  ASSERT_EQ(shown.width, 320u);
  ASSERT_EQ(shown.height, 200u);
  EXPECT_TRUE(shown.pixels == picture.pixels);
}

TEST_F(VncServerTest, FollowsTheGuestsSize) {
  serve();
  VncClient client(socket());
  ASSERT_TRUE(client.greet());
  static_cast<void>(client.screen());
  {
    const MachineLock lock = control_.lock();
    display_.width = 801;
    display_.height = 601;
    display_.sequence = 2;
  }
  Frame shown;
  for (int i = 0; i < 50 && client.ok() && shown.width != 801; ++i) shown = client.screen();
  Frame picture;
  display_.render(picture);
  ASSERT_EQ(shown.height, 601u);
  shown = client.screen();
  EXPECT_TRUE(shown.pixels == picture.pixels);
}

TEST_F(VncServerTest, ClientsMayAskForASize) {
  serve();
  VncClient client(socket());
  ASSERT_TRUE(client.greet());
  client.set_encodings({0, -223, -308});
  client.set_encodings({0, -223});  // knows the message, and takes the plain answer
  client.set_desktop_size(641, 479);
  Frame shown;
  for (int i = 0; i < 50 && client.ok() && shown.width != 641; ++i) shown = client.screen();
  EXPECT_EQ(shown.width, 641u);
  EXPECT_EQ(shown.height, 479u);
  client.set_desktop_size(0, 0);
  shown = client.screen();
  EXPECT_TRUE(client.ok());
  EXPECT_EQ(shown.width, 641u) << "no size";
}

TEST_F(VncServerTest, KeysReachTheGuestAndAreReleasedWhenTheClientGoes) {
  serve();
  {
    VncClient client(socket());
    ASSERT_TRUE(client.greet());
    client.key('a', true);
    client.key('a', false);
    client.key(0xffe1, true);
    EXPECT_EQ(pressed(client), "+4 -4 +225 ");
  }
  VncClient next(socket());
  ASSERT_TRUE(next.greet());
  EXPECT_EQ(pressed(next), "+4 -4 +225 -225 ");
}

TEST_F(VncServerTest, KeysMayComeAsScanCodes) {
  serve();
  VncClient client(socket());
  ASSERT_TRUE(client.greet());
  client.set_encodings({0, -223, -258});
  const auto answer = client.read(16);  // a rectangle that says yes
  EXPECT_EQ(answer[15], 0xfe);
  client.xt_key(0x56, true);  // the key beside the left Shift, on no US board
  client.xt_key(0x56, false);
  EXPECT_EQ(pressed(client), "+100 -100 ");
}

TEST_F(VncServerTest, AMouseIsMovedByDifferences) {
  serve();
  VncClient client(socket());
  ASSERT_TRUE(client.greet());
  static_cast<void>(client.screen());
  client.pointer(0, 100, 100);
  client.pointer(1, 110, 95);
  client.pointer(8, 110, 95);
  EXPECT_EQ(after(client, [this] { return mouse_.log; }),
            "move 10 -5 0; press 0; move 0 0 1; release 0; ");
}

TEST_F(VncServerTest, ATabletIsPointedAt) {
  control_.tablet_sink = &tablet_;
  serve();
  VncClient client(socket());
  ASSERT_TRUE(client.greet());
  static_cast<void>(client.screen());
  client.pointer(0, 319, 0);
  client.pointer(0, 60000, 60000);
  EXPECT_EQ(after(client, [this] { return tablet_.log; }), "32767 0 0; 32767 32767 0; ");
}

TEST_F(VncServerTest, CtrlAltVTypesWhatTheClientCopied) {
  serve();
  VncClient client(socket());
  ASSERT_TRUE(client.greet());
  client.cut_text("b\r\n");
  for (const u32 key : {0xffe3u, 0xffe9u, u32{'v'}}) client.key(key, true);
  std::string keys;
  for (int i = 0; i < 100 && keys.find("-40") == std::string::npos; ++i) keys = pressed(client);
  EXPECT_EQ(keys, "+224 +226 -224 -226 +5 -5 +40 -40 ");
}

TEST_F(VncServerTest, ThePasswordIsAsked) {
  const std::string file = folder_ + "/password";
  std::ofstream(file) << "secret\n";
  has_password_ = true;
  serve(",password-file=" + file);
  EXPECT_FALSE(VncClient(socket()).greet());
  EXPECT_FALSE(VncClient(socket()).greet("wrong"));
  EXPECT_TRUE(VncClient(socket()).greet("secret"));
}

TEST_F(VncServerTest, ASocketInUseIsNotTaken) {
  serve();
  const auto again = VncServer::open(*parse_vnc_address("unix:" + socket()));
  ASSERT_FALSE(again);
  EXPECT_NE(again.error().message.find("another program listens"), std::string::npos);
}

// Messages of every kind with absurd and random contents, half messages, and clients that leave
// in the middle; then somebody well-behaved.
TEST_F(VncServerTest, HostileClientsHurtNobody) {
  serve();
  std::mt19937 random(5);
  const auto next = [&random] { return static_cast<u8>(random()); };
  for (int round = 0; round < 40; ++round) {
    VncClient client(socket());
    if (round % 10 == 9) {  // no greeting at all
      std::vector<u8> noise(random() % 64);
      std::generate(noise.begin(), noise.end(), next);
      client.send(noise);
      continue;
    }
    ASSERT_TRUE(client.greet());
    for (int i = 0; i < 8; ++i) {
      std::vector<u8> message(1 + random() % 40);
      std::generate(message.begin(), message.end(), next);
      message[0] = static_cast<u8>(random() % 8);
      if (message[0] == 6 && message.size() > 4) message[4] = 0;  // a length it need not wait for
      if (round % 8 == 0) message[0] = 255;
      if (round % 6 == 0) std::fill(message.begin() + 1, message.end(), u8{0xff});
      client.send(message);
    }
  }
  server_->stop();
  serve();
  VncClient client(socket());
  ASSERT_TRUE(client.greet());
  static_cast<void>(client.screen());
  EXPECT_EQ(client.screen().width, 320u);
}

}  // namespace
}  // namespace emu
