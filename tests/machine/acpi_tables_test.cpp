// SPDX-License-Identifier: Apache-2.0
// ACPI and SMBIOS tables: what a kernel checks before it believes them.
#include "machine/acpi/acpi_tables.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "base/bits.h"
#include "machine/pc_layout.h"
#include "machine/smbios/smbios_tables.h"

namespace emu {
namespace {

constexpr u64 kTables = 0xf0040, kRsdp = 0xf0000;

u8 sum(std::span<const u8> bytes) {
  return std::accumulate(bytes.begin(), bytes.end(), u8{0},
                         [](u8 a, u8 b) { return static_cast<u8>(a + b); });
}

// Walks the placed tables as a kernel does.
class Walker {
 public:
  explicit Walker(const AcpiConfig& config) : acpi_(config) {
    auto [tables, rsdp] = acpi_.finished(kTables, kRsdp);
    tables_ = tables;
    rsdp_ = rsdp;
  }
  const u8* at(u64 address) const { return tables_.data() + (address - kTables); }
  std::span<const u8> table(u64 address) const {
    return {at(address), load_le<u32>(at(address) + 4)};
  }
  std::span<const u8> find(const char* signature) const {
    const auto root = table(load_le<u64>(rsdp_.data() + 24));
    for (std::size_t i = 36; i < root.size(); i += 8) {
      const auto t = table(load_le<u64>(root.data() + i));
      if (std::memcmp(t.data(), signature, 4) == 0) return t;
    }
    return {};
  }
  std::vector<u8> tables_, rsdp_;

 private:
  AcpiTables acpi_;
};

TEST(AcpiTables, EveryChecksumHolds) {
  const Walker w({.cpus = 3, .hpet = true});
  EXPECT_EQ(sum(std::span(w.rsdp_).first(20)), 0);
  EXPECT_EQ(sum(w.rsdp_), 0);
  EXPECT_EQ(sum(w.table(load_le<u32>(w.rsdp_.data() + 16))), 0) << "RSDT";
  EXPECT_EQ(sum(w.table(load_le<u64>(w.rsdp_.data() + 24))), 0) << "XSDT";
  for (const char* name : {"FACP", "APIC", "HPET", "SSDT"}) {
    ASSERT_FALSE(w.find(name).empty()) << name;
    EXPECT_EQ(sum(w.find(name)), 0) << name;
  }
  const auto fadt = w.find("FACP");
  const auto dsdt = w.table(load_le<u32>(fadt.data() + 40));
  EXPECT_EQ(std::memcmp(dsdt.data(), "DSDT", 4), 0);
  EXPECT_EQ(sum(dsdt), 0);
  const u32 facs = load_le<u32>(fadt.data() + 36);
  EXPECT_EQ(facs % 64, 0u);
  EXPECT_EQ(std::memcmp(w.at(facs), "FACS", 4), 0);
}

TEST(AcpiTables, MadtListsEveryProcessor) {
  const Walker w({.cpus = 3, .hpet = true});
  const auto madt = w.find("APIC");
  int processors = 0;
  for (std::size_t i = 44; i < madt.size(); i += madt[i + 1]) processors += madt[i] == 0 ? 1 : 0;
  EXPECT_EQ(processors, 3);
  EXPECT_EQ(load_le<u32>(madt.data() + 36), kLocalApicBase);
}

TEST(AcpiTables, WithoutHpetThereIsNoTable) {
  EXPECT_TRUE(Walker({.cpus = 1, .hpet = false}).find("HPET").empty());
}

TEST(AcpiTables, LoaderScriptHasWholeCommands) {
  const AcpiTables acpi({.cpus = 1, .hpet = true});
  const std::vector<u8> script = acpi.loader_script();
  EXPECT_EQ(script.size() % 128, 0u);
  EXPECT_EQ(load_le<u32>(script.data()), 1u) << "allocation comes first";
  EXPECT_STREQ(reinterpret_cast<const char*>(script.data()) + 4, "etc/acpi/rsdp");
}

TEST(SmbiosTables, EntryPointsAndTheEnd) {
  const SmbiosTables t = SmbiosTables::build({.memory_bytes = 6 * kGiB, .cpus = 2});
  EXPECT_EQ(sum(t.entry_point_2(0xf5000)), 0);
  const auto old_entry = t.entry_point_2(0xf5000);
  EXPECT_EQ(sum(std::span(old_entry).subspan(16)), 0);
  EXPECT_EQ(sum(t.entry_point_3(0xf5000)), 0);
  unsigned count = 0;
  std::size_t i = 0;
  u8 type = 0;
  while (i < t.structures.size()) {
    type = t.structures[i];
    i += t.structures[i + 1];
    while (t.structures[i] != 0 || t.structures[i + 1] != 0) ++i;
    i += 2;
    ++count;
  }
  EXPECT_EQ(i, t.structures.size());
  EXPECT_EQ(count, t.count);
  EXPECT_EQ(type, 127);
}

}  // namespace
}  // namespace emu
