// SPDX-License-Identifier: Apache-2.0
// National PC16550D registers and bits.
// Source: National Semiconductor PC16550D data sheet (June 1995), table II.
#pragma once

#include "base/types.h"

namespace emu::uart {

// Offsets; with LCR.DLAB set, 0 and 1 are the divisor latch.
enum Register : u8 { kRbrThr, kIer, kIirFcr, kLcr, kMcr, kLsr, kMsr, kScr };

inline constexpr u8 kIerReceivedData = 0x01;
inline constexpr u8 kIerTransmitterEmpty = 0x02;
inline constexpr u8 kIerLineStatus = 0x04;
inline constexpr u8 kIerModemStatus = 0x08;

// IIR, most important first.
inline constexpr u8 kIirLineStatus = 0x06;
inline constexpr u8 kIirReceivedData = 0x04;
inline constexpr u8 kIirTimeout = 0x0c;
inline constexpr u8 kIirTransmitterEmpty = 0x02;
inline constexpr u8 kIirModemStatus = 0x00;
inline constexpr u8 kIirNone = 0x01;
inline constexpr u8 kIirFifosEnabled = 0xc0;

inline constexpr u8 kFcrEnable = 0x01;
inline constexpr u8 kFcrResetReceiver = 0x02;

inline constexpr u8 kLcrBreak = 0x40;
inline constexpr u8 kLcrDivisorLatch = 0x80;

inline constexpr u8 kMcrDtr = 0x01;
inline constexpr u8 kMcrRts = 0x02;
inline constexpr u8 kMcrOut1 = 0x04;
inline constexpr u8 kMcrOut2 = 0x08;
inline constexpr u8 kMcrLoopback = 0x10;

inline constexpr u8 kLsrDataReady = 0x01;
inline constexpr u8 kLsrOverrun = 0x02;
inline constexpr u8 kLsrParity = 0x04;
inline constexpr u8 kLsrFraming = 0x08;
inline constexpr u8 kLsrBreak = 0x10;
inline constexpr u8 kLsrTransmitterHoldingEmpty = 0x20;
inline constexpr u8 kLsrTransmitterEmpty = 0x40;
inline constexpr u8 kLsrErrorInFifo = 0x80;
inline constexpr u8 kLsrErrors = kLsrOverrun | kLsrParity | kLsrFraming | kLsrBreak;

inline constexpr u8 kMsrDeltas = 0x0f;
inline constexpr u8 kMsrRingEnded = 0x04;
inline constexpr u8 kMsrCts = 0x10;
inline constexpr u8 kMsrDsr = 0x20;
inline constexpr u8 kMsrRing = 0x40;
inline constexpr u8 kMsrDcd = 0x80;

}  // namespace emu::uart
