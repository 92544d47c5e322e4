// SPDX-License-Identifier: Apache-2.0
#include "devices/serial/debug_ports.h"

#include "devices/serial/recording_char.h"
#include "devices/transfer_test.h"

namespace emu {
namespace {

struct DebugConsoleRig final : DeviceRig {
  NullChar backend;
  DebugConsole console{"debugcon", backend};
  Device& device() override { return console; }
  std::vector<RigWindow> windows() override { return {{&console.ports(), 1}}; }
};
struct DebugExitRig final : DeviceRig {
  DebugExit port{[](u32) {}};
  Device& device() override { return port; }
  std::vector<RigWindow> windows() override { return {{&port.ports(), 4, {1, 4}}}; }
};
INSTANTIATE_TEST_SUITE_P(DebugPorts, TransferTest,
                         testing::Values(device_under_test<DebugConsoleRig>("debug_console"),
                                         device_under_test<DebugExitRig>("debug_exit")),
                         device_under_test_name);

TEST(DebugConsole, PrintsAndIdentifiesItself) {
  RecordingChar screen;
  DebugConsole console("debugcon", screen);
  EXPECT_EQ(console.ports().read(0, 1), 0xe9u);
  for (const char c : {'o', 'k', '\n'}) console.ports().write(0, 1, static_cast<u8>(c));
  EXPECT_EQ(screen.take_text(), "ok\n");
}

TEST(DebugExit, PassesTheValueOn) {
  std::vector<u32> values;
  DebugExit port([&](u32 value) { values.push_back(value); });
  EXPECT_EQ(port.ports().read(0, 4), 0u);
  port.ports().write(0, 1, 0x10);
  port.ports().write(0, 4, 0xdeadbeef);
  EXPECT_EQ(values, (std::vector<u32>{0x10, 0xdeadbeef}));
}

}  // namespace
}  // namespace emu
