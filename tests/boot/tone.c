// SPDX-License-Identifier: Apache-2.0
// In the guest: tone HERTZ SECONDS plays a sine through /dev/dsp, 16 bits, stereo, 44100 a second,
// after it turned up the mixer. Says how many bytes it played.
// Source: Open Sound System programmer's guide 1.11; linux/soundcard.h.
#include <fcntl.h>
#include <linux/soundcard.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

int main(int argc, char** argv) {
  enum { kRate = 44100 };
  int full = 100 | 100 << 8, format = AFMT_S16_LE, channels = 2, rate = kRate;
  const int mixer = open("/dev/mixer", O_RDWR);
  const int dsp = open("/dev/dsp", O_WRONLY);
  long played = 0;
  if (argc != 3 || mixer < 0 || dsp < 0) {
    perror("tone");
    return 1;
  }
  ioctl(mixer, SOUND_MIXER_WRITE_VOLUME, &full);
  ioctl(mixer, SOUND_MIXER_WRITE_PCM, &full);
  if (ioctl(dsp, SNDCTL_DSP_SETFMT, &format) < 0 || ioctl(dsp, SNDCTL_DSP_CHANNELS, &channels) < 0 ||
      ioctl(dsp, SNDCTL_DSP_SPEED, &rate) < 0) {
    perror("tone: /dev/dsp");
    return 1;
  }
  for (long i = 0; i < kRate * atol(argv[2]); ++i) {
    const short value = (short)(12000 * sin(i * atof(argv[1]) * 2 * 3.14159265358979 / rate));
    const short both[2] = {value, value};
    static short buffer[2 * 4096];
    buffer[2 * (i % 4096)] = both[0];
    buffer[2 * (i % 4096) + 1] = both[1];
    if (i % 4096 == 4095) played += write(dsp, buffer, sizeof buffer);
  }
  ioctl(dsp, SNDCTL_DSP_SYNC, 0);
  printf("guest: played %ld bytes at %d\n", played, rate);
  return 0;
}
