// SPDX-License-Identifier: Apache-2.0
// Bit fields, alignment, byte order and range checks at their edges.
#include "base/bits.h"

#include <gtest/gtest.h>

#include <array>

namespace emu {
namespace {

TEST(Bits, FieldsAndMasksAtTheEdges) {
  EXPECT_EQ(bits(0xABCD, 4, 8), 0xBCu);
  EXPECT_EQ(bits(~u64{0}, 0, 64), ~u64{0});
  EXPECT_EQ(bits(~u64{0}, 63, 1), 1u);
  EXPECT_EQ(low_mask(0), 0u);
  EXPECT_EQ(low_mask(64), ~u64{0});
  EXPECT_EQ(byte_mask(8), ~u64{0});
  EXPECT_EQ(byte_mask(3), 0xFFFFFFu);
  EXPECT_TRUE(bit(u64{1} << 63, 63));
  EXPECT_FALSE(bit(2, 0));
}

TEST(Bits, SignExtension) {
  EXPECT_EQ(sign_extend(0x80, 8), 0xFFFFFFFFFFFFFF80u);
  EXPECT_EQ(sign_extend(0x7F, 8), 0x7Fu);
  EXPECT_EQ(sign_extend(u64{1} << 47, 48), 0xFFFF800000000000u);
  EXPECT_EQ(sign_extend(5, 64), 5u);
}

TEST(Bits, Alignment) {
  EXPECT_EQ(align_down(0x1FFF, 0x1000), 0x1000u);
  EXPECT_EQ(align_up(0x1001, 0x1000), 0x2000u);
  EXPECT_EQ(align_up(0x1000, 0x1000), 0x1000u);
}

TEST(Bits, RangesDoNotOverflow) {
  EXPECT_TRUE(range_fits(0, 0, 0));
  EXPECT_TRUE(range_fits(4, 4, 8));
  EXPECT_FALSE(range_fits(5, 4, 8));
  EXPECT_FALSE(range_fits(~u64{0}, 2, 8));
  EXPECT_FALSE(range_fits(2, ~u64{0}, 8));
}

TEST(Bits, ByteOrder) {
  std::array<u8, 9> bytes{};
  store_le<u32>(bytes.data() + 1, 0x11223344);
  EXPECT_EQ(bytes[1], 0x44);
  EXPECT_EQ(load_be<u32>(bytes.data() + 1), 0x44332211u);
  store_be<u64>(bytes.data() + 1, 0x0102030405060708);
  EXPECT_EQ(bytes[1], 1);
  EXPECT_EQ(load_le<u16>(bytes.data() + 7), 0x0807u);
}

}  // namespace
}  // namespace emu
