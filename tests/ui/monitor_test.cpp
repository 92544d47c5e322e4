// SPDX-License-Identifier: Apache-2.0
// The monitor: words, answers, what a person types, and the socket for scripts.
#include "ui/monitor/monitor.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>
#include <filesystem>

#include "base/unique_fd.h"
#include "ui/fake_control.h"
#include "ui/monitor/monitor_console.h"
#include "ui/monitor/monitor_socket.h"

namespace emu {
namespace {

using Words = std::vector<std::string>;

// A machine with one command, which gives its words back in brackets.
class EchoControl : public testing::FakeControl {
 public:
  EchoControl() {
    commands_.push_back({"echo", "WORDS", "Give the words back",
                         [](std::span<const std::string> words) -> Result<std::string> {
                           std::string out;
                           for (const std::string& word : words) out += "[" + word + "]";
                           if (out.empty()) return fail("echo takes words");
                           return out + "\n";
                         }});
  }
  std::span<const ControlCommand> commands() const override { return commands_; }

 private:
  std::vector<ControlCommand> commands_;
};

TEST(Monitor, SplitsWordsAtBlanksOutsideQuotes) {
  EXPECT_EQ(*Monitor::split("  save  a.state\t"), (Words{"save", "a.state"}));
  EXPECT_EQ(*Monitor::split(R"(save "my file" "a\"b\\")"), (Words{"save", "my file", R"(a"b\)"}));
  EXPECT_EQ(*Monitor::split(R"(set "")"), (Words{"set", ""}));
  EXPECT_TRUE(Monitor::split("")->empty());
  EXPECT_FALSE(Monitor::split(R"(save "open)"));
}

TEST(Monitor, PassesWordsToTheMachinesCommand) {
  EchoControl control;
  Monitor monitor(control);
  EXPECT_EQ(monitor.execute("echo one \"two three\""), "[one][two three]\n");
  EXPECT_EQ(monitor.execute("echo"), "error: echo takes words\n");
  EXPECT_EQ(monitor.execute(""), "");
  EXPECT_EQ(monitor.execute("ecko"), "error: there is no command 'ecko'; help lists all\n");
}

TEST(Monitor, HelpListsTheMachinesCommands) {
  EchoControl control;
  Monitor monitor(control);
  EXPECT_NE(monitor.execute("help").find("echo WORDS"), std::string::npos);
  EXPECT_NE(monitor.execute("help").find("screendump FILE"), std::string::npos);
  EXPECT_EQ(monitor.execute("help echo").find("screendump"), std::string::npos);
}

std::span<const u8> bytes(std::string_view text) {
  return {reinterpret_cast<const u8*>(text.data()), text.size()};
}

TEST(MonitorConsole, EchoesAndErasesWhatIsTyped) {
  EchoControl control;
  std::string out;
  MonitorConsole console(control, MonitorConsole::Style::kTyped,
                         [&](std::string_view text) { out += text; });
  console.open();
  console.type(
      bytes("echo xa\x7f\b"
            "b\r"));
  EXPECT_EQ(out, "\r\n(emu) echo xa\b \b\b \bb\r\n[b]\r\n(emu) ");
}

TEST(MonitorConsole, CutsAnEndlessLine) {
  EchoControl control;
  std::string out;
  MonitorConsole console(control, MonitorConsole::Style::kScript,
                         [&](std::string_view text) { out += text; });
  console.type(bytes("echo " + std::string(100'000, 'x')));
  console.type(bytes("\n"));
  EXPECT_EQ(out, "[" + std::string(MonitorConsole::kMaxLineBytes - 5, 'x') + "]\n(emu) ");
}

class MonitorSocketTest : public ::testing::Test {
 protected:
  MonitorSocketTest() {
    std::string name = ::testing::TempDir() + "monitor-XXXXXX";
    folder_ = ::mkdtemp(name.data());
    path_ = folder_ + "/socket";
  }
  ~MonitorSocketTest() override { std::filesystem::remove_all(folder_); }

  UniqueFd connect() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.data(), path_.size());
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return fd;
  }
  static std::string read_until(const UniqueFd& fd, std::string_view end) {
    std::string out;
    char c = 0;
    while (!out.ends_with(end) && ::recv(fd.get(), &c, 1, 0) == 1) out += c;
    return out;
  }

  std::string folder_, path_;
};

TEST_F(MonitorSocketTest, ServesOneClientAfterTheOther) {
  EchoControl control;
  auto socket = MonitorSocket::create(path_);
  ASSERT_TRUE(socket) << socket.error().message;
  (*socket)->start(control);
  for (int i = 0; i < 2; ++i) {
    const UniqueFd client = connect();
    EXPECT_EQ(read_until(client, "(emu) "), "(emu) ");
    ASSERT_EQ(::send(client.get(), "echo hi\n", 8, 0), 8);
    EXPECT_EQ(read_until(client, "(emu) "), "[hi]\n(emu) ");
  }
}

TEST_F(MonitorSocketTest, AClientThatNeverReadsDoesNotHoldUpTheEnd) {
  EchoControl control;
  auto socket = MonitorSocket::create(path_);
  ASSERT_TRUE(socket);
  (*socket)->start(control);
  const UniqueFd client = connect();
  std::string lines;
  while (lines.size() < 4'000'000) lines += "echo " + std::string(1000, 'x') + "\n";
  while (!lines.empty()) {  // until it is cut off
    const ssize_t sent = ::send(client.get(), lines.data(), lines.size(), MSG_NOSIGNAL);
    if (sent <= 0) break;
    lines.erase(0, static_cast<std::size_t>(sent));
  }
  EXPECT_FALSE(lines.empty());
  socket->reset();
}

TEST_F(MonitorSocketTest, BelongsToTheUserAndGoesAway) {
  auto socket = MonitorSocket::create(path_);
  ASSERT_TRUE(socket);
  struct stat info {};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_FALSE(MonitorSocket::create(path_)) << "something is there";
  socket->reset();
  EXPECT_FALSE(std::filesystem::exists(path_));
  EXPECT_FALSE(MonitorSocket::create(std::string(200, 'x')));
}

}  // namespace
}  // namespace emu
