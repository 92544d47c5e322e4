// SPDX-License-Identifier: Apache-2.0
// Every device: save -> load -> save gives equal bytes, fresh and after random use; a stream that
// is cut short or damaged gives an error or a device that still works, never a crash.
#include "transfer_test.h"

#include <algorithm>
#include <random>

namespace emu {
namespace {

constexpr unsigned kSteps = 2000;
constexpr unsigned kDamagedStreams = 200;

std::vector<u8> save(Device& device) {
  StateIo io = StateIo::saver();
  device.transfer(io);
  return io.bytes();
}

bool load(Device& device, std::span<const u8> bytes) {
  StateIo io = StateIo::loader(bytes);
  device.transfer(io);
  return static_cast<bool>(io.finish());
}

std::string print(Device& device) {
  StateIo io = StateIo::printer();
  device.transfer(io);
  return io.text();
}

std::unique_ptr<DeviceRig> fresh(const DeviceUnderTest& param) {
  auto rig = param.make();
  rig->device().reset();
  return rig;
}

// Random accesses of legal size and alignment, inputs and pauses, the same for the same seed.
class RandomUser {
 public:
  RandomUser(DeviceRig& rig, u64 seed)
      : rig_(rig), windows_(rig.windows()), functions_(rig.functions()), random_(seed) {}

  void use(unsigned steps) {
    for (unsigned i = 0; i < steps; ++i) step();
  }

 private:
  void step() {
    const u64 kind = random_() % 16;
    if (kind == 0) rig_.clock.advance(random_() % 3'000'000);
    if (kind == 1) rig_.poke(random_());
    if (kind == 2 && !functions_.empty())
      return configure(*functions_[random_() % size(functions_)]);
    if (!windows_.empty()) access(windows_[random_() % size(windows_)]);
  }

  void access(const RigWindow& window) {
    std::vector<unsigned> widths;
    for (unsigned w = window.sizes.min_bytes; w <= window.sizes.max_bytes; w *= 2) {
      if (w <= window.size_bytes) widths.push_back(w);
    }
    if (widths.empty()) return;
    const unsigned width = widths[random_() % widths.size()];
    u64 offset = random_() % (window.size_bytes - width + 1);
    if (!window.sizes.unaligned) offset -= offset % width;
    const u64 mask = width == 8 ? ~u64{0} : (u64{1} << (width * 8)) - 1;
    if (random_() % 3 == 0) {
      static_cast<void>(window.handler->read(offset, width));
    } else {
      window.handler->write(offset, width, value() & mask);
    }
  }

  void configure(PciFunction& function) {
    const unsigned width = 1u << (random_() % 3);
    const u32 offset = static_cast<u32>(random_() % 256) & ~(width - 1);
    const u32 mask = width == 4 ? ~0u : (1u << (width * 8)) - 1;
    if (random_() % 3 == 0) {
      static_cast<void>(function.read_config(offset, width));
    } else {
      function.write_config(offset, width, static_cast<u32>(value()) & mask);
    }
  }

  // Registers care about single bits and small numbers more than about noise.
  u64 value() {
    switch (random_() % 4) {
      case 0:
        return random_() % 16;
      case 1:
        return u64{1} << (random_() % 64);
      case 2:
        return ~u64{0};
      default:
        return random_();
    }
  }

  DeviceRig& rig_;
  std::vector<RigWindow> windows_;
  std::vector<PciFunction*> functions_;
  std::mt19937_64 random_;
};

void expect_round_trip(const DeviceUnderTest& param, DeviceRig& rig) {
  const std::vector<u8> saved = save(rig.device());
  auto other = fresh(param);
  other->clock.advance(rig.clock.now_ns());
  other->device().reset();
  ASSERT_TRUE(load(other->device(), saved));
  EXPECT_EQ(save(other->device()), saved) << print(rig.device()) << "became\n"
                                          << print(other->device());
  other->device().resumed();
  EXPECT_EQ(save(other->device()), saved) << "resumed() changed the state:\n"
                                          << print(rig.device()) << "became\n"
                                          << print(other->device());
}

TEST_P(TransferTest, FreshStateSurvivesSaveAndLoad) {
  auto rig = fresh(GetParam());
  EXPECT_FALSE(rig->device().name().empty());
  EXPECT_FALSE(save(rig->device()).empty());
  expect_round_trip(GetParam(), *rig);
}

TEST_P(TransferTest, UsedStateSurvivesSaveAndLoad) {
  for (u64 seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE(seed);
    auto rig = fresh(GetParam());
    RandomUser(*rig, seed).use(kSteps);
    expect_round_trip(GetParam(), *rig);
  }
}

TEST_P(TransferTest, SecondResetChangesNothing) {
  auto rig = fresh(GetParam());
  RandomUser(*rig, 3).use(kSteps);
  rig->device().reset();
  const std::string once = print(rig->device());
  rig->device().reset();
  EXPECT_EQ(print(rig->device()), once);
}

TEST_P(TransferTest, TruncatedStreamIsAnError) {
  auto rig = fresh(GetParam());
  RandomUser(*rig, 4).use(kSteps);
  const std::vector<u8> saved = save(rig->device());
  const std::size_t stride = std::max<std::size_t>(1, saved.size() / 200);
  for (std::size_t n = 1; n < saved.size(); n += stride) {
    auto other = fresh(GetParam());
    EXPECT_FALSE(load(other->device(), std::span(saved).first(n))) << n;
  }
}

// Whatever a damaged stream makes of the device: if load takes it, the device must work with it.
TEST_P(TransferTest, DamagedStreamNeverCrashes) {
  auto rig = fresh(GetParam());
  RandomUser(*rig, 5).use(kSteps);
  const std::vector<u8> saved = save(rig->device());
  std::mt19937_64 random(6);
  for (unsigned i = 0; i < kDamagedStreams; ++i) {
    SCOPED_TRACE(i);
    std::vector<u8> damaged = saved;
    const unsigned bytes = 1 + static_cast<unsigned>(random() % 8);
    for (unsigned k = 0; k < bytes; ++k) {
      damaged[random() % damaged.size()] = random() % 2 ? 0xff : static_cast<u8>(random());
    }
    auto other = fresh(GetParam());
    other->clock.advance(rig->clock.now_ns());
    if (!load(other->device(), damaged)) continue;
    other->device().resumed();
    RandomUser(*other, i).use(100);
  }
}

}  // namespace
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(TransferTest);
}  // namespace emu
