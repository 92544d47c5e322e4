// SPDX-License-Identifier: Apache-2.0
#include "machine/fw_cfg.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/bits.h"
#include "base/check.h"

namespace emu {
namespace {

constexpr u64 kSelector = 0, kData = 1, kDmaHigh = 4, kDmaLow = 8;
constexpr u64 kDmaSignature = 0x51454d5520434647;  // "QEMU CFG"
constexpr u32 kDmaError = 1, kDmaRead = 2, kDmaSkip = 4, kDmaSelect = 8, kDmaWrite = 16;
constexpr u32 kFeatures = 3;  // ports and DMA
constexpr std::size_t kFileNameBytes = 56;
constexpr std::size_t kDirectoryEntryBytes = 64;

}  // namespace

FwCfg::FwCfg(AddressSpace& memory) : memory_(memory) {
  add(kSignature, {'Q', 'E', 'M', 'U'});
  add_value<u32>(kId, kFeatures);
}

void FwCfg::finish() {
  std::vector<u8> directory(4 + files_.size() * kDirectoryEntryBytes);
  store_be<u32>(directory.data(), static_cast<u32>(files_.size()));
  u16 key = kFirstFile;
  u8* entry = directory.data() + 4;
  for (const auto& [name, bytes] : files_) {
    EMU_CHECK(name.size() < kFileNameBytes);
    store_be<u32>(entry, static_cast<u32>(bytes.size()));
    store_be<u16>(entry + 4, key);
    std::memcpy(entry + 8, name.data(), name.size());
    items_[key++] = bytes;
    entry += kDirectoryEntryBytes;
  }
  items_[kFileDirectory] = std::move(directory);
}

void FwCfg::select(u16 key) {
  key_ = key;
  position_ = 0;
}

u8 FwCfg::next_byte() {
  const auto it = items_.find(key_);
  if (it == items_.end() || position_ >= it->second.size()) return 0;
  return it->second[position_++];
}

u64 FwCfg::read(u64 offset, unsigned size) {
  u64 value = 0;
  for (unsigned i = 0; i < size; ++i) {
    const u64 at = offset + i;
    u8 byte = 0;
    if (at == kData) {
      byte = next_byte();
    } else if (at >= kDmaHigh) {
      byte = static_cast<u8>(kDmaSignature >> (8 * (7 - (at - kDmaHigh))));
    }
    value |= u64{byte} << (8 * i);
  }
  return value;
}

void FwCfg::write(u64 offset, unsigned size, u64 value) {
  if (offset == kSelector && size == 2) {
    select(static_cast<u16>(value));
  } else if (offset == kDmaHigh && size == 4) {
    dma_high_ = __builtin_bswap32(static_cast<u32>(value));
  } else if (offset == kDmaLow && size == 4) {
    const u64 low = __builtin_bswap32(static_cast<u32>(value));
    const u64 high = std::exchange(dma_high_, 0);
    run_dma(high << 32 | low);
  }
}

// The control block: control, length (both big-endian 32 bits), address (64); control is written
// back as zero, or with the error bit.
void FwCfg::run_dma(u64 address) {
  std::array<u8, 16> block{};
  memory_.read(address, block);
  const u32 control = load_be<u32>(block.data());
  u64 length = load_be<u32>(block.data() + 4);
  u64 target = load_be<u64>(block.data() + 8);
  if ((control & kDmaSelect) != 0) select(static_cast<u16>(control >> 16));
  u32 result = 0;
  if ((control & kDmaWrite) != 0) {
    result = kDmaError;
  } else if ((control & kDmaRead) != 0) {
    std::array<u8, 4096> piece{};
    while (length != 0) {  // at most 4 GiB, as asked; behind the item's end come zeros
      const auto bytes = static_cast<std::size_t>(std::min<u64>(length, piece.size()));
      for (std::size_t i = 0; i < bytes; ++i) piece[i] = next_byte();
      memory_.write(target, std::span(piece).first(bytes));
      target += bytes;
      length -= bytes;
    }
  } else if ((control & kDmaSkip) != 0) {
    position_ = static_cast<u32>(std::min<u64>(position_ + length, ~u32{0}));
  }
  std::array<u8, 4> done{};
  store_be<u32>(done.data(), result);
  memory_.write(address, done);
}

void FwCfg::reset() {
  select(0);
  dma_high_ = 0;
}

void FwCfg::transfer(StateIo& io) {
  io.section(name(), 1, [&] {
    io.field(1, "key", key_);
    io.field(2, "position", position_);
    io.field(3, "dma_high", dma_high_);
  });
}

}  // namespace emu
