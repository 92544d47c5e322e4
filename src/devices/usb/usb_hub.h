// SPDX-License-Identifier: Apache-2.0
// A USB hub with eight ports.
// Source: USB 2.0 specification, chapter 11: 11.23 (descriptors), 11.24 (requests).
// Threads: the machine lock is held by every caller.
// Not modelled: power switching of single ports, over-current, indicators, high speed behind it.
#pragma once

#include "devices/usb/usb_device.h"

namespace emu {

class UsbHub final : public UsbDevice {
 public:
  static constexpr unsigned kPorts = 8;

  explicit UsbHub(std::string name);
  // Plugs a device into port 1.., before the machine starts. The device must outlive this.
  void attach(unsigned port, UsbDevice& device);

  [[nodiscard]] UsbDevice* find(u8 address) override;
  [[nodiscard]] UsbDevice* child(unsigned port) override;

 private:
  [[nodiscard]] std::span<const u8> device_descriptor() const override;
  [[nodiscard]] std::span<const u8> configuration_descriptor() const override;
  [[nodiscard]] std::string_view string(u8 index) const override;
  [[nodiscard]] std::optional<std::vector<u8>> control_in(const usb::Setup& setup) override;
  [[nodiscard]] bool control_out(const usb::Setup& setup, std::span<const u8> data) override;
  [[nodiscard]] UsbReply endpoint_in(u8 endpoint, std::span<u8> data) override;
  [[nodiscard]] UsbReply endpoint_out(u8, std::span<const u8>) override {
    return {UsbStatus::kStall, 0};
  }
  void function_reset() override;
  void transfer_function(StateIo& io) override;
  [[nodiscard]] bool set_port(unsigned port, u16 feature);
  [[nodiscard]] bool clear_port(unsigned port, u16 feature);

  // wires
  std::array<UsbDevice*, kPorts> devices_{};
  // state (saved)
  std::array<u16, kPorts> status_{};
  std::array<u16, kPorts> changes_{};
};

}  // namespace emu
