// SPDX-License-Identifier: Apache-2.0
#include "tcg/user/user_segments.h"

#include <algorithm>
#include <iterator>

namespace emu {
namespace {

// Linear addresses that such code can have as bases.
constexpr u64 kUserEnd = 0x7fff'ffff'f000;

bool null(const Segment& g) {
  return (g.selector & ~3u) == 0;
}

// A segment of all 4 GiB that can be read and written, from its base on.
bool wide_data(const Segment& g) {
  constexpr u16 kType = kSegPresent | kSegNotSystem | kSegCode | kSegExpandDown | kSegWritable;
  return g.usable() && (g.attributes & kType) == (kSegPresent | kSegNotSystem | kSegWritable) &&
         g.limit == 0xffffffff;
}

bool flat_data(const Segment& g) {
  return wide_data(g) && g.base == 0;
}

bool flat_code32(const Segment& g) {
  return (g.attributes & kSegBig) != 0 && g.base == 0 && g.limit == 0xffffffff;
}

bool is_tls(u16 selector) {
  return std::find(std::begin(kUserTls), std::end(kUserTls), selector) != std::end(kUserTls);
}

bool segments64(const CpuState& s, UserSegments& out) {
  const auto& g = s.segments;
  if (g[kCs].selector != kUserCode64 || g[kSs].selector != kUserData) return false;
  for (const unsigned i : {kDs, kEs, kFs, kGs}) {
    if (!null(g[i])) return false;
  }
  out = {kUserCode64,     kUserData,       g[kDs].selector, g[kEs].selector,
         g[kFs].selector, g[kGs].selector, g[kFs].base,     g[kGs].base};
  return out.fs_base < kUserEnd && out.gs_base < kUserEnd;
}

// DS or ES: null or flat.
bool data_selector(const Segment& g, bool same, u16& out) {
  if (!null(g) && !(flat_data(g) && (!same || g.selector == kUserData))) return false;
  out = null(g) ? g.selector : kUserData;
  return true;
}

// FS or GS: null or thread-local storage.
bool tls_selector(const Segment& g, bool same, u16 instead, u16& out) {
  if (!null(g) && !(wide_data(g) && (!same || is_tls(g.selector)))) return false;
  out = null(g) || same ? g.selector : instead;
  return true;
}

}  // namespace

bool user_segments_of(const CpuState& s, UserSegments& out) {
  if (s.code64()) return segments64(s, out);
  const auto& g = s.segments;
  const bool same = s.long_mode();  // the kernel's selectors are the host's
  if (s.vm86() || !flat_code32(g[kCs]) || !flat_data(g[kSs])) return false;
  if ((g[kSs].attributes & kSegBig) == 0) return false;
  if (same && (g[kCs].selector != kUserCode32 || g[kSs].selector != kUserData)) return false;
  out.cs = kUserCode32;
  out.ss = kUserData;
  out.fs_base = g[kFs].base;
  out.gs_base = g[kGs].base;
  return data_selector(g[kDs], same, out.ds) && data_selector(g[kEs], same, out.es) &&
         tls_selector(g[kFs], same, kUserTls[0], out.fs) &&
         tls_selector(g[kGs], same, kUserTls[1], out.gs) && out.fs_base < kUserEnd &&
         out.gs_base < kUserEnd;
}

void take_user_segments(CpuState& s, const UserSegments& before, const UserSegments& now) {
  const Segment stack = s.segments[kSs];
  // A selector that the code loaded itself: the flat data segment it must be.
  const auto take = [&](SegmentIndex i, u16 had, u16 has) {
    if (had == has) return;
    Segment& g = s.segments[i];
    const u64 base = g.base;
    g = stack;
    g.selector = has;
    g.base = base;
    if ((has & 0xfffc) == 0) g.attributes = kSegUnusable;
  };
  if (s.long_mode()) {
    s.segments[kFs].base = now.fs_base;
    s.segments[kGs].base = now.gs_base;
  }
  take(kDs, before.ds, now.ds);
  take(kEs, before.es, now.es);
  take(kFs, before.fs, now.fs);
  take(kGs, before.gs, now.gs);
  if (!s.long_mode() || before.cs == now.cs) return;
  Segment& cs = s.segments[kCs];  // a far jump to code of the other size
  cs.selector = now.cs;
  cs.limit = 0xffffffff;
  const u16 size = now.cs == kUserCode32 ? kSegBig : kSegLong;
  cs.attributes = static_cast<u16>((cs.attributes & ~(kSegLong | kSegBig)) | size);
}

}  // namespace emu
