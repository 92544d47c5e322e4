// SPDX-License-Identifier: Apache-2.0
// Collects the descriptors of one chain, with the limits that keep a hostile guest's rings finite.
// Source: VIRTIO 1.2: 2.7.4.2 (what the device reads comes before what it writes).
#pragma once

#include "devices/virtio/virtqueue.h"

namespace emu {

class VirtQueue::ChainBuilder {
 public:
  // Takes one descriptor; what is wrong with it, or nothing.
  [[nodiscard]] std::string_view add(u64 address, u32 length_bytes, u16 flags) {
    if (++count_ > kMaxDescriptors) return "a descriptor chain is a loop, or too long";
    const bool is_write = (flags & virtio::kDescriptorWrite) != 0;
    if (!is_write && !chain_.writable.empty()) return "a readable descriptor after a writable one";
    (is_write ? chain_.writable : chain_.readable).push_back({address, length_bytes});
    return {};
  }
  [[nodiscard]] VirtioChain& chain() { return chain_; }

 private:
  VirtioChain chain_;
  unsigned count_ = 0;
};

}  // namespace emu
