// SPDX-License-Identifier: Apache-2.0
// The USB 1.1 host controller of the PIIX3 (82371SB function 2): UHCI with two ports.
// Source: Intel "Universal Host Controller Interface (UHCI) Design Guide", revision 1.1; Intel
// 82371SB data sheet (290550), 2.6.
// Threads: the machine lock is held by every caller.
// How: frames are a millisecond of VM time. While nothing but polling happens, eight of them are
// run together, so that an idle guest with a tablet costs the host 125 wake-ups a second.
// Not modelled: isochronous transfers, low-speed devices, bandwidth (a frame takes more than real
// ones do), resume signalling, legacy keyboard emulation through SMM.
#pragma once

#include <array>
#include <memory>

#include "base/vm_time.h"
#include "devices/pci/pci_device.h"
#include "devices/usb/usb_device.h"

namespace emu {

class Uhci final : public PciDevice, private IoHandler {
 public:
  static constexpr unsigned kPorts = 2;

  // At `devfn`; its interrupt pin is INTD.
  Uhci(PciBus& bus, u8 devfn, Clock& clock);

  // Plugs a device in, before the machine starts; null: nothing. The device must outlive this.
  void attach(unsigned port, UsbDevice* device);
  // For tests; guests reach it through BAR 4.
  [[nodiscard]] IoHandler& registers() { return *this; }

  void reset() override;
  void transfer(StateIo& io) override;
  void resumed() override;

 private:
  enum class Next : u8 { kElement, kQueue, kEndFrame };
  struct Td {
    u32 link = 0, control = 0, token = 0, buffer = 0;
  };
  struct Frame;  // what is true of one frame only

  // IoHandler: words.
  [[nodiscard]] u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, unsigned size, u64 value) override;
  void write_command(u16 value);
  void write_port(unsigned port, u16 value);
  void reset_controller();
  void reset_ports();

  // Runs the frames that are due, and sets the alarm for the next.
  void catch_up();
  void arm();
  void stay_awake();
  void run_frame();
  void run_queue(u32 address, Frame& frame, u32& link);
  [[nodiscard]] Next run_td(u32 address, Td& td, Frame& frame);
  [[nodiscard]] UsbReply transact(const Td& td, std::size_t length);
  [[nodiscard]] Next complete(Td& td, const UsbReply& reply, std::size_t length, Frame& frame);
  void no_answer(Td& td, Frame& frame);
  [[nodiscard]] UsbDevice* find(u8 address);
  [[nodiscard]] u32 read_u32(u32 address);
  void write_u32(u32 address, u32 value);
  void update_irq();
  [[nodiscard]] bool irq_level() const;
  [[nodiscard]] bool running() const;

  // wires
  Clock& clock_;
  std::array<UsbDevice*, kPorts> devices_{};
  // parts
  std::unique_ptr<Region> window_;
  std::unique_ptr<Timer> timer_;
  // state (saved)
  u16 command_ = 0;
  u16 status_ = 0;
  u8 causes_ = 0;  // of status bit 0: bit 0 a transfer, bit 1 a short packet
  u16 enabled_ = 0;
  u16 frame_number_ = 0;
  u32 frame_list_ = 0;
  u8 frame_length_ = 64;
  std::array<u16, kPorts> ports_{};
  u64 next_frame_ns_ = 0;
  u16 busy_frames_ = 0;  // how many more run in time
};

}  // namespace emu
