// SPDX-License-Identifier: Apache-2.0
// AC'97 as a driver uses it: reset the codec, set volume and rate, give it buffers, run.
#include "devices/sound/ac97.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "devices/pci/pci_rig.h"
#include "devices/sound/recording_audio.h"
#include "devices/transfer_test.h"

namespace emu {
namespace {

constexpr u64 kMs = 1'000'000;
constexpr u8 kDevfn = pci::devfn(4, 0);
constexpr u16 kMixer = 0xc000, kMaster = 0xc400;  // ports of BARs 0 and 1
constexpr u32 kList = 0x1000, kBuffer = 0x8000;

struct Ac97Rig final : DeviceRig {
  static constexpr u64 kRamBytes = kMiB;
  std::unique_ptr<GuestRam> ram = std::move(*GuestRam::create("ram", kRamBytes));
  std::unique_ptr<Region> ram_region = Region::ram("ram", *ram, 0, kRamBytes);
  PciRig pci;
  RecordingAudio audio;
  Ac97 ac97{pci.bus, kDevfn, clock, audio};

  Ac97Rig() {
    pci.memory->add(*ram_region, 0);
    ac97.reset();
    power_up();
  }
  void power_up() {
    pci.write(kDevfn, 0x10, kMixer);
    pci.write(kDevfn, 0x14, kMaster);
    pci.write(kDevfn, 4, 5, 2);
  }
  u64 mixer(u64 reg) { return pci.port_space.load(kMixer + reg, 2); }
  void mixer(u64 reg, u64 value) { pci.port_space.store(kMixer + reg, 2, value); }
  u64 out(u64 reg, unsigned size) { return pci.port_space.load(kMaster + 0x10 + reg, size); }
  void out(u64 reg, unsigned size, u64 value) {
    pci.port_space.store(kMaster + 0x10 + reg, size, value);
  }
  void descriptor(u32 index, u32 address, u32 samples, bool interrupt) {
    pci.memory_space.store(kList + 8 * index, 4, address);
    pci.memory_space.store(kList + 8 * index + 4, 4, samples | (interrupt ? 1u << 31 : 0u));
  }
  // A sine of `hz` for `frames` stereo samples at `rate`.
  void sine(double hz, u32 rate, u32 frames) {
    for (u32 i = 0; i < frames; ++i) {
      const double angle = 2 * std::numbers::pi * hz * i / rate;
      const u32 value = static_cast<u16>(static_cast<i16>(20000 * std::sin(angle)));
      pci.memory_space.store(kBuffer + 4 * i, 4, value | value << 16);
    }
  }
  bool irq() { return pci.pirqs.level(PciBus::pirq_of(kDevfn, 1)); }
  // Volumes at 0 dB, the list of buffers, and 32 buffers of `frames` from one place.
  void prepare(u32 frames) {
    mixer(0x02, 0x0000);
    mixer(0x18, 0x0808);
    for (u32 i = 0; i < 32; ++i) descriptor(i, kBuffer, 2 * frames, true);
    out(0x0, 4, kList);
  }

  Device& device() override { return ac97; }
  std::vector<PciFunction*> functions() override { return {&ac97}; }
  std::vector<RigWindow> windows() override {
    return {{&ac97.mixer(), Ac97::kMixerBytes, AccessSizes{2, 2, false}},
            {&ac97.bus_master_registers(), Ac97::kBusMasterBytes, AccessSizes{1, 4, false}}};
  }
  void poke(u64 random) override {
    power_up();
    prepare(static_cast<u32>(random % 2000));
    out(0xb, 1, 0x1d);
    audio.left.clear();
    audio.right.clear();
  }
};

TEST(Ac97, TheCodecAnswers) {
  Ac97Rig rig;
  EXPECT_EQ(rig.mixer(0x7c), 0x8384u) << "SigmaTel";
  EXPECT_EQ(rig.mixer(0x26), 0x000fu) << "all parts are ready";
  EXPECT_EQ(rig.pci.port_space.load(kMaster + 0x30, 4), 0x100u) << "primary codec ready";
  EXPECT_EQ(rig.pci.port_space.load(kMaster + 0x34, 1), 0u) << "the semaphore is free";
  EXPECT_EQ(rig.pci.port_space.load(kMaster + 0x34, 1), 1u);
  rig.mixer(0x02, 0x1234);
  EXPECT_EQ(rig.mixer(0x02), 0x1234u);
  EXPECT_EQ(rig.pci.port_space.load(kMaster + 0x34, 1), 0u) << "an access frees it";
  rig.mixer(0x2c, 22050);
  EXPECT_EQ(rig.mixer(0x2c), 48000u) << "fixed until VRA is on";
  rig.mixer(0x2a, 1);
  rig.mixer(0x2c, 22050);
  EXPECT_EQ(rig.mixer(0x2c), 22050u);
  rig.mixer(0x00, 0);
  EXPECT_EQ(rig.mixer(0x02), 0x8000u) << "muted after reset";
}

TEST(Ac97, PlaysASineAtItsRate) {
  Ac97Rig rig;
  rig.prepare(4800);
  rig.sine(440, 48000, 4800);  // 44 whole waves in a tenth of a second
  rig.out(0x5, 1, 9);          // LVI: ten buffers
  rig.out(0xb, 1, 0x01);
  rig.clock.advance(1100 * kMs);
  EXPECT_EQ(rig.audio.voice, AudioVoice::kCodec);
  EXPECT_EQ(rig.audio.rate_hz, 48000u);
  EXPECT_EQ(rig.audio.left.size(), 48000u) << "ten tenths of a second";
  EXPECT_NEAR(rig.audio.waves(), 440, 1);
  EXPECT_EQ(rig.audio.left, rig.audio.right);
  EXPECT_EQ(*std::max_element(rig.audio.left.begin(), rig.audio.left.end()), 20000);
}

TEST(Ac97, TellsWhichBuffersAreDone) {
  Ac97Rig rig;
  rig.prepare(480);  // 10 ms each
  rig.out(0x5, 1, 2);
  rig.out(0xb, 1, 0x15);  // run, interrupts for buffers and the last one
  EXPECT_EQ(rig.out(0x4, 1), 0u) << "CIV";
  rig.clock.advance(15 * kMs);
  EXPECT_EQ(rig.out(0x4, 1), 1u);
  EXPECT_EQ(rig.out(0x8, 2), 480u) << "PICB: half of the 960 samples are left";
  EXPECT_EQ(rig.out(0x6, 2), 0x08u) << "BCIS";
  EXPECT_TRUE(rig.irq());
  rig.out(0x6, 2, 0x1c);
  EXPECT_FALSE(rig.irq());
  rig.clock.advance(20 * kMs);
  EXPECT_EQ(rig.out(0x6, 2), 0x0fu) << "halted at the last valid buffer";
  EXPECT_TRUE(rig.irq());
  EXPECT_EQ(rig.clock.next_deadline_ns(), kNever) << "nothing to do";
  rig.out(0x6, 2, 0x1c);
  rig.out(0x5, 1, 3);  // one more buffer: it goes on
  rig.clock.advance(5 * kMs);
  EXPECT_EQ(rig.out(0x4, 1), 3u);
  EXPECT_EQ(rig.out(0x6, 2), 0u);
}

TEST(Ac97, VolumesAttenuate) {
  Ac97Rig rig;
  rig.prepare(480);
  rig.sine(1000, 48000, 480);
  rig.mixer(0x02, 0x0480);  // left 4 steps of 1.5 dB; right none
  rig.out(0x5, 1, 0);
  rig.out(0xb, 1, 0x01);
  rig.clock.advance(20 * kMs);
  const auto loudest = [](const std::vector<i16>& side) {
    return *std::max_element(side.begin(), side.end());
  };
  EXPECT_NEAR(loudest(rig.audio.left), 20000 * std::pow(10, -6.0 / 20), 60);
  EXPECT_NEAR(loudest(rig.audio.right), 20000, 60);
}

INSTANTIATE_TEST_SUITE_P(Ac97, TransferTest, testing::Values(device_under_test<Ac97Rig>("ac97")),
                         device_under_test_name);

}  // namespace
}  // namespace emu
