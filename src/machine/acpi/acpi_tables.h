// SPDX-License-Identifier: Apache-2.0
// The ACPI tables of the PC: RSDP, RSDT, XSDT, FADT, FACS, MADT, HPET, DSDT (from ASL) and an SSDT
// that lists the processors.
// Source: ACPI 6.4, chapters 5.2.5-5.2.12 and 20 (AML encoding); IA-PC HPET 1.0a, 3.2.4.
#pragma once

#include <utility>

#include "machine/acpi/table_blob.h"

namespace emu {

struct AcpiConfig {
  unsigned cpus = 1;
  bool hpet = true;
};

// `tables` and `rsdp` refer to each other: they stay where they are.
class AcpiTables {
 public:
  explicit AcpiTables(const AcpiConfig& config);
  AcpiTables(const AcpiTables&) = delete;
  AcpiTables& operator=(const AcpiTables&) = delete;

  [[nodiscard]] const TableBlob& tables() const { return tables_; }
  [[nodiscard]] const TableBlob& rsdp() const { return rsdp_; }
  // Contents of fw_cfg's etc/table-loader.
  [[nodiscard]] std::vector<u8> loader_script() const;
  // Both blobs finished for these addresses: `tables` a multiple of 64, `rsdp` of 16.
  [[nodiscard]] std::pair<std::vector<u8>, std::vector<u8>> finished(u64 tables_base,
                                                                     u64 rsdp_base) const;

 private:
  u32 add_facs();
  u32 add_dsdt();
  u32 add_fadt(u32 facs, u32 dsdt);
  u32 add_madt(const AcpiConfig& config);
  u32 add_hpet();
  u32 add_ssdt(const AcpiConfig& config);
  u32 add_root(bool extended, const std::vector<u32>& entries);
  void add_rsdp(u32 rsdt, u32 xsdt);
  u32 begin_table(const char* signature, u8 revision);
  void end_table(u32 start);

  TableBlob tables_{"etc/acpi/tables"};
  TableBlob rsdp_{"etc/acpi/rsdp"};
};

}  // namespace emu
