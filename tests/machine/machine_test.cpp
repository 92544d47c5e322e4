// SPDX-License-Identifier: Apache-2.0
// Whole machines with guests of a few instructions: how they end, reset, pause, and are saved.
#include "machine/machine.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <thread>

#include "base/unique_fd.h"
#include "machine/pc_layout.h"
#include "machine/snapshot.h"
#include "rom_guest.h"

namespace emu {
namespace {

constexpr u8 kPmDevfn = 1 << 3 | 3;

// Waits until the guest has written `value` to `address`.
void wait_for_byte(Machine& machine, u64 address, u8 value) {
  for (int i = 0; i < 60'000; ++i) {
    {
      const MachineLock lock = machine.lock();
      if (machine.pc().map().memory().load(address, 1) == value) return;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  FAIL() << "the guest did not get there";
}

TEST(Machine, EndsWithTheDebugExitValue) {
  RomMachine m(RomGuest().exit(0x10).halt());
  EXPECT_EQ(m.run().status, 0x21);
}

TEST(Machine, SerialBytesComeOut) {
  RomMachine m(RomGuest().out8(0x3f8, 'o').out8(0x3f8, 'k').exit(0).halt());
  EXPECT_EQ(m.run().status, 1);
  EXPECT_EQ(m.serial.text, "ok");
}

TEST(Machine, PowersOffThroughAcpi) {
  RomGuest guest;
  guest.pci32(kPmDevfn, 0x40, kPmBase | 1).pci32(kPmDevfn, 0x80, 1);
  guest.out16(kPmBase + 4, 0x2000).halt();  // SLP_TYP 0, SLP_EN
  RomMachine m(guest);
  EXPECT_EQ(m.run().status, 0);
}

TEST(Machine, ThePowerButtonReachesTheGuest) {
  RomGuest guest;
  guest.pci32(kPmDevfn, 0x40, kPmBase | 1).pci32(kPmDevfn, 0x80, 1);
  guest.bytes({0xba, 0x00, 0x06, 0xed});  // mov dx, 600h; in ax, dx
  guest.bytes({0xf6, 0xc4, 0x01});        // test ah, 1 (PWRBTN_STS)
  guest.bytes({0x74, 0xf7});              // jz
  guest.exit(9);
  RomMachine m(guest.halt());
  m.machine->start();
  m.machine->press_power_button();
  EXPECT_EQ(m.wait().status, 19);
}

// CMOS byte 40h counts; it survives a reset. Ends at the third time.
RomGuest counts_starts(const std::vector<u8>& reset_code) {
  RomGuest g;
  g.bytes({0xb0, 0x40, 0xe6, 0x70});  // mov al, 40h; out 70h, al
  g.bytes({0xe4, 0x71, 0xfe, 0xc0});  // in al, 71h; inc al
  g.bytes({0xe6, 0x71, 0x3c, 0x03});  // out 71h, al; cmp al, 3
  g.bytes({0x75, 0x06});              // jne over the exit
  g.exit(7);
  for (const u8 b : reset_code) g.bytes({b});
  g.halt();
  return g;
}

TEST(Machine, ResetsThroughTheResetControlRegister) {
  RomMachine m(counts_starts({0xba, 0xf9, 0x0c, 0xb0, 0x06, 0xee}));
  EXPECT_EQ(m.run().status, 15);
}

TEST(Machine, ResetsThroughTheKeyboardController) {
  RomMachine m(counts_starts({0xb0, 0xfe, 0xe6, 0x64}));
  EXPECT_EQ(m.run().status, 15);
}

// xor ax, ax; mov ds, ax; lidt [600h] (zeros: no table); int3
constexpr std::initializer_list<u8> kTripleFault = {0x31, 0xc0, 0x8e, 0xd8, 0x0f,
                                                    0x01, 0x1e, 0x00, 0x06, 0xcc};

TEST(Machine, ResetsAfterATripleFault) {
  RomMachine m(counts_starts(kTripleFault));
  EXPECT_EQ(m.run().status, 15);
}

TEST(Machine, StopsAtATripleFaultIfAskedTo) {
  MachineConfig config;
  config.stop_on_triple_fault = true;
  RomMachine m(counts_starts(kTripleFault), config);
  const MachineEnd end = m.run();
  EXPECT_EQ(end.status, 1);
  EXPECT_NE(end.message.find("triple fault"), std::string::npos);
}

TEST(Machine, WithoutRebootAResetIsTheEnd) {
  MachineConfig config;
  config.on_reset = ResetPolicy::kExit;
  RomMachine m(counts_starts({0xba, 0xf9, 0x0c, 0xb0, 0x06, 0xee}), config);
  EXPECT_EQ(m.run().status, 0);
}

TEST(Machine, EndsWhenAskedWhateverTheGuestDoes) {
  RomMachine m(RomGuest().bytes({0xeb, 0xfe}));  // jmp $
  m.machine->start();
  m.machine->request_quit();
  EXPECT_EQ(m.wait().status, 0);
}

TEST(Machine, TwoMachinesLiveInOneProcess) {
  RomMachine a(RomGuest().out8(0x3f8, 'a').exit(1).halt());
  RomMachine b(RomGuest().out8(0x3f8, 'b').exit(2).halt());
  a.machine->start();
  b.machine->start();
  EXPECT_EQ(a.wait().status, 3);
  EXPECT_EQ(b.wait().status, 5);
  EXPECT_EQ(a.serial.text + b.serial.text, "ab");
}

TEST(Machine, TimeStandsStillWhilePaused) {
  RomMachine m(RomGuest().bytes({0xeb, 0xfe}));
  m.machine->start();
  m.machine->pause();
  m.machine->wait_paused();
  const u64 then = m.machine->clock().now_ns();
  EXPECT_EQ(m.machine->clock().now_ns(), then);
  m.machine->resume();
  m.machine->request_quit();
  m.wait();
}

// Writes 1 to 500h, waits there for 2 and exits with what is at 501h.
RomGuest waits_for_two() {
  RomGuest g;
  g.bytes({0x31, 0xc0, 0x8e, 0xd8});              // xor ax, ax; mov ds, ax
  g.bytes({0xc6, 0x06, 0x01, 0x05, 0x2a});        // mov byte [501h], 42
  g.bytes({0xc6, 0x06, 0x00, 0x05, 0x01});        // mov byte [500h], 1
  g.bytes({0x80, 0x3e, 0x00, 0x05, 0x02});        // cmp byte [500h], 2
  g.bytes({0x75, 0xf9});                          // jne
  g.bytes({0xa0, 0x01, 0x05, 0xe6, 0xf4, 0xf4});  // mov al, [501h]; out f4h, al; hlt
  return g;
}

TEST(Snapshot, ASavedMachineGoesOnInAnother) {
  const UniqueFd file(::memfd_create("snapshot", MFD_CLOEXEC));
  RomMachine first(waits_for_two());
  first.machine->start();
  wait_for_byte(*first.machine, 0x500, 1);
  first.machine->pause();
  first.machine->wait_paused();
  const auto saved = save_machine(*first.machine, file.get());
  ASSERT_TRUE(saved) << saved.error().message;
  first.machine->request_quit();
  first.wait();

  ::lseek(file.get(), 0, SEEK_SET);
  RomMachine second(waits_for_two());
  const auto loaded = load_machine(*second.machine, file.get());
  ASSERT_TRUE(loaded) << loaded.error().message;
  {
    const MachineLock lock = second.machine->lock();
    EXPECT_EQ(second.machine->pc().map().memory().load(0x501, 1), 42u);
    second.machine->pc().map().memory().store(0x500, 1, 2);
  }
  EXPECT_EQ(second.run().status, 42 * 2 + 1);
}

TEST(Snapshot, SavingAgainGivesTheSameState) {
  const UniqueFd file(::memfd_create("snapshot", MFD_CLOEXEC));
  RomMachine first(waits_for_two());
  ASSERT_TRUE(save_machine(*first.machine, file.get()));
  StateIo before = StateIo::saver();
  ASSERT_TRUE(first.machine->transfer(before));
  ::lseek(file.get(), 0, SEEK_SET);
  RomMachine second(waits_for_two());
  ASSERT_TRUE(load_machine(*second.machine, file.get()));
  StateIo after = StateIo::saver();
  ASSERT_TRUE(second.machine->transfer(after));
  EXPECT_EQ(before.bytes(), after.bytes());
}

TEST(Snapshot, DamagedOnesAreRefusedAndTheMachineStillStarts) {
  const UniqueFd file(::memfd_create("snapshot", MFD_CLOEXEC));
  RomMachine source(RomGuest().exit(3).halt());
  ASSERT_TRUE(save_machine(*source.machine, file.get()));
  const off_t size = ::lseek(file.get(), 0, SEEK_END);
  RomMachine m(RomGuest().exit(3).halt());
  for (const off_t length : {off_t{0}, off_t{5}, off_t{30}, size / 2, size - 1}) {
    ASSERT_EQ(::ftruncate(file.get(), length), 0);
    ::lseek(file.get(), 0, SEEK_SET);
    EXPECT_FALSE(load_machine(*m.machine, file.get())) << length;
    ASSERT_EQ(::ftruncate(file.get(), size), 0);
  }
  EXPECT_EQ(m.run().status, 7);
}

TEST(Machine, SaysWhatIsWrongWithTheConfiguration) {
  NullChar serial;
  const auto message = [&](MachineConfig config) {
    config.engine = config.engine == EngineChoice::kAuto ? EngineChoice::kTcg : config.engine;
    auto machine = Machine::create(config, {serial});
    return machine ? std::string("no error") : machine.error().message;
  };
  MachineConfig config;
  config.firmware = "/nonexistent/bios";
  EXPECT_NE(message(config).find("/nonexistent/bios"), std::string::npos);
  config = {};
  config.memory_bytes = kMaxMemoryBytes;
  EXPECT_NE(message(config).find("this host has"), std::string::npos);
  config = {};
  config.linux_boot.kernel = "/dev/null";
  EXPECT_NE(message(config).find("not a Linux kernel"), std::string::npos);
  config = {};
  config.drives.push_back({});
  config.drives.back().file = "/nonexistent/disk.img";
  EXPECT_NE(message(config).find("/nonexistent/disk.img"), std::string::npos);
}

}  // namespace
}  // namespace emu
