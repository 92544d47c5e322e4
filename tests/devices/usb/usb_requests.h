// SPDX-License-Identifier: Apache-2.0
// Control transfers with a USB device, without a bus between.
// Source: USB 2.0 specification, 8.5.3.
#pragma once

#include <vector>

#include "devices/usb/usb_device.h"

namespace emu {

// SETUP, data IN and status; empty after a stall.
inline std::vector<u8> control_in(UsbDevice& device, std::array<u8, 8> setup) {
  std::vector<u8> data;
  device.transact(usb::Token::kSetup, 0, setup);
  for (;;) {
    std::array<u8, 64> packet{};
    const UsbReply reply = device.transact(usb::Token::kIn, 0, packet);
    if (reply.status != UsbStatus::kAck) return {};
    data.insert(data.end(), packet.begin(), packet.begin() + static_cast<long>(reply.length));
    if (reply.length < packet.size()) break;
  }
  device.transact(usb::Token::kOut, 0, {});
  return data;
}

// SETUP, data OUT and status; whether it was accepted.
inline bool control_out(UsbDevice& device, std::array<u8, 8> setup, std::vector<u8> data = {}) {
  device.transact(usb::Token::kSetup, 0, setup);
  if (!data.empty() && device.transact(usb::Token::kOut, 0, data).status != UsbStatus::kAck)
    return false;
  return device.transact(usb::Token::kIn, 0, {}).status == UsbStatus::kAck;
}

// The next report of the interrupt endpoint; empty after NAK.
inline std::vector<u8> poll(UsbDevice& device) {
  std::array<u8, 8> report{};
  const UsbReply reply = device.transact(usb::Token::kIn, 1, report);
  return {report.begin(), report.begin() + static_cast<long>(reply.length)};
}

inline void configure(UsbDevice& device, u8 address = 1) {
  control_out(device, {0, 5, address, 0, 0, 0, 0, 0});
  control_out(device, {0, 9, 1, 0, 0, 0, 0, 0});
}

}  // namespace emu
