// SPDX-License-Identifier: Apache-2.0
// Small guests as firmware images: 16-bit real-mode code at F000:0000, put together call by call.
#pragma once

#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "machine/machine.h"

namespace emu {

class RomGuest {
 public:
  // mov al, value; mov dx, port; out dx, al
  RomGuest& out8(u16 port, u8 value) {
    return bytes({0xb0, value, 0xba, low(port), high(port), 0xee});
  }
  // mov ax, value; mov dx, port; out dx, ax
  RomGuest& out16(u16 port, u16 value) {
    return bytes({0xb8, low(value), high(value), 0xba, low(port), high(port), 0xef});
  }
  // mov eax, value; mov dx, port; out dx, eax
  RomGuest& out32(u16 port, u32 value) {
    bytes({0x66, 0xb8, low(value), high(value), static_cast<u8>(value >> 16),
           static_cast<u8>(value >> 24)});
    return bytes({0xba, low(port), high(port), 0x66, 0xef});
  }
  // out to PCI configuration register `offset` of `devfn`.
  RomGuest& pci32(u8 devfn, u8 offset, u32 value) {
    out32(0xcf8, 0x80000000u | u32{devfn} << 8 | offset);
    return out32(0xcfc, value);
  }
  // Ends the machine with status value << 1 | 1.
  RomGuest& exit(u8 value) { return out8(0xf4, value); }
  // cli; hlt, again and again
  RomGuest& halt() { return bytes({0xfa, 0xf4, 0xeb, 0xfc}); }
  RomGuest& bytes(std::initializer_list<u8> more) {
    code_.insert(code_.end(), more);
    return *this;
  }
  [[nodiscard]] std::size_t here() const { return code_.size(); }

  // The image: code at F000:0000, a far jump there at the reset vector.
  [[nodiscard]] std::vector<u8> image() const {
    std::vector<u8> rom = code_;
    rom.resize(0x10000, 0xf4);
    const std::vector<u8> jump{0xea, 0x00, 0x00, 0x00, 0xf0};
    std::copy(jump.begin(), jump.end(), rom.begin() + 0xfff0);
    return rom;
  }

 private:
  static u8 low(u32 v) { return static_cast<u8>(v); }
  static u8 high(u32 v) { return static_cast<u8>(v >> 8); }
  std::vector<u8> code_;
};

// Remembers what a guest sends.
class RecordingChar final : public CharBackend {
 public:
  void send(std::span<const u8> bytes) override { text.append(bytes.begin(), bytes.end()); }
  void set_receiver(CharReceiver*) override {}
  std::string text;  // machine lock
};

// A machine that runs a RomGuest; its image file is removed at the end.
class RomMachine {
 public:
  explicit RomMachine(const RomGuest& guest, MachineConfig config = {},
                      AudioSink* audio = nullptr) {
    static int number = 0;
    path_ = fmt::format("{}/emu_rom_{}_{}", ::testing::TempDir(), ::getpid(), number++);
    const std::vector<u8> image = guest.image();
    std::ofstream(path_, std::ios::binary)
        .write(reinterpret_cast<const char*>(image.data()),
               static_cast<std::streamsize>(image.size()));
    config.engine = EngineChoice::kTcg;
    config.memory_bytes = 16 * kMiB;
    config.firmware = path_;
    config.debug_exit_port = 0xf4;
    config.translator.code_cache_bytes = 16 * kMiB;
    auto created = Machine::create(config, {serial, nullptr, audio});
    EXPECT_TRUE(created) << (created ? "" : created.error().message);
    if (created) machine = std::move(*created);
  }
  ~RomMachine() { std::remove(path_.c_str()); }

  // Starts, waits for the end, returns it.
  MachineEnd run() {
    machine->start();
    return wait();
  }
  MachineEnd wait() {
    EXPECT_TRUE(machine->wait_finished(std::chrono::seconds(60)));
    return machine->end();
  }

  RecordingChar serial;
  std::unique_ptr<Machine> machine;

 private:
  std::string path_;
};

}  // namespace emu
