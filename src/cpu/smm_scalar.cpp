// SPDX-License-Identifier: Apache-2.0
// SMI entry and RSM. Source: Intel SDM vol. 3 30.4-30.7; AMD APM vol. 2 10.2-10.3.
#include "cpu/smm.h"

#include "base/bits.h"
#include "cpu/debug_registers.h"
#include "cpu/page_walk.h"
#include "cpu/smm_map.h"

namespace emu {
namespace {

using namespace smm;

constexpr u64 kRflagsDefined = 0x3f7fd7;

// Moves one value between a field and the save area: one walk serves entry and RSM.
class SaveArea {
 public:
  SaveArea(CpuCore& core, bool saving) : core_(core), base_(core.state.smbase), saving_(saving) {}

  template <class T>
  void move(u32 offset, T& field, unsigned bytes = sizeof(T)) {
    const PhysAddr at{(base_ + offset) & 0xffffffff};
    if (saving_) {
      core_.memory.write_phys(at, bytes, static_cast<u64>(field) & byte_mask(bytes));
    } else {
      field = static_cast<T>(core_.memory.read_phys(at, bytes) & byte_mask(bytes));
    }
  }

 private:
  CpuCore& core_;
  u64 base_;
  bool saving_;
};

// What the map holds, apart from the general registers, which go straight to the state when saving
// and are loaded last when resuming.
struct Image {
  u64 gpr[16];
  u64 rip, rflags, cr0, cr3, cr4, efer, dr6, dr7;
  Segment segments[kSegmentCount];
  Segment ldtr, tr;
  DescriptorTable gdtr, idtr;
  u32 smbase;
  u8 halted, nmi_blocked, shadow;
};

void move_segment64(SaveArea& area, u32 offset, Segment& segment) {
  u16 attributes = segment.usable() ? segment.attributes : segment.attributes & 0x60;
  area.move(offset + map64::kSelector, segment.selector);
  area.move(offset + map64::kAttributes, attributes);
  area.move(offset + map64::kLimit, segment.limit);
  area.move(offset + map64::kBase, segment.base);
  // A segment is never not-present once loaded: such an entry means a null selector.
  segment.attributes = static_cast<u16>(
      (attributes & kSegPresent) != 0 ? attributes & 0xf0ff : (attributes & 0x60) | kSegUnusable);
}

void move_image64(SaveArea& area, Image& image) {
  for (unsigned i = 0; i < kSegmentCount; ++i) {
    move_segment64(area, map64::kSegments + 16 * i, image.segments[i]);
  }
  move_segment64(area, map64::kLdtr, image.ldtr);
  move_segment64(area, map64::kTr, image.tr);
  area.move(map64::kGdtr + map64::kLimit, image.gdtr.limit);
  area.move(map64::kGdtr + map64::kBase, image.gdtr.base);
  area.move(map64::kIdtr + map64::kLimit, image.idtr.limit);
  area.move(map64::kIdtr + map64::kBase, image.idtr.base);
  area.move(map64::kHalted, image.halted);
  area.move(map64::kNmiBlocked, image.nmi_blocked);
  area.move(map64::kShadow, image.shadow);
  area.move(map64::kEfer, image.efer);
  area.move(map64::kSmbase, image.smbase);
  area.move(map64::kCr4, image.cr4, 4);
  area.move(map64::kCr3, image.cr3);
  area.move(map64::kCr0, image.cr0, 4);
  area.move(map64::kDr7, image.dr7, 4);
  area.move(map64::kDr6, image.dr6, 4);
  area.move(map64::kRflags, image.rflags, 4);
  area.move(map64::kRip, image.rip);
  for (u32 i = 0; i < 16; ++i) area.move(map64::kRax - 8 * i, image.gpr[i]);
}

void move_segment32(SaveArea& area, u32 offset, u32 selector_offset, Segment& segment) {
  u32 attributes = segment.usable() ? segment.attributes : segment.attributes & 0x60u;
  area.move(selector_offset, segment.selector);
  area.move(offset + map32::kAttributes, attributes);
  area.move(offset + map32::kLimit, segment.limit);
  area.move(offset + map32::kBase, segment.base, 4);
  segment.attributes = static_cast<u16>(
      (attributes & kSegPresent) != 0 ? attributes & 0xf0ff : (attributes & 0x60) | kSegUnusable);
}

void move_image32(SaveArea& area, Image& image) {
  for (u32 i = 0; i < kSegmentCount; ++i) {
    const u32 at = i < 3 ? map32::kLowSegments + map32::kEntryBytes * i
                         : map32::kHighSegments + map32::kEntryBytes * (i - 3);
    move_segment32(area, at, map32::kSelectors + 4 * i, image.segments[i]);
  }
  move_segment32(area, map32::kLdtr, map32::kLdtrSelector, image.ldtr);
  move_segment32(area, map32::kTr, map32::kTrSelector, image.tr);
  area.move(map32::kGdtLimit, image.gdtr.limit);
  area.move(map32::kGdtBase, image.gdtr.base, 4);
  area.move(map32::kIdtLimit, image.idtr.limit);
  area.move(map32::kIdtBase, image.idtr.base, 4);
  area.move(map32::kHalted, image.halted);
  area.move(map32::kSmbase, image.smbase);
  area.move(map32::kCr4, image.cr4, 4);
  area.move(map32::kCr3, image.cr3, 4);
  area.move(map32::kCr0, image.cr0, 4);
  area.move(map32::kDr7, image.dr7, 4);
  area.move(map32::kDr6, image.dr6, 4);
  area.move(map32::kEflags, image.rflags, 4);
  area.move(map32::kEip, image.rip, 4);
  for (u32 i = 0; i < 8; ++i) area.move(map32::kEdi - 4 * (7 - i), image.gpr[i], 4);
}

void image_from_state(const CpuState& s, Image& image) {
  for (unsigned i = 0; i < 16; ++i) image.gpr[i] = s.gpr[i];
  for (unsigned i = 0; i < kSegmentCount; ++i) image.segments[i] = s.segments[i];
  image.ldtr = s.ldtr;
  image.tr = s.tr;
  image.gdtr = s.gdtr;
  image.idtr = s.idtr;
  image.rip = s.rip;
  image.rflags = s.rflags;
  image.cr0 = s.cr0;
  image.cr3 = s.cr3;
  image.cr4 = s.cr4;
  image.efer = s.efer;
  image.dr6 = s.dr6;
  image.dr7 = s.dr7;
  image.smbase = s.smbase;
  image.halted = s.activity == Activity::kHalted ? 1 : 0;
  image.nmi_blocked = s.nmi_blocked ? 1 : 0;
  image.shadow = s.interrupt_shadow ? 1 : 0;
}

// RSM goes to shutdown for these (SDM vol. 3 30.4.1.1).
bool is_valid(const CpuCore& core, const Image& image) {
  const bool paging = (image.cr0 & kCr0Pg) != 0;
  if (paging && (image.cr0 & kCr0Pe) == 0) return false;
  if ((image.cr0 & kCr0Nw) != 0 && (image.cr0 & kCr0Cd) == 0) return false;
  if ((image.cr4 & ~core.features.cr4_allowed) != 0) return false;
  if ((image.efer & ~(core.features.efer_allowed | kEferLma)) != 0) return false;
  const bool long_mode = (image.efer & kEferLma) != 0;
  if (long_mode != (paging && (image.efer & kEferLme) != 0)) return false;
  if (long_mode && (image.cr4 & kCr4Pae) == 0) return false;
  if ((image.cr4 & kCr4Pcide) != 0 && !long_mode) return false;
  if (long_mode && (image.cr3 & ~low_mask(core.features.phys_bits)) != 0) return false;
  return !(long_mode && (image.rflags & kFlagVm) != 0);
}

void canonicalize(u64& address) {
  address = sign_extend(address, 48);
}

void state_from_image(CpuState& s, Image& image) {
  // No descriptor could have L and D both set.
  u16& code = image.segments[kCs].attributes;
  if ((code & kSegLong) != 0) code &= static_cast<u16>(~kSegBig);
  for (unsigned i = 0; i < kSegmentCount; ++i) {
    canonicalize(image.segments[i].base);
    s.segments[i] = image.segments[i];
  }
  canonicalize(image.ldtr.base);
  canonicalize(image.tr.base);
  canonicalize(image.gdtr.base);
  canonicalize(image.idtr.base);
  for (unsigned i = 0; i < 16; ++i) s.gpr[i] = image.gpr[i];
  s.ldtr = image.ldtr;
  s.tr = image.tr;
  s.gdtr = image.gdtr;
  s.idtr = image.idtr;
  canonicalize(image.rip);
  s.rip = image.rip;
  if ((image.cr0 & kCr0Pe) == 0) image.rflags &= ~kFlagVm;
  s.rflags = (image.rflags & kRflagsDefined) | kFlagFixed1;
  s.cr0 = image.cr0 | kCr0Et;
  s.cr3 = image.cr3;
  s.cr4 = image.cr4;
  s.efer = image.efer;
  s.dr6 = (image.dr6 & 0xe00f) | kDr6Fixed1;
  s.dr7 = (image.dr7 & 0xffff23ff) | kDr7Fixed1;
  s.smbase = image.smbase;
  s.activity = image.halted != 0 ? Activity::kHalted : Activity::kRunning;
  s.nmi_blocked = image.nmi_blocked != 0;
  s.interrupt_shadow = image.shadow != 0;
}

// Big real mode at SMBASE (SDM vol. 3 table 30-4).
void enter_smm_mode(CpuState& s) {
  s.smm = true;
  s.nmi_blocked = true;
  s.interrupt_shadow = false;
  s.activity = Activity::kRunning;
  s.rflags = kFlagFixed1;
  s.rip = kEntryOffset;
  s.cr0 &= ~(kCr0Pe | kCr0Em | kCr0Ts | kCr0Pg);
  s.cr4 = 0;
  s.efer = 0;
  s.dr7 = kDr7Fixed1;
  s.idtr.base = 0;
  s.idtr.limit = 0;
  for (Segment& segment : s.segments) segment = {0, 0xffffffff, 0, 0x8093};
  s.segments[kCs].selector = static_cast<u16>(s.smbase >> 4);
  s.segments[kCs].base = s.smbase;
}

}  // namespace

void enter_smm(CpuCore& core) noexcept {
  CpuState& state = core.state;
  core.paging_cache.flush();
  const bool map64 = core.features.long_mode;
  SaveArea area(core, true);
  Image image;
  image_from_state(state, image);
  if (map64) {
    move_image64(area, image);
  } else {
    move_image32(area, image);
  }
  u32 revision = map64 ? kSmmRevisionLong : kSmmRevisionLegacy;
  area.move(kRevision, revision);
  enter_smm_mode(state);
  core.effects |= kEffectFlushAll | kEffectPagingMode | kEffectBreakpoints;
}

Fault leave_smm(CpuCore& core, SmmResult& result) noexcept {
  CpuState& state = core.state;
  if (!state.smm) return Fault::ud();
  core.paging_cache.flush();
  SaveArea area(core, false);
  Image image;
  image_from_state(state, image);  // what the map does not hold stays
  image.nmi_blocked = 0;
  image.shadow = 0;
  if (core.features.long_mode) {
    move_image64(area, image);
  } else {
    image.efer = 0;
    move_image32(area, image);
  }
  u64 pdptes[4] = {0, 0, 0, 0};
  const bool pae =
      (image.cr0 & kCr0Pg) != 0 && (image.cr4 & kCr4Pae) != 0 && (image.efer & kEferLma) == 0;
  const bool valid = is_valid(core, image) && !(pae && read_pdptes(core, image.cr3, pdptes));
  core.effects |= kEffectSmm | kEffectFlushAll | kEffectPagingMode | kEffectAddressSpace |
                  kEffectBreakpoints | kEffectInterrupts;
  if (!valid) {
    state.activity = Activity::kShutdown;
    result = SmmResult::kShutdown;
    return Fault::none();
  }
  state_from_image(state, image);
  if (pae) {
    for (unsigned i = 0; i < 4; ++i) state.pdpte[i] = pdptes[i];
  }
  state.smm = false;
  result = SmmResult::kDone;
  return Fault::none();
}

}  // namespace emu
