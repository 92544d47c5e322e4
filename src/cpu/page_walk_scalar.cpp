// SPDX-License-Identifier: Apache-2.0
// The page walk. Source: Intel SDM vol. 3 ch. 4.
// Accessed bits are set once the whole walk has succeeded, as caches of paging structures allow
// (SDM vol. 3 4.8); a failed walk sets none.
#include "base/bits.h"
#include "cpu/page_walk.h"

namespace emu {
namespace {

constexpr u64 kPresent = 1u << 0, kWritable = 1u << 1, kUser = 1u << 2, kAccessed = 1u << 5,
              kDirty = 1u << 6, kPageSize = 1u << 7, kGlobal = 1u << 8;
constexpr u64 kNoExecute = u64{1} << 63;
constexpr unsigned kMaxLevels = 4;

// The shape of the paging structures in force (SDM vol. 3 table 4-1).
struct Format {
  u64 root = 0;
  unsigned levels = 0;
  unsigned index_bits = 9;
  unsigned entry_bytes = 8;
  // Bits of the linear address that select a page table.
  [[nodiscard]] u64 region(u64 linear) const { return bits(linear, 12 + index_bits, 27); }
  bool long_mode = false;
};

enum class WalkEnd : u8 { kMapped, kNotPresent, kReserved };

// The entries met, top first, and what they add up to.
struct Walk {
  PhysAddr addresses[kMaxLevels];
  u64 entries[kMaxLevels];
  unsigned count = 0;
  unsigned page_shift = 0;
  u64 frame = 0;
  u64 page_table = 0;       // the last table followed
  u64 upper_and = ~u64{0};  // of the entries above the leaf: R/W and U/S
  u64 upper_or = 0;         // XD
  [[nodiscard]] u64 leaf() const { return entries[count - 1]; }
  [[nodiscard]] u64 combined_and() const { return upper_and & leaf(); }
  [[nodiscard]] u64 combined_or() const { return upper_or | leaf(); }
};

Format select_format(const CpuState& state, u64 linear) {
  Format format;
  if (state.long_mode()) {
    format.long_mode = true;
    format.levels = 4;
    format.root = state.cr3 & 0x000ffffffffff000;
  } else if ((state.cr4 & kCr4Pae) != 0) {
    format.levels = 2;
    format.root = state.pdpte[bits(linear, 30, 2)];
  } else {
    format.levels = 2;
    format.index_bits = 10;
    format.entry_bytes = 4;
    format.root = state.cr3 & 0xfffff000;
  }
  return format;
}

// Whether an entry of `level` (1 is the page table) maps a page.
bool is_leaf(const CpuState& state, const Format& format, u64 entry, unsigned level) {
  if (level == 1) return true;
  if ((entry & kPageSize) == 0 || level == 4) return false;
  return format.entry_bytes == 8 || (state.cr4 & kCr4Pse) != 0;
}

// Reserved bits of a present entry (SDM vol. 3 tables 4-4 to 4-20).
u64 reserved_bits(const CpuCore& core, const Format& format, unsigned level, bool leaf) {
  if (format.entry_bytes == 4) {
    if (level != 2 || !leaf) return 0;
    return core.features.pse36 ? u64{1} << 21 : u64{0x1ff} << 13;
  }
  u64 reserved = low_mask(format.long_mode ? 52 : 63) & ~low_mask(core.features.phys_bits);
  if ((core.state.efer & kEferNxe) == 0) reserved |= kNoExecute;
  if (level == 4) return reserved | kPageSize;
  if (level == 3 && !core.features.giant_pages) reserved |= kPageSize;
  if (leaf && level > 1) reserved |= low_mask(12 + 9 * (level - 1)) & ~low_mask(13);
  return reserved;
}

u64 leaf_frame(const Format& format, u64 entry, unsigned shift) {
  if (format.entry_bytes == 4 && shift == 22) {
    return (entry & 0xffc00000) | (bits(entry, 13, 8) << 32);  // PSE-36
  }
  const u64 address = format.entry_bytes == 4 ? entry : entry & low_mask(52);
  return address & ~low_mask(shift);
}

// One level: reads the entry for `linear` in `table`, notes it, and follows it.
WalkEnd walk_level(CpuCore& core, u64 linear, const Format& format, unsigned level, u64& table,
                   Walk& walk) {
  const unsigned shift = 12 + format.index_bits * (level - 1);
  const PhysAddr address{table + bits(linear, shift, format.index_bits) * format.entry_bytes};
  const u64 entry = core.memory.read_phys(address, format.entry_bytes);
  if ((entry & kPresent) == 0) return WalkEnd::kNotPresent;
  const bool leaf = is_leaf(core.state, format, entry, level);
  if ((entry & reserved_bits(core, format, level, leaf)) != 0) return WalkEnd::kReserved;
  walk.addresses[walk.count] = address;
  walk.entries[walk.count++] = entry;
  if (leaf) {
    walk.page_shift = shift;
    walk.frame = leaf_frame(format, entry, shift);
  } else {
    walk.upper_and &= entry;
    walk.upper_or |= entry;
    table = format.entry_bytes == 4 ? entry & 0xfffff000 : entry & low_mask(52) & ~low_mask(12);
    walk.page_table = table;
  }
  return WalkEnd::kMapped;
}

WalkEnd walk_tables(CpuCore& core, u64 linear, const Format& format, Walk& walk) {
  u64 table = format.root;
  if (!format.long_mode && format.entry_bytes == 8) {
    if ((table & kPresent) == 0) return WalkEnd::kNotPresent;
    table &= low_mask(52) & ~low_mask(12);
  }
  for (unsigned level = format.levels; level >= 1 && walk.page_shift == 0; --level) {
    const WalkEnd end = walk_level(core, linear, format, level, table, walk);
    if (end != WalkEnd::kMapped) return end;
  }
  return WalkEnd::kMapped;
}

// --- The paging-structure cache.

// Drops what was cached under other control registers.
void revalidate(PagingCache& cache, const CpuState& state) {
  if (cache.cr3 == state.cr3 && cache.cr4 == state.cr4 && cache.cr0 == state.cr0 &&
      cache.efer == state.efer) {
    return;
  }
  cache.cr0 = state.cr0;
  cache.cr3 = state.cr3;
  cache.cr4 = state.cr4;
  cache.efer = state.efer;
  cache.flush();
}

u64 cache_key(const PagingCache& cache, u64 region) {
  return cache.generation << 27 | region;
}

// Walks from the cached page table, if there is one; false if not.
bool walk_cached(CpuCore& core, u64 linear, const Format& format, Walk& walk, WalkEnd& end) {
  const PagingCache& cache = core.paging_cache;
  const u64 region = format.region(linear);
  const PagingCache::Entry& entry = cache.entries[region % PagingCache::kEntries];
  if (entry.key != cache_key(cache, region)) return false;
  walk.upper_and = entry.combined_and;
  walk.upper_or = entry.combined_or;
  u64 table = entry.table;
  end = walk_level(core, linear, format, 1, table, walk);
  return true;
}

// Remembers the page table of a successful full walk.
void remember(CpuCore& core, u64 linear, const Format& format, const Walk& walk) {
  if (walk.page_shift != 12) return;
  PagingCache& cache = core.paging_cache;
  const u64 region = format.region(linear);
  cache.entries[region % PagingCache::kEntries] = {cache_key(cache, region), walk.page_table,
                                                   walk.upper_and, walk.upper_or};
}

// What a page allows, for one kind of requester (SDM vol. 3 4.6).
struct Rights {
  bool read = false;
  bool write = false;
  bool fetch = false;
  bool key_denies_read = false;
  bool key_denies_write = false;
};

void apply_protection_key(const CpuState& state, bool user, unsigned key, Rights& rights) {
  const bool access_disabled = bit(state.pkru, key * 2);
  const bool write_disabled = bit(state.pkru, key * 2 + 1) && (user || (state.cr0 & kCr0Wp) != 0);
  rights.key_denies_read = access_disabled;
  rights.key_denies_write = access_disabled || write_disabled;
}

Rights rights_of(const CpuState& state, const Walk& walk, PageAccess access) {
  const bool user_page = (walk.combined_and() & kUser) != 0;
  const bool writable_page = (walk.combined_and() & kWritable) != 0;
  const bool no_execute = (state.efer & kEferNxe) != 0 && (walk.combined_or() & kNoExecute) != 0;
  Rights rights;
  if (access.user) {
    rights.read = user_page;
    rights.write = user_page && writable_page;
    rights.fetch = user_page && !no_execute;
  } else {
    const bool smap_denies = user_page && (state.cr4 & kCr4Smap) != 0 &&
                             (access.implicit || (state.rflags & kFlagAc) == 0);
    rights.read = !smap_denies;
    rights.write = !smap_denies && (writable_page || (state.cr0 & kCr0Wp) == 0);
    rights.fetch = !no_execute && !(user_page && (state.cr4 & kCr4Smep) != 0);
  }
  if (user_page && state.long_mode() && (state.cr4 & kCr4Pke) != 0) {
    const auto key = static_cast<unsigned>(bits(walk.leaf(), 59, 4));
    apply_protection_key(state, access.user, key, rights);
  }
  return rights;
}

// The error code without P, RSVD and PK (SDM vol. 3 4.7).
u32 base_error_code(const CpuState& state, PageAccess access) {
  u32 code = 0;
  if (access.write) code |= kPfWrite;
  if (access.user) code |= kPfUser;
  const bool reports_fetch =
      (state.cr4 & kCr4Smep) != 0 || ((state.cr4 & kCr4Pae) != 0 && (state.efer & kEferNxe) != 0);
  if (access.fetch && reports_fetch) code |= kPfFetch;
  return code;
}

// Zero if the access is allowed, else the error-code bits to add.
u32 denial(const Rights& rights, PageAccess access) {
  const bool allowed = access.fetch ? rights.fetch : access.write ? rights.write : rights.read;
  if (!allowed) return kPfPresent;
  if (access.fetch) return 0;
  const bool key_denies = access.write ? rights.key_denies_write : rights.key_denies_read;
  return key_denies ? kPfPresent | kPfProtectionKey : 0;
}

// Sets accessed bits everywhere and, for a write, the leaf's dirty bit. False if an entry changed
// meanwhile: walk again.
bool update_accessed_dirty(CpuCore& core, const Format& format, Walk& walk, bool write) {
  for (unsigned i = 0; i < walk.count; ++i) {
    u64 wanted = walk.entries[i] | kAccessed;
    if (write && i + 1 == walk.count) wanted |= kDirty;
    if (wanted == walk.entries[i]) continue;
    if (!core.memory.compare_exchange_phys(walk.addresses[i], format.entry_bytes, walk.entries[i],
                                           wanted)) {
      return false;
    }
    walk.entries[i] = wanted;
  }
  return true;
}

void fill(const CpuState& state, u64 linear, const Walk& walk, const Rights& rights,
          PageTranslation& out) {
  const u64 leaf = walk.leaf();
  out.physical = PhysAddr{walk.frame | (linear & low_mask(walk.page_shift))};
  out.page_bytes = u64{1} << walk.page_shift;
  out.readable = rights.read && !rights.key_denies_read;
  out.writable = rights.write && !rights.key_denies_write && (leaf & kDirty) != 0;
  out.executable = rights.fetch;
  out.user_page = (walk.combined_and() & kUser) != 0;
  out.global = (leaf & kGlobal) != 0 && (state.cr4 & kCr4Pge) != 0;
  out.protection_key = state.long_mode() ? static_cast<u8>(bits(leaf, 59, 4)) : u8{0};
}

void fill_identity(u64 linear, PageTranslation& out) {
  out.physical = PhysAddr{linear & 0xffffffff};
  out.page_bytes = kGiB;
  out.readable = out.writable = out.executable = out.user_page = true;
  out.global = false;
  out.protection_key = 0;
}

// The fault that ends a walk, if any.
Fault judge(const CpuState& state, u64 linear, PageAccess access, WalkEnd end, const Walk& walk,
            Rights& rights) {
  const u32 code = base_error_code(state, access);
  if (end == WalkEnd::kNotPresent) return Fault::page(linear, code);
  if (end == WalkEnd::kReserved) return Fault::page(linear, code | kPfPresent | kPfReserved);
  rights = rights_of(state, walk, access);
  const u32 why = denial(rights, access);
  return why != 0 ? Fault::page(linear, code | why) : Fault::none();
}

}  // namespace

Fault walk_page(CpuCore& core, LinearAddr linear, PageAccess access,
                PageTranslation& out) noexcept {
  const CpuState& state = core.state;
  if ((state.cr0 & kCr0Pg) == 0) {
    fill_identity(linear.value, out);
    return Fault::none();
  }
  const u64 address = state.long_mode() ? linear.value : linear.value & 0xffffffff;
  const Format format = select_format(state, address);
  revalidate(core.paging_cache, state);
  bool may_use_cache = true;
  // Another processor may change an entry under us any number of times, but each time it made
  // progress itself; a device register as page table could refuse for ever, hence the bound.
  for (unsigned attempt = 0;; ++attempt) {
    Walk walk;
    Rights rights;
    WalkEnd end{};
    const bool cached = may_use_cache && walk_cached(core, address, format, walk, end);
    if (!cached) end = walk_tables(core, address, format, walk);
    if (Fault f = judge(state, address, access, end, walk, rights)) {
      if (!cached) return f;
      may_use_cache = false;  // a fault is only reported from memory (SDM vol. 3 4.10.4.1)
      continue;
    }
    if (update_accessed_dirty(core, format, walk, access.write) || attempt == 64) {
      if (!cached) remember(core, address, format, walk);
      fill(state, address, walk, rights, out);
      return Fault::none();
    }
  }
}

bool translate_for_debugger(CpuCore& core, LinearAddr linear, PhysAddr& out) noexcept {
  const CpuState& state = core.state;
  if ((state.cr0 & kCr0Pg) == 0) {
    out = PhysAddr{linear.value & 0xffffffff};
    return true;
  }
  const u64 address = state.long_mode() ? linear.value : linear.value & 0xffffffff;
  Walk walk;
  if (walk_tables(core, address, select_format(state, address), walk) != WalkEnd::kMapped) {
    return false;
  }
  out = PhysAddr{walk.frame | (address & low_mask(walk.page_shift))};
  return true;
}

Fault read_pdptes(CpuCore& core, u64 cr3, u64 (&out)[4]) noexcept {
  const u64 reserved = ~low_mask(core.features.phys_bits) | 0x1e6;
  u64 entries[4];
  for (unsigned i = 0; i < 4; ++i) {
    entries[i] = core.memory.read_phys(PhysAddr{(cr3 & 0xffffffe0) + i * 8}, 8);
    if ((entries[i] & kPresent) != 0 && (entries[i] & reserved) != 0) return Fault::gp();
  }
  for (unsigned i = 0; i < 4; ++i) out[i] = entries[i];
  return Fault::none();
}

}  // namespace emu
