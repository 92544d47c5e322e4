#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# A machine without disks starts from the network: iPXE out of the card's ROM, an address by DHCP, a
# script by TFTP. Meanwhile the monitor shows the card and pulls its cable.
# Usage: network_boot.py CARD EMULATOR...        network_boot.py --list
# Exit status: 0 as expected, 1 not, 77 something the test needs is missing.
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time

MISSING = 77
SECONDS = 240
CARDS = {"virtio-net": "virtio", "e1000": "e1000", "rtl8139": "rtl8139", "pcnet": "pcnet", "ne2k_pci": "ne2k_pci"}
SAYS = "started-from-the-network 52:54:00:00:00:77"
SCRIPT = "#!ipxe\necho started-from-the-network ${net0/mac}\nprompt waits\n"


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
        print("\n".join(CARDS))
        return 0
    card = sys.argv[1]
    rom = f"/usr/lib/ipxe/qemu/pxe-{CARDS[card]}.rom"
    if not os.path.isfile(rom):
        print(f"{card}: skipped, {rom} is missing (package ipxe-qemu)")
        return MISSING
    started, trouble, said = time.monotonic(), None, ""
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "boot.ipxe").write_text(SCRIPT)
        process = subprocess.Popen(
            sys.argv[2:] + ["-nographic", "-m", "64", "--boot", "n", "--monitor", f"unix:{folder}/monitor", "--nic",
                            f"user,model={card},mac=52:54:00:00:00:77,tftp={folder},bootfile=boot.ipxe"],
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
    print(f"{card}: {trouble or 'as expected'} ({time.monotonic() - started:.1f} s)")
    return 1 if trouble else 0


sys.exit(main())
