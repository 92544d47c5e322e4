// SPDX-License-Identifier: Apache-2.0
// The board's loudspeaker and its sound card.
#include "devices/chipset/system_ports.h"
#include "devices/sound/ac97.h"
#include "devices/sound/intel_hda.h"
#include "devices/sound/opl3.h"
#include "devices/sound/pc_speaker.h"
#include "devices/sound/sb16.h"
#include "machine/pc.h"

namespace emu {
namespace {

constexpr AccessSizes kBytes{1, 1, false};

}  // namespace

void Pc::add_sound(const MachineConfig& config) {
  AudioSink& sink = host_.audio != nullptr ? *host_.audio : no_audio_;
  auto& speaker = own(std::make_unique<PcSpeaker>(*pit_, host_.clock, sink));
  port61_->set_tone_listener([&speaker](bool on) { speaker.set_on(on); });
  if (config.sb16) add_sound_blaster(sink);
  if (!config.ac97 && !config.hda) return;
  const u8 place = pci::devfn(pci_bus_->free_device(), 0);
  if (config.hda) {
    own(std::make_unique<IntelHda>(*pci_bus_, place, host_.clock, sink));
  } else {
    own(std::make_unique<Ac97>(*pci_bus_, place, host_.clock, sink));
  }
}

// At the places that games and drivers look first: 220h, and 388h for AdLib.
void Pc::add_sound_blaster(AudioSink& sink) {
  auto& opl = own(std::make_unique<Opl3>(host_.clock, sink));
  map_->add_port("opl3", 0x388, Opl3::kPortBytes, opl, kBytes);
  auto& card = own(
      std::make_unique<Sb16>(host_.clock, Sb16::Wires{{irq(Sb16::kIrqs[0]), irq(Sb16::kIrqs[1]),
                                                       irq(Sb16::kIrqs[2]), irq(Sb16::kIrqs[3])},
                                                      *dma_,
                                                      sink,
                                                      opl}));
  map_->add_port("sb16", 0x220, Sb16::kPortBytes, card, kBytes);
}

}  // namespace emu
