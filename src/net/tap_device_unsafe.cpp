// SPDX-License-Identifier: Apache-2.0
// TAP devices and bridges: the ioctls.
// Source: Linux Documentation/networking/tuntap.rst, <linux/if_tun.h>, <linux/sockios.h>;
// qemu-bridge-helper's descriptor passing, cmsg(3).
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "net/tap_net.h"

namespace emu {
namespace {

ifreq request_for(const std::string& interface) {
  ifreq request{};
  std::copy_n(interface.begin(), std::min<std::size_t>(interface.size(), IFNAMSIZ - 1),
              request.ifr_name);
  return request;
}

int tap_ioctl(int fd, unsigned long number, void* argument) {
  // SAFETY: the numbers used here take a pointer to an ifreq or an int that outlives the call.
  return ::ioctl(fd, number, argument);
}

Error no_rights(const std::string& interface) {
  const std::string name = interface.empty() ? "tap0" : interface;
  return fail(
      "you may not use TAP device {}: make it once as root with 'sudo ip tuntap add dev {} mode "
      "tap user $USER && sudo ip link set {} up', or use --nic user, which needs no rights",
      name, name, name);
}

// IFUP, or a guest's frames go nowhere. Ignored where it is not permitted: it may be up already.
void bring_up(const std::string& interface) {
  const UniqueFd control(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request = request_for(interface);
  if (tap_ioctl(control.get(), SIOCGIFFLAGS, &request) != 0) return;
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  static_cast<void>(tap_ioctl(control.get(), SIOCSIFFLAGS, &request));
}

// The descriptor that the helper sends with one byte.
UniqueFd receive_descriptor(int socket) {
  char byte = 0;
  iovec part{&byte, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> space{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = space.data();
  message.msg_controllen = space.size();
  if (::recvmsg(socket, &message, MSG_CMSG_CLOEXEC) <= 0) return {};
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS ||
      header->cmsg_len != CMSG_LEN(sizeof(int))) {
    return {};
  }
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return UniqueFd(fd);
}

}  // namespace

bool prepare_tap(int fd) {
  int header_bytes = 12;
  int little = 1;
  const int flags = ::fcntl(fd, F_GETFL);
  return flags >= 0 && ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 &&
         tap_ioctl(fd, TUNSETVNETHDRSZ, &header_bytes) == 0 &&
         tap_ioctl(fd, TUNSETVNETLE, &little) == 0;
}

namespace {

// One queue of the device. `interface` is set to its name.
Result<UniqueFd> open_queue(std::string& interface, bool several) {
  UniqueFd fd(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!fd && (errno == EACCES || errno == EPERM)) return no_rights(interface);
  if (!fd) {
    return fail_errno(errno, "cannot open /dev/net/tun (is the module loaded: sudo modprobe tun)");
  }
  constexpr int kFlags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  ifreq request = request_for(interface);
  request.ifr_flags = static_cast<short>(several ? kFlags | IFF_MULTI_QUEUE : kFlags);
  int status = tap_ioctl(fd.get(), TUNSETIFF, &request);
  if (status != 0 && errno == EINVAL && several) {
    return fail(
        "TAP device {} was made for one queue: leave queues= out, or make it anew with 'sudo ip "
        "tuntap add dev {} mode tap multi_queue user $USER'",
        interface, interface);
  }
  if (status != 0 && errno == EINVAL) {  // it was made for several
    request = request_for(interface);
    request.ifr_flags = static_cast<short>(kFlags | IFF_MULTI_QUEUE);
    status = tap_ioctl(fd.get(), TUNSETIFF, &request);
  }
  if (status != 0 && (errno == EPERM || errno == EACCES)) return no_rights(interface);
  if (status != 0 && errno == EBUSY) {
    return fail("TAP device {} is in use by another program; give each machine its own ifname=",
                interface);
  }
  if (status != 0) {
    return fail_errno(errno, "cannot use {} as a TAP device (see: ip -d link show {})", interface,
                      interface);
  }
  interface = request.ifr_name;
  if (!prepare_tap(fd.get())) return fail_errno(errno, "TAP device {} lacks headers", interface);
  return fd;
}

}  // namespace

Result<std::vector<UniqueFd>> open_tap(std::string& interface, unsigned queues) {
  std::vector<UniqueFd> out;
  while (out.size() < queues) {
    auto queue = open_queue(interface, queues > 1);
    if (!queue) return queue.error();
    out.push_back(std::move(*queue));
  }
  bring_up(interface);
  return out;
}

void set_tap_offloads(int fd, bool on) {
  const unsigned long flags = on ? TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN : 0;
  // SAFETY: TUNSETOFFLOAD takes its flags by value.
  static_cast<void>(::ioctl(fd, TUNSETOFFLOAD, flags));
}

Result<void> join_bridge(const std::string& bridge, const std::string& interface) {
  const UniqueFd control(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq port = request_for(interface);
  if (tap_ioctl(control.get(), SIOCGIFINDEX, &port) != 0) {
    return fail_errno(errno, "no interface {}", interface);
  }
  ifreq request = request_for(bridge);
  request.ifr_ifindex = port.ifr_ifindex;
  if (tap_ioctl(control.get(), SIOCBRADDIF, &request) == 0 || errno == EBUSY) return {};
  if (errno == EPERM) {
    return fail("you may not add {} to bridge {}: sudo ip link set {} master {}", interface, bridge,
                interface, bridge);
  }
  return fail(
      "there is no bridge {} (ip link show type bridge lists them); make it with 'sudo ip "
      "link add {} type bridge && sudo ip link set {} up'",
      bridge, bridge, bridge);
}

Result<UniqueFd> ask_bridge_helper(const std::string& helper, const std::string& bridge) {
  if (::access(helper.c_str(), X_OK) != 0) {
    return fail(
        "the bridge helper {} is not there: sudo apt install qemu-system-common, or name "
        "another one with helper=",
        helper);
  }
  int ends[2] = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return fail_errno(errno, "cannot make a socket for {}", helper);
  }
  const UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  constexpr int kChildFd = 3;
  std::string fd_word = fmt::format("--fd={}", kChildFd), bridge_word = "--br=" + bridge,
              vnet_word = "--use-vnet", name = helper;
  char* arguments[] = {name.data(), vnet_word.data(), fd_word.data(), bridge_word.data(), nullptr};
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, theirs.get(), kChildFd);
  pid_t child = 0;
  const int spawned = ::posix_spawn(&child, helper.c_str(), &actions, nullptr, arguments, environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (spawned != 0) return fail_errno(spawned, "cannot start {}", helper);
  theirs.reset();
  UniqueFd fd = receive_descriptor(ours.get());
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (fd) return fd;
  return fail(
      "{} refused bridge {}: the line 'allow {}' must be in /etc/qemu/bridge.conf, the "
      "bridge must exist, and the helper be setuid root (sudo chmod u+s {})",
      helper, bridge, bridge, helper);
}

}  // namespace emu
