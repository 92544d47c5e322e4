// SPDX-License-Identifier: Apache-2.0
// Interrupt messages among local APICs, I/O APICs and message-signalling devices.
// Source: Intel SDM vol. 3, 11.6 (IPIs and destinations), 11.11 (MSI address and data), 11.12.10.
// Threads: the machine lock is held by every caller.
// Not modelled: ExtINT by message (no board routes it so), focus processors, interrupt remapping,
// and arbitration: of equal candidates for a lowest-priority message the first takes it.
#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "devices/irq_line.h"
#include "memory/io_handler.h"

namespace emu {

class LocalApic;

// As encoded in ICR, LVT, redirection entries and MSI data.
enum class DeliveryMode : u8 {
  kFixed = 0,
  kLowestPriority = 1,
  kSmi = 2,
  kReserved = 3,
  kNmi = 4,
  kInit = 5,
  kStartup = 6,
  kExtInt = 7,
};

struct ApicMessage {
  u32 destination = 0;
  bool wide = false;  // destination has 32 bits (x2APIC), else 8
  bool logical = false;
  DeliveryMode mode = DeliveryMode::kFixed;
  u8 vector = 0;
  bool level = false;  // the trigger mode
};

// Who hears that a processor finished a level-triggered interrupt: the I/O APICs.
class EoiListener {
 public:
  virtual ~EoiListener() = default;
  virtual void end_of_interrupt(u8 vector) = 0;
};

// The bus. As a memory window of kWindowBytes at FEE00000h (AccessSizes{4, 4}) it takes MSIs that
// devices write as plain memory; a processor's own 4 KiB window comes before it.
class ApicBus final : public MsiSink, public IoHandler {
 public:
  static constexpr u64 kWindowBytes = 0x100000;
  static constexpr u64 kWindowBase = 0xfee00000;

  // `acknowledge_pic` is the 8259 pair's INTA cycle: its vector.
  explicit ApicBus(std::function<u8()> acknowledge_pic)
      : acknowledge_pic_(std::move(acknowledge_pic)) {}

  // LocalApic and IoApic attach themselves while they live.
  void attach(LocalApic& apic) { apics_.push_back(&apic); }
  void detach(LocalApic& apic) { std::erase(apics_, &apic); }
  void attach(EoiListener& listener) { listeners_.push_back(&listener); }
  void detach(EoiListener& listener) { std::erase(listeners_, &listener); }

  // Hands `message` to every local APIC it addresses (to one, if by lowest priority). Returns
  // whether any took it.
  bool deliver(const ApicMessage& message);
  // The ICR's shorthands "all including self" (`except` null) and "all excluding self".
  void broadcast(const ApicMessage& message, const LocalApic* except);
  void end_of_interrupt(u8 vector);
  [[nodiscard]] u8 acknowledge_pic() { return acknowledge_pic_(); }

  // From now on messages go to `remote`, which has the local APICs; null: to those attached here.
  // It returns whether one of them took the message.
  using Remote = std::function<bool(u64 address, u32 data)>;
  void set_remote(Remote remote) { remote_ = std::move(remote); }
  // The write that a device would send `message` with.
  [[nodiscard]] static std::pair<u64, u32> as_write(const ApicMessage& message);

  // A write to FEEx'xxxxh; other addresses are nobody's and vanish.
  void send_msi(u64 address, u32 data) override;
  [[nodiscard]] u64 read(u64, unsigned size) override;
  void write(u64 offset, unsigned size, u64 value) override;

 private:
  [[nodiscard]] static bool matches(const LocalApic& apic, const ApicMessage& message);

  // wires
  const std::function<u8()> acknowledge_pic_;
  Remote remote_;
  std::vector<LocalApic*> apics_;
  std::vector<EoiListener*> listeners_;
};

}  // namespace emu
