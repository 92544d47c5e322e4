// SPDX-License-Identifier: Apache-2.0
// The benchmark's work in ring 3: the same machine code in the guest and, natively, in a host
// process. No library, no writable data, no absolute address. Each piece of work ends in a checksum
// that depends on nothing but the number of runs.
#include <emmintrin.h>

#include "cli/bench/guest_abi.h"

namespace {

using namespace emu::cli::bench;
using U32 = unsigned;

struct Random {
  U32 x = 2463534242u;
  U32 next() {
    x ^= x << 13;
    x ^= x >> 17;
    return x ^= x << 5;
  }
};

// Shell sort and a CRC-32 by bits: compares, branches, shifts, short loops.
U64 integer(U64 runs) {
  Random random;
  U32 crc = ~0u;
  for (U64 r = 0; r < runs; ++r) {
    U32 a[64];
    for (U32& v : a) v = random.next();
    for (U32 gap = 40; gap != 0; gap /= 3) {
      for (U32 i = gap; i < 64; ++i) {
        const U32 v = a[i];
        U32 j = i;
        for (; j >= gap && a[j - gap] > v; j -= gap) a[j] = a[j - gap];
        a[j] = v;
      }
    }
    for (U32 i = 0; i < 64; i += 4) {
      crc ^= a[i];
      for (int bit = 0; bit < 32; ++bit) crc = (crc & 1) != 0 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
    }
  }
  return crc;
}

[[gnu::noinline]] U64 fibonacci(U64 n) {
  asm volatile("");  // keeps the compiler from unrolling the recursion
  return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

U64 calls(U64 runs) {
  U64 sum = 0;
  for (U64 r = 0; r < runs; ++r) sum = sum * 31 + fibonacci(11);
  return sum;
}

U64 bits_of(double v) {
  U64 bits;
  __builtin_memcpy(&bits, &v, 8);
  return bits;
}

// Five bodies under gravity, in scalar doubles.
U64 floating_point(U64 runs) {
  double x[5], y[5], z[5], u[5], v[5], w[5], m[5];
  for (int i = 0; i < 5; ++i) {
    x[i] = i * 1.5 - 2, y[i] = i * i * 0.5, z[i] = 1.0 / (i + 1);
    u[i] = 0.1 * i, v[i] = 0.2 - 0.05 * i, w[i] = 0.01 * i;
    m[i] = 1.0 / (1 << i);
  }
  for (U64 r = 0; r < runs; ++r) {
    for (int step = 0; step < 5; ++step) {
      for (int i = 0; i < 5; ++i) {
        for (int j = i + 1; j < 5; ++j) {
          const double dx = x[i] - x[j], dy = y[i] - y[j], dz = z[i] - z[j];
          const double d2 = dx * dx + dy * dy + dz * dz + 0.01;
          const double f = 0.001 / (d2 * __builtin_sqrt(d2));
          u[i] -= dx * m[j] * f, v[i] -= dy * m[j] * f, w[i] -= dz * m[j] * f;
          u[j] += dx * m[i] * f, v[j] += dy * m[i] * f, w[j] += dz * m[i] * f;
        }
      }
      for (int i = 0; i < 5; ++i) x[i] += 0.001 * u[i], y[i] += 0.001 * v[i], z[i] += 0.001 * w[i];
    }
  }
  return bits_of(x[0]) ^ bits_of(y[2]) ^ bits_of(z[4]);
}

// Packed floats (a matrix times vectors) and packed bytes (a blend with saturation).
U64 simd(U64 runs) {
  __m128 rows[4], v = _mm_set_ps(1, 2, 3, 4);
  for (int i = 0; i < 4; ++i) {
    const float f = static_cast<float>(i);
    rows[i] = _mm_set_ps(0.25f, 0.1f * f, 0.5f - 0.1f * f, 0.2f);
  }
  __m128i bytes = _mm_set_epi32(0x01234567, 0x09abcdef, 0x76543210, 0x7edcba98), sum = bytes;
  for (U64 r = 0; r < runs; ++r) {
    for (int step = 0; step < 100; ++step) {
      const __m128 a = _mm_mul_ps(rows[0], _mm_shuffle_ps(v, v, 0x00));
      const __m128 b = _mm_mul_ps(rows[1], _mm_shuffle_ps(v, v, 0x55));
      const __m128 c = _mm_mul_ps(rows[2], _mm_shuffle_ps(v, v, 0xaa));
      const __m128 d = _mm_mul_ps(rows[3], _mm_shuffle_ps(v, v, 0xff));
      v = _mm_add_ps(_mm_add_ps(a, b), _mm_add_ps(c, d));
      v = _mm_min_ps(_mm_add_ps(v, _mm_set1_ps(0.01f)), _mm_set1_ps(100));
      const __m128i low = _mm_unpacklo_epi8(bytes, sum), high = _mm_unpackhi_epi8(bytes, sum);
      sum = _mm_adds_epu8(_mm_packus_epi16(_mm_srli_epi16(low, 8), _mm_srli_epi16(high, 8)), bytes);
      bytes = _mm_add_epi8(_mm_madd_epi16(sum, low), _mm_shuffle_epi32(bytes, 0x39));
    }
  }
  U64 out[4];
  _mm_storeu_ps(reinterpret_cast<float*>(out), v);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 2), _mm_xor_si128(bytes, sum));
  return out[0] ^ out[1] ^ out[2] ^ out[3];
}

// A ring through half of the memory, one pointer a cache line, in an order that no prefetcher
// guesses. Offsets, not addresses: checksums stay the same everywhere.
constexpr U64 kLineBytes = 64, kLines = kMemoryBytes / 2 / kLineBytes;

U64* line(const Environment& e, U64 i) {
  return reinterpret_cast<U64*>(e.memory + i * kLineBytes);
}

void prepare_memory(const Environment& e) {
  Random random;
  for (U64 i = kLines; i < 2 * kLines; i += 4096 / kLineBytes)
    *line(e, i) = i;  // there from now on
  for (U64 i = 0; i < kLines; ++i) *line(e, i) = i;
  for (U64 i = kLines - 1; i > 0; --i) {  // Sattolo's algorithm: one cycle
    const U64 j = random.next() % i, v = *line(e, i);
    *line(e, i) = *line(e, j);
    *line(e, j) = v;
  }
}

U64 latency(const Environment& e, U64 runs) {
  U64 at = 0;
  for (U64 hop = runs * kHopsPerRun; hop != 0; --hop) at = *line(e, at);
  return at;
}

U64 bandwidth(const Environment& e, U64 runs) {
  constexpr U64 kChunks = kMemoryBytes / 2 / kCopiedPerRun - 1;
  constexpr U64 kApart = kMemoryBytes / 2 + 0x11000;  // no power of two: caches are not the point
  for (U64 r = 0; r < runs; ++r) {
    const U8* from = e.memory + r % kChunks * kCopiedPerRun;
    U8* to = e.memory + kApart + r % kChunks * kCopiedPerRun;
    for (U64 i = 0; i < kCopiedPerRun; i += 64) {
      const __m128i* const f = reinterpret_cast<const __m128i*>(from + i);
      __m128i* const t = reinterpret_cast<__m128i*>(to + i);
      const __m128i a = f[0], b = f[1], c = f[2], d = f[3];
      t[0] = a, t[1] = b, t[2] = c, t[3] = d;
    }
    asm volatile("" ::: "memory");
  }
  return *line(e, kLines + 0x2007) + *line(e, kLines + 0x3fff);
}

U64 page_faults(const Environment& e, U64 runs) {
  U64 sum = 0;
  for (U64 r = 0; r < runs; ++r) {
    e.forget(&e);
    for (U64 page = 0; page < kFaultPages; ++page) {
      auto* const p = reinterpret_cast<volatile U8*>(e.fault_area + page * 4096);
      *p = static_cast<U8>(page);
      sum += *p;
    }
  }
  return sum;
}

void repeat(const Environment& e, Environment::Ask ask, U64 times) {
  for (U64 i = 0; i < times; ++i) ask(&e);
}

U64 ticks() {
  return __builtin_ia32_rdtsc();
}

struct Text {
  char bytes[64];
  U64 used = 0;
  void add(const char* s) {
    while (*s != 0) bytes[used++] = *s++;
  }
  void add_hex(U64 v) {
    add(" ");
    int shift = 60;
    while (shift > 0 && v >> shift == 0) shift -= 4;
    for (; shift >= 0; shift -= 4) {
      const U64 digit = v >> shift & 15;
      bytes[used++] = static_cast<char>(digit < 10 ? '0' + digit : 'a' + digit - 10);
    }
  }
};

void say(const Environment& e, const char* word) {
  Text text;
  text.add(word);
  text.add("\n");
  e.put(&e, text.bytes, text.used);
}

void say(const Environment& e, const char* word, U64 number) {
  Text text;
  text.add(word);
  text.add_hex(number);
  text.add("\n");
  e.put(&e, text.bytes, text.used);
}

void say(const Environment& e, const char* word, U64 first, U64 second) {
  Text text;
  text.add(word);
  text.add_hex(first);
  text.add_hex(second);
  text.add("\n");
  e.put(&e, text.bytes, text.used);
}

}  // namespace

extern "C" U32 bench_call_mode();

// Does `work` so many times; the checksum.
extern "C" U64 bench_run(const Environment* e, U64 work, U64 runs) {
  switch (work) {
    case kInteger:
      return integer(runs);
    case kCalls:
      return calls(runs);
    case kFloatingPoint:
      return floating_point(runs);
    case kSimd:
      return simd(runs);
    case kLatency:
      return latency(*e, runs);
    case kBandwidth:
      return bandwidth(*e, runs);
    case kSystemCalls:
      repeat(*e, e->call, runs * kCallsPerRun);
      return runs;
    case kPageFaults:
      return page_faults(*e, runs);
    default:
      repeat(*e, e->yield, runs * kSwitchesPerRun / 2);
      return runs;
  }
}

// Reports each piece of work: its checksum, then one run long enough to be measured.
extern "C" void bench_main(const Environment* e) {
  e->call(e);
  say(*e, "hello");
  say(*e, "call", bench_call_mode());
  if ((e->only >> kLatency & 3) != 0) prepare_memory(*e);
  for (U64 work = 0; work < kWorkCount; ++work) {
    if ((e->only >> work & 1) == 0) continue;
    say(*e, "C", work, bench_run(e, work, 1));
    U64 runs = 1;
    for (;;) {
      const U64 start = ticks();
      bench_run(e, work, runs);
      const U64 took = ticks() - start + 1;
      if (took * 2 >= e->target_ticks || runs >= U64{1} << 30) break;
      const U64 factor = e->target_ticks / took;
      runs *= factor < 2 ? 2 : factor > 8 ? 8 : factor;
    }
    say(*e, "B");
    bench_run(e, work, runs);
    say(*e, "E", work, runs);
  }
  say(*e, "bye");
  e->end(e);
}
