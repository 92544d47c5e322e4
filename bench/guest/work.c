// SPDX-License-Identifier: Apache-2.0
// The benchmark program: work NAME [SCALE] does a fixed amount of one kind of work and prints
// "work NAME SECONDS CHECKSUM". Statically linked; the same file runs natively and in the guests.
#define _GNU_SOURCE
#include <fcntl.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef uint64_t u64;
typedef uint32_t u32;

static u64 seed = 88172645463325252u;
static u64 next_random(void) {
  seed ^= seed << 13;
  seed ^= seed >> 7;
  seed ^= seed << 17;
  return seed;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

// --- integer ---

__attribute__((noinline)) static u64 tak(int x, int y, int z) {
  return y < x ? tak((int)tak(x - 1, y, z), (int)tak(y - 1, z, x), (int)tak(z - 1, x, y)) : (u64)z;
}
static u64 calls(long n) {
  u64 s = 0;
  for (long i = 0; i < n; i++) s += tak(18, 12, (int)(i & 3) + 5);
  return s;
}

static u64 primes(long n) {
  enum { kLimit = 200000 };
  static unsigned char composite[kLimit];
  u64 count = 0;
  for (long r = 0; r < n; r++) {
    memset(composite, 0, sizeof composite);
    for (u32 i = 2; i < kLimit; i++) {
      if (composite[i]) continue;
      count++;
      for (u64 k = (u64)i * i; k < kLimit; k += i) composite[k] = 1;
    }
  }
  return count;
}

static int by_value(const void *a, const void *b) {
  u32 x = *(const u32 *)a, y = *(const u32 *)b;
  return x < y ? -1 : x > y;
}
static u64 sorting(long n) {
  enum { kCount = 60000 };
  static u32 v[kCount];
  u64 s = 0;
  for (long r = 0; r < n; r++) {
    for (int i = 0; i < kCount; i++) v[i] = (u32)next_random();
    qsort(v, kCount, sizeof *v, by_value);
    for (int i = 0; i < kCount; i += 97) s = s * 31 + v[i];
  }
  return s;
}

// A switch-driven interpreter of a little stack machine.
static u64 interpret(long n) {
  enum { kPush, kAdd, kMul, kDup, kSwap, kDec, kLoop, kEnd };
  static const unsigned char program[] = {kPush, 3, kAdd, kDup, kMul, kSwap, kDec, kLoop, kEnd};
  u64 total = 0;
  for (long r = 0; r < n; r++) {
    u64 stack[16] = {(u64)r, 200};
    unsigned sp = 1, pc = 0;
    u64 acc = 1;
    for (int running = 1; running;) {
      switch (program[pc++]) {
        case kPush: acc ^= program[pc++]; break;
        case kAdd: acc += stack[0]; break;
        case kMul: acc = acc * acc + 1; break;
        case kDup: stack[2 + (sp & 1)] = acc; break;
        case kSwap: acc = (acc << 7) | (acc >> 57); break;
        case kDec: stack[sp]--; break;
        case kLoop: if (stack[sp]) pc = 0; break;
        case kEnd: running = 0; break;
      }
    }
    total += acc;
  }
  return total;
}

static u64 chase(long n) {
  enum { kNodes = 1 << 19 };  // 4 MiB
  static u32 next[kNodes * 2];
  for (u32 i = 0; i < kNodes; i++) next[2 * i] = i;
  for (u32 i = kNodes - 1; i > 0; i--) {
    u32 j = (u32)(next_random() % i), t = next[2 * i];
    next[2 * i] = next[2 * j];
    next[2 * j] = t;
  }
  u32 at = 0;
  for (long i = 0; i < n; i++) at = next[2 * at];
  return at;
}

// --- floating point, SIMD, strings ---

static u64 matrix(long n) {
  enum { kSize = 160 };
  static double a[kSize][kSize], b[kSize][kSize], c[kSize][kSize];
  for (int i = 0; i < kSize; i++)
    for (int j = 0; j < kSize; j++) a[i][j] = i * 0.5 - j, b[i][j] = j * 0.25 + i;
  for (long r = 0; r < n; r++)
    for (int i = 0; i < kSize; i++)
      for (int k = 0; k < kSize; k++)
        for (int j = 0; j < kSize; j++) c[i][j] += a[i][k] * b[k][j];
  double s = 0;
  for (int i = 0; i < kSize; i++) s += c[i][i];
  return (u64)fabs(s);
}

static u64 x87(long n) {
  long double s = 0, x = 1;
  for (long i = 0; i < n; i++) {
    x = x * 1.0000001L + 0.5L / (long double)(i + 1);
    s += x;
    if (x > 1000) x = 1;
  }
  return (u64)s;
}

__attribute__((target("avx2"), optimize("O3"))) static u64 vectors(long n) {
  enum { kCount = 4096 };
  static u32 v[kCount] __attribute__((aligned(32)));
  for (u32 i = 0; i < kCount; i++) v[i] = i * 2654435761u;
  for (long r = 0; r < n; r++)
    for (int i = 0; i < kCount; i++) v[i] = ((v[i] << 5) ^ (v[i] >> 3)) + (u32)r;
  u64 s = 0;
  for (int i = 0; i < kCount; i++) s += v[i];
  return s;
}

static u64 strings(long n) {
  enum { kBytes = 1 << 18 };
  static char a[kBytes], b[kBytes];
  memset(a, 'x', kBytes - 1);
  u64 s = 0;
  for (long r = 0; r < n; r++) {
    memcpy(b, a, kBytes);
    b[kBytes / 2] = (char)('a' + r % 20);
    s += strlen(b) + (u64)(memchr(b, 'a' + (int)(r % 20), kBytes) != NULL) + (u64)memcmp(a, b, kBytes) % 7;
  }
  return s;
}

// --- code that changes ---

static u64 generate(long n) {
  unsigned char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) exit(2);
  u64 s = 0;
  for (long i = 0; i < n; i++) {  // mov eax, imm32; lea eax, [rax + rdi]; ret
    unsigned char *p = page + (i % 64) * 32;
    p[0] = 0xb8;
    u32 value = (u32)i * 7;
    memcpy(p + 1, &value, 4);
    memcpy(p + 5, "\x8d\x04\x38\xc3", 4);
    s += ((u32(*)(u32))(void *)p)((u32)i);
  }
  return s;
}

// --- kernel ---

static u64 system_calls(long n) {
  u64 s = 0;
  for (long i = 0; i < n; i++) s += syscall(SYS_getppid) >= 0;
  return s;
}

static u64 page_faults(long n) {
  enum { kPages = 2048 };
  u64 s = 0;
  for (long r = 0; r < n; r++) {
    volatile char *p = mmap(NULL, kPages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) exit(2);
    for (int i = 0; i < kPages; i++) p[i * 4096] = (char)i, s++;
    munmap((void *)p, kPages * 4096);
  }
  return s;
}

static u64 forks(long n) {
  u64 s = 0;
  for (long i = 0; i < n; i++) {
    pid_t child = fork();
    if (child == 0) _exit(3);
    int status = 0;
    waitpid(child, &status, 0);
    s += (u64)WEXITSTATUS(status);
  }
  return s;
}

static u64 switches(long n) {
  int there[2], back[2];
  char c = 'x';
  if (pipe(there) || pipe(back)) exit(2);
  pid_t child = fork();
  if (child == 0) {
    for (long i = 0; i < n; i++)
      if (read(there[0], &c, 1) != 1 || write(back[1], &c, 1) != 1) _exit(1);
    _exit(0);
  }
  u64 s = 0;
  for (long i = 0; i < n; i++) s += write(there[1], &c, 1) == 1 && read(back[0], &c, 1) == 1;
  waitpid(child, NULL, 0);
  return s;
}

static const struct {
  const char *name;
  u64 (*run)(long);
  long amount;
} kWork[] = {
    {"calls", calls, 300},        {"primes", primes, 150},      {"sorting", sorting, 25},
    {"interpret", interpret, 30000}, {"chase", chase, 6000000}, {"matrix", matrix, 40},
    {"x87", x87, 6000000},        {"vectors", vectors, 60000},  {"strings", strings, 4000},
    {"generate", generate, 20000}, {"system_calls", system_calls, 300000},
    {"page_faults", page_faults, 20}, {"forks", forks, 400},    {"switches", switches, 15000},
};

int main(int argc, char **argv) {
  if (argc < 2) {
    for (size_t i = 0; i < sizeof kWork / sizeof *kWork; i++) puts(kWork[i].name);
    return 0;
  }
  for (size_t i = 0; i < sizeof kWork / sizeof *kWork; i++) {
    if (strcmp(kWork[i].name, argv[1]) != 0) continue;
    double start = now();
    u64 sum = kWork[i].run(kWork[i].amount);
    printf("work %s %.6f %016llx\n", argv[1], now() - start, (unsigned long long)sum);
    return 0;
  }
  fprintf(stderr, "work: no work is called %s\n", argv[1]);
  return 2;
}
