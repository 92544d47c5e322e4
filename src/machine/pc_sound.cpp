// SPDX-License-Identifier: Apache-2.0
// The board's loudspeaker and its sound card.
#include "devices/chipset/system_ports.h"
#include "devices/sound/ac97.h"
#include "devices/sound/intel_hda.h"
#include "devices/sound/pc_speaker.h"
#include "machine/pc.h"

namespace emu {

void Pc::add_sound(const MachineConfig& config) {
  AudioSink& sink = host_.audio != nullptr ? *host_.audio : no_audio_;
  auto& speaker = own(std::make_unique<PcSpeaker>(*pit_, host_.clock, sink));
  port61_->set_tone_listener([&speaker](bool on) { speaker.set_on(on); });
  if (!config.ac97 && !config.hda) return;
  const u8 place = pci::devfn(pci_bus_->free_device(), 0);
  if (config.hda) {
    own(std::make_unique<IntelHda>(*pci_bus_, place, host_.clock, sink));
  } else {
    own(std::make_unique<Ac97>(*pci_bus_, place, host_.clock, sink));
  }
}

}  // namespace emu
