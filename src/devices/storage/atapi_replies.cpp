// SPDX-License-Identifier: Apache-2.0
// The answers of a CD or DVD drive that are functions of the medium alone.
#include "devices/storage/atapi_replies.h"

#include <algorithm>

#include "base/bits.h"
#include "devices/storage/atapi_spec.h"

namespace emu::atapi {
namespace {

constexpr u8 kLeadOut = 0xaa;
constexpr u8 kDataTrack = 0x14;  // ADR 1, control 4

void put16(std::vector<u8>& out, u64 value) {
  out.push_back(static_cast<u8>(value >> 8));
  out.push_back(static_cast<u8>(value));
}
void put32(std::vector<u8>& out, u64 value) {
  put16(out, value >> 16);
  put16(out, value & 0xffff);
}
void put(std::vector<u8>& out, std::initializer_list<u8> bytes) {
  out.insert(out.end(), bytes);
}

// Minutes, seconds, frames; block 0 is at two seconds.
void put_msf(std::vector<u8>& out, u64 lba) {
  const u64 frames = lba + 150;
  put(out, {static_cast<u8>(std::min<u64>(frames / 75 / 60, 255)),
            static_cast<u8>(frames / 75 % 60), static_cast<u8>(frames % 75)});
}

void put_address(std::vector<u8>& out, u64 lba, bool as_msf) {
  if (!as_msf) return put32(out, lba);
  out.push_back(0);
  put_msf(out, lba);
}

// A 16-bit length in front counts what follows it.
std::vector<u8> with_length(std::vector<u8> body) {
  std::vector<u8> out;
  put16(out, body.size());
  out.insert(out.end(), body.begin(), body.end());
  return out;
}

std::optional<std::vector<u8>> toc_tracks(u8 first_track, bool as_msf, const Medium& medium) {
  if (first_track > 1 && first_track != kLeadOut) return std::nullopt;
  std::vector<u8> body{1, 1};  // first and last track
  if (first_track <= 1) {
    put(body, {0, kDataTrack, 1, 0});
    put_address(body, 0, as_msf);
  }
  put(body, {0, kDataTrack, kLeadOut, 0});
  put_address(body, medium.blocks, as_msf);
  return with_length(std::move(body));
}

std::vector<u8> toc_session(bool as_msf) {
  std::vector<u8> body{1, 1, 0, kDataTrack, 1, 0};
  put_address(body, 0, as_msf);
  return with_length(std::move(body));
}

// Raw TOC: points A0 (first track), A1 (last track), A2 (lead-out) and track 1.
std::vector<u8> toc_raw(const Medium& medium) {
  std::vector<u8> body{1, 1};
  const auto point = [&body](u8 number) { put(body, {1, kDataTrack, 0, number, 0, 0, 0, 0}); };
  point(0xa0);
  put(body, {1, 0, 0});
  point(0xa1);
  put(body, {1, 0, 0});
  point(0xa2);
  put_msf(body, medium.blocks);
  point(1);
  put_msf(body, 0);
  return with_length(std::move(body));
}

}  // namespace

void fill_identify_packet(std::span<u8> out, const DriveIdentity& identity, u8 transfer_mode) {
  const auto word = [out](unsigned n, unsigned value) {
    store_le<u16>(&out[n * 2], static_cast<u16>(value));
  };
  std::fill(out.begin(), out.end(), u8{0});
  word(0, 0x85c0);  // packet device, CD-ROM, removable, DRQ within 50 us, 12-byte packets
  put_ata_string(out.subspan(20, 20), identity.serial);
  put_ata_string(out.subspan(46, 8), identity.firmware);
  put_ata_string(out.subspan(54, 40), identity.model);
  word(48, 1);
  word(49, 1 << 11 | 1 << 9 | 1 << 8);  // IORDY, LBA, DMA
  word(53, 7);
  put_transfer_modes(out, transfer_mode);
  word(64, 3);
  for (unsigned n = 65; n <= 68; ++n) word(n, 120);
  word(71, 30);
  word(72, 30);
  word(80, 0xf0);                       // ATA-4 to ATA-7
  word(82, 1 << 14 | 1 << 9 | 1 << 4);  // NOP, DEVICE RESET, PACKET
  word(83, 1 << 14);
  word(84, 1 << 14);
  word(85, 1 << 14 | 1 << 9 | 1 << 4);
  word(87, 1 << 14);
  word(93, 1 << 14 | 1 << 13 | 1);
}

std::vector<u8> inquiry(const DriveIdentity& identity) {
  std::vector<u8> out{0x05, 0x80, 0x00, 0x21, 31, 0, 0, 0};
  const auto text = [&out](std::string value, std::size_t size) {
    value.resize(size, ' ');
    out.insert(out.end(), value.begin(), value.end());
  };
  text("EMU", 8);
  text(identity.model, 16);
  text(identity.firmware, 4);
  return out;
}

std::optional<std::vector<u8>> read_toc(std::span<const u8> packet, const Medium& medium) {
  const bool as_msf = (packet[1] & 2) != 0;
  u8 format = packet[2] & 0xf;
  if (format == 0) format = packet[9] >> 6;  // where SFF-8020i had it
  switch (format) {
    case 0:
      return toc_tracks(packet[6], as_msf, medium);
    case 1:
      return toc_session(as_msf);
    case 2:
      return toc_raw(medium);
    default:
      return std::nullopt;
  }
}

std::vector<u8> get_configuration(std::span<const u8> packet, const Medium& medium,
                                  u8 physical_interface) {
  constexpr u16 kProfileCd = 0x0008;
  constexpr u16 kProfileDvd = 0x0010;
  constexpr u8 kPersistentCurrent = 0x03;
  const unsigned which = packet[1] & 3;  // 0 all, 1 current ones, 2 just this one
  const u16 first = load_be<u16>(&packet[2]);
  const u8 cd = medium.present() && !medium.is_dvd() ? 1 : 0;
  const u8 dvd = medium.present() && medium.is_dvd() ? 1 : 0;
  const u16 profile = cd != 0 ? kProfileCd : dvd != 0 ? kProfileDvd : u16{0};
  std::vector<u8> body{0, 0};
  put16(body, profile);
  const auto feature = [&](u16 number, u8 flags, std::initializer_list<u8> data) {
    const bool wanted = which == 2 ? number == first : number >= first;
    if (!wanted || (which == 1 && (flags & 1) == 0)) return;
    put16(body, number);
    put(body, {flags, static_cast<u8>(data.size())});
    put(body, data);
  };
  feature(0x0000, kPersistentCurrent, {0, kProfileDvd, dvd, 0, 0, kProfileCd, cd, 0});
  feature(0x0001, kPersistentCurrent | 2 << 2, {0, 0, 0, physical_interface, 1, 0, 0, 0});  // core
  feature(0x0003, kPersistentCurrent, {0x29, 0, 0, 0});  // removable: tray, eject, lock
  const u8 readable = medium.present() ? 1 : 0;
  feature(0x0010, readable, {0, 0, 8, 0, 0, 1, 0, 0});  // blocks of 2048 bytes
  feature(0x001e, static_cast<u8>(2 << 2 | cd), {0, 0, 0, 0});
  feature(0x001f, dvd, {});
  std::vector<u8> out;
  put32(out, body.size());
  out.insert(out.end(), body.begin(), body.end());
  return out;
}

std::optional<std::vector<u8>> mode_pages(u8 page, bool is_locked) {
  constexpr u8 kAll = 0x3f;
  std::vector<u8> out;
  if (page == 0x01 || page == kAll) put(out, {0x01, 6, 0, 5, 0, 0, 0, 0});  // error recovery
  if (page == 0x0d || page == kAll) put(out, {0x0d, 6, 0, 0, 0, 60, 0, 75});
  if (page == 0x0e || page == kAll)
    put(out, {0x0e, 14, 4, 0, 0, 0, 0, 75, 1, 255, 2, 255, 0, 0, 0, 0});  // audio
  if (page == 0x2a || page == kAll) {
    put(out, {0x2a, 18, 0x3b, 0x00, 0x70, 0x60});  // reads CD-R, CD-RW, DVD; multi-session
    put(out, {static_cast<u8>(0x29 | (is_locked ? 2 : 0)), 0x00});  // tray, eject, lock
    put(out, {0x02, 0xc2, 0, 2, 2, 0, 0x02, 0xc2, 0, 0, 0, 0});     // speeds, buffer
  }
  if (out.empty()) return std::nullopt;
  return out;
}

std::vector<u8> disc_information() {
  std::vector<u8> body{0x0e, 1, 1, 1, 1, 0x20, 0};  // finished, one session, one track
  body.resize(32);
  return with_length(std::move(body));
}

std::vector<u8> track_information(const Medium& medium) {
  std::vector<u8> body{1, 1, 0, 0x04, 0x01, 0};  // track, session, data, mode 1
  put32(body, 0);
  put32(body, 0);
  put32(body, 0);
  put32(body, 0);
  put32(body, medium.blocks);
  body.resize(34);
  return with_length(std::move(body));
}

std::optional<std::vector<u8>> dvd_structure(u8 format, const Medium& medium) {
  std::vector<u8> body{0, 0};
  switch (format) {
    case 0x00:  // physical: DVD-ROM, 120 mm, one layer, from sector 30000h
      put(body, {0x01, 0x02, 0x01, 0x00, 0x00, 0x03, 0x00, 0x00});
      put32(body, medium.blocks + 0x30000 - 1);
      put32(body, medium.blocks + 0x30000 - 1);
      body.resize(2 + 2048);
      break;
    case 0x01:  // no copy protection
      body.resize(2 + 4);
      break;
    default:
      return std::nullopt;
  }
  return with_length(std::move(body));
}

void make_raw_block(std::span<u8> raw, std::span<const u8> data, u32 lba) {
  std::fill(raw.begin(), raw.end(), u8{0});
  std::fill_n(raw.begin() + 1, 10, u8{0xff});  // sync: 00, ten times FF, 00
  const auto bcd = [](u32 n) { return static_cast<u8>(n / 10 % 10 << 4 | n % 10); };
  const u32 frames = lba + 150;
  raw[12] = bcd(frames / 75 / 60);
  raw[13] = bcd(frames / 75 % 60);
  raw[14] = bcd(frames % 75);
  raw[15] = 1;  // mode 1
  std::copy(data.begin(), data.end(), raw.begin() + 16);
}

}  // namespace emu::atapi
