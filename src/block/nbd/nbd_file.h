// SPDX-License-Identifier: Apache-2.0
// A disk that another program serves over the network block device protocol.
// Source: libnbd(3), nbd_connect_uri(3); the NBD protocol's doc/proto.md and doc/uri.md.
// Threads: any; requests go one after the other over the one connection.
// Not modelled: going on after the connection is lost; the server's map of holes.
#pragma once

#include <memory>
#include <mutex>

#include "block/byte_file.h"

struct nbd_handle;

namespace emu {

// Whether a name is meant for an NBD server: "nbd://host/export", "nbd+unix:///?socket=/path".
[[nodiscard]] bool is_nbd_uri(const std::string& name);

class NbdFile final : public ByteFile {
 public:
  // Connects. Errors: a sentence with the server's or the library's reason; a read-only export that
  // is to be written.
  [[nodiscard]] static Result<std::unique_ptr<NbdFile>> open(const std::string& uri, bool writable);
  ~NbdFile() override;

  [[nodiscard]] const std::string& path() const override { return uri_; }
  [[nodiscard]] bool read_only() const override { return !writable_; }
  [[nodiscard]] u64 size_bytes() const override { return size_bytes_; }
  [[nodiscard]] u64 allocated_bytes() const override { return size_bytes_; }
  Result<void> read(u64 offset, Pieces out) override;
  Result<void> write(u64 offset, Pieces in) override;
  Result<void> write_zeroes(u64 offset, u64 length_bytes) override;
  Result<void> discard(u64 offset, u64 length_bytes) override;
  // An export cannot grow: ENOSPC.
  Result<void> grow(u64 size_bytes) override;
  Result<void> flush() override;

 private:
  NbdFile(std::string uri, nbd_handle* handle, bool writable)
      : uri_(std::move(uri)), handle_(handle), writable_(writable) {}
  [[nodiscard]] Error failed(const char* what, u64 offset) const;

  std::string uri_;
  nbd_handle* handle_;
  bool writable_;
  u64 size_bytes_ = 0;
  std::mutex mutex_;  // the handle's error text belongs to the call that failed
};

}  // namespace emu
