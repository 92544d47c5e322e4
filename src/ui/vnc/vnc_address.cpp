// SPDX-License-Identifier: Apache-2.0
#include "ui/vnc/vnc_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>

namespace emu {
namespace {

constexpr unsigned kBasePort = 5900;
constexpr unsigned kMostDisplay = 65535 - kBasePort;

Result<std::string> read_password(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!file) return fail_errno(errno, "--vnc: cannot read the password file {}", path);
  std::getline(file, line);
  if (!line.empty() && line.back() == '\r') line.pop_back();
  if (line.empty())
    return fail("--vnc: the first line of {} is empty; put the password there", path);
  return line;
}

Result<void> take_place(std::string_view place, VncAddress& address) {
  if (place.starts_with("unix:")) {
    address.socket_path = place.substr(5);
    if (address.socket_path.empty()) return fail("--vnc unix: needs the socket's path");
    if (address.socket_path.size() >= sizeof(sockaddr_un::sun_path))
      return fail("--vnc: the socket path {} is longer than the host allows", address.socket_path);
    return {};
  }
  const std::size_t colon = place.rfind(':');
  const std::string_view number =
      colon == std::string_view::npos ? std::string_view() : place.substr(colon + 1);
  const char* const end = number.data() + number.size();
  const auto [stop, error] = std::from_chars(number.data(), end, address.display);
  if (number.empty() || error != std::errc{} || stop != end || address.display > kMostDisplay) {
    return fail("--vnc: '{}' is no address; use :1 (port 5901 of this host), HOST:1 or unix:PATH",
                place);
  }
  if (colon != 0) address.host = place.substr(0, colon);
  if (address.host == "localhost") address.host = "127.0.0.1";
  in_addr parsed{};
  if (::inet_pton(AF_INET, address.host.c_str(), &parsed) != 1) {
    return fail("--vnc: the host '{}' is no IPv4 address; 0.0.0.0 means every interface",
                address.host);
  }
  return {};
}

Result<UniqueFd> listen_tcp(const VncAddress& address) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_port = htons(static_cast<u16>(kBasePort + address.display));
  ::inet_pton(AF_INET, address.host.c_str(), &where.sin_addr);
  if (!fd || ::bind(fd.get(), reinterpret_cast<sockaddr*>(&where), sizeof where) != 0 ||
      ::listen(fd.get(), 8) != 0) {
    return fail_errno(errno, "--vnc: cannot listen at {}; another display number may be free",
                      address.text());
  }
  return fd;
}

// Whether a server answers at this socket file.
bool is_in_use(const sockaddr_un& where) {
  const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where) == 0;
}

Result<UniqueFd> listen_unix(const VncAddress& address) {
  sockaddr_un where{};
  where.sun_family = AF_UNIX;
  std::memcpy(where.sun_path, address.socket_path.data(), address.socket_path.size());
  struct stat status {};
  if (::lstat(address.socket_path.c_str(), &status) == 0) {
    if (!S_ISSOCK(status.st_mode))
      return fail("--vnc: {} exists and is no socket; remove it", address.socket_path);
    if (is_in_use(where)) return fail("--vnc: another program listens at {}", address.socket_path);
    ::unlink(address.socket_path.c_str());
  }
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd || ::bind(fd.get(), reinterpret_cast<sockaddr*>(&where), sizeof where) != 0 ||
      ::chmod(address.socket_path.c_str(), 0600) != 0 || ::listen(fd.get(), 8) != 0) {
    return fail_errno(errno, "--vnc: cannot listen at {}", address.text());
  }
  return fd;
}

}  // namespace

bool VncAddress::is_loopback() const {
  return !socket_path.empty() || host.starts_with("127.");
}

std::string VncAddress::text() const {
  if (!socket_path.empty()) return "unix:" + socket_path;
  return fmt::format("{}:{}", host, kBasePort + display);
}

Result<VncAddress> parse_vnc_address(std::string_view text) {
  VncAddress address;
  const std::size_t comma = std::min(text.find(','), text.size());
  if (auto taken = take_place(text.substr(0, comma), address); !taken) return taken.error();
  constexpr std::string_view kPasswordFile = ",password-file=";
  const std::string_view rest = text.substr(comma);
  if (rest.starts_with(kPasswordFile)) {
    auto password = read_password(std::string(rest.substr(kPasswordFile.size())));
    if (!password) return password.error();
    address.password = std::move(*password);
  } else if (!rest.empty()) {
    return fail("--vnc: unknown key '{}'; known is password-file", rest.substr(1));
  }
  if (!address.is_loopback() && address.password.empty()) {
    return fail(
        "--vnc {}: others can reach that address; add ,password-file=FILE, or listen at :{} and "
        "forward the port with ssh -L",
        text, address.display);
  }
  return address;
}

Result<UniqueFd> listen_at(const VncAddress& address) {
  return address.socket_path.empty() ? listen_tcp(address) : listen_unix(address);
}

}  // namespace emu
