// SPDX-License-Identifier: Apache-2.0
#include "devices/video/cirrus_vga.h"

#include "base/check.h"

namespace emu {

using namespace cirrus;

namespace {

constexpr u32 kWindowBytes = 128 * 1024, kBankBytes = 32 * 1024;
constexpr u32 kBlitWindowAt = 0x18000;  // of the registers, at B8000h
constexpr u32 kMmioBlit = 0x100;        // in BAR 1, behind the ports
constexpr u32 kVramMask = static_cast<u32>(kVramBytes - 1);

// The blitter's registers in memory, as graphics registers (9.x, "memory-mapped I/O").
constexpr u8 kNone = 0xff;
constexpr std::array<u8, 0x44> make_blit_map() {
  std::array<u8, 0x44> map{};
  map.fill(kNone);
  constexpr u8 kFirst[] = {0x00, 0x10,  0x12, 0x14,  0x01,  0x11, 0x13, 0x15,  0x20,
                           0x21, 0x22,  0x23, 0x24,  0x25,  0x26, 0x27, 0x28,  0x29,
                           0x2a, kNone, 0x2c, 0x2d,  0x2e,  0x2f, 0x30, kNone, 0x32,
                           0x33, 0x34,  0x35, kNone, kNone, 0x38, 0x39};
  for (std::size_t i = 0; i < std::size(kFirst); ++i) map[i] = kFirst[i];
  map[0x40] = kBlitControl;
  return map;
}
constexpr std::array<u8, 0x44> kBlitMap = make_blit_map();

}  // namespace

// A window of bytes.
template <u8 (CirrusVga::*Read)(u32), void (CirrusVga::*Write)(u32, u8)>
class CirrusVga::Bytes final : public IoHandler {
 public:
  explicit Bytes(CirrusVga& card, u32 base = 0) : card_(card), base_(base) {}
  u64 read(u64 offset, unsigned size) override {
    u64 value = 0;
    for (unsigned i = 0; i < size; ++i)
      value |= u64{(card_.*Read)(base_ + static_cast<u32>(offset) + i)} << 8 * i;
    return value;
  }
  void write(u64 offset, unsigned size, u64 value) override {
    for (unsigned i = 0; i < size; ++i)
      (card_.*Write)(base_ + static_cast<u32>(offset) + i, static_cast<u8>(value >> 8 * i));
  }

 private:
  CirrusVga& card_;
  u32 base_;
};

CirrusVga::CirrusVga(PciBus& bus, const Clock& clock, u8 devfn, VgaMemory memory)
    : PciDevice(bus, devfn, "cirrus-vga",
                {.vendor = 0x1013, .device = 0x00b8, .class_code = 0x030000}),
      clock_(clock),
      memory_(std::move(memory)),
      vram_(*memory_.vram),
      registers_(vram_),
      planes_(vram_, registers_.vga()),
      renderer_(vram_, registers_.vga(), registers_) {
  EMU_CHECK(vram_.size_bytes() == kVramBytes);
  memory_.vram->set_tracked(DirtyClient::kDisplay, true);
  make_regions();
  add_bar(0, BarKind::kPrefetchable32, *aperture_);
  add_bar(1, BarKind::kMemory32, *mmio_);
  if (memory_.rom != nullptr) {
    rom_ = Region::rom("vga-rom", *memory_.rom, 0, memory_.rom->size_bytes());
    add_rom_bar(*rom_);
  }
  reset();
}

CirrusVga::~CirrusVga() = default;

void CirrusVga::make_regions() {
  struct PortRun {
    u16 first, count;
  };
  ports_ = Region::container("cirrus-ports", 0x30);
  for (const PortRun run : {PortRun{0x3b4, 2}, {0x3ba, 1}, {0x3c0, 16}, {0x3d4, 2}, {0x3da, 1}}) {
    handlers_.push_back(
        std::make_unique<Bytes<&CirrusVga::read_port, &CirrusVga::write_port>>(*this, run.first));
    pieces_.push_back(Region::mmio("cirrus-ports", run.count, *handlers_.back(), {1, 1, true}));
    ports_->add(*pieces_.back(), run.first - u64{0x3b0});
  }
  vram_region_ = Region::ram("cirrus-vram", *memory_.vram, 0, kVramBytes);
  const auto direct = [this](u64 bytes, Region& parent, u64 at) {
    pieces_.push_back(Region::alias("cirrus-direct", *vram_region_, 0, bytes));
    pieces_.back()->set_enabled(false);
    parent.add(*pieces_.back(), at, 1);
    return pieces_.back().get();
  };
  window_ = Region::container("cirrus-window", kWindowBytes);
  handlers_.push_back(
      std::make_unique<Bytes<&CirrusVga::read_window, &CirrusVga::write_window>>(*this));
  pieces_.push_back(Region::mmio("cirrus-window", kWindowBytes, *handlers_.back(), {1, 8, true}));
  window_->add(*pieces_.back(), 0);
  for (unsigned i = 0; i < 2; ++i) banks_[i] = direct(kBankBytes, *window_, i * u64{kBankBytes});
  aperture_ = Region::container("cirrus-linear", kApertureBytes);
  handlers_.push_back(
      std::make_unique<Bytes<&CirrusVga::read_linear, &CirrusVga::write_linear>>(*this));
  pieces_.push_back(Region::mmio("cirrus-linear", kApertureBytes, *handlers_.back(), {1, 8, true}));
  aperture_->add(*pieces_.back(), 0);
  direct_ = direct(kVramBytes, *aperture_, 0);
  handlers_.push_back(
      std::make_unique<Bytes<&CirrusVga::read_mmio, &CirrusVga::write_mmio>>(*this));
  mmio_ = Region::mmio("cirrus-mmio", kMmioBytes, *handlers_.back(), {1, 4, true});
}

void CirrusVga::reset() {
  reset_config();
  registers_.reset();
  planes_.reset();
  renderer_.reset();
  update_windows();
}

void CirrusVga::transfer(StateIo& io) {
  io.section(name(), 1, [&] {
    transfer_config(io);
    registers_.transfer(io);
    planes_.transfer(io);
  });
}

void CirrusVga::resumed() {
  resume_config();
  renderer_.reset();
  update_windows();
}

bool CirrusVga::packed() const {
  return (registers_.sr(kExtendedMode) & kPackedPixels) != 0;
}

void CirrusVga::update_windows() {
  VgaPlanes::Mapping mapping;
  mapping.chain4 = (registers_.vga().seq(vga::kSeqMemoryMode) & vga::kMemoryChain4) != 0;
  planes_.set_mapping(mapping);
  const u8 how = registers_.gr(kModeExtensions);
  const u8 mode = registers_.gr(vga::kGfxMode) & 7;
  const bool expands = (how & kExtendedWrites) != 0 && (mode == 4 || mode == 5);
  const bool plain = packed() && !registers_.blitter().takes_source() && !expands &&
                     (how & kByEight) == 0 &&
                     (how & (kSixteenBits | kExtendedWrites)) != (kSixteenBits | kExtendedWrites);
  if (plain != direct_enabled_) direct_->set_enabled(direct_enabled_ = plain);
  for (unsigned i = 0; i < 2; ++i) {
    const u32 first = registers_.bank_bytes(i);
    const bool shown = plain && first % kPageBytes == 0 && u64{first} + kBankBytes <= kVramBytes;
    if (shown && first != bank_bytes_[i]) banks_[i]->set_alias_offset(bank_bytes_[i] = first);
    if (shown != bank_enabled_[i]) banks_[i]->set_enabled(bank_enabled_[i] = shown);
  }
}

u8 CirrusVga::read_port(u32 port) {
  return registers_.read(static_cast<u16>(port), clock_.now_ns());
}

void CirrusVga::write_port(u32 port, u8 value) {
  registers_.write(static_cast<u16>(port), value);
  if (port == vga::kPortSeqData || port == vga::kPortGfxData) update_windows();
}

// --- Memory ---

u32 CirrusVga::scaled(u32 address) const {
  const u8 how = registers_.gr(kModeExtensions);
  if ((how & (kSixteenBits | kExtendedWrites)) == (kSixteenBits | kExtendedWrites)) {
    address <<= 4;
  } else if ((how & kByEight) != 0) {
    address <<= 3;
  }
  return address & kVramMask;
}

// Extended write modes 4 and 5 make eight pixels of a byte: of the foreground colour where its bits
// are set, and in mode 5 of the background elsewhere (7.x, GR5).
void CirrusVga::store(u32 address, u8 value) {
  if (registers_.blitter().takes_source()) {
    registers_.blitter().source(value);
    if (!registers_.blitter().takes_source()) update_windows();
    return;
  }
  const u8 how = registers_.gr(kModeExtensions);
  const u8 mode = registers_.gr(vga::kGfxMode) & 7;
  const u32 at = scaled(address);
  if ((how & kExtendedWrites) == 0 || (mode != 4 && mode != 5)) {
    return vram_.write(at, std::span(&value, 1));
  }
  const unsigned width = (how & kSixteenBits) != 0 ? 2 : 1;
  for (unsigned i = 0; i < 8; ++i) {
    const bool on = (value >> (7 - i) & 1) != 0;
    if (!on && mode == 4) continue;
    const std::array<u8, 2> color{registers_.gr(on ? 0x01 : 0x00), registers_.gr(on ? 0x11 : 0x10)};
    vram_.write((at + i * width) & kVramMask, std::span(color).first(width));
  }
}

u8 CirrusVga::read_window(u32 offset) {
  if (!packed()) {
    // As a VGA: which part of the 128 KiB is there (GR6).
    switch (registers_.vga().gfx(vga::kGfxMisc) >> 2 & 3) {
      case 0:
        return planes_.read(offset);
      case 1:
        return offset < 0x10000 ? planes_.read(offset) : u8{0xff};
      case 2:
        return offset - 0x10000 < 0x8000 ? planes_.read(offset - 0x10000) : u8{0xff};
      default:
        return offset >= 0x18000 ? planes_.read(offset - 0x18000) : u8{0xff};
    }
  }
  if (offset < 2 * kBankBytes) {
    const u32 at = registers_.bank_bytes(offset / kBankBytes) + offset % kBankBytes;
    const std::span<const u8> byte = vram_.bytes(scaled(at), 1);
    return byte.empty() ? u8{0xff} : byte[0];
  }
  const bool registers_here =
      (registers_.sr(kConfiguration) & (kBlitWindow | kBlitWindowElsewhere)) == kBlitWindow;
  return registers_here && offset >= kBlitWindowAt ? read_blit_register(offset & 0xff) : u8{0xff};
}

void CirrusVga::write_window(u32 offset, u8 value) {
  if (!packed()) {
    switch (registers_.vga().gfx(vga::kGfxMisc) >> 2 & 3) {
      case 0:
        return planes_.write(offset, value);
      case 1:
        return offset < 0x10000 ? planes_.write(offset, value) : void();
      case 2:
        return offset - 0x10000 < 0x8000 ? planes_.write(offset - 0x10000, value) : void();
      default:
        return offset >= 0x18000 ? planes_.write(offset - 0x18000, value) : void();
    }
  }
  if (offset < 2 * kBankBytes)
    return store(registers_.bank_bytes(offset / kBankBytes) + offset % kBankBytes, value);
  const bool registers_here =
      (registers_.sr(kConfiguration) & (kBlitWindow | kBlitWindowElsewhere)) == kBlitWindow;
  if (registers_here && offset >= kBlitWindowAt) write_blit_register(offset & 0xff, value);
}

u8 CirrusVga::read_linear(u32 offset) {
  const std::span<const u8> byte = vram_.bytes(scaled(offset), 1);
  return byte.empty() ? u8{0xff} : byte[0];
}

void CirrusVga::write_linear(u32 offset, u8 value) {
  // The last 256 bytes can be the blitter's registers (SR17).
  const bool registers_here =
      (registers_.sr(kConfiguration) & (kBlitWindow | kBlitWindowElsewhere)) ==
      (kBlitWindow | kBlitWindowElsewhere);
  if (registers_here && (offset & (kVramMask & ~0xffu)) == (kVramMask & ~0xffu))
    return write_blit_register(offset & 0xff, value);
  // From the middle on there is only the blitter's source.
  if (offset >= kApertureBytes / 2 && !registers_.blitter().takes_source()) return;
  store(offset, value);
}

u8 CirrusVga::read_mmio(u32 offset) {
  if (offset >= kMmioBlit) return read_blit_register(offset - kMmioBlit);
  return offset < 0x20 ? read_port(0x3c0 + offset) : u8{0xff};
}

void CirrusVga::write_mmio(u32 offset, u8 value) {
  if (offset >= kMmioBlit) return write_blit_register(offset - kMmioBlit, value);
  if (offset < 0x20) write_port(0x3c0 + offset, value);
}

u8 CirrusVga::read_blit_register(u32 offset) const {
  if (offset >= kBlitMap.size() || kBlitMap[offset] == kNone) return 0xff;
  return registers_.read_gr(kBlitMap[offset]);
}

void CirrusVga::write_blit_register(u32 offset, u8 value) {
  if (offset >= kBlitMap.size() || kBlitMap[offset] == kNone) return;
  registers_.write_gr(kBlitMap[offset], value);
  update_windows();
}

}  // namespace emu
