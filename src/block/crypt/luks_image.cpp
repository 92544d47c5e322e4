// SPDX-License-Identifier: Apache-2.0
#include "block/crypt/luks_image.h"

#include "base/bits.h"

namespace emu::crypt {

LuksImage::LuksImage(std::unique_ptr<ByteFile> file, LuksAbout about,
                     std::shared_ptr<const SectorCipher> cipher)
    : file_(std::move(file)),
      about_(std::move(about)),
      plain_(*file_, about_.payload_bytes, std::move(cipher)),
      size_bytes_(align_down(plain_.size_bytes(), kSectorBytes)) {}

Result<std::unique_ptr<DiskImage>> LuksImage::open(std::unique_ptr<ByteFile> file,
                                                   const std::string& passphrase) {
  auto about = read_luks(*file, 0);
  if (!about) return about.error();
  std::shared_ptr<const SectorCipher> cipher;
  if (!passphrase.empty()) {
    auto unlocked = unlock_luks(*file, 0, passphrase);
    if (!unlocked) return unlocked.error();
    cipher = std::move(*unlocked);
  }
  return std::unique_ptr<DiskImage>(
      new LuksImage(std::move(file), std::move(*about), std::move(cipher)));
}

std::string LuksImage::describe() const {
  return fmt::format("{} (luks, {}{})", base_name(file_->path()), size_text(size_bytes_),
                     read_only() ? ", read-only" : "");
}

ImageInfo LuksImage::info() const {
  ImageInfo info;
  info.file = file_->path();
  info.format = "luks";
  info.virtual_bytes = size_bytes_;
  info.actual_bytes = file_->allocated_bytes();
  info.is_encrypted = true;
  info.details = {{"cipher", about_.cipher_name},
                  {"key-bits", u64{about_.key_bits}},
                  {"payload-offset", about_.payload_bytes}};
  return info;
}

Result<void> LuksImage::resize(u64 size_bytes) {
  EMU_TRY(size_bytes < size_bytes_ ? plain_.shrink(size_bytes) : plain_.grow(size_bytes));
  const u64 old = size_bytes_;
  size_bytes_ = align_down(size_bytes, kSectorBytes);
  return size_bytes_ > old ? plain_.write_zeroes(old, size_bytes_ - old) : Result<void>{};
}

}  // namespace emu::crypt
