#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Runs tests/boot/vga (a guest that shows every kind of video mode) and compares each picture, pixel by
# pixel, with what the pattern and the data sheets say it is. The pictures here know nothing of our code.
# Usage: vga_modes.py FOLDER EMULATOR...   (the environment's EMU replaces EMULATOR..., QEMU too)
# FOLDER keeps NAME.ppm of every mode, and NAME.expected.ppm where it differs.
# Exit status: 0 as expected, 1 not, 77 something the test needs is missing.
import os
import pathlib
import shlex
import shutil
import socket
import subprocess
import sys
import time

MISSING = 77
HERE = pathlib.Path(__file__).resolve().parent / "vga"

# --- Patterns and colours: guest.c has them, too ---


def pattern4(x, y):
    return ((x >> 3) + (y >> 2) * 3 + (x * y >> 6)) & 15


def pattern8(x, y):
    return ((x ^ y * 3) + (x * y >> 5)) & 255


def glyph(code, row):
    return (code * 37 + row * 101 + (code >> 3) * row) & 255


def dac(i):
    """Entry i of the guest's palette; six bits become eight by repeating the upper two."""
    levels = ((i * 5 + 3) & 63, (i * 11 + (i >> 6)) & 63, (i * 23 + (i >> 5)) & 63)
    return bytes(v << 2 | v >> 4 for v in levels)


COLOURS = [dac(i) for i in range(256)]


def enlarged(rows, across, down):
    """A picture out of rows of pixels, each `across` wide and `down` high."""
    out = []
    for row in rows:
        out += [b"".join(pixel * across for pixel in row)] * down
    return len(out[0]) // 3, len(out), b"".join(out)


def indexed(width, height, colour, across=1, down=1):
    """colour(x, y) is a palette index."""
    return enlarged(([COLOURS[colour(x, y)] for x in range(width)] for y in range(height)), across, down)


# --- What each mode shows; a list where blinking allows several pictures ---


def text(columns, mono=False, blinks=True):
    """25 rows of nine-dot cells of 16 lines, cursor on lines 12 to 14 of cell 50. While a blinking
    character or the cursor is hidden its background shows."""
    def picture(cursor_shown, text_shown):
        rows = []
        for y in range(400):
            row, line = divmod(y, 16)
            pixels = []
            for column in range(columns):
                i = row * columns + column
                code, attribute = (i * 7 + 13) & 255, (i * 11 + i // 40) & 255
                dots = glyph(code, line) << 1
                if 0xC0 <= code <= 0xDF:  # line graphics: the eighth dot again
                    dots |= dots >> 1 & 1
                if mono and attribute & 7 == 1 and line == 13:
                    dots = 511  # underlined
                if blinks and attribute & 0x80 and not text_shown:
                    dots = 0
                if i == 50 and 12 <= line <= 14 and cursor_shown:
                    dots = 511
                front, back = attribute & 15, attribute >> 4 & (7 if blinks else 15)
                pixels += [COLOURS[front if dots >> (8 - x) & 1 else back] for x in range(9)]
            rows.append(pixels)
        return enlarged(rows, 80 // columns, 1)
    return [picture(c, t) for c in (True, False) for t in ((True, False) if blinks else (True,))]


def cga(depth_mask):
    return lambda x, y: pattern4(x, y) & depth_mask


def split(pan_stops):
    """Row 20 on, 5 pixels to the right; below line 299 the memory's start, panned or not."""
    def colour(x, y):
        if y <= 299:
            return pattern4(x + 5, y + 20)
        return pattern4(x if pan_stops else x + 5, y - 300)
    return indexed(640, 480, colour)


def write_modes():
    """The graphics controller's write and read modes, plane by plane, as the data sheet has them."""
    planes = [[0] * (480 * 80) for _ in range(4)]
    for y in range(480):
        for column in range(80):
            for i in range(8):
                colour = pattern4(column * 8 + i, y)
                for p in range(4):
                    planes[p][y * 80 + column] |= (colour >> p & 1) << (7 - i)
    for band in range(24):
        mode, function, rotate = band >> 2 & 3, band & 3, band * 3 & 7
        set_reset, enable = band * 5 & 15, 0 if band < 6 else band * 3 & 15
        bit_mask = 0xFF if band < 3 else 0x5A + band
        for i in range(16 * 80):
            at = band * 16 * 80 + i
            value = (i * 29 + band) & 255
            rotated = (value >> rotate | value << (8 - rotate)) & 255
            for p in range(4):
                if not (6 if band % 5 == 4 else 15) >> p & 1:
                    continue
                latch = planes[p][at + 80]
                full = 255 if set_reset >> p & 1 else 0
                mask = bit_mask
                if mode == 0:
                    data = full if enable >> p & 1 else rotated
                elif mode == 1:
                    planes[p][at] = latch
                    continue
                elif mode == 2:
                    data = 255 if value >> p & 1 else 0
                else:
                    data, mask = full, bit_mask & rotated
                data = (data, data & latch, data | latch, data ^ latch)[function]
                planes[p][at] = data & mask | latch & ~mask & 255
    for y in range(384, 480):
        for i in range(80):
            source = (y - 384) * 80 + i
            if y & 8:  # read mode 1: a bit is set where all planes that count have the colour's bit
                value = 255
                for p in range(4):
                    if (y >> 4) >> p & 1:
                        value &= ~(planes[p][source] ^ (255 if y >> p & 1 else 0))
            else:
                value = planes[y & 3][source]
            for p in range(4):
                planes[p][y * 80 + i] = value

    def colour(x, y):
        at, shift = y * 80 + x // 8, 7 - x % 8
        return sum((planes[p][at] >> shift & 1) << p for p in range(4))
    return indexed(640, 480, colour)


def component(value, bits):
    """A colour of `bits` bits fills eight by repeating the upper bits."""
    kept = value >> (8 - bits)
    return kept << (8 - bits) | kept >> (2 * bits - 8)


def direct(bits, left=0, top=0):
    red, green, blue = {15: (5, 5, 5), 16: (5, 6, 5), 24: (8, 8, 8), 32: (8, 8, 8)}[bits]

    def pixel(x, y):
        return bytes((component((x * 3 + y) & 255, red), component((x + y * 5) & 255, green),
                      component((x ^ y) & 255, blue)))
    return enlarged(([pixel(left + x, top + y) for x in range(640)] for y in range(400)), 1, 1)


def vbe_4k():
    black = COLOURS[0] * 3840
    rows = [b"".join(COLOURS[pattern8(x, y)] for x in range(3840)) if y % 4 == 3 else black
            for y in range(2160)]
    return 3840, 2160, b"".join(rows)


MODES = {
    "text0": lambda: text(40), "text1": lambda: text(40), "text2": lambda: text(80),
    "text3": lambda: text(80), "text3-bright": lambda: text(80, blinks=False),
    "text7": lambda: text(80, mono=True),
    "cga4": lambda: indexed(320, 200, cga(3), 2, 2), "cga5": lambda: indexed(320, 200, cga(3), 2, 2),
    "cga6": lambda: indexed(640, 200, cga(1), 1, 2),
    "ega0d": lambda: indexed(320, 200, pattern4, 2, 2),
    "ega0e": lambda: indexed(640, 200, pattern4, 1, 2),
    "ega0f": lambda: indexed(640, 350, lambda x, y: pattern4(x, y) & 5),  # planes 0 and 2
    "ega10": lambda: indexed(640, 350, pattern4),
    "vga11": lambda: indexed(640, 480, pattern4), "vga12": lambda: indexed(640, 480, pattern4),
    "split": lambda: split(False), "split-pan-stops": lambda: split(True),
    "write-modes": write_modes,
    "vga13": lambda: indexed(320, 200, pattern8, 2, 2),
    "mode-x": lambda: indexed(320, 240, pattern8, 2, 2),
    "mode-x-panned": lambda: indexed(320, 240, lambda x, y: pattern8(x + 43, y + 10), 2, 2),
    "vbe4": lambda: indexed(800, 600, pattern4),
    "vbe8": lambda: indexed(640, 480, pattern8), "vbe8-banked": lambda: indexed(640, 480, pattern8),
    **{f"vbe{bits}": lambda bits=bits: direct(bits) for bits in (15, 16, 24, 32)},
    **{f"vbe{bits}-panned": lambda bits=bits: direct(bits, 56, 33) for bits in (15, 16, 24, 32)},
    "vbe8-4k": vbe_4k,
}

# --- Running it ---


def build(folder):
    """The guest as a disk image."""
    elf, image = folder / "vga.elf", folder / "vga.img"
    subprocess.run(["cc", "-m16", "-march=i386", "-Os", "-std=c11", "-ffreestanding", "-fno-pic", "-no-pie",
                    "-fno-stack-protector", "-fno-asynchronous-unwind-tables", "-nostdlib", "-Wall",
                    "-Wextra", "-Wl,-m,elf_i386,--build-id=none,-z,noexecstack,--no-warn-rwx-segments,-T,"
                    f"{HERE}/guest.ld", "-o", elf, HERE / "boot.S", HERE / "guest.c"], check=True)
    subprocess.run(["objcopy", "-O", "binary", elf, image], check=True)
    os.truncate(image, 1 << 20)
    return image


class Monitor:
    """The emulator's monitor on a Unix socket."""

    def __init__(self, path, deadline):
        self.socket = socket.socket(socket.AF_UNIX)
        while True:
            try:
                self.socket.connect(str(path))
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        self.answer()

    def answer(self):
        said = b""
        while not said.rstrip().endswith((b"(emu)", b"(qemu)")):
            data = self.socket.recv(65536)
            if not data:
                raise EOFError("the monitor ended")
            said += data
        return said.decode("utf-8", "replace")

    def run(self, line):
        self.socket.sendall(line.encode() + b"\n")
        return self.answer()


def read_ppm(path):
    kind, size, most, pixels = path.read_bytes().split(b"\n", 3)
    width, height = map(int, size.split())
    assert kind == b"P6" and most == b"255" and len(pixels) == width * height * 3
    return width, height, pixels


def write_ppm(path, picture):
    path.write_bytes(b"P6\n%d %d\n255\n" % picture[:2] + picture[2])


def difference(got, expected):
    """None, or words."""
    if got[:2] != expected[:2]:
        return f"is {got[0]}x{got[1]} instead of {expected[0]}x{expected[1]}"
    if got[2] == expected[2]:
        return None
    at = next(i for i, (a, b) in enumerate(zip(got[2], expected[2])) if a != b) // 3
    wrong = sum(got[2][i:i + 3] != expected[2][i:i + 3] for i in range(0, len(got[2]), 3))
    return (f"differs in {wrong} pixels, first at {at % got[0]},{at // got[0]}: "
            f"{got[2][at * 3:at * 3 + 3].hex()} instead of {expected[2][at * 3:at * 3 + 3].hex()}")


def check(name, folder, monitor, kept_bits):
    """The complaint about the picture now on the screen, or None."""
    kept = bytes(i >> (8 - kept_bits) << (8 - kept_bits) for i in range(256))
    expected = MODES[name]()
    expected = expected if isinstance(expected, list) else [expected]
    path = folder / f"{name}.ppm"
    monitor.run(f"screendump {path}")
    width, height, pixels = read_ppm(path)
    got = (width, height, pixels.translate(kept))
    complaints = [difference(got, (w, h, p.translate(kept))) for w, h, p in expected]
    if None in complaints:
        (folder / f"{name}.expected.ppm").unlink(missing_ok=True)
        return None
    write_ppm(folder / f"{name}.expected.ppm", expected[0])
    return complaints[0]


def wait_ready(output):
    """The name of the next mode that the guest shows."""
    while True:
        line = output.readline()
        if not line:
            raise EOFError("the emulator ended")
        if b"ready " in line:
            return line.split(b"ready ", 1)[1].strip().decode()


def main():
    folder = pathlib.Path(sys.argv[1]).resolve()
    emulator = shlex.split(os.environ.get("EMU", "")) or sys.argv[2:]
    for program in ("cc", "objcopy", emulator[0]):
        if not shutil.which(program):
            print(f"skipped, {program} is missing")
            return MISSING
    folder.mkdir(parents=True, exist_ok=True)
    image = build(folder)
    path = folder / "monitor.sock"
    path.unlink(missing_ok=True)
    # QEMU fills the lower bits of a colour by another rule, and draws no nine-dot cells.
    is_qemu = "qemu" in emulator[0]
    listen = ",server,nowait" if is_qemu else ""
    command = emulator + ["-display", "none", "-m", "64", "-serial", "stdio", "-monitor",
                          f"unix:{path}{listen}", "-drive", f"file={image},format=raw,snapshot=on",
                          "-boot", "c"]
    print(shlex.join(command))
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    bad, seen = 0, []
    try:
        monitor = Monitor(path, time.monotonic() + 30)
        while (name := wait_ready(process.stdout)) != "end":
            complaint = check(name, folder, monitor, 5 if is_qemu else 8)
            print(f"{name}: {complaint or 'as expected'}", flush=True)
            bad += complaint is not None
            seen.append(name)
            process.stdin.write(b"\n")
            process.stdin.flush()
    finally:
        process.kill()
        process.wait()
    missing = set(MODES) - set(seen)
    if missing:
        print(f"never shown: {sorted(missing)}")
    return 1 if bad or missing else 0


if __name__ == "__main__":
    sys.exit(main())
