// SPDX-License-Identifier: Apache-2.0
// The qcow2 on-disk format: offsets, bits and limits. All numbers in the file are big-endian.
// Source: QEMU docs/interop/qcow2.rst (version 7.2). Limits where the text has none are qemu's.
#pragma once

#include "base/types.h"

namespace emu::qcow2 {

inline constexpr u32 kMagic = 0x514649fb;  // "QFI\xfb"

// Header fields.
inline constexpr u64 kOffVersion = 4;
inline constexpr u64 kOffBackingFileOffset = 8;
inline constexpr u64 kOffBackingFileSize = 16;
inline constexpr u64 kOffClusterBits = 20;
inline constexpr u64 kOffSize = 24;
inline constexpr u64 kOffCryptMethod = 32;
inline constexpr u64 kOffL1Size = 36;
inline constexpr u64 kOffL1TableOffset = 40;
inline constexpr u64 kOffRefcountTableOffset = 48;
inline constexpr u64 kOffRefcountTableClusters = 56;
inline constexpr u64 kOffSnapshotCount = 60;
inline constexpr u64 kOffSnapshotsOffset = 64;
inline constexpr u64 kOffIncompatible = 72;  // version 3 from here
inline constexpr u64 kOffCompatible = 80;
inline constexpr u64 kOffAutoclear = 88;
inline constexpr u64 kOffRefcountOrder = 96;
inline constexpr u64 kOffHeaderLength = 100;
inline constexpr u64 kOffCompressionType = 104;
inline constexpr u64 kHeaderBytesV2 = 72;
inline constexpr u64 kHeaderBytesV3 = 104;

inline constexpr u64 kIncompatibleDirty = 1u << 0;
inline constexpr u64 kIncompatibleCorrupt = 1u << 1;
inline constexpr u64 kIncompatibleExternalData = 1u << 2;
inline constexpr u64 kIncompatibleCompressionType = 1u << 3;
inline constexpr u64 kIncompatibleExtendedL2 = 1u << 4;
inline constexpr u64 kIncompatibleSupported =
    kIncompatibleDirty | kIncompatibleCorrupt | kIncompatibleExternalData |
    kIncompatibleCompressionType | kIncompatibleExtendedL2;
inline constexpr u64 kCompatibleLazyRefcounts = 1u << 0;
inline constexpr u64 kAutoclearBitmaps = 1u << 0;
inline constexpr u64 kAutoclearRawData = 1u << 1;

inline constexpr u32 kExtensionEnd = 0;
inline constexpr u32 kExtensionBackingFormat = 0xe2792aca;
inline constexpr u32 kExtensionFeatureNames = 0x6803f857;
inline constexpr u32 kExtensionBitmaps = 0x23852875;
inline constexpr u32 kExtensionLuksHeader = 0x0537be77;
inline constexpr u32 kExtensionDataFile = 0x44415441;

inline constexpr u32 kCryptNone = 0;
inline constexpr u32 kCryptAes = 1;   // AES-128-CBC, the passphrase is the key; by guest sector
inline constexpr u32 kCryptLuks = 2;  // by sector of the file
inline constexpr u64 kMaxLuksBytes = 64 * kMiB;

inline constexpr u64 kEntryBytes = 8;             // L1, L2, refcount table
inline constexpr u64 kExtendedL2EntryBytes = 16;  // the second half is a bitmap
inline constexpr unsigned kSubclusters = 32;      // in a cluster, with extended L2 entries
inline constexpr unsigned kMinExtendedClusterBits = 14;
inline constexpr u64 kEntryCopied = u64{1} << 63;
inline constexpr u64 kEntryCompressed = u64{1} << 62;
inline constexpr u64 kEntryZero = 1;  // version 3
inline constexpr u64 kEntryOffsetMask = 0x00ff'ffff'ffff'fe00;
inline constexpr u64 kRefcountTableMask = ~u64{0x1ff};

inline constexpr unsigned kMinClusterBits = 9;
inline constexpr unsigned kMaxClusterBits = 21;
inline constexpr u64 kMaxL1Bytes = 32 * kMiB;
inline constexpr u64 kMaxRefcountTableBytes = 8 * kMiB;
inline constexpr u64 kMaxSnapshots = 65536;
inline constexpr u64 kMaxBackingNameBytes = 1023;
inline constexpr u64 kMaxFileBytes = u64{1} << 56;  // what an entry can point to

inline constexpr u8 kCompressionZlib = 0;
inline constexpr u8 kCompressionZstd = 1;

}  // namespace emu::qcow2
