// SPDX-License-Identifier: Apache-2.0
#include "devices/network/rtl8139.h"

#include <algorithm>

#include "base/bits.h"

namespace emu {
namespace {

// Registers (data sheet, chapter 5).
constexpr u32 kIdr0 = 0x00, kMar0 = 0x08, kTsd0 = 0x10, kTsad0 = 0x20, kRbstart = 0x30, kCr = 0x37,
              kCapr = 0x38, kCbr = 0x3a, kImr = 0x3c, kIsr = 0x3e, kTcr = 0x40, kRcr = 0x44,
              kTctr = 0x48, kMpc = 0x4c, k9346 = 0x50, kConfig1 = 0x52, kMsr = 0x58, kTsad = 0x60,
              kBmcr = 0x62, kBmsr = 0x64, kAnar = 0x66, kAnlpar = 0x68, kAner = 0x6a, kCscr = 0x74;
constexpr u8 kCrEmpty = 0x01, kCrTransmit = 0x04, kCrReceive = 0x08, kCrReset = 0x10;
constexpr u32 kTsdOwn = 1 << 13, kTsdOk = 1 << 15, kTsdSize = 0x1fff;
constexpr u16 kReceived = 0x01, kSent = 0x04, kLinkChanged = 0x20;
// CSCR: the link is good, and it changed; Linux's 8139too knows what the data sheet reserves.
constexpr u16 kCscrFixed = 0x03c0, kCscrConnected = 0x0408, kCscrChanged = 0x0800;
constexpr u32 kAcceptAll = 1, kAcceptPhysical = 2, kAcceptMulticast = 4, kAcceptBroadcast = 8,
              kWrap = 1 << 7;
constexpr u16 kRxOk = 0x0001, kRxBroadcast = 0x2000, kRxPhysical = 0x4000, kRxMulticast = 0x8000;
constexpr u32 kVersion8139c = 0x74000000;
// 9346CR in programming mode: the EEPROM's wires.
constexpr u8 kEeModeMask = 0xc0, kEeProgram = 0x80, kEeSelect = 8, kEeClock = 4, kEeIn = 2,
             kEeOut = 1;
constexpr u32 kReservedFrom = 0x80;
constexpr std::size_t kMaxFrame = 1792;
constexpr u32 kCaprBehind = 16;  // CAPR is this much behind the read position

}  // namespace

template <class T>
T Rtl8139::reg(u32 offset) const {
  return load_le<T>(&bytes_[offset]);
}

template <class T>
void Rtl8139::set_reg(u32 offset, T value) {
  store_le(&bytes_[offset], value);
}

Rtl8139::Rtl8139(PciBus& pci, u8 devfn, std::string name, const MacAddress& mac,
                 NetBackend& backend)
    : PciDevice(pci, devfn, std::move(name),
                {.vendor = 0x10ec,
                 .device = 0x8139,
                 .revision = 0x10,
                 .class_code = 0x020000,
                 .interrupt_pin = 1}),
      backend_(backend),
      mac_(mac),
      io_bar_(Region::mmio("rtl8139.io", kWindowBytes, registers_, AccessSizes{1, 4, false})),
      memory_bar_(Region::mmio("rtl8139", kWindowBytes, registers_, AccessSizes{1, 4, false})) {
  add_bar(0, BarKind::kIo, *io_bar_);
  add_bar(1, BarKind::kMemory32, *memory_bar_);
  MicrowireEeprom::Words words{0x8129, 0x10ec, 0x8139};
  for (unsigned i = 0; i < 3; ++i) {
    words[7 + i] = static_cast<u16>(mac[2 * i] | mac[2 * i + 1] << 8);
  }
  eeprom_.fill(words);
  backend_.set_receiver(this);
}

Rtl8139::~Rtl8139() {
  backend_.set_receiver(nullptr);
}

void Rtl8139::reset() {
  reset_config();
  bytes_.fill(0);
  std::copy(mac_.begin(), mac_.end(), bytes_.begin());
  eeprom_.reset();
  set_reg(kConfig1, u8{0x0d});
  set_reg(kAnar, u16{0x05e1});
  set_reg(kBmcr, u16{0x1000});
  soft_reset();
}

// CR.RST: transmitter, receiver and interrupts; not the addresses.
void Rtl8139::soft_reset() {
  for (u32 slot = 0; slot < 4; ++slot) set_reg(kTsd0 + 4 * slot, kTsdOwn);
  set_reg(kCr, kCrEmpty);
  set_reg(kCapr, static_cast<u16>(0u - kCaprBehind));
  set_reg(kCbr, u16{0});
  set_reg(kImr, u16{0});
  set_reg(kIsr, u16{0});
  set_reg(kTcr, kVersion8139c);
  set_reg(kRcr, u32{0});
  pending_ = false;
  update_interrupt();
}

u8 Rtl8139::read_byte(u32 offset) const {
  const u16 up = link_ ? 0xffff : 0;
  const auto half = [offset](u16 value) { return static_cast<u8>(value >> (8 * (offset & 1))); };
  switch (offset & ~1u) {
    case kBmsr:
      return half(static_cast<u16>(0x7809 | (up & 0x0024)));
    case kAnlpar:
      return half(0x45e1 & up);
    case kAner:
      return half(0x0001 & up);
    case kCscr: {
      const u16 changed = (reg<u16>(kIsr) & kLinkChanged) != 0 ? kCscrChanged : 0;
      return half(static_cast<u16>(kCscrFixed | (up & kCscrConnected) | changed));
    }
    case kTsad: {
      u16 summary = 0;
      for (u32 slot = 0; slot < 4; ++slot) {
        const u32 status = reg<u32>(kTsd0 + 4 * slot);
        if ((status & kTsdOwn) != 0) summary = static_cast<u16>(summary | 1u << slot);
        if ((status & kTsdOk) != 0) summary = static_cast<u16>(summary | 0x1000u << slot);
      }
      return half(summary);
    }
    default:
      break;
  }
  if (offset == kMsr) return link_ ? 0x00 : 0x04;
  if (offset == k9346 && (bytes_[k9346] & kEeModeMask) == kEeProgram) {
    return static_cast<u8>((bytes_[k9346] & ~kEeOut) | (eeprom_.out() ? kEeOut : 0));
  }
  if (offset == kCr) {
    const bool empty = ring_free() == ring_bytes();
    return static_cast<u8>((bytes_[kCr] & ~kCrEmpty) | (empty ? kCrEmpty : 0));
  }
  return bytes_[offset];
}

u64 Rtl8139::read_register(u64 offset, unsigned size) {
  u64 value = 0;
  for (unsigned i = 0; i < size; ++i) {
    value |= u64{read_byte(static_cast<u32>(offset) + i)} << (8 * i);
  }
  return value;
}

// Registers that do something are written whole; what is left keeps its bytes.
void Rtl8139::write_register(u64 at, unsigned size, u64 value) {
  const u32 offset = static_cast<u32>(at);
  if (offset >= kTsd0 && offset < kTsad0 && size == 4) {
    set_reg(offset & ~3u, static_cast<u32>(value) & ~kTsdOk);
    return transmit((offset - kTsd0) / 4);
  }
  if (offset == kIsr && size >= 2) {
    set_reg(kIsr, static_cast<u16>(reg<u16>(kIsr) & ~value));
    // A driver that stops after some frames acknowledges those that it left, too.
    if ((bytes_[kCr] & kCrReceive) != 0 && ring_free() != ring_bytes()) {
      set_reg(kIsr, static_cast<u16>(reg<u16>(kIsr) | kReceived));
    }
    return update_interrupt();
  }
  if (offset == kMpc) return set_reg(kMpc, u32{0});
  for (unsigned i = 0; i < size; ++i) write_byte(offset + i, static_cast<u8>(value >> (8 * i)));
  if (offset <= kImr + 1 && offset + size > kImr) update_interrupt();
  if ((offset >= kCr && offset < kCbr) || (offset >= kRcr && offset < kTctr)) {
    backend_.receiver_ready();
  }
}

void Rtl8139::write_byte(u32 offset, u8 value) {
  switch (offset) {
    case kCr:
      if ((value & kCrReset) != 0) return soft_reset();
      if ((value & kCrReceive) != 0 && (bytes_[kCr] & kCrReceive) == 0) {
        set_reg(kCbr, u16{0});
        set_reg(kCapr, static_cast<u16>(0u - kCaprBehind));
      }
      bytes_[kCr] = value & (kCrTransmit | kCrReceive);
      return;
    case k9346:
      bytes_[k9346] = value & (kEeModeMask | kEeSelect | kEeClock | kEeIn);
      return eeprom_.set_wires((value & kEeModeMask) == kEeProgram && (value & kEeSelect) != 0,
                               (value & kEeClock) != 0, (value & kEeIn) != 0);
    case kIsr:
    case kIsr + 1:
      bytes_[offset] = static_cast<u8>(bytes_[offset] & ~value);
      return update_interrupt();
    case kTcr + 3:
      bytes_[offset] = static_cast<u8>((value & 0x03) | kVersion8139c >> 24);
      return;
    case kBmcr + 1:
      bytes_[offset] = value & 0x31;  // reset and restart clear themselves
      return;
    default:
      break;
  }
  // Nothing is behind 7Fh: drivers tell a C+ by what they can write there.
  const bool read_only = offset >= kReservedFrom || (offset & ~1u) == kCbr || offset == kMsr ||
                         (offset & ~1u) == kBmsr || (offset & ~1u) == kTsad || offset == kTcr + 2;
  if (!read_only) bytes_[offset] = value;
}

void Rtl8139::transmit(unsigned slot) {
  const u32 status = reg<u32>(kTsd0 + 4 * slot);
  if ((status & kTsdOwn) != 0 || (bytes_[kCr] & kCrTransmit) == 0) return;
  const std::size_t length = std::min<std::size_t>(status & kTsdSize, kMaxFrame);
  std::vector<u8> frame(length);
  dma_read(reg<u32>(kTsad0 + 4 * slot), frame);
  set_reg(kTsd0 + 4 * slot, status | kTsdOwn | kTsdOk);
  ++counters_.sent_frames;
  counters_.sent_bytes += length;
  if (link_ && is_frame_length(length)) backend_.send(frame);
  raise(kSent);
}

void Rtl8139::raise(u16 causes) {
  set_reg(kIsr, static_cast<u16>(reg<u16>(kIsr) | causes));
  update_interrupt();
}

void Rtl8139::set_link(bool up) {
  if (link_ == up) return;
  link_ = up;
  raise(kLinkChanged);
  if (up) backend_.receiver_ready();
}

u32 Rtl8139::ring_bytes() const {
  return 8192u << ((reg<u32>(kRcr) >> 11) & 3);
}

u32 Rtl8139::ring_free() const {
  const u32 size = ring_bytes();
  const u32 read = (reg<u16>(kCapr) + kCaprBehind) % size;
  const u32 written = reg<u16>(kCbr) % size;
  return written >= read ? size - (written - read) : read - written;
}

bool Rtl8139::accepts(std::span<const u8> frame, u16& status) const {
  const u32 rcr = reg<u32>(kRcr);
  const auto to = frame.first(6);
  status = kRxOk;
  if (std::ranges::equal(to, kBroadcastMac)) {
    status |= kRxBroadcast;
    return (rcr & (kAcceptBroadcast | kAcceptAll)) != 0;
  }
  if ((to[0] & 1) != 0) {
    status |= kRxMulticast;
    const u32 hash = ethernet_crc(to) >> 26;
    return (rcr & kAcceptAll) != 0 ||
           ((rcr & kAcceptMulticast) != 0 && bit(bytes_[kMar0 + hash / 8], hash % 8));
  }
  const bool mine = std::ranges::equal(to, std::span(bytes_).subspan(kIdr0, 6));
  if (mine) status |= kRxPhysical;
  return (rcr & kAcceptAll) != 0 || (mine && (rcr & kAcceptPhysical) != 0);
}

void Rtl8139::put_in_ring(std::span<const u8> bytes) {
  const u32 size = ring_bytes();
  const u32 at = reg<u16>(kCbr) % size;
  // With WRAP a frame runs on behind the ring's end; the driver left room there.
  const bool runs_on = (reg<u32>(kRcr) & kWrap) != 0 && size < 64 * kKiB;
  const std::size_t before_end = std::min<std::size_t>(bytes.size(), size - at);
  const u32 base = reg<u32>(kRbstart);
  if (runs_on) {
    dma_write(base + at, bytes);
  } else {
    dma_write(base + at, bytes.first(before_end));
    dma_write(base, bytes.subspan(before_end));
  }
}

bool Rtl8139::receive(std::span<const u8> in, const Offload&) {
  u16 status = 0;
  if ((bytes_[kCr] & kCrReceive) == 0 || !bus_master() || !link_ || in.size() > kMaxFrame ||
      !accepts(in, status)) {
    ++counters_.dropped_frames;
    return true;
  }
  std::array<u8, kMinEthernetBytes> buffer{};
  const auto frame = padded(in, buffer);
  // Header, frame, FCS; the next header starts at a doubleword.
  const std::size_t total = align_up(4 + frame.size() + 4, 4);
  if (ring_free() <= total) {
    // Drivers stop looking after some frames and wait for the next one: say again that some are
    // here.
    raise(kReceived);
    return false;
  }
  std::vector<u8> bytes(total);
  store_le(&bytes[0], status);
  store_le(&bytes[2], static_cast<u16>(frame.size() + 4));
  std::copy(frame.begin(), frame.end(), bytes.begin() + 4);
  put_in_ring(bytes);
  set_reg(kCbr, static_cast<u16>((reg<u16>(kCbr) + total) % ring_bytes()));
  ++counters_.received_frames;
  counters_.received_bytes += in.size();
  pending_ = true;
  return true;
}

void Rtl8139::received() {
  if (std::exchange(pending_, false)) raise(kReceived);
}

void Rtl8139::transfer(StateIo& io) {
  io.section(name(), 1, [&] {
    transfer_config(io);
    io.field(1, "registers", bytes_);
    io.field(2, "link", link_);
    eeprom_.transfer(io);
  });
}

void Rtl8139::resumed() {
  resume_config();
  pending_ = false;
  backend_.receiver_ready();
}

}  // namespace emu
