#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Debian's graphical installer (package debian-installer-12-netboot-amd64) in a window on a screen of its
# own: three of its screens, by keyboard and pointer, in the window and over VNC. On each the window, VNC
# and a screenshot must show the same pixels.
# Usage: installer.py FOLDER EMULATOR...   FOLDER keeps the package and NAME.ppm of every screen.
# Run by name, or with EMU_TEST_INSTALLER=1: it fetches 130 MB and takes about two minutes.
# Exit status: 0 as expected, 1 not, 77 not asked for, or something the test needs is missing.
import os
import pathlib
import shutil
import subprocess
import sys
import time

from rfb import Vnc
from vga_modes import Monitor, read_ppm

MISSING = 77
PACKAGE = "debian-installer-12-netboot-amd64"
INSIDE = "usr/lib/debian-installer/images/12/amd64/gtk/debian-installer/amd64"
SCREEN = (1600, 1000)
TITLE = (80, 110)  # the rows of a screen's title


def unpack(folder):
    """The folder with the installer's kernel and initrd, fetched if need be; None without the package."""
    for there in (pathlib.Path("/") / INSIDE, folder / INSIDE):
        if (there / "initrd.gz").is_file():
            return there
    subprocess.run(["apt-get", "download", "-qq", PACKAGE], cwd=folder, stderr=subprocess.DEVNULL)
    packages = list(folder.glob(f"{PACKAGE}_*.deb"))
    if not packages:
        return None
    subprocess.run(["dpkg-deb", "-x", packages[0], folder], check=True)
    packages[0].unlink()
    return folder / INSIDE


def read_xwd(path):
    """The picture that Xvfb keeps in a file: (width, height, RGB bytes). Source: XWDFile.h."""
    data = path.read_bytes()
    header = [int.from_bytes(data[i * 4:i * 4 + 4], "big") for i in range(25)]
    width, height, pitch, colours = header[4], header[5], header[12], header[19]
    pixels = data[header[0] + colours * 12:][:pitch * height]
    rgb = bytearray(width * height * 3)
    rgb[0::3], rgb[1::3], rgb[2::3] = pixels[2::4], pixels[1::4], pixels[0::4]
    return width, height, bytes(rgb)


def crop(picture, left, top, width, height):
    all_width, _, pixels = picture
    rows = [pixels[((top + y) * all_width + left) * 3:][:width * 3] for y in range(height)]
    return width, height, b"".join(rows)


def title(picture):
    width, _, pixels = picture
    return pixels[TITLE[0] * width * 3:TITLE[1] * width * 3]


class Desktop:
    """An X server with one window in it: the emulator's."""

    def __init__(self, folder, command):
        self.folder = folder
        read, write = os.pipe()
        self.server = subprocess.Popen(
            ["Xvfb", "-displayfd", str(write), "-screen", "0", "%dx%dx24" % SCREEN, "-fbdir", str(folder),
             "-nolisten", "tcp"], pass_fds=[write], stderr=subprocess.DEVNULL)
        os.close(write)
        self.environment = os.environ | {"DISPLAY": f":{os.read(read, 16).decode().strip()}",
                                         "SDL_VIDEODRIVER": "x11", "SDL_AUDIODRIVER": "dummy"}
        self.emulator = subprocess.Popen(command, env=self.environment)

    def close(self):
        for process in (self.emulator, self.server):
            process.kill()
            process.wait()

    def xdotool(self, *words):
        return subprocess.run(["xdotool", *map(str, words)], env=self.environment, check=True,
                              stdout=subprocess.PIPE).stdout.decode()

    def place(self):
        """Where the window's picture starts."""
        window = self.xdotool("search", "--onlyvisible", "--class", "emu").split()[0]
        told = dict(line.split("=") for line in self.xdotool("getwindowgeometry", "--shell",
                                                             window).split() if "=" in line)
        return int(told["X"]), int(told["Y"])

    def picture(self, width, height):
        return crop(read_xwd(self.folder / "Xvfb_screen0"), *self.place(), width, height)

    def click(self, x, y):
        left, top = self.place()
        self.xdotool("mousemove", left + x, top + y)
        time.sleep(0.3)
        self.xdotool("click", 1)

    def key(self, name):
        self.xdotool("key", name)


class Installer:
    def __init__(self, folder, desktop, monitor, vnc):
        self.folder, self.desktop, self.monitor, self.vnc = folder, desktop, monitor, vnc

    def shot(self, name):
        path = self.folder / f"{name}.ppm"
        self.monitor.run(f"screendump {path}")
        return read_ppm(path)

    def wait_for_screen(self, name, before):
        """Waits for a title other than those of `before`, and until nothing moves any more."""
        deadline = time.monotonic() + 240
        last = None
        while time.monotonic() < deadline:
            picture = self.shot(name)
            is_grey = picture[0] > 720 and picture[2][90 * picture[0] * 3:][:3] == b"\xed\xe9\xe3"
            has_title = bytes(6) in title(picture)  # black letters
            if is_grey and has_title and picture == last and title(picture) not in before:
                return picture
            last = picture
            time.sleep(1.5)
        raise TimeoutError(f"the screen for {name} did not come; see {self.folder / name}.ppm")

    def compare(self, name, picture):
        """Whether window, VNC and screenshot agree; nothing moves on the screen meanwhile."""
        width, height, _ = picture
        good = True
        for where, other in (("VNC", self.vnc.screen()), ("the window", self.desktop.picture(width, height))):
            same = other == picture
            print(f"{name}: {width}x{height}, {where} {'shows the same' if same else 'DIFFERS'}", flush=True)
            if not same:
                path = self.folder / f"{name}.{where.split()[-1]}.ppm"
                path.write_bytes(b"P6\n%d %d\n255\n" % other[:2] + other[2])
            good = good and same
        return good


def walk(installer):
    """Language by key, country by pointer, keyboard over VNC; whether all pictures agreed."""
    desktop, vnc = installer.desktop, installer.vnc
    language = installer.wait_for_screen("language", [])
    good = installer.compare("language", language)
    desktop.key("Return")
    titles = [title(language)]
    country = installer.wait_for_screen("country", titles)
    good &= installer.compare("country", country)
    desktop.click(100, 300)  # a country in the list, then Continue at the lower right
    time.sleep(2)
    chosen = installer.shot("country-chosen")
    if chosen == country:
        print("country: the click was lost")
        good = False
    desktop.click(country[0] - 60, country[1] - 26)
    titles.append(title(country))
    keyboard = installer.wait_for_screen("keyboard", titles)
    good &= installer.compare("keyboard", keyboard)
    vnc.key("Down")
    vnc.click(keyboard[0] - 60, keyboard[1] - 26)
    titles.append(title(keyboard))
    installer.wait_for_screen("after", titles)
    return good


def main():
    folder = pathlib.Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if "EMU_TEST_INSTALLER" not in os.environ and not sys.stdout.isatty():
        print("skipped: set EMU_TEST_INSTALLER=1 for it")
        return MISSING
    missing = [p for p in ("Xvfb", "xdotool") if not shutil.which(p)]
    if missing or not (there := unpack(folder)):
        print(f"skipped: {missing or PACKAGE} is missing")
        return MISSING
    sockets = [folder / "monitor.sock", folder / "vnc.sock"]
    for path in sockets:
        path.unlink(missing_ok=True)
    desktop = Desktop(folder, sys.argv[2:] + [
        "-m", "1G", "-kernel", str(there / "linux"), "-initrd", str(there / "initrd.gz"), "-append",
        "vga=788 quiet", "--display", "window", "--vnc", f"unix:{sockets[1]}", "--monitor",
        f"unix:{sockets[0]}", "--device", "usb-tablet", "--nic", "none", "--audio", "none"])
    try:
        deadline = time.monotonic() + 60
        installer = Installer(folder, desktop, Monitor(sockets[0], deadline), Vnc(sockets[1], deadline))
        good = walk(installer)
    finally:
        desktop.close()
    print("as expected" if good else "not as expected")
    return 0 if good else 1


sys.exit(main())
