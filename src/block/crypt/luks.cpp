// SPDX-License-Identifier: Apache-2.0
#include "block/crypt/luks.h"

#include <nettle/pbkdf2.h>
#include <nettle/sha1.h>
#include <nettle/sha2.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "base/bits.h"
#include "block/host_file.h"

namespace emu::crypt {
namespace {

// The header (2.1). Numbers are big-endian, places count sectors from its start.
constexpr u64 kHeaderBytes = 592, kSlots = 8, kSlotsAt = 208, kSlotBytes = 48;
constexpr u64 kCipherAt = 8, kModeAt = 40, kHashAt = 72, kNameBytes = 32, kPayloadAt = 104,
              kKeyBytesAt = 108, kDigestAt = 112, kDigestSaltAt = 132, kDigestIterationsAt = 164,
              kUuidAt = 168;
constexpr u64 kDigestBytes = 20, kSaltBytes = 32;
constexpr u64 kSlotIterationsAt = 4, kSlotSaltAt = 8, kSlotPlaceAt = 40, kSlotStripesAt = 44;
constexpr std::string_view kMagic("LUKS\xba\xbe", 6);
constexpr u32 kSlotActive = 0x00ac71f3, kSlotUnused = 0x0000dead;
constexpr u32 kStripes = 4000;
constexpr u32 kMaxKeyBytes = 64;
constexpr u32 kMaxIterations = 1u << 26;  // half a minute a slot; a hostile header has eight
constexpr u32 kMinIterations = 1000;
constexpr u64 kAlignSectors = 4096 / kSectorBytes;
constexpr u64 kNewKeyBytes = 64;  // XTS: two keys of 256 bits
constexpr u64 kNewSlotSectors =
    (kNewKeyBytes * kStripes / kSectorBytes + kAlignSectors - 1) / kAlignSectors * kAlignSectors;

using Bytes = std::vector<u8>;

struct Hash {
  std::string_view name;
  std::size_t digest_bytes;
  void (*pbkdf2)(std::size_t key_length, const u8* key, unsigned iterations,
                 std::size_t salt_length, const u8* salt, std::size_t length, u8* out);
  Bytes (*digest)(std::span<const u8> a, std::span<const u8> b);  // of both, one after the other
};

template <class Context, auto kInit, auto kUpdate, auto kFinish, std::size_t kBytes>
Bytes digest_of(std::span<const u8> a, std::span<const u8> b) {
  Context context;
  kInit(&context);
  kUpdate(&context, a.size(), a.data());
  kUpdate(&context, b.size(), b.data());
  Bytes out(kBytes);
  kFinish(&context, out.size(), out.data());
  return out;
}

constexpr std::array<Hash, 3> kHashes{{
    {"sha1", SHA1_DIGEST_SIZE, nettle_pbkdf2_hmac_sha1,
     digest_of<sha1_ctx, nettle_sha1_init, nettle_sha1_update, nettle_sha1_digest,
               SHA1_DIGEST_SIZE>},
    {"sha256", SHA256_DIGEST_SIZE, nettle_pbkdf2_hmac_sha256,
     digest_of<sha256_ctx, nettle_sha256_init, nettle_sha256_update, nettle_sha256_digest,
               SHA256_DIGEST_SIZE>},
    {"sha512", SHA512_DIGEST_SIZE, nettle_pbkdf2_hmac_sha512,
     digest_of<sha512_ctx, nettle_sha512_init, nettle_sha512_update, nettle_sha512_digest,
               SHA512_DIGEST_SIZE>},
}};

Bytes derive(const Hash& hash, std::span<const u8> secret, std::span<const u8> salt, u32 iterations,
             std::size_t length) {
  Bytes out(length);
  hash.pbkdf2(secret.size(), secret.data(), iterations, salt.size(), salt.data(), length,
              out.data());
  return out;
}

std::span<const u8> bytes_of(const std::string& text) {
  return {reinterpret_cast<const u8*>(text.data()), text.size()};
}

// H2 of the anti-forensic splitter (2.4): each digest-sized part is hashed with its number.
void diffuse(const Hash& hash, std::span<u8> block) {
  u32 number = 0;
  for (std::size_t at = 0; at < block.size(); at += hash.digest_bytes) {
    const auto part = block.subspan(at, std::min(hash.digest_bytes, block.size() - at));
    std::array<u8, 4> index{};
    store_be<u32>(index.data(), number++);
    const Bytes digest = hash.digest(index, part);
    std::copy_n(digest.begin(), part.size(), part.begin());
  }
}

void mix(std::span<u8> into, std::span<const u8> with) {
  std::ranges::transform(into, with, into.begin(), std::bit_xor<u8>());
}

Bytes af_merge(const Hash& hash, std::span<const u8> split, std::size_t key_bytes) {
  Bytes block(key_bytes);
  const std::size_t stripes = split.size() / key_bytes;
  for (std::size_t i = 0; i < stripes; ++i) {
    mix(block, split.subspan(i * key_bytes, key_bytes));
    if (i + 1 != stripes) diffuse(hash, block);
  }
  return block;
}

Result<void> fill_random(std::span<u8> out) {
  while (!out.empty()) {
    const ssize_t n = ::getrandom(out.data(), out.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(errno, "the host has no random numbers");
    out = out.subspan(static_cast<std::size_t>(n));
  }
  return {};
}

struct Luks {
  ByteFile& file;
  u64 offset;
  Bytes header;
  const Hash* hash = nullptr;
  std::string cipher;
  std::string mode;
  u32 key_bytes = 0;

  [[nodiscard]] std::string text(u64 at) const {
    const auto* start = reinterpret_cast<const char*>(&header[at]);
    return {start, ::strnlen(start, kNameBytes)};
  }
  [[nodiscard]] u32 number(u64 at) const { return load_be<u32>(&header[at]); }
  [[nodiscard]] std::span<const u8> part(u64 at, u64 size) const {
    return std::span<const u8>(header).subspan(at, size);
  }
};

Error damaged(const Luks& luks, std::string_view what) {
  return fail("{}: its LUKS header is damaged: {}", luks.file.path(), what);
}

Result<void> read_luks_header(Luks& luks) {
  luks.header.resize(kHeaderBytes);
  EMU_TRY(luks.file.read_flat(luks.offset, luks.header));
  const auto* start = reinterpret_cast<const char*>(luks.header.data());
  if (std::string_view(start, kMagic.size()) != kMagic) return damaged(luks, "no signature");
  const u16 version = load_be<u16>(&luks.header[kMagic.size()]);
  if (version != 1)
    return fail(
        "{} is LUKS version {}, and version 1 is supported; convert a copy with: "
        "cryptsetup convert --type luks1 {}",
        luks.file.path(), version, luks.file.path());
  const std::string name = luks.text(kHashAt);
  const auto hash = std::ranges::find(kHashes, name, &Hash::name);
  if (hash == kHashes.end())
    return fail("{} uses the hash {}; supported are sha1, sha256 and sha512", luks.file.path(),
                name);
  luks.hash = &*hash;
  luks.cipher = luks.text(kCipherAt);
  luks.mode = luks.text(kModeAt);
  luks.key_bytes = luks.number(kKeyBytesAt);
  if (luks.key_bytes == 0 || luks.key_bytes > kMaxKeyBytes) return damaged(luks, "the key's size");
  const u32 iterations = luks.number(kDigestIterationsAt);
  if (iterations == 0 || iterations > kMaxIterations) return damaged(luks, "an iteration count");
  return {};
}

// The disk's key, or nothing if the passphrase does not open this slot.
Result<Bytes> try_slot(const Luks& luks, u64 slot, std::span<const u8> passphrase) {
  const u64 at = kSlotsAt + slot * kSlotBytes;
  if (luks.number(at) != kSlotActive) return Bytes();
  const u32 iterations = luks.number(at + kSlotIterationsAt);
  const u32 stripes = luks.number(at + kSlotStripesAt);
  const u64 place = u64{luks.number(at + kSlotPlaceAt)} * kSectorBytes;
  if (iterations == 0 || iterations > kMaxIterations || stripes != kStripes)
    return damaged(luks, "a key slot");
  const Bytes slot_key = derive(*luks.hash, passphrase, luks.part(at + kSlotSaltAt, kSaltBytes),
                                iterations, luks.key_bytes);
  auto cipher = SectorCipher::create(luks.cipher, luks.mode, slot_key);
  if (!cipher) return cipher.error();
  const u64 split_bytes = u64{luks.key_bytes} * stripes;
  Bytes split(align_up(split_bytes, kSectorBytes));
  EMU_TRY(luks.file.read_flat(luks.offset + place, split));
  (*cipher)->decrypt(0, split);
  split.resize(split_bytes);
  Bytes key = af_merge(*luks.hash, split, luks.key_bytes);
  const Bytes digest = derive(*luks.hash, key, luks.part(kDigestSaltAt, kSaltBytes),
                              luks.number(kDigestIterationsAt), kDigestBytes);
  return std::ranges::equal(digest, luks.part(kDigestAt, kDigestBytes)) ? key : Bytes();
}

u32 calibrate(const Hash& hash, u64 milliseconds) {
  constexpr u32 kTrial = 20'000;
  const std::array<u8, kSaltBytes> salt{};
  const auto start = std::chrono::steady_clock::now();
  static_cast<void>(derive(hash, salt, salt, kTrial, kNewKeyBytes));
  const double spent =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  const double wanted = static_cast<double>(milliseconds) / std::max(spent, 1e-3) * kTrial;
  return static_cast<u32>(std::clamp<double>(wanted, kMinIterations, kMaxIterations));
}

std::string new_uuid(std::span<u8, 16> dice) {
  dice[6] = static_cast<u8>((dice[6] & 0x0f) | 0x40);  // RFC 4122, 4.4
  dice[8] = static_cast<u8>((dice[8] & 0x3f) | 0x80);
  std::string text;
  for (std::size_t i = 0; i < dice.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", dice[i]);
  }
  return text;
}

void put_text(Bytes& header, u64 at, std::string_view text) {
  std::copy(text.begin(), text.end(), header.begin() + static_cast<std::ptrdiff_t>(at));
}

// Splits the key so that losing any sector of the result loses the key (2.4).
Result<Bytes> af_split(const Hash& hash, std::span<const u8> key) {
  Bytes split(key.size() * kStripes);
  const auto random = std::span(split).first(key.size() * (kStripes - 1));
  EMU_TRY(fill_random(random));
  Bytes block(key.size());
  for (std::size_t i = 0; i + 1 < kStripes; ++i) {
    mix(block, random.subspan(i * key.size(), key.size()));
    diffuse(hash, block);
  }
  mix(block, key);
  std::ranges::copy(block, split.end() - static_cast<std::ptrdiff_t>(key.size()));
  return split;
}

// Slots lie one after the other, slot 0 first.
Bytes new_header(const Hash& hash, u32 iterations, const std::string& uuid) {
  Bytes header(kHeaderBytes);
  put_text(header, 0, kMagic);
  store_be<u16>(&header[kMagic.size()], 1);
  put_text(header, kCipherAt, "aes");
  put_text(header, kModeAt, "xts-plain64");
  put_text(header, kHashAt, hash.name);
  store_be<u32>(&header[kPayloadAt], static_cast<u32>(luks_header_bytes() / kSectorBytes));
  store_be<u32>(&header[kKeyBytesAt], static_cast<u32>(kNewKeyBytes));
  // A guess of the key itself need not cost what one of a passphrase does.
  store_be<u32>(&header[kDigestIterationsAt], std::max(iterations / 8, kMinIterations));
  put_text(header, kUuidAt, uuid);
  for (u64 slot = 0; slot < kSlots; ++slot) {
    u8* entry = &header[kSlotsAt + slot * kSlotBytes];
    store_be<u32>(entry, slot == 0 ? kSlotActive : kSlotUnused);
    store_be<u32>(entry + kSlotIterationsAt, slot == 0 ? iterations : 0);
    store_be<u32>(entry + kSlotPlaceAt, static_cast<u32>(kAlignSectors + slot * kNewSlotSectors));
    store_be<u32>(entry + kSlotStripesAt, kStripes);
  }
  return header;
}

}  // namespace

u64 luks_header_bytes() {
  return (kAlignSectors + kSlots * kNewSlotSectors) * kSectorBytes;
}

Result<LuksAbout> read_luks(ByteFile& file, u64 offset) {
  Luks luks{file, offset, {}, nullptr, {}, {}, 0};
  EMU_TRY(read_luks_header(luks));
  return LuksAbout{u64{luks.number(kPayloadAt)} * kSectorBytes, luks.cipher + "-" + luks.mode,
                   luks.key_bytes * 8};
}

Result<std::unique_ptr<SectorCipher>> unlock_luks(ByteFile& file, u64 offset,
                                                  const std::string& passphrase) {
  Luks luks{file, offset, {}, nullptr, {}, {}, 0};
  EMU_TRY(read_luks_header(luks));
  for (u64 slot = 0; slot < kSlots; ++slot) {
    auto key = try_slot(luks, slot, bytes_of(passphrase));
    if (!key) return key.error();
    if (key->empty()) continue;
    return SectorCipher::create(luks.cipher, luks.mode, *key);
  }
  return Error{EACCES, fmt::format("the key does not open {}; is it the right one, and without a "
                                   "newline that does not belong to it?",
                                   file.path())};
}

Result<void> format_luks(ByteFile& file, u64 offset, const LuksOptions& options) {
  if (options.passphrase.empty()) return fail("{} cannot have an empty passphrase", file.path());
  const Hash& hash = *std::ranges::find(kHashes, "sha256", &Hash::name);
  std::array<u8, kNewKeyBytes + 2 * kSaltBytes + 16> dice{};
  EMU_TRY(fill_random(dice));
  const std::span all(dice);
  const auto key = all.first<kNewKeyBytes>();
  const u32 iterations = calibrate(hash, options.iteration_ms);
  Bytes header = new_header(hash, iterations, new_uuid(all.last<16>()));
  const auto slot_salt = all.subspan<kNewKeyBytes, kSaltBytes>();
  const auto digest_salt = all.subspan<kNewKeyBytes + kSaltBytes, kSaltBytes>();
  const auto at = [&](u64 place) { return header.begin() + static_cast<std::ptrdiff_t>(place); };
  std::ranges::copy(slot_salt, at(kSlotsAt + kSlotSaltAt));
  std::ranges::copy(digest_salt, at(kDigestSaltAt));
  const Bytes digest =
      derive(hash, key, digest_salt, load_be<u32>(&header[kDigestIterationsAt]), kDigestBytes);
  std::ranges::copy(digest, at(kDigestAt));

  auto split = af_split(hash, key);
  if (!split) return split.error();
  const Bytes slot_key =
      derive(hash, bytes_of(options.passphrase), slot_salt, iterations, kNewKeyBytes);
  auto cipher = SectorCipher::create("aes", "xts-plain64", slot_key);
  if (!cipher) return cipher.error();
  (*cipher)->encrypt(0, *split);
  EMU_TRY(file.grow(offset + luks_header_bytes()));
  EMU_TRY(file.write_zeroes(offset, luks_header_bytes()));
  EMU_TRY(file.write_flat(offset + kAlignSectors * kSectorBytes, *split));
  return file.write_flat(offset, header);
}

Result<std::string> read_key_file(const std::string& path) {
  constexpr u64 kMaxBytes = 8 * kMiB;  // cryptsetup's limit
  auto file = HostFile::open(path, false);
  if (!file) return Error{file.error().code, "the key file: " + file.error().message};
  const u64 size = (*file)->size_bytes();
  if (size == 0 || size > kMaxBytes)
    return fail("the key file {} has {} bytes; 1 to {} are possible", path, size, kMaxBytes);
  std::string text(size, '\0');
  EMU_TRY((*file)->read_flat(0, std::span(reinterpret_cast<u8*>(text.data()), text.size())));
  return text;
}

}  // namespace emu::crypt
