// SPDX-License-Identifier: Apache-2.0
// No user interface: the machine runs until it ends by itself or somebody asks it to.
#pragma once

#include "ui/user_interface.h"

namespace emu {

class HeadlessInterface final : public UserInterface {
 public:
  void run(MachineControl& control) override;
};

}  // namespace emu
