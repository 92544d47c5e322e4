// SPDX-License-Identifier: Apache-2.0
// High Definition Audio as a driver uses it: out of reset, verbs through the rings, a stream.
#include "devices/sound/intel_hda.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "devices/pci/pci_rig.h"
#include "devices/sound/recording_audio.h"
#include "devices/transfer_test.h"

namespace emu {
namespace {

constexpr u64 kMs = 1'000'000, kBar = 0xf0000000;
constexpr u8 kDevfn = pci::devfn(4, 0);
constexpr u32 kCorb = 0x1000, kRirb = 0x2000, kList = 0x3000, kPositions = 0x4000, kBuffer = 0x8000;
constexpr u64 kOutStream = 0x80 + 0x20;

struct HdaRig final : DeviceRig {
  static constexpr u64 kRamBytes = kMiB;
  std::unique_ptr<GuestRam> ram = std::move(*GuestRam::create("ram", kRamBytes));
  std::unique_ptr<Region> ram_region = Region::ram("ram", *ram, 0, kRamBytes);
  PciRig pci;
  RecordingAudio audio;
  IntelHda hda{pci.bus, kDevfn, clock, audio};
  u8 sent = 0;

  HdaRig() {
    pci.memory->add(*ram_region, 0);
    hda.reset();
    power_up();
  }
  void power_up() {
    pci.write(kDevfn, 0x10, kBar);
    pci.write(kDevfn, 4, 6, 2);
  }
  u64 in(u64 reg, unsigned size) { return pci.memory_space.load(kBar + reg, size); }
  void out(u64 reg, unsigned size, u64 value) { pci.memory_space.store(kBar + reg, size, value); }
  bool irq() { return pci.pirqs.level(PciBus::pirq_of(kDevfn, 1)); }

  // Out of reset, and both rings running.
  void start() {
    out(0x08, 4, 0);
    out(0x08, 4, 1);
    out(0x40, 4, kCorb);
    out(0x50, 4, kRirb);
    out(0x4a, 2, 0x8000);
    out(0x4a, 2, 0);
    out(0x58, 2, 0x8000);
    out(0x5a, 2, 1);
    out(0x4c, 1, 2);
    out(0x5c, 1, 3);
    sent = 0;
  }
  // A verb through the rings; its response.
  u32 verb(u32 node, u32 command) {
    pci.memory_space.store(kCorb + 4u * ++sent, 4, node << 20 | command);
    out(0x48, 2, sent);
    EXPECT_EQ(in(0x58, 2), sent);
    return static_cast<u32>(pci.memory_space.load(kRirb + 8u * sent, 4));
  }
  // 440 Hz in two buffers of a tenth of a second, 48 kHz stereo, stream 1; at 0 dB.
  void prepare() {
    for (u32 i = 0; i < 9600; ++i) {
      const double angle = 2 * std::numbers::pi * 440 * i / 48000;
      const u32 value = static_cast<u16>(static_cast<i16>(20000 * std::sin(angle)));
      pci.memory_space.store(kBuffer + 4 * i, 4, value | value << 16);
    }
    for (u32 i = 0; i < 2; ++i) {
      pci.memory_space.store(kList + 16 * i, 8, kBuffer + i * 19200);
      pci.memory_space.store(kList + 16 * i + 8, 8, 19200 | u64{1} << 32);
    }
    out(kOutStream + 0x18, 4, kList);
    out(kOutStream + 0x08, 4, 38400);
    out(kOutStream + 0x0c, 2, 1);
    out(kOutStream + 0x12, 2, 0x0011);
    out(kOutStream + 0x02, 1, 0x10);
    out(0x20, 4, 0x80000002);
  }

  Device& device() override { return hda; }
  std::vector<PciFunction*> functions() override { return {&hda}; }
  std::vector<RigWindow> windows() override {
    return {{&hda.registers(), 0x100, AccessSizes{1, 4, false}}};
  }
  void poke(u64 random) override {
    power_up();
    out(0x08, 4, 1);
    prepare();
    out(kOutStream, 1, random & 0x1e);
    audio.left.clear();
    audio.right.clear();
  }
};

TEST(IntelHda, CodecIsFoundAndAnswers) {
  HdaRig rig;
  EXPECT_EQ(rig.in(0x00, 2), 0x1101u) << "one stream out, one in";
  EXPECT_EQ(rig.in(0x03, 1), 1u) << "version";
  rig.start();
  EXPECT_EQ(rig.in(0x0e, 2), 1u) << "codec 0 is there";
  rig.out(0x0e, 2, 1);
  EXPECT_EQ(rig.in(0x0e, 2), 0u);
  EXPECT_EQ(rig.verb(0, 0xf0000) >> 16, 0x1af4u) << "vendor";
  EXPECT_EQ(rig.verb(0, 0xf0004), 0x00010001u) << "one function group, node 1";
  EXPECT_EQ(rig.verb(1, 0xf0005), 1u) << "audio";
  EXPECT_EQ(rig.verb(1, 0xf0004), 0x00020004u) << "nodes 2 to 5";
  EXPECT_EQ(rig.verb(4, 0xf0009) >> 20, 4u) << "a pin";
  EXPECT_EQ(rig.verb(4, 0xf0200), 2u) << "fed by the converter";
  EXPECT_EQ(rig.verb(4, 0xf1c00), 0x01014010u) << "line out, a green jack at the rear";
  EXPECT_EQ(rig.verb(99, 0xf0009), 0u);
  rig.verb(2, 0x70610);
  EXPECT_EQ(rig.verb(2, 0xf0600), 0x10u);
}

TEST(IntelHda, ResponsesInterrupt) {
  HdaRig rig;
  rig.start();
  rig.out(0x20, 4, 0xc0000000);
  EXPECT_FALSE(rig.irq());
  rig.verb(0, 0xf0000);
  EXPECT_TRUE(rig.irq());
  EXPECT_EQ(rig.in(0x24, 4), 0xc0000000u);
  rig.out(0x5d, 1, 1);
  EXPECT_FALSE(rig.irq());
}

TEST(IntelHda, ImmediateCommands) {
  HdaRig rig;
  rig.start();
  rig.out(0x60, 4, 0x000f0000);
  rig.out(0x68, 2, 1);
  EXPECT_EQ(rig.in(0x68, 2), 2u);
  EXPECT_EQ(rig.in(0x64, 4) >> 16, 0x1af4u);
}

TEST(IntelHda, PlaysAtTheRateAndVolume) {
  HdaRig rig;
  rig.start();
  rig.prepare();
  rig.verb(2, 0x70610);  // stream 1
  rig.out(0x70, 4, kPositions | 1);
  rig.out(kOutStream, 1, 0x06);
  rig.clock.advance(50 * kMs);
  EXPECT_EQ(rig.in(kOutStream + 4, 4), 48u * 50 * 4);
  EXPECT_EQ(rig.pci.memory_space.load(kPositions + 8, 4), 48u * 50 * 4);
  EXPECT_FALSE(rig.irq());
  rig.clock.advance(60 * kMs);
  EXPECT_TRUE(rig.irq()) << "the first buffer is done";
  EXPECT_EQ(rig.in(kOutStream + 3, 1) & 4, 4u);
  rig.out(kOutStream + 3, 1, 4);
  EXPECT_FALSE(rig.irq());
  rig.clock.advance(890 * kMs);
  EXPECT_EQ(rig.audio.rate_hz, 48000u);
  EXPECT_EQ(rig.audio.left.size(), 48000u);
  EXPECT_NEAR(rig.audio.waves(), 440, 1);
  EXPECT_EQ(*std::max_element(rig.audio.left.begin(), rig.audio.left.end()), 20000);
  rig.audio.left.clear();
  rig.verb(2, 0x3a000 | (0x4a - 20));  // left: 20 dB down
  rig.verb(2, 0x39080);                // right: mute
  rig.audio.right.clear();
  rig.clock.advance(100 * kMs);
  EXPECT_NEAR(*std::max_element(rig.audio.left.begin(), rig.audio.left.end()), 2000, 2);
  EXPECT_EQ(*std::max_element(rig.audio.right.begin(), rig.audio.right.end()), 0);
}

TEST(IntelHda, AStreamThatNobodyListensToIsSilent) {
  HdaRig rig;
  rig.start();
  rig.prepare();
  rig.out(kOutStream, 1, 0x02);
  rig.clock.advance(100 * kMs);
  EXPECT_EQ(*std::max_element(rig.audio.left.begin(), rig.audio.left.end()), 0);
}

TEST(IntelHda, OddListsEnd) {
  HdaRig rig;
  rig.start();
  rig.prepare();
  for (u32 i = 0; i < 2; ++i) rig.pci.memory_space.store(kList + 16 * i + 8, 4, 0);
  rig.out(kOutStream + 0x12, 2, 0x0fff);
  rig.out(kOutStream, 1, 0x06);
  rig.clock.advance(1000 * kMs);
  rig.out(kOutStream, 1, 1);
  EXPECT_EQ(rig.in(kOutStream, 1), 1u) << "reset";
  EXPECT_EQ(rig.in(kOutStream + 4, 4), 0u);
}

INSTANTIATE_TEST_SUITE_P(IntelHda, TransferTest,
                         testing::Values(device_under_test<HdaRig>("intel_hda")),
                         device_under_test_name);

}  // namespace
}  // namespace emu
