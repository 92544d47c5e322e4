// SPDX-License-Identifier: Apache-2.0
#include "devices/usb/uhci.h"

#include <algorithm>
#include <vector>

namespace emu {
namespace {

constexpr u64 kWindowBytes = 32;
constexpr unsigned kBar = 4;
constexpr u64 kFrameNs = 1'000'000;
constexpr u64 kIdleFrames = 8;    // run together while nothing happens
constexpr u16 kBusyFrames = 64;   // run in time after something happened
constexpr u64 kMostBehind = 128;  // frames; what is older is skipped
constexpr std::size_t kMostFrameBytes = 8192;
constexpr unsigned kMostSteps = 2048;  // links followed in one frame

// Registers (UHCI 2.1).
constexpr u64 kCommand = 0x00, kStatus = 0x02, kInterrupts = 0x04, kFrameNumber = 0x06,
              kFrameListLow = 0x08, kFrameListHigh = 0x0a, kFrameLength = 0x0c, kFirstPort = 0x10;
constexpr u16 kRun = 1 << 0, kHostReset = 1 << 1, kGlobalReset = 1 << 2, kCommandBits = 0x00ff;
constexpr u16 kTransferDone = 1 << 0, kTransferError = 1 << 1, kProcessError = 1 << 4,
              kHalted = 1 << 5, kStatusClears = 0x1f;
constexpr u16 kOnError = 1 << 0, kOnDone = 1 << 2, kOnShort = 1 << 3;
constexpr u8 kCauseDone = 1, kCauseShort = 2;
constexpr u16 kConnected = 1 << 0, kConnectChanged = 1 << 1, kEnabled = 1 << 2,
              kEnableChanged = 1 << 3, kLineIdle = 1 << 4, kResumeDetect = 1 << 6,
              kPortAlwaysOne = 1 << 7, kPortReset = 1 << 9, kSuspended = 1 << 12;
constexpr u16 kPortWritable = kEnabled | kResumeDetect | kPortReset | kSuspended;
constexpr u16 kPortClears = kConnectChanged | kEnableChanged;

// Schedule (UHCI 3).
constexpr u32 kTerminate = 1 << 0, kIsQueue = 1 << 1, kDepthFirst = 1 << 2, kLinkMask = ~u32{15};
constexpr u32 kActualMask = 0x7ff, kTdTimeout = 1 << 18, kTdNak = 1 << 19, kTdStalled = 1 << 22,
              kTdActive = 1 << 23, kTdInterrupt = 1 << 24, kTdShortDetect = 1 << 29;
constexpr u32 kTdErrors = 0x007e0000, kErrorCount = 3u << 27, kOneError = 1u << 27;
constexpr u32 kMostPacket = 1280;

constexpr PciIdentity kIdentity{
    .vendor = 0x8086,
    .device = 0x7020,
    .revision = 1,
    .class_code = 0x0c0300,
    .interrupt_pin = 4,
    .status = pci::kStatusFastBackToBack | pci::kStatusDevselMedium,
};

constexpr RegisterSpec kRegisters[] = {
    {0x60, 1, "SBRNUM", 0x10},
    {0xc0, 2, "LEGSUP", 0x2000, 0x2fbf, 0x8000},
};

}  // namespace

struct Uhci::Frame {
  std::size_t bytes = 0;
  unsigned steps = 0;
  bool progressed = false;  // since the list of visited queues was emptied
  bool done = false, short_packet = false, error = false;
  std::vector<u32> visited;  // queue heads
};

Uhci::Uhci(PciBus& bus, u8 devfn, Clock& clock)
    : PciDevice(bus, devfn, "uhci", kIdentity),
      clock_(clock),
      window_(Region::mmio("uhci", kWindowBytes, *this, AccessSizes{2, 2, false})),
      timer_(clock.create_timer([this] { catch_up(); })) {
  config().define(kRegisters);
  add_bar(kBar, BarKind::kIo, *window_);
  reset_controller();
}

void Uhci::attach(unsigned port, UsbDevice* device) {
  devices_[port] = device;
  if (device != nullptr) device->set_wake([this] { stay_awake(); });
  reset_ports();
}

void Uhci::reset() {
  reset_config();
  reset_controller();
}

void Uhci::reset_controller() {
  command_ = 0;
  status_ = kHalted;
  causes_ = 0;
  enabled_ = 0;
  frame_number_ = 0;
  frame_list_ = 0;
  frame_length_ = 64;
  next_frame_ns_ = 0;
  busy_frames_ = 0;
  reset_ports();
  arm();
  update_irq();
}

void Uhci::reset_ports() {
  for (unsigned i = 0; i < kPorts; ++i) {
    ports_[i] = devices_[i] != nullptr ? kConnected | kConnectChanged : 0;
    if (devices_[i] != nullptr) devices_[i]->bus_reset();
  }
}

void Uhci::transfer(StateIo& io) {
  io.section(name(), 1, [&] {
    transfer_config(io);
    io.field(1, "USBCMD", command_);
    io.field(2, "USBSTS", status_);
    io.field(3, "causes", causes_);
    io.field(4, "USBINTR", enabled_);
    io.field(5, "FRNUM", frame_number_);
    io.field(6, "FLBASEADD", frame_list_);
    io.field(7, "SOFMOD", frame_length_);
    io.field(8, "PORTSC", ports_);
    io.field(9, "next_frame_ns", next_frame_ns_);
    io.field(10, "busy_frames", busy_frames_);
    io.check(busy_frames_ <= kBusyFrames && next_frame_ns_ < kNever / 2, "the UHCI's frame");
  });
}

void Uhci::resumed() {
  resume_config();
  arm();
}

bool Uhci::running() const {
  return (command_ & kRun) != 0;
}

// --- Registers ---

u64 Uhci::read(u64 offset, unsigned) {
  if (running()) catch_up();
  switch (offset) {
    case kCommand:
      return command_;
    case kStatus:
      return status_;
    case kInterrupts:
      return enabled_;
    case kFrameNumber:
      return frame_number_;
    case kFrameListLow:
      return frame_list_ & 0xffff;
    case kFrameListHigh:
      return frame_list_ >> 16;
    case kFrameLength:
      return frame_length_;
    default:
      break;
  }
  const u64 port = (offset - kFirstPort) / 2;
  if (offset < kFirstPort || port >= kPorts) return 0xffff;
  const u16 idle = (ports_[port] & kConnected) != 0 ? kLineIdle : 0;
  return ports_[port] | kPortAlwaysOne | idle;
}

void Uhci::write(u64 offset, unsigned, u64 value) {
  const u16 word = static_cast<u16>(value);
  if (running()) catch_up();
  switch (offset) {
    case kCommand:
      return write_command(word);
    case kStatus:
      status_ &= static_cast<u16>(~(word & kStatusClears));
      if ((word & kTransferDone) != 0) causes_ = 0;
      return update_irq();
    case kInterrupts:
      enabled_ = word & 0x0f;
      return update_irq();
    case kFrameNumber:
      if (!running()) frame_number_ = word & 0x7ff;
      return;
    case kFrameListLow:
      frame_list_ = (frame_list_ & 0xffff0000) | (word & 0xf000u);
      return;
    case kFrameListHigh:
      frame_list_ = (frame_list_ & 0xffff) | u32{word} << 16;
      return;
    case kFrameLength:
      frame_length_ = word & 0x7f;
      return;
    default:
      break;
  }
  const u64 port = (offset - kFirstPort) / 2;
  if (offset >= kFirstPort && port < kPorts) write_port(static_cast<unsigned>(port), word);
}

void Uhci::write_command(u16 value) {
  if ((value & kHostReset) != 0) return reset_controller();
  if ((value & kGlobalReset) != 0) reset_ports();
  const bool starts = (value & kRun) != 0 && !running();
  command_ = value & kCommandBits;
  if (starts) next_frame_ns_ = clock_.now_ns() + kFrameNs;
  status_ = static_cast<u16>(running() ? status_ & ~kHalted : status_ | kHalted);
  stay_awake();
}

void Uhci::write_port(unsigned port, u16 value) {
  u16& state = ports_[port];
  UsbDevice* const device = devices_[port];
  const bool resets = (value & kPortReset) != 0 && (state & kPortReset) == 0;
  if (resets && device != nullptr) device->bus_reset();
  state &= static_cast<u16>(~(value & kPortClears));
  state = static_cast<u16>((state & ~kPortWritable) | (value & kPortWritable));
  if ((state & kPortReset) != 0 || device == nullptr) state &= static_cast<u16>(~kEnabled);
  stay_awake();
}

bool Uhci::irq_level() const {
  const bool done = (causes_ & kCauseDone) != 0 && (enabled_ & kOnDone) != 0;
  const bool is_short = (causes_ & kCauseShort) != 0 && (enabled_ & kOnShort) != 0;
  const bool error = (status_ & kTransferError) != 0 && (enabled_ & kOnError) != 0;
  return done || is_short || error || (status_ & kProcessError) != 0;
}

void Uhci::update_irq() {
  set_intx(irq_level());
}

// --- Time ---

void Uhci::arm() {
  if (!running()) return timer_->cancel();
  timer_->arm(next_frame_ns_ + (busy_frames_ != 0 ? 0 : (kIdleFrames - 1) * kFrameNs));
}

void Uhci::stay_awake() {
  busy_frames_ = kBusyFrames;
  arm();
}

void Uhci::catch_up() {
  const u64 now = clock_.now_ns();
  if (running() && now >= next_frame_ns_ + kMostBehind * kFrameNs) {
    const u64 missed = (now - next_frame_ns_) / kFrameNs - kMostBehind + 1;
    frame_number_ = static_cast<u16>((frame_number_ + missed) & 0x7ff);
    next_frame_ns_ += missed * kFrameNs;
  }
  while (running() && next_frame_ns_ <= now) {
    next_frame_ns_ += kFrameNs;
    if (busy_frames_ != 0) --busy_frames_;
    run_frame();
    frame_number_ = (frame_number_ + 1) & 0x7ff;
  }
  arm();
}

// --- The schedule ---

u32 Uhci::read_u32(u32 address) {
  std::array<u8, 4> bytes{};
  dma_read(address, bytes);
  return u32{bytes[0]} | u32{bytes[1]} << 8 | u32{bytes[2]} << 16 | u32{bytes[3]} << 24;
}

void Uhci::write_u32(u32 address, u32 value) {
  const std::array<u8, 4> bytes{static_cast<u8>(value), static_cast<u8>(value >> 8),
                                static_cast<u8>(value >> 16), static_cast<u8>(value >> 24)};
  dma_write(address, bytes);
}

void Uhci::run_frame() {
  Frame frame;
  u32 link = read_u32(frame_list_ + (frame_number_ & 0x3ffu) * 4);
  while ((link & kTerminate) == 0 && frame.steps < kMostSteps && frame.bytes < kMostFrameBytes) {
    ++frame.steps;
    const u32 address = link & kLinkMask;
    if ((link & kIsQueue) != 0) {
      run_queue(address, frame, link);
      continue;
    }
    Td td;
    if (run_td(address, td, frame) == Next::kEndFrame) break;
    link = td.link;
  }
  if (frame.done) causes_ |= kCauseDone;
  if (frame.short_packet) causes_ |= kCauseShort;
  if (frame.done || frame.short_packet) status_ |= kTransferDone;
  if (frame.error) status_ |= kTransferError;
  if (frame.done || frame.error || frame.progressed) busy_frames_ = kBusyFrames;
  update_irq();
}

// Runs a queue head's element; `link` becomes what is next.
void Uhci::run_queue(u32 address, Frame& frame, u32& link) {
  // Guests close the list to a ring to use up the frame: once round without progress is enough.
  if (std::find(frame.visited.begin(), frame.visited.end(), address) != frame.visited.end()) {
    link = kTerminate;
    if (!frame.progressed) return;
    frame.visited.clear();
    frame.progressed = false;
    busy_frames_ = kBusyFrames;
  }
  frame.visited.push_back(address);
  link = read_u32(address);
  u32 element = read_u32(address + 4);
  while ((element & kTerminate) == 0 && frame.steps < kMostSteps && frame.bytes < kMostFrameBytes) {
    ++frame.steps;
    if ((element & kIsQueue) != 0) {
      link = element;
      return;
    }
    Td td;
    const Next next = run_td(element & kLinkMask, td, frame);
    if (next == Next::kEndFrame) link = kTerminate;
    if (next != Next::kElement) return;
    element = td.link;
    write_u32(address + 4, element);
    if ((td.link & kDepthFirst) == 0) return;
  }
}

Uhci::Next Uhci::run_td(u32 address, Td& td, Frame& frame) {
  std::array<u8, 16> bytes{};
  if (!dma_read(address, bytes)) return Next::kEndFrame;
  const auto word = [&bytes](std::size_t at) {
    return u32{bytes[at]} | u32{bytes[at + 1]} << 8 | u32{bytes[at + 2]} << 16 |
           u32{bytes[at + 3]} << 24;
  };
  td = {word(0), word(4), word(8), word(12)};
  if ((td.control & kTdActive) == 0) return Next::kQueue;
  const std::size_t length = ((td.token >> 21) + 1) & 0x7ff;
  const u8 pid = static_cast<u8>(td.token);
  const bool known = pid == static_cast<u8>(usb::Token::kSetup) ||
                     pid == static_cast<u8>(usb::Token::kIn) ||
                     pid == static_cast<u8>(usb::Token::kOut);
  if (!known || length > kMostPacket) {  // 3.2.3: the controller stops
    command_ &= static_cast<u16>(~kRun);
    status_ |= kProcessError | kHalted;
    return Next::kEndFrame;
  }
  const UsbReply reply = transact(td, length);
  const u32 before = td.control;
  const Next next = complete(td, reply, length, frame);
  if (td.control != before) write_u32(address + 4, td.control);
  return next;
}

UsbReply Uhci::transact(const Td& td, std::size_t length) {
  UsbDevice* const device = find(static_cast<u8>(td.token >> 8 & 0x7f));
  if (device == nullptr) return {};
  std::array<u8, kMostPacket> buffer{};
  const std::span<u8> data = std::span(buffer).first(length);
  const usb::Token token = static_cast<usb::Token>(td.token & 0xff);
  if (token != usb::Token::kIn) dma_read(td.buffer, data);
  const UsbReply reply = device->transact(token, static_cast<u8>(td.token >> 15 & 15), data);
  if (token == usb::Token::kIn && reply.status == UsbStatus::kAck) {
    dma_write(td.buffer, data.first(reply.length));
  }
  return reply;
}

Uhci::Next Uhci::complete(Td& td, const UsbReply& reply, std::size_t length, Frame& frame) {
  frame.bytes += 16;
  switch (reply.status) {
    case UsbStatus::kNak:
      td.control |= kTdNak;
      return Next::kQueue;
    case UsbStatus::kSilent:
      no_answer(td, frame);
      return Next::kQueue;
    case UsbStatus::kStall:
      td.control = (td.control & ~(kTdActive | kTdErrors)) | kTdStalled;
      frame.error = frame.progressed = true;
      frame.done |= (td.control & kTdInterrupt) != 0;
      return Next::kQueue;
    case UsbStatus::kAck:
      break;
  }
  const bool in = (td.token & 0xff) == static_cast<u8>(usb::Token::kIn);
  const std::size_t moved = in ? reply.length : length;
  frame.bytes += moved;
  frame.progressed = true;
  td.control &= ~(kActualMask | kTdActive | kTdErrors);
  td.control |= (static_cast<u32>(moved) - 1) & kActualMask;
  frame.done |= (td.control & kTdInterrupt) != 0;
  if (in && moved < length && (td.control & kTdShortDetect) != 0) {
    frame.short_packet = true;
    return Next::kQueue;
  }
  return Next::kElement;
}

// A timeout, counted if the guest counts errors (3.2.2).
void Uhci::no_answer(Td& td, Frame& frame) {
  td.control |= kTdTimeout;
  if ((td.control & kErrorCount) == 0) return;
  td.control -= kOneError;
  if ((td.control & kErrorCount) != 0) return;
  td.control = (td.control & ~kTdActive) | kTdStalled;
  frame.error = frame.progressed = true;
  frame.done |= (td.control & kTdInterrupt) != 0;
}

UsbDevice* Uhci::find(u8 address) {
  for (unsigned i = 0; i < kPorts; ++i) {
    if ((ports_[i] & kEnabled) == 0 || devices_[i] == nullptr) continue;
    if (UsbDevice* const device = devices_[i]->find(address)) return device;
  }
  return nullptr;
}

}  // namespace emu
