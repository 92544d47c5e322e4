// SPDX-License-Identifier: Apache-2.0
// The board's USB controller and what is plugged into it, and virtio input devices.
#include "devices/input/virtio_input.h"
#include "devices/usb/uhci.h"
#include "devices/usb/usb_hid.h"
#include "devices/virtio/virtio_pci.h"
#include "machine/input_choice.h"
#include "machine/pc.h"

namespace emu {

void Pc::add_usb(const MachineConfig& config) {
  if (!config.usb && config.usb_devices.empty()) return;
  auto& controller = own(std::make_unique<Uhci>(*pci_bus_, pci::devfn(1, 2), host_.clock));
  for (unsigned i = 0; i < config.usb_devices.size() && i < Uhci::kPorts; ++i) {
    const std::string name = fmt::format("usb{}", i + 1);
    switch (config.usb_devices[i]) {
      case UsbKind::kTablet: {
        auto& tablet = own(std::make_unique<UsbTablet>(name));
        tablet_ = &tablet;
        controller.attach(i, &tablet);
        break;
      }
      case UsbKind::kMouse: {
        auto& mouse = own(std::make_unique<UsbMouse>(name));
        input_->prefer(static_cast<MouseSink&>(mouse), [&mouse] { return mouse.is_configured(); });
        controller.attach(i, &mouse);
        break;
      }
      case UsbKind::kKeyboard: {
        auto& keyboard = own(std::make_unique<UsbKeyboard>(name));
        input_->prefer(static_cast<KeyboardSink&>(keyboard),
                       [&keyboard] { return keyboard.is_configured(); });
        controller.attach(i, &keyboard);
        break;
      }
    }
  }
}

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
