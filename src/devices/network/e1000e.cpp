// SPDX-License-Identifier: Apache-2.0
#include "devices/network/e1000e.h"

#include <algorithm>

#include "base/bits.h"

namespace emu {

using namespace e1000;
using namespace e1000e;

namespace {

constexpr u16 kIntel = 0x8086, k82574l = 0x10d3;
constexpr u32 kMsixBytes = 16 * 1024, kMsixTableAt = 0, kMsixPbaAt = 0x2000;
constexpr u64 kThrottleUnitNs = 256;  // ITR, EITR (10.2.4.2)
constexpr u64 kTimeTickNs = 40;       // SYSTIM's clock of 25 MHz
// PCI Express capability (9.1.5): an endpoint of one lane at 2.5 GT/s, with the data sheet's place.
constexpr u8 kCapabilityExpress = 0x10, kExpressAt = 0xe0, kExpressBytes = 20;
constexpr RegisterSpec kExpress[] = {
    {kExpressAt + 2, 2, "PCIe CAP", 0x0001},
    {kExpressAt + 4, 4, "Device CAP", 0x00008cc1},
    {kExpressAt + 8, 2, "Device Control", 0x2810, 0x7fff},
    {kExpressAt + 12, 4, "Link CAP", 0x0001ac11},
    {kExpressAt + 16, 2, "Link Control", 0, 0x01ff},
    {kExpressAt + 18, 2, "Link Status", 0x1011},
};

struct Writable {
  u32 first, last, mask;
};
constexpr Writable kWritable[] = {
    {kEiac, kEiac, kMessageCauses},
    {kIam, kIam, ~0u},
    {kIvar, kIvar, 0x800fffff},
    {kEitr, kEitr + 4 * (kVectors - 1), 0xffff},
    {kExtcnfCtrl, kExtcnfCtrl, 0xfff | 0x20},
    {kExtcnfSize, kPoemb, ~0u},
    {kPbs, kPbs, 0xffff},
    {kPsrctl, kPsrctl, ~0u},
    {kRxdctl + kQueueStep, kRxdctl + kQueueStep, ~0u},
    {kRdbal + kQueueStep, kRdbal + kQueueStep, ~0xfu},
    {kRdbah + kQueueStep, kRdbah + kQueueStep, ~0u},
    {kRdlen + kQueueStep, kRdlen + kQueueStep, 0xfff80},
    {kRdh + kQueueStep, kRdh + kQueueStep, 0xffff},
    {kTdbal + kQueueStep, kTdbal + kQueueStep, ~0xfu},
    {kTdbah + kQueueStep, kTdbah + kQueueStep, ~0u},
    {kTdlen + kQueueStep, kTdlen + kQueueStep, 0xfff80},
    {kTdh + kQueueStep, kTdh + kQueueStep, 0xffff},
    {kTxdctl + kQueueStep, kTxdctl + kQueueStep, ~0u},
    {kTarc0, kTarc0, ~0u},
    {kTarc1, kTarc1, ~0u},
    {kRfctl, kRfctl, ~0u},
    {kMrqc, kMrqc, ~0u},
    {kRssim, kRssim + 4, ~0u},
    {kGcr, kGcr + 8, ~0u},
    {kSwsm, kSwsm, kSwsmWritable},
    {kSwsm2, kSwsm2, ~0u},
    {kGcr2, kGcr2, ~0u},
    {kReta, kRssrkEnd - 4, ~0u},
};

std::array<u16, kEepromWords> make_nvm() {
  std::array<u16, kEepromWords> words{};
  words[3] = 0x0420;     // compatibility: LOM, client
  words[4] = 0xf746;     // the LEDs' defaults
  words[5] = 0x2010;     // version of the image
  words[8] = 0x0000;     // the assembly's number, as digits
  words[10] = 0x026b;    // initialization control 1
  words[15] = 0x86a7;    // initialization control 2
  words[0x24] = 0x0580;  // initialization control 3
  words[kEepromSubsystem] = 0;
  words[kEepromSubsystemVendor] = kIntel;
  words[kEepromDevice] = k82574l;
  words[kEepromVendor] = kIntel;
  return words;
}

}  // namespace

E1000e::E1000e(PciBus& pci, u8 devfn, std::string name, const MacAddress& mac, NetBackend& backend,
               Clock& clock)
    : E1000Core(pci, devfn, std::move(name),
                {.identity = {.vendor = kIntel,
                              .device = k82574l,
                              .class_code = 0x020000,
                              .subsystem_vendor = kIntel,
                              .subsystem = 0,
                              .interrupt_pin = 1},
                 .io_bar = 2,
                 .io_bytes = 32,
                 .phy_id2 = 0x0cb1,
                 .causes = 0x01ffffff,
                 .queues = 2},
                make_nvm(), mac, backend, clock),
      msix_bar_(Region::container("e1000e.msix", kMsixBytes)),
      moderation_(clock.create_timer([this] { send_messages(); })) {
  msix_ = &add_msix(kVectors, {3, *msix_bar_, kMsixTableAt, kMsixPbaAt}, 0xa0);
  msi_ = &add_msi(1, 0xc0);
  add_capability(kCapabilityExpress, kExpressBytes, kExpressAt);
  config().define(kExpress);
  add_bar(3, BarKind::kMemory32, *msix_bar_);
}

E1000e::~E1000e() = default;

void E1000e::reset_chip() {
  reg(kStatus) |= kStatusMasterEnabled;
  reg(kEemngctl) = kEemngctlConfigured;
  reg(kExtcnfCtrl) = 8;
  reg(kPba) = 0x00140014;
  reg(kPbs) = 0x28;
  reg(kRxdctl) = reg(of_queue(kRxdctl, 1)) = 0x00010000;
  reg(kTxdctl) = reg(of_queue(kTxdctl, 1)) = 0x00400000;
  reg(kTarc0) = 0x00000403;
  reg(kTarc1) = 0x00000403;
  reg(kPsrctl) = 0x00040402;
  reg(kRxcsum) = 0x00000300;
  announced_ = 0;
  quiet_until_ns_.fill(0);
  time_registers_.fill(0);
  time_base_ = 0;
  time_base_ns_ = clock().now_ns();
  moderation_->cancel();
}

u64 E1000e::read_register(u64 at, unsigned size) {
  const u32 offset = static_cast<u32>(at);
  if (offset >= kTimeFirst && offset < kTimeEnd) return read_time(offset);
  switch (offset) {
    case kIcr:
      return read_causes();
    case kEecd:
      return reg(kEecd) | kEecdPresent | kEecdAutoReadDone |
             ((reg(kEecd) & kEecdRequest) != 0 ? kEecdGrant : 0);
    case kEerd:
      return reg(kEerd);
    case kSwsm:
      return std::exchange(reg(kSwsm), reg(kSwsm) | kSwsmLock);
    default:
      return E1000Core::read_register(at, size);
  }
}

void E1000e::write_register(u64 at, unsigned size, u64 wide) {
  const u32 offset = static_cast<u32>(at);
  const u32 value = static_cast<u32>(wide);
  if (offset >= kTimeFirst && offset < kTimeEnd) return write_time(offset, value);
  switch (offset) {
    case kCtrl:
      E1000Core::write_register(at, size, wide);
      if ((value & kCtrlReset) == 0 && (value & kCtrlMasterDisable) != 0) {
        reg(kStatus) &= ~kStatusMasterEnabled;
      }
      return;
    case kEecd:  // nobody sits at the wires
      reg(kEecd) = value & kEecdRequest;
      return;
    case kEerd:
      reg(kEerd) =
          (value & 0xfffc) | e1000e::kEerdDone |
          ((value & kEerdStart) != 0 ? u32{nvm_word((value & 0xffff) >> kEerdAddressShift)} << 16
                                     : 0);
      return;
    case kIcr:
      if ((reg(kIcr) & kAsserted) != 0) mask_automatically();
      return E1000Core::write_register(at, size, wide);
    case kTdt + kQueueStep:
      reg(offset) = value & 0xffff;
      return transmit(1);
    case kRdt + kQueueStep:
      reg(offset) = value & 0xffff;
      return receiver_ready();
    default:
      break;
  }
  const auto row = std::ranges::find_if(
      kWritable, [offset](const Writable& w) { return offset >= w.first && offset <= w.last; });
  if (row == std::end(kWritable)) return E1000Core::write_register(at, size, wide);
  reg(offset) = (reg(offset) & ~row->mask) | (value & row->mask);
  if (offset == kIvar) update_interrupt();
  if (offset == kRfctl || offset == kPsrctl || offset == of_queue(kRdh, 1) ||
      offset == of_queue(kRdlen, 1)) {
    receiver_ready();
  }
}

// --- interrupts ---

u32 E1000e::sent_cause(unsigned queue) const {
  return kTxQueue0 << queue;
}

u32 E1000e::received_cause(unsigned queue) const {
  return kRxQueue0 << queue;
}

void E1000e::raise(u32 causes) {
  E1000Core::raise((causes & kOtherCauses) != 0 ? causes | kOther : causes);
}

// Reading acknowledges, but not while the driver waits for an interrupt that is not yet there
// (10.2.4.1: IMS not 0 and INT_ASSERTED 0).
u32 E1000e::read_causes() {
  const u32 causes = reg(kIcr);
  if (msix_->enabled() || reg(kIms) == 0 || (causes & kAsserted) != 0) {
    if ((causes & kAsserted) != 0) mask_automatically();
    reg(kIcr) = 0;
    update_interrupt();
  }
  return causes;
}

// CTRL_EXT.IAME: who looks at the causes has the interrupt masked.
void E1000e::mask_automatically() {
  if ((reg(kCtrlExt) & kAutoMask) != 0) reg(kIms) &= ~reg(kIam);
}

void E1000e::update_interrupt() {
  if (!msix_->enabled()) return E1000Core::update_interrupt();
  set_intx(false);
  asserted_ = false;
  const bool wanted = (reg(kIcr) & reg(kIms)) != 0;
  reg(kIcr) = (reg(kIcr) & ~kAsserted) | (wanted ? kAsserted : 0);
  send_messages();
}

// One of MSI's messages is an edge, the pin a level.
void E1000e::set_interrupt(bool active) {
  const bool rises = active && !asserted_;
  asserted_ = active;
  const bool by_message = msi_->enabled();
  if (by_message && rises) send_message(0);
  set_intx(active && !by_message);
}

// Those of the five causes, among the given, that IVAR sends with `vector`.
u32 E1000e::causes_of(unsigned vector, u32 among) const {
  u32 out = 0;
  for (unsigned i = 0; i < kMessageCount; ++i) {
    const u32 cause = 1u << (kMessageShift + i);
    if ((among & cause) != 0 && bits(reg(kIvar), 4 * i, 4) == (kIvarValid | vector)) out |= cause;
  }
  return out;
}

// A message for each vector with a cause that is new, at most one in EITR's interval (7.4.2).
void E1000e::send_messages() {
  if (!msix_->enabled()) return;
  const u64 now = clock().now_ns();
  u64 next = kNever;
  announced_ &= reg(kIcr) & reg(kIms);
  for (unsigned vector = 0; vector < kVectors; ++vector) {
    const u32 causes = causes_of(vector, reg(kIcr) & reg(kIms) & kMessageCauses & ~announced_);
    if (causes == 0) continue;
    if (now < quiet_until_ns_[vector]) {
      next = std::min(next, quiet_until_ns_[vector]);
      continue;
    }
    quiet_until_ns_[vector] = now + reg(kEitr + 4 * vector) * kThrottleUnitNs;
    announced_ |= causes;
    reg(kIcr) &= ~(reg(kEiac) & causes);
    if ((reg(kCtrlExt) & kMessageAutoMask) != 0) reg(kIms) &= ~(reg(kIam) & causes);
    announced_ &= reg(kIcr) & reg(kIms);
    send_message(vector);
  }
  moderation_->arm(next);
}

// --- the clock ---

u32& E1000e::time_reg(u32 offset) {
  return time_registers_[(offset - kTimeFirst) / 4];
}

// SYSTIM grows by TIMINCA's value every TIMINCA's period of ticks.
u64 E1000e::system_time() const {
  const u32 increment = time_registers_[(kTiminca - kTimeFirst) / 4];
  const u64 period = increment >> 24;
  if (period == 0) return time_base_;
  const u64 ticks = (clock().now_ns() - time_base_ns_) / kTimeTickNs;
  return time_base_ + ticks / period * (increment & 0xffffff);
}

u32 E1000e::read_time(u32 offset) {
  if (offset == kSystiml) {  // latches the high half
    const u64 time = system_time();
    time_reg(kSystimh) = static_cast<u32>(time >> 32);
    return static_cast<u32>(time);
  }
  return time_reg(offset);
}

void E1000e::write_time(u32 offset, u32 value) {
  const u64 now = system_time();
  if (offset == kSystiml || offset == kSystimh || offset == kTiminca) {
    const unsigned shift = offset == kSystimh ? 32 : 0;
    time_base_ = offset == kTiminca ? now : (now & ~(u64{~u32{0}} << shift)) | u64{value} << shift;
    time_base_ns_ = clock().now_ns();
  }
  time_reg(offset) = value;
}

// --- state ---

void E1000e::transfer_chip(StateIo& io) {
  io.section("82574", 1, [&] {
    io.field(1, "announced", announced_);
    io.field(2, "asserted", asserted_);
    io.field(3, "quiet_until_ns", quiet_until_ns_);
    io.field(4, "time_registers", time_registers_);
    io.field(5, "time_base", time_base_);
    io.field(6, "time_base_ns", time_base_ns_);
  });
}

void E1000e::resumed_chip() {
  u64 next = kNever;
  for (const u64 until : quiet_until_ns_) {
    if (until > clock().now_ns()) next = std::min(next, until);
  }
  moderation_->arm(next);
}

}  // namespace emu
