// SPDX-License-Identifier: Apache-2.0
// Intel 82801AA AC'97 audio controller with a SigmaTel STAC9700 codec.
// Source: Intel 82801AA (ICH) data sheet (290655), chapter 13 "AC'97 Audio Controller Registers";
// Audio Codec '97 specification, revision 2.3, chapter 5.
// Threads: the machine lock is held by every caller.
// Not modelled: the modem, tone and 3D controls (kept and reported); recording brings silence.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "base/vm_time.h"
#include "devices/io_window.h"
#include "devices/pci/pci_device.h"
#include "devices/ports/audio.h"

namespace emu {

class Ac97 final : public PciDevice {
 public:
  static constexpr u64 kMixerBytes = 256, kBusMasterBytes = 64;

  Ac97(PciBus& bus, u8 devfn, Clock& clock, AudioSink& sink);

  // For tests; guests reach them through BARs 0 and 1.
  [[nodiscard]] IoHandler& mixer() { return mixer_; }
  [[nodiscard]] IoHandler& bus_master_registers() { return bus_master_; }

  void reset() override;
  void transfer(StateIo& io) override;
  void resumed() override;

 private:
  // A bus-master channel: PCM in, PCM out, microphone.
  struct Channel {
    u32 base = 0;       // BDBAR
    u8 current = 0;     // CIV
    u8 last = 0;        // LVI
    u8 prefetched = 0;  // PIV
    u16 status = 0;     // SR
    u8 control = 0;     // CR
    u16 left = 0;       // PICB: samples
    u32 address = 0;    // of the next sample
    u16 flags = 0;      // of the descriptor
  };
  static constexpr unsigned kChannels = 3, kIn = 0, kOut = 1;

  u64 read_mixer(u64 offset, unsigned size);
  void write_mixer(u64 offset, unsigned size, u64 value);
  void reset_mixer();
  u64 read_registers(u64 offset, unsigned size);
  void write_registers(u64 offset, unsigned size, u64 value);
  [[nodiscard]] u32 channel_register(unsigned index, u64 offset) const;
  void write_channel(unsigned index, u64 offset, u32 value);
  void write_control(unsigned index, u8 value);
  void write_last(Channel& channel, u8 value);

  [[nodiscard]] bool runs(const Channel& channel) const;
  void fetch(Channel& channel);
  void next_descriptor(Channel& channel);
  void catch_up();
  // Moves up to `frames` stereo samples of a channel; returns how many it moved.
  u64 move(unsigned index, u64 frames);
  void play(std::span<i16> stereo);
  [[nodiscard]] u32 rate_hz(unsigned index) const;
  void arm();
  void update_irq();

  // wires
  Clock& clock_;
  AudioSink& sink_;
  // parts
  IoWindow<Ac97> mixer_{*this, &Ac97::read_mixer, &Ac97::write_mixer};
  IoWindow<Ac97> bus_master_{*this, &Ac97::read_registers, &Ac97::write_registers};
  std::unique_ptr<Region> mixer_window_, bus_master_window_;
  std::unique_ptr<Timer> timer_;
  // state (saved)
  std::array<u16, 64> codec_{};
  std::array<Channel, kChannels> channels_{};
  u32 global_control_ = 0;
  u8 semaphore_ = 0;
  u64 moved_ns_ = 0;  // channels are as they were then
  // scratch (rebuilt)
  std::vector<i16> samples_;
};

}  // namespace emu
