// SPDX-License-Identifier: Apache-2.0
// USB human interface devices: a tablet (absolute pointer), a mouse and a keyboard.
// Source: HID 1.11, 6.2 and 7.2, appendix B (boot protocol) and E (descriptors); HID Usage Tables
// 1.4.
// Threads: the machine lock is held by every caller.
// Not modelled: idle rates (a report goes out when something changed), output reports other than
// the keyboard's LEDs, which are kept and shown to nobody.
#pragma once

#include <bitset>
#include <deque>

#include "devices/ports/input.h"
#include "devices/usb/usb_device.h"

namespace emu {

// The part that the three share: descriptors, class requests, one interrupt pipe.
class UsbHid : public UsbDevice {
 protected:
  struct Kind {
    std::string_view product;
    u16 product_id;
    u8 subclass, protocol;  // of the interface: 1, 1 or 2 for boot devices
    u8 report_bytes;
    std::span<const u8> report_descriptor;
  };
  UsbHid(std::string name, const Kind& kind);

  // The next report, or nothing if nothing happened; at most kind.report_bytes.
  [[nodiscard]] virtual std::optional<std::vector<u8>> next_report() = 0;
  // The state as it is, for GET_REPORT.
  [[nodiscard]] virtual std::vector<u8> current_report() const = 0;

  [[nodiscard]] std::span<const u8> device_descriptor() const override { return device_; }
  [[nodiscard]] std::span<const u8> configuration_descriptor() const override {
    return configuration_;
  }
  [[nodiscard]] std::string_view string(u8 index) const override;
  [[nodiscard]] std::optional<std::vector<u8>> control_in(const usb::Setup& setup) override;
  [[nodiscard]] bool control_out(const usb::Setup& setup, std::span<const u8> data) override;
  [[nodiscard]] UsbReply endpoint_in(u8 endpoint, std::span<u8> data) override;
  [[nodiscard]] UsbReply endpoint_out(u8, std::span<const u8>) override {
    return {UsbStatus::kStall, 0};
  }
  [[nodiscard]] u8 leds() const { return leds_; }
  void transfer_hid(StateIo& io);
  void reset_hid();

 private:
  const Kind kind_;
  std::array<u8, 18> device_{};
  std::array<u8, 34> configuration_{};
  // state (saved)
  u8 idle_ = 0;
  u8 protocol_ = 1;  // report
  u8 leds_ = 0;
};

// Where a pointer is or how far it went, and which buttons are down.
struct PointerEvent {
  i32 x = 0, y = 0, wheel = 0;
  u8 buttons = 0;  // bit n: MouseButton n
};

// Pointer events on their way to the guest: as many as it takes to show every change of a button.
class PointerQueue {
 public:
  enum class Kind : u8 { kAbsolute, kRelative };
  explicit PointerQueue(Kind kind) : kind_(kind) {}
  // A movement, or a position, and wheel notches.
  void move(i32 x, i32 y, i32 wheel);
  void button(MouseButton button, bool pressed);
  // The next event: of a relative pointer in steps of -127..127.
  [[nodiscard]] std::optional<PointerEvent> take();
  [[nodiscard]] PointerEvent last() const { return last_; }
  void clear();
  void transfer(StateIo& io);

 private:
  static constexpr std::size_t kMostEvents = 16;
  void append(const PointerEvent& event);

  const Kind kind_;
  // state (saved)
  std::deque<PointerEvent> events_;
  PointerEvent last_;
};

class UsbTablet final : public UsbHid, public TabletSink {
 public:
  explicit UsbTablet(std::string name);
  [[nodiscard]] bool is_listening() const override { return is_configured(); }
  void point(u16 x, u16 y, i32 wheel) override;
  void button(MouseButton button, bool pressed) override;

 private:
  [[nodiscard]] std::optional<std::vector<u8>> next_report() override;
  [[nodiscard]] std::vector<u8> current_report() const override;
  void function_reset() override;
  void transfer_function(StateIo& io) override;
  PointerQueue queue_{PointerQueue::Kind::kAbsolute};
};

class UsbMouse final : public UsbHid, public MouseSink {
 public:
  explicit UsbMouse(std::string name);
  void move(i32 dx, i32 dy, i32 wheel) override;
  void button(MouseButton button, bool pressed) override;

 private:
  [[nodiscard]] std::optional<std::vector<u8>> next_report() override;
  [[nodiscard]] std::vector<u8> current_report() const override;
  void function_reset() override;
  void transfer_function(StateIo& io) override;
  PointerQueue queue_{PointerQueue::Kind::kRelative};
};

class UsbKeyboard final : public UsbHid, public KeyboardSink {
 public:
  explicit UsbKeyboard(std::string name);
  void key(KeyCode code, bool pressed) override;
  [[nodiscard]] std::optional<KeyLocks> locks() const override {
    return KeyLocks{(leds() & 1) != 0, (leds() & 2) != 0};
  }

 private:
  static constexpr std::size_t kMostEvents = 64;
  [[nodiscard]] std::optional<std::vector<u8>> next_report() override;
  [[nodiscard]] std::vector<u8> current_report() const override;
  void function_reset() override;
  void transfer_function(StateIo& io) override;
  // state (saved)
  std::array<u8, 32> down_{};  // keys by usage, as the guest was told
  std::vector<u8> events_;     // pairs: usage, pressed
};

}  // namespace emu
