// SPDX-License-Identifier: Apache-2.0
// The board's USB controller and what is plugged into it.
#include "devices/usb/uhci.h"
#include "devices/usb/usb_hid.h"
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
        input_->prefer(mouse, mouse);
        controller.attach(i, &mouse);
        break;
      }
      case UsbKind::kKeyboard: {
        auto& keyboard = own(std::make_unique<UsbKeyboard>(name));
        input_->prefer(keyboard, keyboard);
        controller.attach(i, &keyboard);
        break;
      }
    }
  }
}

}  // namespace emu
