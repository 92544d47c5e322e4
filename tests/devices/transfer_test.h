// SPDX-License-Identifier: Apache-2.0
// The round trip that every Device must survive: see transfer_test.cpp for what is checked.
//
// To put a device under test, write in a .cpp of your own:
//
//   struct PicRig final : DeviceRig {
//     I8259Pair pic{IrqLine()};
//     Device& device() override { return pic; }
//     std::vector<RigWindow> windows() override { return {{&pic.master_ports(), 2}}; }
//   };
//   INSTANTIATE_TEST_SUITE_P(Pic, TransferTest, testing::Values(device_under_test<PicRig>("pic")),
//                            device_under_test_name);
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/vm_time.h"
#include "devices/device.h"
#include "devices/pci/pci_function.h"
#include "memory/io_handler.h"

namespace emu {

// A window that gets random accesses. `sizes` as the machine would give the bus.
struct RigWindow {
  IoHandler* handler = nullptr;
  u64 size_bytes = 0;
  AccessSizes sizes{1, 1, false};
};

// A device with everything that its constructor wants. Each call of the factory makes an equal one.
class DeviceRig {
 public:
  virtual ~DeviceRig() = default;
  [[nodiscard]] virtual Device& device() = 0;
  [[nodiscard]] virtual std::vector<RigWindow> windows() { return {}; }
  // Configuration spaces that get random accesses.
  [[nodiscard]] virtual std::vector<PciFunction*> functions() { return {}; }
  // Input other than register accesses (keys, packets, bytes); `random` is different each time.
  virtual void poke(u64 random) { static_cast<void>(random); }

  FakeClock clock;
};

struct DeviceUnderTest {
  std::string name;  // letters, digits and underscores
  std::function<std::unique_ptr<DeviceRig>()> make;
};

template <class Rig>
[[nodiscard]] DeviceUnderTest device_under_test(std::string name) {
  return {std::move(name), [] { return std::make_unique<Rig>(); }};
}

inline std::string device_under_test_name(const testing::TestParamInfo<DeviceUnderTest>& info) {
  return info.param.name;
}

inline void PrintTo(const DeviceUnderTest& device, std::ostream* out) {
  *out << device.name;
}

class TransferTest : public testing::TestWithParam<DeviceUnderTest> {
 protected:
  void SetUp() override { set_log_level(LogLevel::kError); }
  void TearDown() override { set_log_level(LogLevel::kWarning); }
};

}  // namespace emu
