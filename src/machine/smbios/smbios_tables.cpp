// SPDX-License-Identifier: Apache-2.0
#include "machine/smbios/smbios_tables.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <string_view>

#include "base/bits.h"
#include "machine/pc_layout.h"

namespace emu {
namespace {

// Builds one structure: formatted area first, then its strings.
class Structure {
 public:
  Structure(u8 type, u16 handle) {
    put<u8>(type);
    put<u8>(0);  // length of the formatted area
    put<u16>(handle);
  }
  template <class T>
  Structure& put(T value) {
    const std::size_t at = formatted_.size();
    formatted_.resize(at + sizeof value);
    store_le(formatted_.data() + at, value);
    return *this;
  }
  // A string's number, or 0 for none.
  Structure& text(std::string_view s) {
    if (s.empty()) return put<u8>(0);
    strings_.insert(strings_.end(), s.begin(), s.end());
    strings_.push_back(0);
    return put<u8>(++string_count_);
  }
  Structure& zeros(std::size_t count) {
    formatted_.resize(formatted_.size() + count);
    return *this;
  }
  void append_to(SmbiosTables& out) {
    formatted_[1] = static_cast<u8>(formatted_.size());
    if (strings_.empty()) strings_.push_back(0);
    strings_.push_back(0);
    const std::size_t bytes = formatted_.size() + strings_.size();
    out.structures.insert(out.structures.end(), formatted_.begin(), formatted_.end());
    out.structures.insert(out.structures.end(), strings_.begin(), strings_.end());
    out.longest_bytes = std::max(out.longest_bytes, static_cast<u16>(bytes));
    ++out.count;
  }

 private:
  std::vector<u8> formatted_;
  std::vector<u8> strings_;
  u8 string_count_ = 0;
};

constexpr std::string_view kMaker = "emu";
constexpr std::string_view kVersion = "pc";

void add_bios(SmbiosTables& out) {
  Structure s(0, 0x0000);
  s.text(kMaker).text("0.1").put<u16>(0xe800).text("01/01/2024").put<u8>(0);
  s.put<u64>(1u << 3);         // characteristics are not supported
  s.put<u8>(0).put<u8>(0x1c);  // UEFI no, virtual machine, targeted content
  s.put<u8>(0).put<u8>(0).put<u8>(0xff).put<u8>(0xff);
  s.append_to(out);
}

void add_system(SmbiosTables& out) {
  Structure s(1, 0x0100);
  s.text(kMaker).text("Standard PC (i440FX + PIIX)").text(kVersion).text("");
  s.zeros(16);  // UUID not set
  s.put<u8>(6).text("").text("");
  s.append_to(out);
}

void add_chassis(SmbiosTables& out) {
  Structure s(3, 0x0300);
  s.text(kMaker).put<u8>(1).text(kVersion).text("").text("");
  s.put<u8>(3).put<u8>(3).put<u8>(3).put<u8>(2).put<u32>(0);
  s.put<u8>(0).put<u8>(0).put<u8>(0).put<u8>(0).text("");
  s.append_to(out);
}

void add_processor(SmbiosTables& out, unsigned index) {
  Structure s(4, static_cast<u16>(0x0400 + index));
  s.text("CPU").put<u8>(3).put<u8>(1).text(kMaker).put<u64>(0).text(kVersion);
  s.put<u8>(0).put<u16>(0).put<u16>(2000).put<u16>(2000).put<u8>(0x41).put<u8>(1);
  s.put<u16>(0xffff).put<u16>(0xffff).put<u16>(0xffff).text("").text("").text("");
  s.put<u8>(1).put<u8>(1).put<u8>(1).put<u16>(0x0004).put<u16>(2);
  s.append_to(out);
}

constexpr u16 kArrayHandle = 0x1000;

void add_memory_array(SmbiosTables& out, u64 bytes) {
  Structure s(16, kArrayHandle);
  const bool extended = bytes / kKiB >= 0x80000000;
  s.put<u8>(1).put<u8>(3).put<u8>(6);
  s.put<u32>(extended ? 0x80000000 : static_cast<u32>(bytes / kKiB));
  s.put<u16>(0xfffe).put<u16>(1).put<u64>(extended ? bytes : 0);
  s.append_to(out);
}

void add_memory_device(SmbiosTables& out, u64 bytes) {
  Structure s(17, 0x1100);
  const u64 mib = bytes / kMiB;
  s.put<u16>(kArrayHandle).put<u16>(0xfffe).put<u16>(0xffff).put<u16>(0xffff);
  s.put<u16>(mib >= 0x7fff ? u16{0x7fff} : static_cast<u16>(mib));
  s.put<u8>(9).put<u8>(0).text("DIMM 0").text("").put<u8>(7).put<u16>(2).put<u16>(0);
  s.text(kMaker).text("").text("").text("").put<u8>(0);
  s.put<u32>(mib >= 0x7fff ? static_cast<u32>(mib) : 0).put<u16>(0);
  s.put<u16>(0).put<u16>(0).put<u16>(0);
  s.append_to(out);
}

void add_mapped_address(SmbiosTables& out, u16 handle, u64 base, u64 bytes) {
  Structure s(19, handle);
  const u64 first = base / kKiB;
  const u64 last = (base + bytes) / kKiB - 1;
  const bool extended = last >= 0xffffffff;
  s.put<u32>(extended ? 0xffffffff : static_cast<u32>(first));
  s.put<u32>(extended ? 0xffffffff : static_cast<u32>(last));
  s.put<u16>(kArrayHandle).put<u8>(1);
  s.put<u64>(extended ? base : 0).put<u64>(extended ? base + bytes - 1 : 0);
  s.append_to(out);
}

u8 checksum(std::span<const u8> bytes) {
  u8 sum = 0;
  for (const u8 b : bytes) sum = static_cast<u8>(sum + b);
  return static_cast<u8>(-sum);
}

}  // namespace

SmbiosTables SmbiosTables::build(const SmbiosConfig& config) {
  SmbiosTables out;
  add_bios(out);
  add_system(out);
  add_chassis(out);
  for (unsigned i = 0; i < config.cpus; ++i) add_processor(out, i);
  add_memory_array(out, config.memory_bytes);
  add_memory_device(out, config.memory_bytes);
  const MemoryLayout memory = MemoryLayout::of(config.memory_bytes);
  add_mapped_address(out, 0x1300, 0, memory.low_bytes);
  if (memory.high_bytes != 0) {
    add_mapped_address(out, 0x1301, kHighMemoryBase, memory.high_bytes);
  }
  Structure(32, 0x2000).zeros(6).put<u8>(0).append_to(out);
  Structure(127, 0x7f00).append_to(out);
  return out;
}

std::array<u8, 31> SmbiosTables::entry_point_2(u64 address) const {
  std::array<u8, 31> e{};
  std::memcpy(e.data(), "_SM_", 4);
  e[5] = e.size();
  e[6] = 2;
  e[7] = 8;
  store_le<u16>(e.data() + 8, longest_bytes);
  std::memcpy(e.data() + 16, "_DMI_", 5);
  store_le<u16>(e.data() + 22, static_cast<u16>(structures.size()));
  store_le<u32>(e.data() + 24, static_cast<u32>(address));
  store_le<u16>(e.data() + 28, count);
  e[30] = 0x28;
  e[21] = checksum(std::span(e).subspan(16));
  e[4] = checksum(e);
  return e;
}

std::array<u8, 24> SmbiosTables::entry_point_3(u64 address) const {
  std::array<u8, 24> e{};
  std::memcpy(e.data(), "_SM3_", 5);
  e[6] = e.size();
  e[7] = 3;
  e[10] = 1;
  store_le<u32>(e.data() + 12, static_cast<u32>(structures.size()));
  store_le<u64>(e.data() + 16, address);
  e[5] = checksum(e);
  return e;
}

}  // namespace emu
