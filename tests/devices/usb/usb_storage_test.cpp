// SPDX-License-Identifier: Apache-2.0
// A USB disk as a driver meets it: bulk-only transport and SCSI commands; and a hub.
#include <gtest/gtest.h>

#include "devices/storage/ide_rig.h"
#include "devices/transfer_test.h"
#include "devices/usb/usb_hid.h"
#include "devices/usb/usb_hub.h"
#include "devices/usb/usb_requests.h"
#include "devices/usb/usb_storage.h"

namespace emu {
namespace {

using Bytes = std::vector<u8>;

class UsbStorageTest : public ::testing::Test {
 protected:
  UsbStorageTest() { configure(disk_); }
  UsbStatus out(Bytes data) {
    UsbReply reply;
    do {
      executor_.run();
      reply = disk_.transact(usb::Token::kOut, 2, data);
    } while (reply.status == UsbStatus::kNak);
    return reply.status;
  }
  UsbStatus send(u32 expected, bool in, Bytes command) {
    Bytes cbw(31);
    store_le<u32>(&cbw[0], 0x43425355);
    store_le<u32>(&cbw[4], 0x77);
    store_le<u32>(&cbw[8], expected);
    cbw[12] = in ? 0x80 : 0;
    cbw[14] = static_cast<u8>(command.size());
    std::copy(command.begin(), command.end(), cbw.begin() + 15);
    return out(cbw);
  }
  Bytes read(std::size_t length) {
    Bytes all;
    while (all.size() < length) {
      Bytes packet(std::min<std::size_t>(512, length - all.size()));
      executor_.run();
      const UsbReply reply = disk_.transact(usb::Token::kIn, 1, packet);
      if (reply.status != UsbStatus::kAck) break;
      all.insert(all.end(), packet.begin(), packet.begin() + static_cast<long>(reply.length));
    }
    return all;
  }
  // The status of the command, and its residue in residue_.
  u8 status() {
    executor_.run();
    const Bytes csw = read(13);
    EXPECT_EQ(csw.size(), 13u);
    if (csw.size() != 13) return 0xff;
    EXPECT_EQ(load_le<u32>(&csw[0]), 0x53425355u);
    EXPECT_EQ(load_le<u32>(&csw[4]), 0x77u);
    residue_ = load_le<u32>(&csw[8]);
    return csw[12];
  }
  Bytes sense() {
    send(18, true, {3, 0, 0, 0, 18, 0});
    Bytes data = read(18);
    EXPECT_EQ(status(), 0);
    return {data[2], data[12]};
  }

  ManualExecutor executor_;
  MemoryBackend backend_{1 * kMiB, executor_};
  UsbStorage disk_{"disk", backend_, "SERIAL", usb::Speed::kHigh};
  u32 residue_ = 0;
};

TEST_F(UsbStorageTest, DescribesItself) {
  const Bytes device = control_in(disk_, {0x80, 6, 0, 1, 0, 0, 18, 0});
  EXPECT_EQ(device[3], 2u) << "USB 2.0";
  EXPECT_EQ(control_in(disk_, {0xa1, 0xfe, 0, 0, 0, 0, 1, 0}), Bytes{0}) << "one unit";
  send(36, true, {0x12, 0, 0, 0, 36, 0});
  const Bytes inquiry = read(36);
  EXPECT_EQ(std::string(inquiry.begin() + 16, inquiry.begin() + 24), "USB DISK");
  EXPECT_EQ(status(), 0);
  send(8, true, {0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0});
  EXPECT_EQ(read(8), (Bytes{0, 0, 7, 255, 0, 0, 2, 0})) << "the last block, 512 bytes";
  EXPECT_EQ(status(), 0);
}

TEST_F(UsbStorageTest, WritesAndReadsBackMoreThanItBuffers) {
  Bytes data(200 * 512);
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<u8>(i * 7 + i / 512);
  send(200 * 512, false, {0x2a, 0, 0, 0, 0, 9, 0, 0, 200, 0});
  for (std::size_t at = 0; at < data.size(); at += 512)
    ASSERT_EQ(
        out({data.begin() + static_cast<long>(at), data.begin() + static_cast<long>(at + 512)}),
        UsbStatus::kAck);
  EXPECT_EQ(status(), 0);
  EXPECT_EQ(residue_, 0u);
  send(200 * 512, true, {0x28, 0, 0, 0, 0, 9, 0, 0, 200, 0});
  EXPECT_EQ(read(200 * 512), data);
  EXPECT_EQ(status(), 0);
  send(0, false, {0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0});
  EXPECT_EQ(status(), 0) << "flushed";
}

TEST_F(UsbStorageTest, WhatIsBeyondTheEndFails) {
  send(1024, true, {0x28, 0, 0, 0, 7, 255, 0, 0, 2, 0});
  EXPECT_EQ(read(1024), Bytes(1024)) << "padding";
  EXPECT_EQ(status(), 1);
  EXPECT_EQ(residue_, 1024u);
  EXPECT_EQ(sense(), (Bytes{5, 0x21}));
}

TEST_F(UsbStorageTest, MoreExpectedThanGivenIsPadded) {
  send(100, true, {0x12, 0, 0, 0, 36, 0});
  EXPECT_EQ(read(100).size(), 100u);
  EXPECT_EQ(status(), 0);
  EXPECT_EQ(residue_, 64u);
}

TEST_F(UsbStorageTest, LengthsThatDisagreeAreAPhaseError) {
  send(512, true, {0x28, 0, 0, 0, 0, 0, 0, 0, 2, 0});
  read(512);
  EXPECT_EQ(status(), 2);
}

TEST_F(UsbStorageTest, UnknownCommandsFail) {
  send(0, false, {0xf1, 0, 0, 0, 0, 0});
  EXPECT_EQ(status(), 1);
  EXPECT_EQ(sense(), (Bytes{5, 0x20}));
}

TEST_F(UsbStorageTest, GarbageNeedsAReset) {
  EXPECT_EQ(out(Bytes(31, 0xee)), UsbStatus::kStall);
  EXPECT_EQ(send(0, false, {0, 0, 0, 0, 0, 0}), UsbStatus::kStall);
  EXPECT_TRUE(control_out(disk_, {0x21, 0xff, 0, 0, 0, 0, 0, 0}));
  EXPECT_TRUE(control_out(disk_, {2, 1, 0, 0, 0x81, 0, 0, 0})) << "CLEAR_FEATURE halt";
  EXPECT_TRUE(control_out(disk_, {2, 1, 0, 0, 2, 0, 0, 0}));
  EXPECT_EQ(send(0, false, {0, 0, 0, 0, 0, 0}), UsbStatus::kAck);
  EXPECT_EQ(status(), 0);
}

TEST(UsbHub, TellsOfItsPortsAndPassesAddressesOn) {
  UsbHub hub("hub");
  UsbTablet tablet("tablet");
  hub.attach(2, tablet);
  configure(hub, 5);
  EXPECT_EQ(poll(hub), (Bytes{1 << 2, 0})) << "a change at port 2";
  EXPECT_EQ(control_in(hub, {0xa3, 0, 0, 0, 2, 0, 4, 0}), (Bytes{1, 1, 1, 0}));
  EXPECT_EQ(hub.find(0), nullptr) << "behind a port that is not enabled";
  EXPECT_TRUE(control_out(hub, {0x23, 1, 16, 0, 2, 0, 0, 0}));
  EXPECT_TRUE(poll(hub).empty());
  EXPECT_TRUE(control_out(hub, {0x23, 3, 4, 0, 2, 0, 0, 0})) << "reset";
  EXPECT_EQ(control_in(hub, {0xa3, 0, 0, 0, 2, 0, 4, 0}), (Bytes{3, 1, 16, 0}));
  EXPECT_EQ(hub.find(0), &tablet);
  EXPECT_EQ(hub.child(2), &tablet);
  EXPECT_EQ(hub.find(5), &hub);
  EXPECT_FALSE(control_out(hub, {0x23, 3, 4, 0, 9, 0, 0, 0})) << "there are eight ports";
}

struct StorageRig final : DeviceRig {
  ManualExecutor executor;
  MemoryBackend backend{1 * kMiB, executor};
  UsbStorage disk{"disk", backend, "S", usb::Speed::kFull};
  Device& device() override { return disk; }
  void poke(u64 random) override {
    if (!disk.is_configured()) configure(disk);
    Bytes cbw(31);
    store_le<u32>(&cbw[0], 0x43425355);
    store_le<u32>(&cbw[8], static_cast<u32>(random % 3 * 512));
    cbw[12] = random & 0x80;
    cbw[14] = 10;
    cbw[15] = (random & 0x80) != 0 ? 0x28 : 0x2a;
    cbw[23] = static_cast<u8>(random % 3);
    disk.transact(usb::Token::kOut, 2, cbw);
    executor.run();
  }
};
struct HubRig final : DeviceRig {
  UsbHub hub{"hub"};
  UsbTablet tablet{"tablet"};
  HubRig() { hub.attach(1, tablet); }
  Device& device() override { return hub; }
  void poke(u64 random) override {
    control_out(hub, {0x23, static_cast<u8>(random % 2 ? 1 : 3), static_cast<u8>(random / 2 % 24),
                      0, static_cast<u8>(random / 64 % 10), 0, 0, 0});
  }
};
INSTANTIATE_TEST_SUITE_P(UsbDisk, TransferTest,
                         testing::Values(device_under_test<StorageRig>("usb_storage"),
                                         device_under_test<HubRig>("usb_hub")),
                         device_under_test_name);

}  // namespace
}  // namespace emu
