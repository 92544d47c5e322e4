// SPDX-License-Identifier: Apache-2.0
// Registers of an Intel High Definition Audio controller, as the doublewords they lie in.
// Source: Intel High Definition Audio Specification 1.0a, 3.3.
#pragma once

#include "base/types.h"

namespace emu::hda {

inline constexpr u32 kCapabilities = 0x00, kPayloads = 0x04, kGlobalControl = 0x08,
                     kWakeAndState = 0x0C, kInterruptControl = 0x20, kInterruptStatus = 0x24,
                     kWallClock = 0x30, kCorbBase = 0x40, kCorbBaseUpper = 0x44,
                     kCorbPointers = 0x48, kCorbControl = 0x4C, kRirbBase = 0x50,
                     kRirbBaseUpper = 0x54, kRirbPointers = 0x58, kRirbControl = 0x5C,
                     kImmediateCommand = 0x60, kImmediateResponse = 0x64, kImmediateStatus = 0x68,
                     kPositionsBase = 0x70, kPositionsBaseUpper = 0x74, kStreamsAt = 0x80,
                     kStreamBytes = 0x20;
// GCTL.
inline constexpr u32 kLinkRuns = 1 << 0, kUnsolicited = 1 << 8;
// CORB and RIRB. The sizes' capability and choice say 256 entries.
inline constexpr u32 kRing256 = 0x42;
inline constexpr u8 kRingInterrupts = 1 << 0, kRingRuns = 1 << 1, kRirbInterrupt = 1 << 0;
inline constexpr u16 kPointerReset = 1 << 15;
// ICS.
inline constexpr u16 kImmediateBusy = 1 << 0, kImmediateValid = 1 << 1;
// Streams: SDnCTL with SDnSTS in the upper byte, LPIB, CBL, LVI, FIFOS with FMT, BDPL, BDPU.
inline constexpr u32 kStreamControl = 0x00, kStreamPosition = 0x04, kStreamCyclic = 0x08,
                     kStreamLast = 0x0C, kStreamFormat = 0x10, kStreamList = 0x18,
                     kStreamListUpper = 0x1C;
inline constexpr u32 kStreamReset = 1 << 0, kStreamRuns = 1 << 1, kInterruptOnBuffer = 1 << 2;
inline constexpr u8 kBufferDone = 1 << 2, kFifoReady = 1 << 5;
inline constexpr u16 kMaxEntry = 255, kFifoBytes = 191;

}  // namespace emu::hda
