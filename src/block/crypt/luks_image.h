// SPDX-License-Identifier: Apache-2.0
// A raw disk inside a LUKS container (qemu's format "luks").
#pragma once

#include <memory>

#include "block/crypt/crypt_file.h"
#include "block/crypt/luks.h"
#include "block/disk_image.h"

namespace emu::crypt {

class LuksImage final : public DiskImage {
 public:
  // With an empty passphrase the image only tells about itself; every transfer fails with EACCES.
  // Errors: as unlock_luks().
  [[nodiscard]] static Result<std::unique_ptr<DiskImage>> open(std::unique_ptr<ByteFile> file,
                                                               const std::string& passphrase);

  [[nodiscard]] u64 size_bytes() const override { return size_bytes_; }
  [[nodiscard]] bool read_only() const override { return file_->read_only(); }
  [[nodiscard]] std::string describe() const override;
  Result<void> read(u64 offset, Pieces out) override { return plain_.read(offset, out); }
  [[nodiscard]] bool read_at_once(u64 offset, Pieces out) override {
    return plain_.read_at_once(offset, out);
  }
  Result<void> write(u64 offset, Pieces in) override { return plain_.write(offset, in); }
  Result<void> write_zeroes(u64 offset, u64 length_bytes) override {
    return plain_.write_zeroes(offset, length_bytes);
  }
  Result<void> discard(u64, u64) override { return {}; }
  Result<void> flush() override { return plain_.flush(); }
  [[nodiscard]] ImageInfo info() const override;
  Result<void> resize(u64 size_bytes) override;

 private:
  LuksImage(std::unique_ptr<ByteFile> file, LuksAbout about,
            std::shared_ptr<const SectorCipher> cipher);

  const std::unique_ptr<ByteFile> file_;
  const LuksAbout about_;
  CryptFile plain_;
  u64 size_bytes_;
};

}  // namespace emu::crypt
