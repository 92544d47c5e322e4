// SPDX-License-Identifier: Apache-2.0
// Address spaces by example: overlays, aliases, access splitting, listeners, transactions.
#include "memory/address_space.h"

#include <gtest/gtest.h>

#include <array>
#include <ostream>
#include <thread>

#include "memory/recording_handler.h"

namespace emu {
namespace {

std::unique_ptr<GuestRam> make_ram(u64 size_bytes = 64 * kKiB) {
  auto ram = GuestRam::create("test", size_bytes);
  EXPECT_TRUE(ram);
  return std::move(*ram);
}

TEST(AddressSpace, OpenBusReadsAllOnesAndIgnoresWrites) {
  auto root = Region::container("root", kGiB);
  AddressSpace space(*root);
  space.store(0x1000, 4, 0x12345678);
  EXPECT_EQ(space.load(0x1000, 4), 0xFFFFFFFFu);
  EXPECT_EQ(space.load(~u64{0}, 8), ~u64{0});
  EXPECT_TRUE(space.ram_span(0x1000, 1, false).empty());
}

TEST(AddressSpace, RamKeepsWordsOfEverySize) {
  auto ram = make_ram();
  auto root = Region::container("root", kGiB);
  auto low = Region::ram("low", *ram, 0, 64 * kKiB);
  root->add(*low, 0x10000);
  AddressSpace space(*root);
  space.store(0x10001, 8, 0x8877665544332211);
  EXPECT_EQ(space.load(0x10001, 8), 0x8877665544332211u);
  EXPECT_EQ(space.load(0x10001, 4), 0x44332211u);
  EXPECT_EQ(space.load(0x10003, 2), 0x4433u);
  EXPECT_EQ(space.load(0x10008, 1), 0x88u);
  EXPECT_EQ(ram->host()[1], 0x11);
}

TEST(AddressSpace, AccessAcrossRangesIsSplitAtTheirBorder) {
  auto ram = make_ram();
  RecordingHandler device(0x10);
  auto root = Region::container("root", kGiB);
  auto low = Region::ram("low", *ram, 0, 0x1000);
  auto registers = Region::mmio("registers", 0x10, device);
  root->add(*low, 0);
  root->add(*registers, 0x1000);
  AddressSpace space(*root);
  space.store(0xFFE, 2, 0xBBAA);
  EXPECT_EQ(space.load(0xFFE, 8), 0x05040302'0100BBAAu);
  EXPECT_EQ(device.take_log(), "r4@0 r2@4 ");
  EXPECT_EQ(space.load(0x100E, 4), 0xFFFF0F0Eu);  // runs out of the window into open bus
  std::array<u8, 3> in{1, 2, 3};
  space.write(0xFFF, in);
  EXPECT_EQ(ram->host()[0xFFF], 1);
  EXPECT_EQ(device.byte(1), 3);
}

TEST(AddressSpace, HigherPriorityWinsThenTheLaterOne) {
  auto root = Region::container("root", kGiB);
  RecordingHandler a(16, {}, 0xA0), b(16, {}, 0xB0), c(16, {}, 0xC0);
  auto ra = Region::mmio("a", 16, a), rb = Region::mmio("b", 16, b), rc = Region::mmio("c", 16, c);
  root->add(*ra, 0, 1);
  root->add(*rb, 0, 0);
  AddressSpace space(*root);
  EXPECT_EQ(space.load(0, 1), 0xA0u);
  root->add(*rc, 0, 1);
  EXPECT_EQ(space.load(0, 1), 0xC0u);
  rc->set_enabled(false);
  EXPECT_EQ(space.load(0, 1), 0xA0u);
  ra->set_offset(8);
  EXPECT_EQ(space.load(0, 1), 0xB0u);
  EXPECT_EQ(space.load(8, 1), 0xA0u);
  rb.reset();
  EXPECT_EQ(space.load(0, 1), 0xFFu);
}

TEST(AddressSpace, RomWritesGoToTheHandlerOrNowhere) {
  auto ram = make_ram();
  RecordingHandler flash(0x1000);
  auto root = Region::container("root", kGiB);
  auto bios = Region::rom("bios", *ram, 0, 0x1000);
  auto pflash = Region::rom("pflash", *ram, 0x1000, 0x1000, &flash);
  root->add(*bios, 0);
  root->add(*pflash, 0x1000);
  AddressSpace space(*root);
  ram->host()[0x10] = 0x5A;
  space.store(0x10, 1, 0);
  EXPECT_EQ(space.load(0x10, 1), 0x5Au);
  space.store(0x1010, 2, 0x1234);
  EXPECT_EQ(flash.take_log(), "w2@10=1234 ");
  EXPECT_EQ(space.load(0x1010, 2), 0u);
  EXPECT_EQ(space.ram_span(0x10, 4, false).size(), 4u);
  EXPECT_TRUE(space.ram_span(0x10, 4, true).empty());
}

TEST(AddressSpace, ReadOnlyRamDropsWrites) {
  auto ram = make_ram();
  auto root = Region::container("root", kGiB);
  auto low = Region::ram("low", *ram, 0, 0x4000);
  root->add(*low, 0);
  auto shadow = Region::alias("pam", *low, 0x1000, 0x1000);
  shadow->set_read_only(true);
  root->add(*shadow, 0x1000, 1);
  AddressSpace space(*root);
  space.store(0x1000, 4, 1);
  EXPECT_EQ(space.load(0x1000, 4), 0u);
  EXPECT_EQ(space.view()->ranges().size(), 3u) << space.describe();
  shadow->set_read_only(false);
  space.store(0x1000, 4, 1);
  EXPECT_EQ(space.load(0x1000, 4), 1u);
  EXPECT_EQ(space.view()->ranges().size(), 1u) << space.describe();  // neighbours are merged
}

TEST(AddressSpace, AliasOfAnAliasShowsTheTarget) {
  auto ram = make_ram();
  auto root = Region::container("root", kGiB);
  auto store = Region::ram("store", *ram, 0, 0x8000);  // not placed itself
  auto outer = Region::alias("outer", *store, 0x2000, 0x4000);
  auto inner = Region::alias("inner", *outer, 0x1000, 0x1000);
  root->add(*inner, 0x100000);
  AddressSpace space(*root);
  ram->host()[0x3004] = 0x77;
  EXPECT_EQ(space.load(0x100004, 1), 0x77u);
  inner->set_alias_offset(0x3FFF);  // only one byte of `outer` is left there
  EXPECT_EQ(space.load(0x100000, 2), 0xFF00u);
  outer.reset();
  EXPECT_EQ(space.load(0x100000, 1), 0xFFu);
}

struct SplitCase {
  AccessSizes sizes;
  u64 offset;
  unsigned size;
  const char* reads;
};

void PrintTo(const SplitCase& c, std::ostream* out) {
  *out << fmt::format("sizes {}..{}{}, {} at {}", c.sizes.min_bytes, c.sizes.max_bytes,
                      c.sizes.unaligned ? " unaligned" : "", c.size, c.offset);
}

class Splitting : public ::testing::TestWithParam<SplitCase> {};

TEST_P(Splitting, ReadsWhatTheDeviceImplements) {
  const SplitCase& c = GetParam();
  RecordingHandler device(16, c.sizes);
  auto root = Region::container("ports", 64 * kKiB);
  auto window = Region::mmio("device", 16, device, c.sizes);
  root->add(*window, 0x3F0);
  AddressSpace space(*root);
  u64 expected = 0;
  for (unsigned i = 0; i < c.size; ++i) expected |= (c.offset + i) << (8 * i);
  EXPECT_EQ(space.load(0x3F0 + c.offset, c.size), expected);
  EXPECT_EQ(device.take_log(), c.reads);
}

INSTANTIATE_TEST_SUITE_P(AccessSizes, Splitting,
                         ::testing::Values(SplitCase{{1, 1, false}, 2, 4, "r1@2 r1@3 r1@4 r1@5 "},
                                           SplitCase{{1, 4, false}, 1, 4, "r1@1 r2@2 r1@4 "},
                                           SplitCase{{1, 4, true}, 1, 4, "r4@1 "},
                                           SplitCase{{4, 4, false}, 5, 1, "r4@4 "},
                                           SplitCase{{4, 4, false}, 3, 2, "r4@0 r4@4 "},
                                           SplitCase{{4, 8, false}, 8, 8, "r8@8 "},
                                           SplitCase{{4, 8, false}, 4, 8, "r4@4 r4@8 "},
                                           SplitCase{{2, 2, true}, 1, 2, "r2@1 "},
                                           SplitCase{{1, 8, true}, 3, 8, "r8@3 "}));

TEST(AddressSpace, NarrowWriteFillsTheOtherLanesWithZeros) {
  RecordingHandler device(16, {4, 4, false});
  auto root = Region::container("root", kGiB);
  auto window = Region::mmio("device", 16, device, {4, 4, false});
  root->add(*window, 0);
  AddressSpace space(*root);
  space.store(6, 1, 0xAB);
  EXPECT_EQ(device.take_log(), "w4@4=ab0000 ");
}

class Journal final : public AddressSpaceListener {
 public:
  void range_removed(const FlatRange& r) override { add('-', r); }
  void range_added(const FlatRange& r) override { add('+', r); }
  void commit() override { text_ += "."; }
  [[nodiscard]] std::string take() { return std::exchange(text_, {}); }

 private:
  void add(char sign, const FlatRange& r) {
    text_ += fmt::format("{}{}@{:x}+{:x} ", sign, r.name, r.start, r.length_bytes);
  }
  std::string text_;
};

TEST(AddressSpace, ListenersHearOnlyTheDifferenceRemovalsFirst) {
  auto ram = make_ram();
  RecordingHandler device(0x100);
  auto root = Region::container("root", kGiB);
  auto low = Region::ram("low", *ram, 0, 0x4000);
  auto high = Region::ram("high", *ram, 0x4000, 0x1000);
  auto hole = Region::mmio("hole", 0x100, device);
  root->add(*low, 0);
  root->add(*high, 0x100000);
  hole->set_enabled(false);
  root->add(*hole, 0x1000, 1);
  AddressSpace space(*root);
  Journal journal;
  space.add_listener(journal);
  EXPECT_EQ(journal.take(), "+low@0+4000 +high@100000+1000 .");
  hole->set_enabled(true);
  EXPECT_EQ(journal.take(), "-low@0+4000 +low@0+1000 +hole@1000+100 +low@1100+2f00 .");
  {
    AddressSpace::Transaction outer(space);
    hole->set_offset(0x2000);
    AddressSpace::Transaction inner(space);
    high->set_offset(0x200000);
    EXPECT_EQ(journal.take(), "");
    hole->set_offset(0x1000);
  }
  EXPECT_EQ(journal.take(), "-high@100000+1000 +high@200000+1000 .");
  {
    AddressSpace::Transaction nothing(space);
    hole->set_enabled(false);
    hole->set_enabled(true);
  }
  EXPECT_EQ(journal.take(), "");
  space.remove_listener(journal);
  hole->set_enabled(false);
  EXPECT_EQ(journal.take(), "");
}

TEST(AddressSpace, ViewsStayValidWhileHeld) {
  auto ram = make_ram();
  auto root = Region::container("root", kGiB);
  auto low = Region::ram("low", *ram, 0, 0x1000);
  root->add(*low, 0);
  AddressSpace space(*root);
  const auto held = space.view();
  const AddressSpace::Pin pin(space);
  low->set_offset(0x5000);
  EXPECT_NE(held->find(0), nullptr);
  EXPECT_NE(pin->find(0xFFF), nullptr);
  EXPECT_EQ(pin->find(0x1000), nullptr);
  EXPECT_EQ(space.view()->find(0), nullptr);
  EXPECT_NE(space.view()->find(0x5000), nullptr);
}

TEST(AddressSpace, ReadersRunWhileTheTreeChanges) {
  auto ram = make_ram();
  auto root = Region::container("root", kGiB);
  auto low = Region::ram("low", *ram, 0, 0x1000);
  auto over = Region::ram("over", *ram, 0x1000, 0x800);
  ram->host()[0] = ram->host()[0x1000] = 0x42;
  root->add(*low, 0);
  root->add(*over, 0, 1);
  AddressSpace space(*root);
  std::atomic<bool> stop{false};
  std::thread reader([&] {
    while (!stop) EXPECT_EQ(space.load(0, 1), 0x42u);
  });
  for (int i = 0; i < 2000; ++i) over->set_enabled(i % 2 == 0);
  stop = true;
  reader.join();
}

TEST(AddressSpace, CompareExchangeSwapsOnlyTheExpectedValue) {
  auto ram = make_ram();
  auto root = Region::container("root", kGiB);
  auto low = Region::ram("low", *ram, 0, 0x1000);
  root->add(*low, 0);
  AddressSpace space(*root);
  for (const u64 address : {u64{0x10}, u64{0x23}, u64{0xFFD}}) {
    space.store(address, 4, 7);
    const u64 before = space.load(address, 4);
    EXPECT_FALSE(space.compare_exchange(address, 4, before + 1, 9));
    EXPECT_EQ(space.load(address, 4), before);
    EXPECT_TRUE(space.compare_exchange(address, 4, before, 9));
    EXPECT_EQ(space.load(address, 1), 9u);
  }
}

TEST(AddressSpace, OutlivesItsRoot) {
  auto root = Region::container("root", kGiB);
  auto ram = make_ram();
  auto low = Region::ram("low", *ram, 0, 0x1000);
  root->add(*low, 0);
  AddressSpace space(*root);
  EXPECT_EQ(space.load(0, 1), 0u);
  root.reset();
  EXPECT_EQ(space.load(0, 1), 0xFFu);
}

TEST(AddressSpace, RegionsReachToTheEndOfTheSpace) {
  auto ram = make_ram();
  auto root = Region::container("root", ~u64{0});
  auto top = Region::ram("top", *ram, 0, 0x1000);
  root->add(*top, ~u64{0} - 0xFFF);
  AddressSpace space(*root);
  space.store(~u64{0} - 8, 8, 0x1122334455667788);
  EXPECT_EQ(space.load(~u64{0} - 8, 8), 0x1122334455667788u);
}

}  // namespace
}  // namespace emu
