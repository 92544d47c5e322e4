// SPDX-License-Identifier: Apache-2.0
// What bench/redraw measures: a guest in real mode that scrolls a text console, and one that draws
// the whole screen again and again. It says "ready NAME" on COM1, waits for a byte, works, and says
// "done NAME". Built with tests/boot/vga/boot.S.
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;

void video_bios(u32 ax);
void open_memory(void);

enum { kLines = 1500, kFrames = 120, kWidth = 1024, kHeight = 768 };

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
static void poke16(u32 address, u32 value) {
  __asm__ volatile("movw %w0, %%fs:(%1)" ::"r"(value), "r"(address) : "memory");
}
static void poke32(u32 address, u32 value) {
  __asm__ volatile("movl %0, %%fs:(%1)" ::"r"(value), "r"(address) : "memory");
}
static u32 peek32(u32 address) {
  u32 value;
  __asm__ volatile("movl %%fs:(%1), %0" : "=r"(value) : "r"(address) : "memory");
  return value;
}

static void say(const char* text) {
  for (; *text != 0; ++text) {
    while ((in8(0x3fd) & 0x20) == 0) {
    }
    out8(0x3f8, (u8)*text);
  }
}
static void wait_for_start(const char* name) {
  say("ready ");
  say(name);
  say("\n");
  while ((in8(0x3fd) & 1) == 0) {
  }
  in8(0x3f8);
}

// As a console scrolls: everything a row up, a new row of text, the cursor behind it.
static void scroll_text(void) {
  const u32 base = 0xb8000;
  for (u32 line = 0; line < kLines; ++line) {
    for (u32 i = 0; i < 24 * 160; i += 4) poke32(base + i, peek32(base + i + 160));
    for (u32 i = 0; i < 80; ++i) poke16(base + 24 * 160 + i * 2, 0x0700 | (33 + (line + i) % 90));
    out16(0x3d4, 0x0e | (24 * 80 >> 8) << 8);
    out16(0x3d4, 0x0f | ((24 * 80 + line % 80) & 255) << 8);
  }
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
static void dispi(u32 index, u32 value) {
  out16(0x1ce, index);
  out16(0x1cf, value);
}
static void draw_frames(u32 base) {
  for (u32 frame = 0; frame < kFrames; ++frame) {
    for (u32 y = 0; y < kHeight; ++y) {
      const u32 row = base + y * kWidth * 4;
      for (u32 x = 0; x < kWidth; ++x) {
        poke32(row + x * 4, (x + frame) << 16 | ((y + frame) & 255) << 8 | ((x ^ y) & 255));
      }
    }
  }
}

void run(void) {
  out8(0x3fb, 3);
  video_bios(3);
  open_memory();
  for (;;) {
    wait_for_start("text");
    scroll_text();
    say("done text\n");
    dispi(4, 0);
    dispi(1, kWidth);
    dispi(2, kHeight);
    dispi(3, 32);
    dispi(4, 0x41);
    wait_for_start("animation");
    draw_frames(framebuffer());
    say("done animation\n");
    dispi(4, 0);
    video_bios(3);
    open_memory();
  }
}
