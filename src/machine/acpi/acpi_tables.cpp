// SPDX-License-Identifier: Apache-2.0
#include "machine/acpi/acpi_tables.h"

#include <fmt/core.h>

#include <array>
#include <cstring>
#include <string>

#include "base/bits.h"
#include "machine/acpi/dsdt.h"
#include "machine/pc_layout.h"

namespace emu {
namespace {

constexpr u32 kHeaderBytes = 36;
constexpr u32 kLengthAt = 4, kChecksumAt = 9;
constexpr char kOemId[7] = "EMU   ";
constexpr char kOemTableId[9] = "EMUPC   ";

// FADT offsets (ACPI 6.4 table 5.9) and contents.
constexpr u32 kFadtBytes = 244;         // revision 3
constexpr u32 kFadtFlags = (1u << 0) |  // WBINVD works
                           (1u << 2) |  // C1 on all processors
                           (1u << 5) |  // no fixed sleep button
                           (1u << 7) |  // the RTC cannot wake from S4
                           (1u << 10);  // the reset register is there

std::span<const u8> characters(const char* text, std::size_t length) {
  return {reinterpret_cast<const u8*>(text), length};
}

// A generic address structure in system I/O space (ACPI 6.4 table 5.1).
void store_gas(u8* at, u8 bits_wide, u64 port) {
  at[0] = 1;
  at[1] = bits_wide;
  store_le<u64>(at + 4, port);
}

}  // namespace

AcpiTables::AcpiTables(const AcpiConfig& config) {
  const u32 facs = add_facs();
  const u32 dsdt = add_dsdt();
  std::vector<u32> entries{add_fadt(facs, dsdt), add_ssdt(config), add_madt(config)};
  if (config.hpet) entries.push_back(add_hpet());
  const u32 rsdt = add_root(false, entries);
  const u32 xsdt = add_root(true, entries);
  add_rsdp(rsdt, xsdt);
}

u32 AcpiTables::begin_table(const char* signature, u8 revision) {
  tables_.align(16);
  const u32 start = tables_.append(characters(signature, 4));
  tables_.append_value<u32>(0);  // length
  tables_.append_value<u8>(revision);
  tables_.append_value<u8>(0);  // checksum
  tables_.append(characters(kOemId, 6));
  tables_.append(characters(kOemTableId, 8));
  tables_.append_value<u32>(1);  // OEM revision
  tables_.append(characters("EMU ", 4));
  tables_.append_value<u32>(1);  // creator revision
  return start;
}

void AcpiTables::end_table(u32 start) {
  const u32 length = tables_.size() - start;
  tables_.patch(start + kLengthAt, length, 4);
  tables_.add_checksum(start + kChecksumAt, start, length);
}

u32 AcpiTables::add_facs() {  // first: it wants 64-byte alignment, as does the blob
  tables_.align(64);
  std::array<u8, 64> facs{};
  std::memcpy(facs.data(), "FACS", 4);
  facs[4] = facs.size();
  return tables_.append(facs);
}

u32 AcpiTables::add_dsdt() {
  tables_.align(16);
  const u32 start = tables_.append(dsdt_aml());
  tables_.add_checksum(start + kChecksumAt, start, static_cast<u32>(dsdt_aml().size()));
  return start;
}

u32 AcpiTables::add_fadt(u32 facs, u32 dsdt) {
  const u32 start = begin_table("FACP", 3);
  std::array<u8, kFadtBytes> t{};
  u8* const p = t.data();
  store_le<u16>(p + 46, kSciIrq);
  store_le<u32>(p + 48, kApmControlPort);
  p[52] = kAcpiEnableCommand;
  p[53] = kAcpiDisableCommand;
  store_le<u32>(p + 56, kPmBase);      // PM1a event block
  store_le<u32>(p + 64, kPmBase + 4);  // PM1a control block
  store_le<u32>(p + 76, kPmBase + 8);  // PM timer
  store_le<u32>(p + 80, kGpeBase);
  p[88] = 4;  // lengths of the blocks
  p[89] = 2;
  p[91] = 4;
  p[92] = 4;
  store_le<u16>(p + 96, 0xfff);  // no C2
  store_le<u16>(p + 98, 0xfff);  // no C3
  p[108] = 0x32;                 // CMOS register of the century
  store_le<u16>(p + 109, 3);     // legacy devices, 8042
  store_le<u32>(p + 112, kFadtFlags);
  store_gas(p + 116, 8, kResetControlPort);
  p[128] = 0x06;  // hard reset through the PIIX reset control register
  store_gas(p + 148, 32, kPmBase);
  store_gas(p + 172, 16, kPmBase + 4);
  store_gas(p + 208, 32, kPmBase + 8);
  store_gas(p + 220, 32, kGpeBase);
  tables_.append(std::span(t).subspan(kHeaderBytes));
  tables_.add_pointer(start + 36, 4, tables_, facs);
  tables_.add_pointer(start + 40, 4, tables_, dsdt);
  tables_.add_pointer(start + 140, 8, tables_, dsdt);
  end_table(start);
  return start;
}

u32 AcpiTables::add_madt(const AcpiConfig& config) {
  const u32 start = begin_table("APIC", 3);
  tables_.append_value<u32>(kLocalApicBase);
  tables_.append_value<u32>(1);  // a PC/AT pair of 8259s is there too
  for (u8 cpu = 0; cpu < config.cpus; ++cpu) {
    const std::array<u8, 8> local{0, 8, cpu, cpu, 1, 0, 0, 0};
    tables_.append(local);
  }
  std::array<u8, 12> io{1, 12, 0, 0};
  store_le<u32>(io.data() + 4, kIoApicBase);
  tables_.append(io);
  // The timer is on input 2; the PCI interrupts and the SCI are level-triggered, active high here.
  constexpr std::array<std::array<u8, 3>, 5> kOverrides{
      {{0, 2, 0}, {5, 5, 0xd}, {9, 9, 0xd}, {10, 10, 0xd}, {11, 11, 0xd}}};
  for (const auto& [irq, input, flags] : kOverrides) {
    const std::array<u8, 10> entry{2, 10, 0, irq, input, 0, 0, 0, flags, 0};
    tables_.append(entry);
  }
  tables_.append(std::array<u8, 6>{4, 6, 0xff, 0, 0, 1});  // NMI on LINT1 of every processor
  end_table(start);
  return start;
}

u32 AcpiTables::add_hpet() {
  const u32 start = begin_table("HPET", 1);
  std::array<u8, 20> t{};
  store_le<u32>(t.data(), 0x8086a201);  // the block's capability register, low half
  t[5] = 0;                             // memory space, no register width
  store_le<u64>(t.data() + 8, kHpetBase);
  tables_.append(t);
  end_table(start);
  return start;
}

u32 AcpiTables::add_ssdt(const AcpiConfig& config) {
  std::vector<u8> processors{0x5c, '_', 'P', 'R', '_'};  // \_PR_
  for (unsigned cpu = 0; cpu < config.cpus; ++cpu) {
    // ProcessorOp, PkgLength 11, NameString, ProcID, PblkAddr (none), PblkLen
    processors.insert(processors.end(), {0x5b, 0x83, 11});
    const std::string name = fmt::format("C{:03X}", cpu);
    processors.insert(processors.end(), name.begin(), name.end());
    processors.insert(processors.end(), {static_cast<u8>(cpu), 0, 0, 0, 0, 0});
  }
  const u32 start = begin_table("SSDT", 1);
  tables_.append_value<u8>(0x10);  // ScopeOp
  const u32 length = static_cast<u32>(processors.size()) + 2;
  tables_.append_value<u8>(static_cast<u8>(0x40 | (length & 0xf)));  // PkgLength in two bytes
  tables_.append_value<u8>(static_cast<u8>(length >> 4));
  tables_.append(processors);
  end_table(start);
  return start;
}

u32 AcpiTables::add_root(bool extended, const std::vector<u32>& entries) {
  const u32 start = begin_table(extended ? "XSDT" : "RSDT", 1);
  const unsigned size = extended ? 8 : 4;
  const std::array<u8, 8> zero{};
  for (const u32 entry : entries) {
    const u32 at = tables_.append(std::span(zero).first(size));
    tables_.add_pointer(at, size, tables_, entry);
  }
  end_table(start);
  return start;
}

void AcpiTables::add_rsdp(u32 rsdt, u32 xsdt) {
  std::array<u8, 36> t{};
  std::memcpy(t.data(), "RSD PTR ", 8);
  std::memcpy(t.data() + 9, kOemId, 6);
  t[15] = 2;  // revision
  t[20] = t.size();
  rsdp_.append(t);
  rsdp_.add_pointer(16, 4, tables_, rsdt);
  rsdp_.add_pointer(24, 8, tables_, xsdt);
  rsdp_.add_checksum(8, 0, 20);
  rsdp_.add_checksum(32, 0, 36);
}

std::vector<u8> AcpiTables::loader_script() const {
  const std::array<TableBlob::Placement, 2> placements{{{&rsdp_, 16, true}, {&tables_, 64, false}}};
  return TableBlob::loader_script(placements);
}

std::pair<std::vector<u8>, std::vector<u8>> AcpiTables::finished(u64 tables_base,
                                                                 u64 rsdp_base) const {
  const std::array<const TableBlob*, 2> blobs{&tables_, &rsdp_};
  const std::array<u64, 2> bases{tables_base, rsdp_base};
  return {tables_.finished(blobs, bases), rsdp_.finished(blobs, bases)};
}

}  // namespace emu
