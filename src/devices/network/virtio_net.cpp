// SPDX-License-Identifier: Apache-2.0
#include "devices/network/virtio_net.h"

#include <algorithm>

#include "base/bits.h"
#include "net/offload.h"

namespace emu {
namespace {

// Features (5.1.3).
constexpr u64 kCsum = 1u << 0, kGuestCsum = 1u << 1, kCtrlGuestOffloads = 1u << 2, kMtu = 1u << 3,
              kMac = 1u << 5, kGuestTso4 = 1u << 7, kGuestTso6 = 1u << 8, kGuestEcn = 1u << 9,
              kHostTso4 = 1u << 11, kHostTso6 = 1u << 12, kHostEcn = 1u << 13,
              kMergeable = 1u << 15, kStatus = 1u << 16, kCtrlVq = 1u << 17, kCtrlRx = 1u << 18,
              kCtrlVlan = 1u << 19, kCtrlRxExtra = 1u << 20, kGuestAnnounce = 1u << 21,
              kMq = 1u << 22, kCtrlMac = 1u << 23;
constexpr u64 kOffloadBits = kGuestCsum | kGuestTso4 | kGuestTso6 | kGuestEcn;
// struct virtio_net_hdr (5.1.6).
constexpr u8 kNeedsCsum = 1, kDataValid = 2, kGsoEcn = 0x80;
constexpr std::size_t kSmallHeader = 10, kHeader = 12, kNumBuffersAt = 10;
// Status (5.1.4).
constexpr u16 kLinkUp = 1, kAnnounceBit = 2;
// Control commands (5.1.6.5).
constexpr u8 kClassRx = 0, kClassMac = 1, kClassVlan = 2, kClassAnnounce = 3, kClassMq = 4,
             kClassOffloads = 5;
constexpr u8 kOk = 0, kError = 1;
constexpr std::size_t kMaxCommandBytes = 4096;
// Receive modes, by command number.
constexpr unsigned kPromiscuous = 0, kAllMulticast = 1, kAllUnicast = 2, kNoMulticast = 3,
                   kNoUnicast = 4, kNoBroadcast = 5;

}  // namespace

VirtioNet::VirtioNet(AddressSpace& space, NetBackend& backend, const Options& options)
    : VirtioDevice(space, {"virtio-net", virtio::kTypeNet, 0x020000, kConfigBytes},
                   queue_sizes(options.pairs)),
      backend_(backend),
      options_(options) {
  reset_model();
  backend_.set_receiver(this);
}

VirtioNet::~VirtioNet() {
  backend_.set_receiver(nullptr);
}

// receiveq1, transmitq1, ..., controlq (5.1.2).
std::vector<u16> VirtioNet::queue_sizes(unsigned pairs) {
  EMU_CHECK(pairs >= 1 && pairs <= kMaxPairs);
  std::vector<u16> sizes(2 * pairs, kQueueSize);
  sizes.push_back(kControlQueueSize);
  return sizes;
}

// A driver that does not take multi-queue finds the control queue behind the first pair.
unsigned VirtioNet::control_queue() const {
  return has_feature(kMq) ? 2 * options_.pairs : 2;
}

std::size_t VirtioNet::header_bytes() const {
  return has_feature(kMergeable) || has_feature(virtio::kFeatureVersion1) ? kHeader : kSmallHeader;
}

u64 VirtioNet::model_features() const {
  u64 features = kCsum | kGuestCsum | kCtrlGuestOffloads | kMac | kGuestTso4 | kGuestTso6 |
                 kGuestEcn | kHostTso4 | kHostTso6 | kHostEcn | kMergeable | kStatus | kCtrlVq |
                 kCtrlRx | kCtrlVlan | kCtrlRxExtra | kGuestAnnounce | kCtrlMac;
  if (options_.pairs > 1) features |= kMq;
  if (options_.mtu != 0) features |= kMtu;
  return features;
}

void VirtioNet::fill_config(std::span<u8> out) {
  std::copy(mac_.begin(), mac_.end(), out.begin());
  store_le(&out[6], static_cast<u16>((link_ ? kLinkUp : 0) | (announce_ ? kAnnounceBit : 0)));
  store_le(&out[8], static_cast<u16>(options_.pairs));
  store_le(&out[10], options_.mtu);
}

// Legacy drivers write their address here.
void VirtioNet::config_written(u64 offset, std::span<const u8> bytes) {
  if (has_feature(virtio::kFeatureVersion1)) return;
  for (std::size_t i = 0; i < bytes.size() && offset + i < mac_.size(); ++i) {
    mac_[offset + i] = bytes[i];
  }
}

void VirtioNet::driver_ready() {
  guest_offloads_ = driver_features() & kOffloadBits;
  for (unsigned pair = 0; pair < options_.pairs; ++pair) queue(2 * pair).want_notifications(false);
  backend_.receiver_ready();
}

void VirtioNet::reset_model() {
  mac_ = options_.mac;
  announce_ = false;
  pairs_in_use_ = 1;
  guest_offloads_ = 0;
  modes_ = 1u << kPromiscuous;
  macs_.clear();
  macs_overflow_[0] = macs_overflow_[1] = false;
  vlans_.fill(0);
  taken_.clear();
  to_interrupt_.reset();
}

void VirtioNet::set_link(bool up) {
  if (link_ == up) return;
  link_ = up;
  config_changed();
  if (up) backend_.receiver_ready();
}

void VirtioNet::notified(unsigned index) {
  if (index == control_queue()) {
    each_chain(index, [&](const VirtioChain& chain) { control(chain); });
  } else if (index >= 2 * options_.pairs) {
    return;
  } else if (index % 2 == 0) {
    backend_.receiver_ready();
  } else {
    each_chain(index, [&](const VirtioChain& chain) { transmit(index, chain); });
    interrupt(index);
  }
}

// --- out ---

Offload VirtioNet::offload_of(std::span<const u8> header) const {
  Offload out;
  out.needs_checksum = (header[0] & kNeedsCsum) != 0;
  const u8 kind = header[1] & static_cast<u8>(~kGsoEcn);
  if (kind == 1) out.segments = Offload::Segments::kTcp4;
  if (kind == 4) out.segments = Offload::Segments::kTcp6;
  out.header_bytes = load_le<u16>(&header[2]);
  out.segment_bytes = load_le<u16>(&header[4]);
  out.checksum_start = load_le<u16>(&header[6]);
  out.checksum_offset = load_le<u16>(&header[8]);
  return out;
}

void VirtioNet::transmit(unsigned index, const VirtioChain& chain) {
  DmaList memory_list;
  if (!chain.map_readable(memory(), memory_list)) {
    return fail("a frame to send is not in RAM");
  }
  const std::size_t header = header_bytes();
  const u64 total = memory_list.length_bytes();
  if (total >= header && is_frame_length(total - header)) {
    std::array<u8, kHeader> raw{};
    memory_list.read(0, std::span(raw).first(header));
    frame_.resize(total - header);
    memory_list.read(header, frame_);
    ++counters_.sent_frames;
    counters_.sent_bytes += frame_.size();
    if (link_) backend_.send(frame_, offload_of(raw));
  }
  push(index, chain, 0);
}

// --- control ---

void VirtioNet::control(const VirtioChain& chain) {
  DmaList in;
  DmaList out;
  if (!chain.map_readable(memory(), in) || !chain.map_writable(memory(), out) || out.empty() ||
      in.length_bytes() < 2) {
    return fail("a control command without its parts, or not in RAM");
  }
  std::vector<u8> bytes(std::min<u64>(in.length_bytes(), kMaxCommandBytes));
  in.read(0, bytes);
  const u8 answer = command(bytes[0], bytes[1], std::span(bytes).subspan(2)) ? kOk : kError;
  out.write(0, std::span<const u8>(&answer, 1));
  complete(control_queue(), chain, 1);
}

bool VirtioNet::command(u8 kind, u8 number, std::span<const u8> data) {
  switch (kind) {
    case kClassRx:
      return receive_mode(number, data);
    case kClassMac:
      return addresses(number, data);
    case kClassVlan:
      return vlan(number, data);
    case kClassAnnounce:
      announce_ = false;
      return number == 0;
    case kClassMq: {
      if (number != 0 || data.size() < 2) return false;
      const u16 pairs = load_le<u16>(data.data());
      if (pairs < 1 || pairs > options_.pairs) return false;
      pairs_in_use_ = pairs;
      return true;
    }
    case kClassOffloads:
      if (number != 0 || data.size() < 8) return false;
      if ((load_le<u64>(data.data()) & ~(driver_features() & kOffloadBits)) != 0) return false;
      guest_offloads_ = load_le<u64>(data.data());
      backend_.receiver_ready();
      return true;
    default:
      return false;
  }
}

bool VirtioNet::receive_mode(u8 number, std::span<const u8> data) {
  if (number > kNoBroadcast || data.empty()) return false;
  const u8 mask = static_cast<u8>(1u << number);
  modes_ = static_cast<u8>(data[0] != 0 ? modes_ | mask : modes_ & ~mask);
  return true;
}

// The tables of unicast and multicast addresses, each a count and that many; or the card's own.
bool VirtioNet::addresses(u8 number, std::span<const u8> data) {
  if (number == 1 && data.size() >= 6) {
    std::copy_n(data.begin(), 6, mac_.begin());
    return true;
  }
  if (number != 0) return false;
  std::vector<u8> macs;
  bool overflow[2] = {};
  for (bool& too_many : overflow) {
    if (data.size() < 4) return false;
    const u32 count = load_le<u32>(data.data());
    data = data.subspan(4);
    if (count > data.size() / 6) return false;
    too_many = macs.size() / 6 + count > kMaxMacs;
    if (!too_many) macs.insert(macs.end(), data.begin(), data.begin() + 6 * std::ptrdiff_t{count});
    data = data.subspan(6 * std::size_t{count});
  }
  macs_ = std::move(macs);
  std::copy_n(overflow, 2, macs_overflow_);
  return true;
}

bool VirtioNet::vlan(u8 number, std::span<const u8> data) {
  if (number > 1 || data.size() < 2) return false;
  const u16 id = load_le<u16>(data.data());
  if (id >= 4096) return false;
  const u64 mask = u64{1} << (id % 64);
  u64& word = vlans_[id / 64];
  word = number == 0 ? word | mask : word & ~mask;
  return true;
}

// --- in ---

bool VirtioNet::takes_offloads() const {
  constexpr u64 kNeeded = kGuestCsum | kGuestTso4 | kGuestTso6;
  return (guest_offloads_ & kNeeded) == kNeeded && has_feature(kMergeable) && is_running();
}

bool VirtioNet::accepts(std::span<const u8> frame) const {
  const auto mode = [this](unsigned n) { return bit(modes_, n); };
  if (mode(kPromiscuous)) return true;
  if (has_feature(kCtrlVlan) && frame.size() >= 16 && load_be<u16>(&frame[12]) == 0x8100) {
    const u32 id = load_be<u16>(&frame[14]) & 0xfffu;
    if (!bit(vlans_[id / 64], id % 64)) return false;
  }
  const auto to = frame.first(6);
  if (std::ranges::equal(to, kBroadcastMac)) return !mode(kNoBroadcast);
  const bool multicast = (to[0] & 1) != 0;
  if (mode(multicast ? kNoMulticast : kNoUnicast)) return false;
  if (mode(multicast ? kAllMulticast : kAllUnicast) || macs_overflow_[multicast ? 1 : 0]) {
    return true;
  }
  if (std::ranges::equal(to, mac_)) return true;
  for (std::size_t i = 0; i + 6 <= macs_.size(); i += 6) {
    if (std::ranges::equal(to, std::span(macs_).subspan(i, 6))) return true;
  }
  return false;
}

// A flow stays on one queue: by its addresses and ports.
unsigned VirtioNet::queue_for(std::span<const u8> frame) const {
  if (pairs_in_use_ <= 1) return 0;
  const FrameLayout layout = layout_of(frame);
  if (layout.transport == 0) return 0;
  const std::size_t addresses_at = layout.ip + (layout.version == 4 ? 12u : 8u);
  const std::size_t end = layout.transport + 4u;
  u32 sum = sum_words(frame.subspan(addresses_at, end - addresses_at));
  sum = (sum >> 16) + (sum & 0xffff);
  return 2 * (((sum * 0x9e3779b1u) >> 16) % pairs_in_use_);
}

// Takes buffers for so many bytes into taken_; false, and nothing is taken, if there are not
// enough.
bool VirtioNet::take_chains(unsigned index, std::size_t bytes) {
  taken_.clear();
  std::size_t room = 0;
  while (room < bytes) {
    auto chain = next_chain(index);
    if (!chain) break;
    Taken taken{std::move(*chain), {}};
    if (!taken.chain.map_writable(memory(), taken.memory)) {
      fail("a receive buffer is not in RAM");
      break;
    }
    room += taken.memory.length_bytes();
    taken_.push_back(std::move(taken));
    if (!has_feature(kMergeable)) break;
  }
  if (room >= bytes) return true;
  if (!is_running()) taken_.clear();
  return false;
}

void VirtioNet::fill_chains(std::span<const u8> frame, const Offload& offload) {
  std::array<u8, kHeader> header{};
  if ((guest_offloads_ & kGuestCsum) != 0) {
    if (offload.needs_checksum) header[0] = kNeedsCsum;
    if (!offload.needs_checksum && offload.checksum_valid) header[0] = kDataValid;
  }
  header[1] = static_cast<u8>(offload.segments);
  store_le(&header[2], offload.header_bytes);
  store_le(&header[4], offload.segment_bytes);
  if (offload.needs_checksum) {
    store_le(&header[6], offload.checksum_start);
    store_le(&header[8], offload.checksum_offset);
  }
  store_le(&header[kNumBuffersAt], static_cast<u16>(taken_.size()));
  const std::size_t header_size = header_bytes();
  std::size_t done = 0;
  for (Taken& taken : taken_) {
    const bool first = &taken == &taken_.front();
    u64 at = 0;
    if (first) at = taken.memory.write(0, std::span(header).first(header_size));
    const u64 written = taken.memory.write(at, frame.subspan(done));
    done += written;
    taken.memory.truncate(at + written);
  }
}

bool VirtioNet::receive(std::span<const u8> in, const Offload& offload) {
  if (!is_running() || !link_ || !accepts(in)) {
    ++counters_.dropped_frames;
    return true;
  }
  const unsigned index = queue_for(in);
  if (!queue(index).enabled()) {
    ++counters_.dropped_frames;
    return true;
  }
  std::array<u8, kMinEthernetBytes> buffer{};
  const std::span<const u8> frame = padded(in, buffer);
  if (!take_chains(index, frame.size() + header_bytes())) {
    if (!is_running()) return true;
    const bool too_small = !has_feature(kMergeable) && !taken_.empty();
    for (auto it = taken_.rbegin(); it != taken_.rend(); ++it) queue(index).unpop(it->chain);
    taken_.clear();
    if (too_small) {  // it would never fit
      ++counters_.dropped_frames;
      return true;
    }
    queue(index).want_notifications(true);
    if (!queue(index).has_available()) return false;
    // More came meanwhile, or what there is does not suffice: notify() tells when it may.
    if (!take_chains(index, frame.size() + header_bytes())) {
      for (auto it = taken_.rbegin(); it != taken_.rend(); ++it) queue(index).unpop(it->chain);
      taken_.clear();
      return !is_running();
    }
  }
  queue(index).want_notifications(false);
  fill_chains(frame, offload);
  for (const Taken& taken : taken_) {
    push(index, taken.chain, static_cast<u32>(taken.memory.length_bytes()));
  }
  taken_.clear();
  to_interrupt_.set(index / 2);
  ++counters_.received_frames;
  counters_.received_bytes += in.size();
  return true;
}

void VirtioNet::received() {
  for (unsigned pair = 0; pair < options_.pairs; ++pair) {
    if (to_interrupt_.test(pair)) interrupt(2 * pair);
  }
  to_interrupt_.reset();
}

void VirtioNet::transfer_model(StateIo& io) {
  io.field(1, "mac", mac_);
  io.field(2, "link", link_);
  io.field(3, "announce", announce_);
  io.field(4, "pairs_in_use", pairs_in_use_);
  io.field(5, "guest_offloads", guest_offloads_);
  io.field(6, "modes", modes_);
  io.field(7, "macs", macs_, 6 * kMaxMacs);
  io.field(8, "unicast_overflow", macs_overflow_[0]);
  io.field(9, "multicast_overflow", macs_overflow_[1]);
  io.field(10, "vlans", vlans_);
  io.check(pairs_in_use_ >= 1 && pairs_in_use_ <= options_.pairs, "virtio-net queue pairs");
  io.check(macs_.size() % 6 == 0, "virtio-net address table");
}

// The network may be another one now: the driver tells it where the card is.
void VirtioNet::resumed_model() {
  to_interrupt_.reset();
  if (has_feature(kGuestAnnounce | kStatus) && link_) {
    announce_ = true;
    config_changed();
  }
  backend_.receiver_ready();
}

}  // namespace emu
