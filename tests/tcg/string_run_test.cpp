// SPDX-License-Identifier: Apache-2.0
// Repeated string moves and stores, upwards and downwards, overlapping and across pages: the same
// bytes and registers as the host's own instructions.
#include <random>

#include "tcg/small_guest.h"

namespace emu {
namespace {

constexpr u64 kData = 0x200000;     // a megabyte into the guest's RAM, page-aligned
constexpr u64 kDataBytes = 0x4000;  // four pages

struct Registers {
  u64 rax, rcx, rsi, rdi;
};

struct Form {
  const char* name;
  std::vector<u8> code;
  unsigned size;
  void (*host)(Registers&);
};

#define EMU_HOST_STRING(INSTRUCTION)                                  \
  [](Registers& r) {                                                  \
    asm volatile(INSTRUCTION "\n\tcld"                                \
                 : "+a"(r.rax), "+c"(r.rcx), "+S"(r.rsi), "+D"(r.rdi) \
                 :                                                    \
                 : "memory", "cc");                                   \
  }

const std::vector<Form>& forms() {
  static const std::vector<Form> all = {
      {"std rep movsb", {0xfd, 0xf3, 0xa4}, 1, EMU_HOST_STRING("std; rep movsb")},
      {"std rep movsw", {0xfd, 0xf3, 0x66, 0xa5}, 2, EMU_HOST_STRING("std; rep movsw")},
      {"std rep movsd", {0xfd, 0xf3, 0xa5}, 4, EMU_HOST_STRING("std; rep movsl")},
      {"std rep movsq", {0xfd, 0xf3, 0x48, 0xa5}, 8, EMU_HOST_STRING("std; rep movsq")},
      {"std rep stosw", {0xfd, 0xf3, 0x66, 0xab}, 2, EMU_HOST_STRING("std; rep stosw")},
      {"std rep stosq", {0xfd, 0xf3, 0x48, 0xab}, 8, EMU_HOST_STRING("std; rep stosq")},
      {"rep movsb", {0xf3, 0xa4}, 1, EMU_HOST_STRING("rep movsb")},
      {"rep movsq", {0xf3, 0x48, 0xa5}, 8, EMU_HOST_STRING("rep movsq")},
      {"rep stosd", {0xf3, 0xab}, 4, EMU_HOST_STRING("rep stosl")},
  };
  return all;
}
#undef EMU_HOST_STRING

TEST(StringRun, MovesAsTheHostInBothDirections) {
  std::mt19937_64 random(12);
  for (const Form& form : forms()) {
    SmallGuest guest;
    std::vector<u8> code = form.code;
    code.insert(code.end(), {0xfc, 0xe6, 0xf4, 0xf4});  // cld; out 0f4h, al; hlt
    guest.load(SmallGuest::kCodeAt, code);
    for (int round = 0; round < 60; ++round) {
      // Offsets in the middle, so that no direction leaves the data; some overlap closely.
      const u64 count = random() % (0x1800 / form.size);
      const u64 from = 0x1800 + random() % 0x1000;
      const u64 to = round % 2 == 0 ? from + random() % 64 - 32 : 0x1800 + random() % 0x1000;
      const bool down = form.code[0] == 0xfd;
      const u64 base = down ? 0x0 : 0u - u64{0x1800};
      std::vector<u8> data(kDataBytes + 64);
      for (u8& b : data) b = static_cast<u8>(random());
      std::vector<u8> host = data;
      std::memcpy(guest.ram() + kData, data.data(), data.size());
      Registers r{random(), count, 0, 0};
      CpuState s = guest.long_mode();
      s.gpr[kRax] = r.rax;
      s.gpr[kRcx] = count;
      s.gpr[kRsi] = kData + from + base;
      s.gpr[kRdi] = kData + to + base;
      r.rsi = reinterpret_cast<u64>(host.data() + from + base);
      r.rdi = reinterpret_cast<u64>(host.data() + to + base);
      form.host(r);
      guest.run(s);
      CpuState after;
      guest.cpu().state(after);
      const u64 shift = kData - reinterpret_cast<u64>(host.data());
      ASSERT_EQ(0, std::memcmp(guest.ram() + kData, host.data(), host.size()))
          << form.name << " count " << count << " from " << from << " to " << to;
      EXPECT_EQ(after.gpr[kRcx], r.rcx) << form.name;
      EXPECT_EQ(after.gpr[kRdi], r.rdi + shift) << form.name;
      if (form.name[form.name[0] == 's' ? 8 : 4] == 'm') {
        EXPECT_EQ(after.gpr[kRsi], r.rsi + shift) << form.name;
      }
    }
  }
}

// A page without write access below: everything above it has been moved when the fault arrives.
TEST(StringRun, DownwardsFaultsAtTheFirstElementOfTheBadPage) {
  SmallGuest guest;
  guest.set_gate(14, 0x12000);
  guest.load(0x12000, {0xe6, 0xf4, 0xf4});
  guest.load(SmallGuest::kCodeAt, {0xfd, 0xf3, 0x48, 0xab, 0xf4});  // std; rep stosq
  CpuState s = guest.long_mode();
  store_le(guest.ram() + SmallGuest::kPageTablesAt + 0x2000 + 8, u64{0});  // no 2..4 MiB
  s.gpr[kRcx] = 1024;
  s.gpr[kRdi] = 0x400000 + 99 * 8;
  guest.run(s);
  CpuState after;
  guest.cpu().state(after);
  EXPECT_EQ(after.cr2, 0x3ffff8u);
  EXPECT_EQ(after.gpr[kRcx], 924u);
  EXPECT_EQ(after.gpr[kRdi], 0x3ffff8u);
}

}  // namespace
}  // namespace emu
