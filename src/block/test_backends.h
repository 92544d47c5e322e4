// SPDX-License-Identifier: Apache-2.0
// Backends without a file: memory, null, and one that fails on demand.
// Threads: the machine lock, or one thread; completions through the Executor.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "block/block_backend.h"
#include "block/memory_file.h"

namespace emu {

// A disk in memory. Requests are done at once and complete through the Executor.
class MemoryBackend final : public BlockBackend {
 public:
  // `size_bytes` is a multiple of 512.
  MemoryBackend(u64 size_bytes, Executor& executor, bool read_only = false)
      : file_("memory", size_bytes), executor_(executor), read_only_(read_only) {}

  [[nodiscard]] u64 size_bytes() const override { return file_.size_bytes(); }
  [[nodiscard]] bool read_only() const override { return read_only_; }
  [[nodiscard]] std::string describe() const override;
  void submit(BlockRequest request, BlockCompletion done) override;
  void drain() override {}
  // The disk's contents, past the door.
  [[nodiscard]] MemoryFile& contents() { return file_; }

 private:
  Result<void> perform(const BlockRequest& request);
  MemoryFile file_;
  Executor& executor_;
  bool read_only_;
};

// A disk of zeros that forgets what is written.
class NullBackend final : public BlockBackend {
 public:
  NullBackend(u64 size_bytes, Executor& executor) : size_bytes_(size_bytes), executor_(executor) {}
  [[nodiscard]] u64 size_bytes() const override { return size_bytes_; }
  [[nodiscard]] bool read_only() const override { return false; }
  [[nodiscard]] std::string describe() const override;
  void submit(BlockRequest request, BlockCompletion done) override;
  void drain() override {}

 private:
  u64 size_bytes_;
  Executor& executor_;
};

// Passes requests on unless `judge` returns an error for them.
class FaultBackend final : public BlockBackend {
 public:
  using Judge = std::function<std::optional<Error>(const BlockRequest&)>;
  FaultBackend(BlockBackend& inner, Executor& executor, Judge judge)
      : inner_(inner), executor_(executor), judge_(std::move(judge)) {}
  [[nodiscard]] u64 size_bytes() const override { return inner_.size_bytes(); }
  [[nodiscard]] bool read_only() const override { return inner_.read_only(); }
  [[nodiscard]] std::string describe() const override { return inner_.describe(); }
  void submit(BlockRequest request, BlockCompletion done) override;
  void drain() override { inner_.drain(); }

 private:
  BlockBackend& inner_;
  Executor& executor_;
  Judge judge_;
};

}  // namespace emu
