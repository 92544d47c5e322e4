// SPDX-License-Identifier: Apache-2.0
// UHCI as a driver uses it: ports, schedules in memory, interrupts. Register and bit names as in
// the UHCI design guide.
#include "devices/usb/uhci.h"

#include <gtest/gtest.h>

#include <random>

#include "devices/transfer_test.h"
#include "devices/usb/uhci_rig.h"
#include "devices/usb/usb_requests.h"

namespace emu {
namespace {

constexpr u64 kMs = 1'000'000;
constexpr u64 kUsbCmd = 0, kUsbSts = 2, kUsbIntr = 4, kFrNum = 6, kFlBase = 8, kPortSc1 = 0x10,
              kPortSc2 = 0x12;
constexpr u32 kSetup = 0x2d, kIn = 0x69, kOut = 0xe1;
constexpr u32 kActive = 1 << 23, kIoc = 1 << 24, kThreeErrors = 3 << 27, kSpd = 1 << 29;
constexpr u32 kQh = 0x3000, kTds = 0x4000, kBuffers = 0x5000;

class UhciTest : public ::testing::Test {
 protected:
  UhciTest() {
    // Every frame starts at one queue head, which is empty.
    for (u32 i = 0; i < 1024; ++i) rig_.memory(0x1000 + 4 * i, kQh | 2);
    rig_.memory(kQh, 1);
    rig_.memory(kQh + 4, 1);
    rig_.out(kFlBase, 0x1000);
    rig_.out(kFlBase + 2, 0);
  }
  void enable_port() {
    rig_.out(kPortSc1, 1 << 9);
    rig_.out(kPortSc1, 1 << 2);
    rig_.out(kPortSc1, 1 << 2 | 1 << 1);
  }
  void run() { rig_.out(kUsbCmd, 1); }
  static u32 td_at(unsigned index) { return kTds + 32 * index; }
  // The queue's transfers: descriptor `index`, linked depth first to the next.
  void td(unsigned index, u32 pid, u32 address, u32 endpoint, u32 length, u32 bits = 0,
          bool last = false) {
    rig_.memory(td_at(index), last ? 1 : td_at(index + 1) | 4);
    rig_.memory(td_at(index) + 4, kActive | kThreeErrors | bits);
    rig_.memory(td_at(index) + 8,
                pid | address << 8 | endpoint << 15 | ((length - 1) & 0x7ff) << 21);
    rig_.memory(td_at(index) + 12, kBuffers + 256 * index);
  }
  void start_queue() { rig_.memory(kQh + 4, kTds); }
  u64 control(unsigned index) { return rig_.memory(td_at(index) + 4); }

  FakeClock clock_;
  UhciRig rig_{clock_};
};

TEST_F(UhciTest, PortsShowWhatIsPluggedIn) {
  EXPECT_EQ(rig_.in(kPortSc1), 0x93u) << "connected, changed, D+ high";
  EXPECT_EQ(rig_.in(kPortSc2), 0x80u) << "empty";
  rig_.out(kPortSc1, 1 << 1);
  EXPECT_EQ(rig_.in(kPortSc1), 0x91u);
  rig_.out(kPortSc1, 1 << 9 | 1 << 2);
  EXPECT_EQ(rig_.in(kPortSc1) & (1 << 2), 0u) << "not enabled during reset";
  rig_.out(kPortSc1, 1 << 2);
  EXPECT_EQ(rig_.in(kPortSc1) & (1 << 2), 4u);
  rig_.out(kPortSc2, 1 << 2);
  EXPECT_EQ(rig_.in(kPortSc2) & (1 << 2), 0u) << "nothing there to enable";
}

TEST_F(UhciTest, ReadsADescriptor) {
  enable_port();
  rig_.memory(kBuffers, 0x01000680);  // GET_DESCRIPTOR device
  rig_.memory(kBuffers + 4, 0x00120000);
  td(0, kSetup, 0, 0, 8);
  td(1, kIn, 0, 0, 18, kSpd);
  td(2, kOut, 0, 0, 0, kIoc, true);
  start_queue();
  rig_.out(kUsbIntr, 1 << 2);
  EXPECT_EQ(rig_.in(kUsbSts), 0x20u) << "halted";
  run();
  EXPECT_EQ(rig_.in(kUsbSts), 0u);
  clock_.advance(2 * kMs);
  EXPECT_EQ(control(0) & (kActive | 0x7ff), 7u);
  EXPECT_EQ(control(1) & (kActive | 0x7ff), 17u);
  EXPECT_EQ(control(2) & (kActive | 0x7ff), 0x7ffu) << "nothing moved";
  EXPECT_EQ(rig_.memory(kBuffers + 256), 0x01100112u) << "18 bytes, device, USB 1.1";
  EXPECT_EQ(rig_.memory(kQh + 4), 1u) << "the queue is empty again";
  EXPECT_EQ(rig_.in(kUsbSts), 1u);
  EXPECT_TRUE(rig_.pci.pirqs.level(PciBus::pirq_of(UhciRig::kDevfn, 4)));
  rig_.out(kUsbSts, 1);
  EXPECT_FALSE(rig_.pci.pirqs.level(PciBus::pirq_of(UhciRig::kDevfn, 4)));
}

TEST_F(UhciTest, ANakLeavesTheTransferForTheNextFrame) {
  configure(rig_.tablet, 5);
  rig_.out(kPortSc1, 1 << 2);
  td(0, kIn, 5, 1, 8, kIoc, true);
  start_queue();
  run();
  clock_.advance(3 * kMs);
  EXPECT_EQ(control(0) & (kActive | 1 << 19), kActive | 1 << 19);
  rig_.tablet.point(0x7fff, 0, 0);
  clock_.advance(2 * kMs);
  EXPECT_EQ(control(0) & (kActive | 0x7ff), 5u) << "six bytes";
  EXPECT_EQ(rig_.memory(kBuffers), 0x007fff00u);
}

TEST_F(UhciTest, AShortPacketStopsTheQueueIfAskedTo) {
  enable_port();
  rig_.memory(kBuffers, 0x01000680);
  rig_.memory(kBuffers + 4, 0x00400000);
  td(0, kSetup, 0, 0, 8);
  td(1, kIn, 0, 0, 64, kSpd);
  td(2, kIn, 0, 0, 64, 0, true);
  start_queue();
  rig_.out(kUsbIntr, 1 << 3);
  run();
  clock_.advance(kMs);
  EXPECT_EQ(control(1) & 0x7ff, 17u);
  EXPECT_EQ(control(2) & kActive, kActive) << "not reached";
  EXPECT_EQ(rig_.memory(kQh + 4) & ~15u, td_at(1)) << "the queue waits where it was";
  EXPECT_TRUE(rig_.pci.pirqs.level(PciBus::pirq_of(UhciRig::kDevfn, 4)));
}

TEST_F(UhciTest, NobodyThereIsThreeErrorsAndAStall) {
  enable_port();
  td(0, kIn, 77, 1, 8, 0, true);
  start_queue();
  run();
  clock_.advance(2 * kMs);
  EXPECT_EQ(control(0) & kActive, kActive);
  clock_.advance(2 * kMs);
  EXPECT_EQ(control(0) & (kActive | 1 << 22 | 1 << 18), 1u << 22 | 1 << 18);
  EXPECT_EQ(rig_.in(kUsbSts), 2u) << "USB error interrupt";
}

TEST_F(UhciTest, AnUnknownPidStopsTheController) {
  td(0, 0x42, 0, 0, 8, 0, true);
  start_queue();
  run();
  clock_.advance(2 * kMs);
  EXPECT_EQ(rig_.in(kUsbSts), 0x30u) << "process error, halted";
  EXPECT_EQ(rig_.in(kUsbCmd)&1, 0u);
}

TEST_F(UhciTest, ARingOfQueuesEndsWithTheFrame) {
  rig_.memory(kQh, kQh | 2);
  run();
  clock_.advance(5 * kMs);
  EXPECT_EQ(rig_.in(kFrNum), 5u);
}

TEST_F(UhciTest, AnIdleBusIsLookedAtSeldom) {
  run();
  clock_.advance(200 * kMs);
  EXPECT_EQ(clock_.next_deadline_ns() % (8 * kMs), clock_.next_deadline_ns() / kMs % 8 * kMs);
  const u64 deadline = clock_.next_deadline_ns();
  EXPECT_GT(deadline, clock_.now_ns());
  clock_.advance(deadline - clock_.now_ns());
  EXPECT_EQ(clock_.next_deadline_ns(), deadline + 8 * kMs);
  rig_.tablet.point(1, 1, 0);
  EXPECT_LE(clock_.next_deadline_ns(), deadline + kMs) << "input wakes it";
  rig_.out(kUsbCmd, 0);
  EXPECT_EQ(clock_.next_deadline_ns(), kNever) << "stopped";
}

struct TransferRig final : DeviceRig {
  UhciRig rig{clock};
  TransferRig() {
    std::mt19937 random(9);
    for (u64 at = 0; at < UhciRig::kRamBytes; at += 4) {
      const u64 td_control = random() % 2 != 0 ? kActive : 0;
      rig.memory(at, at % 16 == 4 ? td_control : random() % 0xffff);
    }
  }
  Device& device() override { return rig.uhci; }
  std::vector<PciFunction*> functions() override { return {&rig.uhci}; }
  std::vector<RigWindow> windows() override {
    return {{&rig.uhci.registers(), 32, AccessSizes{2, 2, false}}};
  }
  void poke(u64 random) override {
    rig.power_up();
    rig.tablet.point(static_cast<u16>(random), 1, 0);
    rig.out(kUsbCmd, 1);
  }
};
INSTANTIATE_TEST_SUITE_P(Uhci, TransferTest,
                         testing::Values(device_under_test<TransferRig>("uhci")),
                         device_under_test_name);

}  // namespace
}  // namespace emu
