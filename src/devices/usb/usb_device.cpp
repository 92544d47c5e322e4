// SPDX-License-Identifier: Apache-2.0
#include "devices/usb/usb_device.h"

#include <algorithm>

namespace emu {
namespace {

constexpr UsbReply kStalled{UsbStatus::kStall, 0};
constexpr UsbReply kDone{UsbStatus::kAck, 0};

// UTF-16 from ASCII (9.6.7).
std::vector<u8> string_descriptor(std::string_view text) {
  text = text.substr(0, 126);
  std::vector<u8> bytes{static_cast<u8>(2 + 2 * text.size()), usb::kStringDescriptor};
  for (const char c : text) {
    bytes.push_back(static_cast<u8>(c));
    bytes.push_back(0);
  }
  return bytes;
}

std::vector<u8> bytes_of(std::span<const u8> bytes) {
  return {bytes.begin(), bytes.end()};
}

}  // namespace

void UsbDevice::bus_reset() {
  address_ = 0;
  configuration_ = 0;
  remote_wakeup_ = false;
  halted_ = 0;
  stage_ = Stage::kIdle;
  setup_.fill(0);
  data_.clear();
  sent_ = 0;
  function_reset();
}

void UsbDevice::transfer(StateIo& io) {
  io.section(name(), 1, [&] {
    io.field(1, "address", address_);
    io.field(2, "configuration", configuration_);
    io.field(3, "remote_wakeup", remote_wakeup_);
    io.field(4, "halted", halted_);
    io.field(5, "stage", stage_);
    io.field(6, "setup", setup_);
    io.field(7, "data", data_, kMostControlBytes);
    io.field(8, "sent", sent_);
    io.check(address_ < 128 && stage_ <= Stage::kStatusOut && sent_ <= data_.size(),
             "a USB device's control pipe");
    transfer_function(io);
  });
}

UsbReply UsbDevice::transact(usb::Token token, u8 endpoint, std::span<u8> data) {
  if (endpoint == 0) return control(token, data);
  if (token == usb::Token::kSetup) return kStalled;
  const bool in = token == usb::Token::kIn;
  if (configuration_ == 0 || (halted_ & halt_bit(endpoint, in)) != 0) return kStalled;
  return in ? endpoint_in(endpoint, data) : endpoint_out(endpoint, data);
}

usb::Setup UsbDevice::setup() const {
  const auto word = [this](std::size_t at) {
    return static_cast<u16>(setup_[at] | setup_[at + 1] << 8);
  };
  return {setup_[0], setup_[1], word(2), word(4), word(6)};
}

UsbReply UsbDevice::control(usb::Token token, std::span<u8> data) {
  if (token == usb::Token::kSetup) return begin(data);
  return token == usb::Token::kIn ? data_in(data) : data_out(data);
}

UsbReply UsbDevice::begin(std::span<const u8> data) {
  if (data.size() != setup_.size()) return {UsbStatus::kSilent, 0};
  std::copy(data.begin(), data.end(), setup_.begin());
  data_.clear();
  sent_ = 0;
  const usb::Setup request = setup();
  if ((request.type & usb::kDirectionIn) == 0) {
    stage_ = request.length == 0 ? Stage::kStatusIn : Stage::kDataOut;
    return {UsbStatus::kAck, data.size()};
  }
  auto answer =
      (request.type & usb::kTypeMask) == usb::kTypeStandard ? standard_in(request) : std::nullopt;
  if (!answer) answer = control_in(request);
  // A refusal shows in the data stage: SETUP is always accepted (8.5.3.4).
  stage_ = answer ? Stage::kDataIn : Stage::kIdle;
  if (answer) {
    answer->resize(std::min({answer->size(), std::size_t{request.length}, kMostControlBytes}));
    data_ = std::move(*answer);
  }
  return {UsbStatus::kAck, data.size()};
}

UsbReply UsbDevice::data_in(std::span<u8> data) {
  if (stage_ == Stage::kStatusIn) return finish_out();
  if (stage_ != Stage::kDataIn) return kStalled;
  const std::size_t left = data_.size() - sent_;
  const std::size_t count = std::min(left, data.size());
  std::copy_n(data_.begin() + sent_, count, data.begin());
  sent_ += static_cast<u32>(count);
  return {UsbStatus::kAck, count};
}

UsbReply UsbDevice::data_out(std::span<const u8> data) {
  if (stage_ == Stage::kDataIn && data.empty()) {  // the status stage
    stage_ = Stage::kIdle;
    return kDone;
  }
  if (stage_ != Stage::kDataOut || data_.size() + data.size() > setup().length) {
    stage_ = Stage::kIdle;
    return kStalled;
  }
  if (setup().length > kMostControlBytes) return kStalled;
  data_.insert(data_.end(), data.begin(), data.end());
  if (data_.size() == setup().length) stage_ = Stage::kStatusIn;
  return {UsbStatus::kAck, data.size()};
}

// The request takes effect in its status stage, so that SET_ADDRESS is acknowledged from the
// old address (9.4.6).
UsbReply UsbDevice::finish_out() {
  stage_ = Stage::kIdle;
  const usb::Setup request = setup();
  const bool standard = (request.type & usb::kTypeMask) == usb::kTypeStandard;
  const bool done = (standard && standard_out(request)) || control_out(request, data_);
  return done ? kDone : kStalled;
}

std::optional<std::vector<u8>> UsbDevice::descriptor(const usb::Setup& request) const {
  const u8 index = static_cast<u8>(request.value);
  switch (request.value >> 8) {
    case usb::kDeviceDescriptor:
      return bytes_of(device_descriptor());
    case usb::kConfigurationDescriptor:
      if (index == 0) return bytes_of(configuration_descriptor());
      return std::nullopt;
    case usb::kStringDescriptor:
      if (index == 0) return std::vector<u8>{4, usb::kStringDescriptor, 0x09, 0x04};  // US English
      if (const std::string_view text = string(index); !text.empty())
        return string_descriptor(text);
      return std::nullopt;
    default:
      return std::nullopt;
  }
}

std::optional<std::vector<u8>> UsbDevice::standard_in(const usb::Setup& request) const {
  const u8 recipient = request.type & usb::kRecipientMask;
  switch (request.request) {
    case usb::kGetStatus: {
      if (recipient == usb::kToInterface) return std::vector<u8>{0, 0};
      const u8 endpoint = static_cast<u8>(request.index);
      const bool halted = (halted_ & halt_bit(endpoint, (endpoint & usb::kEndpointIn) != 0)) != 0;
      if (recipient == usb::kToEndpoint) return std::vector<u8>{static_cast<u8>(halted), 0};
      return std::vector<u8>{static_cast<u8>(1 | (remote_wakeup_ ? 2 : 0)), 0};
    }
    case usb::kGetDescriptor:
      if (recipient != usb::kToDevice) return std::nullopt;
      return descriptor(request);
    case usb::kGetConfiguration:
      return std::vector<u8>{configuration_};
    case usb::kGetInterface:
      return std::vector<u8>{0};
    default:
      return std::nullopt;
  }
}

bool UsbDevice::change_feature(const usb::Setup& request) {
  const bool on = request.request == usb::kSetFeature;
  const u8 recipient = request.type & usb::kRecipientMask;
  if (recipient == usb::kToDevice && request.value == usb::kRemoteWakeup) {
    remote_wakeup_ = on;
    return true;
  }
  if (recipient != usb::kToEndpoint || request.value != usb::kEndpointHalt) return false;
  const u8 endpoint = static_cast<u8>(request.index);
  const u32 mask = halt_bit(endpoint, (endpoint & usb::kEndpointIn) != 0);
  halted_ = on ? halted_ | mask : halted_ & ~mask;
  return true;
}

bool UsbDevice::standard_out(const usb::Setup& request) {
  switch (request.request) {
    case usb::kSetAddress:
      if (request.value > 127) return false;
      address_ = static_cast<u8>(request.value);
      return true;
    case usb::kSetConfiguration:
      if (request.value > 1) return false;
      configuration_ = static_cast<u8>(request.value);
      halted_ = 0;
      function_reset();
      return true;
    case usb::kSetInterface:
      return request.value == 0;
    case usb::kClearFeature:
    case usb::kSetFeature:
      return change_feature(request);
    default:
      return false;
  }
}

}  // namespace emu
