// SPDX-License-Identifier: Apache-2.0
// A guest in real mode that sets every kind of video mode through the video BIOS and registers,
// draws a pattern, says "ready NAME" on COM1 and waits there for a byte. vga_modes.py knows the
// patterns too, and what they look like.
// Source: IBM VGA technical reference; Abrash, "Graphics Programming Black Book", mode X; QEMU
// docs/specs/standard-vga.rst.
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;

void video_bios(u32 ax);
void open_memory(void);

static void out8(u16 port, u32 value) {
  __asm__ volatile("outb %b0, %w1" ::"a"(value), "Nd"(port));
}
static void out16(u16 port, u32 value) {
  __asm__ volatile("outw %w0, %w1" ::"a"(value), "Nd"(port));
}
static u8 in8(u16 port) {
  u8 value;
  __asm__ volatile("inb %w1, %0" : "=a"(value) : "Nd"(port));
  return value;
}
static u32 in32(u16 port) {
  u32 value;
  __asm__ volatile("inl %w1, %0" : "=a"(value) : "Nd"(port));
  return value;
}
static void out32(u16 port, u32 value) {
  __asm__ volatile("outl %0, %w1" ::"a"(value), "Nd"(port));
}
static void poke(u32 address, u32 value) {
  __asm__ volatile("movb %b0, %%fs:(%1)" ::"q"(value), "r"(address) : "memory");
}
static void poke16(u32 address, u32 value) {
  __asm__ volatile("movw %w0, %%fs:(%1)" ::"r"(value), "r"(address) : "memory");
}
static void poke32(u32 address, u32 value) {
  __asm__ volatile("movl %0, %%fs:(%1)" ::"r"(value), "r"(address) : "memory");
}
static u8 peek(u32 address) {
  u8 value;
  __asm__ volatile("movb %%fs:(%1), %0" : "=q"(value) : "r"(address) : "memory");
  return value;
}

static void set(u16 port, u32 index, u32 value) {
  out16(port, index | value << 8);
}
static void say(const char* text) {
  for (; *text != 0; ++text) {
    while ((in8(0x3fd) & 0x20) == 0) {
    }
    out8(0x3f8, (u8)*text);
  }
}
static void ready(const char* name) {
  say("ready ");
  say(name);
  say("\n");
  while ((in8(0x3fd) & 1) == 0) {
  }
  in8(0x3f8);
}

// --- Patterns: vga_modes.py has them, too ---

static u32 pattern4(u32 x, u32 y) {
  return ((x >> 3) + (y >> 2) * 3 + (x * y >> 6)) & 15;
}
static u32 pattern8(u32 x, u32 y) {
  return ((x ^ y * 3) + (x * y >> 5)) & 255;
}
static u32 pattern24(u32 x, u32 y) {
  return ((x * 3 + y) & 255) << 16 | ((x + y * 5) & 255) << 8 | ((x ^ y) & 255);
}
static u32 glyph(u32 code, u32 row) {
  return (code * 37 + row * 101 + (code >> 3) * row) & 255;
}

// --- Colours: palette register i is DAC entry i, and every DAC entry has a colour of its own ---

static void set_attribute(u32 index, u32 value) {
  in8(0x3ba);
  in8(0x3da);
  out8(0x3c0, index);
  out8(0x3c0, value);
}
static u8 attribute(u32 index) {
  in8(0x3ba);
  in8(0x3da);
  out8(0x3c0, index);
  return in8(0x3c1);
}
static void show_picture(void) {
  in8(0x3ba);
  in8(0x3da);
  out8(0x3c0, 0x20);
}
static void load_colours(void) {
  for (u32 i = 0; i < 16; ++i) set_attribute(i, i);
  set_attribute(0x14, 0);
  show_picture();
  out8(0x3c6, 0xff);
  out8(0x3c8, 0);
  for (u32 i = 0; i < 256; ++i) {
    out8(0x3c9, (i * 5 + 3) & 63);
    out8(0x3c9, (i * 11 + (i >> 6)) & 63);
    out8(0x3c9, (i * 23 + (i >> 5)) & 63);
  }
}
static void set_mode(u32 mode) {
  out8(0x3c2, in8(0x3cc) | 1);  // SeaBIOS sets the CRT controller before it selects its ports
  video_bios(mode);
  open_memory();
  load_colours();
}

// --- Text ---

static void load_font(void) {
  set(0x3c4, 2, 4);
  set(0x3c4, 4, 7);
  set(0x3ce, 5, 0);
  set(0x3ce, 6, 4);
  for (u32 code = 0; code < 256; ++code) {
    for (u32 row = 0; row < 16; ++row) poke(0xa0000 + code * 32 + row, glyph(code, row));
  }
  set(0x3c4, 2, 3);
  set(0x3c4, 4, 3);
  set(0x3ce, 5, 0x10);
}
static void show_text(u32 mode, u32 cells, const char* name) {
  const u32 is_mono = mode == 7;
  const u16 crtc = is_mono ? 0x3b4 : 0x3d4;
  const u32 base = is_mono ? 0xb0000 : 0xb8000;
  set_mode(mode);
  load_font();
  set(0x3ce, 6, is_mono ? 0x0a : 0x0e);
  for (u32 i = 0; i < cells; ++i) {
    poke(base + i * 2, i * 7 + 13);
    poke(base + i * 2 + 1, i * 11 + i / 40);
  }
  set(crtc, 0x0a, 12);
  set(crtc, 0x0b, 14);
  set(crtc, 0x0e, 0);
  set(crtc, 0x0f, 50);
  if (is_mono) set(crtc, 0x14, 13);  // underlines
  ready(name);
}
static void text_modes(void) {
  show_text(0, 1000, "text0");
  show_text(1, 1000, "text1");
  show_text(2, 2000, "text2");
  show_text(3, 2000, "text3");
  set_attribute(0x10, attribute(0x10) & ~8u);  // sixteen backgrounds, nothing blinks
  show_picture();
  ready("text3-bright");
  show_text(7, 2000, "text7");
}

// --- CGA ---

static void cga_modes(void) {
  for (u32 mode = 4; mode <= 5; ++mode) {
    set_mode(mode);
    for (u32 y = 0; y < 200; ++y) {
      for (u32 x = 0; x < 320; x += 4) {
        u32 byte = 0;
        for (u32 i = 0; i < 4; ++i) byte = byte << 2 | (pattern4(x + i, y) & 3);
        poke(0xb8000 + (y & 1) * 0x2000 + y / 2 * 80 + x / 4, byte);
      }
    }
    ready(mode == 4 ? "cga4" : "cga5");
  }
  set_mode(6);
  for (u32 y = 0; y < 200; ++y) {
    for (u32 x = 0; x < 640; x += 8) {
      u32 byte = 0;
      for (u32 i = 0; i < 8; ++i) byte = byte << 1 | (pattern4(x + i, y) & 1);
      poke(0xb8000 + (y & 1) * 0x2000 + y / 2 * 80 + x / 8, byte);
    }
  }
  ready("cga6");
}

// --- EGA and VGA in planes ---

// Eight pixels at a time, a plane at a time; `pitch` in bytes, `first` an address in the planes.
static void draw_planes(u32 width, u32 height, u32 pitch, u32 first) {
  for (u32 y = 0; y < height; ++y) {
    for (u32 column = 0; column < width / 8; ++column) {
      u32 planes[4] = {0, 0, 0, 0};
      for (u32 i = 0; i < 8; ++i) {
        const u32 colour = pattern4(column * 8 + i, y);
        for (u32 p = 0; p < 4; ++p) planes[p] = planes[p] << 1 | (colour >> p & 1);
      }
      for (u32 p = 0; p < 4; ++p) {
        set(0x3c4, 2, 1u << p);
        poke(0xa0000 + first + y * pitch + column, planes[p]);
      }
    }
  }
  set(0x3c4, 2, 15);
}
static void planar_modes(void) {
  static const struct {
    u8 mode;
    u16 width, height;
    const char* name;
  } kModes[] = {{0x0d, 320, 200, "ega0d"}, {0x0e, 640, 200, "ega0e"}, {0x0f, 640, 350, "ega0f"},
                {0x10, 640, 350, "ega10"}, {0x11, 640, 480, "vga11"}, {0x12, 640, 480, "vga12"}};
  for (u32 i = 0; i < sizeof(kModes) / sizeof(kModes[0]); ++i) {
    set_mode(kModes[i].mode);
    if (kModes[i].mode == 0x0f) {  // planes 0 and 2 are what a monochrome monitor has
      set_attribute(0x12, 5);
      show_picture();
    }
    draw_planes(kModes[i].width, kModes[i].height, kModes[i].width / 8, 0);
    ready(kModes[i].name);
  }
}

// A wide screen from row 20 on, 5 pixels to the right; address 0 again below line 299.
static void split_screen(const char* name, u32 pan_stops) {
  set_mode(0x12);
  set(0x3d4, 0x13, 50);  // 100 bytes a row
  draw_planes(800, 500, 100, 0);
  set(0x3d4, 0x0c, 2000 >> 8);
  set(0x3d4, 0x0d, 2000 & 255);
  set(0x3d4, 0x11, 0x0c);  // unlock
  set(0x3d4, 0x18, 299 & 255);
  set(0x3d4, 0x07, 0x3e);  // bit 8 of line compare is 1 (bit 4)
  set(0x3d4, 0x09, 0x00);  // bit 9 is 0
  set_attribute(0x10, (attribute(0x10) & ~0x20u) | pan_stops << 5);
  set_attribute(0x13, 5);
  show_picture();
  ready(name);
}

// Bands of 16 rows, each written by one way of writing; every byte is read first, for the latches.
static void write_modes(void) {
  set_mode(0x12);
  draw_planes(640, 480, 80, 0);
  for (u32 band = 0; band < 24; ++band) {
    set(0x3ce, 0, band * 5);                          // set/reset
    set(0x3ce, 1, band < 6 ? 0 : band * 3);           // enable set/reset
    set(0x3ce, 3, (band & 3) << 3 | (band * 3 & 7));  // function, rotate
    set(0x3ce, 5, band >> 2 & 3);                     // write mode
    set(0x3ce, 8, band < 3 ? 0xff : 0x5a + band);     // bit mask
    set(0x3c4, 2, band % 5 == 4 ? 6 : 15);            // planes
    for (u32 i = 0; i < 16 * 80; ++i) {
      const u32 address = 0xa0000 + band * 16 * 80 + i;
      peek(address + 80);
      poke(address, i * 29 + band);
    }
  }
  // The same bytes by comparing colours, and by plane, one row each for all of the bottom.
  for (u32 y = 384; y < 480; ++y) {
    for (u32 i = 0; i < 80; ++i) {
      set(0x3ce, 2, y);       // colour to compare
      set(0x3ce, 7, y >> 4);  // planes that count
      set(0x3ce, 4, y);       // plane to read
      set(0x3ce, 5, y & 8);   // read mode
      const u32 value = peek(0xa0000 + (y - 384) * 80 + i);
      set(0x3ce, 5, 0);
      set(0x3ce, 1, 0);
      set(0x3ce, 3, 0);
      set(0x3ce, 8, 0xff);
      set(0x3c4, 2, 15);
      poke(0xa0000 + y * 80 + i, value);
    }
  }
  ready("write-modes");
}

// --- 256 colours ---

static void mode_13h(void) {
  set_mode(0x13);
  for (u32 y = 0; y < 200; ++y) {
    for (u32 x = 0; x < 320; ++x) poke(0xa0000 + y * 320 + x, pattern8(x, y));
  }
  ready("vga13");
}

static void draw_mode_x(u32 width, u32 height) {
  for (u32 plane = 0; plane < 4; ++plane) {
    set(0x3c4, 2, 1u << plane);
    for (u32 y = 0; y < height; ++y) {
      for (u32 x = plane; x < width; x += 4) {
        poke(0xa0000 + y * (width / 4) + x / 4, pattern8(x, y));
      }
    }
  }
}
static void mode_x(void) {
  static const u16 kCrtc[] = {0x0d06, 0x3e07, 0x4109, 0xea10, 0xac11,
                              0xdf12, 0x0014, 0xe715, 0x0616, 0xe317};
  set_mode(0x13);
  set(0x3c4, 4, 6);
  set(0x3c4, 0, 1);
  out8(0x3c2, 0xe3);
  set(0x3c4, 0, 3);
  set(0x3d4, 0x11, 0);
  for (u32 i = 0; i < sizeof(kCrtc) / sizeof(kCrtc[0]); ++i) out16(0x3d4, kCrtc[i]);
  draw_mode_x(320, 240);
  ready("mode-x");
  set(0x3d4, 0x13, 50);  // 400 pixels a row
  draw_mode_x(400, 300);
  set(0x3d4, 0x0c, 1010 >> 8);  // row 10, pixel 40
  set(0x3d4, 0x0d, 1010 & 255);
  set_attribute(0x13, 6);  // and 3 more
  show_picture();
  ready("mode-x-panned");
}

// --- Bochs VBE ---

static void dispi(u32 index, u32 value) {
  out16(0x1ce, index);
  out16(0x1cf, value);
}
static u32 framebuffer(void) {
  for (u32 device = 0; device < 32; ++device) {
    out32(0xcf8, 0x80000008 | device << 11);
    if (in32(0xcfc) >> 16 != 0x0300) continue;
    out32(0xcf8, 0x80000010 | device << 11);
    return in32(0xcfc) & ~15u;
  }
  return 0;
}
static void put_pixel(u32 at, u32 bits, u32 colour) {
  const u32 r = colour >> 16, g = colour >> 8 & 255, b = colour & 255;
  if (bits == 15) poke16(at, r >> 3 << 10 | g >> 3 << 5 | b >> 3);
  if (bits == 16) poke16(at, r >> 3 << 11 | g >> 2 << 5 | b >> 3);
  if (bits == 32) poke32(at, colour | 0x5a000000);
  if (bits == 24) {
    poke16(at, colour);
    poke(at + 2, r);
  }
}
static void set_vbe_mode(u32 width, u32 height, u32 bits, u32 flags) {
  dispi(4, 0);
  dispi(1, width);
  dispi(2, height);
  dispi(3, bits);
  dispi(4, flags);
}
static void vbe_modes(void) {
  static const struct {
    u8 bits;
    const char *name, *panned;
  } kModes[] = {{15, "vbe15", "vbe15-panned"},
                {16, "vbe16", "vbe16-panned"},
                {24, "vbe24", "vbe24-panned"},
                {32, "vbe32", "vbe32-panned"}};
  const u32 base = framebuffer();
  set_mode(0x12);
  set_vbe_mode(800, 600, 4, 0x41);
  load_colours();
  draw_planes(800, 600, 100, 0);
  ready("vbe4");
  set_mode(0x13);
  set_vbe_mode(640, 480, 8, 0x41);
  load_colours();
  for (u32 i = 0; i < 640 * 480; ++i) poke(base + i, pattern8(i % 640, i / 640));
  ready("vbe8");
  set_vbe_mode(640, 480, 8, 0x01);  // the same through the window at A0000h, bank by bank
  load_colours();
  for (u32 i = 0; i < 640 * 480; ++i) {
    if (i % 0x10000 == 0) dispi(5, i >> 16);
    poke(0xa0000 + i % 0x10000, pattern8(i % 640, i / 640));
  }
  ready("vbe8-banked");
  for (u32 m = 0; m < sizeof(kModes) / sizeof(kModes[0]); ++m) {
    const u32 bits = kModes[m].bits;
    const u32 bytes = (bits + 7) / 8;
    set_vbe_mode(640, 400, bits, 0x41);
    show_picture();
    for (u32 i = 0; i < 640 * 400; ++i) {
      put_pixel(base + i * bytes, bits, pattern24(i % 640, i / 640));
    }
    ready(kModes[m].name);
    dispi(6, 800);  // a wider screen behind it
    for (u32 i = 0; i < 800 * 500; ++i) {
      put_pixel(base + i * bytes, bits, pattern24(i % 800, i / 800));
    }
    dispi(8, 56);
    dispi(9, 33);
    ready(kModes[m].panned);
  }
  set_vbe_mode(3840, 2160, 8, 0x41);
  load_colours();
  for (u32 i = 0; i < 3840 * 540; ++i) {  // every fourth row: the screen's lower right is reached
    const u32 y = i / 3840 * 4 + 3;
    poke(base + y * 3840 + i % 3840, pattern8(i % 3840, y));
  }
  ready("vbe8-4k");
  dispi(4, 0);
}

void run(void) {
  out8(0x3fb, 3);
  text_modes();
  cga_modes();
  planar_modes();
  split_screen("split", 0);
  split_screen("split-pan-stops", 1);
  write_modes();
  mode_13h();
  mode_x();
  vbe_modes();
  set_mode(3);
  ready("end");
}
