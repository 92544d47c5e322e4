// SPDX-License-Identifier: Apache-2.0
#include "devices/pci/msi.h"

#include <algorithm>
#include <bit>
#include <span>

#include "base/bits.h"
#include "base/check.h"

namespace emu {
namespace {

constexpr unsigned kMessageControl = 2;

template <class T>
std::span<u8> bytes_of(std::vector<T>& values) {
  return {reinterpret_cast<u8*>(values.data()), values.size() * sizeof(T)};
}

}  // namespace

// MSI: message control +2, address +4, upper address +8, data +0Ch, mask +10h, pending +14h.

namespace {
constexpr unsigned kMsiAddress = 4, kMsiUpper = 8, kMsiData = 12, kMsiMask = 16, kMsiPending = 20;
constexpr u16 kMsiEnable = 1 << 0, kMsi64 = 1 << 7, kMsiMaskable = 1 << 8;
constexpr unsigned kMsiCapableShift = 1, kMsiGrantedShift = 4;
}  // namespace

MsiCapability::MsiCapability(Config& config, u8 offset, unsigned vectors, MsiSink& sink)
    : config_(config), sink_(sink), offset_(offset), vectors_(vectors) {
  EMU_CHECK(std::has_single_bit(vectors) && vectors <= 32);
  const u32 capable = static_cast<u32>(std::countr_zero(vectors)) << kMsiCapableShift;
  const u32 used = static_cast<u32>(low_mask(vectors));
  const auto at = [offset](unsigned n) { return static_cast<u16>(offset + n); };
  const RegisterSpec table[] = {
      {at(kMessageControl), 2, "MSI MC", kMsi64 | kMsiMaskable | capable,
       kMsiEnable | 7u << kMsiGrantedShift, 0, pci::kHookMsi},
      {at(kMsiAddress), 4, "MSI MA", 0, ~u32{3}, 0, 0},
      {at(kMsiUpper), 4, "MSI MUA", 0, ~u32{0}, 0, 0},
      {at(kMsiData), 2, "MSI MD", 0, 0xffff, 0, 0},
      {at(kMsiMask), 4, "MSI mask", 0, used, 0, pci::kHookMsi},
      {at(kMsiPending), 4, "MSI pending", 0, 0, 0, 0, used},
  };
  config_.define(table);
}

bool MsiCapability::enabled() const {
  return (config_.get<u16>(offset_ + kMessageControl) & kMsiEnable) != 0;
}

unsigned MsiCapability::granted() const {
  const u64 log2 = bits(config_.get<u16>(offset_ + kMessageControl), kMsiGrantedShift, 3);
  return std::min(1u << log2, vectors_);
}

void MsiCapability::send(unsigned vector) {
  if (!enabled()) return;
  vector &= granted() - 1;
  const u32 bit = 1u << vector;
  const u32 pending = config_.get<u32>(offset_ + kMsiPending);
  if ((config_.get<u32>(offset_ + kMsiMask) & bit) != 0) {
    config_.set<u32>(offset_ + kMsiPending, pending | bit);
    return;
  }
  config_.set<u32>(offset_ + kMsiPending, pending & ~bit);
  const u64 address =
      config_.get<u32>(offset_ + kMsiAddress) | u64{config_.get<u32>(offset_ + kMsiUpper)} << 32;
  // The granted low bits of the data tell the vectors apart (6.8.1.4).
  const u32 data = (config_.get<u16>(offset_ + kMsiData) & ~(granted() - 1)) | vector;
  sink_.send_msi(address, data);
}

void MsiCapability::written() {
  if (!enabled()) return;
  u32 ready = config_.get<u32>(offset_ + kMsiPending) & ~config_.get<u32>(offset_ + kMsiMask);
  for (; ready != 0; ready &= ready - 1) send(static_cast<unsigned>(std::countr_zero(ready)));
}

// MSI-X: message control +2, table offset and BAR +4, PBA offset and BAR +8.

namespace {
constexpr unsigned kMsixTable = 4, kMsixPba = 8;
constexpr u16 kMsixEnable = 1 << 15, kMsixFunctionMask = 1 << 14;
constexpr unsigned kEntryWords = 4, kWordUpper = 1, kWordData = 2, kWordControl = 3;
constexpr u32 kVectorMasked = 1 << 0;
constexpr u64 kMaxVectors = 2048;
}  // namespace

// The table: doubleword and quadword accesses (6.8.2.6); the bus narrows the latter.
class MsixCapability::TableWindow final : public IoHandler {
 public:
  explicit TableWindow(MsixCapability& owner) : owner_(owner) {}
  [[nodiscard]] u64 read(u64 offset, unsigned) override { return owner_.table_[offset / 4]; }
  void write(u64 offset, unsigned, u64 value) override {
    const u32 bits = offset / 4 % kEntryWords == kWordControl ? kVectorMasked
                     : offset / 4 % kEntryWords == 0          ? ~u32{3}
                                                              : ~u32{0};
    owner_.table_[offset / 4] = static_cast<u32>(value) & bits;
    owner_.written();
  }

 private:
  MsixCapability& owner_;
};

// The pending bits, read-only.
class MsixCapability::PbaWindow final : public IoHandler {
 public:
  explicit PbaWindow(MsixCapability& owner) : owner_(owner) {}
  [[nodiscard]] u64 read(u64 offset, unsigned) override {
    return static_cast<u32>(owner_.pending_[offset / 8] >> (offset % 8 * 8));
  }
  void write(u64, unsigned, u64) override {}

 private:
  MsixCapability& owner_;
};

MsixCapability::MsixCapability(Config& config, u8 offset, unsigned vectors, const Place& place,
                               MsiSink& sink)
    : config_(config),
      sink_(sink),
      offset_(offset),
      table_window_(std::make_unique<TableWindow>(*this)),
      pba_window_(std::make_unique<PbaWindow>(*this)) {
  EMU_CHECK(vectors >= 1 && vectors <= kMaxVectors);
  EMU_CHECK(place.table_offset % 8 == 0 && place.pba_offset % 8 == 0 && place.bar_index < 6);
  const auto at = [offset](unsigned n) { return static_cast<u16>(offset + n); };
  const RegisterSpec specs[] = {
      {at(kMessageControl), 2, "MSI-X MXC", vectors - 1, kMsixEnable | kMsixFunctionMask, 0,
       pci::kHookMsix},
      {at(kMsixTable), 4, "MSI-X MTAB", place.table_offset | place.bar_index},
      {at(kMsixPba), 4, "MSI-X MPBA", place.pba_offset | place.bar_index},
  };
  config_.define(specs);
  table_.resize(std::size_t{vectors} * kEntryWords);
  pending_.resize((vectors + 63) / 64);
  const AccessSizes words{4, 4, false};
  table_region_ = Region::mmio("msix-table", u64{vectors} * kEntryBytes, *table_window_, words);
  pba_region_ = Region::mmio("msix-pba", pending_.size() * 8, *pba_window_, words);
  place.bar.add(*table_region_, place.table_offset, 1);
  place.bar.add(*pba_region_, place.pba_offset, 1);
  reset();
}

MsixCapability::~MsixCapability() = default;

bool MsixCapability::enabled() const {
  return (config_.get<u16>(offset_ + kMessageControl) & kMsixEnable) != 0;
}

bool MsixCapability::masked(unsigned vector) const {
  return (config_.get<u16>(offset_ + kMessageControl) & kMsixFunctionMask) != 0 ||
         (table_[vector * kEntryWords + kWordControl] & kVectorMasked) != 0;
}

void MsixCapability::deliver(unsigned vector) {
  const u32* entry = &table_[std::size_t{vector} * kEntryWords];
  sink_.send_msi(entry[0] | u64{entry[kWordUpper]} << 32, entry[kWordData]);
}

void MsixCapability::send(unsigned vector) {
  if (!enabled() || vector >= vectors()) return;
  if (masked(vector)) {
    pending_[vector / 64] |= u64{1} << (vector % 64);
  } else {
    deliver(vector);
  }
}

void MsixCapability::written() {
  if (!enabled()) return;
  for (std::size_t word = 0; word < pending_.size(); ++word) {
    for (u64 left = pending_[word]; left != 0; left &= left - 1) {
      const unsigned vector =
          static_cast<unsigned>(word * 64) + static_cast<unsigned>(std::countr_zero(left));
      if (vector >= vectors() || masked(vector)) continue;
      pending_[word] &= ~(u64{1} << (vector % 64));
      deliver(vector);
    }
  }
}

void MsixCapability::reset() {
  std::ranges::fill(table_, 0u);
  std::ranges::fill(pending_, u64{0});
  for (std::size_t i = kWordControl; i < table_.size(); i += kEntryWords) {
    table_[i] = kVectorMasked;  // 6.8.2.9: masked after reset
  }
}

void MsixCapability::transfer(StateIo& io) {
  io.section("msix", 1, [&] {
    io.transfer_bytes(1, "table", bytes_of(table_));
    io.transfer_bytes(2, "pending", bytes_of(pending_));
  });
}

}  // namespace emu
