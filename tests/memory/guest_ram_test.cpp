// SPDX-License-Identifier: Apache-2.0
// Guest RAM: dirty bits, code marks and the host's refusals.
#include "memory/guest_ram.h"

#include <gtest/gtest.h>

#include <vector>

#include "memory/address_space.h"

namespace emu {
namespace {

class Observer final : public CodeWriteObserver, public GuestRam::CleanObserver {
 public:
  void code_written(u64 ram_offset, u64 length_bytes) override {
    writes.emplace_back(ram_offset, length_bytes);
  }
  void page_cleaned(const GuestRam& /*ram*/, u64 page) override { cleaned.push_back(page); }
  std::vector<std::pair<u64, u64>> writes;
  std::vector<u64> cleaned;
};

std::unique_ptr<GuestRam> make_ram() {
  auto ram = GuestRam::create("test", 4 * kPageBytes);
  EXPECT_TRUE(ram);
  return std::move(*ram);
}

TEST(GuestRam, StartsZeroedAndWritten) {
  auto ram = make_ram();
  EXPECT_EQ(ram->host()[3 * kPageBytes], 0);
  EXPECT_TRUE(ram->is_dirty(DirtyClient::kDisplay, 3));
  EXPECT_TRUE(ram->fast_writable(0));
  EXPECT_GE(ram->fd(), 0);
}

TEST(GuestRam, RefusesMoreThanTheHostHas) {
  auto ram = GuestRam::create("huge", u64{1} << 50);
  ASSERT_FALSE(ram);
  EXPECT_NE(ram.error().message.find("more than"), std::string::npos);
}

TEST(GuestRam, DirtyBitsArePerClientAndPerPage) {
  auto ram = make_ram();
  for (u64 page = 0; page < 4; ++page) {
    EXPECT_TRUE(ram->test_and_clear_dirty(DirtyClient::kDisplay, page));
    EXPECT_FALSE(ram->test_and_clear_dirty(DirtyClient::kDisplay, page));
  }
  ram->mark_written(2 * kPageBytes - 1, 2);
  ram->mark_written(0, 0);
  EXPECT_FALSE(ram->is_dirty(DirtyClient::kDisplay, 0));
  EXPECT_TRUE(ram->is_dirty(DirtyClient::kDisplay, 1));
  EXPECT_TRUE(ram->is_dirty(DirtyClient::kDisplay, 2));
  EXPECT_FALSE(ram->is_dirty(DirtyClient::kDisplay, 3));
  EXPECT_TRUE(ram->is_dirty(DirtyClient::kMigration, 3));
}

TEST(GuestRam, CleaningATrackedPageTellsTheEngine) {
  auto ram = make_ram();
  Observer observer;
  ram->set_clean_observer(&observer);
  EXPECT_TRUE(ram->test_and_clear_dirty(DirtyClient::kDisplay, 1));
  EXPECT_TRUE(observer.cleaned.empty());
  EXPECT_TRUE(ram->fast_writable(1));
  ram->set_tracked(DirtyClient::kDisplay, true);
  EXPECT_TRUE(ram->test_and_clear_dirty(DirtyClient::kDisplay, 1));
  EXPECT_EQ(observer.cleaned, std::vector<u64>{1});
  EXPECT_FALSE(ram->fast_writable(1));
  EXPECT_TRUE(ram->fast_writable(0));
  ram->mark_written(kPageBytes, 1);
  EXPECT_TRUE(ram->fast_writable(1));
}

TEST(GuestRam, WritesToCodeTellTheObserverPageByPage) {
  auto ram = make_ram();
  Observer observer;
  ram->set_code_observer(&observer);
  ram->set_code(1, true);
  ram->set_code(2, true);
  EXPECT_FALSE(ram->fast_writable(1));
  ram->mark_written(0, kPageBytes);
  EXPECT_TRUE(observer.writes.empty());
  ram->mark_written(kPageBytes - 4, 2 * kPageBytes);
  const std::vector<std::pair<u64, u64>> expected{{kPageBytes, kPageBytes},
                                                  {2 * kPageBytes, kPageBytes - 4}};
  EXPECT_EQ(observer.writes, expected);
  ram->set_code(1, false);
  EXPECT_TRUE(ram->fast_writable(1));
  EXPECT_TRUE(ram->has_code(2));
}

TEST(GuestRam, WritesThroughAnAddressSpaceAreMarked) {
  auto ram = make_ram();
  Observer observer;
  ram->set_code_observer(&observer);
  ram->set_code(1, true);
  auto root = Region::container("root", kGiB);
  auto region = Region::ram("ram", *ram, kPageBytes, kPageBytes);
  root->add(*region, 0x7000);
  AddressSpace space(*root);
  space.store(0x7010, 2, 1);
  const std::vector<u8> bytes(3);
  space.write(0x7020, bytes);
  EXPECT_TRUE(space.compare_exchange(0x7030, 4, 0, 1));
  EXPECT_FALSE(space.compare_exchange(0x7030, 4, 0, 1));
  const std::vector<std::pair<u64, u64>> expected{
      {kPageBytes + 0x10, 2}, {kPageBytes + 0x20, 3}, {kPageBytes + 0x30, 4}};
  EXPECT_EQ(observer.writes, expected);
}

}  // namespace
}  // namespace emu
