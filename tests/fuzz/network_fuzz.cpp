// SPDX-License-Identifier: Apache-2.0
// The input is what a hostile guest does to a network card's registers and rings, and what a
// hostile network sends it: five bytes a step. The first byte picks the card.
#include <algorithm>
#include <memory>

#include "base/log.h"
#include "base/vm_time.h"
#include "devices/network/e1000.h"
#include "devices/network/e1000e.h"
#include "devices/network/ne2000.h"
#include "devices/network/pcnet.h"
#include "devices/network/rtl8139.h"
#include "devices/network/virtio_net.h"
#include "devices/pci/pci_bus.h"
#include "devices/virtio/virtio_pci.h"
#include "net/memory_net.h"
#include "net/offload.h"

namespace emu {
namespace {

class NoInterrupts final : public MsiSink {
 public:
  void send_msi(u64, u32) override {}
};

constexpr MacAddress kMac{0x52, 0x54, 0, 1, 2, 3};

class Rig {
 public:
  explicit Rig(u8 card) {
    memory_->add(*ram_region_, 0);
    bar_ = 0x10;
    if (card % 6 == 0) {
      device_ = std::make_unique<E1000>(bus_, kDevfn, "e1000", kMac, net_, clock_);
    } else if (card % 6 == 5) {
      device_ = std::make_unique<E1000e>(bus_, kDevfn, "e1000e", kMac, net_, clock_);
    } else if (card % 6 == 2) {
      bar_ = 0x14;
      device_ = std::make_unique<Rtl8139>(bus_, kDevfn, "rtl8139", kMac, net_);
    } else if (card % 6 == 3) {
      bar_ = 0x14;
      device_ = std::make_unique<Pcnet>(bus_, kDevfn, "pcnet", kMac, net_);
    } else if (card % 6 == 4) {
      auto made = std::make_unique<Ne2000Pci>(bus_, kDevfn, "ne2000", kMac, net_);
      registers_ = &made->chip();
      device_ = std::move(made);
    } else {
      bar_ = 0x20;
      auto made = std::make_unique<VirtioNet>(space_, net_, VirtioNet::Options{kMac, 2, 1500});
      made->offer_packed_rings(true);
      device_ = std::make_unique<VirtioPci>(bus_, kDevfn, "virtio", std::move(made));
    }
    device_->reset();
    bus_.write_config(0, kDevfn, bar_, 4, kBar);
    if (card % 6 == 5) {
      bus_.write_config(0, kDevfn, 0x1c, 4, kBar + 0x20000);  // the table of messages
      bus_.write_config(0, kDevfn, 0xa2, 2, card < 128 ? 0x8000 : 0);
    }
    bus_.write_config(0, kDevfn, 4, 2, 7);
  }
  void step(std::span<const u8> s) {
    const u64 at = u64{s[1]} << 8 | s[2];
    const u16 value = static_cast<u16>(s[3] | s[4] << 8);
    if (s[0] % 8 <= 4 && s[0] % 8 != 3 && (registers_ != nullptr || bar_ == 0x14)) {
      return small_window(s, value);
    }
    switch (s[0] % 8) {
      case 0:
        return space_.store(kBar + at % kRegisters / 4 * 4, 4, value);
      case 1:
        return space_.store(kBar + at % kRegisters / 2 * 2, 2, value);
      case 2:
        return static_cast<void>(space_.load(kBar + at % kRegisters / 4 * 4, 4));
      case 3:
        return space_.store(at % kRamBytes, 4, u32{value} << (s[0] / 8 % 2 * 16));
      case 4:
        return space_.store(kBar + s[1] * 4u % 0x40, 1 + s[2] % 2u, value);
      case 5:
        return clock_.advance(u64{value} * 1000);
      default:
        return frame(s, value);
    }
  }

 private:
  // The old cards' few registers: an access of each size.
  void small_window(std::span<const u8> s, u16 value) {
    const unsigned size = 1u << s[1] % 3;
    const u64 at = s[2] / size * size;
    if (registers_ != nullptr) {
      const u64 port = at % Dp8390::kWindowBytes;
      if (s[0] % 8 == 2) return static_cast<void>(registers_->read(port, size));
      return registers_->write(port, size, value);
    }
    if (s[0] % 8 == 2) return static_cast<void>(space_.load(kBar + at, size));
    space_.store(kBar + at, size, value);
  }
  void frame(std::span<const u8> s, u16 length) {
    std::vector<u8> bytes(14 + length % 3000u, s[1]);
    std::copy_n(kMac.begin(), 6, bytes.begin());
    bytes[12] = s[2] % 2 != 0 ? 0x08 : 0x81;
    bytes[13] = 0;
    Offload offload;
    offload.checksum_valid = s[2] % 3 == 0;
    net_.arrive(bytes, offload);
    net_.sent.clear();
    for (const bool four : {true, false}) {  // what the same bytes mean to the software's side
      offload.segments = four ? Offload::Segments::kTcp4 : Offload::Segments::kTcp6;
      offload.segment_bytes = length;
      offload.needs_checksum = true;
      offload.checksum_start = static_cast<u16>(s[1] * 8);
      finish(bytes, offload, [](std::span<const u8>) {});
      finish_checksum(bytes, offload);
      finish_large(bytes);
    }
    fragment(bytes, 1500, [](std::span<const u8>) {});
  }

  static constexpr u8 kDevfn = pci::devfn(3, 0);
  static constexpr u64 kBar = 0xe0000000, kRamBytes = 64 * kKiB;
  static constexpr u64 kRegisters = 0xc000;
  std::unique_ptr<GuestRam> ram_ = std::move(*GuestRam::create("ram", kRamBytes));
  std::unique_ptr<Region> memory_ = Region::container("memory", u64{1} << 32);
  std::unique_ptr<Region> ports_ = Region::container("ports", 0x10000);
  std::unique_ptr<Region> ram_region_ = Region::ram("ram", *ram_, 0, kRamBytes);
  AddressSpace space_{*memory_};
  NoInterrupts interrupts_;
  PciBus bus_{{*memory_, *ports_, space_, interrupts_}};
  FakeClock clock_;
  MemoryNet net_;
  std::unique_ptr<PciDevice> device_;
  u32 bar_ = 0;                     // of the registers
  IoHandler* registers_ = nullptr;  // of a card whose registers are ports
};

}  // namespace
}  // namespace emu

extern "C" int LLVMFuzzerTestOneInput(const emu::u8* data, std::size_t size) {
  emu::set_log_level(emu::LogLevel::kError);
  if (size == 0) return 0;
  emu::Rig rig(data[0]);
  for (std::size_t i = 1; i + 5 <= size && i < 4096; i += 5) rig.step({data + i, 5});
  return 0;
}
