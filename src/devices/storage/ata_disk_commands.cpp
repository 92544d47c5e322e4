// SPDX-License-Identifier: Apache-2.0
// An ATA hard disk: commands that move no sectors.
#include <algorithm>
#include <bit>

#include "devices/storage/ata_disk.h"

namespace emu {

using namespace ata;

void AtaDisk::execute(u8 command) {
  chunk_ = 0;
  remaining_ = 0;
  is_ext_ = is_multiple_ = false;
  if (execute_data(command) || execute_power(command)) return;
  if (command >= kRecalibrateFirst && command <= kRecalibrateLast) return succeed();
  execute_other(command);
}

void AtaDisk::execute_other(u8 command) {
  switch (command) {
    case kReadVerify:
    case kReadVerifyOnce:
      return verify(false);
    case kReadVerifyExt:
      return verify(true);
    case kSeek:
      return address(false) < sectors() ? succeed() : abort(kIdnf);
    case kFlushCache:
    case kFlushCacheExt:
      return start_flush();
    case kDataSetManagement:
      return start_trim();
    case kIdentifyDevice:
      return identify();
    case kInitializeParameters:
      return initialize_parameters();
    case ata::kReadNativeMax:
      return read_native_max(false);
    case kReadNativeMaxExt:
      return read_native_max(true);
    case kSetFeatures:
      return set_features();
    case ata::kSetMultiple:
      return set_multiple();
    case kSmart:
      return smart();
    default:
      return abort();
  }
}

bool AtaDisk::execute_power(u8 command) {
  switch (command) {
    case kStandbyImmediate:
    case kStandbyImmediateOld:
    case kStandby:
    case kStandbyOld:
    case kSleep:
    case kSleepOld:
      is_standby_ = true;
      start_flush();  // the guest may cut the power next
      return true;
    case kIdleImmediate:
    case kIdleImmediateOld:
    case kIdle:
    case kIdleOld:
      is_standby_ = false;
      succeed();
      return true;
    case kCheckPowerMode:
    case kCheckPowerModeOld:
      registers().count = is_standby_ ? 0x00 : 0xff;
      succeed();
      return true;
    default:
      is_standby_ = false;
      return false;
  }
}

void AtaDisk::verify(bool is_ext) {
  const bool on_disk = take_range(is_ext);
  remaining_ = 0;
  if (!on_disk) return abort(kIdnf);
  succeed();
}

void AtaDisk::identify() {
  DiskIdentifyState state;
  state.sectors = sectors();
  state.default_geometry = default_geometry_;
  state.current_geometry.heads = heads_;
  state.current_geometry.sectors_per_track = sectors_per_track_;
  const u64 track = u64{heads_} * sectors_per_track_;
  state.current_geometry.cylinders = static_cast<u32>(std::clamp<u64>(sectors() / track, 1, 65535));
  state.multiple_sectors = multiple_sectors_;
  state.write_cache = write_cache_;
  state.smart = smart_;
  state.transfer_mode = transfer_mode_;
  fill_identify(std::span(buffer()).first(kSectorBytes), identity_, state);
  send_data(kSectorBytes, kSectorBytes);
}

void AtaDisk::initialize_parameters() {
  const TaskFile& r = registers();
  if (r.count == 0) return abort();
  sectors_per_track_ = r.count;
  heads_ = static_cast<u8>((r.device & 0xf) + 1);
  succeed();
}

void AtaDisk::read_native_max(bool is_ext) {
  registers().device |= kDeviceLba;
  show_address(is_ext ? sectors() - 1 : std::min<u64>(sectors() - 1, 0x0fff'ffff), is_ext);
  succeed();
}

void AtaDisk::set_features() {
  const TaskFile& r = registers();
  switch (r.features) {
    case 0x02:
      write_cache_ = true;
      return succeed();
    case 0x82:
      write_cache_ = false;
      return start_flush();
    case 0x03: {  // transfer mode: 0 default PIO, 1 PIO, 2 and 4 DMA, 8 ultra DMA
      const unsigned kind = r.count >> 3;
      if (kind > 2 && kind != 4 && kind != 8) return abort();
      transfer_mode_ = r.count;
      return succeed();
    }
    case 0x05:  // power management, read look-ahead, defaults: nothing to do
    case 0x85:
    case 0x55:
    case 0xaa:
    case 0x66:
    case 0xcc:
      return succeed();
    default:
      return abort();
  }
}

void AtaDisk::set_multiple() {
  const u8 count = registers().count;
  if (count > kMaxMultipleSectors || (count != 0 && !std::has_single_bit(count))) return abort();
  multiple_sectors_ = count;
  succeed();
}

// Self-monitoring: the disk is always well.
void AtaDisk::smart() {
  TaskFile& r = registers();
  constexpr u8 kReadData = 0xd0;
  constexpr u8 kReadThresholds = 0xd1;
  constexpr u8 kAutosave = 0xd2;
  constexpr u8 kOfflineImmediate = 0xd4;
  constexpr u8 kReadLog = 0xd5;
  constexpr u8 kEnable = 0xd8;
  constexpr u8 kDisable = 0xd9;
  constexpr u8 kReturnStatus = 0xda;
  if (r.mid != 0x4f || r.high != 0xc2) return abort();  // the key
  if (!smart_ && r.features != kEnable) return abort();
  switch (r.features) {
    case kReadData:
    case kReadThresholds:
    case kReadLog:
      return send_smart(r.features);
    case kEnable:
    case kDisable:
      smart_ = r.features == kEnable;
      return succeed();
    case kAutosave:
    case kOfflineImmediate:
    case kReturnStatus:  // the key comes back: no threshold exceeded
      return succeed();
    default:
      return abort();
  }
}

void AtaDisk::send_smart(u8 kind) {
  constexpr u8 kReadLog = 0xd5;
  const auto page = std::span(buffer()).first(kSectorBytes);
  std::fill(page.begin(), page.end(), u8{0});
  page[0] = kind == kReadLog ? 1 : 0x10;  // structure version
  if (kind != kReadLog) {
    page[362] = 0x02;  // offline collection completed
    page[367] = 0x11;  // capabilities: execute offline immediate, self-test
    page[368] = 0x03;
    page[370] = 0x01;
  }
  u8 sum = 0;
  for (const u8 b : page.first(511)) sum = static_cast<u8>(sum + b);
  page[511] = static_cast<u8>(-sum);
  send_data(kSectorBytes, kSectorBytes);
}

}  // namespace emu
