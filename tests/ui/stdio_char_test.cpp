// SPDX-License-Identifier: Apache-2.0
// The console on standard input and output, over pipes and a pseudo-terminal.
#include "ui/stdio_char.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <unistd.h>

#include <array>
#include <string>

#include "ui/fake_control.h"
#include "ui/file_char.h"
#include "ui/headless.h"

namespace emu {
namespace {

using testing::FakeControl;

struct Pipe {
  Pipe() {
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    read_end.reset(ends[0]);
    write_end.reset(ends[1]);
  }
  UniqueFd read_end;
  UniqueFd write_end;
};

std::span<const u8> bytes_of(std::string_view text) {
  return {reinterpret_cast<const u8*>(text.data()), text.size()};
}

std::string read_until_end(int fd) {
  std::string text;
  std::array<char, 4096> buffer;
  for (ssize_t n; (n = ::read(fd, buffer.data(), buffer.size())) > 0;) {
    text.append(buffer.data(), static_cast<std::size_t>(n));
  }
  return text;
}

void type(const UniqueFd& fd, std::string_view text) {
  ASSERT_EQ(::write(fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

// A device with a small input buffer that the test empties.
class SmallReceiver final : public CharReceiver {
 public:
  explicit SmallReceiver(FakeControl& control, std::size_t room) : control_(control), room_(room) {}
  std::size_t can_receive() const override { return room_ - held_.size(); }
  void receive(std::span<const u8> bytes) override {
    EXPECT_LE(bytes.size(), can_receive());
    held_.append(bytes.begin(), bytes.end());
    arrived_.notify_all();
  }
  // Takes everything that is held, waiting for at least one byte.
  std::string take(CharBackend& backend) {
    MachineLock lock = control_.lock();
    arrived_.wait(lock, [this] { return !held_.empty(); });
    std::string taken;
    taken.swap(held_);
    backend.receiver_ready();
    return taken;
  }
  std::string take(CharBackend& backend, std::size_t count) {
    std::string all;
    while (all.size() < count) all += take(backend);
    return all;
  }

 private:
  FakeControl& control_;
  std::size_t room_;
  std::string held_;
  std::condition_variable arrived_;
};

StdioChar::Options over(const Pipe& in, const Pipe& out) {
  StdioChar::Options options;
  options.input_fd = in.read_end.get();
  options.output_fd = out.write_end.get();
  return options;
}

TEST(EscapeKeys, SplitsCommandsFromText) {
  EscapeKeys keys;
  std::vector<u8> out;
  EXPECT_TRUE(keys.filter(bytes_of("ab\x01"), out).empty());
  const auto commands = keys.filter(bytes_of("hc\x01\x01\x01zd\x01x"), out);
  EXPECT_EQ(commands, (std::vector{EscapeKeys::Command::kHelp, EscapeKeys::Command::kQuit}));
  EXPECT_EQ(std::string(out.begin(), out.end()),
            "abc\x01"
            "d");
}

TEST(StdioChar, LosesNoOutputAtTheEnd) {
  Pipe in, out;
  std::string sent;
  {
    StdioChar console(over(in, out));
    for (int i = 0; i < 5000; ++i) {
      const std::string piece = std::to_string(i) + ' ';
      sent += piece;
      console.send(bytes_of(piece));
    }
  }
  out.write_end.reset();
  EXPECT_EQ(read_until_end(out.read_end.get()), sent);
}

TEST(StdioChar, AClosedReaderIsNoHarm) {
  Pipe in, out;
  StdioChar console(over(in, out));
  out.read_end.reset();
  console.send(bytes_of("nobody hears this"));
}

TEST(StdioChar, DeliversOnlyWhatTheDeviceTakes) {
  Pipe in, out;
  FakeControl control;
  SmallReceiver device(control, 16);
  StdioChar console(over(in, out));
  console.set_receiver(&device);
  console.start(control);
  std::string text;
  for (int i = 0; i < 3000; ++i) text += std::to_string(i) + '\n';
  type(in.write_end, text);
  EXPECT_EQ(device.take(console, text.size()), text);
}

TEST(StdioChar, EndOfInputIsNoExit) {
  Pipe in, out;
  FakeControl control;
  SmallReceiver device(control, 16);
  StdioChar console(over(in, out));
  console.set_receiver(&device);
  console.start(control);
  type(in.write_end, "last");
  in.write_end.reset();
  EXPECT_EQ(device.take(console, 4), "last");
  console.stop();
  EXPECT_FALSE(control.finished());
}

TEST(StdioChar, CtrlAxQuitsAndHeadlessReturns) {
  Pipe in, out;
  FakeControl control;
  SmallReceiver device(control, 4);  // full: commands work all the same
  StdioChar console(over(in, out));
  console.set_receiver(&device);
  console.start(control);
  type(in.write_end, "a lot of text\x01x");
  HeadlessInterface().run(control);
  EXPECT_TRUE(control.finished());
}

TEST(StdioChar, WithoutEscapesCtrlAIsText) {
  Pipe in, out;
  FakeControl control;
  SmallReceiver device(control, 16);
  StdioChar::Options options = over(in, out);
  options.escapes = false;
  StdioChar console(options);
  console.set_receiver(&device);
  console.start(control);
  type(in.write_end, "\x01x");
  EXPECT_EQ(device.take(console, 2), "\x01x");
}

TEST(RawTerminal, IsRawWhileItLivesAndThenAsBefore) {
  int master = -1;
  int slave = -1;
  if (::openpty(&master, &slave, nullptr, nullptr, nullptr) != 0) GTEST_SKIP() << "no /dev/ptmx";
  const UniqueFd master_fd(master);
  const UniqueFd slave_fd(slave);
  termios before, during, after;
  ::tcgetattr(slave, &before);
  {
    const RawTerminal raw(slave, RawTerminal::Signals::kGoToGuest);
    EXPECT_TRUE(raw.active());
    ::tcgetattr(slave, &during);
  }
  ::tcgetattr(slave, &after);
  EXPECT_EQ(during.c_lflag & static_cast<tcflag_t>(ECHO | ICANON | ISIG), 0u);
  EXPECT_NE(during.c_oflag & static_cast<tcflag_t>(OPOST), 0u);
  EXPECT_EQ(after.c_lflag, before.c_lflag);
  EXPECT_EQ(after.c_iflag, before.c_iflag);
}

TEST(RawTerminal, ComesBackWhenTheProcessAborts) {
  int master = -1;
  int slave = -1;
  if (::openpty(&master, &slave, nullptr, nullptr, nullptr) != 0) GTEST_SKIP() << "no /dev/ptmx";
  const UniqueFd master_fd(master);
  const UniqueFd slave_fd(slave);
  termios before, after;
  ::tcgetattr(slave, &before);
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(
      {
        const RawTerminal raw(slave, RawTerminal::Signals::kGoToGuest);
        std::abort();
      },
      "");
  ::tcgetattr(slave, &after);
  EXPECT_EQ(after.c_lflag, before.c_lflag);
}

TEST(FileChar, WritesToItsFile) {
  const std::string path = ::testing::TempDir() + "emu_file_char_test.txt";
  {
    auto file = FileChar::create(path);
    ASSERT_TRUE(file);
    (*file)->send(bytes_of("hello\n"));
  }
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(read_until_end(fd.get()), "hello\n");
  ::unlink(path.c_str());
}

TEST(FileChar, NamesThePathThatItCannotWrite) {
  const auto file = FileChar::create("/no/such/folder/log");
  ASSERT_FALSE(file);
  EXPECT_NE(file.error().message.find("/no/such/folder/log"), std::string::npos);
}

}  // namespace
}  // namespace emu
