// SPDX-License-Identifier: Apache-2.0
// How much code memory the translation cache takes before it starts anew.
#include "tcg/translation_cache.h"

#include <gtest/gtest.h>

namespace emu {
namespace {

// Bytes that fit before has_room() says no.
u64 fill(TranslationCache& cache) {
  const std::vector<u8> piece(64 * kKiB);
  while (cache.has_room()) cache.code().append(piece.data(), piece.size());
  return cache.code().used_bytes();
}

TEST(TranslationCache, TakesMoreMemoryOnlyIfItFillsUpAgainSoon) {
  auto cache = TranslationCache::create(16 * kMiB);
  ASSERT_TRUE(cache);
  const u64 first = fill(**cache);
  EXPECT_LE(first, 4 * kMiB);
  EXPECT_GE(first, 3 * kMiB);
  (*cache)->clear();
  EXPECT_EQ(fill(**cache), first);
  (*cache)->clear();  // within a minute of the last
  EXPECT_GT(fill(**cache), 6 * kMiB);
  for (unsigned i = 0; i < 3; ++i) {
    (*cache)->clear();
    fill(**cache);
  }
  EXPECT_GT((*cache)->code().used_bytes(), 15 * kMiB);
  EXPECT_LE((*cache)->code().used_bytes(), 16 * kMiB);
}

}  // namespace
}  // namespace emu
