// SPDX-License-Identifier: Apache-2.0
// The input is what a hostile guest sends into the user network: frames that are whole enough to be
// looked at (addresses, lengths and checksums right unless the input says otherwise), and what our
// own tables make of them and of the library's answers. The network is restricted, so nothing of
// the host is reached. Steps of eight bytes: kind, flags, two ports, length, two of sequence, mark.
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>

#include "base/bits.h"
#include "base/log.h"
#include "net/nat_flows.h"
#include "net/offload.h"
#include "net/open_net.h"

namespace emu {
namespace {

constexpr u32 kGuest = 0x0a00020f;

// Takes everything, and sees the end of a run: an answer to its last ARP request.
class Card final : public NetReceiver {
 public:
  bool receive(std::span<const u8> frame, const Offload& offload) override {
    finish(frame, offload, [](std::span<const u8>) {});
    if (frame.size() >= 42 && load_be<u16>(&frame[12]) == 0x0806 &&
        load_be<u32>(&frame[28]) == 0x0a000203) {
      done = true;
      changed.notify_all();
    }
    return true;
  }
  [[nodiscard]] bool takes_offloads() const override { return takes; }
  bool done = false, takes = false;
  std::condition_variable changed;
};

std::vector<u8> ethernet(u16 type, std::size_t payload) {
  std::vector<u8> f(14 + payload);
  const u8 head[] = {0x52, 0x55, 10, 0, 2, 2, 0x52, 0x54, 0, 1, 2, 3};
  std::copy_n(head, sizeof head, f.begin());
  store_be(&f[12], type);
  return f;
}

std::vector<u8> arp(u32 target) {
  std::vector<u8> f = ethernet(0x0806, 28);
  std::fill_n(f.begin(), 6, u8{0xff});
  const u8 head[] = {0, 1, 8, 0, 6, 4, 0, 1, 0x52, 0x54, 0, 1, 2, 3};
  std::copy_n(head, sizeof head, &f[14]);
  store_be(&f[28], kGuest);
  store_be(&f[38], target);
  return f;
}

std::vector<u8> ipv4(std::span<const u8> s, u8 protocol, std::size_t bytes) {
  constexpr u32 kTargets[] = {0x0a000202, 0x0a000203, 0xffffffff, 0x0a000264, 0x0a0002ff};
  std::vector<u8> f = ethernet(0x0800, 20 + bytes);
  f[14] = static_cast<u8>(0x45 + s[7] % 3);
  store_be(&f[16], static_cast<u16>(20 + bytes + (s[7] & 0x40) * 16u));
  f[20] = s[7] % 16 == 5 ? 0x20 : 0;  // more fragments
  f[21] = s[7] % 16 == 6 ? s[2] : 0;
  f[22] = 64;
  f[23] = protocol;
  store_be(&f[26], s[7] % 32 == 7 ? u32{0} : kGuest);
  store_be(&f[30], kTargets[s[2] % 5u]);
  const std::size_t header = std::min<std::size_t>((f[14] & 0xfu) * 4u, f.size() - 14);
  store_be(&f[24], fold_checksum(sum_words(std::span(f).subspan(14, header))));
  return f;
}

std::vector<u8> ipv6(std::span<const u8> s, u8 next, std::size_t bytes) {
  std::vector<u8> f = ethernet(0x86dd, 40 + bytes);
  f[14] = 0x60;
  store_be(&f[18], static_cast<u16>(bytes + (s[7] & 0x40)));
  f[20] = next;
  f[21] = 255;
  f[22] = f[38] = 0xfe;
  f[23] = f[39] = s[2] % 2 != 0 ? 0x80 : 0xc0;
  f[37] = 0x0f;
  f[53] = static_cast<u8>(2 + s[2] % 3);
  return f;
}

// TCP or UDP at `at`, with ports of the services that the network has itself.
void transport(std::vector<u8>& f, std::size_t at, std::span<const u8> s, bool tcp) {
  constexpr u16 kPorts[] = {53, 67, 69, 80, 547, 9, 7, 546};
  store_be(&f[at], static_cast<u16>(1000 + s[3] % 4u));
  store_be(&f[at + 2], kPorts[s[2] % 8u]);
  if (!tcp) {
    store_be(&f[at + 4], static_cast<u16>(f.size() - at + s[7] / 64u));
    std::fill(f.begin() + static_cast<std::ptrdiff_t>(at) + 8, f.end(), s[6]);
    if (f.size() > at + 9) f[at + 9] = static_cast<u8>(s[5] % 6);  // TFTP's and DHCP's commands
    return;
  }
  store_be(&f[at + 4], static_cast<u32>(s[5] << 8 | s[6]));
  store_be(&f[at + 8], static_cast<u32>(s[6] << 8 | s[5]));
  f[at + 12] = static_cast<u8>((s[7] % 8 == 1 ? s[6] % 16u : 5u + (s[1] & 2u) / 2) << 4);
  f[at + 13] = s[1];
  store_be(&f[at + 14], u16{65535});
  if (f.size() >= at + 24) {
    f[at + 20] = 2;
    f[at + 21] = 4;
    store_be(&f[at + 22], static_cast<u16>(s[6] * 16u));
  }
  if (s[7] % 4 != 3) finish_large(f);
}

std::vector<u8> frame_of(std::span<const u8> s) {
  const std::size_t bytes = 24 + s[4] * (s[7] % 2 != 0 ? 40u : 1u);
  const bool tcp = s[0] % 8 <= 2;
  switch (s[0] % 8) {
    case 0:
    case 1:
    case 3: {
      auto f = ipv4(s, tcp ? 6 : 17, bytes);
      transport(f, 34, s, tcp);
      return f;
    }
    case 2:
    case 4: {
      auto f = ipv6(s, tcp ? 6 : 17, bytes);
      transport(f, 54, s, tcp);
      return f;
    }
    case 5: {
      auto f = s[1] % 2 != 0 ? ipv4(s, 1, bytes) : ipv6(s, 58, bytes);
      const std::size_t at = s[1] % 2 != 0 ? 34 : 54;
      f[at] = static_cast<u8>(s[1] % 2 != 0 ? s[3] % 16 : 128 + s[3] % 16);
      std::fill(f.begin() + static_cast<std::ptrdiff_t>(at) + 4, f.end(), s[6]);
      return f;
    }
    default: {
      auto f = s[0] % 8 == 6 ? arp(0x0a000200 + s[2]) : ethernet(0x0800, bytes);
      for (std::size_t i = 14 + s[3] % 40u; i < f.size(); i += 1 + s[5] % 16u) f[i] = s[6];
      return f;
    }
  }
}

Offload offload_of(std::span<const u8> s) {
  Offload out;
  if (s[7] % 4 == 1)
    out.segments = s[0] % 2 != 0 ? Offload::Segments::kTcp4 : Offload::Segments::kTcp6;
  out.needs_checksum = s[7] % 4 == 2;
  out.segment_bytes = static_cast<u16>(s[4] * 8u);
  out.checksum_start = static_cast<u16>(s[5] * 2u);
  out.checksum_offset = s[6];
  return out;
}

void run(std::span<const u8> data) {
  std::mutex lock;
  Card card;
  NatFlows flows;
  auto net = open_net({"user", {{"restrict", "on"}}}, lock);
  if (!net) std::abort();
  std::unique_lock guard(lock);
  card.takes = data[0] % 2 != 0;
  (*net)->set_receiver(&card);
  (*net)->set_running(true);
  (*net)->send(arp(0x0a000202));
  for (std::size_t i = 1; i + 8 <= data.size() && i < 2048; i += 8) {
    const auto step = data.subspan(i, 8);
    std::vector<u8> frame = frame_of(step);
    (*net)->send(frame, offload_of(step));
    flows.from_library(frame, layout_of(frame));
    static_cast<void>(flows.segment_bytes(frame, layout_of(frame), 1460));
    flows.from_guest(frame, 16000);
    for (auto& reset : flows.take_resets()) flows.from_guest(reset, 16000);
  }
  (*net)->send(arp(0x0a000203));
  if (!card.changed.wait_for(guard, std::chrono::seconds(120), [&] { return card.done; })) {
    std::abort();  // it hangs
  }
  if (flows.flows() > NatFlows::kMostFlows) std::abort();
  (*net)->set_receiver(nullptr);
}

}  // namespace
}  // namespace emu

extern "C" int LLVMFuzzerTestOneInput(const emu::u8* data, std::size_t size) {
  emu::set_log_level(emu::LogLevel::kError);
  if (size != 0) emu::run({data, size});
  return 0;
}
