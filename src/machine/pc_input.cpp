// SPDX-License-Identifier: Apache-2.0
// The board's virtio input devices.
#include "devices/input/virtio_input.h"
#include "devices/virtio/virtio_pci.h"
#include "machine/input_choice.h"
#include "machine/pc.h"

namespace emu {

void Pc::add_virtio_inputs(const MachineConfig& config) {
  for (std::size_t i = 0; i < config.virtio_inputs.size(); ++i) {
    const VirtioInputKind kind = config.virtio_inputs[i];
    const auto model = kind == VirtioInputKind::kKeyboard ? VirtioInput::Kind::kKeyboard
                       : kind == VirtioInputKind::kMouse  ? VirtioInput::Kind::kMouse
                                                          : VirtioInput::Kind::kTablet;
    auto made = std::make_unique<VirtioInput>(map_->memory(), model);
    VirtioInput& input = *made;
    own(std::make_unique<VirtioPci>(*pci_bus_, pci::devfn(pci_bus_->free_device(), 0),
                                    fmt::format("virtio-input{}", i), std::move(made),
                                    VirtioPci::Interface::kModern));
    const auto is_ready = [&input] { return input.is_listening(); };
    if (kind == VirtioInputKind::kKeyboard) {
      input_->prefer(static_cast<KeyboardSink&>(input), is_ready);
    } else if (kind == VirtioInputKind::kMouse) {
      input_->prefer(static_cast<MouseSink&>(input), is_ready);
    } else if (tablet_ == nullptr) {
      tablet_ = &input;
    }
  }
}

}  // namespace emu
