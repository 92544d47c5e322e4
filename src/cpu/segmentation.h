// SPDX-License-Identifier: Apache-2.0
// Descriptors, segment-register loads and segment checks.
// Source: Intel SDM vol. 3 ch. 3 and 5; vol. 2 MOV, LAR, LSL, LLDT, LTR, VERR.
#pragma once

#include "cpu/cpu_core.h"

namespace emu {

// System descriptor types (SDM vol. 3 table 3-2).
enum SystemType : u8 {
  kSysTss16 = 1,
  kSysLdt = 2,
  kSysTss16Busy = 3,
  kSysCallGate16 = 4,
  kSysTaskGate = 5,
  kSysInterruptGate16 = 6,
  kSysTrapGate16 = 7,
  kSysTss = 9,
  kSysTssBusy = 11,
  kSysCallGate = 12,
  kSysInterruptGate = 14,
  kSysTrapGate = 15,
};

// An 8-byte descriptor as in memory, with names for its fields. 16-byte ones (long mode system
// descriptors and gates) keep their upper half in `high`.
struct Descriptor {
  u64 low = 0;
  u64 high = 0;

  // Attribute bits as in Segment::attributes.
  [[nodiscard]] constexpr u16 attributes() const { return static_cast<u16>((low >> 40) & 0xf0ff); }
  [[nodiscard]] constexpr unsigned type() const { return (low >> 40) & 0xf; }
  [[nodiscard]] constexpr bool is_system() const { return ((low >> 44) & 1) == 0; }
  [[nodiscard]] constexpr bool is_code() const { return ((low >> 43) & 3) == 3; }
  [[nodiscard]] constexpr bool is_data() const { return ((low >> 43) & 3) == 2; }
  [[nodiscard]] constexpr bool conforming() const { return ((low >> 42) & 1) != 0; }
  [[nodiscard]] constexpr bool present() const { return ((low >> 47) & 1) != 0; }
  [[nodiscard]] constexpr unsigned dpl() const { return (low >> 45) & 3; }
  [[nodiscard]] constexpr u32 base32() const {
    return static_cast<u32>(((low >> 16) & 0xffffff) | ((low >> 32) & 0xff000000));
  }
  [[nodiscard]] constexpr u64 base64() const { return base32() | (high << 32); }
  // In bytes, inclusive, after granularity.
  [[nodiscard]] constexpr u32 limit() const {
    const u32 raw = static_cast<u32>((low & 0xffff) | ((low >> 32) & 0xf0000));
    return ((low >> 55) & 1) != 0 ? (raw << 12) | 0xfff : raw;
  }
  // Gates (SDM vol. 3 figures 5-8, 6-2, 6-8).
  [[nodiscard]] constexpr u16 gate_selector() const { return static_cast<u16>(low >> 16); }
  [[nodiscard]] constexpr u32 gate_offset32() const {
    return static_cast<u32>((low & 0xffff) | ((low >> 32) & 0xffff0000));
  }
  [[nodiscard]] constexpr unsigned gate_count() const { return (low >> 32) & 0x1f; }
  [[nodiscard]] constexpr unsigned gate_ist() const { return (low >> 32) & 7; }
};

// The hidden part of `selector` for a code or data descriptor. Long mode leaves base and limit in
// too: whoever computes addresses ignores them for CS, DS, ES and SS in 64-bit mode.
[[nodiscard]] Segment unpack_segment(const Descriptor& descriptor, u16 selector) noexcept;
// A segment as real mode (`attributes` 93h) or virtual-8086 mode (F3h) loads it.
[[nodiscard]] Segment real_mode_segment(u16 selector) noexcept;
[[nodiscard]] Segment vm86_segment(u16 selector) noexcept;
// What a null selector leaves; `dpl` is the CPL for SS in 64-bit mode, else 0.
[[nodiscard]] Segment null_segment(u16 selector, unsigned dpl) noexcept;

// Reads the 8-byte descriptor of a non-null `selector` from GDT or LDT (implicit supervisor
// access). Beyond the table or with no LDT: `vector` (selector with RPL cleared). `address` is
// where it lies.
Fault read_descriptor(CpuCore& core, u16 selector, Vector vector, Descriptor& out,
                      LinearAddr& address) noexcept;
// The same for a system descriptor: 16 bytes in long mode, whose upper type field must be zero.
Fault read_system_descriptor(CpuCore& core, u16 selector, Vector vector, Descriptor& out,
                             LinearAddr& address) noexcept;
// Sets the accessed bit in memory and in `descriptor` if it is clear.
Fault set_accessed(CpuCore& core, Descriptor& descriptor, LinearAddr address) noexcept;

// MOV/POP/LxS to ES, SS, DS, FS or GS (not CS), in every mode, with all checks.
// #GP/#SS/#NP(selector), #PF. Does not set the interrupt shadow of SS loads: the caller does.
// Source: SDM vol. 2 MOV, vol. 3 5.6-5.7.
Fault load_segment(CpuCore& core, SegmentIndex index, u16 selector) noexcept;

// LLDT and LTR. #UD in real and virtual-8086 mode, #GP(0) unless CPL is 0; #GP/#NP(selector).
Fault load_ldtr(CpuCore& core, u16 selector) noexcept;
Fault load_tr(CpuCore& core, u16 selector) noexcept;

// LAR, LSL: `valid` becomes ZF; `value` is the unmasked 32-bit result when valid.
// #UD in real and virtual-8086 mode; #PF.
Fault load_access_rights(CpuCore& core, u16 selector, bool& valid, u32& value) noexcept;
Fault load_limit(CpuCore& core, u16 selector, bool& valid, u32& value) noexcept;
// VERR (`write` false) and VERW: `ok` becomes ZF. #UD in real and virtual-8086 mode; #PF.
Fault verify_segment(CpuCore& core, u16 selector, bool write, bool& ok) noexcept;

// Whether `size` bytes at `offset` may be accessed through a segment register outside 64-bit mode:
// usable, writable or readable, inside the limit (expand-down too). Present is implied by loading.
// #SS(0) for SS, else #GP(0). In 64-bit mode checks only that base + offset is canonical.
// Source: SDM vol. 3 5.3-5.5.
Fault check_segment_access(const CpuState& state, SegmentIndex index, u64 offset, unsigned size,
                           bool write) noexcept;
// The part of check_segment_access that does not depend on the offset.
[[nodiscard]] bool segment_allows(const Segment& segment, bool write) noexcept;
// The lowest and highest valid offset; low > high means none.
void segment_range(const Segment& segment, u64& low, u64& high) noexcept;
// The linear address of `offset` in a segment, wrapped to 32 bits outside 64-bit mode.
[[nodiscard]] LinearAddr segment_linear(const CpuState& state, SegmentIndex index,
                                        u64 offset) noexcept;

}  // namespace emu
