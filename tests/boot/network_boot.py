#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# A machine without disks starts from the network: iPXE out of the card's ROM, an address by DHCP, a
# script by TFTP. Meanwhile the monitor shows the card and pulls its cable. Under UEFI, the ROM is the
# card's driver, and what comes by TFTP is a program.
# Usage: network_boot.py CARD EMULATOR...        network_boot.py --list
# CARD is uefi_CARD under UEFI; the list has two of these, the others work alike.
# Exit status: 0 as expected, 1 not, 77 something the test needs is missing.
import os
import pathlib
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

MISSING = 77
SECONDS = 240
CARDS = {"virtio-net": "virtio", "e1000": "e1000", "e1000e": "e1000e", "rtl8139": "rtl8139", "pcnet": "pcnet", "ne2k_pci": "ne2k_pci"}
UEFI = "/usr/share/ovmf/OVMF.fd"
SAYS = "started-from-the-network 52:54:00:00:00:77"
SCRIPT = "#!ipxe\necho started-from-the-network ${net0/mac}\nprompt waits\n"


def efi_program():
    """An EFI application for x86-64 that says SAYS on the serial port and halts (PE/COFF 1.1)."""
    code = bytes.fromhex("488d3512000000" "66baf803" "ac" "84c0" "7403" "ee" "ebf8" "f4" "ebfd")
    code = code[:3] + struct.pack("<I", len(code) - 7) + code[7:] + SAYS.encode() + b"\r\n\0"
    headers = b"MZ".ljust(0x3c, b"\0") + struct.pack("<I", 0x40)
    headers += b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, 1, 0, 0, 0, 240, 0x22)
    headers += struct.pack("<HBBIIIII", 0x20b, 1, 0, 0x200, 0, 0, 0x1000, 0x1000)
    headers += struct.pack("<QIIHHHHHHIIIIHH", 0, 0x1000, 0x200, 0, 0, 0, 0, 0, 0, 0, 0x2000, 0x200, 0, 10, 0)
    headers += struct.pack("<QQQQII", 0x10000, 0x10000, 0, 0, 0, 16) + bytes(16 * 8)
    headers += b".text\0\0\0" + struct.pack("<IIIIIIHHI", 0x200, 0x1000, 0x200, 0x200, 0, 0, 0, 0, 0x60000020)
    return headers.ljust(0x200, b"\0") + code.ljust(0x200, b"\0")


class Monitor:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(SECONDS)
        self.socket.connect(path)
        self.said = ""

    def ask(self, command, pattern):
        """Sends a command; returns what matches in the answer."""
        start = len(self.said)
        self.socket.sendall(command.encode() + b"\n")
        while True:
            found = re.compile(pattern).search(self.said, start)
            if found:
                return found
            data = self.socket.recv(4096)
            assert data, f"the monitor did not answer /{pattern}/ to '{command}': {self.said!r}"
            self.said += data.decode(errors="replace")


def check_monitor(path, card):
    monitor = Monitor(path)
    seen = monitor.ask("info network", rf"nic0: {card} 52:54:00:00:00:77 on user, link on; sent (\d+) frames")
    assert int(seen.group(1)) > 2, "the card's counters stand still"
    monitor.ask("set_link nic0 off", r"\(emu\)")
    monitor.ask("info network", r"link off")
    monitor.ask("set_link nic7 off", r"error: set_link: there is no card nic7")
    monitor.ask("set_link nic0 maybe", r"error: set_link takes a card and on or off")
    monitor.ask("set_link nic0 on", r"\(emu\)")
    monitor.ask("info network", r"link on")
    monitor.socket.sendall(b"quit\n")


def main():
    if sys.argv[1] == "--list":
        print("\n".join([*CARDS, "uefi_e1000e", "uefi_virtio-net"]))
        return 0
    name = sys.argv[1]
    uefi, card = name.startswith("uefi_"), name.removeprefix("uefi_")
    rom = f"/usr/lib/ipxe/qemu/efi-{CARDS[card]}.rom"
    for file, package in ((rom, "ipxe-qemu"), (UEFI, "ovmf")):
        if not os.path.isfile(file) and (uefi or file != UEFI):
            print(f"{name}: skipped, {file} is missing (package {package})")
            return MISSING
    firmware = ["-m", "256", "--firmware", UEFI] if uefi else ["-m", "64"]
    started, trouble, said = time.monotonic(), None, ""
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "boot").write_bytes(efi_program() if uefi else SCRIPT.encode())
        process = subprocess.Popen(
            sys.argv[2:] + ["-nographic", *firmware, "--boot", "n", "--monitor", f"unix:{folder}/monitor", "--nic",
                            f"user,model={card},mac=52:54:00:00:00:77,tftp={folder},bootfile=boot"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        timer = threading.Timer(SECONDS, process.kill)
        timer.start()
        while data := process.stdout.read1(4096):
            before, said = said, said + data.decode(errors="replace")
            if SAYS in said and SAYS not in before:
                try:
                    check_monitor(f"{folder}/monitor", card)
                except (AssertionError, OSError) as error:
                    trouble = str(error)
                    process.kill()
        timer.cancel()
        if process.wait() != 0:
            trouble = trouble or f"exit status {process.returncode}"
    if SAYS not in said:
        trouble = trouble or "the script did not run"
    if trouble:
        print(said[-3000:])
    print(f"{name}: {trouble or 'as expected'} ({time.monotonic() - started:.1f} s)")
    return 1 if trouble else 0


sys.exit(main())
