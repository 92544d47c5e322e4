// SPDX-License-Identifier: Apache-2.0
// Registers, and the rings of commands and responses.
#include "devices/sound/intel_hda.h"

#include "base/bits.h"
#include "devices/sound/intel_hda_spec.h"

namespace emu {

using namespace hda;

namespace {

constexpr PciIdentity kIdentity{
    .vendor = 0x8086,
    .device = 0x2668,
    .revision = 1,
    .class_code = 0x040300,
    .interrupt_pin = 1,
};

// The bits of `mask` come from `value`.
template <class T>
void assign(T& field, u32 value, u32 mask, unsigned shift = 0) {
  const u64 bits = u64{mask >> shift};
  field = static_cast<T>((u64{field} & ~bits) | (u64{value >> shift} & bits));
}
// Half of an address; `low_mask` clears its lowest bits.
void assign_address(u64& address, bool upper, u32 value, u32 mask, u64 low_mask) {
  const unsigned shift = upper ? 32 : 0;
  const u64 bits = u64{mask} << shift;
  address = ((address & ~bits) | (u64{value} << shift & bits)) & ~low_mask;
}

}  // namespace

IntelHda::IntelHda(PciBus& bus, u8 devfn, Clock& clock, AudioSink& sink)
    : PciDevice(bus, devfn, "intel-hda", kIdentity),
      clock_(clock),
      sink_(sink),
      window_(Region::mmio("intel-hda", kWindowBytes, registers_, AccessSizes{1, 4, false})),
      timer_(clock.create_timer([this] { catch_up(); })) {
  add_bar(0, BarKind::kMemory32, *window_);
  reset_config();
  reset_link();
}

void IntelHda::reset() {
  reset_config();
  reset_link();
  global_control_ = 0;
  moved_ns_ = 0;
  arm();
  update_irq();
}

// What CRST resets: everything but itself.
void IntelHda::reset_link() {
  codec_.reset();
  wake_enable_ = codec_changes_ = 0;
  interrupt_control_ = 0;
  corb_base_ = rirb_base_ = positions_base_ = 0;
  corb_write_ = corb_read_ = rirb_write_ = rirb_interrupt_after_ = rirb_count_ = 0;
  corb_control_ = rirb_control_ = rirb_status_ = 0;
  immediate_command_ = immediate_response_ = 0;
  immediate_status_ = 0;
  streams_ = {};
}

void IntelHda::transfer(StateIo& io) {
  io.section(name(), 1, [&] {
    transfer_config(io);
    codec_.transfer(io);
    io.field(1, "global_control", global_control_);
    io.field(2, "wake_enable", wake_enable_);
    io.field(3, "codec_changes", codec_changes_);
    io.field(4, "interrupt_control", interrupt_control_);
    io.field(5, "corb_base", corb_base_);
    io.field(6, "rirb_base", rirb_base_);
    io.field(7, "positions_base", positions_base_);
    io.field(8, "corb_write", corb_write_);
    io.field(9, "corb_read", corb_read_);
    io.field(10, "rirb_write", rirb_write_);
    io.field(11, "rirb_interrupt_after", rirb_interrupt_after_);
    io.field(12, "rirb_count", rirb_count_);
    io.field(13, "corb_control", corb_control_);
    io.field(14, "rirb_control", rirb_control_);
    io.field(15, "rirb_status", rirb_status_);
    io.field(16, "immediate_command", immediate_command_);
    io.field(17, "immediate_response", immediate_response_);
    io.field(18, "immediate_status", immediate_status_);
    io.field(19, "moved_ns", moved_ns_);
    for (unsigned i = 0; i < kStreams; ++i) {
      io.section(fmt::format("stream{}", i), 1, [&] {
        Stream& s = streams_[i];
        io.field(1, "control", s.control);
        io.field(2, "status", s.status);
        io.field(3, "position", s.position);
        io.field(4, "cyclic_bytes", s.cyclic_bytes);
        io.field(5, "last", s.last);
        io.field(6, "format", s.format);
        io.field(7, "list", s.list);
        io.field(8, "entry", s.entry);
        io.field(9, "done_bytes", s.done_bytes);
        io.check(s.last <= kMaxEntry && s.entry <= kMaxEntry, "intel-hda stream");
      });
    }
  });
}

void IntelHda::resumed() {
  resume_config();
  if (moved_ns_ > clock_.now_ns()) moved_ns_ = clock_.now_ns();
  arm();
  update_irq();
}

u64 IntelHda::read(u64 offset, unsigned size) {
  catch_up();
  const u32 at = static_cast<u32>(offset);
  return word(at & ~3u) >> (8 * (at & 3)) & byte_mask(size);
}

void IntelHda::write(u64 offset, unsigned size, u64 value) {
  catch_up();
  const u32 at = static_cast<u32>(offset);
  const unsigned shift = 8 * (at & 3);
  const u32 mask = static_cast<u32>(byte_mask(size) << shift);
  const u32 wide = static_cast<u32>(value << shift) & mask;
  if ((at & ~3u) == kGlobalControl) {
    u32 control = global_control_;
    assign(control, wide, mask);
    write_global_control(control);
  } else if ((global_control_ & kLinkRuns) != 0) {
    write_word(at & ~3u, wide, mask);
  }
  arm();
  update_irq();
}

u32 IntelHda::word(u32 offset) const {
  if (offset >= kStreamsAt && offset < kStreamsAt + kStreams * kStreamBytes) {
    return stream_word((offset - kStreamsAt) / kStreamBytes, (offset - kStreamsAt) % kStreamBytes);
  }
  switch (offset) {
    case kCapabilities:  // one stream out, one in, 64-bit addresses; version 1.0
      return 0x0100'0000 | 1 << 12 | 1 << 8 | 1;
    case kPayloads:
      return 0x001D'003C;
    case kGlobalControl:
      return global_control_;
    case kWakeAndState:
      return wake_enable_ | u32{codec_changes_} << 16;
    case kInterruptControl:
      return interrupt_control_;
    case kInterruptStatus:
      return interrupt_status();
    case kWallClock:  // 24 MHz
      return static_cast<u32>(clock_.now_ns() * 24 / 1000);
    case kCorbBase:
      return static_cast<u32>(corb_base_);
    case kCorbBaseUpper:
      return static_cast<u32>(corb_base_ >> 32);
    case kCorbPointers:
      return corb_write_ | u32{corb_read_} << 16;
    case kCorbControl:
      return corb_control_ | kRing256 << 16;
    case kRirbBase:
      return static_cast<u32>(rirb_base_);
    case kRirbBaseUpper:
      return static_cast<u32>(rirb_base_ >> 32);
    case kRirbPointers:
      return rirb_write_ | u32{rirb_interrupt_after_} << 16;
    case kRirbControl:
      return rirb_control_ | u32{rirb_status_} << 8 | kRing256 << 16;
    case kImmediateCommand:
      return immediate_command_;
    case kImmediateResponse:
      return immediate_response_;
    case kImmediateStatus:
      return immediate_status_;
    case kPositionsBase:
      return static_cast<u32>(positions_base_);
    case kPositionsBaseUpper:
      return static_cast<u32>(positions_base_ >> 32);
    default:
      return 0;
  }
}

void IntelHda::write_word(u32 offset, u32 value, u32 mask) {
  if (offset >= kStreamsAt && offset < kStreamsAt + kStreams * kStreamBytes) {
    return write_stream((offset - kStreamsAt) / kStreamBytes, (offset - kStreamsAt) % kStreamBytes,
                        value, mask);
  }
  switch (offset) {
    case kWakeAndState:
      assign(wake_enable_, value, mask & 1);
      codec_changes_ = static_cast<u16>(codec_changes_ & ~(value >> 16));
      return;
    case kInterruptControl:
      return assign(interrupt_control_, value, mask & (3u << 30 | 3));
    case kCorbBase:
    case kCorbBaseUpper:
      return assign_address(corb_base_, offset == kCorbBaseUpper, value, mask, 127);
    case kRirbBase:
    case kRirbBaseUpper:
      return assign_address(rirb_base_, offset == kRirbBaseUpper, value, mask, 127);
    case kPositionsBase:
    case kPositionsBaseUpper:
      return assign_address(positions_base_, offset == kPositionsBaseUpper, value, mask, 126);
    case kCorbPointers:
    case kCorbControl:
      return write_corb(offset, value, mask);
    case kRirbPointers:
    case kRirbControl:
      return write_rirb(offset, value, mask);
    case kImmediateCommand:
      return assign(immediate_command_, value, mask);
    case kImmediateStatus:
      return write_immediate(value, mask);
    default:
      return;
  }
}

void IntelHda::write_global_control(u32 value) {
  const bool ran = (global_control_ & kLinkRuns) != 0;
  global_control_ = value & (kLinkRuns | kUnsolicited);
  if ((value & kLinkRuns) == 0) reset_link();
  if (!ran && (value & kLinkRuns) != 0) codec_changes_ = 1;  // codec 0 is there
}

void IntelHda::write_corb(u32 offset, u32 value, u32 mask) {
  if (offset == kCorbControl) {
    assign(corb_control_, value, mask & (kRingRuns | kRingInterrupts));
    return run_commands();
  }
  if ((mask & 0xFFFF0000) != 0) {
    // The reset bit stays as it was written, so that the driver sees it come and go.
    corb_read_ = (value >> 16 & kPointerReset) != 0 ? kPointerReset : corb_read_ & 0xFF;
  }
  assign(corb_write_, value, mask & 0xFF);
  run_commands();
}

void IntelHda::write_rirb(u32 offset, u32 value, u32 mask) {
  if (offset == kRirbControl) {
    assign(rirb_control_, value, mask & (kRingRuns | kRingInterrupts | 4));
    rirb_status_ = static_cast<u8>(rirb_status_ & ~(value >> 8));
    return run_commands();
  }
  if ((mask & value & kPointerReset) != 0) rirb_write_ = rirb_count_ = 0;
  assign(rirb_interrupt_after_, value, mask & 0x00FF0000, 16);
}

void IntelHda::write_immediate(u32 value, u32 mask) {
  if ((mask & value & kImmediateBusy) != 0) {
    immediate_response_ = command(immediate_command_);
    immediate_status_ = kImmediateValid;
  } else if ((mask & value & kImmediateValid) != 0) {
    immediate_status_ = 0;
  }
}

void IntelHda::run_commands() {
  if ((corb_control_ & kRingRuns) == 0 || (corb_read_ & kPointerReset) != 0) return;
  while ((corb_read_ & 0xFF) != corb_write_) {
    corb_read_ = static_cast<u16>((corb_read_ + 1) & 0xFF);
    std::array<u8, 4> raw{};
    dma_read(corb_base_ + corb_read_ * u64{4}, raw);
    const u32 verb = load_le<u32>(raw.data());
    if (verb >> 28 == 0) respond(command(verb));  // nobody else is there
  }
}

// `verb` is addressed to codec 0, whoever it says.
u32 IntelHda::command(u32 verb) {
  return codec_.execute(verb & 0x0FFFFFFF);
}

void IntelHda::respond(u32 response) {
  if ((rirb_control_ & kRingRuns) == 0) return;
  rirb_write_ = static_cast<u16>((rirb_write_ + 1) & 0xFF);
  std::array<u8, 8> raw{};
  store_le(raw.data(), response);
  dma_write(rirb_base_ + rirb_write_ * u64{8}, raw);
  const u16 after = (rirb_interrupt_after_ & 0xFF) == 0 ? u16{256} : rirb_interrupt_after_;
  if (++rirb_count_ < after) return;
  rirb_count_ = 0;
  rirb_status_ |= kRirbInterrupt;
}

u32 IntelHda::interrupt_status() const {
  u32 status = 0;
  for (unsigned i = 0; i < kStreams; ++i) {
    const Stream& s = streams_[i];
    if ((s.status & kBufferDone) != 0 && (s.control & kInterruptOnBuffer) != 0) status |= 1u << i;
  }
  const bool response = (rirb_status_ & kRirbInterrupt) != 0 && (rirb_control_ & 1) != 0;
  if (response || (codec_changes_ & wake_enable_) != 0) status |= 1u << 30;
  if ((status & interrupt_control_) != 0) status |= 1u << 31;
  return status;
}

void IntelHda::update_irq() {
  set_intx((interrupt_status() & interrupt_control_ & 1u << 31) != 0);
}

}  // namespace emu
