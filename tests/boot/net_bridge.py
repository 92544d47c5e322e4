#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Two guests and the host on one bridge, in a network namespace of the test's own: the first guest
# on a TAP device with two queues that joins the bridge, the second through Debian's bridge helper
# and its list of allowed bridges. ARP, multicast, jumbo frames, VLAN tags, a download, iperf3.
# Usage: net_bridge.py CASE GUESTS_FOLDER EMULATOR...
#        net_bridge.py --list
# Exit status: 0 as expected, 1 not, 77 something the test needs is missing.
import http.server
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import threading
import time

from net_guest import DOWNLOAD, DOWNLOAD_SUM, MISSING, Server, enter_namespace

SECONDS = 200
HOST, FIRST, SECOND = "192.168.7.1", "192.168.7.2", "192.168.7.3"
FIRST_MAC = "52:54:00:00:00:0a"
HELPER = "/usr/lib/qemu/qemu-bridge-helper"

COMMON = """
modprobe 8021q; vconfig add eth0 5 >/dev/null
ip link set eth0 mtu 9000; sleep 1; ip link set eth0.5 up; ip addr add 10.5.0.NUMBER/24 dev eth0.5
echo 0 > /proc/sys/net/ipv4/icmp_echo_ignore_broadcasts
"""
FIRST_SCRIPT = COMMON.replace("NUMBER", "2") + """
iperf3 -s >/dev/null &
wget -q -O - http://HOST:PORT/set/first; wget -q -O - http://HOST:PORT/wait/second
"""
SECOND_SCRIPT = COMMON.replace("NUMBER", "3") + """
ip route add 224.0.0.0/4 dev eth0
wget -q -O - http://HOST:PORT/wait/first
arping -c 2 -I eth0 FIRST | grep -q -i "MAC" && echo guest: arp
ping -c 2 -W 5 FIRST >/dev/null && grep -q -i "FIRST .*MAC" /proc/net/arp && echo guest: neighbour
before=$(awk '/eth0:/ {print $11}' /proc/net/dev)
ping -c 2 -s 8000 -W 5 FIRST >/dev/null && ping -c 2 -s 8000 -W 5 HOST >/dev/null && [ $(($(awk '/eth0:/ {print $11}' /proc/net/dev) - before)) -lt 20 ] && echo guest: jumbo
ping -c 3 -W 5 224.0.0.1 > /tmp/group; grep -q "from FIRST" /tmp/group && grep -q "from HOST" /tmp/group && echo guest: multicast
ping -c 2 -W 5 10.5.0.2 >/dev/null && echo guest: vlan
ping -c 2 -s 8000 -W 5 10.5.0.2 >/dev/null && echo guest: jumbo vlan
echo "guest: sum $(wget -q -O - http://HOST:PORT/download | sha256sum | cut -c1-64)"
for peer in FIRST HOST 10.5.0.2; do
  iperf3 -t 1 -c $peer | grep -q receiver && echo "guest: to $peer"
  iperf3 -t 1 -R -c $peer | grep -q receiver && echo "guest: from $peer"
done
wget -q -O - http://HOST:PORT/set/second
"""
STEPS = [r"guest: arp", r"guest: neighbour", r"guest: jumbo\s", r"guest: multicast", r"guest: vlan",
         r"guest: jumbo vlan", rf"guest: sum {DOWNLOAD_SUM}",
         *[rf"guest: {way} {peer}" for peer in (FIRST, HOST, "10.5.0.2") for way in ("to", "from")],
         r"guest: done"]

CASES = {
    "virtio": {"first": ("cloud", "virtio_net,virtio_pci", "virtio-net,queues=2"),
               "second": ("cloud", "virtio_net,virtio_pci", "virtio-net")},
    "e1000": {"first": ("cloud", "virtio_net,virtio_pci", "virtio-net,queues=2"),
              "second": ("amd64", "e1000", "e1000")},
}


class Handler(http.server.BaseHTTPRequestHandler):
    events = {"first": threading.Event(), "second": threading.Event()}
    scripts = {}

    def do_GET(self):
        what, _, name = self.path[1:].partition("/")
        if what == "set":
            Handler.events[name].set()
        elif what == "wait":
            Handler.events[name].wait(SECONDS)
        body = {"script": Handler.scripts.get(name, b""), "download": DOWNLOAD}.get(what, b"")
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


def allow_bridge(folder):
    """A copy of /etc with the bridge in the helper's list, in this namespace only."""
    copy = pathlib.Path(folder) / "etc"
    subprocess.run(["cp", "-a", "/etc", copy], capture_output=True)
    (copy / "qemu").mkdir(exist_ok=True)
    (copy / "qemu" / "bridge.conf").write_text("allow br0\n")
    subprocess.run(["mount", "--bind", str(copy), "/etc"], check=True)


def start(name, case, net, guests, emulator, port):
    kernel, modules, card = case[name]
    address = FIRST if name == "first" else SECOND
    command = emulator + shlex.split(
        f"-nographic -m 256 -smp {2 if 'queues' in card else 1} -no-reboot -kernel {guests}/{kernel}.vmlinuz "
        f"-initrd {guests}/net.initrd --nic {net},model={card} -append 'console=ttyS0 panic=-1 quiet "
        f"modules={modules} address={address}/24 script=http://{HOST}:{port}/script/{name}'")
    print(shlex.join(command), flush=True)
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, errors="replace")


def refusal(emulator, guests):
    """What the user is told of a bridge that is not in the list."""
    done = subprocess.run(emulator + ["-nographic", "-kernel", f"{guests}/cloud.vmlinuz", "--nic", "bridge,br=br7"],
                          capture_output=True, text=True, timeout=60)
    wanted = ("br7", "/etc/qemu/bridge.conf", "allow br7")
    return None if done.returncode == 1 and all(word in done.stderr for word in wanted) else (
        f"for a bridge that is not allowed the emulator says: {done.stderr}")


def run(case, guests, emulator, folder):
    server = Server(("::", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    for name, script in (("first", FIRST_SCRIPT), ("second", SECOND_SCRIPT)):
        for word, value in (("PORT", str(port)), ("HOST", HOST), ("FIRST", FIRST), ("MAC", FIRST_MAC)):
            script = script.replace(word, value)
        Handler.scripts[name] = script.encode()
    with_helper = os.access(HELPER, os.X_OK)
    if with_helper:
        allow_bridge(folder)
        trouble = refusal(emulator, guests)
        if trouble:
            return trouble
    iperf = subprocess.Popen(["iperf3", "-s"], stdout=subprocess.DEVNULL)
    first = start("first", case, f"tap,ifname=tapfirst,br=br0,mac={FIRST_MAC}", guests, emulator, port)
    second = start("second", case, "bridge,br=br0" if with_helper else "tap,ifname=tapsecond,br=br0", guests,
                   emulator, port)
    # A device is as narrow as Ethernet when it is made.
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        listed = subprocess.run("ip -o link show master br0".split(), capture_output=True, text=True).stdout
        ports = re.findall(r"^\d+: ([^:@]+)", listed, re.M)
        if len(ports) == 2:
            break
        time.sleep(0.1)
    for port_name in ports:
        subprocess.run(["ip", "link", "set", port_name, "mtu", "9000"], check=True)
    subprocess.run("ip link set br0 mtu 9000".split(), check=True)
    timer = threading.Timer(SECONDS, lambda: (first.kill(), second.kill()))
    timer.start()
    said = second.communicate()[0]
    Handler.events["second"].set()
    said_first = first.communicate()[0]
    timer.cancel()
    iperf.terminate()
    iperf.wait()
    if with_helper:
        subprocess.run(["umount", "/etc"], check=False)
    trouble, at = None, 0
    for step in STEPS:
        match = re.compile(step).search(said, at)
        if not match:
            trouble = trouble or f"the second guest did not say /{step}/"
            break
        at = match.end()
    for text in (said, said_first):
        if re.search(r"Kernel panic|BUG:|Oops|Call Trace|NETDEV WATCHDOG", text):
            trouble = trouble or "a guest complains"
    if first.returncode != 0 or second.returncode != 0:
        trouble = trouble or f"exit statuses {first.returncode}, {second.returncode}"
    if trouble:
        print(said_first[-2000:], said[-3000:], sep="\n--- second ---\n")
    return trouble


def main():
    if sys.argv[1] == "--list":
        print("\n".join(CASES))
        return 0
    name, guests, emulator = sys.argv[1], os.path.abspath(sys.argv[2]), sys.argv[3:]
    for file in (f"{guests}/cloud.vmlinuz", f"{guests}/net.initrd"):
        if not os.path.isfile(file):
            print(f"{name}: skipped, {file} is missing")
            return MISSING
    enter_namespace()
    for command in ("ip link set lo up", "ip link add br0 type bridge", f"ip addr add {HOST}/24 dev br0",
                    "ip link set br0 up", "sysctl -q -w net.ipv4.icmp_echo_ignore_broadcasts=0",
                    "test -c /dev/net/tun"):
        if subprocess.run(command.split()).returncode != 0:
            print(f"{name}: skipped, this host does not permit '{command}'")
            return MISSING
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        trouble = run(CASES[name], guests, emulator, folder)
    print(f"{name}: {trouble or 'as expected'} ({time.monotonic() - started:.1f} s)")
    return 1 if trouble else 0


if __name__ == "__main__":
    sys.exit(main())
