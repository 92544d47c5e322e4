#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Everything a user or a guest can get wrong: each must end in one clear sentence that names the
# thing, exit status 1 (the host refused) or 2 (the command line), and no file changed.
# Usage: bad_input.py EMULATOR [NAME...], or bad_input.py --list.
# Exit status 77: the emulator is missing, or the one test named cannot run here.
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

EMULATOR = [sys.argv[1], "--accel=tcg"]
QUIET = ["-nographic", "-q"]
SECONDS = 120


def run(*arguments, seconds=SECONDS):
    """(exit status, what it said). A hang is an exception."""
    done = subprocess.run(EMULATOR + QUIET + list(arguments), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds)
    return done.returncode, done.stdout.decode("utf-8", "replace")


def refuses(arguments, status, *words, untouched=None):
    before = untouched.read_bytes() if untouched else None
    got, said = run(*map(str, arguments))
    assert got == status, f"exit status {got} instead of {status}: {said}"
    sentence = next((line for line in said.splitlines() if line.startswith("emu: ")), None)
    assert sentence, f"no sentence from emu: {said!r}"
    for word in words:
        assert word.lower() in said.lower(), f"says nothing of {word!r}: {said}"
    if untouched:
        assert untouched.read_bytes() == before, f"{untouched} was changed"


def qcow2(folder, name="disk.qcow2", size="8M"):
    path = folder / name
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(path), size], check=True)
    return path


def patched(folder, offset, data):
    """A qcow2 image with bytes of its header replaced."""
    path = qcow2(folder, "patched.qcow2")
    content = bytearray(path.read_bytes())
    content[offset:offset + len(data)] = data
    path.write_bytes(content)
    return path


def boot_sector(folder, code):
    """A 1 MiB raw disk whose boot sector runs `code`."""
    path = folder / "sector.img"
    path.write_bytes(code.ljust(510, b"\0") + b"\x55\xaa" + bytes(1024 * 1024 - 512))
    return path


def survives(folder, code, seconds=8, extra=()):
    """The guest does what it likes; the process must neither crash nor ignore SIGTERM."""
    disk = boot_sector(folder, code)
    process = subprocess.Popen(EMULATOR + QUIET + ["-m", "32", *extra, str(disk)], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        said, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=SECONDS)
    assert process.returncode in (0, 1, 128 + signal.SIGTERM), \
        f"status {process.returncode}: {said.decode('utf-8', 'replace')[-2000:]}"
    return process.returncode, said.decode("utf-8", "replace")


# --- the user's mistakes ---

def test_bad_port_forwards(folder):
    for text in ("22", "2222:", "70000:22", "1.2.3:80:80", "2222:22/sctp", "tcp::2222:22"):
        refuses(["-kernel", "k", "-p", text], 2, "-p", text, "2222:22")


def test_bad_network_words(folder):
    for arguments, words in (
            (["--nic", "carrier-pigeon"], ("carrier-pigeon",)),
            (["--nic", "user,model=ne3000"], ("ne3000", "e1000")),
            (["--nic", "user,mac=1:2"], ("1:2", "52:54:00")),
            (["--nic", "user,mac=01:00:00:00:00:01"], ("multicast",)),
            (["--nic", "user,colour=blue"], ("colour",)),
            (["--nic", "user,restrict=maybe"], ("restrict", "maybe")),
            (["--nic", "user,rate=10Q"], ("rate", "10M", "10Q")),
            (["--nic", "user,delay=1h"], ("delay", "20ms", "1h")),
            (["--nic", "user,guestfwd=10.0.2.100:80"], ("10.0.2.100:80-cmd:cat",)),
            (["--nic", "tap,queues=99"], ("queues", "16")),
            (["--nic", "hubport,hubid=-1"], ("hubid", "255")),
            (["-netdev", "user,id=u", "-netdev", "hubport,id=p,hubid=2,netdev=u"], ("hub", "hubid=2")),
            (["-netdev", "hubport,id=p,netdev=u"], ("id=u",)),
            (["--nic", "user,model=ne2k_isa,iobase=0x301"], ("iobase", "0x301", "32")),
            (["--nic", "user,model=ne2k_isa,irq=2"], ("irq", "3", "15")),
            (["--nic", "user,model=ne2k_isa", "--nic", "user,model=ne2k_isa"], ("ne2k_isa", "iobase=", "irq=")),
            (["--nic", "user,bootindex=first"], ("bootindex", "first")),
            (["--nic", "none", "-p", "2222:22"], ("-p", "--nic user")),
            (["--nic", "none", "--capture", "x"], ("--capture",)),
            (["-netdev", "user,id=a"], ("--netdev", "--device")),
            (["-device", "e1000,netdev=b"], ("id=b",)),
            (["--nic", "user,mac=52:54:00:00:00:01", "--nic", "user,mac=52:54:00:00:00:01"],
             ("two cards", "52:54:00:00:00:01"))):
        refuses(["-kernel", "k"] + arguments, 2, *words)


def test_port_in_use(folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refuses(["-p", f"{port}:22", qcow2(folder)], 1, str(port), "in use", "-p")


def test_port_of_a_foreign_address(folder):
    refuses(["-p", "192.0.2.1:8080:80", qcow2(folder)], 1, "192.0.2.1", "no such address")


def test_networks_the_host_refuses(folder):
    disk = qcow2(folder)
    refuses(["--nic", "socket,connect=unix:/nonexistent", disk], 1, "/nonexistent", "listen=")
    refuses(["--nic", "socket,listen=192.0.2.1:5000", disk], 1, "192.0.2.1:5000")
    refuses(["--nic", "bridge,helper=/nonexistent", disk], 1, "/nonexistent", "apt install")
    refuses(["--nic", "user,tftp=/nonexistent", disk], 1, "TFTP folder /nonexistent")
    refuses(["--nic", "socket,mcast=239.192.0.1:5000,localaddr=203.0.113.9", disk], 1, "203.0.113.9", "ip address")
    refuses(["--nic", "passt,path=/nonexistent", disk], 1, "/nonexistent", "apt install passt")
    refuses(["--nic", "tap,ifname=much-too-long-a-name", disk], 2, "much-too-long-a-name")
    refuses(["--nic", "socket,mcast=10.0.0.1:1", disk], 2, "multicast")


def test_tap_without_rights(folder):
    """As nobody, or in a user namespace that owns no network."""
    if os.geteuid() != 0:
        arguments = []
    elif subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "true"],
                        capture_output=True).returncode == 0:
        folder.chmod(0o755)
        arguments = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    else:
        print("tap_without_rights: skipped, cannot give up root's rights")
        sys.exit(77)
    done = subprocess.run([*arguments, *EMULATOR, *QUIET, "--nic", "tap,ifname=emutap9", "-kernel",
                           "/boot/memtest86+x64.bin"], capture_output=True, timeout=SECONDS, text=True)
    assert done.returncode == 1, f"status {done.returncode}: {done.stderr}"
    assert "sudo ip tuntap add dev emutap9" in done.stderr or "/dev/net/tun" in done.stderr, done.stderr


def test_capture_cannot_be_written(folder):
    refuses(["--capture", folder / "none" / "packets", qcow2(folder)], 1, "--capture", "none/packets")


def test_missing_image(folder):
    refuses([folder / "nothing.qcow2"], 1, "nothing.qcow2")


def test_empty_image(folder):
    path = folder / "empty.img"
    path.touch()
    refuses([path], 1, "empty", untouched=path)


def test_image_is_a_folder(folder):
    refuses([folder], 1, str(folder.name))


def test_unrecognised_images(folder):
    for name, content, word in (("notes.img", b"Dear diary,\n" * 50, "notes.img"),
                                ("disk.vmdk", b"KDMV" + bytes(2044), "vmdk"),
                                ("disk.gz", b"\x1f\x8b\x08\x00" + bytes(2044), "gz")):
        path = folder / name
        path.write_bytes(content)
        refuses([path], 1, word, untouched=path)


def test_truncated_qcow2(folder):
    path = qcow2(folder)
    path.write_bytes(path.read_bytes()[:80])
    refuses([path], 1, "disk.qcow2", untouched=path)


def test_corrupt_qcow2_headers(folder):
    for offset, data in ((4, struct.pack(">I", 9)),               # version
                         (20, struct.pack(">I", 40)),             # cluster bits
                         (24, struct.pack(">Q", 1 << 63)),        # size
                         (32, struct.pack(">I", 9)),              # encryption
                         (36, struct.pack(">I", 0xFFFFFFFF)),     # L1 entries
                         (40, struct.pack(">Q", 0x123)),          # L1 offset
                         (48, struct.pack(">Q", 1 << 60)),        # refcount table
                         (72, struct.pack(">Q", 1 << 40))):       # incompatible features
        path = patched(folder, offset, data)
        refuses([path], 1, "patched.qcow2", untouched=path)


def test_missing_backing_file(folder):
    base = qcow2(folder, "base.qcow2")
    top = folder / "top.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(base), "-F", "qcow2", str(top)],
                   check=True)
    base.unlink()
    refuses([top], 1, "base.qcow2")


def test_wrong_format_asked_for(folder):
    path = folder / "raw.img"
    path.write_bytes(bytes(1024 * 1024))
    refuses(["-drive", f"file={path},format=qcow2"], 1, "raw.img", untouched=path)


def test_image_without_permission(folder):
    if os.geteuid() == 0:
        return "root may open everything"
    path = qcow2(folder)
    path.chmod(0)
    refuses([path], 1, "disk.qcow2", "permission")
    return None


def answers(monitor_path):
    """Whether the machine with this monitor is there; its images are open then."""
    try:
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.connect(str(monitor_path))
            monitor.sendall(b"info status\n")
            monitor.shutdown(socket.SHUT_WR)
            return monitor.recv(4096) != b""
    except OSError:
        return False


def test_locked_image_names_its_holder(folder):
    path = qcow2(folder)
    socket_path = folder / "monitor"
    holder = subprocess.Popen(EMULATOR + QUIET + ["-m", "32", "--monitor", f"unix:{socket_path}", str(path)],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline and holder.poll() is None:
            if answers(socket_path):
                break
            time.sleep(0.2)
        locked = subprocess.run(["qemu-img", "info", str(path)], capture_output=True)
        assert locked.returncode != 0, "qemu-img does not see the lock"
        refuses([path], 1, str(holder.pid))
    finally:
        holder.terminate()
        assert holder.wait(SECONDS) in (0, 128 + signal.SIGTERM)


def test_usage_mistakes(folder):
    for arguments, word in ((["--colour=red"], "colour"), (["-m", "abc"], "abc"), (["-m", "-5"], "-5"),
                            (["-smp", "0"], "0"), (["-smp", "100000"], "100000"), (["-smp", "two"], "two"),
                            (["--accel=fast"], "fast"), (["-boot", "z"], "z"), (["-m"], "-m"),
                            (["-drive", "fil=x"], "fil"), (["--rtc", "base=yesterday"], "yesterday")):
        refuses(arguments, 2, word)


def test_more_memory_than_the_host_has(folder):
    status, said = run("-m", "1000G", str(qcow2(folder)))
    assert status in (1, 2) and "emu: " in said, said


def test_kernel_that_is_none(folder):
    path = folder / "kernel"
    path.write_bytes(b"not a kernel" * 1000)
    refuses(["-kernel", path], 1, "kernel")
    refuses(["-kernel", folder / "nowhere"], 1, "nowhere")
    path.write_bytes(b"")
    refuses(["-kernel", path], 1, "kernel")


def test_missing_firmware(folder):
    refuses(["--firmware", folder / "bios.bin", qcow2(folder)], 1, "bios.bin")


def test_kvm_is_not_faked(folder):
    command = [sys.argv[1], "--accel=kvm", "--display=none", str(qcow2(folder))]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    said = ""
    for line in process.stderr:  # to its end, or to the second line of the banner
        said += line
        if line.startswith("engine:"):
            process.kill()
    status = process.wait(SECONDS)
    if "engine:" in said:
        assert "engine: kvm" in said, said
    else:
        assert status == 1 and "kvm" in said.lower(), said


# --- the guest's mistakes ---

CLI = b"\xfa"
# lgdt/lidt of nothing, protected mode, then a fault that has no handler
TRIPLE_FAULT = CLI + bytes.fromhex("31c08ed80f011e2a7c0f20c00c010f22c00f0b") + bytes(64)


def test_triple_fault_resets_or_exits(folder):
    status, said = survives(folder, TRIPLE_FAULT, seconds=60, extra=("-no-reboot",))
    assert status in (0, 1), f"did not exit: {said}"
    survives(folder, TRIPLE_FAULT, seconds=5)


def test_jump_to_nowhere(folder):
    survives(folder, CLI + bytes.fromhex("eaffff00f0"))              # jmp f000:ffff
    survives(folder, CLI + bytes.fromhex("ea000000a0"))              # into video memory
    survives(folder, CLI + bytes.fromhex("6631e4bcfeff9d6a00ebfc"))  # odd stack, pushes for ever


def test_every_port(folder):
    # 1: xor dx,dx; 2: in al,dx; out dx,al (then ax, eax); inc dx; jnz 2; hlt
    for access in ("eceeefed66ed66ef", "b0ffee", "b8a5a5ef", "66b8ffffffff66ef"):
        loop = bytes.fromhex(access) + b"\x42"
        back = 256 - (len(loop) + 2)
        survives(folder, CLI + b"\x31\xd2" + loop + b"\x75" + bytes([back]) + b"\xf4")


def test_every_msr(folder):
    # IVT[13] -> a handler that skips the two-byte instruction; then rdmsr and wrmsr of 64 Ki MSRs from
    # 0, C0000000h and C0010000h.
    code = bytearray(CLI)
    code += bytes.fromhex("31c08ed88ed0bc007bc70634000 07dc70636000000".replace(" ", ""))
    for base in (0, 0xC0000000, 0xC0010000, 0x40000000):
        code += b"\x66\xb9" + struct.pack("<I", base)
        loop = bytes.fromhex("0f320f30 6631c0 6631d2 0f30 66f7d0 66f7d2 0f30 6641 6681f9".replace(" ", ""))
        loop += struct.pack("<I", base + 0x2000)
        code += loop + b"\x75" + bytes([256 - (len(loop) + 2)])
    code += b"\xf4\xeb\xfd"
    sector = bytes(code).ljust(256, b"\x90") + bytes.fromhex("5589e5834602025dcf")
    survives(folder, sector, seconds=20)


def test_signals_stop_cleanly_and_keep_the_disk(folder):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        disk = boot_sector(folder, CLI + b"\xeb\xfe")
        process = subprocess.Popen(EMULATOR + QUIET + ["-m", "32", str(disk)], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        time.sleep(2)
        process.send_signal(number)
        said, _ = process.communicate(timeout=SECONDS)
        assert process.returncode in (0, 128 + number), (number, process.returncode, said)


def main():
    tests = {n[5:]: f for n, f in globals().items() if n.startswith("test_")}
    if sys.argv[1] == "--list":
        print("\n".join(tests))
        return 0
    if not pathlib.Path(sys.argv[1]).is_file():
        print(f"bad_input: skipped, {sys.argv[1]} is missing")
        return 77
    failures = 0
    for name in sys.argv[2:] or tests:
        with tempfile.TemporaryDirectory() as folder:
            try:
                note = tests[name](pathlib.Path(folder))
                print(f"{name}: {'skipped, ' + note if note else 'as expected'}", flush=True)
                if note and len(sys.argv) == 3:
                    return 77
            except (AssertionError, subprocess.TimeoutExpired) as problem:
                failures += 1
                print(f"{name}: FAILED: {problem}", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
