// SPDX-License-Identifier: Apache-2.0
// Names and numbers of AHCI.
// Source: Serial ATA AHCI 1.3.1: 3 (registers), 4 (memory structures); Serial ATA 3.0: 10.3 (FIS).
#pragma once

#include "base/types.h"

namespace emu::ahci {

// Generic host control (3.1).
inline constexpr u32 kCap = 0x00, kGhc = 0x04, kIs = 0x08, kPi = 0x0c, kVs = 0x10, kCap2 = 0x24;
inline constexpr u32 kGhcReset = 1u << 0, kGhcInterrupts = 1u << 1, kGhcAhci = 1u << 31;
inline constexpr u32 kPortBase = 0x100, kPortBytes = 0x80;

// Port registers (3.3).
inline constexpr u32 kPxClb = 0x00, kPxClbu = 0x04, kPxFb = 0x08, kPxFbu = 0x0c, kPxIs = 0x10,
                     kPxIe = 0x14, kPxCmd = 0x18, kPxTfd = 0x20, kPxSig = 0x24, kPxSsts = 0x28,
                     kPxSctl = 0x2c, kPxSerr = 0x30, kPxSact = 0x34, kPxCi = 0x38;
// PxIS.
inline constexpr u32 kIsDhr = 1u << 0, kIsPio = 1u << 1, kIsSdb = 1u << 3, kIsTfe = 1u << 30,
                     kIsHbd = 1u << 28, kIsPrc = 1u << 22, kIsConnect = 1u << 6;
// PxCMD.
inline constexpr u32 kCmdStart = 1u << 0, kCmdSpinUp = 1u << 1, kCmdPower = 1u << 2,
                     kCmdClo = 1u << 3, kCmdFre = 1u << 4, kCmdFr = 1u << 14, kCmdCr = 1u << 15;
inline constexpr u32 kCmdWritable = kCmdStart | kCmdSpinUp | kCmdPower | kCmdFre | 0xf3000000;

// Frame information structures.
inline constexpr u8 kFisRegisterToDevice = 0x27, kFisRegisterToHost = 0x34, kFisPioSetup = 0x5f,
                    kFisSetDeviceBits = 0xa1;
inline constexpr u8 kReadFpdma = 0x60, kWriteFpdma = 0x61;  // the queued commands
// Where the received ones go (4.2.1).
inline constexpr u32 kRxPioSetup = 0x20, kRxRegister = 0x40, kRxSetDeviceBits = 0x58,
                     kRxBytes = 0x100;
inline constexpr u32 kSlots = 32, kHeaderBytes = 32, kPrdBytes = 16, kTablePacket = 0x40,
                     kTablePrds = 0x80;

}  // namespace emu::ahci
