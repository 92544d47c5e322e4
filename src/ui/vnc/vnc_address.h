// SPDX-License-Identifier: Apache-2.0
// Where a VNC server listens.
// Source: RFC 6143, section 3 (display N is TCP port 5900+N); qemu(1), "-vnc", for the spelling.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/types.h"
#include "base/unique_fd.h"

namespace emu {

struct VncAddress {
  std::string host = "127.0.0.1";  // numeric or "localhost"
  unsigned display = 0;            // TCP port 5900 + display
  std::string socket_path;         // not empty: a Unix socket instead
  std::string password;            // VNC uses the first eight characters; empty: none

  [[nodiscard]] bool is_loopback() const;
  // "127.0.0.1:5901" or "unix:/path".
  [[nodiscard]] std::string text() const;
};

// ":1", "HOST:1", "unix:PATH", each with ",password-file=FILE" (its first line). Errors: no such
// form; a display above 59635; a file that cannot be read; an address others can reach
// without a password.
[[nodiscard]] Result<VncAddress> parse_vnc_address(std::string_view text);

// A listening socket. A Unix socket file is readable for its owner only, and replaces one that
// nobody listens on. Errors: the host's, naming the address.
[[nodiscard]] Result<UniqueFd> listen_at(const VncAddress& address);

}  // namespace emu
