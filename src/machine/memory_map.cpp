// SPDX-License-Identifier: Apache-2.0
#include "machine/memory_map.h"

#include <algorithm>

#include "base/bits.h"

namespace emu {
namespace {

constexpr u64 kAddressSpaceBytes = u64{1} << 52;
constexpr u64 kPortSpaceBytes = 0x10000;
constexpr u64 kBiosLowBytes = 0x20000;
constexpr u64 kMaxBiosBytes = 16 * kMiB;

}  // namespace

// A PAM segment whose reads go to the bus and whose writes go to RAM: how firmware of old copied
// itself.
class MemoryMap::ShadowWriter final : public IoHandler {
 public:
  ShadowWriter(MemoryMap& map, u64 base) : map_(map), base_(base) {}
  [[nodiscard]] u64 read(u64 offset, unsigned size) override {
    const Region* bios = map_.bios_low_.get();
    if (bios == nullptr || base_ + offset < bios->offset()) return low_mask(size * 8);
    const u64 from_end = kMiB - (base_ + offset);
    const u8* end = map_.bios_->host() + map_.bios_->size_bytes();
    u64 value = 0;
    std::copy_n(end - from_end, size, reinterpret_cast<u8*>(&value));
    return value;
  }
  void write(u64 offset, unsigned size, u64 value) override {
    const u64 at = base_ + offset;
    std::copy_n(reinterpret_cast<const u8*>(&value), size, map_.ram_->host() + at);
    map_.ram_->mark_written(at, size);
  }

 private:
  MemoryMap& map_;
  const u64 base_;
};

Result<std::unique_ptr<MemoryMap>> MemoryMap::create(u64 memory_bytes) {
  auto ram = GuestRam::create("ram", memory_bytes);
  if (!ram) return ram.error();
  return std::unique_ptr<MemoryMap>(new MemoryMap(memory_bytes, std::move(*ram)));
}

MemoryMap::~MemoryMap() = default;

MemoryMap::MemoryMap(u64 memory_bytes, std::unique_ptr<GuestRam> ram)
    : layout_(MemoryLayout::of(memory_bytes)), ram_(std::move(ram)) {
  root_ = Region::container("memory", kAddressSpaceBytes);
  pci_ = Region::container("pci", kAddressSpaceBytes);
  root_->add(*pci_, 0, -1);
  // No RAM in the hole from A0000h to 100000h: what nobody claims there is open bus.
  low_ram_ = Region::ram("ram.base", *ram_, 0, kVgaHoleBase);
  root_->add(*low_ram_, 0);
  if (layout_.low_bytes > kMiB) {
    extended_ram_ = Region::ram("ram.low", *ram_, kMiB, layout_.low_bytes - kMiB);
    root_->add(*extended_ram_, kMiB);
  }
  if (layout_.high_bytes != 0) {
    high_ram_ = Region::ram("ram.high", *ram_, layout_.low_bytes, layout_.high_bytes);
    root_->add(*high_ram_, kHighMemoryBase);
  }
  for (unsigned i = 0; i < kPamCount; ++i) make_shadow(i);
  smram_ = Region::ram("smram", *ram_, kVgaHoleBase, kVgaHoleBytes);
  smram_->set_enabled(false);
  root_->add(*smram_, kVgaHoleBase, kSmramPriority);
  // With the gate closed, the second MiB shows the first: all that software of the time relied on.
  a20_alias_ = Region::ram("a20-wrap", *ram_, 0, kVgaHoleBase);
  a20_alias_->set_enabled(false);
  root_->add(*a20_alias_, kMiB, kA20Priority);
  port_root_ = Region::container("ports", kPortSpaceBytes);
  memory_ = std::make_unique<AddressSpace>(*root_);
  ports_ = std::make_unique<AddressSpace>(*port_root_);
}

void MemoryMap::make_shadow(unsigned index) {
  const PamSegment segment = pam_segment(index);
  Shadow& s = shadows_[index];
  s.ram = Region::ram("pam-ram", *ram_, segment.start, segment.size_bytes);
  s.ram->set_enabled(false);
  root_->add(*s.ram, segment.start, kShadowPriority);
  s.writer = std::make_unique<ShadowWriter>(*this, segment.start);
  s.write_through =
      Region::mmio("pam-write", segment.size_bytes, *s.writer, AccessSizes{1, 8, true});
  s.write_through->set_enabled(false);
  root_->add(*s.write_through, segment.start, kShadowPriority);
}

void MemoryMap::add_chip(std::string name, u64 address, u64 bytes, IoHandler& handler,
                         AccessSizes sizes) {
  owned_.push_back(Region::mmio(std::move(name), bytes, handler, sizes));
  place_chip(*owned_.back(), address);
}

void MemoryMap::add_port(std::string name, u16 port, u16 count, IoHandler& handler,
                         AccessSizes sizes) {
  owned_.push_back(Region::mmio(std::move(name), count, handler, sizes));
  port_root_->add(*owned_.back(), port);
}

Result<void> MemoryMap::set_bios(std::span<const u8> image) {
  if (image.empty() || image.size() % kPageBytes != 0 || image.size() > kMaxBiosBytes) {
    return fail("the firmware image has {} bytes; a BIOS has a multiple of 4096, at most 16 MiB",
                image.size());
  }
  auto memory = GuestRam::create("bios", image.size());
  if (!memory) return memory.error();
  bios_ = std::move(*memory);
  std::copy(image.begin(), image.end(), bios_->host());
  const u64 low = std::min<u64>(image.size(), kBiosLowBytes);
  bios_high_ = Region::rom("bios", *bios_, 0, image.size());
  bios_low_ = Region::rom("bios.low", *bios_, image.size() - low, low);
  pci_->add(*bios_high_, kHighMemoryBase - image.size(), kRomPriority);
  pci_->add(*bios_low_, kMiB - low, kRomPriority);
  return {};
}

void MemoryMap::set_pam(unsigned index, bool read_enable, bool write_enable) {
  if (pam_segment(index).start + pam_segment(index).size_bytes > layout_.low_bytes) return;
  const AddressSpace::Transaction transaction(*memory_);
  Shadow& s = shadows_[index];
  s.ram->set_read_only(!write_enable);
  s.ram->set_enabled(read_enable);
  s.write_through->set_enabled(!read_enable && write_enable);
}

void MemoryMap::set_smram(const SmramControl& control) {
  smram_control_ = control;
  update_smram();
}

void MemoryMap::reset() {
  processors_in_smm_ = 0;
  update_smram();
}

void MemoryMap::transfer(StateIo& io) {
  io.section("memory-map", 1, [&] {
    bool a20 = !a20_alias_->enabled();
    io.field(1, "a20", a20);
    if (io.loading()) set_irq(0, a20);
  });
}

void MemoryMap::smm_changed(bool entered) {
  if (entered) {
    ++processors_in_smm_;
  } else if (processors_in_smm_ > 0) {
    --processors_in_smm_;
  }
  update_smram();
}

void MemoryMap::update_smram() {
  const bool visible = smram_control_.open ||
                       (smram_control_.enabled && processors_in_smm_ > 0 && !smram_control_.closed);
  if (visible != smram_->enabled()) smram_->set_enabled(visible);
}

void MemoryMap::set_irq(unsigned, bool active) {
  if (a20_alias_->enabled() == active && layout_.low_bytes >= 2 * kMiB) {
    a20_alias_->set_enabled(!active);
  }
}

}  // namespace emu
