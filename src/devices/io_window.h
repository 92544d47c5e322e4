// SPDX-License-Identifier: Apache-2.0
// One of several register windows of a device, as an IoHandler that calls two members of it.
#pragma once

#include "memory/io_handler.h"

namespace emu {

// For windows of byte-wide registers: the bus splits wider accesses.
inline constexpr AccessSizes kByteRegisters{1, 1, false};

// A member of its owner, which names two of its own (perhaps private) functions:
// `IoWindow<I8259Pair> elcr_{*this, &I8259Pair::read_elcr, &I8259Pair::write_elcr};`
template <class Owner>
class IoWindow final : public IoHandler {
 public:
  using Read = u64 (Owner::*)(u64, unsigned);
  using Write = void (Owner::*)(u64, unsigned, u64);
  IoWindow(Owner& owner, Read on_read, Write on_write)
      : owner_(owner), read_(on_read), write_(on_write) {}
  [[nodiscard]] u64 read(u64 offset, unsigned size) override {
    return (owner_.*read_)(offset, size);
  }
  void write(u64 offset, unsigned size, u64 value) override {
    (owner_.*write_)(offset, size, value);
  }

 private:
  Owner& owner_;
  Read read_;
  Write write_;
};

}  // namespace emu
