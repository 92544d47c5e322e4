// SPDX-License-Identifier: Apache-2.0
// Registers, transfer request blocks and contexts of xHCI.
// Source: eXtensible Host Controller Interface for USB, revision 1.2: chapters 5 (registers) and 6
// (data structures).
#pragma once

#include "base/types.h"

namespace emu::xhci {

inline constexpr unsigned kUsb2Ports = 4, kPorts = 8, kSlots = 32, kEndpoints = 31;

// Where the register sets are in the BAR.
inline constexpr u64 kOperational = 0x40, kRuntime = 0x1000, kDoorbells = 0x2000,
                     kRegisterBytes = 0x3000, kMsixTable = 0x3000, kMsixPending = 0x3800,
                     kBarBytes = 0x4000;

// Operational registers, from kOperational (5.4).
inline constexpr u64 kUsbCmd = 0x00, kUsbSts = 0x04, kPageSize = 0x08, kDnCtrl = 0x14, kCrCr = 0x18,
                     kDcbaap = 0x30, kConfig = 0x38, kPortRegisters = 0x400;
inline constexpr u32 kRun = 1 << 0, kHostReset = 1 << 1, kInterrupterEnable = 1 << 2,
                     kSaveState = 1 << 8, kRestoreState = 1 << 9, kCommandBits = 0xc0d;
inline constexpr u32 kHostHalted = 1 << 0, kEventInterrupt = 1 << 3, kPortChange = 1 << 4,
                     kRestoreError = 1 << 10, kControllerError = 1 << 12,
                     kStatusClears = 1 << 2 | kEventInterrupt | kPortChange | kRestoreError;
inline constexpr u64 kRingCycle = 1 << 0, kRingStop = 1 << 1, kRingAbort = 1 << 2,
                     kRingRunning = 1 << 3;

// PORTSC (5.4.8).
inline constexpr u32 kConnected = 1 << 0, kEnabled = 1 << 1, kPortReset = 1 << 4,
                     kLinkState = 15 << 5, kPower = 1 << 9, kLinkStrobe = 1 << 16,
                     kConnectChanged = 1 << 17, kResetChanged = 1 << 21, kLinkChanged = 1 << 22,
                     kWarmReset = 1u << 31, kPortClears = 0x00fe0000, kPortKeeps = 0x0e00c200;
inline constexpr u32 kLinkU0 = 0, kLinkU3 = 3, kLinkDetect = 5, kLinkPolling = 7, kLinkResume = 15;

// Runtime registers of interrupter 0, from kRuntime (5.5).
inline constexpr u64 kMfIndex = 0x00, kIman = 0x20, kImod = 0x24, kErstSz = 0x28, kErstBa = 0x30,
                     kErdp = 0x38;
inline constexpr u32 kPending = 1 << 0, kInterruptEnable = 1 << 1;
inline constexpr u64 kHandlerBusy = 1 << 3;

// Transfer request blocks (6.4).
inline constexpr u32 kTrbBytes = 16;
inline constexpr u32 kCycle = 1 << 0, kToggle = 1 << 1, kShortInterrupt = 1 << 2, kChain = 1 << 4,
                     kInterrupt = 1 << 5, kImmediate = 1 << 6, kIsEventData = 1 << 2,
                     kBlockAddress = 1 << 9, kDeconfigure = 1 << 9, kDirectionIn = 1 << 16;
enum class Trb : u8 {
  kNormal = 1,
  kSetup = 2,
  kData = 3,
  kStatus = 4,
  kIsochronous = 5,
  kLink = 6,
  kEventData = 7,
  kNoOp = 8,
  kEnableSlot = 9,
  kDisableSlot = 10,
  kAddressDevice = 11,
  kConfigureEndpoint = 12,
  kEvaluateContext = 13,
  kResetEndpoint = 14,
  kStopEndpoint = 15,
  kSetDequeue = 16,
  kResetDevice = 17,
  kNoOpCommand = 23,
  kTransferEvent = 32,
  kCommandEvent = 33,
  kPortEvent = 34,
};
// Completion codes (6.4.5).
enum class Code : u8 {
  kSuccess = 1,
  kTransactionError = 4,
  kTrbError = 5,
  kStall = 6,
  kNoSlots = 9,
  kSlotNotEnabled = 11,
  kEndpointNotEnabled = 12,
  kShortPacket = 13,
  kParameter = 17,
  kContextState = 19,
  kRingStopped = 24,
  kStopped = 26,
};

// Contexts (6.2): slot states and endpoint states and types.
inline constexpr u32 kContextBytes = 32;
inline constexpr u32 kSlotDefault = 1, kSlotAddressed = 2, kSlotConfigured = 3;
enum class EndpointState : u8 { kDisabled, kRunning, kHalted, kStopped, kError };
inline constexpr u8 kControlEndpoint = 4, kTypeIn = 4;

}  // namespace emu::xhci
