// SPDX-License-Identifier: Apache-2.0
#include "devices/network/e1000_core.h"

#include <numeric>

#include "base/bits.h"

namespace emu {

using namespace e1000;

namespace {

constexpr u64 kThrottleUnitNs = 256;  // ITR (13.4.18)

// Registers that keep what is written to them, with the bits that do.
struct Writable {
  u32 first, last, mask;
};
constexpr Writable kWritable[] = {
    {kCtrlExt, kCtrlExt, ~0u}, {kFcal, kFct, ~0u},          {kVet, kVet, 0xffff},
    {kItr, kItr, 0xffff},      {kFcttv, kFcttv, 0xffff},    {kTipg, kTipg, ~0u},
    {kAit, kAit, 0xffff},      {kLedctl, kLedctl, ~0u},     {kPba, kPba, 0xffff},
    {kFcrtl, kFcrtl, ~0u},     {kFcrth, kFcrth, ~0u},       {kRdbal, kRdbal, ~0xfu},
    {kRdbah, kRdbah, ~0u},     {kRdlen, kRdlen, 0xfff80},   {kRdh, kRdh, 0xffff},
    {kRdtr, kRdtr, 0xffff},    {kRxdctl, kRxdctl, ~0u},     {kRadv, kRadv, 0xffff},
    {kRsrpd, kRsrpd, 0xfff},   {kTdbal, kTdbal, ~0xfu},     {kTdbah, kTdbah, ~0u},
    {kTdlen, kTdlen, 0xfff80}, {kTdh, kTdh, 0xffff},        {kTidv, kTidv, 0xffff},
    {kTxdctl, kTxdctl, ~0u},   {kTadv, kTadv, 0xffff},      {kTctl, kTctl, ~0u},
    {kRctl, kRctl, ~0u},       {kRxcsum, kRxcsum, ~0u},     {kMta, kMta + 0x1fc, ~0u},
    {kRal, kRal + 0x7c, ~0u},  {kVfta, kVfta + 0x1fc, ~0u}, {kWuc, kWuc + 0x10, ~0u},
    {kManc, kManc, ~0u}};

u32 writable_bits(u32 offset) {
  for (const Writable& row : kWritable) {
    if (offset >= row.first && offset <= row.last) return row.mask;
  }
  return 0;
}

// The address in front, the checksum behind (5.6).
std::array<u16, kEepromWords> finished(std::array<u16, kEepromWords> words, const MacAddress& mac) {
  for (unsigned i = 0; i < 3; ++i) words[i] = static_cast<u16>(mac[2 * i] | mac[2 * i + 1] << 8);
  words[kEepromChecksum] = 0;
  const u32 sum = std::accumulate(words.begin(), words.end(), u32{0});
  words[kEepromChecksum] = static_cast<u16>(kEepromSum - sum);
  return words;
}

}  // namespace

E1000Core::E1000Core(PciBus& pci, u8 devfn, std::string name, const Chip& chip, NvmWords words,
                     const MacAddress& mac, NetBackend& backend, Clock& clock)
    : PciDevice(pci, devfn, std::move(name), chip.identity),
      backend_(backend),
      clock_(clock),
      chip_(chip),
      memory_bar_(Region::mmio("e1000", kWindowBytes, registers_, AccessSizes{4, 4, false})),
      io_bar_(Region::mmio("e1000.io", chip.io_bytes, io_ports_, AccessSizes{4, 4, false})),
      throttle_(clock.create_timer([this] { throttle_passed(); })) {
  eeprom_.fill(finished(words, mac));
  add_bar(0, BarKind::kMemory32, *memory_bar_);
  add_bar(chip.io_bar, BarKind::kIo, *io_bar_);
  backend_.set_receiver(this);
}

E1000Core::~E1000Core() {
  backend_.set_receiver(nullptr);
}

void E1000Core::reset() {
  reset_config();
  soft_reset();
  io_address_ = 0;
}

// CTRL.RST: all but the PCI configuration (14.6).
void E1000Core::soft_reset() {
  registers_words_.fill(0);
  phy_.fill(0);
  phy_[kPhyControl] = 0x1140;
  phy_[kPhyAdvertise] = 0x0de1;
  phy_[kPhyGigabitControl] = 0x0e00;
  phy_[kPhySpecificControl] = 0x0360;
  reg(kCtrl) = 0x00140241;  // full duplex, speed 1000, set link up (from the EEPROM)
  reg(kStatus) = kStatusReserved | kStatus1000 | kStatusFullDuplex | (link_ ? kStatusLinkUp : 0);
  reg(kPba) = 0x00100030;
  reg(kLedctl) = 0x00000602;
  for (unsigned i = 0; i < 3; ++i) {
    reg(kRal + (i / 2) * 4) |= u32{eeprom_.word(i)} << (16 * (i % 2));
  }
  reg(kRal + 4) |= u32{1} << 31;  // address valid
  eeprom_.reset();
  tx_ = {};
  throttled_until_ns_ = 0;
  pending_ = 0;
  throttle_->cancel();
  set_interrupt(false);
  reset_chip();
}

u64 E1000Core::read_register(u64 at, unsigned) {
  const u32 offset = static_cast<u32>(at);
  if (offset >= kRegisterBytes) return 0;
  switch (offset) {
    case kIcr: {
      const u32 causes = reg(kIcr);
      reg(kIcr) = 0;  // reading acknowledges
      update_interrupt();
      return causes;
    }
    case kIcs:
      return reg(kIcr);
    case kImc:
      return reg(kIms);
    case kEecd:
      return read_eecd();
    default:
      break;
  }
  if (offset >= kStatistics && offset < kStatisticsEnd) return std::exchange(reg(offset), 0u);
  return reg(offset);
}

void E1000Core::write_register(u64 at, unsigned, u64 wide) {
  const u32 offset = static_cast<u32>(at);
  const u32 value = static_cast<u32>(wide);
  switch (offset) {
    case kCtrl:
      return write_control(value);
    case kEecd:
      return write_eecd(value);
    case kEerd:  // 5.3.1: done at once
      reg(kEerd) = (value & 0xff00) | kEerdDone |
                   ((value & kEerdStart) != 0 ? u32{eeprom_.word(value >> 8)} << 16 : 0);
      return;
    case kMdic:
      return write_mdic(value);
    case kIcr:
      reg(kIcr) &= ~value;
      return update_interrupt();
    case kIcs:
      return raise(value & chip_.causes);
    case kIms:
      reg(kIms) |= value & chip_.causes;
      return update_interrupt();
    case kImc:
      reg(kIms) &= ~value;
      return update_interrupt();
    case kTdt:
      reg(kTdt) = value & 0xffff;
      return transmit(0);
    case kRdt:
      reg(kRdt) = value & 0xffff;
      return backend_.receiver_ready();
    default:
      break;
  }
  if (offset >= kRegisterBytes) return;
  const u32 mask = writable_bits(offset);
  reg(offset) = (reg(offset) & ~mask) | (value & mask);
  if (offset == kRctl || offset == kRdh || offset == kRdlen) backend_.receiver_ready();
  if (offset == kTctl) {
    for (unsigned queue = 0; queue < chip_.queues; ++queue) transmit(queue);
  }
}

// IOADDR and IODATA (13.3).
u64 E1000Core::read_port(u64 offset, unsigned size) {
  if (offset == 0) return io_address_;
  return offset == 4 && io_address_ < kWindowBytes ? read_register(io_address_ & ~3u, size) : 0;
}

void E1000Core::write_port(u64 offset, unsigned size, u64 value) {
  if (offset == 0) io_address_ = static_cast<u32>(value);
  if (offset == 4 && io_address_ < kWindowBytes) write_register(io_address_ & ~3u, size, value);
}

void E1000Core::write_control(u32 value) {
  if ((value & kCtrlReset) != 0) return soft_reset();
  reg(kCtrl) = value & ~(kCtrlReset | kCtrlPhyReset);
}

void E1000Core::write_eecd(u32 value) {
  reg(kEecd) = value & (kEecdClock | kEecdSelect | kEecdIn | kEecdRequest);
  eeprom_.set_wires((value & kEecdSelect) != 0, (value & kEecdClock) != 0, (value & kEecdIn) != 0);
}

u32 E1000Core::read_eecd() const {
  u32 value = reg(kEecd) | kEecdPresent;
  if ((value & kEecdRequest) != 0) value |= kEecdGrant;
  return eeprom_.out() ? value | kEecdOut : value;
}

void E1000Core::write_mdic(u32 value) {
  const unsigned index = (value >> 16) & 0x1f;
  u32 result = (value & ~0xffffu) | kMdicReady;
  if (((value >> 21) & 0x1f) != 1) {
    result |= kMdicError;  // the only PHY is number 1
  } else if ((value & kMdicOp) == kMdicRead) {
    result |= read_phy(index);
  } else if ((value & kMdicOp) == kMdicWrite) {
    write_phy(index, static_cast<u16>(value));
    result |= value & 0xffff;
  }
  reg(kMdic) = result;
  if ((value & kMdicInterrupt) != 0) raise(kMdac);
}

u16 E1000Core::read_phy(unsigned index) const {
  const u16 up = link_ ? 0xffff : 0;
  switch (index) {
    case kPhyStatus:
      return static_cast<u16>(0x7949 | (up & 0x0024));  // negotiation done, link
    case kPhyId1:
      return 0x0141;
    case kPhyId2:
      return chip_.phy_id2;
    case kPhyPartner:
      return 0x45e1 & up;
    case kPhyExpansion:
      return 0x0001 & up;
    case kPhyGigabitStatus:
      return 0x3c00 & up;
    case kPhyExtended:
      return 0x3000;
    case kPhySpecificStatus:
      return 0xac00 & up;  // 1000 Mbit/s, full duplex, resolved, link
    default:
      return phy_[index];
  }
}

void E1000Core::write_phy(unsigned index, u16 value) {
  if (index == kPhyControl) {
    const bool restart = (value & 0x0200) != 0;
    phy_[index] = value & static_cast<u16>(~0x8240);  // reset and restart clear themselves
    if (restart && link_) raise(kLsc);
  } else if (index == kPhyAdvertise || index == kPhyGigabitControl ||
             index >= kPhySpecificControl) {
    phy_[index] = value;
  }
}

void E1000Core::raise(u32 causes) {
  reg(kIcr) |= causes;
  update_interrupt();
}

// At most one assertion per ITR interval (13.4.18); what comes meanwhile waits for the timer.
void E1000Core::update_interrupt() {
  const bool wanted = (reg(kIcr) & reg(kIms)) != 0;
  if (wanted) {
    const u64 now = clock_.now_ns();
    if (now < throttled_until_ns_) {
      if (throttle_->deadline_ns() == kNever) throttle_->arm(throttled_until_ns_);
      return;
    }
    if (reg(kItr) != 0 && (reg(kIcr) & kAsserted) == 0) {
      throttled_until_ns_ = now + reg(kItr) * kThrottleUnitNs;
    }
    reg(kIcr) |= kAsserted;
  } else {
    reg(kIcr) &= ~kAsserted;
  }
  set_interrupt(wanted);
}

void E1000Core::throttle_passed() {
  throttled_until_ns_ = 0;
  update_interrupt();
}

void E1000Core::set_link(bool up) {
  if (link_ == up) return;
  link_ = up;
  reg(kStatus) = (reg(kStatus) & ~kStatusLinkUp) | (up ? kStatusLinkUp : 0);
  raise(kLsc);
  if (up) backend_.receiver_ready();
}

void E1000Core::count(u32 frames, u32 bytes_low, std::size_t bytes) {
  ++reg(frames);
  const u64 total = (u64{reg(bytes_low + 4)} << 32 | reg(bytes_low)) + bytes + 4;  // with FCS
  reg(bytes_low) = static_cast<u32>(total);
  reg(bytes_low + 4) = static_cast<u32>(total >> 32);
}

void E1000Core::transfer(StateIo& io) {
  io.section(name(), 1, [&] {
    transfer_config(io);
    io.field(1, "registers", registers_words_);
    io.field(2, "phy", phy_);
    io.field(3, "io_address", io_address_);
    eeprom_.transfer(io);
    io.field(13, "throttled_until_ns", throttled_until_ns_);
    io.field(14, "link", link_);
    transfer_queue(io, tx_[0]);
    if (chip_.queues > 1) io.section("queue1", 1, [&] { transfer_queue(io, tx_[1]); });
    transfer_chip(io);
  });
}

void E1000Core::transfer_queue(StateIo& io, TxQueue& queue) {
  io.field(9, "frame", queue.frame, kMaxFrameBytes + 1);
  io.field(10, "frame_options", queue.options);
  io.field(11, "frame_segmented", queue.segmented);
  io.field(12, "frame_started", queue.started);
  const auto context = [&io](std::string_view section, TxContext& c) {
    io.section(section, 1, [&] {
      io.field(1, "ip_start", c.ip_start);
      io.field(2, "ip_offset", c.ip_offset);
      io.field(3, "tcp_start", c.tcp_start);
      io.field(4, "tcp_offset", c.tcp_offset);
      io.field(5, "ip_end", c.ip_end);
      io.field(6, "tcp_end", c.tcp_end);
      io.field(7, "mss", c.mss);
      io.field(8, "header_bytes", c.header_bytes);
      io.field(9, "tcp", c.tcp);
    });
  };
  context("context", queue.context);
  context("segment_context", queue.segment_context);
}

void E1000Core::resumed() {
  resume_config();
  pending_ = 0;
  throttle_->arm(throttled_until_ns_ > clock_.now_ns() ? throttled_until_ns_ : kNever);
  resumed_chip();
  backend_.receiver_ready();
}

}  // namespace emu
