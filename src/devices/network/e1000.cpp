// SPDX-License-Identifier: Apache-2.0
#include "devices/network/e1000.h"

namespace emu {

using namespace e1000;

namespace {

constexpr u16 kIntel = 0x8086, k82540em = 0x100e;

std::array<u16, kEepromWords> make_eeprom() {
  std::array<u16, kEepromWords> words{};
  words[kEepromControl1] = 0x6403;  // signature 01b, subsystem ids are loaded
  words[kEepromSubsystem] = k82540em;
  words[kEepromSubsystemVendor] = kIntel;
  words[kEepromDevice] = k82540em;
  words[kEepromVendor] = kIntel;
  words[kEepromControl2] = 0x3040;
  return words;
}

}  // namespace

E1000::E1000(PciBus& pci, u8 devfn, std::string name, const MacAddress& mac, NetBackend& backend,
             Clock& clock)
    : E1000Core(pci, devfn, std::move(name),
                {.identity = {.vendor = kIntel,
                              .device = k82540em,
                              .revision = 3,
                              .class_code = 0x020000,
                              .interrupt_pin = 1},
                 .io_bar = 1,
                 .io_bytes = 64,
                 .phy_id2 = 0x0c20,
                 .causes = 0x1ffff,
                 .queues = 1},
                make_eeprom(), mac, backend, clock) {}

}  // namespace emu
