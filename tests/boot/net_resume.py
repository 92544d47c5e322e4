#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Machines that are saved in the middle of a download and go on in a new process: the same TCP
# connection brings the rest, and the checksum is right.
#   tap: from a server on the host, through a TAP device
#   socket: from another guest, which runs on meanwhile, over a socket link
#   user: the user network's connections belong to the process that ended. A guest that sends hears so
#         at once; it keeps its address, and new connections work
# Usage: net_resume.py CASE GUESTS_FOLDER EMULATOR...    net_resume.py --list
# Exit status: 0 as expected, 1 not, 77 something the test needs is missing.
import os
import pathlib
import shlex
import socket
import subprocess
import sys
import tempfile
import threading
import time

import net_guest

# Says when it has a part of the file, and in the end what the whole is.
DOWNLOAD = """
wget -q -O /tmp/got URL & got=$!
until [ "$(stat -c %s /tmp/got 2>/dev/null || echo 0)" -gt 1500000 ]; do usleep 20000; done
echo guest: half
wait $got && echo "guest: sum $(sha256sum < /tmp/got | cut -c1-64)" || echo guest: cut off
"""
AFTER = """
[ "$(wget -q -O - http://10.0.2.2:PORT/small)" = small ] && echo guest: small
"""
UPLOAD = """
head -c 6000000 /dev/urandom | base64 > /tmp/up
wget -q -O /tmp/answer --post-file /tmp/up URL & got=$!
usleep 300000; echo guest: half
wait $got && echo guest: whole || echo guest: cut off
"""
SERVE = """
ip link set eth1 up; ip addr add 192.168.9.1/24 dev eth1
mkdir -p /tmp/web; wget -q -O /tmp/web/download http://10.0.2.2:PORT/download
httpd -p 80 -h /tmp/web; echo guest: serving
wget -q -O - http://10.0.2.2:PORT/wait
"""
FETCH = "ip link set eth1 up; ip addr add 192.168.9.2/24 dev eth1\n" + DOWNLOAD.replace("URL", "http://192.168.9.1/download") + AFTER
WHOLE = f"guest: sum {net_guest.DOWNLOAD_SUM}"
CASES = {
    "tap": {"nics": ["tap,model={card},ifname=tap0,rate=30000000"], "append": "address=192.168.7.2/24",
            "host": "192.168.7.1", "script": DOWNLOAD.replace("URL", "http://192.168.7.1:PORT/download"),
            "prepare": net_guest.tap("", "", "")["prepare"], "says": [WHOLE]},
    "socket": {"nics": ["user,model={card}", "socket,model={card},connect=unix:{folder}/wire,rate=30000000"],
               "server": ["user", "socket,listen=unix:{folder}/wire"], "script": FETCH,
               "says": [WHOLE, "guest: small"]},
    "user": {"nics": ["user,model={card},rate=30000000"],
             "script": UPLOAD.replace("URL", "http://10.0.2.2:PORT/upload") + AFTER,
             "says": ["guest: cut off", "guest: small"]},
}
DRIVERS = {"virtio-net": "virtio_net,virtio_pci", "e1000e": "e1000e"}
# Which card is saved in which case; two cases with the cards that have most to keep.
TESTS = {"tap_e1000e": ("tap", "e1000e"), "tap_virtio": ("tap", "virtio-net"),
         "socket_virtio": ("socket", "virtio-net"), "user_e1000e": ("user", "e1000e")}


class Guest:
    def __init__(self, command):
        print(shlex.join(command), flush=True)
        self.said = ""
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, errors="replace")
        self.timer = threading.Timer(net_guest.SECONDS, self.process.kill)
        self.timer.start()

    def wait_for(self, text):
        for line in self.process.stdout:
            self.said += line
            if text in line:
                return
        raise AssertionError(f"the guest did not say '{text}':\n{self.said[-2500:]}")

    def end(self):
        self.said += self.process.stdout.read()
        status = self.process.wait()
        self.timer.cancel()
        assert status == 0, f"exit status {status}:\n{self.said[-2500:]}"


def ask(monitor, command):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(monitor)
        connection.sendall(command.encode() + b"\n")
        while connection.recv(4096):
            pass


def run(case, card, guests, emulator, folder):
    server = net_guest.Server(("::", 0), net_guest.Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port, host = server.server_address[1], case.get("host", "10.0.2.2")

    def command(nics, path, modules):
        words = emulator + ["-nographic", "-m", "256", "-no-reboot", "-kernel", f"{guests}/amd64.vmlinuz",
                            "-initrd", f"{guests}/net.initrd"]
        for nic in nics:
            words += ["--nic", nic.format(card=card, folder=folder)]
        return words + ["-append", f"console=ttyS0 panic=-1 quiet modules={modules} "
                                   f"script=http://{host}:{port}/{path} {case.get('append', '')}"]
    net_guest.Handler.pages = {"/script": case["script"].replace("PORT", str(port)).encode(),
                               "/serve": SERVE.replace("PORT", str(port)).encode()}
    other = None
    if "server" in case:
        other = Guest(command(case["server"], "serve", DRIVERS["virtio-net"]))
        other.wait_for("guest: serving")
    words = command(case["nics"], "script", DRIVERS[card]) + ["--monitor", f"unix:{folder}/monitor"]
    first = Guest(words)
    first.wait_for("guest: half")
    ask(f"{folder}/monitor", f"suspend {folder}/state")
    first.end()
    assert "guest: sum" not in first.said, "the download was over before the machine was saved"
    second = Guest(words + ["--load", f"{folder}/state"])
    for text in case["says"]:
        second.wait_for(text)
    second.end()
    if other:
        net_guest.Handler.forward.set()
        other.end()


def main():
    if sys.argv[1] == "--list":
        print("\n".join(TESTS))
        return 0
    name, guests, emulator = sys.argv[1], sys.argv[2], sys.argv[3:]
    kind, card = TESTS[name]
    case = CASES[kind]
    for file in (f"{guests}/amd64.vmlinuz", f"{guests}/net.initrd"):
        if not os.path.isfile(file):
            print(f"{name}: skipped, {file} is missing")
            return net_guest.MISSING
    net_guest.enter_namespace()
    started, trouble = time.monotonic(), None
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for step in case.get("prepare", ()):
        if subprocess.run(step.split()).returncode != 0:
            print(f"{name}: skipped, this host does not permit '{step}'")
            return net_guest.MISSING
    with tempfile.TemporaryDirectory() as folder:
        try:
            run(case, card, guests, emulator, folder)
        except (AssertionError, OSError) as error:
            trouble = str(error)
    print(f"{name}: {trouble or 'as expected'} ({time.monotonic() - started:.1f} s)")
    return 1 if trouble else 0


sys.exit(main())
