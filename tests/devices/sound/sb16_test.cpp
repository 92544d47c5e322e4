// SPDX-License-Identifier: Apache-2.0
// The Sound Blaster 16 and its OPL3 as programs use them: find the DSP, play by DMA, set the mixer,
// play a note.
#include "devices/sound/sb16.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "devices/recording_irq.h"
#include "devices/sound/recording_audio.h"
#include "devices/transfer_test.h"

namespace emu {
namespace {

constexpr u64 kMs = 1'000'000;
constexpr u64 kMixer = 4, kReset = 6, kRead = 0xa, kWrite = 0xc, kAck8 = 0xe, kAck16 = 0xf;

struct Sb16Rig final : DeviceRig {
  static constexpr u64 kRamBytes = kMiB;
  std::unique_ptr<GuestRam> ram = std::move(*GuestRam::create("ram", kRamBytes));
  std::unique_ptr<Region> ram_region = Region::ram("ram", *ram, 0, kRamBytes);
  std::unique_ptr<Region> memory = Region::container("memory", u64{1} << 32);
  AddressSpace space{*memory};
  I8237Pair dma{space};
  RecordingIrq irqs;  // 0: 9, 1: 5, 2: 7, 3: 10
  RecordingAudio audio, music;
  Opl3 opl{clock, music};
  Sb16 card{clock, {{irqs.line(0), irqs.line(1), irqs.line(2), irqs.line(3)}, dma, audio, opl}};

  Sb16Rig() {
    memory->add(*ram_region, 0);
    opl.reset();
    card.reset();
  }
  u8 in(u64 port) { return static_cast<u8>(card.read(port, 1)); }
  void out(u64 port, u8 value) { card.write(port, 1, value); }
  void dsp(std::initializer_list<u8> bytes) {
    for (const u8 byte : bytes) out(kWrite, byte);
  }
  void mixer(u8 index, u8 value) {
    out(kMixer, index);
    out(kMixer + 1, value);
  }
  u8 mixer(u8 index) {
    out(kMixer, index);
    return in(kMixer + 1);
  }
  void note(u8 address, u8 value) {
    out(0, address);
    out(1, value);
  }
  // Auto-initialized DMA: channel 1 of bytes from 10000h, or channel 5 of words from 20000h.
  void program_dma(bool wide, u16 units) {
    IoHandler& ports = wide ? dma.high_ports() : dma.low_ports();
    const unsigned step = wide ? 2 : 1;
    ports.write(10 * step, 1, 5);
    ports.write(11 * step, 1, 0x59);
    ports.write(12 * step, 1, 0);
    ports.write(2 * step, 1, 0);
    ports.write(2 * step, 1, 0);
    ports.write(3 * step, 1, (units - 1) & 0xff);
    ports.write(3 * step, 1, static_cast<u8>((units - 1) >> 8));
    dma.page_ports().write(wide ? 11 : 3, 1, wide ? 2 : 1);
    ports.write(10 * step, 1, 1);
  }
  void loud() {
    for (u8 volume = 0x30; volume <= 0x35; ++volume) mixer(volume, 0xf8);
  }
  Device& device() override { return card; }
  std::vector<RigWindow> windows() override { return {{&card, Sb16::kPortBytes}}; }
};
class Sb16Test : public ::testing::Test {
 protected:
  Sb16Rig rig_;
};

TEST_F(Sb16Test, AnswersItsResetAndNamesItsVersion) {
  rig_.out(kReset, 1);
  rig_.out(kReset, 0);
  EXPECT_EQ(rig_.in(kAck8)&0x80, 0x80);
  EXPECT_EQ(rig_.in(kRead), 0xaa);
  EXPECT_EQ(rig_.in(kAck8)&0x80, 0);
  rig_.dsp({0xe1});
  EXPECT_EQ(rig_.in(kRead), 4);
  EXPECT_EQ(rig_.in(kRead), 5);
  rig_.dsp({0xe0, 0x5a});
  EXPECT_EQ(rig_.in(kRead), 0xa5);
}

TEST_F(Sb16Test, TheMixerChoosesInterruptAndChannels) {
  EXPECT_EQ(rig_.mixer(0x80) & 0x0f, 2) << "IRQ 5";
  EXPECT_EQ(rig_.mixer(0x81), 0x22) << "DMA 1 and 5";
  rig_.dsp({0xf2});
  EXPECT_TRUE(rig_.irqs.level(1));
  EXPECT_EQ(rig_.mixer(0x82) & 3, 1);
  rig_.in(kAck8);
  EXPECT_FALSE(rig_.irqs.level(1));
  rig_.mixer(0x80, 8);
  rig_.dsp({0xf3});
  EXPECT_TRUE(rig_.irqs.level(3)) << "IRQ 10";
  EXPECT_EQ(rig_.mixer(0x82) & 3, 2);
  rig_.in(kAck16);
  EXPECT_FALSE(rig_.irqs.level(3));
}

TEST_F(Sb16Test, PlaysSixteenBitsOverAndOver) {
  for (u32 i = 0; i < 441; ++i) {  // one second has 100 of these: 1000 Hz in stereo
    const double angle = 2 * std::numbers::pi * 10 * i / 441;
    const u32 value = static_cast<u16>(static_cast<i16>(10000 * std::sin(angle)));
    rig_.space.store(0x20000 + 4 * i, 4, value | value << 16);
  }
  rig_.loud();
  rig_.program_dma(true, 882);
  rig_.dsp({0x41, 0xac, 0x44, 0xb6, 0x30, 0x71, 0x03});  // 44100 Hz, signed stereo, 882 words
  rig_.clock.advance(1000 * kMs);
  EXPECT_NEAR(static_cast<double>(rig_.audio.left.size()), 44100, 300);
  EXPECT_NEAR(rig_.audio.waves(), 1000, 10);
  EXPECT_EQ(rig_.audio.rate_hz, 44100u);
  EXPECT_TRUE(rig_.irqs.level(1));
  rig_.dsp({0xd5});
  const std::size_t paused_at = rig_.audio.left.size();
  rig_.clock.advance(100 * kMs);
  EXPECT_LE(rig_.audio.left.size(), paused_at + 250);
}

TEST_F(Sb16Test, PlaysOneBlockOfEightBits) {
  for (u32 i = 0; i < 1000; ++i) rig_.space.store(0x10000 + i, 1, i % 20 < 10 ? 0xff : 0);
  rig_.loud();
  rig_.program_dma(false, 1000);
  rig_.dsp({0x40, 256 - 1000000 / 10000, 0x14, 0xe7, 0x03});  // 10 kHz, 1000 bytes
  rig_.clock.advance(90 * kMs);
  EXPECT_FALSE(rig_.irqs.level(1));
  rig_.clock.advance(20 * kMs);
  EXPECT_TRUE(rig_.irqs.level(1));
  EXPECT_EQ(rig_.audio.left.size(), 1000u) << "and no more";
  EXPECT_EQ(rig_.audio.left, rig_.audio.right) << "mono";
  EXPECT_NEAR(rig_.audio.waves(), 50, 1);
}

TEST_F(Sb16Test, ProgramsFindTheOplByItsTimers) {
  rig_.note(4, 0x60);
  rig_.note(4, 0x80);
  EXPECT_EQ(rig_.in(0) & 0xe0, 0);
  rig_.note(2, 0xff);
  rig_.note(4, 0x21);
  rig_.clock.advance(kMs);
  EXPECT_EQ(rig_.in(0) & 0xe0, 0xc0);
  EXPECT_EQ(rig_.in(0) & 6, 0) << "an OPL3";
  rig_.note(4, 0x60);
  rig_.note(4, 0x80);
  EXPECT_EQ(rig_.in(8) & 0xe0, 0) << "the same at 8";
}

TEST_F(Sb16Test, TheOplPlaysAnA) {
  rig_.loud();
  rig_.note(0x20, 0x21);  // a sine: the modulator is silent
  rig_.note(0x40, 0x3f);
  rig_.note(0x23, 0x21);
  rig_.note(0x43, 0x00);
  rig_.note(0x63, 0xf0);
  rig_.note(0x83, 0x00);
  rig_.note(0xc0, 0x31);
  rig_.note(0xa0, 0x44);  // 440 Hz: F-number 580 in block 4
  rig_.note(0xb0, 0x20 | 4 << 2 | 2);
  rig_.clock.advance(1000 * kMs);
  EXPECT_EQ(rig_.music.voice, AudioVoice::kSynth);
  EXPECT_NEAR(rig_.music.waves(), 440, 3);
  EXPECT_GT(*std::ranges::max_element(rig_.music.left), 2000);
  rig_.note(0xb0, 4 << 2 | 2);
  rig_.clock.advance(5000 * kMs);
  const std::size_t silent = rig_.music.left.size();
  rig_.clock.advance(1000 * kMs);
  EXPECT_EQ(rig_.music.left.size(), silent) << "nothing is played after the note";
}

struct Opl3Rig final : DeviceRig {
  RecordingAudio audio;
  Opl3 opl{clock, audio};
  Device& device() override { return opl; }
  std::vector<RigWindow> windows() override { return {{&opl, Opl3::kPortBytes}}; }
};
INSTANTIATE_TEST_SUITE_P(Sb16, TransferTest,
                         testing::Values(device_under_test<Sb16Rig>("sb16"),
                                         device_under_test<Opl3Rig>("opl3")),
                         device_under_test_name);

}  // namespace
}  // namespace emu
