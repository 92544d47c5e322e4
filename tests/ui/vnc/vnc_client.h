// SPDX-License-Identifier: Apache-2.0
// A small VNC client for tests: raw pixels, and every message by hand.
// Source: RFC 6143.
#pragma once

#include <rfb/rfb.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "devices/ports/display.h"

namespace emu::testing {

class VncClient {
 public:
  explicit VncClient(const std::string& socket_path)
      : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un where{};
    where.sun_family = AF_UNIX;
    std::memcpy(where.sun_path, socket_path.data(), socket_path.size());
    const timeval limit{20, 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ok_ = ::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where) == 0;
  }

  // The whole greeting; false if the server refused.
  bool greet(const std::string& password = {}) {
    read(12);
    send_text("RFB 003.008\n");
    const auto types = read(read(1)[0]);
    const u8 wanted = password.empty() ? 1 : 2;
    if (std::find(types.begin(), types.end(), wanted) == types.end()) return false;
    send({wanted});
    if (wanted == 2) {
      auto challenge = read(16);
      std::string secret = password;
      rfbEncryptBytes(challenge.data(), secret.data());
      send(challenge);
    }
    if (u32_at(read(4), 0) != 0) return false;
    send({1});  // shared
    const auto init = read(24);
    width_ = u16_at(init, 0);
    height_ = u16_at(init, 2);
    read(u32_at(init, 20));
    set_encodings({0, -223});
    return ok_;
  }

  // The screen as it is, following changes of its size.
  Frame screen() {
    Frame frame;
    start(frame);
    for (std::size_t have = 0; ok_ && have < frame.pixels.size();) {
      const auto header = read(4);
      if (header[0] != 0) ok_ = false;
      for (u32 i = 0; ok_ && i < u16_at(header, 2); ++i) take_rectangle(frame, have);
    }
    return frame;
  }

  void key(u32 keysym, bool pressed) {
    send({4, static_cast<u8>(pressed), 0, 0, byte(keysym, 24), byte(keysym, 16), byte(keysym, 8),
          byte(keysym, 0)});
  }
  void xt_key(u32 code, bool pressed) {
    send({255, 0, 0, static_cast<u8>(pressed), 0, 0, 0, 0, 0, 0, 0, byte(code, 0)});
  }
  void pointer(u8 buttons, u32 x, u32 y) {
    send({5, buttons, byte(x, 8), byte(x, 0), byte(y, 8), byte(y, 0)});
  }
  void cut_text(const std::string& text) {
    const u32 size = static_cast<u32>(text.size());
    send({6, 0, 0, 0, byte(size, 24), byte(size, 16), byte(size, 8), byte(size, 0)});
    send_text(text);
  }
  // SetDesktopSize with one screen (TigerVNC's "RFB protocol", 7.4.12).
  void set_desktop_size(u32 width, u32 height) {
    std::vector<u8> message{
        251, 0, byte(width, 8), byte(width, 0), byte(height, 8), byte(height, 0), 1, 0};
    message.insert(message.end(), 8, 0);  // id, x, y
    message.insert(message.end(), message.begin() + 2, message.begin() + 6);
    message.insert(message.end(), 4, 0);  // flags
    send(message);
  }
  void set_encodings(std::vector<i32> encodings) {
    std::vector<u8> message{2, 0, 0, static_cast<u8>(encodings.size())};
    for (const i32 encoding : encodings) {
      for (int shift = 24; shift >= 0; shift -= 8) {
        message.push_back(byte(static_cast<u32>(encoding), static_cast<unsigned>(shift)));
      }
    }
    send(message);
  }
  void request_update() {
    send({3, 0, 0, 0, 0, 0, byte(width_, 8), byte(width_, 0), byte(height_, 8), byte(height_, 0)});
  }

  void send(const std::vector<u8>& bytes) {
    ok_ = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
              static_cast<ssize_t>(bytes.size()) &&
          ok_;
  }
  void send_text(const std::string& text) { send({text.begin(), text.end()}); }
  // `count` bytes; zeros once the server has gone.
  std::vector<u8> read(std::size_t count) {
    std::vector<u8> bytes(count);
    for (std::size_t have = 0; ok_ && have < count;) {
      const ssize_t got = ::recv(fd_.get(), bytes.data() + have, count - have, 0);
      if (got <= 0) ok_ = false;
      if (got > 0) have += static_cast<std::size_t>(got);
    }
    return bytes;
  }
  [[nodiscard]] bool ok() const { return ok_; }

 private:
  static u8 byte(u32 value, unsigned shift) { return static_cast<u8>(value >> shift); }
  static u32 u16_at(const std::vector<u8>& bytes, std::size_t at) {
    return u32{bytes[at]} << 8 | bytes[at + 1];
  }
  static u32 u32_at(const std::vector<u8>& bytes, std::size_t at) {
    return u16_at(bytes, at) << 16 | u16_at(bytes, at + 2);
  }
  void start(Frame& frame) {
    frame.width = width_;
    frame.height = height_;
    frame.pixels.assign(std::size_t{width_} * height_, 0);
    request_update();
  }
  void take_rectangle(Frame& frame, std::size_t& have) {
    const auto head = read(12);
    const u32 x = u16_at(head, 0), y = u16_at(head, 2);
    const u32 width = u16_at(head, 4), height = u16_at(head, 6);
    if (static_cast<i32>(u32_at(head, 8)) == -223) {
      width_ = width;
      height_ = height;
      have = 0;
      start(frame);
      return;
    }
    for (u32 row = 0; ok_ && row < height; ++row) {
      const auto pixels = read(std::size_t{width} * 4);
      std::memcpy(&frame.pixels[std::size_t{y + row} * frame.width + x], pixels.data(),
                  pixels.size());
    }
    have += std::size_t{width} * height;
  }

  UniqueFd fd_;
  bool ok_ = false;
  u32 width_ = 0, height_ = 0;
};

}  // namespace emu::testing
