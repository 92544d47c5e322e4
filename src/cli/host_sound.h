// SPDX-License-Identifier: Apache-2.0
// Where the machine's sound goes, as the configuration wants it.
#pragma once

#include <memory>

#include "machine/machine_config.h"
#include "ui/audio/mixer.h"

namespace emu::cli {

class HostSound {
 public:
  // On the main thread. Errors: a file that cannot be written; no sound device, if one was asked
  // for: "auto" is silent then.
  [[nodiscard]] static Result<std::unique_ptr<HostSound>> open(const MachineConfig& config);
  explicit HostSound(std::unique_ptr<AudioOutput> output);
  ~HostSound();  // what is still mixed is played; the machine has gone
  HostSound(const HostSound&) = delete;
  HostSound& operator=(const HostSound&) = delete;

  // Null: nobody listens.
  [[nodiscard]] AudioSink* sink() { return mixer_.get(); }

 private:
  std::unique_ptr<AudioOutput> output_;
  std::unique_ptr<AudioMixer> mixer_;
};

}  // namespace emu::cli
