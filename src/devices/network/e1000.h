// SPDX-License-Identifier: Apache-2.0
// Intel 82540EM Gigabit Ethernet controller ("e1000"), the card that every system has a driver for.
// Source: Intel 317453 (8254x software developer's manual).
// Threads: the machine lock is held by every caller.
// Not modelled: see e1000_core.h.
#pragma once

#include "devices/network/e1000_core.h"

namespace emu {

class E1000 final : public E1000Core {
 public:
  E1000(PciBus& bus, u8 devfn, std::string name, const MacAddress& mac, NetBackend& backend,
        Clock& clock);
};

}  // namespace emu
