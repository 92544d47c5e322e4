// SPDX-License-Identifier: Apache-2.0
// Target code segments. Source: Intel SDM vol. 3 5.8.
#include "cpu/code_segment.h"

#include "base/bits.h"
#include "cpu/page_walk.h"

namespace emu {

bool is_code64(const CpuState& state, const Descriptor& d) noexcept {
  return state.long_mode() && bit(d.low, 53);
}

Fault fetch_code(CpuCore& core, u16 selector, CodeTarget& out) noexcept {
  out.selector = selector;
  if (out.code() == 0) return Fault::gp();
  if (Fault f = read_descriptor(core, selector, kVectorGp, out.descriptor, out.address)) return f;
  const bool both_sizes = is_code64(core.state, out.descriptor) && bit(out.descriptor.low, 54);
  return out.descriptor.is_code() && !both_sizes ? Fault::none() : Fault::gp(out.code());
}

Fault check_present(const CodeTarget& target) noexcept {
  return target.descriptor.present() ? Fault::none() : Fault::with_code(kVectorNp, target.code());
}

Fault check_rip(const CpuState& state, const Descriptor& d, u64 rip) noexcept {
  const bool valid = is_code64(state, d) ? is_canonical(rip) : rip <= d.limit();
  return valid ? Fault::none() : Fault::gp();
}

void enter_code(CpuCore& core, const CodeTarget& target, unsigned rpl, u64 rip) noexcept {
  const u16 selector = static_cast<u16>((target.selector & 0xfffc) | rpl);
  core.state.segments[kCs] = unpack_segment(target.descriptor, selector);
  core.state.rip = rip;
}

}  // namespace emu
