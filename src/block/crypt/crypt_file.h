// SPDX-License-Identifier: Apache-2.0
// A file whose sectors are encrypted on the host, each under its number: what is above sees plain
// bytes.
// Threads: any.
// Not modelled: holes. What was never written reads as noise.
#pragma once

#include <memory>
#include <mutex>

#include "block/byte_file.h"
#include "block/crypt/sector_cipher.h"

namespace emu::crypt {

class CryptFile final : public ByteFile {
 public:
  // `inner` outlives this. Its byte `start_bytes` (whole sectors) is byte 0 here, and sector 0.
  // Without a cipher every transfer fails with EACCES.
  CryptFile(ByteFile& inner, u64 start_bytes, std::shared_ptr<const SectorCipher> cipher)
      : inner_(inner), start_(start_bytes), cipher_(std::move(cipher)) {}

  [[nodiscard]] const std::string& path() const override { return inner_.path(); }
  [[nodiscard]] bool read_only() const override { return inner_.read_only(); }
  [[nodiscard]] u64 size_bytes() const override;
  [[nodiscard]] u64 allocated_bytes() const override { return inner_.allocated_bytes(); }
  Result<void> read(u64 offset, Pieces out) override;
  [[nodiscard]] bool read_at_once(u64 offset, Pieces out) override;
  Result<void> write(u64 offset, Pieces in) override;
  Result<void> write_zeroes(u64 offset, u64 length_bytes) override;
  Result<void> discard(u64, u64) override { return {}; }
  Result<void> grow(u64 size_bytes) override { return inner_.grow(start_ + size_bytes); }
  Result<void> shrink(u64 size_bytes) override { return inner_.shrink(start_ + size_bytes); }
  Result<void> flush() override { return inner_.flush(); }

 private:
  [[nodiscard]] Result<void> need_key() const;
  void decrypt(u64 offset, Pieces pieces) const;
  Result<void> read_odd(u64 offset, Pieces out);
  Result<void> write_sectors(u64 offset, PieceCursor& cursor, u64 length_bytes);
  Result<void> write_odd(u64 offset, Pieces in);

  ByteFile& inner_;
  const u64 start_;
  const std::shared_ptr<const SectorCipher> cipher_;
  std::mutex odd_writes_;  // read and change a sector: one at a time
};

}  // namespace emu::crypt
