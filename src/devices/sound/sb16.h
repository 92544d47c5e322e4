// SPDX-License-Identifier: Apache-2.0
// A Sound Blaster 16 (CT2230): DSP 4.05, CT1745 mixer, with an OPL3 for music.
// Source: Creative Labs "Sound Blaster Series Hardware Programming Guide", 2nd edition, 1994: 2-4
// (mixer), 3 and 6 (DSP); the Linux driver's names of undocumented commands.
// Threads: the machine lock is held by every caller.
// Not modelled: ADPCM, MIDI (the DSP's and MPU-401), the ASP chip, CD audio; recording brings
// silence.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <vector>

#include "base/vm_time.h"
#include "devices/chipset/i8237.h"
#include "devices/device.h"
#include "devices/irq_line.h"
#include "devices/ports/audio.h"
#include "devices/sound/opl3.h"
#include "memory/io_handler.h"

namespace emu {

class Sb16 final : public Device, public IoHandler {
 public:
  static constexpr u64 kPortBytes = 16;
  // The interrupts that the mixer chooses from.
  static constexpr std::array<unsigned, 4> kIrqs{9, 5, 7, 10};

  struct Wires {
    std::array<IrqLine, 4> irqs;  // as kIrqs
    I8237Pair& dma;
    AudioSink& sink;
    Opl3& opl;
  };
  Sb16(Clock& clock, Wires wires);

  // Sixteen byte ports, usually from 220h.
  [[nodiscard]] u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, unsigned size, u64 value) override;

  [[nodiscard]] std::string_view name() const override { return "sb16"; }
  void reset() override;
  void transfer(StateIo& io) override;
  void resumed() override;

 private:
  // A transfer by DMA, of 8 or of 16 bits.
  struct Stream {
    bool runs = false;
    bool paused = false;
    bool wide = false;  // 16 bits
    bool records = false;
    bool repeats = false;  // auto-initialized
    bool is_signed = false;
    bool stereo = false;
    u32 block = 0;  // samples until an interrupt
    u32 left = 0;
  };
  void reset_dsp();
  void reset_mixer();
  void take(u8 byte);
  void execute();
  void execute_simple(u8 command);
  void execute_query(u8 command);
  void start(bool wide, u8 command, u8 mode, u32 samples);
  void start_old(bool repeats, bool records, u32 samples);
  void raise(bool wide);
  void update_irq();
  [[nodiscard]] IrqLine& irq();
  [[nodiscard]] unsigned channel(bool wide) const;
  [[nodiscard]] u8 read_mixer() const;
  void write_mixer(u8 value);
  [[nodiscard]] double gain(u8 which, unsigned side) const;
  void catch_up();
  // Moves up to `samples` of the block; false: the DMA controller has none.
  [[nodiscard]] bool move(u32 samples);
  void arm();

  // wires
  Clock& clock_;
  Wires wires_;
  // parts
  std::unique_ptr<Timer> timer_;
  // state (saved)
  std::vector<u8> input_;   // a command and its parameters so far
  std::vector<u8> output_;  // answers
  u8 test_ = 0, last_ = 0xaa;
  bool in_reset_ = false, speaker_ = false;
  u32 rate_hz_ = 11025;
  u32 old_block_ = 0;  // of commands that take no length
  Stream stream_;
  u8 pending_ = 0;  // interrupts: bit 0 of 8 bits, bit 1 of 16
  u8 mixer_index_ = 0;
  std::array<u8, 256> mixer_{};
  u64 moved_ns_ = 0;
  // scratch (rebuilt)
  std::vector<i16> samples_;
};

}  // namespace emu
