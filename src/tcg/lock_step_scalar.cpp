// SPDX-License-Identifier: Apache-2.0
// What lock-step notes while guest code runs, and taking it back.
#include "tcg/lock_step.h"

#include "tcg/scalar_copy.h"

namespace emu {
namespace {

u8* page_of(u8* p) {
  return p - (reinterpret_cast<u64>(p) & (kPageBytes - 1));
}

}  // namespace

void LockStep::begin(const CpuState& state) noexcept {
  start_ = state;
  page_count_ = device_count_ = device_at_ = 0;
  overflow_ = devices_differ_ = false;
  phase_ = Phase::kOptimised;
}

void LockStep::save_page(u8* host) noexcept {
  u8* const page = page_of(host);
  for (unsigned i = 0; i < page_count_; ++i) {
    if (pages_[i].host == page) return;
  }
  if (page_count_ == kMaxPages) {
    overflow_ = true;
    return;
  }
  Page& p = pages_[page_count_++];
  p.host = page;
  p.by_optimised = phase_ == Phase::kOptimised;
  copy_bytes(p.before, page, kPageBytes);
  if (!p.by_optimised) copy_bytes(p.after, page, kPageBytes);
}

void LockStep::note_page_table_write(const u8* host, unsigned size) noexcept {
  for (unsigned i = 0; i < page_count_; ++i) {
    const auto offset = static_cast<u64>(host - pages_[i].host);
    if (host < pages_[i].host || offset >= kPageBytes) continue;
    copy_bytes(pages_[i].before + offset, host, size);
    if (phase_ == Phase::kReference) copy_bytes(pages_[i].after + offset, host, size);
  }
}

bool LockStep::take_back(const CpuState& state) noexcept {
  after_ = state;
  if (overflow_) {
    phase_ = Phase::kOff;
    return false;
  }
  for (unsigned i = 0; i < page_count_; ++i) {
    Page& p = pages_[i];
    copy_bytes(p.after, p.host, kPageBytes);
    for (u64 at = 0; at < kPageBytes; ++at) {
      if (p.after[at] != p.before[at]) p.host[at] = p.before[at];
    }
  }
  phase_ = Phase::kReference;
  return true;
}

void LockStep::redo() noexcept {
  for (unsigned i = 0; i < page_count_; ++i) {
    Page& p = pages_[i];
    for (u64 at = 0; at < kPageBytes; ++at) {
      if (p.after[at] != p.host[at]) p.host[at] = p.after[at];
    }
  }
  phase_ = Phase::kOff;
}

bool LockStep::answers(u64 phys, unsigned size, bool write, u64& value) noexcept {
  if (phase_ != Phase::kReference) return false;
  const DeviceAccess a = device_at_ < device_count_ ? devices_[device_at_] : DeviceAccess{};
  ++device_at_;
  if (a.phys != phys || a.size != size || a.write != write || (write && a.value != value)) {
    devices_differ_ = true;
  }
  if (!write) value = a.value;
  return true;
}

void LockStep::note_device(u64 phys, unsigned size, bool write, u64 value) noexcept {
  if (phase_ != Phase::kOptimised) return;
  if (device_count_ == kMaxDeviceAccesses) {
    overflow_ = true;
    return;
  }
  devices_[device_count_++] = {phys, value, size, write};
}

}  // namespace emu
