// SPDX-License-Identifier: Apache-2.0
#include "block/crypt/sector_cipher.h"

#include <nettle/aes.h>
#include <nettle/cbc.h>
#include <nettle/sha2.h>
#include <nettle/xts.h>

#include <array>

#include "base/bits.h"

namespace emu::crypt {
namespace {

using Iv = std::array<u8, AES_BLOCK_SIZE>;

Iv plain64(u64 sector) {
  Iv iv{};
  store_le<u64>(iv.data(), sector);
  return iv;
}

struct Aes128 {
  static constexpr std::size_t kKeyBytes = 16;
  using Context = aes128_ctx;
  using XtsKey = xts_aes128_key;
  static constexpr auto set_encrypt = nettle_aes128_set_encrypt_key;
  static constexpr auto set_decrypt = nettle_aes128_set_decrypt_key;
  static constexpr auto encrypt = nettle_aes128_encrypt;
  static constexpr auto decrypt = nettle_aes128_decrypt;
  static constexpr auto xts_set_encrypt = nettle_xts_aes128_set_encrypt_key;
  static constexpr auto xts_set_decrypt = nettle_xts_aes128_set_decrypt_key;
  static constexpr auto xts_encrypt = nettle_xts_aes128_encrypt_message;
  static constexpr auto xts_decrypt = nettle_xts_aes128_decrypt_message;
};

struct Aes256 {
  static constexpr std::size_t kKeyBytes = 32;
  using Context = aes256_ctx;
  using XtsKey = xts_aes256_key;
  static constexpr auto set_encrypt = nettle_aes256_set_encrypt_key;
  static constexpr auto set_decrypt = nettle_aes256_set_decrypt_key;
  static constexpr auto encrypt = nettle_aes256_encrypt;
  static constexpr auto decrypt = nettle_aes256_decrypt;
  static constexpr auto xts_set_encrypt = nettle_xts_aes256_set_encrypt_key;
  static constexpr auto xts_set_decrypt = nettle_xts_aes256_set_decrypt_key;
  static constexpr auto xts_encrypt = nettle_xts_aes256_encrypt_message;
  static constexpr auto xts_decrypt = nettle_xts_aes256_decrypt_message;
};

// nettle's functions take keys that they only read as if they wrote them.
template <class Aes>
class Xts final : public SectorCipher {
 public:
  explicit Xts(std::span<const u8> key) {
    Aes::xts_set_encrypt(&encrypting_, key.data());
    Aes::xts_set_decrypt(&decrypting_, key.data());
  }

 private:
  void encrypt_one(u64 sector, u8* bytes) const override {
    Aes::xts_encrypt(&encrypting_, plain64(sector).data(), kSectorBytes, bytes, bytes);
  }
  void decrypt_one(u64 sector, u8* bytes) const override {
    Aes::xts_decrypt(&decrypting_, plain64(sector).data(), kSectorBytes, bytes, bytes);
  }
  mutable typename Aes::XtsKey encrypting_{};
  mutable typename Aes::XtsKey decrypting_{};
};

template <class Aes>
class Cbc final : public SectorCipher {
 public:
  Cbc(std::span<const u8> key, bool essiv) : essiv_(essiv) {
    Aes::set_encrypt(&encrypting_, key.data());
    Aes::set_decrypt(&decrypting_, key.data());
    std::array<u8, SHA256_DIGEST_SIZE> digest{};
    sha256_ctx hash;
    nettle_sha256_init(&hash);
    nettle_sha256_update(&hash, key.size(), key.data());
    nettle_sha256_digest(&hash, digest.size(), digest.data());
    nettle_aes256_set_encrypt_key(&salt_, digest.data());
  }

 private:
  [[nodiscard]] Iv iv(u64 sector) const {
    Iv iv = plain64(sector);
    if (essiv_) nettle_aes256_encrypt(&salt_, iv.size(), iv.data(), iv.data());
    return iv;
  }
  void encrypt_one(u64 sector, u8* bytes) const override {
    Iv start = iv(sector);
    nettle_cbc_encrypt(&encrypting_, reinterpret_cast<nettle_cipher_func*>(Aes::encrypt),
                       AES_BLOCK_SIZE, start.data(), kSectorBytes, bytes, bytes);
  }
  void decrypt_one(u64 sector, u8* bytes) const override {
    Iv start = iv(sector);
    nettle_cbc_decrypt(&decrypting_, reinterpret_cast<nettle_cipher_func*>(Aes::decrypt),
                       AES_BLOCK_SIZE, start.data(), kSectorBytes, bytes, bytes);
  }
  const bool essiv_;
  typename Aes::Context encrypting_{};
  typename Aes::Context decrypting_{};
  aes256_ctx salt_{};
};

}  // namespace

Result<std::unique_ptr<SectorCipher>> SectorCipher::create(const std::string& cipher,
                                                           const std::string& mode,
                                                           std::span<const u8> key) {
  using Made = std::unique_ptr<SectorCipher>;
  const bool is_cbc = mode == "cbc-plain64" || mode == "cbc-essiv:sha256";
  const bool essiv = mode == "cbc-essiv:sha256";
  if (cipher == "aes" && mode == "xts-plain64") {
    if (key.size() == 2 * Aes128::kKeyBytes) return Made(std::make_unique<Xts<Aes128>>(key));
    if (key.size() == 2 * Aes256::kKeyBytes) return Made(std::make_unique<Xts<Aes256>>(key));
  } else if (cipher == "aes" && is_cbc) {
    if (key.size() == Aes128::kKeyBytes) return Made(std::make_unique<Cbc<Aes128>>(key, essiv));
    if (key.size() == Aes256::kKeyBytes) return Made(std::make_unique<Cbc<Aes256>>(key, essiv));
  }
  return fail(
      "the encryption {}-{} with a key of {} bits is not supported; supported are aes-xts-plain64 "
      "(256 or 512), aes-cbc-plain64 and aes-cbc-essiv:sha256 (128 or 256)",
      cipher, mode, key.size() * 8);
}

void SectorCipher::encrypt(u64 sector, std::span<u8> bytes) const {
  for (u64 at = 0; at + kSectorBytes <= bytes.size(); at += kSectorBytes)
    encrypt_one(sector++, bytes.data() + at);
}

void SectorCipher::decrypt(u64 sector, std::span<u8> bytes) const {
  for (u64 at = 0; at + kSectorBytes <= bytes.size(); at += kSectorBytes)
    decrypt_one(sector++, bytes.data() + at);
}

}  // namespace emu::crypt
