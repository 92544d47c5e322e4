// SPDX-License-Identifier: Apache-2.0
// Saved states in files: whole, beside unchanged disks, or not at all.
#include "machine/snapshot_file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "rom_guest.h"

namespace emu {
namespace {

namespace fs = std::filesystem;

class SnapshotFile : public ::testing::Test {
 protected:
  SnapshotFile() {
    std::string name = ::testing::TempDir() + "snapshot-XXXXXX";
    folder_ = ::mkdtemp(name.data());
    disk_ = folder_ / "disk.raw";
    std::ofstream(disk_) << std::string(64 * kKiB, 'd');
    state_ = (folder_ / "state").string();
  }
  ~SnapshotFile() override { fs::remove_all(folder_); }

  // A guest that ends with status 7, with one disk.
  [[nodiscard]] std::unique_ptr<RomMachine> machine(bool throw_away = false) const {
    MachineConfig config;
    DriveConfig drive;
    drive.file = disk_.string();
    drive.format = "raw";
    drive.snapshot = throw_away;
    config.drives.push_back(drive);
    return std::make_unique<RomMachine>(RomGuest().exit(3).halt(), config);
  }

  fs::path folder_, disk_;
  std::string state_;
};

TEST_F(SnapshotFile, GoesOnBesideAnUnchangedDisk) {
  const auto saved = save_to_file(*machine()->machine, state_);
  ASSERT_TRUE(saved) << saved.error().message;
  EXPECT_EQ(*saved, fs::file_size(state_));
  auto second = machine();
  const auto loaded = load_from_file(*second->machine, state_);
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(second->run().status, 7);
}

TEST_F(SnapshotFile, IsRefusedBesideAChangedDisk) {
  ASSERT_TRUE(save_to_file(*machine()->machine, state_));
  std::ofstream(disk_, std::ios::in) << "changed";
  const auto loaded = load_from_file(*machine()->machine, state_);
  ASSERT_FALSE(loaded);
  EXPECT_NE(loaded.error().message.find("disk.raw was changed"), std::string::npos);
}

TEST_F(SnapshotFile, IsRefusedWhereChangesAreThrownAway) {
  const auto saved = save_to_file(*machine(true)->machine, state_);
  ASSERT_FALSE(saved);
  EXPECT_NE(saved.error().message.find("--snapshot"), std::string::npos);
  EXPECT_FALSE(fs::exists(state_));
}

TEST_F(SnapshotFile, AFailureLeavesTheOldFile) {
  std::ofstream(state_) << "old";
  fs::create_directory(state_ + ".partial");  // so that nothing can be written there
  EXPECT_FALSE(save_to_file(*machine()->machine, state_));
  EXPECT_EQ(fs::file_size(state_), 3u);
  EXPECT_FALSE(load_from_file(*machine()->machine, state_)) << "no snapshot";
  EXPECT_FALSE(load_from_file(*machine()->machine, state_ + ".none"));
}

TEST_F(SnapshotFile, ARunningMachineIsSavedAndRunsOn) {
  RomGuest guest;
  guest.bytes({0x31, 0xc0, 0x8e, 0xd8});        // xor ax, ax; mov ds, ax
  guest.bytes({0x80, 0x3e, 0x00, 0x05, 0x02});  // cmp byte [500h], 2
  guest.bytes({0x75, 0xf9}).exit(1);            // jne
  RomMachine m(guest.halt());
  m.machine->start();
  ASSERT_TRUE(save_to_file(*m.machine, state_));
  {
    const MachineLock lock = m.machine->lock();
    m.machine->pc().map().memory().store(0x500, 1, 2);
  }
  EXPECT_EQ(m.wait().status, 3);
}

TEST_F(SnapshotFile, TheMonitorSavesAndResumes) {
  auto first = machine();
  for (const ControlCommand& command : first->machine->commands()) {
    if (command.name != "save") continue;
    EXPECT_FALSE(command.run({}));
    const std::vector<std::string> words{state_};
    const auto answer = command.run(words);
    ASSERT_TRUE(answer);
    EXPECT_NE(answer->find(state_), std::string::npos);
  }
  EXPECT_TRUE(fs::exists(state_));
}

TEST_F(SnapshotFile, TheMonitorShowsTheRegistersOfAMachineAtReset) {
  auto first = machine();
  for (const ControlCommand& command : first->machine->commands()) {
    if (command.name != "info") continue;
    const auto answer = command.run(std::vector<std::string>{"registers"});
    ASSERT_TRUE(answer);
    EXPECT_NE(answer->find("cpu0: rip 000000000000fff0 rflags 00000002, ring 0"), std::string::npos)
        << *answer;
    EXPECT_NE(answer->find("cs f000 base 00000000ffff0000 limit 0000ffff"), std::string::npos)
        << *answer;
    EXPECT_FALSE(command.run(std::vector<std::string>{"nonsense"}));
  }
}

}  // namespace
}  // namespace emu
