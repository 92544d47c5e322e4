// SPDX-License-Identifier: Apache-2.0
#include "machine/pc.h"

#include "base/bits.h"
#include "devices/chipset/acpi_pm.h"
#include "devices/chipset/hpet.h"
#include "devices/chipset/i8237.h"
#include "devices/chipset/i8254.h"
#include "devices/chipset/piix4_pm.h"
#include "devices/chipset/system_ports.h"
#include "devices/input/i8042.h"
#include "devices/input/ps2_keyboard.h"
#include "devices/input/ps2_mouse.h"
#include "devices/pci/pci_bus.h"
#include "machine/fw_cfg.h"
#include "machine/input_choice.h"

namespace emu {
namespace {

constexpr unsigned kIsaIrqs = 16;
constexpr AccessSizes kBytes{1, 1, false};
constexpr AccessSizes kDoublewords{4, 4, false};
constexpr u16 kCom1Port = 0x3f8;
constexpr u32 kHpetRoutes = 0xf00000;  // I/O APIC inputs that nothing else uses: 20 to 23

}  // namespace

Result<std::unique_ptr<Pc>> Pc::create(const MachineConfig& config, const PcHost& host) {
  auto map = MemoryMap::create(config.memory_bytes);
  if (!map) return map.error();
  std::unique_ptr<Pc> pc(new Pc(host, std::move(*map)));
  pc->add_system_controllers();
  pc->add_processors(config.cpus);
  pc->add_timers();
  pc->add_pci();
  pc->add_serial(config);
  EMU_TRY(pc->add_video(config));
  pc->add_input();
  pc->add_disks();
  pc->add_disk_cards(config);
  EMU_TRY(pc->add_usb(config));
  pc->add_floppies();
  pc->add_network();
  pc->add_sound(config);
  pc->add_virtio_inputs(config);
  pc->add_firmware_interface(config);
  return pc;
}

Pc::Pc(const PcHost& host, std::unique_ptr<MemoryMap> map)
    : host_(host), map_(std::move(map)), apic_bus_([this] { return pic_->acknowledge(); }) {}

Pc::~Pc() {
  // Devices go before the buses and regions that they are attached to, last made first.
  while (!owned_.empty()) owned_.pop_back();
  processors_.clear();
}

void Pc::add_system_controllers() {
  pic_ = &own(std::make_unique<I8259Pair>(IrqLine(*this, 0)));
  map_->add_port("pic.master", 0x20, 2, pic_->master_ports(), kBytes);
  map_->add_port("pic.slave", 0xa0, 2, pic_->slave_ports(), kBytes);
  map_->add_port("pic.elcr", 0x4d0, 2, pic_->elcr_ports(), kBytes);
  io_apic_ = &own(std::make_unique<IoApic>(apic_bus_));
  map_->add_chip("ioapic", kIoApicBase, IoApic::kWindowBytes, *io_apic_, kDoublewords);
  map_->add_chip("apic-messages", ApicBus::kWindowBase, ApicBus::kWindowBytes, apic_bus_,
                 kDoublewords);
  dma_ = &own(std::make_unique<I8237Pair>(map_->memory()));
  map_->add_port("dma.low", 0x00, 16, dma_->low_ports(), kBytes);
  map_->add_port("dma.high", 0xc0, 32, dma_->high_ports(), kBytes);
  map_->add_port("dma.page", 0x80, 16, dma_->page_ports(), kBytes);
  fan_out_ = std::make_unique<IrqFanOut>(*pic_, *io_apic_);
  for (unsigned n = 0; n < kIsaIrqs; ++n) {
    gates_.push_back(std::make_unique<IrqOrGate>(IrqLine(*fan_out_, n)));
  }
}

IrqLine Pc::irq(unsigned number, IrqSource source) {
  return {*gates_[number], source};
}

void Pc::add_processors(unsigned count) {
  for (unsigned i = 0; i < count; ++i) {
    processors_.push_back(std::make_unique<Processor>(
        Processor::Wires{host_.machine_lock, *map_, apic_bus_, host_.clock, host_.io}, i));
    devices_.push_back(&processors_.back()->apic());
  }
}

void Pc::add_timers() {
  Hpet::Wires wires{irq(0), irq(8), {}, kHpetRoutes, &apic_bus_};
  for (unsigned n = 0; n < IoApic::kInputs; ++n) {
    if (bit(kHpetRoutes, n)) wires.routes[n] = IrqLine(*io_apic_, n);
  }
  auto& hpet = own(std::make_unique<Hpet>(wires, host_.clock));
  map_->add_chip("hpet", kHpetBase, Hpet::kWindowBytes, hpet.registers(), Hpet::kSizes);
  auto& pit = own(std::make_unique<I8254>(IrqLine(hpet, Hpet::kPitInput), host_.clock));
  map_->add_port("pit", 0x40, 4, pit.ports(), kBytes);
  auto& port61 = own(std::make_unique<Port61>(pit, host_.clock));
  map_->add_port("port61", 0x61, 1, port61.ports(), kBytes);
  pit_ = &pit;
  port61_ = &port61;
  rtc_ = &own(
      std::make_unique<Mc146818>(IrqLine(hpet, Hpet::kRtcInput), host_.clock, host_.wall_clock));
  map_->add_port("rtc", 0x70, 4, rtc_->ports(), kBytes);
}

void Pc::add_pci() {
  pci_bus_ = std::make_unique<PciBus>(
      PciBus::Wires{map_->pci_memory(), map_->port_root(), map_->memory(), apic_bus_});
  own(std::make_unique<I440fx>(*pci_bus_, *map_));
  Piix3Isa::IsaLines lines;
  for (unsigned n = 0; n < kIsaIrqs; ++n) lines[n] = irq(n, kFromPci);
  isa_bridge_ = &own(std::make_unique<Piix3Isa>(*pci_bus_, 1, lines, host_.request_reset));
  pci_bus_->set_router(isa_bridge_);
  pm_ = &own(std::make_unique<AcpiPm>(irq(kSciIrq, kFromPm), host_.clock, host_.request_power_off));
  Piix4Pm::Wires pm{pm_->pm_registers(), AcpiPm::kSizes, {}, {}};
  pm.apm_command = [this](u8 command) { pm_->smi_command(command); };
  pm.raise_smi = [this] { processors_.front()->raise_smi(); };
  auto& power = own(std::make_unique<Piix4Pm>(*pci_bus_, 1, std::move(pm)));
  power_ = &power;
  map_->add_port("apm", kApmControlPort, Piix4Pm::kApmPortBytes, power.apm_ports(), kBytes);
  auto& ports = own(std::make_unique<PciConfigPorts>(*pci_bus_, isa_bridge_));
  map_->add_port("pci-config", 0xcf8, PciConfigPorts::kWindowBytes, ports,
                 AccessSizes{1, 4, false});
}

void Pc::add_serial(const MachineConfig& config) {
  auto& com1 = own(std::make_unique<Uart16550>("com1", irq(4), host_.clock, host_.serial));
  map_->add_port("com1", kCom1Port, 8, com1.ports(), kBytes);
  host_.serial.set_receiver(&com1);
  if (host_.debug_console != nullptr) {
    auto& console = own(std::make_unique<DebugConsole>("debug-console", *host_.debug_console));
    map_->add_port("debug-console", 0x402, 1, console.ports(), kBytes);
    map_->add_port("bochs-console", 0xe9, 1, console.ports(), kBytes);
  }
  if (config.debug_exit_port) {
    auto& exit = own(std::make_unique<DebugExit>(host_.request_exit));
    map_->add_port("debug-exit", *config.debug_exit_port, 4, exit.ports(),
                   AccessSizes{1, 4, false});
  }
}

void Pc::add_input() {
  auto& keyboard = own(std::make_unique<Ps2Keyboard>(host_.clock));
  auto& mouse = own(std::make_unique<Ps2Mouse>());
  const IrqLine a20(*map_, 0);
  auto& controller = own(std::make_unique<I8042>(
      I8042::Wires{irq(1), irq(12), a20, host_.request_reset}, host_.clock, keyboard, mouse));
  map_->add_port("i8042.data", 0x60, 1, controller.data_port(), kBytes);
  map_->add_port("i8042.command", 0x64, 1, controller.command_port(), kBytes);
  auto& port92 = own(std::make_unique<Port92>(a20, host_.request_reset));
  map_->add_port("port92", 0x92, 1, port92.ports(), kBytes);
  input_ = std::make_unique<InputChoice>(keyboard, mouse);
  keyboard_ = input_.get();
  mouse_ = input_.get();
}

void Pc::add_network() {
  const NicSlot slot{*pci_bus_, host_.clock, [this](unsigned number) { return irq(number); },
                     [this](u16 port, u16 bytes, IoHandler& handler, AccessSizes sizes) {
                       map_->add_port("nic", port, bytes, handler, sizes);
                     }};
  for (std::size_t i = 0; i < host_.nics.size(); ++i) {
    BuiltNic nic = make_nic(host_.nics[i], fmt::format("nic{}", i), slot);
    net_cards_.push_back(nic.card);
    if (nic.devfn >= 0 && !host_.nics[i].rom.empty()) {
      const auto path = fmt::format("/pci@i0cf8/ethernet@{:x}/ethernet-phy@0", nic.devfn / 8);
      boot_devices_.push_back({'n', path, host_.nics[i].boot_index});
    }
    own(std::move(nic.device));
  }
}

void Pc::add_firmware_interface(const MachineConfig& config) {
  auto& fw_cfg = own(std::make_unique<FwCfg>(map_->memory()));
  map_->add_port("fw-cfg", FwCfg::kPort, FwCfg::kPorts, fw_cfg, FwCfg::kSizes);
  add_firmware_items(fw_cfg, config, boot_devices_);
  set_firmware_cmos(*rtc_, config, floppy_types_);
}

void Pc::reset() {
  const AddressSpace::Transaction memory(map_->memory());
  const AddressSpace::Transaction ports(map_->ports());
  map_->reset();
  for (Device* device : devices_) device->reset();
}

std::vector<GuestRam*> Pc::memory_blocks() {
  std::vector<GuestRam*> blocks{&map_->ram()};
  if (vram_ != nullptr) blocks.push_back(vram_);
  return blocks;
}

void Pc::transfer(StateIo& io) {
  map_->transfer(io);
  for (Device* device : devices_) device->transfer(io);
  if (!io.loading() || !io.ok()) return;
  const AddressSpace::Transaction memory(map_->memory());
  const AddressSpace::Transaction ports(map_->ports());
  for (Device* device : devices_) device->resumed();
}

void Pc::press_power_button() {
  pm_->press_power_button();
}

bool Pc::hears_power_button() const {
  return pm_->hears_power_button();
}

void Pc::set_has_smm(bool has) {
  power_->set_smm_absent(!has);
}

void Pc::set_irq(unsigned, bool active) {
  for (auto& processor : processors_) processor->apic().set_irq(0, active);
}

void Pc::restore_irq(unsigned, bool active) {
  for (auto& processor : processors_) processor->apic().restore_irq(0, active);
}

}  // namespace emu
