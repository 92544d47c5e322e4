// SPDX-License-Identifier: Apache-2.0
#include "devices/network/dp8390.h"

#include <algorithm>
#include <utility>

#include "base/bits.h"
#include "base/state_io.h"

namespace emu {
namespace {

// Command register.
constexpr u8 kStop = 0x01, kStart = 0x02, kTransmit = 0x04, kRemoteMask = 0x38, kRemoteRead = 0x08,
             kRemoteWrite = 0x10, kRemoteSend = 0x18, kPageShift = 6;
// Interrupt status.
constexpr u8 kReceived = 0x01, kSent = 0x02, kRemoteDone = 0x40, kResetState = 0x80;
// Receive configuration and status, transmit and data configuration.
constexpr u8 kAcceptBroadcast = 0x04, kAcceptMulticast = 0x08, kPromiscuous = 0x10, kMonitor = 0x20;
constexpr u8 kStatusOk = 0x01, kStatusMulticast = 0x20;
constexpr u8 kLoopbackMask = 0x06;
constexpr u8 kWordTransfer = 0x01;
// Ports.
constexpr unsigned kDataPort = 0x10, kResetPort = 0x18;
constexpr std::size_t kRingHeader = 4, kFcsBytes = 4, kMaxFrame = 1518;
constexpr u32 kPage = 256;

}  // namespace

Dp8390::Dp8390(const MacAddress& mac, NetBackend& backend, std::function<void(bool)> interrupt)
    : backend_(backend), interrupt_(std::move(interrupt)) {
  // A PROM byte shows twice on a 16-bit card; "WW" at the end says that it is one.
  for (unsigned i = 0; i < mac.size(); ++i) prom_[2 * i] = prom_[2 * i + 1] = mac[i];
  for (unsigned i = 28; i < kPromBytes; ++i) prom_[i] = 0x57;
  backend_.set_receiver(this);
}

Dp8390::~Dp8390() {
  backend_.set_receiver(nullptr);
}

void Dp8390::reset() {
  memory_.fill(0);
  address_.fill(0);
  multicast_.fill(0);
  start_ = stop_ = boundary_ = current_ = transmit_page_ = transmit_status_ = 0;
  receive_control_ = transmit_control_ = data_control_ = receive_status_ = 0;
  transmit_bytes_ = remote_address_ = 0;
  reset_pin();
}

// What the card's reset port does: rings and addresses stay.
void Dp8390::reset_pin() {
  command_ = kStop | 0x20;
  isr_ = kResetState;
  imr_ = 0;
  remote_bytes_ = 0;
  pending_ = false;
  interrupt_(false);
}

void Dp8390::raise(u8 causes) {
  isr_ |= causes;
  interrupt_(interrupt_level());
}

u64 Dp8390::read(u64 offset, unsigned size) {
  if (offset >= kResetPort) {
    reset_pin();
    return 0;
  }
  if (offset >= kDataPort) return read_data(size);
  u64 value = 0;
  for (unsigned i = 0; i < size; ++i) {
    value |= u64{read_register(static_cast<unsigned>(offset) + i)} << (8 * i);
  }
  return value;
}

void Dp8390::write(u64 offset, unsigned size, u64 value) {
  if (offset >= kResetPort) return;  // ends the reset that the read began
  if (offset >= kDataPort) return write_data(size, value);
  for (unsigned i = 0; i < size; ++i) {
    write_register(static_cast<unsigned>(offset) + i, static_cast<u8>(value >> (8 * i)));
  }
}

u8 Dp8390::read_register(unsigned index) const {
  if (index == 0) return command_;
  const unsigned page = command_ >> kPageShift;
  if (page == 0) {
    switch (index) {
      case 1:
        return static_cast<u8>(remote_address_);
      case 2:
        return static_cast<u8>(remote_address_ >> 8);
      case 3:
        return boundary_;
      case 4:
        return transmit_status_;
      case 7:
        return isr_;
      case 8:
        return static_cast<u8>(remote_address_);
      case 9:
        return static_cast<u8>(remote_address_ >> 8);
      case 10:
        return 0x50;  // "PC", by which an RTL8029 is told
      case 11:
        return 0x43;
      case 12:
        return receive_status_;
      default:
        return 0;
    }
  }
  if (page == 1) {
    if (index <= 6) return address_[index - 1];
    return index == 7 ? current_ : multicast_[index - 8];
  }
  if (page != 2) return 0;
  const u8 configuration[] = {0, start_, stop_, 0, transmit_page_};
  if (index < std::size(configuration)) return configuration[index];
  const u8 control[] = {receive_control_, transmit_control_, data_control_, imr_};
  return index >= 12 ? control[index - 12] : u8{0};
}

void Dp8390::write_register(unsigned index, u8 value) {
  if (index == 0) return write_command(value);
  const unsigned page = command_ >> kPageShift;
  if (page == 0) return write_page0(index, value);
  if (page != 1) return;
  if (index <= 6) {
    address_[index - 1] = value;
  } else if (index == 7) {
    current_ = value;
    backend_.receiver_ready();
  } else {
    multicast_[index - 8] = value;
  }
}

void Dp8390::write_page0(unsigned index, u8 value) {
  const auto low = [value](u16 word) { return static_cast<u16>((word & 0xff00) | value); };
  const auto high = [value](u16 word) { return static_cast<u16>((word & 0xff) | value << 8); };
  u8* const plain[] = {nullptr,
                       &start_,
                       &stop_,
                       &boundary_,
                       &transmit_page_,
                       nullptr,
                       nullptr,
                       nullptr,
                       nullptr,
                       nullptr,
                       nullptr,
                       nullptr,
                       &receive_control_,
                       &transmit_control_,
                       &data_control_,
                       &imr_};
  switch (index) {
    case 5:
      transmit_bytes_ = low(transmit_bytes_);
      return;
    case 6:
      transmit_bytes_ = high(transmit_bytes_);
      return;
    case 7:
      isr_ = static_cast<u8>(isr_ & ~(value & 0x7f));
      // A driver that stops after some frames acknowledges those that it left, too. Frames here
      // come faster than on its wire: without another word they would wait for the next one.
      if (!ring_read()) isr_ |= kReceived;
      return interrupt_(interrupt_level());
    case 8:
      remote_address_ = low(remote_address_);
      return;
    case 9:
      remote_address_ = high(remote_address_);
      return;
    case 10:
      remote_bytes_ = low(remote_bytes_);
      return;
    case 11:
      remote_bytes_ = high(remote_bytes_);
      return;
    default:
      *plain[index] = index == 15 ? value & 0x7f : value;
      interrupt_(interrupt_level());
      backend_.receiver_ready();
  }
}

void Dp8390::write_command(u8 value) {
  command_ = value & static_cast<u8>(~kTransmit);
  if ((value & kStop) != 0) {
    isr_ |= kResetState;
    return;
  }
  if ((value & kStart) != 0) isr_ = static_cast<u8>(isr_ & ~kResetState);
  if ((value & kRemoteMask) == kRemoteSend) {  // the next frame of the ring, to the data port
    remote_address_ = static_cast<u16>(boundary_ * kPage);
    remote_bytes_ =
        static_cast<u16>(memory(remote_address_ + 2u) | memory(remote_address_ + 3u) << 8);
  } else if ((value & kRemoteMask) < 0x20 && (value & kRemoteMask) != 0 && remote_bytes_ == 0) {
    raise(kRemoteDone);
  }
  if ((value & kTransmit) != 0) transmit();
  backend_.receiver_ready();
}

u8 Dp8390::memory(u32 address) const {
  if (address < kPromBytes) return prom_[address];
  return address - kMemoryAt < kMemoryBytes ? memory_[address - kMemoryAt] : u8{0xff};
}

void Dp8390::set_memory(u32 address, u8 value) {
  if (address - kMemoryAt < kMemoryBytes) memory_[address - kMemoryAt] = value;
}

// One byte on; false: no transfer is under way.
bool Dp8390::remote_step() {
  if (remote_bytes_ == 0) return false;
  ++remote_address_;
  if (remote_address_ == stop_ * kPage) remote_address_ = static_cast<u16>(start_ * kPage);
  if (--remote_bytes_ == 0) raise(kRemoteDone);
  return true;
}

u64 Dp8390::read_data(unsigned size) {
  const u8 mode = command_ & kRemoteMask;
  if (mode != kRemoteRead && mode != kRemoteSend) return 0;
  const unsigned bytes = std::max(size, (data_control_ & kWordTransfer) != 0 ? 2u : 1u);
  u64 value = 0;
  for (unsigned i = 0; i < bytes; ++i) {
    const u8 byte = memory(remote_address_);
    if (!remote_step()) break;
    value |= u64{byte} << (8 * i);
  }
  return value & (~u64{0} >> (64 - 8 * size));
}

void Dp8390::write_data(unsigned size, u64 value) {
  if ((command_ & kRemoteMask) != kRemoteWrite) return;
  const unsigned bytes = std::max(size, (data_control_ & kWordTransfer) != 0 ? 2u : 1u);
  for (unsigned i = 0; i < bytes && remote_bytes_ != 0; ++i) {
    set_memory(remote_address_, static_cast<u8>(value >> (8 * i)));
    static_cast<void>(remote_step());
  }
}

void Dp8390::transmit() {
  std::vector<u8> frame(std::min<std::size_t>(transmit_bytes_, kMaxFrame));
  for (std::size_t i = 0; i < frame.size(); ++i) {
    frame[i] = memory(transmit_page_ * kPage + static_cast<u32>(i));
  }
  const bool looped = (transmit_control_ & kLoopbackMask) != 0;
  if (link_ && !looped && is_frame_length(frame.size())) {
    ++counters_.sent_frames;
    counters_.sent_bytes += frame.size();
    backend_.send(frame);
  }
  transmit_status_ = kStatusOk;
  raise(kSent);
}

void Dp8390::set_link(bool up) {
  link_ = up;  // the chip has no way to tell
  if (up) backend_.receiver_ready();
}

// The last page that the driver has read; before the ring's first one is its last one (drivers
// write "next frame less one").
u32 Dp8390::boundary() const {
  return boundary_ >= start_ && boundary_ < stop_ ? boundary_ : stop_ - 1u;
}

// Whether the driver has taken every frame, whichever way it marks that.
bool Dp8390::ring_read() const {
  const u32 after = boundary() + 1 >= stop_ ? start_ : boundary() + 1;
  return (command_ & kStop) != 0 || ring_pages() == 0 || current_ == boundary() ||
         current_ == after;
}

u32 Dp8390::free_pages() const {
  return current_ < boundary() ? boundary() - current_ : ring_pages() - (current_ - boundary());
}

bool Dp8390::accepts(std::span<const u8> frame) const {
  const auto to = frame.first(6);
  if ((receive_control_ & kMonitor) != 0 || frame.size() > kMaxFrame) return false;
  if (std::ranges::equal(to, kBroadcastMac)) return (receive_control_ & kAcceptBroadcast) != 0;
  if ((to[0] & 1) != 0) {
    const u32 hash = ethernet_crc(to) >> 26;
    return (receive_control_ & kAcceptMulticast) != 0 && bit(multicast_[hash / 8], hash % 8);
  }
  return (receive_control_ & kPromiscuous) != 0 || std::ranges::equal(to, address_);
}

// A frame takes whole pages of the ring: four bytes of header, the frame, its FCS.
bool Dp8390::receive(std::span<const u8> in, const Offload&) {
  const bool placed = current_ >= start_ && current_ < stop_;
  if ((command_ & kStop) != 0 || (transmit_control_ & kLoopbackMask) != 0 || !link_ || !placed ||
      !accepts(in)) {
    ++counters_.dropped_frames;
    return true;
  }
  std::array<u8, kMinEthernetBytes> buffer{};
  const auto frame = padded(in, buffer);
  const u32 pages = static_cast<u32>((kRingHeader + frame.size() + kFcsBytes + kPage - 1) / kPage);
  if (pages >= ring_pages()) {  // never will there be room
    ++counters_.dropped_frames;
    return true;
  }
  if (free_pages() <= pages) {
    // Drivers stop looking after some frames and wait for the next one: say again that some are
    // here.
    raise(kReceived);
    return false;
  }
  const auto after = [this](u32 page) { return page >= stop_ ? page - ring_pages() : page; };
  const u8 next = static_cast<u8>(after(current_ + pages));
  receive_status_ = static_cast<u8>(kStatusOk | ((frame[0] & 1) != 0 ? kStatusMulticast : 0));
  const std::size_t count = frame.size() + kFcsBytes;
  const u8 header[kRingHeader] = {receive_status_, next, static_cast<u8>(count),
                                  static_cast<u8>(count >> 8)};
  u32 address = current_ * kPage;
  const auto put = [&](u8 byte) {
    set_memory(address++, byte);
    if (address == stop_ * kPage) address = start_ * kPage;
  };
  for (const u8 byte : header) put(byte);
  for (const u8 byte : frame) put(byte);
  current_ = next;
  ++counters_.received_frames;
  counters_.received_bytes += in.size();
  pending_ = true;
  return true;
}

void Dp8390::received() {
  if (std::exchange(pending_, false)) raise(kReceived);
}

void Dp8390::transfer(StateIo& io) {
  io.section("dp8390", 1, [&] {
    io.field(1, "memory", memory_);
    io.field(2, "address", address_);
    io.field(3, "multicast", multicast_);
    io.field(4, "command", command_);
    io.field(5, "start", start_);
    io.field(6, "stop", stop_);
    io.field(7, "boundary", boundary_);
    io.field(8, "current", current_);
    io.field(9, "transmit_page", transmit_page_);
    io.field(10, "transmit_status", transmit_status_);
    io.field(11, "isr", isr_);
    io.field(12, "imr", imr_);
    io.field(13, "receive_control", receive_control_);
    io.field(14, "transmit_control", transmit_control_);
    io.field(15, "data_control", data_control_);
    io.field(16, "receive_status", receive_status_);
    io.field(17, "transmit_bytes", transmit_bytes_);
    io.field(18, "remote_address", remote_address_);
    io.field(19, "remote_bytes", remote_bytes_);
    io.field(20, "link", link_);
  });
}

void Dp8390::resumed() {
  pending_ = false;
  backend_.receiver_ready();
}

}  // namespace emu
