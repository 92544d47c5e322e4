// SPDX-License-Identifier: Apache-2.0
#include "devices/video/vga.h"

#include <bit>

#include "base/bits.h"
#include "base/check.h"
#include "devices/video/edid.h"

namespace emu {

using namespace vga;

namespace {

constexpr u32 kWindowBytes = 128 * 1024;
constexpr u32 kBankBytes = 64 * 1024;
constexpr u32 kMmioBytes = 4096;
constexpr u32 kMmioPorts = 0x400;  // ports 3C0h-3DFh
constexpr u32 kMmioVbe = 0x500;    // VBE registers, two bytes each
constexpr u32 kMmioQext = 0x600;   // extended registers: their size, then the byte order
constexpr u32 kLittleEndian = 0x1E1E1E1E;

// Calls `byte(i)` for each byte of an access and puts the results together.
template <class F>
u64 gather(unsigned size, F&& byte) {
  u64 value = 0;
  for (unsigned i = 0; i < size; ++i) value |= u64{byte(i)} << (i * 8);
  return value;
}

}  // namespace

// A run of VGA ports; offsets count from `base`.
class Vga::PortWindow final : public IoHandler {
 public:
  PortWindow(Vga& vga, u16 base) : vga_(vga), base_(base) {}
  u64 read(u64 offset, unsigned) override {
    return vga_.read_port(static_cast<u16>(base_ + offset));
  }
  void write(u64 offset, unsigned, u64 value) override {
    vga_.write_port(static_cast<u16>(base_ + offset), static_cast<u8>(value));
  }

 private:
  Vga& vga_;
  u16 base_;
};

// Offset 0 is the index; the data register is at 1, and again at 2 for aligned accesses.
class Vga::VbeWindow final : public IoHandler {
 public:
  explicit VbeWindow(Vga& vga) : vga_(vga) {}
  u64 read(u64 offset, unsigned size) override {
    const u16 value = offset == 0 ? vga_.vbe_.index() : vga_.vbe_.read(vga_.vbe_.index());
    return value & byte_mask(size);
  }
  void write(u64 offset, unsigned, u64 value) override {
    if (offset == 0) {
      vga_.vbe_.set_index(static_cast<u16>(value));
    } else {
      vga_.write_vbe(vga_.vbe_.index(), static_cast<u16>(value));
    }
  }

 private:
  Vga& vga_;
};

class Vga::MemoryWindow final : public IoHandler {
 public:
  explicit MemoryWindow(Vga& vga) : vga_(vga) {}
  u64 read(u64 offset, unsigned size) override {
    const u32 first = static_cast<u32>(offset);
    return gather(size, [&](unsigned i) { return vga_.read_window(first + i); });
  }
  void write(u64 offset, unsigned size, u64 value) override {
    const u32 first = static_cast<u32>(offset);
    for (unsigned i = 0; i < size; ++i) {
      vga_.write_window(first + i, static_cast<u8>(value >> (i * 8)));
    }
  }

 private:
  Vga& vga_;
};

class Vga::MmioWindow final : public IoHandler {
 public:
  explicit MmioWindow(Vga& vga) : vga_(vga) {}
  u64 read(u64 offset, unsigned size) override {
    if (offset >= kMmioVbe && offset < kMmioVbe + 2 * BochsVbe::kIndexCount && size >= 2) {
      return vga_.vbe_.read(static_cast<u16>((offset - kMmioVbe) / 2));
    }
    const u32 first = static_cast<u32>(offset);
    return gather(size, [&](unsigned i) { return read_byte(first + i); });
  }
  void write(u64 offset, unsigned size, u64 value) override {
    if (offset >= kMmioPorts && offset < kMmioPorts + 0x20) {
      for (unsigned i = 0; i < size; ++i) {
        vga_.write_port(static_cast<u16>(0x3C0 + offset - kMmioPorts + i),
                        static_cast<u8>(value >> (i * 8)));
      }
    } else if (offset >= kMmioVbe && offset < kMmioVbe + 2 * BochsVbe::kIndexCount && size == 2) {
      vga_.write_vbe(static_cast<u16>((offset - kMmioVbe) / 2), static_cast<u16>(value));
    }
  }

 private:
  u8 read_byte(u32 offset) {
    if (offset < vga_.edid_.size()) return vga_.edid_[offset];
    if (offset >= kMmioPorts && offset < kMmioPorts + 0x20) {
      return vga_.read_port(static_cast<u16>(0x3C0 + offset - kMmioPorts));
    }
    if (offset == kMmioQext) return 8;
    if (offset >= kMmioQext + 4 && offset < kMmioQext + 8) return kLittleEndian & 0xFF;
    return 0;
  }
  Vga& vga_;
};

Vga::Vga(const Clock& clock, GuestRam& vram)
    : clock_(clock),
      vram_(vram),
      vbe_(static_cast<u32>(vram.size_bytes())),
      planes_(vram_, registers_),
      renderer_(vram_, registers_, vbe_) {
  EMU_CHECK(std::has_single_bit(vram.size_bytes()) && vram.size_bytes() >= 256 * kKiB &&
            vram.size_bytes() <= 256 * kMiB);
  vram.set_tracked(DirtyClient::kDisplay, true);
  edid_ = make_edid(1280, 800);
  make_regions();
  update_window();
}

Vga::~Vga() = default;

void Vga::make_regions() {
  struct PortRun {
    u16 first;
    u16 count;
  };
  ports_ = Region::container("vga-ports", 0x30);
  for (const PortRun run : {PortRun{0x3B4, 2}, {0x3BA, 1}, {0x3C0, 16}, {0x3D4, 2}, {0x3DA, 1}}) {
    handlers_.push_back(std::make_unique<PortWindow>(*this, run.first));
    pieces_.push_back(Region::mmio("vga-ports", run.count, *handlers_.back(), {1, 1, true}));
    ports_->add(*pieces_.back(), run.first - u64{0x3B0});
  }
  handlers_.push_back(std::make_unique<VbeWindow>(*this));
  vbe_ports_ = Region::mmio("vga-vbe", 4, *handlers_.back(), {1, 2, true});
  vram_region_ = Region::ram("vga-vram", vram_.ram(), 0, vram_.size_bytes());
  framebuffer_ = Region::ram("vga-framebuffer", vram_.ram(), 0, vram_.size_bytes());
  handlers_.push_back(std::make_unique<MmioWindow>(*this));
  mmio_ = Region::mmio("vga-mmio", kMmioBytes, *handlers_.back(), {1, 4, false});

  window_ = Region::container("vga-window", kWindowBytes);
  handlers_.push_back(std::make_unique<MemoryWindow>(*this));
  pieces_.push_back(Region::mmio("vga-planes", kWindowBytes, *handlers_.back(), {1, 8, true}));
  window_->add(*pieces_.back(), 0);
  pieces_.push_back(Region::alias("vga-direct", *vram_region_, 0, kBankBytes));
  direct_ = pieces_.back().get();
  direct_->set_enabled(false);
  window_->add(*direct_, 0, 1);
}

void Vga::reset() {
  registers_.reset();
  vbe_.reset();
  planes_.reset();
  renderer_.reset();
  update_window();
}

void Vga::transfer(StateIo& io) {
  io.section(name(), 1, [&] {
    registers_.transfer(io);
    vbe_.transfer(io);
    planes_.transfer(io);
  });
}

void Vga::resumed() {
  renderer_.reset();
  update_window();
}

void Vga::write_port(u16 port, u8 value) {
  registers_.write(port, value);
  if (port == kPortSeqData || port == kPortGfxData) update_window();
}

void Vga::write_vbe(u16 index, u16 value) {
  vram_.clear(vbe_.write(index, value));
  update_window();
}

bool Vga::map_window(u32& offset) const {
  if (vbe_.is_enabled()) {
    if (offset >= kBankBytes) return false;
    offset += vbe_.bank_bytes();
    return true;
  }
  switch ((registers_.gfx(kGfxMisc) >> 2) & 3) {
    case 0:  // A0000h-BFFFFh
      return true;
    case 1:  // A0000h-AFFFFh
      return offset < kBankBytes;
    case 2:  // B0000h-B7FFFh
      offset -= 0x10000;
      return offset < 0x8000;
    default:  // B8000h-BFFFFh
      offset -= 0x18000;
      return offset < 0x8000;
  }
}

u8 Vga::read_window(u32 offset) {
  return map_window(offset) ? planes_.read(offset) : u8{0xFF};
}

void Vga::write_window(u32 offset, u8 value) {
  if (map_window(offset)) planes_.write(offset, value);
}

void Vga::update_window() {
  const bool linear = vbe_.is_enabled() && vbe_.bits_per_pixel() != 4;
  VgaPlanes::Mapping mapping;
  mapping.chain4 =
      linear || (!vbe_.is_enabled() && (registers_.seq(kSeqMemoryMode) & kMemoryChain4) != 0);
  if (vbe_.is_enabled()) mapping.word_mask = static_cast<u32>(vram_.size_bytes() / 4 - 1);
  planes_.set_mapping(mapping);
  u32 first = 0;
  const bool direct = map_window(first) && (linear || planes_.is_plain_chain4());
  if (direct && first != direct_offset_) {
    direct_offset_ = first;
    direct_->set_alias_offset(first);
  }
  if (direct != direct_enabled_) {
    direct_enabled_ = direct;
    direct_->set_enabled(direct);
  }
}

void Vga::prefer_size(u32 width, u32 height) {
  edid_ = make_edid(width, height);
}

}  // namespace emu
