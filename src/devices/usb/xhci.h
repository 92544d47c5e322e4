// SPDX-License-Identifier: Apache-2.0
// A USB 3 host controller: xHCI with four USB 2 ports and four (always empty) USB 3 ports.
// Source: eXtensible Host Controller Interface for USB, revision 1.2; QEMU's ids and layout, which
// every driver knows.
// Threads: the machine lock is held by every caller.
// How: a transfer runs when its doorbell rings, as far as the device lets it; one that the device
// answers with NAK goes on when the device calls wake(). Nothing polls.
// Not modelled: isochronous transfers (their endpoints cannot be configured), streams, bandwidth
// and service intervals, interrupt moderation, saving state for suspend (a restore reports an
// error, and drivers start afresh), SuperSpeed devices.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <vector>

#include "base/log.h"
#include "base/vm_time.h"
#include "devices/io_window.h"
#include "devices/pci/pci_device.h"
#include "devices/usb/usb_device.h"
#include "devices/usb/xhci_spec.h"

namespace emu {

class Xhci final : public PciDevice {
 public:
  static constexpr unsigned kPorts = xhci::kUsb2Ports;
  // kQemu: 1b36:000d; kNec: the uPD720200, 1033:0194, for guests that know no class drivers.
  enum class Model : u8 { kQemu, kNec };

  Xhci(PciBus& bus, u8 devfn, Clock& clock, Model model = Model::kQemu);

  // Plugs a device in, before the machine starts; null: nothing. The device must outlive this.
  void attach(unsigned port, UsbDevice* device);
  // For tests; guests reach it through BAR 0.
  [[nodiscard]] IoHandler& registers() { return registers_; }

  void reset() override;
  void transfer(StateIo& io) override;
  void resumed() override;

 private:
  struct Block {  // a TRB
    u64 parameter = 0;
    u32 status = 0;
    u32 control = 0;
    u64 address = 0;
    [[nodiscard]] xhci::Trb type() const { return static_cast<xhci::Trb>(control >> 10 & 63); }
    [[nodiscard]] u32 length() const { return status & 0x1ffff; }
  };
  struct Ring {
    u64 dequeue = 0;
    bool cycle = true;
  };
  struct Endpoint {
    xhci::EndpointState state = xhci::EndpointState::kDisabled;
    u8 type = 0;
    u16 packet_bytes = 0;
    Ring ring;                  // behind `blocks`
    Ring start;                 // of `blocks`
    std::vector<Block> blocks;  // the transfer being done; empty: none
    u32 done = 0;               // bytes of it
    bool waits = false;         // for the device
  };
  struct Slot {
    bool enabled = false;
    u32 route = 0;  // route string: a hub's port in four bits each
    u8 port = 0;    // of the root, from 1
    u64 context = 0;
    std::array<Endpoint, xhci::kEndpoints> endpoints;
  };

  // Registers (xhci.cpp).
  [[nodiscard]] u64 read_register(u64 offset, unsigned size);
  void write_register(u64 offset, unsigned size, u64 value);
  [[nodiscard]] static u32 capability(u64 offset);
  [[nodiscard]] u32 read_operational(u64 offset) const;
  void write_operational(u64 offset, u32 value);
  void write_command(u32 value);
  void write_runtime(u64 offset, u32 value);
  void write_port(unsigned port, u32 value);
  void port_changed(unsigned port, u32 bits);
  void reset_controller();
  [[nodiscard]] bool running() const { return (command_ & xhci::kRun) != 0; }

  // Events and commands (xhci_commands.cpp).
  void post(const Block& event);
  void flush_events();
  void update_irq();
  void load_event_ring();
  void complete_command(const Block& command, xhci::Code code, unsigned slot);
  void run_commands();
  [[nodiscard]] xhci::Code execute(const Block& command, unsigned& slot);
  [[nodiscard]] xhci::Code enable_slot(unsigned& slot);
  void disable_slot(Slot& slot);
  [[nodiscard]] xhci::Code address_device(unsigned number, const Block& command);
  [[nodiscard]] xhci::Code configure(unsigned number, const Block& command);
  [[nodiscard]] xhci::Code evaluate(unsigned number, const Block& command);
  [[nodiscard]] xhci::Code change_endpoint(unsigned number, const Block& command);
  [[nodiscard]] xhci::Code reset_device(unsigned number);
  bool load_endpoint(Slot& slot, unsigned index, u64 context);
  void write_endpoint(const Slot& slot, unsigned index);
  void set_slot_state(const Slot& slot, u32 state, u32 entries, u32 address);

  // Transfers (xhci_transfers.cpp).
  [[nodiscard]] bool read_block(u64 address, Block& out);
  // The next block that the guest gave; links are followed.
  [[nodiscard]] bool fetch(Ring& ring, Block& out);
  [[nodiscard]] bool fetch_transfer(Endpoint& endpoint, bool control);
  void ring_doorbell(u32 number, u32 value);
  void run_endpoint(unsigned slot, unsigned index);
  void run_waiting();
  enum class Progress : u8 { kDone, kWaits };
  [[nodiscard]] Progress run_transfer(unsigned slot, unsigned index);
  [[nodiscard]] Progress run_control(unsigned slot, unsigned index);
  void finish(unsigned slot, unsigned index, xhci::Code code);
  void report(unsigned slot, unsigned index, xhci::Code code);
  [[nodiscard]] static u32 total_bytes(const Endpoint& endpoint);
  void move(const Endpoint& endpoint, u32 offset, std::span<u8> data, bool to_guest);
  [[nodiscard]] UsbDevice* device_of(const Slot& slot) const;
  [[nodiscard]] u32 read_u32(u64 address);
  [[nodiscard]] u64 read_u64(u64 address);
  void write_u32(u64 address, u32 value);

  static constexpr std::size_t kMostEvents = 4096;  // that wait for room
  static constexpr u16 kMostPacket = 1024;
  void transfer_slot(StateIo& io, Slot& slot);
  void transfer_events(StateIo& io);

  // wires
  Clock& clock_;
  std::array<UsbDevice*, xhci::kPorts> devices_{};
  // parts
  IoWindow<Xhci> registers_{*this, &Xhci::read_register, &Xhci::write_register};
  std::unique_ptr<Region> window_;
  std::unique_ptr<Region> bar_;
  std::unique_ptr<Timer> later_;  // goes on with what was too much for one doorbell
  RateLimit complaints_{20};
  // state (saved)
  u32 command_ = 0;
  u32 status_ = 0;
  u32 notifications_ = 0;
  u64 command_ring_ = 0;  // as written: dequeue pointer and cycle state
  Ring commands_;
  bool commands_run_ = false;
  u64 contexts_ = 0;  // DCBAAP
  u32 config_ = 0;
  std::array<u32, xhci::kPorts> ports_{};
  u32 iman_ = 0, imod_ = 0, erst_size_ = 0;
  u64 erst_base_ = 0, erdp_ = 0;
  u64 event_ring_ = 0;  // the one segment
  u32 event_count_ = 0, event_index_ = 0;
  bool event_cycle_ = true;
  std::deque<Block> events_;  // that found the ring full
  std::array<Slot, xhci::kSlots + 1> slots_;
  // scratch (rebuilt)
  unsigned budget_ = 0;  // transfers until others get their turn
  bool busy_ = false;    // a transfer is being run
  bool woken_ = false;
};

}  // namespace emu
