// SPDX-License-Identifier: Apache-2.0
// Registers, status bits and commands of the 82077AA, and the formats of floppy disks.
// Source: Intel 82077AA data sheet (290166) 2.0 (registers), 5.0 (commands).
#pragma once

#include <array>

#include "base/types.h"

namespace emu::fdc {

// Offsets from 3F0h.
inline constexpr unsigned kRegStatusA = 0;
inline constexpr unsigned kRegStatusB = 1;
inline constexpr unsigned kRegDigitalOutput = 2;
inline constexpr unsigned kRegTapeDrive = 3;
inline constexpr unsigned kRegMainStatus = 4;  // data rate select when written
inline constexpr unsigned kRegFifo = 5;

// Digital output register.
inline constexpr u8 kDorSelect = 0x03;
inline constexpr u8 kDorNotReset = 0x04;
inline constexpr u8 kDorDmaGate = 0x08;

// Main status register.
inline constexpr u8 kMsrBusy = 0x10;
inline constexpr u8 kMsrNonDma = 0x20;
inline constexpr u8 kMsrToHost = 0x40;
inline constexpr u8 kMsrRequest = 0x80;

inline constexpr u8 kDsrReset = 0x80;
inline constexpr u8 kDirChanged = 0x80;

// Status register 0.
inline constexpr u8 kSt0SeekEnd = 0x20;
inline constexpr u8 kSt0Abnormal = 0x40;
inline constexpr u8 kSt0Invalid = 0x80;
inline constexpr u8 kSt0Polling = 0xc0;
// Status register 1.
inline constexpr u8 kSt1NotWritable = 0x02;
inline constexpr u8 kSt1NoData = 0x04;
inline constexpr u8 kSt1Overrun = 0x10;
inline constexpr u8 kSt1DataError = 0x20;
inline constexpr u8 kSt1EndOfCylinder = 0x80;
// Status register 2.
inline constexpr u8 kSt2WrongCylinder = 0x10;
inline constexpr u8 kSt2DataError = 0x20;

// Commands, without the MT, MFM and SK bits where they have those.
enum Command : u8 {
  kReadTrack = 0x02,
  kSpecify = 0x03,
  kSenseDrive = 0x04,
  kWrite = 0x05,
  kRead = 0x06,
  kRecalibrate = 0x07,
  kSenseInterrupt = 0x08,
  kWriteDeleted = 0x09,
  kReadId = 0x0a,
  kReadDeleted = 0x0c,
  kFormat = 0x0d,
  kDumpRegisters = 0x0e,
  kSeek = 0x0f,
  kVersion = 0x10,
  kPerpendicular = 0x12,
  kConfigure = 0x13,
  kUnlock = 0x14,
  kVerify = 0x16,
  kLock = 0x94,
};

inline constexpr u64 kSectorBytes = 512;
inline constexpr u8 kSizeCode = 2;  // of 512-byte sectors

struct Format {
  u8 tracks;
  u8 heads;
  u8 sectors;    // a track
  u8 cmos_type;  // of the drive that it needs
  [[nodiscard]] constexpr u64 bytes() const { return u64{tracks} * heads * sectors * kSectorBytes; }
};

inline constexpr std::array<Format, 9> kFormats{{{40, 1, 8, 1},
                                                 {40, 1, 9, 1},
                                                 {40, 2, 8, 1},
                                                 {40, 2, 9, 1},
                                                 {80, 2, 9, 3},
                                                 {80, 2, 15, 2},
                                                 {80, 2, 18, 4},
                                                 {80, 2, 21, 4},
                                                 {80, 2, 36, 5}}};
inline constexpr Format kDefaultFormat{80, 2, 18, 4};

}  // namespace emu::fdc
