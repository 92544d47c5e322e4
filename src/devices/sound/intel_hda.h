// SPDX-License-Identifier: Apache-2.0
// Intel High Definition Audio: the ICH6's controller (8086:2668) with one stream in and one out,
// and a codec on its link. Source: Intel High Definition Audio Specification 1.0a, chapters 3
// and 4. Threads: the machine lock is held by every caller. Not modelled: recording (it brings
// silence), 8, 20, 24 and 32 bits (played as silence), MSI, wake events, stream synchronisation.
#pragma once

#include <memory>
#include <vector>

#include "base/vm_time.h"
#include "devices/io_window.h"
#include "devices/pci/pci_device.h"
#include "devices/ports/audio.h"
#include "devices/sound/hda_codec.h"

namespace emu {

class IntelHda final : public PciDevice {
 public:
  static constexpr u64 kWindowBytes = 16 * kKiB;

  IntelHda(PciBus& bus, u8 devfn, Clock& clock, AudioSink& sink);

  // For tests; guests reach them through BAR 0.
  [[nodiscard]] IoHandler& registers() { return registers_; }

  void reset() override;
  void transfer(StateIo& io) override;
  void resumed() override;

 private:
  // A stream descriptor (3.3.35 on), and how far its DMA engine is.
  struct Stream {
    u32 control = 0;
    u8 status = 0;
    u32 position = 0;  // LPIB
    u32 cyclic_bytes = 0;
    u16 last = 0;  // LVI
    u16 format = 0;
    u64 list = 0;  // BDL
    u16 entry = 0;
    u32 done_bytes = 0;  // of the entry
  };
  struct Entry {
    u64 address;
    u32 length_bytes;
    bool interrupts;
  };
  static constexpr unsigned kStreams = 2, kIn = 0, kOut = 1;

  [[nodiscard]] u64 read(u64 offset, unsigned size);
  void write(u64 offset, unsigned size, u64 value);
  // A register's 32 bits; `mask` has the bits that are written.
  [[nodiscard]] u32 word(u32 offset) const;
  void write_word(u32 offset, u32 value, u32 mask);
  [[nodiscard]] u32 stream_word(unsigned index, u32 offset) const;
  void write_stream(unsigned index, u32 offset, u32 value, u32 mask);
  void write_global_control(u32 value);
  void write_corb(u32 offset, u32 value, u32 mask);
  void write_rirb(u32 offset, u32 value, u32 mask);
  void write_immediate(u32 value, u32 mask);
  void reset_link();

  void run_commands();
  void respond(u32 response);
  [[nodiscard]] u32 command(u32 verb);

  [[nodiscard]] static bool runs(const Stream& stream);
  [[nodiscard]] Entry entry_of(const Stream& stream);
  void catch_up();
  // Moves up to `bytes` of a stream; returns how many.
  u32 move(unsigned index, u32 bytes);
  void take_samples(const Stream& stream, std::span<const u8> bytes);
  void write_position(unsigned index);
  void arm();
  [[nodiscard]] u32 interrupt_status() const;
  void update_irq();

  // wires
  Clock& clock_;
  AudioSink& sink_;
  // parts
  IoWindow<IntelHda> registers_{*this, &IntelHda::read, &IntelHda::write};
  std::unique_ptr<Region> window_;
  std::unique_ptr<Timer> timer_;
  // parts, state (saved)
  HdaCodec codec_;
  // state (saved)
  u32 global_control_ = 0;
  u16 wake_enable_ = 0, codec_changes_ = 0;
  u32 interrupt_control_ = 0;
  u64 corb_base_ = 0, rirb_base_ = 0, positions_base_ = 0;
  u16 corb_write_ = 0, corb_read_ = 0, rirb_write_ = 0, rirb_interrupt_after_ = 0;
  u16 rirb_count_ = 0;  // responses since the last interrupt
  u8 corb_control_ = 0, rirb_control_ = 0, rirb_status_ = 0;
  u32 immediate_command_ = 0, immediate_response_ = 0;
  u16 immediate_status_ = 0;
  std::array<Stream, kStreams> streams_{};
  u64 moved_ns_ = 0;  // streams are as they were then
  // scratch (rebuilt)
  std::vector<i16> samples_;
};

}  // namespace emu
