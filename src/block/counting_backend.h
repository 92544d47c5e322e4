// SPDX-License-Identifier: Apache-2.0
// Counts the requests that go to a disk.
// Threads: as the backend behind it.
#pragma once

#include <memory>
#include <utility>

#include "block/block_backend.h"

namespace emu {

class CountingBackend final : public BlockBackend {
 public:
  // Adds to `count`, which outlives this and is the submitting thread's.
  CountingBackend(std::unique_ptr<BlockBackend> inner, u64& count)
      : inner_(std::move(inner)), count_(count) {}
  [[nodiscard]] u64 size_bytes() const override { return inner_->size_bytes(); }
  [[nodiscard]] bool read_only() const override { return inner_->read_only(); }
  [[nodiscard]] std::string describe() const override { return inner_->describe(); }
  void submit(BlockRequest request, BlockCompletion done) override {
    ++count_;
    inner_->submit(std::move(request), std::move(done));
  }
  void drain() override { inner_->drain(); }

 private:
  const std::unique_ptr<BlockBackend> inner_;
  u64& count_;
};

}  // namespace emu
