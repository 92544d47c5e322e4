// SPDX-License-Identifier: Apache-2.0
// A virtio input device: a keyboard, a wheel mouse, or a tablet whose positions are absolute.
// Source: VIRTIO 1.2: 5.8; linux/input-event-codes.h for types and codes.
// Threads: the machine lock is held by every caller.
// Not modelled: LEDs are taken and forgotten.
#pragma once

#include <deque>
#include <vector>

#include "devices/ports/input.h"
#include "devices/virtio/virtio_device.h"

namespace emu {

class VirtioInput final : public VirtioDevice,
                          public KeyboardSink,
                          public MouseSink,
                          public TabletSink {
 public:
  enum class Kind : u8 { kKeyboard, kMouse, kTablet };
  VirtioInput(AddressSpace& memory, Kind kind);

  // Whether a driver listens; nothing is sent otherwise.
  [[nodiscard]] bool is_listening() const override { return is_running(); }
  void key(KeyCode code, bool pressed) override;
  void move(i32 dx, i32 dy, i32 wheel) override;
  void point(u16 x, u16 y, i32 wheel) override;
  void button(MouseButton button, bool pressed) override;

 private:
  static constexpr u32 kConfigBytes = 136;
  static constexpr u16 kQueueSize = 64;
  static constexpr std::size_t kMaxWaiting = 256;  // events; a driver that slow loses some

  struct Event {
    u16 type = 0;
    u16 code = 0;
    u32 value = 0;
  };

  [[nodiscard]] u64 model_features() const override { return 0; }
  void fill_config(std::span<u8> out) override;
  void config_written(u64 offset, std::span<const u8> bytes) override;
  void notified(unsigned queue) override;
  void reset_model() override;
  void transfer_model(StateIo& io) override;

  // The bits or numbers that the selected part of the configuration has.
  [[nodiscard]] std::vector<u8> selected() const;
  [[nodiscard]] std::vector<u8> event_bits() const;
  // One report: these events and their end, if a driver listens.
  void send(const std::vector<Event>& events);
  void deliver();

  // parts
  const Kind kind_;
  // state (saved)
  u8 select_ = 0, subselect_ = 0;
  // scratch (rebuilt)
  std::deque<Event> waiting_;
};

}  // namespace emu
