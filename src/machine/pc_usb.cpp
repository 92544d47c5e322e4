// SPDX-License-Identifier: Apache-2.0
// The board's USB controller, and what is plugged into it and into its hubs.
// Source: SeaBIOS src/boot.c (bootprio_find_usb) for the paths of its boot order.
#include <algorithm>

#include "devices/usb/uhci.h"
#include "devices/usb/usb_hid.h"
#include "devices/usb/usb_hub.h"
#include "devices/usb/usb_storage.h"
#include "devices/usb/xhci.h"
#include "machine/input_choice.h"
#include "machine/pc.h"

namespace emu {
namespace {

constexpr u8 kUhciPlace = pci::devfn(1, 2);
constexpr unsigned kFirstCardSlot = 3;

}  // namespace

// The free ports of a controller and its hubs.
class UsbPorts {
 public:
  u8 place = kUhciPlace;                      // the controller's
  usb::Speed root_speed = usb::Speed::kFull;  // of its own ports

  using Attach = std::function<void(unsigned port, UsbDevice& device)>;
  // `path` is of the hub: "1" or "1.3"; empty: the controller.
  void add(const std::string& path, unsigned count, const Attach& attach) {
    for (unsigned port = 1; port <= count; ++port) {
      const std::string own =
          path.empty() ? std::to_string(port) : fmt::format("{}.{}", path, port);
      ports_.push_back({own, port, attach});
    }
  }
  // Takes the port that is `wanted` (or the next one) away from the free ones.
  struct Port {
    std::string path;
    unsigned number;
    Attach attach;
    [[nodiscard]] bool is_root() const { return path.find('.') == std::string::npos; }
  };
  [[nodiscard]] Result<Port> take(const std::string& wanted) {
    const auto port = std::ranges::find_if(
        ports_, [&](const Port& p) { return wanted.empty() || p.path == wanted; });
    if (port == ports_.end() && wanted.empty()) {
      return fail(
          "all USB ports are taken; a hub (--device usb-hub) before the last device has "
          "eight more, and --device qemu-xhci has four instead of two");
    }
    if (port == ports_.end())
      return fail("USB port {} is taken or not there; hubs come before what is behind them",
                  wanted);
    Port taken = *port;
    ports_.erase(port);
    return taken;
  }

 private:
  std::vector<Port> ports_;
};

namespace {

// What SeaBIOS calls a disk there.
std::string boot_path(u8 place, const UsbPorts::Port& port) {
  std::string path = fmt::format("/pci@i0cf8/usb@{:x}", place / 8);
  if (place % 8 != 0) path += fmt::format(",{}", place % 8);
  std::size_t from = 0;
  for (std::size_t dot; (dot = port.path.find('.', from)) != std::string::npos; from = dot + 1)
    path += "/hub@" + port.path.substr(from, dot - from);
  return path + fmt::format("/storage@{}/channel@0/disk@0,0", port.number);
}

}  // namespace

std::unique_ptr<UsbDevice> Pc::make_usb_device(UsbKind kind, const std::string& name) {
  switch (kind) {
    case UsbKind::kTablet: {
      auto tablet = std::make_unique<UsbTablet>(name);
      if (tablet_ == nullptr) tablet_ = tablet.get();
      return tablet;
    }
    case UsbKind::kMouse: {
      auto mouse = std::make_unique<UsbMouse>(name);
      input_->prefer(static_cast<MouseSink&>(*mouse),
                     [m = mouse.get()] { return m->is_configured(); });
      return mouse;
    }
    case UsbKind::kKeyboard: {
      auto keyboard = std::make_unique<UsbKeyboard>(name);
      input_->prefer(static_cast<KeyboardSink&>(*keyboard),
                     [k = keyboard.get()] { return k->is_configured(); });
      return keyboard;
    }
    case UsbKind::kHub:
      break;
  }
  return std::make_unique<UsbHub>(name);
}

// Makes the controller; its ports are then free.
void Pc::add_usb_controller(const MachineConfig& config, UsbPorts& ports) {
  if (config.usb_controller == UsbController::kUhci) {
    auto& controller = own(std::make_unique<Uhci>(*pci_bus_, kUhciPlace, host_.clock));
    ports.add({}, Uhci::kPorts,
              [&controller](unsigned port, UsbDevice& d) { controller.attach(port - 1, &d); });
    return;
  }
  const auto model =
      config.usb_controller == UsbController::kXhci ? Xhci::Model::kQemu : Xhci::Model::kNec;
  ports.place = pci::devfn(pci_bus_->free_device(kFirstCardSlot), 0);
  ports.root_speed = usb::Speed::kHigh;
  auto& controller = own(std::make_unique<Xhci>(*pci_bus_, ports.place, host_.clock, model));
  ports.add({}, Xhci::kPorts,
            [&controller](unsigned port, UsbDevice& d) { controller.attach(port - 1, &d); });
}

Result<void> Pc::add_usb_disk(const PcDiskCard& card, std::size_t number, UsbPorts& ports) {
  auto port = ports.take(card.config.usb_port);
  if (!port) return port.error();
  const std::string serial =
      card.config.serial.empty() ? fmt::format("EMU-USB-{:04}", number) : card.config.serial;
  UsbDevice& disk =
      own(std::make_unique<UsbStorage>(fmt::format("usb-disk{}", number), *card.backend, serial,
                                       port->is_root() ? ports.root_speed : usb::Speed::kFull));
  port->attach(port->number, disk);
  boot_devices_.push_back({'c', boot_path(ports.place, *port), card.config.boot_index});
  return {};
}

Result<void> Pc::add_usb(const MachineConfig& config) {
  const auto is_usb = [](const PcDiskCard& card) {
    return card.config.interface == DriveInterface::kUsb;
  };
  if (!config.usb && config.usb_controller == UsbController::kUhci && config.usb_devices.empty() &&
      std::ranges::none_of(host_.disk_cards, is_usb))
    return {};
  UsbPorts ports;
  add_usb_controller(config, ports);
  for (std::size_t i = 0; i < config.usb_devices.size(); ++i) {
    const UsbConfig& wanted = config.usb_devices[i];
    auto port = ports.take(wanted.port);
    if (!port) return port.error();
    UsbDevice& device = own(make_usb_device(wanted.kind, fmt::format("usb{}", i + 1)));
    port->attach(port->number, device);
    if (wanted.kind != UsbKind::kHub) continue;
    auto& hub = static_cast<UsbHub&>(device);
    ports.add(port->path, UsbHub::kPorts,
              [&hub](unsigned number, UsbDevice& d) { hub.attach(number, d); });
  }
  std::size_t number = 0;
  for (const PcDiskCard& card : host_.disk_cards) {
    if (is_usb(card)) EMU_TRY(add_usb_disk(card, ++number, ports));
  }
  return {};
}

}  // namespace emu
