#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# A machine with a drive on every controller: SeaBIOS starts the one whose bootindex is lowest, or
# follows --boot. Each drive's boot sector says its name on the serial line.
# Usage: boot_order.py EMULATOR...      Exit status: 0 as expected, 1 not.
import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile

CONTROLLERS = ["ahci,id=sata", "virtio-scsi-pci,id=scsi0"]
DRIVES = {  # name: device
    "ide-disk": "ide-hd,bus=ide.0",
    "ide-cd": "ide-cd,bus=ide.1",
    "ahci-disk": "ide-hd,bus=sata.0",
    "ahci-cd": "ide-cd,bus=sata.1",
    "scsi-disk": "scsi-hd,bus=scsi0.0,scsi-id=2,lun=1",
    "scsi-cd": "scsi-cd,bus=scsi0.0",
    "virtio-disk": "virtio-blk-pci",
    "nvme-disk": "nvme,serial=1",
    "floppy": "floppy",
}


def boot_sector(name):
    """Says "booted NAME" on COM1 and leaves through isa-debug-exit."""
    code = bytes.fromhex("31c08ed8be1a7cbaf803fcac84c07403eeebf8ba0105eef4ebfd")
    text = f"booted {name}\r\n\0".encode()
    return (code + text).ljust(510, b"\0") + b"\x55\xaa"


def disc(name):
    """An ISO image that only has an El Torito boot catalog: no emulation, four sectors."""
    blocks = [b""] * 32
    blocks[16] = b"\1CD001\1"
    blocks[17] = b"\0CD001\1" + b"EL TORITO SPECIFICATION".ljust(64, b"\0") + struct.pack("<I", 19)
    blocks[18] = b"\xffCD001\1"
    entry = bytearray(b"\1".ljust(30, b"\0") + b"\x55\xaa")
    checksum = -sum(struct.unpack("<16H", entry)) & 0xffff
    struct.pack_into("<H", entry, 28, checksum)
    blocks[19] = bytes(entry) + struct.pack("<BBHBBHI", 0x88, 0, 0, 0, 0, 4, 20)
    blocks[20] = boot_sector(name)
    return b"".join(block.ljust(2048, b"\0") for block in blocks)


def start(emulator, folder, indexes, extra):
    """What the machine says whose drives have these boot indexes."""
    words = []
    for controller in CONTROLLERS:
        words += ["-device", controller]
    for name, device in DRIVES.items():
        index = f",bootindex={indexes[name]}" if name in indexes else ""
        media = ",media=cdrom" if name.endswith("cd") else ""
        words += ["-drive", f"file={folder}/{name},format=raw,if=none,id={name}{media}",
                  "-device", f"{device},drive={name}{index}"]
    command = emulator + ["-nographic", "-m", "64", "-nic", "none",
                          "-device", "isa-debug-exit,iobase=0x501,iosize=0x04"] + words + extra
    out = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=120,
                         check=False)
    said = re.search(r"booted (\S+)", out.stdout.decode("utf-8", "replace"))
    return said.group(1) if said else (out.stdout + out.stderr).decode("utf-8", "replace")[-400:]


def main():
    emulator = sys.argv[1:]
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in DRIVES:
            image = disc(name) if name.endswith("cd") else boot_sector(name)
            size = 1474560 if name == "floppy" else 1 << 20
            pathlib.Path(folder, name).write_bytes(image.ljust(size, b"\0"))
        cases = [({name: 1, other: 2}, [], name)
                 for name, other in zip(DRIVES, list(DRIVES)[1:] + list(DRIVES)[:1])]
        cases += [({}, ["-boot", "d"], "ide-cd"), ({}, ["-boot", "c"], "ide-disk"),
                  ({}, ["-boot", "a"], "floppy")]
        for indexes, extra, wanted in cases:
            said = start(emulator, folder, indexes, extra)
            print(f"{indexes} {' '.join(extra)}: {said}", flush=True)
            wrong += said != wanted
    return 1 if wrong else 0


sys.exit(main())
