// SPDX-License-Identifier: Apache-2.0
// A machine with two processors: the second is started through the local APICs, and machine resets
// put it back to waiting.
#include <gtest/gtest.h>

#include "rom_guest.h"

namespace emu {
namespace {

// At 8000h in RAM: inc byte [cs:100h]; cli; hlt; jmp to the hlt.
void put_second_processors_code(RomGuest& g) {
  g.bytes({0x66, 0xc7, 0x06, 0x00, 0x80, 0x2e, 0xfe, 0x06, 0x00});
  g.bytes({0x66, 0xc7, 0x06, 0x04, 0x80, 0x01, 0xfa, 0xf4, 0xeb});
  g.bytes({0xc6, 0x06, 0x08, 0x80, 0xfd});
}

// x2APIC mode, then INIT and SIPI 08h to APIC 1 by MSR 830h, and waits for the byte at 8100h.
void start_second_processor(RomGuest& g) {
  g.bytes({0x66, 0xb9, 0x1b, 0x00, 0x00, 0x00, 0x0f, 0x32});  // mov ecx, 1bh; rdmsr
  g.bytes({0x80, 0xcc, 0x0c, 0x0f, 0x30});                    // or ah, 0ch; wrmsr
  g.bytes({0x66, 0xb9, 0x30, 0x08, 0x00, 0x00});              // mov ecx, 830h
  g.bytes({0x66, 0xba, 0x01, 0x00, 0x00, 0x00});              // mov edx, 1
  g.bytes({0x66, 0xb8, 0x00, 0x45, 0x00, 0x00, 0x0f, 0x30});  // mov eax, 4500h; wrmsr
  g.bytes({0x66, 0xb8, 0x08, 0x46, 0x00, 0x00, 0x0f, 0x30});  // mov eax, 4608h; wrmsr
  g.bytes({0x80, 0x3e, 0x00, 0x81, 0x01, 0x75, 0xf9});        // cmp byte [8100h], 1; jne
}

TEST(TwoProcessors, TheSecondStartsAfterEveryReset) {
  RomGuest g;
  g.bytes({0xb0, 0x40, 0xe6, 0x70, 0xe4, 0x71, 0xfe, 0xc0});  // CMOS byte 40h counts the starts
  g.bytes({0xe6, 0x71, 0x88, 0xc3});                          // out 71h, al; mov bl, al
  g.bytes({0x31, 0xc0, 0x8e, 0xd8});                          // xor ax, ax; mov ds, ax
  g.bytes({0xc6, 0x06, 0x00, 0x81, 0x00});                    // mov byte [8100h], 0
  put_second_processors_code(g);
  start_second_processor(g);
  g.bytes({0x80, 0xfb, 0x03, 0x75, 0x06});  // cmp bl, 3; jne over the exit
  g.exit(7);
  g.bytes({0xba, 0xf9, 0x0c, 0xb0, 0x06, 0xee});  // reset
  g.halt();
  MachineConfig config;
  config.cpus = 2;
  RomMachine m(g, config);
  EXPECT_EQ(m.run().status, 15);
}

TEST(TwoProcessors, BothStopForAPauseAndGoOn) {
  RomGuest g;
  g.bytes({0x31, 0xc0, 0x8e, 0xd8, 0xc6, 0x06, 0x00, 0x81, 0x00});
  put_second_processors_code(g);
  start_second_processor(g);
  const std::size_t loop = g.here();
  g.bytes({0x80, 0x3e, 0x00, 0x05, 0x02});  // cmp byte [500h], 2
  g.bytes({0x75, static_cast<u8>(loop - g.here() - 2)});
  g.exit(9).halt();
  MachineConfig config;
  config.cpus = 2;
  RomMachine m(g, config);
  m.machine->start();
  for (int i = 0; i < 20; ++i) {
    m.machine->pause();
    m.machine->wait_paused();
    m.machine->resume();
  }
  {
    const MachineLock lock = m.machine->lock();
    m.machine->pc().map().memory().store(0x500, 1, 2);
  }
  EXPECT_EQ(m.wait().status, 19);
}

}  // namespace
}  // namespace emu
