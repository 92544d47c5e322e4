#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Discs and floppies are changed in the monitor while Debian's kernel looks: it reads the new one,
# keeps a disc that it uses locked in, and finds the drive empty after an eject.
# Usage: media_change.py ide|ahci|scsi GUESTS_FOLDER EMULATOR...     (where the CD-ROM drive is)
# Exit status: 0 as expected, 1 not, 77 something the test needs is missing.
import os
import pathlib
import re
import select
import socket
import subprocess
import sys
import tempfile
import time

SECONDS = 120


class Machine:
    def __init__(self, command, monitor):
        self.said = ""
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)
        self.path = monitor

    def wait_for(self, pattern, start=0):
        deadline = time.monotonic() + SECONDS
        out = self.process.stdout.fileno()
        while time.monotonic() < deadline:
            match = re.compile(pattern).search(self.said, start)
            if match:
                return match
            if select.select([out], [], [], 0.5)[0]:
                data = os.read(out, 65536)
                if not data:
                    break
                self.said += data.decode("utf-8", "replace")
        raise RuntimeError(f"the guest did not say /{pattern}/:\n{self.said[-1500:]}")

    def shell(self, command):
        """What the guest's shell prints for a command."""
        start = len(self.said)
        self.process.stdin.write(f"{command}; echo end=$?.\n".encode())
        self.process.stdin.flush()
        match = self.wait_for(r"end=\d+\.\r?\n", start)
        return self.said[start:match.start()]

    def monitor(self, command):
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(self.path)
            link.settimeout(10)
            link.sendall(f"{command}\n".encode())
            answer = b""
            while select.select([link], [], [], 1.0)[0]:
                data = link.recv(65536)
                if not data:
                    break
                answer += data
            return answer.decode("utf-8", "replace")


def expect(what, text, pattern):
    if not re.search(pattern, text):
        raise RuntimeError(f"{what}: /{pattern}/ is not in: {text}")


def run(bus, guests, emulator, folder):
    def medium(name, letter, size):
        path = os.path.join(folder, name)
        pathlib.Path(path).write_bytes(letter.encode() * size)
        return path

    discs = [medium(f"{x}.iso", x, 1 << 20) for x in "AB"]
    floppies = [medium(f"{x}.img", x, 1474560) for x in "CD"]
    monitor = os.path.join(folder, "monitor")
    machine = Machine(
        emulator + ["-q", "-nographic", "-m", "256", "-fda", floppies[0],
                    "-drive", f"file={discs[0]},if={bus},media=cdrom",
                    "-monitor", f"unix:{monitor}",
                    "-kernel", os.path.join(guests, "amd64.vmlinuz"),
                    "-initrd", os.path.join(guests, "disks.initrd"),
                    "-append", "console=ttyS0 quiet rdinit=/bin/busybox -- sh"], monitor)
    try:
        machine.wait_for(r"# ")
        machine.shell("export PATH=/bin; busybox mkdir -p /dev /proc /sys; "
                      "busybox mount -t devtmpfs dev /dev; busybox mount -t proc proc /proc; "
                      "busybox mount -t sysfs sys /sys")
        machine.shell("for m in ata_piix ahci virtio_pci virtio_scsi sr_mod floppy; do busybox modprobe $m; done; "
                      "n=0; while [ ! -b /dev/sr0 ] && [ $n -lt 100 ]; do busybox usleep 50000; "
                      "n=$((n+1)); done")
        def read(device):
            return machine.shell(f"busybox dd if=/dev/{device} bs=2048 count=1 2>&1 | "
                                 "busybox head -c 6 | busybox tr A-Z a-z")
        expect("the first disc", read("sr0"), "aaaaaa")
        expect("info", machine.monitor("info block"), r"(ide|sata|scsi)\d-cd\d: A.iso")
        expect("change", machine.monitor(f"change cdrom {discs[1]}"), "")
        expect("the second disc", read("sr0"), "bbbbbb")
        machine.shell("exec 3</dev/sr0")
        expect("a locked tray", machine.monitor("eject cdrom"), "locked the tray")
        machine.shell("exec 3<&-")
        time.sleep(0.5)
        machine.monitor("eject cdrom")
        expect("after eject", machine.monitor("info block"), r"cd\d: empty")
        expect("no disc", machine.shell("busybox dd if=/dev/sr0 of=/dev/null count=1"), "(?i)no medium")
        expect("the first floppy", read("fd0"), "cccccc")
        machine.monitor(f"change fda {floppies[1]}")
        expect("the second floppy", read("fd0"), "dddddd")
        expect("nonsense", machine.monitor("eject ide0-hd0"), "there is no drive")
        machine.monitor(f"change cdrom {discs[0]}")
        expect("a disc again", read("sr0"), "aaaaaa")
    finally:
        machine.process.kill()
        machine.process.wait()


def main():
    bus, guests, emulator = sys.argv[1], sys.argv[2], sys.argv[3:]
    if not pathlib.Path(guests, "disks.initrd").is_file():
        print("media_change: skipped, the guest is missing")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        try:
            run(bus, guests, emulator, folder)
        except RuntimeError as complaint:
            print(f"media_change: {complaint}")
            return 1
    return 0


sys.exit(main())
