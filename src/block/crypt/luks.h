// SPDX-License-Identifier: Apache-2.0
// LUKS version 1: the header that keeps a disk's key, encrypted under passphrases.
// Source: "LUKS On-Disk Format Specification" 1.2.3.
// Not modelled: LUKS2, changing key slots, detached headers.
#pragma once

#include <memory>
#include <string>

#include "block/byte_file.h"
#include "block/crypt/sector_cipher.h"

namespace emu::crypt {

struct LuksAbout {
  u64 payload_bytes = 0;    // where the data begins, from the header's start
  std::string cipher_name;  // "aes-xts-plain64"
  unsigned key_bits = 0;
};

// What the header at `offset` tells without a key. Errors: a damaged header or one with what is not
// supported; the host's.
[[nodiscard]] Result<LuksAbout> read_luks(ByteFile& file, u64 offset);

// Tries the passphrase on each key slot of the header at `offset`; takes as long as its maker
// wanted, usually some seconds. Errors: EACCES, no slot opens; as read_luks().
[[nodiscard]] Result<std::unique_ptr<SectorCipher>> unlock_luks(ByteFile& file, u64 offset,
                                                                const std::string& passphrase);

struct LuksOptions {
  std::string passphrase;
  u64 iteration_ms = 2000;  // what one try of a passphrase shall cost
};

// Bytes from a new header's start to the data.
[[nodiscard]] u64 luks_header_bytes();

// Writes a header (AES-256 in XTS mode, SHA-256) with a random key under one passphrase.
// Errors: an empty passphrase; the host's.
[[nodiscard]] Result<void> format_luks(ByteFile& file, u64 offset, const LuksOptions& options);

// The contents of a key file, as they are. Errors: the host's; more than 8 MiB.
[[nodiscard]] Result<std::string> read_key_file(const std::string& path);

}  // namespace emu::crypt
