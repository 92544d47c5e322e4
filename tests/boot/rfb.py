# SPDX-License-Identifier: Apache-2.0
# A small VNC client for tests: raw pixels, keys by keysym, the pointer.
# Source: RFC 6143; QEMU's extended key event (docs: "RFB Protocol", community wiki).
import socket
import struct
import time

KEYSYMS = {"Return": 0xFF0D, "Escape": 0xFF1B, "Tab": 0xFF09, "Left": 0xFF51, "Up": 0xFF52, "Right": 0xFF53,
           "Down": 0xFF54, "Page_Down": 0xFF56, "Home": 0xFF50, "End": 0xFF57, "Alt_L": 0xFFE9,
           "Shift_L": 0xFFE1, "Control_L": 0xFFE3, "BackSpace": 0xFF08, "space": 0x20}


class Vnc:
    """A client on a Unix socket. `pixels` is the screen, three bytes a pixel."""

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
        self.socket.settimeout(60)
        self.read(12)
        self.socket.sendall(b"RFB 003.008\n")
        assert 1 in self.read(self.read(1)[0])
        self.socket.sendall(b"\x01")
        assert self.read(4) == bytes(4)
        self.socket.sendall(b"\x01")
        self.width, self.height = struct.unpack(">HH", self.read(4))
        self.read(16)
        self.read(struct.unpack(">I", self.read(4))[0])
        # 32 bits, little-endian, 00RRGGBB; raw rectangles and new screen sizes
        self.socket.sendall(struct.pack(">Bxxx BBBB HHH BBB xxx", 0, 32, 24, 0, 1, 255, 255, 255, 16, 8, 0))
        self.socket.sendall(struct.pack(">BxH ii", 2, 2, 0, -223))

    def read(self, count):
        data = bytearray()
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            if not piece:
                raise EOFError("the VNC server hung up")
            data += piece
        return bytes(data)

    def screen(self):
        """The whole screen now: (width, height, RGB bytes)."""
        while True:
            self.socket.sendall(struct.pack(">BBHHHH", 3, 0, 0, 0, self.width, self.height))
            if (picture := self.update()) is not None:
                return picture

    def update(self):
        """Reads one update; None if the screen has another size now."""
        while (kind := self.read(1)[0]) != 0:
            if kind == 3:  # the guest's clipboard
                self.read(struct.unpack(">3xI", self.read(7))[0])
            else:
                assert kind == 2, kind
        picture, resized = bytearray(self.width * self.height * 4), False
        for _ in range(struct.unpack(">xH", self.read(3))[0]):
            x, y, width, height, encoding = struct.unpack(">HHHHi", self.read(12))
            if encoding == -223:
                self.width, self.height, resized = width, height, True
                continue
            data = self.read(width * height * 4)
            if resized:
                continue
            for row in range(height):
                at = ((y + row) * self.width + x) * 4
                picture[at:at + width * 4] = data[row * width * 4:(row + 1) * width * 4]
        if resized:
            return None
        rgb = bytearray(self.width * self.height * 3)
        rgb[0::3], rgb[1::3], rgb[2::3] = picture[2::4], picture[1::4], picture[0::4]
        return self.width, self.height, bytes(rgb)

    def key(self, name, seconds=0.05):
        """Presses and releases a key: a name of KEYSYMS, or a character."""
        for pressed in (1, 0):
            self.socket.sendall(struct.pack(">BBxxI", 4, pressed, KEYSYMS.get(name) or ord(name)))
            time.sleep(seconds)

    def point(self, x, y, buttons=0):
        self.socket.sendall(struct.pack(">BBHH", 5, buttons, x, y))

    def click(self, x, y):
        for buttons in (0, 1, 0):
            self.point(x, y, buttons)
            time.sleep(0.15)
