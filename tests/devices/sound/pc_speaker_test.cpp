// SPDX-License-Identifier: Apache-2.0
// Tones of the 8254 and port 61h, as software has made them since 1981.
#include "devices/sound/pc_speaker.h"

#include <gtest/gtest.h>

#include "devices/chipset/system_ports.h"
#include "devices/sound/recording_audio.h"
#include "devices/transfer_test.h"

namespace emu {
namespace {

constexpr u64 kMs = 1'000'000;

struct SpeakerRig final : DeviceRig {
  I8254 pit{IrqLine(), clock};
  Port61 port61{pit, clock};
  RecordingAudio audio;
  PcSpeaker speaker{pit, clock, audio};
  SpeakerRig() {
    pit.reset();
    port61.set_tone_listener([this](bool on) { speaker.set_on(on); });
  }
  void tone(u16 divisor) {
    pit.ports().write(3, 1, 0xb6);  // counter 2, both bytes, mode 3
    pit.ports().write(2, 1, divisor & 0xff);
    pit.ports().write(2, 1, divisor >> 8);
  }
  Device& device() override { return speaker; }
  void poke(u64 random) override { speaker.set_on(random % 2 != 0); }
};

TEST(PcSpeaker, SoundsWhileTheGateAndTheSpeakerAreOn) {
  SpeakerRig rig;
  rig.tone(1193);  // 1000.15 Hz
  rig.clock.advance(500 * kMs);
  EXPECT_TRUE(rig.audio.left.empty());
  rig.port61.write(0, 1, 0x03);
  rig.clock.advance(1000 * kMs);
  rig.port61.write(0, 1, 0x00);
  rig.clock.advance(1000 * kMs);
  EXPECT_EQ(rig.audio.voice, AudioVoice::kSpeaker);
  EXPECT_EQ(rig.audio.start_ns, 500 * kMs);
  EXPECT_EQ(rig.audio.left.size(), rig.audio.rate_hz) << "one second";
  EXPECT_NEAR(rig.audio.waves(), 1000, 1);
}

TEST(PcSpeaker, FollowsTheDivisor) {
  SpeakerRig rig;
  rig.tone(2712);  // 439.96 Hz
  rig.port61.write(0, 1, 0x03);
  rig.clock.advance(1000 * kMs);
  EXPECT_NEAR(rig.audio.waves(), 440, 1);
}

TEST(PcSpeaker, CostsNothingWhenItIsOff) {
  SpeakerRig rig;
  rig.port61.write(0, 1, 0x03);
  EXPECT_NE(rig.clock.next_deadline_ns(), kNever);
  rig.port61.write(0, 1, 0x01);
  const u64 heard = rig.audio.left.size();
  rig.clock.advance(100 * kMs);
  EXPECT_EQ(rig.audio.left.size(), heard);
}

INSTANTIATE_TEST_SUITE_P(PcSpeaker, TransferTest,
                         testing::Values(device_under_test<SpeakerRig>("pc_speaker")),
                         device_under_test_name);

}  // namespace
}  // namespace emu
