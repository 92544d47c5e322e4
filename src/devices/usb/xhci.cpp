// SPDX-License-Identifier: Apache-2.0
#include "devices/usb/xhci.h"

#include <algorithm>

namespace emu {
namespace {

using namespace xhci;

constexpr PciIdentity identity_of(Xhci::Model model) {
  const bool nec = model == Xhci::Model::kNec;
  return {.vendor = static_cast<u16>(nec ? 0x1033 : 0x1b36),
          .device = static_cast<u16>(nec ? 0x0194 : 0x000d),
          .revision = static_cast<u8>(nec ? 3 : 1),
          .class_code = 0x0c0330,
          .interrupt_pin = 1};
}

constexpr RegisterSpec kRegisters[] = {
    {0x60, 1, "SBRN", 0x30},
    {0x61, 1, "FLADJ", 0x20, 0x3f},
};
constexpr u32 kUsbName = 0x20425355;  // "USB "
constexpr u64 kMicroframeNs = 125'000;

}  // namespace

Xhci::Xhci(PciBus& bus, u8 devfn, Clock& clock, Model model)
    : PciDevice(bus, devfn, "xhci", identity_of(model)),
      clock_(clock),
      window_(Region::mmio("xhci", kRegisterBytes, registers_, AccessSizes{4, 4, false})),
      bar_(Region::container("xhci", kBarBytes)),
      later_(clock.create_timer([this] { run_waiting(); })) {
  config().define(kRegisters);
  bar_->add(*window_, 0);
  add_bar(0, BarKind::kMemory64, *bar_);
  add_msix(1, {0, *bar_, static_cast<u32>(kMsixTable), static_cast<u32>(kMsixPending)});
  reset_controller();
}

void Xhci::attach(unsigned port, UsbDevice* device) {
  devices_[port] = device;
  if (device != nullptr) device->set_wake([this] { run_waiting(); });
  reset_controller();
}

void Xhci::reset() {
  reset_config();
  reset_controller();
}

void Xhci::reset_controller() {
  command_ = 0;
  status_ = kHostHalted;
  notifications_ = 0;
  command_ring_ = 0;
  commands_ = {};
  commands_run_ = false;
  contexts_ = 0;
  config_ = 0;
  iman_ = imod_ = erst_size_ = 0;
  erst_base_ = erdp_ = event_ring_ = 0;
  event_count_ = event_index_ = 0;
  event_cycle_ = true;
  events_.clear();
  slots_.fill({});
  later_->cancel();
  for (unsigned i = 0; i < xhci::kPorts; ++i) {
    if (devices_[i] != nullptr) devices_[i]->bus_reset();
    ports_[i] =
        kPower | (devices_[i] != nullptr ? kConnected | kConnectChanged | kLinkPolling << 5 |
                                               static_cast<u32>(devices_[i]->speed()) << 10
                                         : kLinkDetect << 5);
  }
  update_irq();
}

// What is under way is fetched again from where it started, once everything is loaded.
void Xhci::transfer_slot(StateIo& io, Slot& slot) {
  io.field(2, "route", slot.route);
  io.field(3, "port", slot.port);
  io.field(4, "context", slot.context);
  io.check(slot.port <= xhci::kPorts && slot.route < 1 << 20, "an xHCI slot");
  for (u32 i = 0; i < kEndpoints; ++i) {
    Endpoint& e = slot.endpoints[i];
    io.section(fmt::format("endpoint{}", i + 1), 1, [&] {
      io.field(1, "state", e.state);
      io.field(2, "type", e.type);
      io.field(3, "packet_bytes", e.packet_bytes);
      io.field(4, "dequeue", e.ring.dequeue);
      io.field(5, "cycle", e.ring.cycle);
      io.field(6, "start", e.start.dequeue);
      io.field(7, "start_cycle", e.start.cycle);
      io.field(8, "done", e.done);
      io.field(9, "waits", e.waits);
      io.check(e.state <= EndpointState::kError && e.type < 8 && e.packet_bytes <= kMostPacket,
               "an xHCI endpoint");
    });
  }
}

void Xhci::transfer_events(StateIo& io) {
  std::vector<u8> bytes(events_.size() * kTrbBytes);
  for (std::size_t i = 0; i < events_.size(); ++i) {
    store_le(&bytes[i * kTrbBytes], events_[i].parameter);
    store_le(&bytes[i * kTrbBytes + 8], events_[i].status);
    store_le(&bytes[i * kTrbBytes + 12], events_[i].control);
  }
  io.field(20, "events", bytes, kMostEvents * kTrbBytes);
  events_.clear();
  for (std::size_t i = 0; i + kTrbBytes <= bytes.size(); i += kTrbBytes) {
    events_.push_back(
        {load_le<u64>(&bytes[i]), load_le<u32>(&bytes[i + 8]), load_le<u32>(&bytes[i + 12]), 0});
  }
}

void Xhci::transfer(StateIo& io) {
  io.section(name(), 1, [&] {
    transfer_config(io);
    io.field(1, "USBCMD", command_);
    io.field(2, "USBSTS", status_);
    io.field(3, "DNCTRL", notifications_);
    io.field(4, "CRCR", command_ring_);
    io.field(5, "command_dequeue", commands_.dequeue);
    io.field(6, "command_cycle", commands_.cycle);
    io.field(7, "commands_run", commands_run_);
    io.field(8, "DCBAAP", contexts_);
    io.field(9, "CONFIG", config_);
    io.field(10, "PORTSC", ports_);
    io.field(11, "IMAN", iman_);
    io.field(12, "IMOD", imod_);
    io.field(13, "ERSTSZ", erst_size_);
    io.field(14, "ERSTBA", erst_base_);
    io.field(15, "ERDP", erdp_);
    io.field(16, "event_ring", event_ring_);
    io.field(17, "event_count", event_count_);
    io.field(18, "event_index", event_index_);
    io.field(19, "event_cycle", event_cycle_);
    transfer_events(io);
    io.check(event_count_ <= 4096 && (event_index_ == 0 || event_index_ < event_count_),
             "the xHCI's event ring");
    for (unsigned i = 1; i < slots_.size(); ++i) {
      io.section(fmt::format("slot{}", i), 1, [&] {
        io.field(1, "enabled", slots_[i].enabled);
        if (slots_[i].enabled) transfer_slot(io, slots_[i]);
      });
    }
  });
}

void Xhci::resumed() {
  resume_config();
  for (Slot& slot : slots_) {
    for (unsigned i = 0; i < kEndpoints; ++i) {
      Endpoint& e = slot.endpoints[i];
      if (!e.waits) continue;
      const Endpoint saved = e;
      e.ring = e.start;
      if (fetch_transfer(e, i == 0)) e.done = std::min(saved.done, total_bytes(e));
      e.ring = saved.ring;
      e.start = saved.start;
      e.done = e.blocks.empty() ? saved.done : e.done;
      e.waits = true;
    }
  }
  if (running()) later_->arm(clock_.now_ns() + kMicroframeNs);
}

// --- Registers ---

u32 Xhci::capability(u64 offset) {
  switch (offset) {
    case 0x00:
      return 0x01000000 | kOperational;  // version 1.0
    case 0x04:
      return xhci::kPorts << 24 | 1 << 8 | kSlots;
    case 0x08:
      return 0x0f;  // isochronous threshold; one event ring segment
    case 0x10:
      return 8 << 16 | 1;  // extended capabilities at 20h; 64-bit addresses
    case 0x14:
      return kDoorbells;
    case 0x18:
      return kRuntime;
    case 0x20:
      return 0x02000402;  // supported protocol: USB 2.0
    case 0x28:
      return kUsb2Ports << 8 | 1;
    case 0x30:
      return 0x03000002;  // USB 3.0
    case 0x38:
      return (xhci::kPorts - kUsb2Ports) << 8 | (kUsb2Ports + 1);
    case 0x24:
    case 0x34:
      return kUsbName;
    default:
      return 0;
  }
}

u32 Xhci::read_operational(u64 offset) const {
  switch (offset) {
    case kUsbCmd:
      return command_;
    case kUsbSts:
      return status_;
    case kPageSize:
      return 1;
    case kDnCtrl:
      return notifications_;
    case kCrCr:
      return commands_run_ ? static_cast<u32>(kRingRunning) : 0;
    case kDcbaap:
      return static_cast<u32>(contexts_);
    case kDcbaap + 4:
      return static_cast<u32>(contexts_ >> 32);
    case kConfig:
      return config_;
    default:
      break;
  }
  const u64 port = (offset - kPortRegisters) / 16;
  if (offset < kPortRegisters || port >= xhci::kPorts || offset % 16 != 0) return 0;
  return ports_[port];
}

u64 Xhci::read_register(u64 offset, unsigned) {
  if (offset < kOperational) return capability(offset);
  if (offset < kRuntime) return read_operational(offset - kOperational);
  switch (offset - kRuntime) {
    case kMfIndex:
      return running() ? clock_.now_ns() / kMicroframeNs & 0x3fff : 0;
    case kIman:
      return iman_;
    case kImod:
      return imod_;
    case kErstSz:
      return erst_size_;
    case kErstBa:
      return static_cast<u32>(erst_base_);
    case kErstBa + 4:
      return erst_base_ >> 32;
    case kErdp:
      return static_cast<u32>(erdp_);
    case kErdp + 4:
      return erdp_ >> 32;
    default:
      return 0;
  }
}

void Xhci::write_register(u64 offset, unsigned, u64 value) {
  const u32 word = static_cast<u32>(value);
  if (offset < kOperational) return;
  if (offset < kRuntime) return write_operational(offset - kOperational, word);
  if (offset < kDoorbells) return write_runtime(offset - kRuntime, word);
  ring_doorbell(static_cast<u32>((offset - kDoorbells) / 4), word);
}

void Xhci::write_operational(u64 offset, u32 value) {
  switch (offset) {
    case kUsbCmd:
      return write_command(value);
    case kUsbSts:
      status_ &= ~(value & kStatusClears);
      return update_irq();
    case kDnCtrl:
      notifications_ = value & 0xffff;
      return;
    case kCrCr:
      if (commands_run_ && (value & (kRingStop | kRingAbort)) != 0) {
        commands_run_ = false;
        post({commands_.dequeue, u32{static_cast<u8>(Code::kRingStopped)} << 24,
              u32{static_cast<u8>(Trb::kCommandEvent)} << 10, 0});
      } else if (!commands_run_) {
        command_ring_ = (command_ring_ & ~u64{0xffffffff}) | value;
        commands_ = {command_ring_ & ~u64{63}, (value & kRingCycle) != 0};
      }
      return;
    case kCrCr + 4:
      if (commands_run_) return;
      command_ring_ = (command_ring_ & 0xffffffff) | u64{value} << 32;
      commands_.dequeue = command_ring_ & ~u64{63};
      return;
    case kDcbaap:
      contexts_ = (contexts_ & ~u64{0xffffffff}) | (value & ~u32{63});
      return;
    case kDcbaap + 4:
      contexts_ = (contexts_ & 0xffffffff) | u64{value} << 32;
      return;
    case kConfig:
      config_ = value & 0xff;
      return;
    default:
      break;
  }
  const u64 port = (offset - kPortRegisters) / 16;
  if (offset < kPortRegisters || port >= xhci::kPorts || offset % 16 != 0) return;
  write_port(static_cast<unsigned>(port), value);
}

void Xhci::write_command(u32 value) {
  if ((value & kHostReset) != 0) return reset_controller();
  if ((value & kRestoreState) != 0) status_ |= kRestoreError;  // none was saved
  const bool starts = (value & kRun) != 0 && !running();
  command_ = value & kCommandBits & ~(kSaveState | kRestoreState);
  if (starts) {
    status_ &= ~kHostHalted;
    for (unsigned i = 0; i < xhci::kPorts; ++i) {  // what changed before (4.19.2)
      if ((ports_[i] & kPortClears) != 0) port_changed(i, 0);
    }
    run_waiting();
  } else if (!running()) {
    status_ |= kHostHalted;
    commands_run_ = false;
    later_->cancel();
  }
  update_irq();
}

void Xhci::write_runtime(u64 offset, u32 value) {
  switch (offset) {
    case kIman:
      iman_ = (iman_ & kPending & ~value) | (value & kInterruptEnable);
      return update_irq();
    case kImod:
      imod_ = value;
      return;
    case kErstSz:
      erst_size_ = value & 0xffff;
      return;
    case kErstBa:
      erst_base_ = (erst_base_ & ~u64{0xffffffff}) | (value & ~u32{63});
      return;
    case kErstBa + 4:
      erst_base_ = (erst_base_ & 0xffffffff) | u64{value} << 32;
      return load_event_ring();
    case kErdp: {
      const u64 busy = (value & kHandlerBusy) != 0 ? 0 : erdp_ & kHandlerBusy;
      erdp_ = (erdp_ & ~u64{0xffffffff}) | (value & ~u32{15}) | busy | (value & 7);
      return flush_events();
    }
    case kErdp + 4:
      erdp_ = (erdp_ & 0xffffffff) | u64{value} << 32;
      return flush_events();
    default:
      return;
  }
}

void Xhci::port_changed(unsigned port, u32 bits) {
  ports_[port] |= bits;
  status_ |= kPortChange;
  post({u64{port + 1} << 24, u32{static_cast<u8>(Code::kSuccess)} << 24,
        u32{static_cast<u8>(Trb::kPortEvent)} << 10, 0});
}

void Xhci::write_port(unsigned port, u32 value) {
  u32& state = ports_[port];
  state &= ~(value & kPortClears);
  state = (state & ~kPortKeeps) | (value & kPortKeeps);
  const bool connected = (state & kConnected) != 0;
  if ((value & (kPortReset | kWarmReset)) != 0) {
    if (!connected) return;
    devices_[port]->bus_reset();
    state = (state & ~kLinkState) | kEnabled;
    return port_changed(port, kResetChanged);
  }
  if ((value & kEnabled) != 0) state &= ~kEnabled;  // writing one disables
  if ((value & kLinkStrobe) == 0 || !connected) return;
  const u32 before = (state & kLinkState) >> 5;
  const u32 wanted = (value & kLinkState) >> 5;
  if (wanted != kLinkU0 && wanted != kLinkU3 && wanted != kLinkResume) return;
  state = (state & ~kLinkState) | wanted << 5;
  if (wanted == kLinkU0 && before != kLinkU0) {
    port_changed(port, kLinkChanged);
    run_waiting();
  }
}

}  // namespace emu
