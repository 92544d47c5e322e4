// SPDX-License-Identifier: Apache-2.0
// xHCI as a driver uses it: ports, command, transfer and event rings. Register and field names as
// in the xHCI specification.
#include <gtest/gtest.h>

#include <random>

#include "devices/transfer_test.h"
#include "devices/usb/xhci_rig.h"

namespace emu {
namespace {

constexpr u64 kUsbCmd = 0x40, kUsbSts = 0x44, kCrCr = 0x58, kDcbaap = 0x70, kConfig = 0x78,
              kPortSc1 = 0x440, kPortSc2 = 0x450, kIman = 0x1020, kErstSz = 0x1028,
              kErstBa = 0x1030, kErdp = 0x1038, kDoorbells = 0x2000;
constexpr u32 kCommands = 0x1000, kEvents = 0x2000, kErst = 0x3000, kContexts = 0x3100,
              kOutput = 0x4000, kInput = 0x5000, kControlRing = 0x6000, kPointerRing = 0x7000,
              kBuffer = 0x8000;
constexpr u32 kIoc = 1 << 5, kIdt = 1 << 6, kIn = 1 << 16, kIsp = 1 << 2;
constexpr u32 kSuccess = 1, kStall = 6, kShortPacket = 13, kContextState = 19;

u32 type(u32 number) {
  return number << 10;
}

class XhciTest : public ::testing::Test {
 protected:
  XhciTest() {
    rig_.memory(kErst, kEvents);
    rig_.memory(kErst + 8, 64);
    rig_.out(kConfig, 8);
    rig_.out(kDcbaap, kContexts);
    rig_.out(kCrCr, kCommands | 1);
    rig_.out(kErstSz, 1);
    rig_.out(kErdp, kEvents);
    rig_.out(kErstBa, kErst);
    rig_.out(kErstBa + 4, 0);
    rig_.out(kIman, 2);
    rig_.out(kUsbCmd, 1 | 1 << 2);
  }
  struct Trb {
    u32 low, status, control;
  };
  void put(u32 at, const Trb& trb, u32 high = 0) {
    rig_.memory(at, trb.low);
    rig_.memory(at + 4, high);
    rig_.memory(at + 8, trb.status);
    rig_.memory(at + 12, trb.control | 1);
  }
  // The next event, which must be there.
  Trb event() {
    const u32 at = kEvents + 16 * events_++;
    const Trb got{rig_.memory(at), rig_.memory(at + 8), rig_.memory(at + 12)};
    EXPECT_EQ(got.control & 1, 1u) << "no event";
    rig_.out(kErdp, at + 16 + 8);
    return got;
  }
  bool has_event() { return (rig_.memory(kEvents + 16 * events_ + 12) & 1) != 0; }
  // Completion code of a command; its event's slot in slot_.
  u32 command(u32 number, u32 low = 0, u32 bits = 0) {
    put(command_, {low, 0, type(number) | bits});
    command_ += 16;
    rig_.out(kDoorbells, 0);
    const Trb done = event();
    EXPECT_EQ(done.control >> 10 & 63, 33u);
    EXPECT_EQ(done.low, command_ - 16);
    slot_ = done.control >> 24;
    return done.status >> 24;
  }
  void drain() {
    while (has_event()) event();
  }
  void reset_port(u64 port) {
    rig_.out(port, 1 << 9 | 1 << 4);
    drain();
  }
  // Enable Slot and Address Device for the tablet in port 1.
  u32 address() {
    reset_port(kPortSc1);
    EXPECT_EQ(command(9), kSuccess);
    rig_.memory(kContexts + 8 * slot_, kOutput);
    rig_.memory(kInput + 4, 3);
    rig_.memory(kInput + 0x20, 1 << 27 | 1 << 20);
    rig_.memory(kInput + 0x24, 1 << 16);
    rig_.memory(kInput + 0x44, 64 << 16 | 4 << 3 | 3 << 1);
    rig_.memory(kInput + 0x48, kControlRing | 1);
    return command(11, kInput, slot_ << 24);
  }
  // A control transfer that reads `length` bytes; the code of its last event.
  u32 read_control(u32 request, u32 index_and_length, u32 length) {
    put(control_, {request, 8, type(2) | kIdt | 3 << 16}, index_and_length);
    put(control_ + 16, {kBuffer, length, type(3) | kIn | kIsp});
    put(control_ + 32, {0, 0, type(4) | kIoc});
    control_ += 48;
    rig_.out(kDoorbells + 4 * slot_, 1);
    u32 code = 0;
    while (has_event()) code = event().status >> 24;
    return code;
  }
  // Endpoint 1 IN, an interrupt pipe.
  void configure_pointer() {
    ASSERT_EQ(address(), kSuccess);
    rig_.memory(kInput, 0);
    rig_.memory(kInput + 4, 1 | 1 << 3);
    rig_.memory(kInput + 0x20, 3 << 27 | 1 << 20);
    rig_.memory(kInput + 0x84, 8 << 16 | 7 << 3 | 3 << 1);
    rig_.memory(kInput + 0x88, kPointerRing | 1);
    ASSERT_EQ(command(12, kInput, slot_ << 24), kSuccess);
    put(control_, {0x00010900, 8, type(2) | kIdt});  // SET_CONFIGURATION 1
    put(control_ + 16, {0, 0, type(4) | kIoc | kIn});
    control_ += 32;
    rig_.out(kDoorbells + 4 * slot_, 1);
    ASSERT_EQ(event().status >> 24, kSuccess);
  }

  FakeClock clock_;
  XhciRig rig_{clock_};
  u32 command_ = kCommands, control_ = kControlRing, events_ = 0, slot_ = 0;
};

TEST_F(XhciTest, CapabilitiesNameFourPortsOfEachKind) {
  EXPECT_EQ(rig_.in(0), 0x01000040u);
  EXPECT_EQ(rig_.in(4) >> 24, 8u);
  EXPECT_EQ(rig_.in(0x20), 0x02000402u) << "USB 2.0";
  EXPECT_EQ(rig_.in(0x28), 0x0401u) << "ports 1 to 4";
  EXPECT_EQ(rig_.in(0x30), 0x03000002u) << "USB 3.0, the last";
  EXPECT_EQ(rig_.in(0x38), 0x0405u);
}

TEST_F(XhciTest, APortTellsOfItsDeviceAndItsReset) {
  EXPECT_EQ(rig_.in(kPortSc1)&0x21fe1, 0x20001u | 7 << 5 | 1 << 9 | 1 << 10)
      << "connected, full speed";
  const Trb change = event();
  EXPECT_EQ(change.control >> 10 & 63, 34u);
  EXPECT_EQ(change.low, 1u << 24);
  rig_.out(kPortSc1, 1 << 17 | 1 << 9);
  EXPECT_EQ(rig_.in(kPortSc1)&1 << 17, 0u);
  rig_.out(kPortSc1, 1 << 9 | 1 << 4);
  EXPECT_EQ(rig_.in(kPortSc1)&0x2001ff, 0x200003u) << "enabled, reset change, U0";
}

TEST_F(XhciTest, CommandsCompleteInOrder) {
  drain();
  EXPECT_EQ(command(23), kSuccess);
  EXPECT_EQ(command(9), kSuccess);
  EXPECT_EQ(slot_, 1u);
  EXPECT_EQ(command(10, 0, 1 << 24), kSuccess) << "disable";
  EXPECT_EQ(command(10, 0, 1 << 24), 11u) << "slot not enabled";
  EXPECT_EQ(command(15, 0, 1 << 24 | 1 << 16), 11u);
}

TEST_F(XhciTest, AddressesADeviceAndReadsItsDescriptor) {
  ASSERT_EQ(address(), kSuccess);
  EXPECT_EQ(rig_.memory(kOutput + 12), 2u << 27 | slot_) << "addressed";
  EXPECT_EQ(rig_.memory(kOutput + 0x20) & 7, 1u) << "endpoint 0 runs";
  EXPECT_EQ(rig_.tablet.address(), slot_);
  EXPECT_EQ(read_control(0x01000680, 18 << 16, 18), kSuccess);
  EXPECT_EQ(rig_.memory(kBuffer), 0x01100112u) << "18 bytes, device, USB 1.1";
}

TEST_F(XhciTest, AShortDataStageIsToldAsSuch) {
  ASSERT_EQ(address(), kSuccess);
  put(control_, {0x01000680, 8, type(2) | kIdt | 3 << 16}, 64 << 16);
  put(control_ + 16, {kBuffer, 64, type(3) | kIn | kIsp});
  put(control_ + 32, {0, 0, type(4) | kIoc});
  rig_.out(kDoorbells + 4 * slot_, 1);
  const Trb data = event();
  EXPECT_EQ(data.status, kShortPacket << 24 | (64 - 18)) << "what did not come";
  EXPECT_EQ(data.low, control_ + 16);
  EXPECT_EQ(event().status >> 24, kSuccess);
}

TEST_F(XhciTest, AStallHaltsTheEndpointUntilItIsReset) {
  ASSERT_EQ(address(), kSuccess);
  EXPECT_EQ(read_control(0x0f000680, 18 << 16, 18), kStall);
  EXPECT_EQ(rig_.memory(kOutput + 0x20) & 7, 2u) << "halted";
  EXPECT_EQ(command(15, 0, slot_ << 24 | 1 << 16), kContextState) << "not running";
  const u32 slot = slot_;
  EXPECT_EQ(command(14, 0, slot << 24 | 1 << 16), kSuccess);
  EXPECT_EQ(command(16, control_ | 1, slot << 24 | 1 << 16), kSuccess);
  EXPECT_EQ(read_control(0x01000680, 8 << 16, 8), kSuccess);
}

TEST_F(XhciTest, AnInterruptPipeWaitsForTheDevice) {
  configure_pointer();
  put(kPointerRing, {kBuffer, 8, type(1) | kIoc | kIsp});
  rig_.out(kDoorbells + 4 * slot_, 3);
  EXPECT_FALSE(has_event()) << "nothing happened yet";
  rig_.tablet.point(0x1234, 0x4321, 0);
  const Trb moved = event();
  EXPECT_EQ(moved.status >> 24, kShortPacket) << "six of eight bytes";
  EXPECT_EQ(moved.control >> 16 & 31, 3u);
  EXPECT_EQ(rig_.memory(kBuffer) >> 8 & 0xffff, 0x1234u);
}

TEST_F(XhciTest, AStoppedPipeTellsWhereItStopped) {
  configure_pointer();
  put(kPointerRing, {kBuffer, 8, type(1) | kIoc});
  rig_.out(kDoorbells + 4 * slot_, 3);
  const u32 slot = slot_;
  put(command_, {0, 0, type(15) | slot << 24 | 3 << 16});
  rig_.out(kDoorbells, 0);
  EXPECT_EQ(event().status >> 24, 26u) << "stopped";
  EXPECT_EQ(event().status >> 24, kSuccess);
  EXPECT_EQ(rig_.memory(kOutput + 0x68), kPointerRing | 1) << "the transfer is still to be done";
  rig_.tablet.point(1, 1, 0);
  EXPECT_FALSE(has_event());
}

TEST_F(XhciTest, InterruptsFollowTheEventRing) {
  const unsigned pin = PciBus::pirq_of(XhciRig::kDevfn, 1);
  EXPECT_TRUE(rig_.pci.pirqs.level(pin)) << "port changes";
  rig_.out(kIman, 3);
  EXPECT_FALSE(rig_.pci.pirqs.level(pin)) << "acknowledged, but still busy";
  drain();
  rig_.out(kIman, 3);
  rig_.out(kUsbSts, 8);
  command(23);
  EXPECT_TRUE(rig_.pci.pirqs.level(pin));
}

TEST_F(XhciTest, EventsWaitWhileTheRingIsFull) {
  drain();
  for (unsigned i = 0; i < 100; ++i) put(kCommands + 16 * i, {0, 0, type(23)});
  rig_.out(kDoorbells, 0);
  u32 seen = 0;
  for (unsigned i = 0; i < 100; ++i) {
    const u32 at = kEvents + 16 * (events_ % 64);
    if (rig_.memory(at) == kCommands + 16 * seen) ++seen;
    ++events_;
    rig_.out(kErdp, kEvents + 16 * (events_ % 64) + 8);
  }
  EXPECT_EQ(seen, 100u);
}

TEST_F(XhciTest, ADiskBehindAHubIsFoundByItsRoute) {
  reset_port(kPortSc2);
  std::array<u8, 8> reset{0x23, 3, 4, 0, 3, 0, 0, 0};
  rig_.hub.transact(usb::Token::kSetup, 0, reset);
  rig_.hub.transact(usb::Token::kIn, 0, {});
  ASSERT_EQ(command(9), kSuccess);
  rig_.memory(kContexts + 8 * slot_, kOutput);
  rig_.memory(kInput + 4, 3);
  rig_.memory(kInput + 0x20, 1 << 27 | 1 << 20 | 3);
  rig_.memory(kInput + 0x24, 2 << 16);
  rig_.memory(kInput + 0x44, 64 << 16 | 4 << 3);
  rig_.memory(kInput + 0x48, kControlRing | 1);
  ASSERT_EQ(command(11, kInput, slot_ << 24), kSuccess);
  EXPECT_EQ(read_control(0x01000680, 18 << 16, 18), kSuccess);
  EXPECT_EQ(rig_.memory(kBuffer + 8), 0x000146f4u);
}

// A ring that leads to itself keeps nobody from anything else.
TEST_F(XhciTest, AnEndlessRingLetsOthersWork) {
  configure_pointer();
  put(kPointerRing, {kBuffer, 0, type(8)});
  put(kPointerRing + 16, {kPointerRing, 0, type(6)});
  rig_.out(kDoorbells + 4 * slot_, 3);
  clock_.advance(10'000'000);
  EXPECT_EQ(command(23), kSuccess);
}

struct TransferRig final : DeviceRig {
  XhciRig rig{clock};
  TransferRig() {
    std::mt19937 random(9);
    for (u64 at = 0; at < 0x3000; at += 4) rig.memory(at, random() % 0xffff);
  }
  Device& device() override { return rig.xhci; }
  std::vector<PciFunction*> functions() override { return {&rig.xhci}; }
  std::vector<RigWindow> windows() override {
    return {{&rig.xhci.registers(), 0x500, AccessSizes{4, 4, false}}};
  }
  void poke(u64 random) override {
    rig.power_up();
    rig.tablet.point(static_cast<u16>(random), 1, 0);
    rig.out(kUsbCmd, 1);
    rig.out(kDoorbells, 0);
  }
};
INSTANTIATE_TEST_SUITE_P(Xhci, TransferTest,
                         testing::Values(device_under_test<TransferRig>("xhci")),
                         device_under_test_name);

}  // namespace
}  // namespace emu
