// SPDX-License-Identifier: Apache-2.0
// A 102-key PS/2 keyboard ("MF2").
// Source: IBM PS/2 Hardware Interface Technical Reference, "Keyboard (101- and 102-Key)".
// Threads: the machine lock is held by every caller.
// Not modelled: the fake shifts around navigation keys while Num Lock or a shift is on; set 3's
// default key types (every key starts as typematic with make and break); the self test's time.
#pragma once

#include <array>
#include <bitset>
#include <memory>

#include "base/vm_time.h"
#include "devices/device.h"
#include "devices/input/ps2_device.h"
#include "devices/ports/input.h"

namespace emu {

class Ps2Keyboard final : public Device, public Ps2Device, public KeyboardSink {
 public:
  explicit Ps2Keyboard(Clock& clock);

  // A key by its HID usage. Pressing a key that is down does nothing: the keyboard repeats itself.
  void key(KeyCode code, bool pressed) override;
  void write(u8 byte) override;
  // Bit 0: Scroll Lock, 1: Num Lock, 2: Caps Lock.
  [[nodiscard]] u8 leds() const { return leds_; }
  [[nodiscard]] std::optional<KeyLocks> locks() const override {
    if (!leds_known_) return std::nullopt;
    return KeyLocks{(leds_ & 2) != 0, (leds_ & 4) != 0};
  }

  [[nodiscard]] std::string_view name() const override { return "ps2-keyboard"; }
  void reset() override;
  void transfer(StateIo& io) override;
  void resumed() override;

 private:
  static constexpr u8 kBreaks = 1;  // key type bits of set 3
  static constexpr u8 kTypematic = 2;
  static constexpr std::size_t kMaxSequence = 10;

  // The bytes that one key event sends.
  struct Sequence {
    std::array<u8, kMaxSequence> bytes{};
    std::size_t size = 0;
    void add(std::initializer_list<u8> more) {
      for (const u8 byte : more) bytes[size++] = byte;
    }
  };

  void command(u8 byte);
  void argument(u8 byte);
  void set_defaults();
  void select_set(u8 set);
  void set_all_key_types(u8 type);
  void send_key(KeyCode code, bool pressed);
  [[nodiscard]] Sequence set2_sequence(KeyCode code, bool pressed) const;
  [[nodiscard]] Sequence set3_sequence(KeyCode code, bool pressed) const;
  static void translate(Sequence& sequence);
  [[nodiscard]] bool down(KeyCode code) const;
  void start_repeat(KeyCode code);
  void stop_repeat();
  void repeat();
  [[nodiscard]] u64 repeat_delay_ns() const;
  [[nodiscard]] u64 repeat_period_ns() const;

  // wires
  Clock& clock_;
  // parts
  std::unique_ptr<Timer> repeat_timer_;
  // state (saved)
  u8 pending_command_ = 0;  // waits for its argument; 0: none
  u8 set_ = 2;
  u8 leds_ = 0;
  bool leds_known_ = false;  // the guest has set them
  u8 typematic_ = 0;
  bool scanning_ = true;
  std::array<u8, 32> down_{};        // a bit for each usage
  std::array<u8, 256> key_types_{};  // by set 3 code
  u16 repeating_ = 0;                // usage; 0: none
  u64 repeat_at_ns_ = kNever;
};

}  // namespace emu
