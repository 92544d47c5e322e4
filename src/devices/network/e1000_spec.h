// SPDX-License-Identifier: Apache-2.0
// Registers and descriptors of the 8254x family.
// Source: Intel "PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual"
// (317453), chapters 3, 5 and 13.
#pragma once

#include "base/types.h"

namespace emu::e1000 {

// Register offsets (13.2).
inline constexpr u32 kCtrl = 0x0000, kStatus = 0x0008, kEecd = 0x0010, kEerd = 0x0014,
                     kCtrlExt = 0x0018, kMdic = 0x0020, kFcal = 0x0028, kFcah = 0x002c,
                     kFct = 0x0030, kVet = 0x0038, kIcr = 0x00c0, kItr = 0x00c4, kIcs = 0x00c8,
                     kIms = 0x00d0, kImc = 0x00d8, kRctl = 0x0100, kFcttv = 0x0170, kTctl = 0x0400,
                     kTipg = 0x0410, kAit = 0x0458, kLedctl = 0x0e00, kPba = 0x1000,
                     kFcrtl = 0x2160, kFcrth = 0x2168, kRdbal = 0x2800, kRdbah = 0x2804,
                     kRdlen = 0x2808, kRdh = 0x2810, kRdt = 0x2818, kRdtr = 0x2820,
                     kRxdctl = 0x2828, kRadv = 0x282c, kRsrpd = 0x2c00, kTdbal = 0x3800,
                     kTdbah = 0x3804, kTdlen = 0x3808, kTdh = 0x3810, kTdt = 0x3818, kTidv = 0x3820,
                     kTxdctl = 0x3828, kTadv = 0x382c, kStatistics = 0x4000,
                     kStatisticsEnd = 0x4100, kMpc = 0x4010, kGprc = 0x4074, kBprc = 0x4078,
                     kMprc = 0x407c, kGptc = 0x4080, kGorcl = 0x4088, kGotcl = 0x4090,
                     kTorl = 0x40c0, kTotl = 0x40c8, kTpr = 0x40d0, kTpt = 0x40d4, kRxcsum = 0x5000,
                     kMta = 0x5200, kRal = 0x5400, kVfta = 0x5600, kVftaEnd = 0x5800, kWuc = 0x5800,
                     kManc = 0x5820, kRegisterBytes = 0x6000, kWindowBytes = 0x20000,
                     kQueueStep = 0x100;

// CTRL (13.4.1), STATUS (13.4.2).
inline constexpr u32 kCtrlSlu = 1 << 6, kCtrlReset = 1 << 26, kCtrlVme = 1 << 30,
                     kCtrlPhyReset = u32{1} << 31;
inline constexpr u32 kStatusFullDuplex = 1 << 0, kStatusLinkUp = 1 << 1, kStatus1000 = 2 << 6,
                     kStatusReserved = u32{1} << 31;
// EECD (13.4.3): a Microwire EEPROM of 64 words.
inline constexpr u32 kEecdClock = 1 << 0, kEecdSelect = 1 << 1, kEecdIn = 1 << 2, kEecdOut = 1 << 3,
                     kEecdRequest = 1 << 6, kEecdGrant = 1 << 7, kEecdPresent = 1 << 8;
// EERD (13.4.4), MDIC (13.4.7).
inline constexpr u32 kEerdStart = 1 << 0, kEerdDone = 1 << 4;
inline constexpr u32 kMdicRead = 2u << 26, kMdicWrite = 1u << 26, kMdicOp = 3u << 26,
                     kMdicReady = 1u << 28, kMdicInterrupt = 1u << 29, kMdicError = 1u << 30;
// Interrupt causes (13.4.17).
inline constexpr u32 kTxdw = 1 << 0, kTxqe = 1 << 1, kLsc = 1 << 2, kRxdmt0 = 1 << 4, kRxo = 1 << 6,
                     kRxt0 = 1 << 7, kMdac = 1 << 9, kAsserted = u32{1} << 31;
// RCTL (13.4.22), TCTL (13.4.33), RXCSUM (13.4.54).
inline constexpr u32 kRctlEnable = 1 << 1, kRctlUnicast = 1 << 3, kRctlMulticast = 1 << 4,
                     kRctlLong = 1 << 5, kRctlBroadcast = 1 << 15, kRctlVlanFilter = 1 << 18,
                     kRctlSizeExtension = 1 << 25, kRctlStripCrc = 1 << 26;
inline constexpr u32 kTctlEnable = 1 << 1;
inline constexpr u32 kRxcsumIp = 1 << 8, kRxcsumTcp = 1 << 9;

// Receive descriptors (3.2.3).
inline constexpr u8 kRxDone = 1 << 0, kRxEnd = 1 << 1, kRxIgnoreChecksum = 1 << 2, kRxVlan = 1 << 3,
                    kRxTcpChecked = 1 << 5, kRxIpChecked = 1 << 6;
// Transmit descriptors (3.3): bits of the second doubleword and of the third.
inline constexpr u32 kTxTypeMask = 0xf << 20, kTxContext = 0 << 20, kTxData = 1 << 20,
                     kTxExtended = 1 << 29, kTxEnd = 1 << 24, kTxLegacyChecksum = 1 << 26,
                     kTxSegment = 1 << 26, kTxReport = 1 << 27, kTxVlan = 1 << 30,
                     kTxContextTcp = 1 << 24, kTxContextIp = 1 << 25;
inline constexpr u32 kTxDone = 1 << 0;
inline constexpr u8 kPopIp = 1 << 0, kPopTcp = 1 << 1;
inline constexpr unsigned kDescriptorBytes = 16, kMaxDescriptorBytes = 32;

// The M88E1011 PHY (13.4.7; IEEE 802.3 clause 22).
inline constexpr unsigned kPhyControl = 0, kPhyStatus = 1, kPhyId1 = 2, kPhyId2 = 3,
                          kPhyAdvertise = 4, kPhyPartner = 5, kPhyExpansion = 6,
                          kPhyGigabitControl = 9, kPhyGigabitStatus = 10, kPhyExtended = 15,
                          kPhySpecificControl = 16, kPhySpecificStatus = 17;

// EEPROM words (5.6).
inline constexpr unsigned kEepromWords = 64, kEepromControl1 = 10, kEepromSubsystem = 11,
                          kEepromSubsystemVendor = 12, kEepromDevice = 13, kEepromVendor = 14,
                          kEepromControl2 = 15, kEepromChecksum = 63;
inline constexpr u16 kEepromSum = 0xbaba;

}  // namespace emu::e1000
