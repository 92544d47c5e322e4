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
    } else if (name == "queues" && !bridge) {
      const auto queues = parse_net_number(name, value, 1, 16);
      if (!queues) return queues.error();
      out.queues = static_cast<unsigned>(*queues);
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
  std::vector<UniqueFd> queues;
  if (!config.helper.empty()) {
    auto asked = ask_bridge_helper(config.helper, config.bridge);
    if (!asked) return asked.error();
    queues.push_back(std::move(*asked));
    if (!prepare_tap(queues.front().get())) return fail("{} gave no TAP device", config.helper);
  } else {
    std::string interface = config.interface;
    auto opened = open_tap(interface, config.queues);
    if (!opened) return opened.error();
    queues = std::move(*opened);
    if (!config.bridge.empty()) EMU_TRY(join_bridge(config.bridge, interface));
  }
  std::unique_ptr<TapNet> net(new TapNet(std::move(queues), machine_lock));
  net->start_thread("emu-tap");
  return net;
}

TapNet::TapNet(std::vector<UniqueFd> queues, std::mutex& machine_lock)
    : HostNet(machine_lock), queues_(std::move(queues)), buffer_(kHeader + kMaxFrameBytes) {}

TapNet::~TapNet() {
  stop_thread();
}

void TapNet::before_poll(std::vector<pollfd>& descriptors, int&) {
  if (card_takes_offloads() != offloads_on_) {
    offloads_on_ = !offloads_on_;
    set_tap_offloads(queues_.front().get(), offloads_on_);  // the device's, not the queue's
  }
  if (incoming_full()) return;
  for (const UniqueFd& queue : queues_) descriptors.push_back({queue.get(), POLLIN, 0});
}

void TapNet::after_poll(std::span<const pollfd> descriptors) {
  for (const pollfd& queue : descriptors) {
    if (queue.revents == 0) continue;
    for (unsigned i = 0; i < kFramesPerPoll && !incoming_full(); ++i) {
      const ssize_t got = ::read(queue.fd, buffer_.data(), buffer_.size());
      if (got <= 0) break;
      take_frame(std::span<const u8>(buffer_).first(static_cast<std::size_t>(got)));
    }
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

// The kernel answers a flow on the queue that it came from (tuntap.rst), so each keeps to one.
int TapNet::queue_for(std::span<const u8> frame) const {
  if (queues_.size() == 1) return queues_.front().get();
  const FrameLayout layout = layout_of(frame);
  if (layout.transport == 0) return queues_.front().get();
  const u32 ports = sum_words(frame.subspan(layout.transport, 4));
  return queues_[((ports * 0x9e3779b1u) >> 16) % queues_.size()].get();
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
  [[maybe_unused]] const ssize_t sent = ::writev(queue_for(frame), parts, 2);
}

}  // namespace emu
