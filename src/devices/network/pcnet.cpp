// SPDX-License-Identifier: Apache-2.0
#include "devices/network/pcnet.h"

#include <algorithm>
#include <utility>

#include "base/bits.h"

namespace emu {
namespace {

// CSR0.
constexpr u16 kInit = 1 << 0, kStart = 1 << 1, kStop = 1 << 2, kDemand = 1 << 3, kTxOn = 1 << 4,
              kRxOn = 1 << 5, kEnable = 1 << 6, kInterrupt = 1 << 7, kInitDone = 1 << 8,
              kSent = 1 << 9, kReceived = 1 << 10, kMissed = 1 << 12, kError = 1 << 15;
constexpr u16 kCauses = 0x7f00, kErrors = 0x7800;
// Mode (CSR15).
constexpr u16 kPromiscuous = 1 << 15, kNoBroadcast = 1 << 14, kNoPhysical = 1 << 13,
              kNoTransmitter = 1 << 1, kNoReceiver = 1 << 0;
// Descriptor status.
constexpr u16 kOwn = 1 << 15, kFirst = 1 << 9, kLast = 1 << 8;
// CSRs with a meaning of their own.
constexpr unsigned kInitAddress = 1, kMasks = 3, kExtended = 5, kHash = 8, kPhysical = 12,
                   kMode = 15, kReceiveRing = 24, kTransmitRing = 30, kStyle = 58,
                   kReceiveCounter = 72, kTransmitCounter = 74, kReceiveLength = 76,
                   kTransmitLength = 78, kChipLow = 88, kChipHigh = 89, kMissedFrames = 112;
constexpr u32 kChip = 0x02621003;  // Am79C970A
constexpr u16 kTokenInterrupt = 1 << 15;
constexpr u32 kMaxRing = 512;  // of an initialization block
constexpr std::size_t kMaxFrame = 4092, kFcsBytes = 4;

u16 high_half(u32 value) {
  return static_cast<u16>(value >> 16);
}

}  // namespace

Pcnet::Pcnet(PciBus& pci, u8 devfn, std::string name, const MacAddress& mac, NetBackend& backend)
    : PciDevice(pci, devfn, std::move(name),
                {.vendor = 0x1022,
                 .device = 0x2000,
                 .revision = 0x10,
                 .class_code = 0x020000,
                 .interrupt_pin = 1,
                 .status = 0x0280}),
      backend_(backend),
      io_bar_(Region::mmio("pcnet.io", kWindowBytes, registers_, AccessSizes{1, 4, false})),
      memory_bar_(Region::mmio("pcnet", kWindowBytes, registers_, AccessSizes{1, 4, false})) {
  add_bar(0, BarKind::kIo, *io_bar_);
  add_bar(1, BarKind::kMemory32, *memory_bar_);
  std::ranges::copy(mac, prom_.begin());
  prom_[9] = 0x11;  // PCnet
  prom_[14] = prom_[15] = 0x57;
  u16 sum = 0;
  for (const u8 byte : prom_) sum = static_cast<u16>(sum + byte);
  store_le(&prom_[12], sum);
  backend_.set_receiver(this);
}

Pcnet::~Pcnet() {
  backend_.set_receiver(nullptr);
}

void Pcnet::reset() {
  reset_config();
  csr_.fill(0);
  bcr_.fill(0);
  bcr_[2] = 0x0002;
  bcr_[4] = 0x00c0;
  bcr_[5] = 0x0084;
  bcr_[6] = 0x0088;
  bcr_[7] = 0x0090;
  bcr_[18] = 0x9001;
  bcr_[20] = 0x0200;
  doublewords_ = false;
  for (unsigned i = 0; i < 3; ++i) csr_[kPhysical + i] = load_le<u16>(&prom_[2 * i]);
  software_reset();
}

// S_RESET: a read of the reset port.
void Pcnet::software_reset() {
  rap_ = 0;
  csr_[kMasks] = 0;
  csr_[4] = 0x0115;
  csr_[kExtended] = 0;
  csr_[kMode] = 0;
  csr_[kReceiveLength] = csr_[kTransmitLength] = 0xffff;
  transmit_next_ = receive_next_ = 0;
  stop();
}

void Pcnet::stop() {
  csr_[0] = kStop;
  frame_.clear();
  gathering_ = pending_ = false;
  update_interrupt();
}

void Pcnet::raise(u16 causes) {
  csr_[0] |= causes;
  update_interrupt();
}

void Pcnet::update_interrupt() {
  const u16 shown = csr_[0] & kCauses & static_cast<u16>(~csr_[kMasks]);
  csr_[0] &= static_cast<u16>(~(kInterrupt | kError));
  if (shown != 0) csr_[0] |= kInterrupt;
  if ((csr_[0] & kErrors) != 0) csr_[0] |= kError;
  set_intx(shown != 0 && (csr_[0] & kEnable) != 0);
}

// --- registers ---

// The register behind an access: word I/O has them at 10h, 12h, 14h and 16h, doubleword I/O at 10h,
// 14h, 18h and 1Ch: data (RDP), address (RAP), reset, bus configuration data (BDP).
u64 Pcnet::read_register(u64 offset, unsigned size) {
  if (offset < 16) {
    u64 value = 0;
    for (unsigned i = 0; i < size; ++i) value |= u64{prom_[offset + i]} << (8 * i);
    return value;
  }
  const u64 step = doublewords_ ? 4 : 2;
  if (size == 1 || offset % step != 0 || offset >= 16 + 4 * step) return ~u64{0};
  return read_data(static_cast<unsigned>((offset - 16) / step));
}

void Pcnet::write_register(u64 offset, unsigned size, u64 value) {
  if (offset < 16 || size == 1) return;
  if (size == 4 && offset == 16) doublewords_ = true;  // the way into doubleword I/O
  const u64 step = doublewords_ ? 4 : 2;
  if (offset % step != 0 || offset >= 16 + 4 * step) return;
  write_data(static_cast<unsigned>((offset - 16) / step), static_cast<u32>(value));
}

u32 Pcnet::read_data(unsigned which) {
  switch (which) {
    case 0:
      return read_csr(rap_ & 0x7f);
    case 1:
      return rap_;
    case 2:
      software_reset();
      return 0;
    default:
      return read_bcr(rap_ & 0x1f);
  }
}

void Pcnet::write_data(unsigned which, u32 value) {
  const u16 word = static_cast<u16>(value);
  if (which == 0) write_csr(rap_ & 0x7f, word);
  if (which == 1) rap_ = word & 0x7f;
  if (which == 3) write_bcr(rap_ & 0x1f, word);
}

u16 Pcnet::read_csr(unsigned index) const {
  switch (index) {
    case kStyle:
      return read_bcr(20);
    case kReceiveCounter:
      return static_cast<u16>(ring_length(kReceiveLength) - receive_next_);
    case kTransmitCounter:
      return static_cast<u16>(ring_length(kTransmitLength) - transmit_next_);
    case kChipLow:
      return static_cast<u16>(kChip);
    case kChipHigh:
      return high_half(kChip);
    default:
      return csr_[index];
  }
}

void Pcnet::write_csr(unsigned index, u16 value) {
  switch (index) {
    case 0:
      return write_csr0(value);
    case kStyle:
      return write_bcr(20, value);
    case kReceiveCounter:
      receive_next_ = ring_length(kReceiveLength) - value;
      break;
    case kTransmitCounter:
      transmit_next_ = ring_length(kTransmitLength) - value;
      break;
    case 4:
      csr_[4] = value & static_cast<u16>(~0x022a);  // its interrupts never come
      break;
    case kMissedFrames:
    case kChipLow:
    case kChipHigh:
      return;
    default:
      csr_[index] = value;
      break;
  }
  update_interrupt();
  backend_.receiver_ready();
}

void Pcnet::write_csr0(u16 value) {
  if ((value & kStop) != 0) return stop();
  csr_[0] = static_cast<u16>((csr_[0] & ~(value & kCauses) & ~kEnable) | (value & kEnable));
  // Both act when they become set: drivers write back what they read.
  if ((value & kInit & ~csr_[0]) != 0) initialize();
  if ((value & kStart & ~csr_[0]) != 0) {
    csr_[0] = static_cast<u16>((csr_[0] & ~kStop) | kStart);
    if ((csr_[kMode] & kNoTransmitter) == 0) csr_[0] |= kTxOn;
    if ((csr_[kMode] & kNoReceiver) == 0) csr_[0] |= kRxOn;
  }
  update_interrupt();
  if ((value & (kDemand | kStart)) != 0) transmit();
  backend_.receiver_ready();
}

// BCR4 is the link LED: its top bit is the lamp.
u16 Pcnet::read_bcr(unsigned index) const {
  if (index == 4) return static_cast<u16>((bcr_[4] & 0x7fff) | (link_ ? 0x8000 : 0));
  if (index == 18) return static_cast<u16>((bcr_[18] & ~0x80) | (doublewords_ ? 0x80 : 0));
  return bcr_[index];
}

// BCR20: the style of descriptors; 32-bit ones for all but the LANCE's own.
void Pcnet::write_bcr(unsigned index, u16 value) {
  if (index < 2 || index == 16 || index == 17) return;
  if (index == 20) value = static_cast<u16>((value & 0xff) | ((value & 0xff) != 0 ? 0x100 : 0x200));
  bcr_[index] = value;
}

// --- initialization block ---

u32 Pcnet::address(unsigned low_csr) const {
  return u32{csr_[low_csr]} | u32{csr_[low_csr + 1]} << 16;
}

// Rings have 1..65536 descriptors: the length is a two's complement.
u32 Pcnet::ring_length(unsigned csr) const {
  return 0x10000u - csr_[csr];
}

void Pcnet::initialize() {
  std::array<u8, 28> block{};
  dma_read(address(kInitAddress), std::span(block).first(wide() ? 28 : 24));
  const std::size_t physical = wide() ? 4 : 2, hash = wide() ? 12 : 8, rings = wide() ? 20 : 16;
  csr_[kMode] = load_le<u16>(&block[0]);
  for (unsigned i = 0; i < 3; ++i) csr_[kPhysical + i] = load_le<u16>(&block[physical + 2 * i]);
  for (unsigned i = 0; i < 4; ++i) csr_[kHash + i] = load_le<u16>(&block[hash + 2 * i]);
  u32 receive = load_le<u32>(&block[rings]), transmit = load_le<u32>(&block[rings + 4]);
  unsigned receive_log = block[2] >> 4, transmit_log = block[3] >> 4;
  if (!wide()) {
    receive_log = receive >> 29;
    transmit_log = transmit >> 29;
    const u32 upper = u32{csr_[kInitAddress + 1]} << 16 & 0xff000000;
    receive = (receive & 0xffffff) | upper;
    transmit = (transmit & 0xffffff) | upper;
  }
  const auto length = [](unsigned log) {
    return static_cast<u16>(0x10000u - (1u << std::min(log, 9u)));
  };
  csr_[kReceiveLength] = length(receive_log);
  csr_[kTransmitLength] = length(transmit_log);
  csr_[kReceiveRing] = static_cast<u16>(receive);
  csr_[kReceiveRing + 1] = high_half(receive);
  csr_[kTransmitRing] = static_cast<u16>(transmit);
  csr_[kTransmitRing + 1] = high_half(transmit);
  receive_next_ = transmit_next_ = 0;
  csr_[0] = static_cast<u16>((csr_[0] & ~kStop) | kInit | kInitDone);
}

// --- rings ---

Pcnet::Descriptor Pcnet::descriptor(u32 base, u32 index) {
  Descriptor out;
  std::array<u8, 16> raw{};
  const u32 bytes = wide() ? 16 : 8;
  out.place = base + index * bytes;
  dma_read(out.place, std::span(raw).first(bytes));
  if (!wide()) {
    out.buffer =
        (load_le<u32>(&raw[0]) & 0xffffff) | (u32{csr_[kInitAddress + 1]} << 16 & 0xff000000);
    out.status = static_cast<u16>(raw[3] << 8);
    out.bytes = static_cast<u16>(0x1000 - (load_le<u16>(&raw[4]) & 0xfff));
  } else {
    out.buffer = load_le<u32>(&raw[style() == 3 ? 8 : 0]);
    out.status = load_le<u16>(&raw[6]);
    out.bytes = static_cast<u16>(0x1000 - (load_le<u16>(&raw[4]) & 0xfff));
  }
  return out;
}

// The message's length is written first: OWN says that it is there.
void Pcnet::give_back(const Descriptor& d, u16 status, u16 message_bytes) {
  std::array<u8, 4> message{};
  store_le(&message[0], message_bytes);
  const u64 at = d.place + (!wide() ? 6 : style() == 3 ? 0 : 8);
  dma_write(at, std::span(message).first(wide() ? 4 : 2));
  std::array<u8, 2> word{};
  store_le(&word[0], status);
  if (wide()) {
    dma_write(d.place + 6, word);
  } else {
    dma_write(d.place + 3, std::span(word).subspan(1));
  }
}

// Every descriptor at most once a call.
void Pcnet::transmit() {
  const u32 length = ring_length(kTransmitLength);
  const u32 base = address(kTransmitRing);
  u16 causes = 0;
  for (u32 done = 0; done < std::min(length, kMaxRing); ++done) {
    if ((csr_[0] & kTxOn) == 0 || suspended() || !bus_master()) break;
    if (transmit_next_ >= length) transmit_next_ = 0;
    const Descriptor d = descriptor(base, transmit_next_);
    if ((d.status & kOwn) == 0) break;
    gather(d);
    give_back(d, d.status & 0x7fff, 0);
    if ((d.status & kLast) != 0 && (csr_[kExtended] & kTokenInterrupt) == 0) causes |= kSent;
    ++transmit_next_;
  }
  if (transmit_next_ >= length) transmit_next_ = 0;
  raise(causes);
}

void Pcnet::gather(const Descriptor& d) {
  if ((d.status & kFirst) != 0) {
    frame_.clear();
    gathering_ = true;
  }
  if (!gathering_) return;  // no STP yet: skipped
  const std::size_t before = frame_.size();
  const std::size_t take = before > kMaxFrame ? 0 : d.bytes;  // finished, too long ones are dropped
  frame_.resize(before + take);
  dma_read(d.buffer, std::span(frame_).subspan(before));
  if ((d.status & kLast) == 0) return;
  gathering_ = false;
  if (link_ && is_frame_length(frame_.size()) && frame_.size() <= kMaxFrame) {
    ++counters_.sent_frames;
    counters_.sent_bytes += frame_.size();
    backend_.send(frame_);
  }
  frame_.clear();
}

bool Pcnet::accepts(std::span<const u8> frame) const {
  const u16 mode = csr_[kMode];
  const auto to = frame.first(6);
  if ((mode & kPromiscuous) != 0) return true;
  if (std::ranges::equal(to, kBroadcastMac)) return (mode & kNoBroadcast) == 0;
  if ((to[0] & 1) != 0) {
    unsigned hash = 0;  // the low bits: the chip shifts the other way
    for (unsigned i = 0; i < 6; ++i) hash |= (ethernet_crc(to) >> i & 1u) << (5 - i);
    return bit(csr_[kHash + hash / 16], hash % 16);
  }
  bool mine = (mode & kNoPhysical) == 0;
  for (unsigned i = 0; i < 3; ++i) mine = mine && load_le<u16>(&to[2 * i]) == csr_[kPhysical + i];
  return mine;
}

bool Pcnet::receive(std::span<const u8> in, const Offload&) {
  if ((csr_[0] & kRxOn) == 0 || !bus_master() || !link_ || in.size() > kMaxFrame - kFcsBytes ||
      !accepts(in)) {
    ++counters_.dropped_frames;
    return true;
  }
  std::vector<u8> frame(in.begin(), in.end());
  frame.resize(std::max(in.size(), kMinEthernetBytes) + kFcsBytes);
  const u32 length = ring_length(kReceiveLength);
  const u32 base = address(kReceiveRing);
  if (receive_next_ >= length) receive_next_ = 0;
  std::vector<Descriptor> taken;
  std::size_t room = 0;
  while (room < frame.size() && taken.size() < length) {
    const auto next = (receive_next_ + taken.size()) % length;
    taken.push_back(descriptor(base, static_cast<u32>(next)));
    if ((taken.back().status & kOwn) == 0 || suspended()) {
      return false;
    }
    room += taken.back().bytes;
  }
  if (room < frame.size()) {  // the whole ring is too small
    ++counters_.dropped_frames;
    raise(kMissed);
    return true;
  }
  std::size_t done = 0;
  for (const Descriptor& d : taken) {
    const std::size_t piece = std::min<std::size_t>(d.bytes, frame.size() - done);
    dma_write(d.buffer, std::span(frame).subspan(done, piece));
    u16 status = d.status & 0x00ff;
    if (done == 0) status |= kFirst;
    done += piece;
    if (done == frame.size()) status |= kLast;
    give_back(d, status, static_cast<u16>(done == frame.size() ? done : 0));
  }
  receive_next_ = static_cast<u32>((receive_next_ + taken.size()) % length);
  ++counters_.received_frames;
  counters_.received_bytes += in.size();
  pending_ = true;
  return true;
}

void Pcnet::received() {
  if (std::exchange(pending_, false)) raise(kReceived);
}

void Pcnet::set_link(bool up) {
  link_ = up;  // drivers look at BCR4 now and then
  if (up) backend_.receiver_ready();
}

void Pcnet::transfer(StateIo& io) {
  io.section(name(), 1, [&] {
    transfer_config(io);
    io.field(1, "csr", csr_);
    io.field(2, "bcr", bcr_);
    io.field(3, "rap", rap_);
    io.field(4, "doublewords", doublewords_);
    io.field(5, "transmit_next", transmit_next_);
    io.field(6, "receive_next", receive_next_);
    io.field(7, "frame", frame_, 2 * kMaxFrame + 8);
    io.field(8, "gathering", gathering_);
    io.field(9, "link", link_);
  });
}

void Pcnet::resumed() {
  resume_config();
  pending_ = false;
  backend_.receiver_ready();
}

}  // namespace emu
