// SPDX-License-Identifier: Apache-2.0
// Registers and descriptors that the 82574 has beyond the 8254x family.
// Source: Intel 317694 ("82574 GbE Controller Family Datasheet"), chapters 7 and 10.
#pragma once

#include "base/types.h"

namespace emu::e1000e {

// Register offsets (10.2.1).
inline constexpr u32 kEiac = 0x00dc, kIam = 0x00e0, kIvar = 0x00e4, kEitr = 0x00e8,
                     kExtcnfCtrl = 0x0f00, kExtcnfSize = 0x0f08, kPoemb = 0x0f10, kPbs = 0x1008,
                     kEemngctl = 0x1010, kPsrctl = 0x2170, kTarc0 = 0x3840, kTarc1 = 0x3940,
                     kRfctl = 0x5008, kMrqc = 0x5818, kRssim = 0x5864, kGcr = 0x5b00,
                     kFactps = 0x5b30, kSwsm = 0x5b50, kFwsm = 0x5b54, kSwsm2 = 0x5b58,
                     kGcr2 = 0x5b64, kReta = 0x5c00, kRssrk = 0x5c80, kRssrkEnd = 0x5ca8;
// Time stamps (10.2.10): a range of its own.
inline constexpr u32 kTimeFirst = 0xb600, kSystiml = 0xb600, kSystimh = 0xb604, kTiminca = 0xb608,
                     kTsynctxctl = 0xb614, kTsyncrxctl = 0xb620, kTimeEnd = 0xb640;

// CTRL, STATUS: the bus master's brake. EECD: the NVM was read after the reset. EERD.
inline constexpr u32 kCtrlMasterDisable = 1 << 2, kStatusMasterEnabled = 1 << 19,
                     kEecdAutoReadDone = 1 << 9;
inline constexpr u32 kEerdDone = 1 << 1, kEerdAddressShift = 2;
inline constexpr u32 kEemngctlConfigured = 1 << 18;
// CTRL_EXT.
inline constexpr u32 kMessageAutoMask = 1 << 24, kAutoMask = 1 << 27;
// SWSM: the lock between drivers is taken by reading it.
inline constexpr u32 kSwsmLock = 1 << 0, kSwsmWritable = 0xb;

// Interrupt causes of one message each: receive and transmit queues, the rest (10.2.4.1).
inline constexpr u32 kRxQueue0 = 1 << 20, kTxQueue0 = 1 << 22, kOther = 1 << 24,
                     kMessageCauses = 0x1f << 20, kMessageShift = 20, kMessageCount = 5;
// Causes that OTHER stands for: LSC, RXO, MDAC, SRPD, ACK, MNG.
inline constexpr u32 kOtherCauses = 1 << 2 | 1 << 6 | 1 << 9 | 1 << 16 | 1 << 17 | 1 << 18;
inline constexpr u32 kVectors = 5, kIvarValid = 8;

// RFCTL, RCTL.DTYP, RXCSUM.PCSD.
inline constexpr u32 kExtendedStatus = 1 << 15, kDescriptorType = 3 << 10, kPacketSplit = 1 << 10,
                     kPacketChecksumDisable = 1 << 13;
// Extended and packet split descriptors (7.1.5, 7.1.6): status in the low 20 bits.
inline constexpr u16 kHeaderSplit = 1 << 15;
inline constexpr unsigned kSplitDescriptorBytes = 32, kSplitBuffers = 4;

// MRQC (10.2.5.17): RSS is on; which headers are hashed. Hash types in descriptors.
inline constexpr u32 kMrqcMode = 3, kMrqcRss = 1, kHashTcp4 = 1 << 16, kHashIp4 = 1 << 17,
                     kHashTcp6 = 1 << 18, kHashIp6Ex = 1 << 19, kHashIp6 = 1 << 20;
inline constexpr u8 kTypeTcp4 = 1, kTypeIp4 = 2, kTypeTcp6 = 3, kTypeIp6 = 5;
inline constexpr unsigned kHashKeyBytes = 40, kRedirections = 128;

}  // namespace emu::e1000e
