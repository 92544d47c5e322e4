#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Debian's kernel at a desk: it draws through virtio-gpu, plays a sine of 440 Hz on a sound card into a
# WAV file, and is typed and pointed at over VNC through virtio-input; all with its own drivers.
# Usage: desk.py SOUND_CARD GUESTS_FOLDER EMULATOR...
# Exit status: 0 as expected, 1 not, 77 something the test needs is missing.
import math
import pathlib
import re
import shlex
import subprocess
import sys
import threading
import time

from rfb import Vnc
from wav import frequency

MISSING = 77
EV_KEY, EV_ABS, KEY_A = 1, 3, 30
PATTERNS = (r"guest: screen virtio_gpudrmfb", r"guest: mode 1280x800", r"guest: input emu virtio keyboard",
            r"guest: input emu virtio tablet", r"guest: played \d{6} bytes at 44100", r"guest: event key [0-9a-f]+",
            r"guest: event tablet [0-9a-f]+", r"guest: done")


class Guest:
    """The emulator, and what the guest said on its serial line."""

    def __init__(self, command, log):
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.said, self.log = "", log
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        with open(self.log, "wb") as log:
            for line in self.process.stdout:
                log.write(line)
                log.flush()
                self.said += line.decode("utf-8", "replace")

    def wait_for(self, text, deadline):
        while text not in self.said:
            if time.monotonic() > deadline or self.process.poll() is not None and not self.reader.is_alive():
                return False
            time.sleep(0.1)
        return True


def events(said, which):
    """(type, code, value) of the events that the guest printed."""
    raw = [bytes.fromhex(word) for word in re.findall(rf"guest: event {which} ([0-9a-f]{{16}})", said)]
    return [(int.from_bytes(r[0:2], "little"), int.from_bytes(r[2:4], "little"),
             int.from_bytes(r[4:8], "little")) for r in raw]


def complaints(guest, sound):
    said = guest.said
    # (Debian's virtio-gpu driver warns when it draws during the power-off, under QEMU as well.)
    for pattern in PATTERNS:
        if not re.search(pattern, said):
            yield f"the guest never said /{pattern}/"
    if (EV_KEY, KEY_A, 1) not in events(said, "key"):
        yield f"the key's events are {events(said, 'key')}"
    # The middle of 1280 pixels is 640 of 0..1279, scaled to 0..7fffh.
    if (EV_ABS, 0, 640 * 0x7FFF // 1279) not in events(said, "tablet"):
        yield f"the tablet's events are {events(said, 'tablet')}"
    hertz, seconds = frequency(sound)
    print(f"sound: {hertz:.2f} Hz for {seconds:.2f} s")
    if not math.isclose(hertz, 440, rel_tol=0.002):
        yield f"the sine has {hertz:.2f} Hz instead of 440"
    if re.search("Kernel panic|BUG:|Oops|Call Trace|virtio.*error|virtio_gpu.*ERROR", said.split("guest: done")[0]):
        yield "the kernel complained"


def main():
    card, guests = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
    kernel, initrd = guests / "amd64.vmlinuz", guests / "desk.initrd"
    if not kernel.is_file() or not initrd.is_file():
        print(f"skipped, {kernel} or {initrd} is missing")
        return MISSING
    sound, vnc_socket, screen = (guests / f"desk-{card}.{kind}" for kind in ("wav", "vnc", "png"))
    for path in (sound, vnc_socket):
        path.unlink(missing_ok=True)
    command = sys.argv[3:] + [
        "-q", "-m", "512", "-kernel", str(kernel), "-initrd", str(initrd), "-append", "console=tty0 console=ttyS0",
        "-display", "none", "-serial", "stdio", "-vnc", f"unix:{vnc_socket}", "-vga", "virtio", "-device", card,
        "-device", "virtio-keyboard", "-device", "virtio-tablet", "-audio", f"wav:{sound}", "-nic", "none",
        "-screenshot", str(screen)]
    print(shlex.join(command))
    guest = Guest(command, guests / f"desk-{card}.log")
    try:
        deadline = time.monotonic() + 300
        vnc = Vnc(vnc_socket, deadline)
        if guest.wait_for("guest: waiting", deadline):
            time.sleep(1)
            vnc.screen()
            vnc.key("a", 0.3)
            vnc.point(640, 400)
        guest.wait_for("guest: done", deadline)
        guest.process.wait(60)
    except (EOFError, subprocess.TimeoutExpired) as error:
        print(f"not as expected: {error}")
    finally:
        guest.process.kill()
        guest.process.wait()
        guest.reader.join(10)
    bad = list(complaints(guest, sound))
    for line in bad:
        print(f"not as expected: {line}")
    if bad:
        print("\n".join(guest.said.splitlines()[-30:]))
    return 1 if bad else 0


sys.exit(main())
