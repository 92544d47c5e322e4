// SPDX-License-Identifier: Apache-2.0
// The whole way of a PCI interrupt: pin, PIRQ, PIIX3 route, then both controllers, to the
// processor.
#include <gtest/gtest.h>

#include "devices/apic/apic_rig.h"
#include "devices/chipset/i8259.h"
#include "devices/chipset/irq_fan_out.h"
#include "devices/chipset/piix3.h"
#include "devices/pci/pci_rig.h"

namespace emu {
namespace {

constexpr u8 kBridge = pci::devfn(1, 0);
constexpr unsigned kIrq = 11;

struct Board : PciRig {
  FakeClock clock;
  DoubleTsc tsc;
  RecordingCpu cpu;
  ApicBus apic_bus{[this] { return pic.acknowledge(); }};
  LocalApic apic{{apic_bus, cpu, clock, tsc}, 0, true};
  IoApic ioapic{apic_bus};
  I8259Pair pic{IrqLine(apic, 0)};
  IrqFanOut isa{pic, ioapic};
  Piix3Isa bridge{bus, 1, isa_lines(), [] {}};
  IrqLine pin = bus.intx_line(pci::devfn(3, 0), 1);

  Board() {
    for (Device* device : std::initializer_list<Device*>{&apic, &ioapic, &pic, &bridge}) {
      device->reset();
    }
    write(kBridge, 0x60, 0x0b0b0a0a);  // as SeaBIOS programs it: device 3 INTA is PIRQC
    pic.elcr_ports().write(1, 1, 0x0c);
  }
  Piix3Isa::IsaLines isa_lines() {
    Piix3Isa::IsaLines lines;
    for (unsigned i = 0; i < lines.size(); ++i) lines[i] = IrqLine(isa, i);
    return lines;
  }
  void initialize_pic() {
    const std::pair<IoHandler*, u8> chips[] = {{&pic.master_ports(), 0x08},
                                               {&pic.slave_ports(), 0x70}};
    for (const auto& [chip, base] : chips) {
      chip->write(0, 1, 0x11);
      chip->write(1, 1, base);
      chip->write(1, 1, base == 0x08 ? 4 : 2);
      chip->write(1, 1, 0x01);
      chip->write(1, 1, 0x00);
    }
  }
};

TEST(InterruptRouting, ThroughThe8259) {
  Board board;
  board.initialize_pic();
  board.pin.set(true);
  ASSERT_TRUE(board.cpu.line);
  EXPECT_EQ(board.apic.acknowledge(), 0x73);
  EXPECT_FALSE(board.cpu.line);
  board.pic.slave_ports().write(0, 1, 0x20);
  board.pic.master_ports().write(0, 1, 0x20);
  EXPECT_EQ(board.apic.acknowledge(), 0x73) << "still active";
  board.pin.set(false);
  board.pic.slave_ports().write(0, 1, 0x20);
  board.pic.master_ports().write(0, 1, 0x20);
  EXPECT_FALSE(board.cpu.line);
}

TEST(InterruptRouting, ThroughTheIoApic) {
  Board board;
  board.apic.write(16 * lapic::kSvr, 4, 0x1ff);
  board.apic.write(16 * lapic::kLvtLint0, 4, 0x10700);
  board.ioapic.write(0x00, 4, 0x10 + 2 * kIrq);
  board.ioapic.write(0x10, 4, 0x8000 | 0x61);
  board.pin.set(true);
  ASSERT_TRUE(board.cpu.line);
  EXPECT_EQ(board.apic.acknowledge(), 0x61);
  board.pin.set(false);
  board.apic.write(16 * lapic::kEoi, 4, 0);
  EXPECT_FALSE(board.cpu.line);
  board.pin.set(true);
  EXPECT_EQ(board.apic.acknowledge(), 0x61);
}

TEST(InterruptRouting, ConfigurationPortsOnTheBus) {
  Board board;
  PciConfigPorts ports(board.bus, &board.bridge);
  const auto window =
      Region::mmio("pci-config", PciConfigPorts::kWindowBytes, ports, {1, 4, false});
  board.ports->add(*window, 0xcf8);
  AddressSpace& space = board.port_space;
  space.store(0xcf8, 4, 0x80000800);
  EXPECT_EQ(space.load(0xcfc, 4), 0x70008086u);
  EXPECT_EQ(space.load(0xcfe, 2), 0x7000u);
  EXPECT_EQ(space.load(0xcff, 1), 0x70u);
  EXPECT_EQ(space.load(0xcfd, 2), 0x0080u) << "crosses no doubleword";
  space.store(0xcf9, 1, 0x02);
  EXPECT_EQ(space.load(0xcf9, 1), 0x02u) << "reset control";
  EXPECT_EQ(space.load(0xcf8, 4), 0x80000800u);
}

}  // namespace
}  // namespace emu
