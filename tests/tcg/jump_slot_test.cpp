// SPDX-License-Identifier: Apache-2.0
// Which modes get a jump cache: a machine that went through firmware and a boot loader has some
// left for the system that follows, and for its programs.
#include <gtest/gtest.h>

#include <set>

#include "base/vm_time.h"
#include "frontend/translation_mode.h"
#include "memory/address_space.h"
#include "tcg/tcg_accelerator.h"
#include "tcg/tcg_engine.h"

namespace emu {
namespace {

class JumpSlots : public ::testing::Test {
 protected:
  // Slots that `count` modes of this kind get, one after the other.
  std::set<unsigned> ask(TranslationMode mode, unsigned count) {
    std::set<unsigned> slots;
    for (unsigned i = 0; i < count; ++i) {
      mode.stack_size = i & 3;
      mode.memory_set = i >> 2 & 3;
      mode.flat_segments = (1u << kCs) | (i >> 4 & 1);
      slots.insert(engine_->jump_slot(mode.packed()));
    }
    slots.erase(kJumpCacheSlots);
    return slots;
  }

  std::unique_ptr<Region> root_ = Region::container("root", u64{1} << 40);
  AddressSpace space_{*root_};
  FakeClock clock_;
  std::unique_ptr<Accelerator> accelerator_ = *create_tcg(space_, clock_, TcgOptions{});
  TcgEngine* const engine_ = dynamic_cast<TcgEngine*>(accelerator_.get());
};

TEST_F(JumpSlots, FirmwareLeavesSomeToTheSystemAndTheSystemSomeToItsPrograms) {
  TranslationMode firmware;
  firmware.protected_mode = 1;
  firmware.code_size = static_cast<u32>(CodeSize::k32);
  TranslationMode kernel = firmware;
  kernel.code_size = static_cast<u32>(CodeSize::k64);
  kernel.long_mode = kernel.osfxsr = 1;
  TranslationMode program = kernel;
  program.cpl = 3;
  const auto for_firmware = ask(firmware, 32);
  const auto for_kernel = ask(kernel, 32);
  const auto for_programs = ask(program, 32);
  EXPECT_GE(for_firmware.size(), 2u);
  EXPECT_GE(for_kernel.size(), 4u);
  EXPECT_GE(for_programs.size(), 4u);
  EXPECT_EQ(for_firmware.size() + for_kernel.size() + for_programs.size(), kJumpCacheSlots);
  EXPECT_EQ(ask(firmware, 32), for_firmware) << "a mode keeps its slot";
}

TEST_F(JumpSlots, RealModeHasNone) {
  EXPECT_TRUE(ask(TranslationMode{}, 4).empty());
}

}  // namespace
}  // namespace emu
