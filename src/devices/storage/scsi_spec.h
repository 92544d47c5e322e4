// SPDX-License-Identifier: Apache-2.0
// Operation codes, sense data and statuses of SCSI, whatever carries them: ATAPI, AHCI, virtio.
// Source: SPC-4 (T10/1731-D) 4.5 (sense), 6 (commands); SBC-3 (T10/1799-D) 5; MMC-3 (T10/1363D) 6;
// SFF-8020i.
#pragma once

#include "base/types.h"

namespace emu::scsi {

enum Operation : u8 {
  kTestUnitReady = 0x00,
  kRequestSense = 0x03,
  kRead6 = 0x08,
  kWrite6 = 0x0a,
  kInquiry = 0x12,
  kModeSelect6 = 0x15,
  kModeSense6 = 0x1a,
  kStartStop = 0x1b,
  kPreventAllow = 0x1e,
  kReadCapacity = 0x25,
  kRead10 = 0x28,
  kWrite10 = 0x2a,
  kSeek10 = 0x2b,
  kWriteAndVerify10 = 0x2e,
  kVerify10 = 0x2f,
  kSynchronizeCache10 = 0x35,
  kWriteSame10 = 0x41,
  kUnmap = 0x42,  // of a CD drive: READ SUB-CHANNEL
  kReadSubChannel = 0x42,
  kReadToc = 0x43,
  kGetConfiguration = 0x46,
  kGetEventStatus = 0x4a,
  kReadDiscInformation = 0x51,
  kReadTrackInformation = 0x52,
  kModeSelect10 = 0x55,
  kModeSense10 = 0x5a,
  kRead16 = 0x88,
  kWrite16 = 0x8a,
  kWriteAndVerify16 = 0x8e,
  kVerify16 = 0x8f,
  kSynchronizeCache16 = 0x91,
  kWriteSame16 = 0x93,
  kServiceActionIn16 = 0x9e,
  kReportLuns = 0xa0,
  kRead12 = 0xa8,
  kWrite12 = 0xaa,
  kReadDvdStructure = 0xad,
  kWriteAndVerify12 = 0xae,
  kVerify12 = 0xaf,
  kSetCdSpeed = 0xbb,
  kMechanismStatus = 0xbd,
  kReadCd = 0xbe,
};
inline constexpr u8 kReadCapacity16 = 0x10;  // the service action of kServiceActionIn16

inline constexpr u8 kGood = 0x00, kCheckCondition = 0x02;

struct Sense {
  u8 key = 0;
  u8 code = 0;
  u8 qualifier = 0;
  bool operator==(const Sense&) const = default;
};

inline constexpr Sense kNoSense{};
inline constexpr Sense kNoMedium{2, 0x3a, 0x01};  // tray closed
inline constexpr Sense kNoMediumTrayOpen{2, 0x3a, 0x02};
inline constexpr Sense kWriteError{3, 0x0c, 0x00};
inline constexpr Sense kReadError{3, 0x11, 0x00};
inline constexpr Sense kParameterListLength{5, 0x1a, 0x00};
inline constexpr Sense kInvalidOperation{5, 0x20, 0x00};
inline constexpr Sense kOutOfRange{5, 0x21, 0x00};
inline constexpr Sense kInvalidField{5, 0x24, 0x00};
inline constexpr Sense kNoSuchUnit{5, 0x25, 0x00};
inline constexpr Sense kInvalidParameter{5, 0x26, 0x00};
inline constexpr Sense kNoSavedPages{5, 0x39, 0x00};
inline constexpr Sense kRemovalPrevented{5, 0x53, 0x02};
inline constexpr Sense kWrongTrackMode{5, 0x64, 0x00};
inline constexpr Sense kMediumChanged{6, 0x28, 0x00};
inline constexpr Sense kWriteProtected{7, 0x27, 0x00};

inline constexpr u8 kTypeDisk = 0x00, kTypeCdrom = 0x05, kTypeNone = 0x7f;

}  // namespace emu::scsi
