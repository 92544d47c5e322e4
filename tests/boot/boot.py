#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Boots one real guest without a window and matches what it says on its serial line.
# Usage: boot.py CASE GUESTS_FOLDER EMULATOR...   (the environment's EMU replaces EMULATOR...)
#        boot.py --list
# Exit status: 0 as expected, 1 not, 77 something the test needs is missing.
import dataclasses
import hashlib
import os
import pathlib
import re
import select
import shlex
import signal
import subprocess
import sys
import time

MISSING = 77


@dataclasses.dataclass(frozen=True)
class Case:
    """One boot. `steps` are (pattern to wait for, text to type then). Paths hold {guests}."""
    args: str
    steps: tuple
    status: object = 0      # the exit status, or None: stopped by SIGTERM after the last step
    seconds: int = 240      # until it counts as hung; nothing is measured
    needs: tuple = ()       # files
    never: str = r"Kernel panic|BUG:|Oops|Call Trace"


def linux(kernel, machine, cpus=1, initrd="amd64", extra="", append="", memory=512, steps=()):
    """A direct boot of tests/boot/init."""
    return Case(
        f"-m {memory} -smp {cpus} -kernel {{guests}}/{kernel}.vmlinuz -initrd {{guests}}/{initrd}.initrd"
        f" -no-reboot {extra} -append 'console=ttyS0 panic=-1 {append}'",
        steps or ((r"Linux version \S+", None), (rf"guest: machine {machine} cpus {cpus}\s", None),
                  (r"guest: memory \d+ MiB", None), (rf"guest: sum {SUM}\s", None),
                  (rf"guest: value {VALUE}\s", None), (r"guest: done", None)),
        needs=(f"{{guests}}/{kernel}.vmlinuz", f"{{guests}}/{initrd}.initrd"))


# What seq 1 20000 | sha256sum, and the sum of 1/i up to 20000, must be in the guest.
SUM = "f6351f5ead9a700e34275480b3856ea738122a7c57bdeb744a631251c069587a"
VALUE = r"10.480728"
DEMO = "{guests}/demo/demo.qcow2"
SHELL = r"demo:~# |demo:/root# "
RESCUE = "/usr/lib/grub-rescue/grub-rescue-"
MEMTEST = "/boot/memtest86+"


def demo(cpus):
    return Case(f"-m 512 -smp {cpus} -snapshot {DEMO}",
                ((r"GRUB", None), (SHELL, "echo cpus=$(nproc); cat /proc/mounts\n"),
                 (rf"cpus={cpus}\s", None), (r"/dev/sda1 / ext4", None),
                 (SHELL, "dd if=/dev/sda of=/dev/null bs=1M count=64 && echo read=$?\n"),
                 (r"read=0\s", None), (SHELL, "poweroff\n"), (r"Power down", None)),
                needs=(DEMO,))


def demo_on(drive):
    """The demo disk on another controller than IDE: SeaBIOS starts it, Linux writes and reads back."""
    return Case(f"-m 512 -snapshot --disk {DEMO},{drive}",
                ((r"GRUB", None),
                 (SHELL, "dd if=/dev/urandom of=/a bs=64k count=200 && cp /a /b && sync && "
                         "echo 3 > /proc/sys/vm/drop_caches && cmp /a /b && echo same=$?\n"),
                 (r"same=0\s", None),
                 (SHELL, "rm /a && sync && fstrim / && echo 3 > /proc/sys/vm/drop_caches && "
                         "wc -c < /b\n"),
                 (r"\s13107200\s", None),
                 (SHELL, "dmesg | grep -ci 'i/o error\\|timeout\\|failed command'\n"),
                 (r"\s0\s", None), (SHELL, "poweroff\n"), (r"Power down", None)),
                needs=(DEMO,))


def disk_on(interface, name):
    """Debian's kernel with its drivers: the disk reads as the host has it, and keeps what is written."""
    image = f"{RESCUE}usb.img"
    contents = hashlib.sha256(pathlib.Path(image).read_bytes()).hexdigest() if os.path.exists(image) else ""
    return Case("-m 512 -kernel {guests}/amd64.vmlinuz -initrd {guests}/disks.initrd -no-reboot -snapshot"
                f" --disk {image},format=raw,{interface} -append 'console=ttyS0 panic=-1 quiet'",
                ((rf"guest: disk {name} sum {contents}\s", None),
                 (r"guest: read back what was written", None), (r"guest: 0 errors", None),
                 (r"guest: done", None)),
                needs=("{guests}/amd64.vmlinuz", "{guests}/disks.initrd", image))


def disks():
    """Writes, trims and reads back through the disk, and reads a CD-ROM as a host does."""
    iso = f"{RESCUE}cdrom.iso"
    contents = hashlib.md5(pathlib.Path(iso).read_bytes()).hexdigest() if os.path.exists(iso) else ""
    return Case(f"-m 512 -snapshot -cdrom {iso} {DEMO}",
                ((SHELL, "dd if=/dev/urandom of=/a bs=64k count=200 && cp /a /b && sync && "
                         "echo 3 > /proc/sys/vm/drop_caches && cmp /a /b && echo same=$?\n"),
                 (r"same=0\s", None),
                 (SHELL, "rm /a && sync && fstrim / && echo 3 > /proc/sys/vm/drop_caches && "
                         "wc -c < /b\n"),
                 (r"\s13107200\s", None),
                 (SHELL, "modprobe sr_mod; sleep 1; md5sum /dev/sr0\n"), (contents, None),
                 (SHELL, "dmesg | grep -c 'ata.*\\(error\\|failed\\|timeout\\)'\n"),
                 (r"\s0\s", None), (SHELL, "poweroff\n"), (r"Power down", None)),
                needs=(DEMO, iso))


def in_lock_step(case):
    """Every translation's first two runs, compared with the same instructions one at a time."""
    return dataclasses.replace(case, args=case.args + " --translator lock-step=2",
                               never=case.never + "|lock-step")


def memtest(bits, until, cpus=1):
    image = f"{MEMTEST}{bits}.bin"
    return Case(f"-m 64 -smp {cpus} -kernel {image} -append console=ttyS0,115200",
                ((r"Memtest86\+", None), (until, None)),
                status=None, seconds=600, needs=(image,), never=r"Errors:\s*[1-9]|FAIL")


def rescue(kind, option):
    image = f"{RESCUE}{kind}"
    return Case(f"-m 128 -snapshot {option} {image}",
                ((r"GNU GRUB\s+version 2\.06", None), (r"highlighted", "c"), (r"grub>", None)),
                status=None, needs=(image,))


def firmware(image, prompt):
    """Another firmware than SeaBIOS, up to its prompt."""
    return Case(f"-m 256 --firmware {image}", ((prompt, None),), status=None, needs=(image,))


CASES = {
    "linux_cloud": linux("cloud", "x86_64"),
    "linux_cloud_lock_step": in_lock_step(linux("cloud", "x86_64")),
    "linux_686_pae_lock_step": in_lock_step(linux("pae", "i686", initrd="i386")),
    "linux_cloud_smp2": linux("cloud", "x86_64", cpus=2),
    "linux_cloud_above_4g": linux("cloud", "x86_64", memory=5120),
    "linux_amd64": linux("amd64", "x86_64"),
    "linux_686_pae": linux("pae", "i686", initrd="i386"),
    "linux_686_pae_smp2": linux("pae", "i686", cpus=2, initrd="i386"),
    "linux_32bit_programs": linux("cloud", "x86_64", initrd="i386"),
    "linux_reboot_exits": linux("cloud", "x86_64", append="guest=reboot",
                                steps=((r"guest: value", None), (r"reboot: Restarting", None))),
    "demo_disk": demo(1),
    "demo_disk_smp2": demo(2),
    "demo_disk_virtio": demo_on("if=virtio"),
    "disk_ahci": disk_on("if=ahci", "sda"),
    "disk_nvme": disk_on("if=nvme", "nvme0n1"),
    "disk_usb_xhci": disk_on("if=usb -device qemu-xhci", "sda"),
    "disk_usb_uhci": disk_on("if=usb", "sda"),
    "disk_scsi": disk_on("if=scsi", "sda"),
    "demo_disk_scsi_smp2": demo_on("if=scsi -smp 2"),
    "demo_disk_virtio_packed_smp2": demo_on("if=virtio,packed=on -smp 2"),
    "memtest_x64": memtest("x64", r"Pass:\s*1\b"),
    "memtest_x64_smp2": memtest("x64", r"#[2-9] +\[", cpus=2),
    "memtest_ia32": memtest("ia32", r"#[2-9] +\["),
    "grub_rescue_usb": rescue("usb.img", "-hda"),
    "grub_rescue_cdrom": rescue("cdrom.iso", "-cdrom"),
    "grub_rescue_floppy": rescue("floppy.img", "-fda"),
    "demo_disk_writes": disks(),
    "u_boot": firmware("/usr/lib/u-boot/qemu-x86/u-boot.rom", r"\n=> "),
    "uefi_shell": firmware("/usr/share/ovmf/OVMF.fd", r"Shell> "),
}


ESCAPE = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|[^\[])")


class Guest:
    """A running emulator, and what it has said so far."""

    def __init__(self, command, log):
        self.said = ""       # without the terminal's escape sequences
        self.pending = ""    # the start of one
        self.log = open(log, "wb")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, start_new_session=True)

    def read(self, seconds):
        """Takes what comes within `seconds`; False at the end of output."""
        out = self.process.stdout.fileno()
        if not select.select([out], [], [], max(0.0, seconds))[0]:
            return True
        data = os.read(out, 65536)
        self.log.write(data)
        self.log.flush()
        text = ESCAPE.sub("", self.pending + data.decode("utf-8", "replace"))
        cut = text.find("\x1b")
        self.pending = text[cut:] if cut >= 0 else ""
        self.said += text[:cut] if cut >= 0 else text
        return bool(data)

    def wait_for(self, pattern, never, start, deadline):
        """The end of the first match after `start`; None if it does not come, or `never` does."""
        alive = True
        while True:
            match = re.compile(pattern).search(self.said, start)
            if match:
                return match.end()
            if not alive or time.monotonic() > deadline or re.compile(never).search(self.said, start):
                return None
            alive = self.read(min(1.0, deadline - time.monotonic()))

    def type(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def stop(self, signal_number):
        if self.process.poll() is None:
            self.process.send_signal(signal_number)

    def end(self, deadline):
        """Reads on until the process ends; its status, or None if it does not end."""
        while time.monotonic() < deadline and self.read(min(1.0, deadline - time.monotonic())):
            if self.process.poll() is not None:
                break
        try:
            return self.process.wait(max(1.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return None


def run_steps(guest, case, deadline):
    """The complaint, or None."""
    place = 0
    for pattern, answer in case.steps:
        place = guest.wait_for(pattern, case.never, place, deadline)
        if place is None:
            why = "failed or hung" if guest.process.poll() is None else "ended"
            return f"the guest {why} before it said /{pattern}/"
        if answer:
            guest.type(answer)
    if case.status is None:
        guest.stop(signal.SIGTERM)
    status = guest.end(deadline)
    if status is None:
        return "the emulator did not end"
    if case.status is None:
        good = status in (0, 128 + signal.SIGTERM, -signal.SIGTERM)
    else:
        good = status == case.status
    return None if good else f"the emulator's exit status is {status}"


def missing_file(case, guests, emulator):
    files = [f.format(guests=guests) for f in case.needs]
    if "/" in emulator[0]:
        files.append(emulator[0])
    return next((f for f in files if not pathlib.Path(f).is_file()), None)


def main():
    if sys.argv[1] == "--list":
        print("\n".join(CASES))
        return 0
    name, guests = sys.argv[1], sys.argv[2]
    case = CASES[name]
    emulator = shlex.split(os.environ.get("EMU", "")) or sys.argv[3:]
    missing = missing_file(case, guests, emulator)
    if missing:
        print(f"{name}: skipped, {missing} is missing")
        return MISSING
    command = emulator + ["-nographic"] + shlex.split(case.args.format(guests=guests))
    print(shlex.join(command))
    log = pathlib.Path(guests) / f"{name}.log"
    guest = Guest(command, log)
    started = time.monotonic()
    try:
        complaint = run_steps(guest, case, started + case.seconds)
    finally:
        guest.stop(signal.SIGKILL)
        guest.process.wait()
    if complaint:
        print("\n".join(guest.said.splitlines()[-40:]))
        print(f"{name}: {complaint} ({time.monotonic() - started:.1f} s; all it said: {log})")
        return 1
    print(f"{name}: as expected ({time.monotonic() - started:.1f} s)")
    return 0


sys.exit(main())
