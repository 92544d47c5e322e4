#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Kills the emulator in the middle of a guest's work, again and again, with the same disks: each time
# the image checks clean (lost clusters excepted), and the guest finds every file that it had fsynced.
# Controllers and image formats take turns; each format keeps its disk and its files for all rounds.
# Usage: kill9.py ROUNDS GUESTS_FOLDER EMULATOR...     (200 rounds take about an hour)
# Exit status: 0 as expected, 1 not, 77 something the test needs is missing.
import hashlib
import json
import os
import pathlib
import random
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

SHELL = r"demo:~# |demo:/root# "
FORMATS = ("qcow2", "raw", "vdi", "vmdk", "vhdx", "vpc")
CONTROLLERS = ("virtio", "ide", "nvme")  # that the guest's kernel has drivers for
SECONDS = 240  # until a guest counts as hung
# Writes files 1, 2, ... whose contents follow from their number; says so when each is on the disk.
WORK = ("mkdir -p /k; n={first}; while :; do seq $n 7 $((n * 50)) | "
        "dd of=/k/$n conv=fsync 2>/dev/null; echo kept $n.; n=$((n + 1)); done\n")


class Guest:
    def __init__(self, command):
        self.said = ""
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)

    def read(self, seconds):
        out = self.process.stdout.fileno()
        if not select.select([out], [], [], seconds)[0]:
            return True
        data = os.read(out, 65536)
        self.said += data.decode("utf-8", "replace")
        return bool(data)

    def wait_for(self, pattern, start=0):
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            match = re.compile(pattern).search(self.said, start)
            if match:
                return match.end()
            if not self.read(1.0):
                break
        raise RuntimeError(f"the guest did not say /{pattern}/:\n{self.said[-1500:]}")

    def type(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        while self.read(1.0):
            pass
        self.process.wait()


def contents(number):
    lines = range(number, number * 50 + 1, 7)
    return hashlib.md5("".join(f"{n}\n" for n in lines).encode()).hexdigest()


def check_image(image, form):
    """Leaked clusters are what a cut may leave behind; errors are not."""
    if form not in ("qcow2", "vdi", "vmdk", "vhdx"):
        return  # qemu-img knows no check for them
    if form == "vhdx":  # what a log holds must be replayed first, as every opening does
        subprocess.run(["qemu-img", "check", "-q", "-r", "all", image], capture_output=True, check=False)
    out = subprocess.run(["qemu-img", "check", "--output=json", image], capture_output=True,
                         text=True, check=False)
    report = json.loads(out.stdout)
    if report.get("corruptions", 0) or report.get("check-errors", 0):
        raise RuntimeError(f"the image is damaged: {out.stdout}")


def check_files(guest, kept):
    """All files up to `kept` are as they were written."""
    start = len(guest.said)
    guest.type("cd /k && md5sum * ; echo sums=done; cd\n")
    guest.wait_for(r"sums=done\r?\n", start)
    sums = dict((int(n), s) for s, n in re.findall(r"([0-9a-f]{32})  (\d+)", guest.said[start:]))
    for number in range(1, kept + 1):
        if sums.get(number) != contents(number):
            raise RuntimeError(f"file {number} of {kept} was lost or changed")


class Disk:
    """One image, and how many files its guest has been promised."""

    def __init__(self, demo, form, folder):
        self.form = form
        self.kept = 0
        self.image = os.path.join(folder, f"kill9.{form}")
        if form == "qcow2":
            shutil.copy(demo, self.image)
        else:
            subprocess.run(["qemu-img", "convert", "-O", form, demo, self.image], check=True)

    def one_round(self, controller, emulator, dice):
        guest = Guest(emulator + ["-nographic", "-m", "256", "--disk",
                                  f"{self.image},format={self.form},if={controller}"])
        try:
            guest.wait_for(SHELL)
            if self.kept:
                check_files(guest, self.kept)
            start = len(guest.said)
            guest.type(WORK.format(first=self.kept + 1))
            guest.wait_for(rf"kept {self.kept + 1}\.", start)
            until = time.monotonic() + dice.uniform(0.0, 1.0)
            while time.monotonic() < until and guest.read(0.01):
                pass
        finally:
            guest.kill()
        self.kept = max(int(n) for n in re.findall(r"kept (\d+)\.", guest.said))
        check_image(self.image, self.form)


def run(rounds, demo, emulator, folder):
    dice = random.Random(int(os.environ.get("KILL9_SEED", "6")))
    formats = os.environ.get("KILL9_FORMATS", " ".join(FORMATS)).split()[:rounds]
    disks = [Disk(demo, form, folder) for form in formats]
    first = dice.randrange(len(CONTROLLERS))
    for number in range(rounds):
        disk = disks[number % len(disks)]
        # Another controller for each disk each time.
        turn = first + number + number // len(disks)
        controller = CONTROLLERS[turn % len(CONTROLLERS)]
        try:
            disk.one_round(controller, emulator, dice)
        except RuntimeError as complaint:
            raise RuntimeError(f"round {number + 1}, {disk.form} on {controller}: {complaint}") from None
        print(f"round {number + 1}: {disk.form} on {controller}: {disk.kept} files are kept", flush=True)


def main():
    rounds, guests, emulator = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    demo = os.path.join(guests, "demo", "demo.qcow2")
    if not pathlib.Path(demo).is_file() or not shutil.which("qemu-img"):
        print("kill9: skipped, the demo guest or qemu-img is missing")
        return 77
    with tempfile.TemporaryDirectory(dir=guests) as folder:
        try:
            run(rounds, demo, emulator, folder)
        except RuntimeError as complaint:
            print(f"kill9: {complaint}")
            return 1
    return 0


sys.exit(main())
