// SPDX-License-Identifier: Apache-2.0
#include "net/tap_net.h"

#include <sys/uio.h>

#include <algorithm>
#include <cerrno>

#include "base/bits.h"
#include "net/offload.h"

namespace emu {
namespace {

constexpr unsigned kFramesPerPoll = 256;
constexpr u8 kNeedsChecksum = 1, kChecksumValid = 2, kSegmentsEcn = 0x80;
constexpr std::size_t kNameBytes = 15;
constexpr const char* kHelper = "/usr/lib/qemu/qemu-bridge-helper";

}  // namespace

Result<TapConfig> TapConfig::parse(const NetOptions& options) {
  TapConfig out;
  const bool bridge = options.kind == "bridge";
  if (bridge) {
    out.bridge = "br0";
    out.helper = kHelper;
  }
  for (const auto& [name, value] : options.values) {
    if (name == "br") {
      out.bridge = value;
    } else if (name == "ifname" && !bridge) {
      out.interface = value;
    } else if (name == "helper" && bridge) {
      out.helper = value;
    } else if ((name == "script" || name == "downscript") && value == "no") {
      continue;  // none are run
    } else {
      return fail("a {} network has no setting {}={}; docs/network.md lists them", options.kind,
                  name, value);
    }
  }
  for (const std::string& name : {out.interface, out.bridge}) {
    if (name.size() > kNameBytes || name.find('/') != std::string::npos) {
      return fail("'{}' is no name of a network interface; it has at most 15 letters", name);
    }
  }
  return out;
}

Result<std::unique_ptr<TapNet>> TapNet::create(const TapConfig& config, std::mutex& machine_lock) {
  UniqueFd fd;
  if (!config.helper.empty()) {
    auto asked = ask_bridge_helper(config.helper, config.bridge);
    if (!asked) return asked.error();
    fd = std::move(*asked);
    if (!prepare_tap(fd.get())) return fail("{} gave no TAP device", config.helper);
  } else {
    std::string interface = config.interface;
    auto opened = open_tap(interface);
    if (!opened) return opened.error();
    fd = std::move(*opened);
    if (!config.bridge.empty()) EMU_TRY(join_bridge(config.bridge, interface));
  }
  std::unique_ptr<TapNet> net(new TapNet(std::move(fd), machine_lock));
  net->start_thread("emu-tap");
  return net;
}

TapNet::TapNet(UniqueFd fd, std::mutex& machine_lock)
    : HostNet(machine_lock), fd_(std::move(fd)), buffer_(kHeader + kMaxFrameBytes) {}

TapNet::~TapNet() {
  stop_thread();
}

void TapNet::before_poll(std::vector<pollfd>& descriptors, int&) {
  if (card_takes_offloads() != offloads_on_) {
    offloads_on_ = !offloads_on_;
    set_tap_offloads(fd_.get(), offloads_on_);
  }
  if (!incoming_full()) descriptors.push_back({fd_.get(), POLLIN, 0});
}

void TapNet::after_poll(std::span<const pollfd> descriptors) {
  if (descriptors.empty() || descriptors[0].revents == 0) return;
  for (unsigned i = 0; i < kFramesPerPoll && !incoming_full(); ++i) {
    const ssize_t got = ::read(fd_.get(), buffer_.data(), buffer_.size());
    if (got <= 0) return;
    take_frame(std::span<const u8>(buffer_).first(static_cast<std::size_t>(got)));
  }
}

void TapNet::take_frame(std::span<const u8> bytes) {
  if (bytes.size() <= kHeader) return;
  Offload offload;
  const u8 kind = bytes[1] & static_cast<u8>(~kSegmentsEcn);
  offload.needs_checksum = (bytes[0] & kNeedsChecksum) != 0;
  offload.checksum_valid = (bytes[0] & kChecksumValid) != 0;
  if (kind == 1) offload.segments = Offload::Segments::kTcp4;
  if (kind == 4) offload.segments = Offload::Segments::kTcp6;
  offload.header_bytes = load_le<u16>(&bytes[2]);
  offload.segment_bytes = load_le<u16>(&bytes[4]);
  offload.checksum_start = load_le<u16>(&bytes[6]);
  offload.checksum_offset = load_le<u16>(&bytes[8]);
  incoming(bytes.subspan(kHeader), offload);
}

// The kernel checks the header against the frame and drops what does not fit. A full device drops
// too: that is how a wire behaves.
void TapNet::transmit(std::span<u8> frame, const Offload& offload) {
  std::array<u8, kHeader> header{};
  if (offload.needs_checksum) {
    header[0] = kNeedsChecksum;
    store_le(&header[6], offload.checksum_start);
    store_le(&header[8], offload.checksum_offset);
  }
  if (offload.segments != Offload::Segments::kNone) {
    if (!offload.needs_checksum) {  // the kernel cuts only what leaves it the checksum too
      segment(frame, offload, [this](std::span<const u8> piece) {
        std::vector<u8> copy(piece.begin(), piece.end());
        transmit(copy, Offload{});
      });
      return;
    }
    header[1] = static_cast<u8>(offload.segments);
    store_le(&header[2], offload.header_bytes);
    store_le(&header[4], offload.segment_bytes);
  }
  const iovec parts[] = {{header.data(), header.size()}, {frame.data(), frame.size()}};
  [[maybe_unused]] const ssize_t sent = ::writev(fd_.get(), parts, 2);
}

}  // namespace emu
