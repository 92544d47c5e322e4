// SPDX-License-Identifier: Apache-2.0
// Packet commands and sense codes of CD and DVD drives.
// Source: SFF-8020i; MMC-3 (T10/1363D) 6 (commands), 5.5 (mode pages), 5.3 (features); SPC-3 4.5.
#pragma once

#include "base/types.h"

namespace emu::atapi {

inline constexpr u64 kPacketBytes = 12;
inline constexpr u64 kBlockBytes = 2048;
inline constexpr u64 kRawBlockBytes = 2352;

// Interrupt reason, in the sector count register.
inline constexpr u8 kReasonCommand = 0x01;
inline constexpr u8 kReasonToHost = 0x02;

enum Operation : u8 {
  kTestUnitReady = 0x00,
  kRequestSense = 0x03,
  kInquiry = 0x12,
  kModeSense6 = 0x1a,
  kStartStop = 0x1b,
  kPreventAllow = 0x1e,
  kReadCapacity = 0x25,
  kRead10 = 0x28,
  kSeek10 = 0x2b,
  kReadSubChannel = 0x42,
  kReadToc = 0x43,
  kGetConfiguration = 0x46,
  kGetEventStatus = 0x4a,
  kReadDiscInformation = 0x51,
  kReadTrackInformation = 0x52,
  kModeSense10 = 0x5a,
  kRead12 = 0xa8,
  kReadDvdStructure = 0xad,
  kSetCdSpeed = 0xbb,
  kMechanismStatus = 0xbd,
  kReadCd = 0xbe,
};

struct Sense {
  u8 key = 0;
  u8 code = 0;
  u8 qualifier = 0;
  bool operator==(const Sense&) const = default;
};

inline constexpr Sense kNoSense{};
inline constexpr Sense kNoMedium{2, 0x3a, 0x01};  // tray closed
inline constexpr Sense kNoMediumTrayOpen{2, 0x3a, 0x02};
inline constexpr Sense kReadError{3, 0x11, 0x00};
inline constexpr Sense kInvalidOperation{5, 0x20, 0x00};
inline constexpr Sense kOutOfRange{5, 0x21, 0x00};
inline constexpr Sense kInvalidField{5, 0x24, 0x00};
inline constexpr Sense kWrongTrackMode{5, 0x64, 0x00};
inline constexpr Sense kRemovalPrevented{5, 0x53, 0x02};
inline constexpr Sense kMediumChanged{6, 0x28, 0x00};

}  // namespace emu::atapi
