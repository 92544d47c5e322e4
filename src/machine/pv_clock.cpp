// SPDX-License-Identifier: Apache-2.0
#include "machine/pv_clock.h"

#include "base/bits.h"
#include "cpu/pv_clock_spec.h"

namespace emu {
namespace {

constexpr u64 kEnabled = 1;
constexpr u8 kTscIsStable = 1;
// pvclock_vcpu_time_info and pvclock_wall_clock; both begin with their version.
constexpr std::size_t kTimeBytes = 32, kTimestamp = 8, kSystemTime = 16, kMultiplier = 24,
                      kShift = 28, kFlags = 29;
constexpr std::size_t kWallBytes = 12, kSeconds = 4, kNanoseconds = 8;

// ns = ((ticks << shift) * multiplier) >> 32.
struct Scale {
  u32 multiplier = 0;
  u8 shift = 0;
};

Scale scale_of(u64 hz) {
  constexpr u64 kScaled = kNsPerSecond << 32;
  constexpr u64 kSlowest = 1000;
  Scale scale;
  u64 rate = std::max(hz, kSlowest);
  while (kScaled / rate > low_mask(32)) {
    rate <<= 1;
    ++scale.shift;
  }
  scale.multiplier = static_cast<u32>(kScaled / rate);
  return scale;
}

// A reader takes what lies between two equal even versions.
void publish(AddressSpace& memory, u64 address, std::span<u8> bytes, u32 version) {
  store_le<u32>(bytes.data(), version - 1);
  memory.write(address, bytes);
  store_le<u32>(bytes.data(), version);
  memory.write(address, bytes.first(sizeof version));
}

}  // namespace

PvClock::PvClock(Wires wires, unsigned index)
    : wires_(std::move(wires)), name_(fmt::format("pvclock{}", index)) {}

std::optional<u64> PvClock::read_msr(u32 index) const {
  if (index == kMsrPvSystemTime) return system_time_;
  if (index == kMsrPvWallClock) return wall_clock_;
  return std::nullopt;
}

bool PvClock::write_msr(u32 index, u64 value) {
  if (index == kMsrPvSystemTime) {
    system_time_ = value;
    if ((value & kEnabled) != 0) write_system_time();
    return true;
  }
  if (index != kMsrPvWallClock) return false;
  wall_clock_ = value;
  write_wall_clock();
  return true;
}

void PvClock::write_system_time() {
  u8 bytes[kTimeBytes] = {};
  const Scale scale = scale_of(wires_.tsc_hz());
  store_le<u64>(bytes + kTimestamp, wires_.guest_tsc());
  store_le<u64>(bytes + kSystemTime, wires_.clock.now_ns());
  store_le<u32>(bytes + kMultiplier, scale.multiplier);
  bytes[kShift] = scale.shift;
  bytes[kFlags] = kTscIsStable;
  publish(wires_.memory, system_time_ & ~kEnabled, bytes, version_ += 2);
}

// When system time was 0.
void PvClock::write_wall_clock() {
  u8 bytes[kWallBytes] = {};
  const u64 now = static_cast<u64>(std::max<i64>(wires_.wall_clock(), 0)) * kNsPerSecond;
  const u64 start = now - std::min(now, wires_.clock.now_ns());
  store_le<u32>(bytes + kSeconds, static_cast<u32>(start / kNsPerSecond));
  store_le<u32>(bytes + kNanoseconds, static_cast<u32>(start % kNsPerSecond));
  publish(wires_.memory, wall_clock_, bytes, version_ += 2);
}

void PvClock::reset() {
  system_time_ = wall_clock_ = 0;
}

void PvClock::transfer(StateIo& io) {
  io.section(name(), 1, [&] {
    io.field(1, "system_time", system_time_);
    io.field(2, "wall_clock", wall_clock_);
    io.field(3, "version", version_);
    io.check((version_ & 1) == 0, "version is of a half-written clock");
  });
}

}  // namespace emu
