// SPDX-License-Identifier: Apache-2.0
// Intel 82574L Gigabit Ethernet controller ("e1000e"): what the 8254x has, and MSI-X, a second
// queue each way, extended and packet split receive descriptors, RSS, a clock.
// Source: Intel 317694 (82574 data sheet).
// Threads: the machine lock is held by every caller.
// Not modelled: see e1000_core.h; the NVM's serial wires and its flash window, time stamps of
// packets, hashes of IPv6 extension headers.
#pragma once

#include "devices/network/e1000_core.h"
#include "devices/network/e1000e_spec.h"

namespace emu {

class E1000e final : public E1000Core {
 public:
  E1000e(PciBus& bus, u8 devfn, std::string name, const MacAddress& mac, NetBackend& backend,
         Clock& clock);
  ~E1000e() override;

 private:
  [[nodiscard]] u64 read_register(u64 offset, unsigned size) override;
  void write_register(u64 offset, unsigned size, u64 value) override;
  void reset_chip() override;
  void transfer_chip(StateIo& io) override;
  void resumed_chip() override;
  // interrupts
  void raise(u32 causes) override;
  void update_interrupt() override;
  void set_interrupt(bool active) override;
  [[nodiscard]] u32 sent_cause(unsigned queue) const override;
  [[nodiscard]] u32 received_cause(unsigned queue) const override;
  [[nodiscard]] u32 read_causes();
  void mask_automatically();
  void send_messages();
  [[nodiscard]] u32 causes_of(unsigned vector, u32 among) const;
  // the clock
  [[nodiscard]] u64 system_time() const;
  [[nodiscard]] u32& time_reg(u32 offset);
  [[nodiscard]] u32 read_time(u32 offset);
  void write_time(u32 offset, u32 value);
  // receiving
  [[nodiscard]] bool splits_packets() const;
  [[nodiscard]] u32 split_buffer_bytes(unsigned buffer) const;
  void classify(std::span<const u8> frame, Arriving& arriving) const override;
  void hash(std::span<const u8> frame, Arriving& arriving) const;
  [[nodiscard]] u32 receive_descriptor_bytes() const override;
  [[nodiscard]] u32 buffer_bytes() const override;
  std::size_t fill_descriptor(std::span<u8> descriptor, std::span<const u8> rest,
                              const Arriving& arriving, bool first) override;
  std::size_t fill_extended(std::span<u8> descriptor, std::span<const u8> rest,
                            const Arriving& arriving);
  std::size_t fill_split(std::span<u8> descriptor, std::span<const u8> rest,
                         const Arriving& arriving, bool first);

  // parts
  std::unique_ptr<Region> msix_bar_;
  MsixCapability* msix_ = nullptr;
  MsiCapability* msi_ = nullptr;
  std::unique_ptr<Timer> moderation_;
  // state (saved)
  u32 announced_ = 0;  // causes whose message was sent and that are still there
  bool asserted_ = false;
  std::array<u64, e1000e::kVectors> quiet_until_ns_{};
  std::array<u32, (e1000e::kTimeEnd - e1000e::kTimeFirst) / 4> time_registers_{};
  u64 time_base_ = 0, time_base_ns_ = 0;  // SYSTIM was that at VM time
};

}  // namespace emu
