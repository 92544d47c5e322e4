// SPDX-License-Identifier: Apache-2.0
#include "devices/sound/hda_codec.h"

#include <cmath>
#include <string>

namespace emu {
namespace {

constexpr u32 kVendorId = 0x1AF40022;  // one that QEMU's codecs have: drivers take their defaults
// Parameters (7.3.4).
enum Parameter : u8 {
  kParamVendor = 0x00,
  kParamRevision = 0x02,
  kParamSubNodes = 0x04,
  kParamGroupType = 0x05,
  kParamWidget = 0x09,
  kParamPcm = 0x0A,
  kParamStream = 0x0B,
  kParamPin = 0x0C,
  kParamAmpIn = 0x0D,
  kParamConnections = 0x0E,
  kParamAmpOut = 0x12,
};
// Verbs (7.3.3): a byte of payload, or two.
enum Verb : u16 {
  kSetConnection = 0x701,
  kSetPower = 0x705,
  kSetStream = 0x706,
  kSetPinControl = 0x707,
  kSetUnsolicited = 0x708,
  kReset = 0x7FF,
  kGetParameter = 0xF00,
  kGetConnection = 0xF01,
  kGetConnectionList = 0xF02,
  kGetPower = 0xF05,
  kGetStream = 0xF06,
  kGetPinControl = 0xF07,
  kGetUnsolicited = 0xF08,
  kGetDefault = 0xF1C,
  kGetSubsystem = 0xF20,
};
enum LongVerb : u8 { kSetFormat = 0x2, kSetAmplifier = 0x3, kGetFormat = 0xA, kGetAmplifier = 0xB };

constexpr u32 kPcm = 1 << 17 | 0x1F0;  // 16 bits; 32 to 96 kHz
constexpr u32 kMaxGain = 0x4A;         // steps of 1 dB, the last is 0 dB
constexpr u32 kAmplifier = u32{1} << 31 | 3 << 16 | kMaxGain << 8 | kMaxGain;
constexpr u8 kMute = 0x80;
// Widget capabilities (7.3.4.6): type, own format and amplifier, connection list, stereo.
constexpr u32 kDacWidget = 0x0000001D, kAdcWidget = 0x0010011B, kLineOutWidget = 0x00400101,
              kLineInWidget = 0x00400001;
// Configuration defaults (7.3.3.31): jacks at the rear, green and blue.
constexpr u32 kLineOutDefault = 0x01014010, kLineInDefault = 0x01813020;

}  // namespace

void HdaCodec::reset() {
  widgets_ = {};
  for (Widget& widget : widgets_) widget.amplifiers.fill(kMaxGain);
}

void HdaCodec::transfer(StateIo& io) {
  io.section("hda-codec", 1, [&] {
    for (std::size_t i = 0; i < widgets_.size(); ++i) {
      io.section("widget" + std::to_string(i), 1, [&] {
        Widget& w = widgets_[i];
        io.field(1, "stream", w.stream);
        io.field(2, "pin_control", w.pin_control);
        io.field(3, "power", w.power);
        io.field(4, "connection", w.connection);
        io.field(5, "unsolicited", w.unsolicited);
        io.field(6, "format", w.format);
        io.field(7, "amplifiers", w.amplifiers);
      });
    }
  });
}

u32 HdaCodec::parameter(u8 node, u8 number) {
  switch (node << 8 | number) {
    case kRoot << 8 | kParamVendor:
      return kVendorId;
    case kRoot << 8 | kParamRevision:
      return 0x00100101;
    case kRoot << 8 | kParamSubNodes:
      return 1 << 16 | 1;
    case kFunctionGroup << 8 | kParamSubNodes:
      return kDac << 16 | (kNodes - kDac);
    case kFunctionGroup << 8 | kParamGroupType:
      return 1;  // audio
    case kFunctionGroup << 8 | kParamPcm:
    case kDac << 8 | kParamPcm:
    case kAdc << 8 | kParamPcm:
      return kPcm;
    case kFunctionGroup << 8 | kParamStream:
    case kDac << 8 | kParamStream:
    case kAdc << 8 | kParamStream:
      return 1;  // PCM
    case kDac << 8 | kParamWidget:
      return kDacWidget;
    case kDac << 8 | kParamAmpOut:
    case kAdc << 8 | kParamAmpIn:
      return kAmplifier;
    case kAdc << 8 | kParamWidget:
      return kAdcWidget;
    case kAdc << 8 | kParamConnections:
    case kLineOut << 8 | kParamConnections:
      return 1;
    case kLineOut << 8 | kParamWidget:
      return kLineOutWidget;
    case kLineOut << 8 | kParamPin:
      return 1 << 4;  // output
    case kLineIn << 8 | kParamWidget:
      return kLineInWidget;
    case kLineIn << 8 | kParamPin:
      return 1 << 5;  // input
    default:
      return 0;
  }
}

u32 HdaCodec::execute(u32 command) {
  const u8 node = static_cast<u8>(command >> 20);
  if (node >= kNodes) return 0;
  Widget& widget = widgets_[node];
  const u16 payload = static_cast<u16>(command);
  switch (command >> 16 & 0xF) {
    case kSetFormat:
      widget.format = payload;
      return 0;
    case kGetFormat:
      return widget.format;
    case kSetAmplifier:
      set_amplifier(widget, payload);
      return 0;
    case kGetAmplifier:
      return amplifier(widget, payload);
    default:
      return short_verb(node, command >> 8 & 0xFFF, static_cast<u8>(command));
  }
}

u32 HdaCodec::short_verb(u8 node, u32 verb, u8 payload) {
  Widget& w = widgets_[node];
  switch (verb) {
    case kGetParameter:
      return parameter(node, payload);
    case kGetConnectionList:
      if (payload != 0) return 0;
      return node == kAdc ? u32{kLineIn} : node == kLineOut ? u32{kDac} : 0;
    case kGetConnection:
      return w.connection;
    case kSetConnection:
      w.connection = 0;  // there is one
      return 0;
    case kGetPower:
      return u32{w.power} << 4 | w.power;  // is, and shall be
    case kSetPower:
      w.power = payload & 3;
      return 0;
    case kGetStream:
      return w.stream;
    case kSetStream:
      w.stream = payload;
      return 0;
    case kGetPinControl:
      return w.pin_control;
    case kSetPinControl:
      w.pin_control = payload;
      return 0;
    case kGetUnsolicited:
      return w.unsolicited;
    case kSetUnsolicited:
      w.unsolicited = payload;
      return 0;
    case kGetDefault:
      return node == kLineOut ? kLineOutDefault : node == kLineIn ? kLineInDefault : 0;
    case kGetSubsystem:
      return node == kFunctionGroup ? kVendorId : 0;
    case kReset:
      if (node == kFunctionGroup) reset();
      return 0;
    default:
      return 0;
  }
}

// Payload (7.3.3.7): output, input, left, right, index, mute, gain.
void HdaCodec::set_amplifier(Widget& widget, u16 payload) {
  const u8 gain = static_cast<u8>(payload & 0x7F);
  const u8 value = static_cast<u8>((payload & kMute) | (gain > kMaxGain ? kMaxGain : gain));
  for (unsigned i = 0; i < widget.amplifiers.size(); ++i) {
    const bool is_output = i < 2;
    const bool is_left = i % 2 == 0;
    const u16 wanted =
        static_cast<u16>((is_output ? 1u << 15 : 1u << 14) | (is_left ? 1u << 13 : 1u << 12));
    if ((payload & wanted) == wanted) widget.amplifiers[i] = value;
  }
}

u32 HdaCodec::amplifier(const Widget& widget, u16 payload) {
  const bool is_output = (payload & 1 << 15) != 0;
  const bool is_left = (payload & 1 << 13) != 0;
  return widget.amplifiers[(is_output ? 0u : 2u) + (is_left ? 0u : 1u)];
}

double HdaCodec::output_gain(unsigned side) const {
  const u8 value = widgets_[kDac].amplifiers[side & 1];
  if ((value & kMute) != 0) return 0;
  const double decibels = (value & 0x7F) - static_cast<double>(kMaxGain);
  return std::pow(10.0, decibels / 20);
}

}  // namespace emu
