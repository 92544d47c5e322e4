// SPDX-License-Identifier: Apache-2.0
// ATA registers, bits and command codes.
// Source: ATA/ATAPI-7 volume 1 (T13/1532D): 5 (registers), 6 (commands); volume 2: 5 (host
// adapter registers); bus master registers: Intel 82371SB data sheet (290550) 2.5.2.
#pragma once

#include "base/types.h"

namespace emu::ata {

// Command block registers, offsets from 1F0h or 170h.
inline constexpr unsigned kRegData = 0;
inline constexpr unsigned kRegError = 1;  // read; Features when written
inline constexpr unsigned kRegSectorCount = 2;
inline constexpr unsigned kRegLbaLow = 3;
inline constexpr unsigned kRegLbaMid = 4;
inline constexpr unsigned kRegLbaHigh = 5;
inline constexpr unsigned kRegDevice = 6;
inline constexpr unsigned kRegStatus = 7;  // read; Command when written

// Status.
inline constexpr u8 kErr = 0x01;  // CHK for packet commands
inline constexpr u8 kDrq = 0x08;
inline constexpr u8 kDsc = 0x10;  // seek complete (SERV for packet commands)
inline constexpr u8 kDf = 0x20;
inline constexpr u8 kDrdy = 0x40;
inline constexpr u8 kBsy = 0x80;

// Error.
inline constexpr u8 kAbrt = 0x04;
inline constexpr u8 kIdnf = 0x10;
inline constexpr u8 kUnc = 0x40;

// Device register.
inline constexpr u8 kDeviceLba = 0x40;
inline constexpr u8 kDeviceOne = 0x10;
inline constexpr u8 kDeviceObsolete = 0xa0;  // read as ones

// Device control, 3F6h.
inline constexpr u8 kControlNien = 0x02;
inline constexpr u8 kControlSrst = 0x04;
inline constexpr u8 kControlHob = 0x80;

// Bus master command and status.
inline constexpr u8 kBmStart = 0x01;
inline constexpr u8 kBmToMemory = 0x08;
inline constexpr u8 kBmActive = 0x01;
inline constexpr u8 kBmError = 0x02;
inline constexpr u8 kBmInterrupt = 0x04;
inline constexpr u8 kBmDrivesCapable = 0x60;

inline constexpr u64 kSectorBytes = 512;

enum Command : u8 {
  kNop = 0x00,
  kDataSetManagement = 0x06,
  kDeviceReset = 0x08,
  kRecalibrateFirst = 0x10,
  kRecalibrateLast = 0x1f,
  kReadSectors = 0x20,
  kReadSectorsOnce = 0x21,
  kReadSectorsExt = 0x24,
  kReadDmaExt = 0x25,
  kReadNativeMaxExt = 0x27,
  kReadMultipleExt = 0x29,
  kWriteSectors = 0x30,
  kWriteSectorsOnce = 0x31,
  kWriteSectorsExt = 0x34,
  kWriteDmaExt = 0x35,
  kWriteMultipleExt = 0x39,
  kWriteDmaFuaExt = 0x3d,
  kReadVerify = 0x40,
  kReadVerifyOnce = 0x41,
  kReadVerifyExt = 0x42,
  kSeek = 0x70,
  kExecuteDiagnostic = 0x90,
  kInitializeParameters = 0x91,
  kStandbyImmediateOld = 0x94,
  kIdleImmediateOld = 0x95,
  kStandbyOld = 0x96,
  kIdleOld = 0x97,
  kCheckPowerModeOld = 0x98,
  kSleepOld = 0x99,
  kPacket = 0xa0,
  kIdentifyPacketDevice = 0xa1,
  kSmart = 0xb0,
  kReadMultiple = 0xc4,
  kWriteMultiple = 0xc5,
  kSetMultiple = 0xc6,
  kReadDma = 0xc8,
  kReadDmaOnce = 0xc9,
  kWriteDma = 0xca,
  kWriteDmaOnce = 0xcb,
  kWriteMultipleFuaExt = 0xce,
  kStandbyImmediate = 0xe0,
  kIdleImmediate = 0xe1,
  kStandby = 0xe2,
  kIdle = 0xe3,
  kCheckPowerMode = 0xe5,
  kSleep = 0xe6,
  kFlushCache = 0xe7,
  kFlushCacheExt = 0xea,
  kIdentifyDevice = 0xec,
  kSetFeatures = 0xef,
  kReadNativeMax = 0xf8,
};

}  // namespace emu::ata
