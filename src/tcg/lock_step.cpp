// SPDX-License-Identifier: Apache-2.0
#include "tcg/lock_step.h"

#include <fmt/core.h>

#include <cstddef>
#include <cstring>

#include "base/bits.h"
#include "frontend/guest_block.h"

namespace emu {
namespace {

constexpr std::string_view kNames[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                       "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
constexpr u64 kXstateBvAt = 512;

// A part of the XSAVE image that belongs to a component (SDM vol. 1 13.4, 13.5; standard format).
struct VectorPart {
  std::string_view name;
  unsigned component;
  u32 offset, length_bytes;
};
// Without x87's last instruction and data pointers and opcode.
constexpr VectorPart kVectorParts[] = {{"x87 control and status", 0, 0, 6},
                                       {"x87 registers", 0, 32, 128},
                                       {"xmm", 1, 160, 256},
                                       {"upper halves of ymm", 2, 576, 256},
                                       {"masks", 5, 1088, 64},
                                       {"upper halves of zmm", 6, 1152, 512},
                                       {"zmm16 to zmm31", 7, 1664, 1024}};

bool is_random(const GuestInstruction& g) {
  return g.info.mnemonic == ZYDIS_MNEMONIC_RDRAND || g.info.mnemonic == ZYDIS_MNEMONIC_RDSEED;
}

bool is_comparable(const GuestInstruction& g) {
  if (g.kind == InstructionClass::kSystem || g.kind == InstructionClass::kInvalid) return false;
  return g.info.meta.category != ZYDIS_CATEGORY_IOSTRINGOP && !is_random(g);
}

void add_line(std::string& out, std::string_view what, u64 optimised, u64 reference) {
  out +=
      fmt::format("  {:<8} optimised {:#018x}  reference {:#018x}\n", what, optimised, reference);
}

u64 guest_address(const FlatView& view, const u8* host) {
  for (const FlatRange& r : view.ranges()) {
    if (r.ram == nullptr) continue;
    const auto offset = static_cast<u64>(host - r.host(r.start));
    if (host >= r.host(r.start) && r.contains(r.start + offset)) return r.start + offset;
  }
  return ~u64{0};
}

}  // namespace

BlockCheck LockStep::check_of(const GuestBlock& guest, unsigned runs) {
  BlockCheck check;
  for (const GuestInstruction& g : guest.instructions) {
    if (!is_comparable(g)) return {};
    const u32 undefined = g.info.cpu_flags != nullptr ? g.info.cpu_flags->undefined : 0;
    check.undefined_after &= static_cast<u16>(~g.flags_written);
    check.undefined_after |= static_cast<u16>(undefined);
    check.undefined_inside |= static_cast<u16>(undefined);
  }
  check.instructions = static_cast<u16>(guest.instructions.size());
  check.runs_left = runs;
  return check;
}

void LockStep::add_registers(const CpuState& state, u64 undefined, std::string& out) const {
  for (unsigned i = 0; i < 16; ++i) {
    if (state.gpr[i] != after_.gpr[i]) add_line(out, kNames[i], after_.gpr[i], state.gpr[i]);
  }
  if (state.rip != after_.rip) add_line(out, "rip", after_.rip, state.rip);
  const u64 compared = ~(undefined | kFlagRf);
  if (((state.rflags ^ after_.rflags) & compared) != 0) {
    add_line(out, "rflags", after_.rflags & compared, state.rflags & compared);
  }
  constexpr std::size_t kFrom = offsetof(CpuState, segments), kTo = offsetof(CpuState, xsave);
  const auto* mine = reinterpret_cast<const u8*>(&state);
  const auto* theirs = reinterpret_cast<const u8*>(&after_);
  for (std::size_t at = kFrom; at < kTo; at += 8) {
    const u64 reference = load_le<u64>(mine + at), optimised = load_le<u64>(theirs + at);
    if (reference != optimised) {
      add_line(out, fmt::format("state+{:x}", at), optimised, reference);
    }
  }
}

void LockStep::add_vectors(const CpuState& state, std::string& out) const {
  const u64 reference_has = load_le<u64>(state.xsave + kXstateBvAt);
  const u64 optimised_has = load_le<u64>(after_.xsave + kXstateBvAt);
  constexpr u32 kMxcsrAt = 24;
  const u32 mxcsr[2] = {load_le<u32>(after_.xsave + kMxcsrAt),
                        load_le<u32>(state.xsave + kMxcsrAt)};
  if (mxcsr[0] != mxcsr[1]) add_line(out, "mxcsr", mxcsr[0], mxcsr[1]);
  for (const VectorPart& part : kVectorParts) {
    const bool in_reference = bit(reference_has, part.component);
    const bool in_optimised = bit(optimised_has, part.component);
    // A component in its initial state need not be written; only x87's is not all zeros.
    if (part.component == 0 && in_reference != in_optimised) continue;
    for (u32 i = 0; i < part.length_bytes; i += 2) {
      const u16 r = in_reference ? load_le<u16>(state.xsave + part.offset + i) : u16{0};
      const u16 o = in_optimised ? load_le<u16>(after_.xsave + part.offset + i) : u16{0};
      if (r == o) continue;
      out +=
          fmt::format("  {}, byte {}: optimised {:#06x}, reference {:#06x}\n", part.name, i, o, r);
      break;
    }
  }
}

void LockStep::add_memory(const FlatView& view, std::string& out) const {
  constexpr unsigned kLines = 8;
  unsigned lines = 0;
  for (unsigned i = 0; i < page_count_; ++i) {
    const Page& p = pages_[i];
    for (u64 at = 0; at < kPageBytes; at += 8) {
      const u64 reference = load_le<u64>(p.host + at), optimised = load_le<u64>(p.after + at);
      if (reference == optimised) continue;
      if (++lines > kLines) return;
      add_line(out, fmt::format("[{:x}]", guest_address(view, p.host + at)), optimised, reference);
    }
  }
}

std::string LockStep::differences(const CpuState& state, const TranslatedBlock& block,
                                  unsigned instructions, const FlatView& view) const {
  std::string out;
  const bool whole = instructions == block.check.instructions;
  add_registers(state, whole ? block.check.undefined_after : kFlagsArithmetic, out);
  add_vectors(state, out);
  // Inside a block, flags that the rest of it overwrites unread are not kept; the frame of an
  // exception shows them.
  const bool exception = !whole && state.rip - block.key.rip > block.length_bytes;
  if (!exception) add_memory(view, out);
  if (devices_differ_ || device_at_ != device_count_) out += "  device accesses differ\n";
  return out;
}

}  // namespace emu
