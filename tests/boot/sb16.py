#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Debian's i386 kernel plays a sine of 440 Hz with snd-sb16 on the Sound Blaster 16, into a WAV file.
# Usage: sb16.py GUESTS_FOLDER EMULATOR...
# Exit status: 0 as expected, 1 not, 77 something the test needs is missing.
import math
import pathlib
import shlex
import subprocess
import sys

from wav import frequency

MISSING = 77


def main():
    guests = pathlib.Path(sys.argv[1]).resolve()
    kernel, initrd = guests / "pae.vmlinuz", guests / "sound.initrd"
    if not kernel.is_file() or not initrd.is_file():
        print(f"skipped, {kernel} or {initrd} is missing")
        return MISSING
    sound = guests / "sb16.wav"
    sound.unlink(missing_ok=True)
    command = sys.argv[2:] + ["-q", "-m", "256", "-kernel", str(kernel), "-initrd", str(initrd), "-append",
                              "console=ttyS0", "-display", "none", "-serial", "stdio", "-nic", "none",
                              "-device", "sb16", "-audio", f"wav:{sound}", "-no-reboot"]
    print(shlex.join(command))
    run = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=300, check=False)
    said = run.stdout.decode("utf-8", "replace")
    bad = [f"the guest never said {line!r}" for line in ("guest: card", "Sound Blaster 16", "guest: played")
           if line not in said]
    hertz, seconds = frequency(sound) if sound.is_file() else (0.0, 0.0)
    print(f"sound: {hertz:.2f} Hz for {seconds:.2f} s")
    if not math.isclose(hertz, 440, rel_tol=0.002):
        bad.append(f"the sine has {hertz:.2f} Hz instead of 440")
    for line in bad:
        print(f"not as expected: {line}")
    if bad:
        print("\n".join(said.splitlines()[-40:]))
    return 1 if bad else 0


sys.exit(main())
