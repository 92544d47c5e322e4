// SPDX-License-Identifier: Apache-2.0
// A guest's tone, from its port writes to what the host would play.
#include <gtest/gtest.h>

#include "devices/sound/recording_audio.h"
#include "machine/rom_guest.h"

namespace emu {
namespace {

// 1000 Hz for as long as the guest runs: counter 2, mode 3, divisor 1193; then it stays halted
// until a tenth of a second was heard.
TEST(Speaker, AGuestsToneHasItsFrequency) {
  RomGuest guest;
  guest.out8(0x43, 0xb6).out8(0x42, 1193 & 0xff).out8(0x42, 1193 >> 8).out8(0x61, 0x03).halt();
  RecordingAudio audio;
  RomMachine rig(guest, {}, &audio);
  rig.machine->start();
  std::size_t heard = 0;
  while (heard < 4800 && !rig.machine->wait_finished(std::chrono::milliseconds(10))) {
    const MachineLock lock = rig.machine->lock();
    heard = audio.left.size();
  }
  rig.machine->request_quit();
  rig.wait();
  const double seconds = static_cast<double>(audio.left.size()) / audio.rate_hz;
  EXPECT_NEAR(audio.waves() / seconds, 1000, 12);
}

}  // namespace
}  // namespace emu
