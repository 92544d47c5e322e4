// SPDX-License-Identifier: Apache-2.0
// Registers of the Cirrus Logic GD5446 beyond the VGA's.
// Source: Cirrus Logic "CL-GD5446 Technical Reference Manual", November 1996: chapters 5 to 9.
#pragma once

#include "base/types.h"

namespace emu::cirrus {

// Sequencer.
inline constexpr u8 kUnlock = 0x06, kExtendedMode = 0x07, kDramControl = 0x0f, kCursorX = 0x10,
                    kCursorY = 0x11, kCursorMode = 0x12, kCursorPattern = 0x13, kScratch3 = 0x15,
                    kConfiguration = 0x17, kMemoryClock = 0x1f;
inline constexpr u8 kPackedPixels = 0x01, kDepthMask = 0x0e;  // of kExtendedMode
inline constexpr u8 kCursorOn = 0x01, kCursorColors = 0x02, kCursorLarge = 0x04;
inline constexpr u8 kBlitWindow = 0x04, kBlitWindowElsewhere = 0x40;  // of kConfiguration

// Graphics controller.
inline constexpr u8 kBank0 = 0x09, kModeExtensions = 0x0b, kBlitFirst = 0x20, kStartsBlit = 0x2a,
                    kBlitLeft = 0x2f, kBlitMode = 0x30, kBlitControl = 0x31, kBlitRop = 0x32,
                    kBlitModeExtensions = 0x33, kTransparent = 0x34, kGfxCount = 0x3a;
inline constexpr u8 kDualBanks = 0x01, kByEight = 0x02, kExtendedWrites = 0x04, kSixteenBits = 0x10,
                    kBank16K = 0x20;  // of kModeExtensions
// kBlitMode.
inline constexpr u8 kBackwards = 0x01, kToSystem = 0x02, kFromSystem = 0x04, kTransparency = 0x08,
                    kPixelWidth = 0x30, kPattern = 0x40, kExpand = 0x80;
// kBlitModeExtensions.
inline constexpr u8 kDwordRows = 0x01, kInvert = 0x02, kSolid = 0x04;
// kBlitControl.
inline constexpr u8 kBusy = 0x01, kStart = 0x02, kReset = 0x04, kAutoStart = 0x80;

// CRT controller.
inline constexpr u8 kInterlace = 0x1a, kOverflow1 = 0x1b, kOverflow2 = 0x1d, kLatch = 0x22,
                    kAttrToggle = 0x24, kAttrIndex = 0x26, kPartId = 0x27, kCrtcCount = 0x28;
inline constexpr u8 kPart5446 = 0xb8;

inline constexpr u64 kVramBytes = 4 << 20, kApertureBytes = 32 << 20, kMmioBytes = 4096;

}  // namespace emu::cirrus
