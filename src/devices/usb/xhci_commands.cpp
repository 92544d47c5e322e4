// SPDX-License-Identifier: Apache-2.0
// The xHCI's event ring and command ring.
// Source: xHCI 1.2: 4.6 (commands), 4.9.4 (event ring), 4.17 (interrupters).
#include "devices/usb/xhci.h"

namespace emu {

using namespace xhci;

namespace {

constexpr unsigned kMostCommands = 256;  // for one doorbell
constexpr u32 kStateShift = 27;

}  // namespace

u32 Xhci::read_u32(u64 address) {
  std::array<u8, 4> bytes{};
  dma_read(address, bytes);
  return load_le<u32>(bytes.data());
}

u64 Xhci::read_u64(u64 address) {
  return read_u32(address) | u64{read_u32(address + 4)} << 32;
}

void Xhci::write_u32(u64 address, u32 value) {
  std::array<u8, 4> bytes{};
  store_le(bytes.data(), value);
  dma_write(address, bytes);
}

// --- Events ---

void Xhci::load_event_ring() {
  event_ring_ = read_u64(erst_base_) & ~u64{63};
  event_count_ = read_u32(erst_base_ + 8) & 0xffff;
  if (event_count_ < 16 || event_count_ > 4096) {  // 6.5
    event_count_ = 0;
    if (erst_size_ != 0) status_ |= kControllerError;
  }
  event_index_ = 0;
  event_cycle_ = true;
}

// An event goes to the ring when there is room, else waits for it.
void Xhci::post(const Block& event) {
  if (!running()) return;
  if (events_.size() >= kMostEvents) {
    if (complaints_.pass())
      log(LogLevel::kWarning, "xhci", "the guest fetches no events, it gets an error");
    status_ |= kControllerError;
    return;
  }
  events_.push_back(event);
  flush_events();
}

void Xhci::flush_events() {
  bool added = false;
  while (!events_.empty() && event_count_ != 0) {
    const u32 next = (event_index_ + 1) % event_count_;
    if (event_ring_ + u64{next} * kTrbBytes == (erdp_ & ~u64{15})) break;  // full
    const Block& event = events_.front();
    std::array<u8, kTrbBytes> bytes{};
    store_le(&bytes[0], event.parameter);
    store_le(&bytes[8], event.status);
    store_le(&bytes[12], event.control | (event_cycle_ ? kCycle : 0));
    dma_write(event_ring_ + u64{event_index_} * kTrbBytes, bytes);
    event_index_ = next;
    if (next == 0) event_cycle_ = !event_cycle_;
    events_.pop_front();
    added = true;
  }
  // Also what the guest left in the ring when it cleared the busy bit (4.17.2).
  const bool left =
      event_count_ != 0 && event_ring_ + u64{event_index_} * kTrbBytes != (erdp_ & ~u64{15});
  if (!added && !left) return;
  if ((erdp_ & kHandlerBusy) == 0) {
    erdp_ |= kHandlerBusy;
    iman_ |= kPending;
    status_ |= kEventInterrupt;
    const bool heard = (iman_ & kInterruptEnable) != 0 && (command_ & kInterrupterEnable) != 0;
    if (heard && send_message(0)) iman_ &= ~kPending;
  }
  update_irq();
}

void Xhci::update_irq() {
  set_intx((iman_ & kPending) != 0 && (iman_ & kInterruptEnable) != 0 &&
           (command_ & kInterrupterEnable) != 0 && !messages_enabled());
}

// --- Commands ---

void Xhci::complete_command(const Block& command, Code code, unsigned slot) {
  post({command.address, u32{static_cast<u8>(code)} << 24,
        u32{static_cast<u8>(Trb::kCommandEvent)} << 10 | slot << 24, 0});
}

void Xhci::run_commands() {
  commands_run_ = true;
  Block command;
  for (unsigned i = 0; i < kMostCommands && running() && fetch(commands_, command); ++i) {
    unsigned slot = command.control >> 24;
    const Code code = execute(command, slot);
    complete_command(command, code, slot);
  }
}

Code Xhci::execute(const Block& command, unsigned& slot) {
  if (command.type() == Trb::kNoOpCommand) return Code::kSuccess;
  if (command.type() == Trb::kEnableSlot) return enable_slot(slot);
  if (slot == 0 || slot > kSlots || !slots_[slot].enabled) return Code::kSlotNotEnabled;
  switch (command.type()) {
    case Trb::kDisableSlot:
      disable_slot(slots_[slot]);
      return Code::kSuccess;
    case Trb::kAddressDevice:
      return address_device(slot, command);
    case Trb::kConfigureEndpoint:
      return configure(slot, command);
    case Trb::kEvaluateContext:
      return evaluate(slot, command);
    case Trb::kResetEndpoint:
    case Trb::kStopEndpoint:
    case Trb::kSetDequeue:
      return change_endpoint(slot, command);
    case Trb::kResetDevice:
      return reset_device(slot);
    default:
      return Code::kTrbError;
  }
}

Code Xhci::enable_slot(unsigned& number) {
  for (number = 1; number <= kSlots; ++number) {
    if (slots_[number].enabled) continue;
    slots_[number] = {};
    slots_[number].enabled = true;
    return Code::kSuccess;
  }
  number = 0;
  return Code::kNoSlots;
}

void Xhci::disable_slot(Slot& slot) {
  if (slot.context != 0) set_slot_state(slot, 0, 0, 0);
  slot = {};
}

// Slot state, context entries and device address in the guest's context (6.2.2).
void Xhci::set_slot_state(const Slot& slot, u32 state, u32 entries, u32 address) {
  const u32 first = read_u32(slot.context) & 0x07ffffff;
  write_u32(slot.context, first | entries << 27);
  write_u32(slot.context + 12, address | state << kStateShift);
}

// An endpoint's context as the guest wrote it (6.2.3); false: not one that works here.
bool Xhci::load_endpoint(Slot& slot, unsigned index, u64 context) {
  const u32 second = read_u32(context + 4);
  const u64 dequeue = read_u64(context + 8);
  Endpoint e;
  e.type = second >> 3 & 7;
  e.packet_bytes = static_cast<u16>(second >> 16);
  const bool isochronous = e.type == 1 || e.type == 5;
  const bool fits = index == 0 ? e.type == kControlEndpoint
                               : (e.type >= kTypeIn + 1) == (index % 2 == 0) && e.type != 0 &&
                                     e.type != kControlEndpoint;
  if (!fits || isochronous || e.packet_bytes == 0 || e.packet_bytes > kMostPacket) return false;
  e.ring = {dequeue & ~u64{15}, (dequeue & 1) != 0};
  e.state = EndpointState::kRunning;
  slot.endpoints[index] = e;
  const u64 to = slot.context + u64{index + 1} * kContextBytes;
  std::array<u8, kContextBytes> bytes{};
  dma_read(context, bytes);
  dma_write(to, bytes);
  write_endpoint(slot, index);
  return true;
}

void Xhci::write_endpoint(const Slot& slot, unsigned index) {
  const Endpoint& e = slot.endpoints[index];
  const u64 to = slot.context + u64{index + 1} * kContextBytes;
  const Ring& ring = e.blocks.empty() ? e.ring : e.start;
  write_u32(to, (read_u32(to) & ~u32{7}) | static_cast<u8>(e.state));
  write_u32(to + 8, static_cast<u32>(ring.dequeue) | (ring.cycle ? 1 : 0));
  write_u32(to + 12, static_cast<u32>(ring.dequeue >> 32));
}

// 4.6.5. The device gets its slot's number as address.
Code Xhci::address_device(unsigned number, const Block& command) {
  Slot& slot = slots_[number];
  const u64 input = command.parameter & ~u64{15};
  if ((read_u32(input) & 3) != 0 || (read_u32(input + 4) & 3) != 3) return Code::kTrbError;
  const u64 wanted = input + kContextBytes;
  const u32 first = read_u32(wanted), second = read_u32(wanted + 4);
  slot.route = first & 0xfffff;
  slot.port = static_cast<u8>(second >> 16);
  if (slot.port == 0 || slot.port > xhci::kPorts) {
    slot.port = 0;
    return Code::kTrbError;
  }
  UsbDevice* const device = device_of(slot);
  if (device == nullptr) return Code::kTransactionError;
  slot.context = read_u64(contexts_ + u64{number} * 8) & ~u64{63};
  write_u32(slot.context, first);
  write_u32(slot.context + 4, second);
  write_u32(slot.context + 8, read_u32(wanted + 8));
  if (!load_endpoint(slot, 0, input + 2 * kContextBytes)) return Code::kParameter;
  u32 address = 0;
  if ((command.control & kBlockAddress) == 0) {
    address = number;
    std::array<u8, 8> setup{0, usb::kSetAddress, static_cast<u8>(number), 0, 0, 0, 0, 0};
    device->transact(usb::Token::kSetup, 0, setup);
    device->transact(usb::Token::kIn, 0, {});
  }
  set_slot_state(slot, address != 0 ? kSlotAddressed : kSlotDefault, 1, address);
  return Code::kSuccess;
}

// 4.6.6.
Code Xhci::configure(unsigned number, const Block& command) {
  Slot& slot = slots_[number];
  if (slot.context == 0) return Code::kContextState;
  const u32 address = read_u32(slot.context + 12) & 0xff;
  const bool none = (command.control & kDeconfigure) != 0;
  const u64 input = command.parameter & ~u64{15};
  const u32 drop = none ? ~u32{3} : read_u32(input), add = none ? 0 : read_u32(input + 4);
  if ((drop & 3) != 0) return Code::kTrbError;
  u32 entries = none ? 1 : read_u32(slot.context) >> 27;
  if (!none && (add & 1) != 0) {
    const u32 first = read_u32(input + kContextBytes);
    entries = first >> 27;
    write_u32(slot.context, first);
    write_u32(slot.context + 4, read_u32(input + kContextBytes + 4));
    write_u32(slot.context + 8, read_u32(input + kContextBytes + 8));
  }
  for (unsigned i = 1; i < kEndpoints; ++i) {
    const u32 bit = u32{1} << (i + 1);
    if ((drop & bit) != 0) {
      slot.endpoints[i] = {};
      write_endpoint(slot, i);
    }
    if ((add & bit) != 0 && !load_endpoint(slot, i, input + u64{i + 2} * kContextBytes))
      return Code::kParameter;
  }
  set_slot_state(slot, none ? kSlotAddressed : kSlotConfigured, entries, address);
  return Code::kSuccess;
}

// 4.6.7: exit latency and interrupter of the slot, packet size of endpoint 0.
Code Xhci::evaluate(unsigned number, const Block& command) {
  Slot& slot = slots_[number];
  if (slot.context == 0) return Code::kContextState;
  const u64 input = command.parameter & ~u64{15};
  const u32 add = read_u32(input + 4);
  if ((add & 1) != 0) {
    const u64 wanted = input + kContextBytes;
    write_u32(slot.context + 4,
              (read_u32(slot.context + 4) & ~u32{0xffff}) | (read_u32(wanted + 4) & 0xffff));
    write_u32(slot.context + 8, (read_u32(slot.context + 8) & ~u32{0xffc00000}) |
                                    (read_u32(wanted + 8) & 0xffc00000));
  }
  if ((add & 2) != 0) {
    const u32 second = read_u32(input + 2 * kContextBytes + 4);
    const u32 packet = second >> 16;
    if (packet == 0 || packet > kMostPacket) return Code::kParameter;
    slot.endpoints[0].packet_bytes = static_cast<u16>(packet);
    const u64 to = slot.context + kContextBytes + 4;
    write_u32(to, (read_u32(to) & 0xffff) | packet << 16);
  }
  return Code::kSuccess;
}

// Reset Endpoint, Stop Endpoint and Set TR Dequeue Pointer (4.6.8 to 4.6.10).
Code Xhci::change_endpoint(unsigned number, const Block& command) {
  Slot& slot = slots_[number];
  const unsigned id = command.control >> 16 & 31;
  if (id == 0) return Code::kTrbError;
  Endpoint& e = slot.endpoints[id - 1];
  if (e.state == EndpointState::kDisabled) return Code::kEndpointNotEnabled;
  const Trb type = command.type();
  const bool stopped = e.state == EndpointState::kStopped || e.state == EndpointState::kError;
  const bool right = type == Trb::kStopEndpoint    ? e.state == EndpointState::kRunning
                     : type == Trb::kResetEndpoint ? e.state == EndpointState::kHalted
                                                   : stopped;
  if (!right) return Code::kContextState;
  if (type == Trb::kSetDequeue) {
    e.ring = {command.parameter & ~u64{15}, (command.parameter & 1) != 0};
    e.blocks.clear();
    e.done = 0;
  } else if (type == Trb::kStopEndpoint && !e.blocks.empty()) {
    report(number, id - 1, Code::kStopped);
    e.ring = e.start;
    e.blocks.clear();
  }
  e.waits = false;
  e.state = EndpointState::kStopped;
  write_endpoint(slot, id - 1);
  return Code::kSuccess;
}

// 4.6.11: the device was reset by its port; only endpoint 0 stays.
Code Xhci::reset_device(unsigned number) {
  Slot& slot = slots_[number];
  if (slot.context == 0) return Code::kContextState;
  for (unsigned i = 1; i < kEndpoints; ++i) {
    slot.endpoints[i] = {};
    write_endpoint(slot, i);
  }
  set_slot_state(slot, kSlotDefault, 1, 0);
  return Code::kSuccess;
}

}  // namespace emu
