// SPDX-License-Identifier: Apache-2.0
// Two ports for small guests and firmware: a byte printer and a way to end the emulator.
// Source: Bochs and QEMU convention: debug console at 402h (SeaBIOS, OVMF) or E9h (Bochs), whose
// reads give E9h so that firmware can detect it; isa-debug-exit at F4h.
// Threads: the machine lock is held by every caller.
#pragma once

#include <functional>
#include <string>

#include "devices/device.h"
#include "devices/ports/character.h"
#include "memory/io_handler.h"

namespace emu {

// Every byte written goes to the backend; one byte register.
class DebugConsole final : public Device, public IoHandler {
 public:
  // `name` is unique within the machine. The backend outlives the port and gets no receiver.
  DebugConsole(std::string name, CharBackend& backend)
      : name_(std::move(name)), backend_(backend) {}

  [[nodiscard]] IoHandler& ports() { return *this; }
  [[nodiscard]] u64 read(u64, unsigned) override { return kPresent; }
  void write(u64, unsigned, u64 value) override {
    const u8 byte = static_cast<u8>(value);
    backend_.send(std::span<const u8>(&byte, 1));
  }

  [[nodiscard]] std::string_view name() const override { return name_; }
  void reset() override {}
  void transfer(StateIo& io) override {
    io.section(name(), 1, [] {});
  }

 private:
  static constexpr u8 kPresent = 0xe9;
  // wires
  std::string name_;
  CharBackend& backend_;
};

// A write of any size asks the machine to end with that value (by convention, the process exits
// with `value << 1 | 1`). Up to four bytes at the machine's chosen port; reads give zero.
class DebugExit final : public Device, public IoHandler {
 public:
  explicit DebugExit(std::function<void(u32 value)> request_exit)
      : request_exit_(std::move(request_exit)) {}

  [[nodiscard]] IoHandler& ports() { return *this; }
  [[nodiscard]] u64 read(u64, unsigned) override { return 0; }
  void write(u64, unsigned, u64 value) override { request_exit_(static_cast<u32>(value)); }

  [[nodiscard]] std::string_view name() const override { return "debug-exit"; }
  void reset() override {}
  void transfer(StateIo& io) override {
    io.section(name(), 1, [] {});
  }

 private:
  // wires
  std::function<void(u32 value)> request_exit_;
};

}  // namespace emu
