// SPDX-License-Identifier: Apache-2.0
#include "devices/usb/usb_hub.h"

#include <algorithm>

namespace emu {
namespace {

// 11.24.2; type and request.
constexpr u16 kGetHubDescriptor = 0xa006, kGetHubStatus = 0xa000, kGetPortStatus = 0xa300,
              kClearHubFeature = 0x2001, kSetHubFeature = 0x2003, kClearPortFeature = 0x2301,
              kSetPortFeature = 0x2303;
// Features and the bits of a port's status and changes (tables 11-17, 11-21 and 11-22).
constexpr u16 kFeatureEnable = 1, kFeatureSuspend = 2, kFeatureReset = 4, kFeaturePower = 8,
              kFirstChange = 16, kLastChange = 20;
constexpr u16 kConnection = 1 << 0, kEnable = 1 << 1, kSuspend = 1 << 2, kReset = 1 << 4,
              kPower = 1 << 8;

constexpr std::array<u8, 18> kDevice{18,   usb::kDeviceDescriptor,
                                     0x10, 0x01,  // USB 1.1
                                     9,    0,
                                     0,    static_cast<u8>(UsbDevice::kControlPacketBytes),
                                     0x09, 0x04,  // 0409:55aa, as QEMU's
                                     0xaa, 0x55,
                                     1,    1,
                                     1,    2,
                                     0,    1};
constexpr std::array<u8, 25> kConfiguration{9,
                                            usb::kConfigurationDescriptor,
                                            25,
                                            0,
                                            1,
                                            1,
                                            0,
                                            0xe0,
                                            0,
                                            9,
                                            usb::kInterfaceDescriptor,
                                            0,
                                            0,
                                            1,
                                            9,
                                            0,
                                            0,
                                            0,
                                            7,
                                            usb::kEndpointDescriptor,
                                            usb::kEndpointIn | 1,
                                            usb::kInterrupt,
                                            2,
                                            0,
                                            0xff};
constexpr UsbReply kStalled{UsbStatus::kStall, 0};

}  // namespace

UsbHub::UsbHub(std::string name) : UsbDevice(std::move(name)) {}

void UsbHub::attach(unsigned port, UsbDevice& device) {
  devices_[port - 1] = &device;
  device.set_wake([this] { wake(); });
  function_reset();
}

UsbDevice* UsbHub::child(unsigned port) {
  if (port == 0 || port > kPorts || (status_[port - 1] & kEnable) == 0) return nullptr;
  return devices_[port - 1];
}

UsbDevice* UsbHub::find(u8 address) {
  if (UsbDevice* const self = UsbDevice::find(address)) return self;
  for (unsigned port = 1; port <= kPorts; ++port) {
    UsbDevice* const device = child(port);
    UsbDevice* const found = device != nullptr ? device->find(address) : nullptr;
    if (found != nullptr) return found;
  }
  return nullptr;
}

std::span<const u8> UsbHub::device_descriptor() const {
  return kDevice;
}

std::span<const u8> UsbHub::configuration_descriptor() const {
  return kConfiguration;
}

std::string_view UsbHub::string(u8 index) const {
  return index == 1 ? "emu" : index == 2 ? "emu USB hub" : "";
}

std::optional<std::vector<u8>> UsbHub::control_in(const usb::Setup& setup) {
  switch (setup.code()) {
    case kGetHubDescriptor:
      // No power switching; removable devices; every port powered (11.23.2.1).
      return std::vector<u8>{11, usb::kHubDescriptor, kPorts, 0x0a, 0, 1, 0, 0, 0, 0xff, 0xff};
    case kGetHubStatus:
      return std::vector<u8>{1, 0, 0, 0};
    case kGetPortStatus: {
      if (setup.index == 0 || setup.index > kPorts) return std::nullopt;
      const u16 status = status_[setup.index - 1u], change = changes_[setup.index - 1u];
      return std::vector<u8>{static_cast<u8>(status), static_cast<u8>(status >> 8),
                             static_cast<u8>(change), static_cast<u8>(change >> 8)};
    }
    default:
      return std::nullopt;
  }
}

bool UsbHub::control_out(const usb::Setup& setup, std::span<const u8>) {
  switch (setup.code()) {
    case kClearHubFeature:
    case kSetHubFeature:
      return setup.value < 2;
    case kClearPortFeature:
    case kSetPortFeature: {
      const unsigned port = setup.index & 0xff;
      if (port == 0 || port > kPorts) return false;
      return setup.code() == kSetPortFeature ? set_port(port - 1, setup.value)
                                             : clear_port(port - 1, setup.value);
    }
    default:
      return false;
  }
}

bool UsbHub::set_port(unsigned port, u16 feature) {
  UsbDevice* const device = devices_[port];
  switch (feature) {
    case kFeatureSuspend:
      status_[port] |= kSuspend;
      return true;
    case kFeaturePower:
      status_[port] |= kPower;
      return true;
    case kFeatureReset:  // over at once (11.24.2.7.1.5)
      if (device != nullptr) {
        device->bus_reset();
        status_[port] = static_cast<u16>((status_[port] | kEnable) & ~kSuspend);
      }
      changes_[port] |= kReset;
      wake();
      return true;
    default:
      return false;
  }
}

bool UsbHub::clear_port(unsigned port, u16 feature) {
  if (feature >= kFirstChange && feature <= kLastChange) {
    changes_[port] &= static_cast<u16>(~(1u << (feature - kFirstChange)));
    return true;
  }
  switch (feature) {
    case kFeatureEnable:
      status_[port] &= static_cast<u16>(~kEnable);
      return true;
    case kFeatureSuspend:
      if ((status_[port] & kSuspend) != 0) changes_[port] |= kSuspend;
      status_[port] &= static_cast<u16>(~kSuspend);
      wake();
      return true;
    case kFeaturePower:
      status_[port] &= static_cast<u16>(~(kPower | kEnable | kSuspend));
      return true;
    default:
      return false;
  }
}

// A bit for each port with changes (11.12.4).
UsbReply UsbHub::endpoint_in(u8 endpoint, std::span<u8> data) {
  if (endpoint != 1) return kStalled;
  u32 bits = 0;
  for (unsigned i = 0; i < kPorts; ++i) bits |= changes_[i] != 0 ? 2u << i : 0;
  if (bits == 0) return {UsbStatus::kNak, 0};
  const std::size_t length = std::min<std::size_t>(2, data.size());
  for (std::size_t i = 0; i < length; ++i) data[i] = static_cast<u8>(bits >> 8 * i);
  return {UsbStatus::kAck, length};
}

void UsbHub::function_reset() {
  for (unsigned i = 0; i < kPorts; ++i) {
    const bool connected = devices_[i] != nullptr;
    status_[i] = static_cast<u16>(kPower | (connected ? kConnection : 0));
    changes_[i] = connected ? kConnection : u16{0};
    if (connected) devices_[i]->bus_reset();
  }
}

void UsbHub::transfer_function(StateIo& io) {
  io.field(20, "port_status", status_);
  io.field(21, "port_changes", changes_);
}

}  // namespace emu
