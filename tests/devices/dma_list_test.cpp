// SPDX-License-Identifier: Apache-2.0
// A list of many small pieces against one flat copy of what they hold.
#include <gtest/gtest.h>

#include <random>

#include "devices/guest_window.h"

namespace emu {
namespace {

TEST(DmaList, EveryOffsetOfAScatteredListIsWhereAFlatCopyHasIt) {
  const auto root = Region::container("root", u64{1} << 32);
  const auto ram = *GuestRam::create("ram", kMiB);
  const auto region = Region::ram("ram", *ram, 0, kMiB);
  root->add(*region, 0);
  AddressSpace memory(*root);
  std::mt19937_64 dice(3);
  for (u64 i = 0; i < kMiB; ++i) ram->host()[i] = static_cast<u8>(dice());
  DmaList list;
  std::vector<u8> flat;
  std::vector<u8*> home;
  for (int i = 0; i < 400; ++i) {
    const u64 at = u64(i % 20) * 50000 + u64(i) * 100;  // never next to the last, none twice
    const u64 length = dice() % 60;                     // some are empty
    ASSERT_TRUE(list.add(memory, at, length, true));
    for (u64 b = 0; b < length; ++b) {
      flat.push_back(ram->host()[at + b]);
      home.push_back(ram->host() + at + b);
    }
  }
  ASSERT_EQ(list.length_bytes(), flat.size());
  list.truncate(flat.size() - 7);
  flat.resize(flat.size() - 7);
  for (int round = 0; round < 3000; ++round) {
    const u64 from = dice() % (flat.size() + 20);
    const u64 length = dice() % 300;
    const u64 there = from < flat.size() ? std::min<u64>(length, flat.size() - from) : 0;
    std::vector<u8> got(length);
    ASSERT_EQ(list.read(from, got), there);
    EXPECT_TRUE(std::equal(got.begin(), got.begin() + static_cast<i64>(there),
                           flat.begin() + static_cast<i64>(std::min<u64>(from, flat.size()))));
    if (from + there > flat.size() || there == 0) continue;
    const DmaList part = list.part(from, there);
    ASSERT_EQ(part.length_bytes(), there);
    ASSERT_EQ(part.read(0, got), there);
    EXPECT_EQ(got[there - 1], flat[from + there - 1]);
    got[there / 2] = static_cast<u8>(dice());
    ASSERT_EQ(list.write(from, std::span(got).first(there)), there);
    flat[from + there / 2] = got[there / 2];
    EXPECT_EQ(*home[from + there / 2], got[there / 2]);
  }
}

}  // namespace
}  // namespace emu
