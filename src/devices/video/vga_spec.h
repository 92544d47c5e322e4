// SPDX-License-Identifier: Apache-2.0
// Names of the VGA's registers and bits.
// Source: IBM VGA technical reference (1987); FreeVGA project, "VGA Hardware"; OSDev "VGA
// Hardware".
#pragma once

#include "base/types.h"

namespace emu::vga {

// Ports. The 3Bx and 3Dx groups are one set of registers; kMiscColor selects where it answers.
inline constexpr u16 kPortCrtcIndexMono = 0x3B4;
inline constexpr u16 kPortCrtcDataMono = 0x3B5;
inline constexpr u16 kPortStatus1Mono = 0x3BA;  // read; write: feature control
inline constexpr u16 kPortAttr = 0x3C0;         // index and data in turn
inline constexpr u16 kPortAttrRead = 0x3C1;
inline constexpr u16 kPortStatus0 = 0x3C2;  // read; write: miscellaneous output
inline constexpr u16 kPortEnable = 0x3C3;
inline constexpr u16 kPortSeqIndex = 0x3C4;
inline constexpr u16 kPortSeqData = 0x3C5;
inline constexpr u16 kPortDacMask = 0x3C6;
inline constexpr u16 kPortDacReadIndex = 0x3C7;  // read: DAC state
inline constexpr u16 kPortDacWriteIndex = 0x3C8;
inline constexpr u16 kPortDacData = 0x3C9;
inline constexpr u16 kPortFeatureRead = 0x3CA;
inline constexpr u16 kPortMiscRead = 0x3CC;
inline constexpr u16 kPortGfxIndex = 0x3CE;
inline constexpr u16 kPortGfxData = 0x3CF;
inline constexpr u16 kPortCrtcIndex = 0x3D4;
inline constexpr u16 kPortCrtcData = 0x3D5;
inline constexpr u16 kPortStatus1 = 0x3DA;

inline constexpr u8 kMiscColor = 0x01;
inline constexpr u8 kStatus1DisplayDisabled = 0x01;
inline constexpr u8 kStatus1VerticalRetrace = 0x08;

// Sequencer.
enum Seq : u8 { kSeqReset, kSeqClockMode, kSeqMapMask, kSeqCharMap, kSeqMemoryMode, kSeqCount };
inline constexpr u8 kClockEightDots = 0x01;
inline constexpr u8 kClockHalfRate = 0x08;
inline constexpr u8 kClockScreenOff = 0x20;
inline constexpr u8 kMemoryNoOddEven = 0x04;
inline constexpr u8 kMemoryChain4 = 0x08;

// Graphics controller.
enum Gfx : u8 {
  kGfxSetReset,
  kGfxEnableSetReset,
  kGfxColorCompare,
  kGfxRotate,
  kGfxReadMap,
  kGfxMode,
  kGfxMisc,
  kGfxColorDontCare,
  kGfxBitMask,
  kGfxCount
};
inline constexpr u8 kModeWriteMask = 0x03;
inline constexpr u8 kModeReadCompare = 0x08;
inline constexpr u8 kModeOddEven = 0x10;
inline constexpr u8 kModeShiftInterleave = 0x20;
inline constexpr u8 kModeShift256 = 0x40;
inline constexpr u8 kMiscGraphics = 0x01;

// CRT controller.
enum Crtc : u8 {
  kCrtcHTotal = 0x00,
  kCrtcHDisplayEnd = 0x01,
  kCrtcVTotal = 0x06,
  kCrtcOverflow = 0x07,
  kCrtcPresetRow = 0x08,
  kCrtcMaxScan = 0x09,
  kCrtcCursorStart = 0x0A,
  kCrtcCursorEnd = 0x0B,
  kCrtcStartHigh = 0x0C,
  kCrtcStartLow = 0x0D,
  kCrtcCursorHigh = 0x0E,
  kCrtcCursorLow = 0x0F,
  kCrtcVRetraceStart = 0x10,
  kCrtcVRetraceEnd = 0x11,
  kCrtcVDisplayEnd = 0x12,
  kCrtcOffset = 0x13,
  kCrtcUnderline = 0x14,
  kCrtcMode = 0x17,
  kCrtcLineCompare = 0x18,
  kCrtcCount = 0x19
};
inline constexpr u8 kMaxScanDouble = 0x80;
inline constexpr u8 kCursorOff = 0x20;
inline constexpr u8 kRetraceEndProtect = 0x80;
inline constexpr u8 kCrtcModeNoCgaRow = 0x01;       // 0: row bit 0 becomes address bit 13
inline constexpr u8 kCrtcModeNoHerculesRow = 0x02;  // 0: row bit 1 becomes address bit 14
inline constexpr u8 kCrtcModeByte = 0x40;

// Attribute controller.
enum Attr : u8 {
  kAttrMode = 0x10,
  kAttrOverscan = 0x11,
  kAttrPlaneEnable = 0x12,
  kAttrPanning = 0x13,
  kAttrColorSelect = 0x14,
  kAttrCount = 0x15
};
inline constexpr u8 kAttrIndexVideoOn = 0x20;
inline constexpr u8 kAttrModeLineGraphics = 0x04;
inline constexpr u8 kAttrModeBlink = 0x08;
inline constexpr u8 kAttrModePanSplit = 0x20;
inline constexpr u8 kAttrModeSelect54 = 0x80;

}  // namespace emu::vga
