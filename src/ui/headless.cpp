// SPDX-License-Identifier: Apache-2.0
#include "ui/headless.h"

namespace emu {

void HeadlessInterface::run(MachineControl& control) {
  while (!control.wait_finished(std::chrono::seconds(60))) {
  }
}

}  // namespace emu
