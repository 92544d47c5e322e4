// SPDX-License-Identifier: Apache-2.0
// Opens the volume of an OSS mixer: for i386 kernels, without a C library (cc -m32 -nostdlib).
// Source: linux/soundcard.h (SOUND_MIXER_WRITE_VOLUME, SOUND_MIXER_WRITE_PCM).
static long call(long number, long a, long b, long c) {
  long result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
  return result;
}

void _start(void) {
  int both = 100 | 100 << 8;
  const long mixer = call(5, (long)"/dev/mixer", 2, 0);  // open
  long failed = mixer < 0;
  failed |= call(54, mixer, (long)0xc0044d00, (long)&both) < 0;  // ioctl: volume
  both = 100 | 100 << 8;
  failed |= call(54, mixer, (long)0xc0044d04, (long)&both) < 0;  // PCM
  call(1, failed, 0, 0);                                         // exit
}
