// SPDX-License-Identifier: Apache-2.0
// What every USB function has: an address, the default control pipe and its standard requests.
// Source: USB 2.0 specification, 8.5.3 (control transfers) and chapter 9.
// Threads: the machine lock is held by every caller.
// Not modelled: data toggles and CRCs (nothing gets lost on this bus), isochronous pipes, several
// configurations, alternate settings.
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "devices/device.h"
#include "devices/usb/usb_spec.h"

namespace emu {

// How a transaction ended. kSilent: nobody answered.
enum class UsbStatus : u8 { kAck, kNak, kStall, kSilent };
struct UsbReply {
  UsbStatus status = UsbStatus::kSilent;
  std::size_t length = 0;  // bytes that an IN transaction brought
};

class UsbDevice : public Device {
 public:
  // `name` is unique in the machine.
  explicit UsbDevice(std::string name) : name_(std::move(name)) {}
  UsbDevice(const UsbDevice&) = delete;
  UsbDevice& operator=(const UsbDevice&) = delete;

  [[nodiscard]] std::string_view name() const final { return name_; }
  void reset() override { bus_reset(); }
  void transfer(StateIo& io) override;

  // The port's reset signal: address 0, not configured.
  void bus_reset();
  // The device that answers to `address`: this one, or one behind a hub. Null: none.
  [[nodiscard]] virtual UsbDevice* find(u8 address) { return address == address_ ? this : nullptr; }
  // What is plugged into port 1.. of a hub; null: nothing that hears the bus, or this is no hub.
  [[nodiscard]] virtual UsbDevice* child(unsigned port) {
    static_cast<void>(port);
    return nullptr;
  }
  [[nodiscard]] virtual usb::Speed speed() const { return usb::Speed::kFull; }
  // One transaction with endpoint 0..15. SETUP and OUT take `data`; IN fills it, as far as there
  // is something.
  UsbReply transact(usb::Token token, u8 endpoint, std::span<u8> data);
  // `wake` is called when something may have become ready that was answered with NAK.
  virtual void set_wake(std::function<void()> wake) { wake_ = std::move(wake); }
  [[nodiscard]] bool is_configured() const { return configuration_ != 0; }
  [[nodiscard]] u8 address() const { return address_; }
  // The packet size of endpoint 0.
  static constexpr u16 kControlPacketBytes = 64;

 protected:
  // Whole descriptors; the configuration's with everything that belongs to it.
  [[nodiscard]] virtual std::span<const u8> device_descriptor() const = 0;
  [[nodiscard]] virtual std::span<const u8> configuration_descriptor() const = 0;
  // String `index`, 1..; ASCII.
  [[nodiscard]] virtual std::string_view string(u8 index) const = 0;
  // Requests that are not answered here; nothing and false stall the pipe.
  [[nodiscard]] virtual std::optional<std::vector<u8>> control_in(const usb::Setup& setup) = 0;
  [[nodiscard]] virtual bool control_out(const usb::Setup& setup, std::span<const u8> data) = 0;
  // Other endpoints, while configured.
  [[nodiscard]] virtual UsbReply endpoint_in(u8 endpoint, std::span<u8> data) = 0;
  [[nodiscard]] virtual UsbReply endpoint_out(u8 endpoint, std::span<const u8> data) = 0;
  // Back to what it is after a bus reset, or when the configuration is chosen.
  virtual void function_reset() = 0;
  virtual void transfer_function(StateIo& io) = 0;

  void wake() {
    if (wake_) wake_();
  }
  void halt(u8 endpoint, bool in) { halted_ |= halt_bit(endpoint, in); }

 private:
  enum class Stage : u8 { kIdle, kDataIn, kDataOut, kStatusIn, kStatusOut };
  static constexpr std::size_t kMostControlBytes = 4096;

  static u32 halt_bit(u8 endpoint, bool in) { return u32{1} << ((endpoint & 15) + (in ? 16 : 0)); }
  [[nodiscard]] usb::Setup setup() const;
  UsbReply control(usb::Token token, std::span<u8> data);
  UsbReply begin(std::span<const u8> data);
  UsbReply data_in(std::span<u8> data);
  UsbReply data_out(std::span<const u8> data);
  UsbReply finish_out();
  [[nodiscard]] std::optional<std::vector<u8>> standard_in(const usb::Setup& setup) const;
  [[nodiscard]] std::optional<std::vector<u8>> descriptor(const usb::Setup& setup) const;
  [[nodiscard]] bool standard_out(const usb::Setup& setup);
  [[nodiscard]] bool change_feature(const usb::Setup& setup);

  const std::string name_;
  std::function<void()> wake_;
  // state (saved)
  u8 address_ = 0;
  u8 configuration_ = 0;
  bool remote_wakeup_ = false;
  u32 halted_ = 0;  // bits by endpoint; IN endpoints from bit 16
  Stage stage_ = Stage::kIdle;
  std::array<u8, 8> setup_{};
  std::vector<u8> data_;  // of the control transfer
  u32 sent_ = 0;          // of data_, when it goes in
};

}  // namespace emu
