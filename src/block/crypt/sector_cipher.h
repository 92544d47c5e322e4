// SPDX-License-Identifier: Apache-2.0
// Encryption of a disk's sectors of 512 bytes, each by itself, with AES as dm-crypt names it:
// "aes" with "xts-plain64", "cbc-plain64" or "cbc-essiv:sha256".
// Source: cryptsetup's LUKS1 on-disk format, 2 and 3; IEEE 1619 (XTS). The ciphers are nettle's.
// Threads: any.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "base/result.h"
#include "base/types.h"

namespace emu::crypt {

inline constexpr u64 kSectorBytes = 512;

class SectorCipher {
 public:
  // `key`: 16 or 32 bytes for CBC, twice that for XTS. Errors: another cipher, mode or key size.
  [[nodiscard]] static Result<std::unique_ptr<SectorCipher>> create(const std::string& cipher,
                                                                    const std::string& mode,
                                                                    std::span<const u8> key);
  virtual ~SectorCipher() = default;
  // Whole sectors, in place; the first has the number `sector`.
  void encrypt(u64 sector, std::span<u8> bytes) const;
  void decrypt(u64 sector, std::span<u8> bytes) const;

 protected:
  virtual void encrypt_one(u64 sector, u8* bytes) const = 0;
  virtual void decrypt_one(u64 sector, u8* bytes) const = 0;
};

}  // namespace emu::crypt
