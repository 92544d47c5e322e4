// SPDX-License-Identifier: Apache-2.0
// What all SCSI units answer alike.
#include "devices/storage/scsi_unit.h"

#include <algorithm>

#include "base/bits.h"

namespace emu {
namespace {

void put_text(std::vector<u8>& out, std::string text, std::size_t size) {
  text.resize(size, ' ');
  out.insert(out.end(), text.begin(), text.end());
}

// A VPD page's header (SPC-4 7.8): type, page, length of what follows.
std::vector<u8> vpd(u8 device_type, u8 page, std::span<const u8> body) {
  std::vector<u8> out(4 + body.size());
  out[0] = device_type;
  out[1] = page;
  store_be<u16>(&out[2], static_cast<u16>(body.size()));
  std::ranges::copy(body, out.begin() + 4);
  return out;
}

}  // namespace

std::vector<u8> fixed_sense(const scsi::Sense& sense) {
  std::vector<u8> out(18);
  out[0] = 0x70;
  out[2] = sense.key;
  out[7] = 10;  // bytes that follow
  out[12] = sense.code;
  out[13] = sense.qualifier;
  return out;
}

// SPC-3, commands in queues, 36 bytes and what version descriptors there would be: none.
std::vector<u8> standard_inquiry(u8 device_type, bool removable, const InquiryText& text) {
  std::vector<u8> out{device_type, static_cast<u8>(removable ? 0x80 : 0), 5, 0x12, 31, 0, 0, 2};
  put_text(out, "EMU", 8);
  put_text(out, text.product, 16);
  put_text(out, text.revision, 4);
  return out;
}

std::vector<u8> vpd_pages(u8 device_type, std::span<const u8> pages) {
  return vpd(device_type, 0x00, pages);
}

std::vector<u8> vpd_serial(u8 device_type, const std::string& serial) {
  return vpd(device_type, 0x80, {reinterpret_cast<const u8*>(serial.data()), serial.size()});
}

// One designator: vendor, product and serial number as text (T10 vendor identification, 7.8.6.4).
std::vector<u8> vpd_identification(u8 device_type, const InquiryText& text,
                                   const std::string& serial) {
  std::vector<u8> name;
  put_text(name, "EMU", 8);
  put_text(name, text.product, 16);
  put_text(name, serial, serial.size());
  std::vector<u8> body(4 + name.size());
  body[0] = 0x02;  // ASCII
  body[1] = 0x01;  // of the unit, T10
  body[3] = static_cast<u8>(name.size());
  std::ranges::copy(name, body.begin() + 4);
  return vpd(device_type, 0x83, body);
}

void ScsiUnit::transfer_sense(StateIo& io) {
  io.field(102, "sense_key", sense_.key);
  io.field(103, "sense_code", sense_.code);
  io.field(104, "sense_qualifier", sense_.qualifier);
}

}  // namespace emu
