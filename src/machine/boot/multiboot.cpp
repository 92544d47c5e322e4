// SPDX-License-Identifier: Apache-2.0
#include "machine/boot/multiboot.h"

#include <elf.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "base/bits.h"
#include "machine/boot/bzimage.h"
#include "machine/boot/e820.h"

namespace emu {
namespace {

constexpr u64 kSearchBytes = 8192, kMaxFileBytes = 512 * kMiB;
constexpr u32 kHeaderMagic = 0x1badb002, kLoaderMagic = 0x2badb002;
// Header flags: below 16 are demands, of which we know three (pages, memory, video).
constexpr u32 kKnownDemands = 7, kHasAddresses = 1 << 16;
constexpr u64 kHeaderBytes = 12, kHeaderWithAddressesBytes = 32;

// Information flags and offsets (section 3.3).
constexpr u32 kInfoMemory = 1 << 0, kInfoCommandLine = 1 << 2, kInfoModules = 1 << 3,
              kInfoMap = 1 << 6, kInfoLoaderName = 1 << 9;
constexpr u64 kInfoBytes = 120, kModuleBytes = 16, kMapEntryBytes = 24;
constexpr u64 kConventionalFrom = 0x10000, kConventionalTo = kEbdaBase;

std::optional<u64> find_header(std::span<const u8> file) {
  const u64 end = std::min<u64>(file.size(), kSearchBytes);
  for (u64 at = 0; at + kHeaderBytes <= end; at += 4) {
    const u8* const p = file.data() + at;
    if (load_le<u32>(p) != kHeaderMagic) continue;
    if (load_le<u32>(p) + load_le<u32>(p + 4) + load_le<u32>(p + 8) == 0) return at;
  }
  return std::nullopt;
}

bool overlaps(const std::vector<BootChunk>& chunks, u64 from, u64 to) {
  return std::any_of(chunks.begin(), chunks.end(),
                     [&](const BootChunk& c) { return from < c.end() && c.address < to; });
}

// Collects segments and checks each.
class Loader {
 public:
  Loader(std::span<const u8> file, u64 memory_bytes, const std::string& name)
      : file_(file), memory_bytes_(memory_bytes), name_(name) {}

  // `file_bytes` from `offset` of the file at `address`, then zeros up to `memory_bytes`.
  [[nodiscard]] Result<void> add(u64 address, u64 offset, u64 file_bytes, u64 memory_bytes) {
    if (memory_bytes < file_bytes) memory_bytes = file_bytes;
    if (memory_bytes == 0) return {};
    if (offset > file_.size() || file_bytes > file_.size() - offset) {
      return fail("{} is truncated: a segment ends at byte {}, the file has {}", name_,
                  offset + file_bytes, file_.size());
    }
    if (address > memory_bytes_ || memory_bytes > memory_bytes_ - address) {
      return fail("{} needs memory up to {:#x}; use -m {}M", name_, address + memory_bytes,
                  (address + memory_bytes) / kMiB + 16);
    }
    if (overlaps(image.segments, address, address + memory_bytes)) {
      return fail("{} is damaged: its segments overlap at {:#x}", name_, address);
    }
    BootChunk chunk{address, std::vector<u8>(memory_bytes)};
    std::copy_n(file_.begin() + static_cast<std::ptrdiff_t>(offset), file_bytes,
                chunk.bytes.begin());
    image.segments.push_back(std::move(chunk));
    return {};
  }

  [[nodiscard]] Result<void> add_elf() {
    Elf32_Ehdr header{};
    if (file_.size() < sizeof header) return fail("{} is truncated", name_);
    std::memcpy(&header, file_.data(), sizeof header);
    if (header.e_ident[EI_CLASS] != ELFCLASS32) {
      return fail("{} is a 64-bit ELF file; Multiboot 1 starts 32-bit ones (objcopy -O elf32-i386)",
                  name_);
    }
    const u64 table_bytes = u64{header.e_phnum} * sizeof(Elf32_Phdr);
    if (header.e_phentsize != sizeof(Elf32_Phdr) || header.e_phoff > file_.size() ||
        table_bytes > file_.size() - header.e_phoff) {
      return fail("{} is a damaged ELF file: its program headers are not in it", name_);
    }
    image.entry = header.e_entry;
    for (unsigned i = 0; i < header.e_phnum; ++i) {
      Elf32_Phdr part{};
      std::memcpy(&part, file_.data() + header.e_phoff + i * sizeof part, sizeof part);
      if (part.p_type != PT_LOAD) continue;
      EMU_TRY(add(part.p_paddr, part.p_offset, part.p_filesz, part.p_memsz));
      // The entry point is a virtual address.
      if (header.e_entry - part.p_vaddr < part.p_memsz && header.e_entry >= part.p_vaddr) {
        image.entry = header.e_entry - part.p_vaddr + part.p_paddr;
      }
    }
    if (image.segments.empty()) return fail("{} is an ELF file with nothing to load", name_);
    return {};
  }

  // Section 3.1.3.
  [[nodiscard]] Result<void> add_by_addresses(u64 at) {
    if (at + kHeaderWithAddressesBytes > file_.size()) return fail("{} is truncated", name_);
    const u8* const p = file_.data() + at;
    const u64 header_address = load_le<u32>(p + 12), load = load_le<u32>(p + 16),
              load_end = load_le<u32>(p + 20), bss_end = load_le<u32>(p + 24);
    image.entry = load_le<u32>(p + 28);
    const u64 before = header_address - load;
    if (load > header_address || before > at || (load_end != 0 && load_end < load) ||
        (bss_end != 0 && bss_end < load_end)) {
      return fail("{} is damaged: the load addresses in its Multiboot header are out of order",
                  name_);
    }
    const u64 offset = at - before;
    const u64 bytes = load_end != 0 ? load_end - load : file_.size() - offset;
    return add(load, offset, bytes, bss_end > load ? bss_end - load : bytes);
  }

  MultibootImage image;

 private:
  std::span<const u8> file_;
  const u64 memory_bytes_;
  const std::string& name_;
};

struct Module {
  std::string arguments;  // with the file's name
  u64 start = 0, end = 0;
};

// "FILE ARGUMENTS,FILE ARGUMENTS": loads each file behind `chunks`.
Result<std::vector<Module>> load_modules(const std::string& list, u64 memory_bytes,
                                         std::vector<BootChunk>& chunks) {
  std::vector<Module> modules;
  u64 at = kMiB;
  for (const BootChunk& c : chunks) at = std::max(at, c.end());
  for (std::size_t from = 0; from < list.size();) {
    const std::size_t comma = std::min(list.find(',', from), list.size());
    const std::string one = list.substr(from, comma - from);
    from = comma + 1;
    if (one.empty()) continue;
    auto contents = read_file(one.substr(0, one.find(' ')), kMaxFileBytes);
    if (!contents) return contents.error();
    at = align_up(at, kPageBytes);
    if (at > memory_bytes || contents->size() > memory_bytes - at) {
      return fail("{} does not fit into memory; use -m {}M", one,
                  (at + contents->size()) / kMiB + 16);
    }
    modules.push_back({one, at, at + contents->size()});
    chunks.push_back({at, std::move(*contents)});
    at = modules.back().end;
  }
  return modules;
}

// Writes the information structure and what it points to as one chunk.
class InfoWriter {
 public:
  InfoWriter(u64 address, u64 bytes) : chunk{address, std::vector<u8>(bytes)} {}

  void put32(u64 offset, u64 value) {
    store_le(chunk.bytes.data() + offset, static_cast<u32>(value));
  }
  u64 put_string(const std::string& text) {
    const u64 at = used;
    std::copy(text.begin(), text.end(), chunk.bytes.begin() + static_cast<std::ptrdiff_t>(at));
    used += text.size() + 1;
    return chunk.address + at;
  }
  void put_map(const std::vector<E820Entry>& map) {
    put32(44, map.size() * kMapEntryBytes);
    put32(48, chunk.address + used);
    for (const E820Entry& e : map) {
      put32(used, kMapEntryBytes - 4);
      store_le(chunk.bytes.data() + used + 4, e.base);
      store_le(chunk.bytes.data() + used + 12, e.length_bytes);
      put32(used + 20, e.type);
      used += kMapEntryBytes;
    }
  }
  void put_modules(const std::vector<Module>& modules) {
    put32(20, modules.size());
    put32(24, chunk.address + used);
    u64 entry = used;
    used += modules.size() * kModuleBytes;
    for (const Module& m : modules) {
      put32(entry, m.start);
      put32(entry + 4, m.end);
      put32(entry + 8, put_string(m.arguments));
      entry += kModuleBytes;
    }
  }

  BootChunk chunk;
  u64 used = kInfoBytes;
};

// A free place for `bytes`: conventional memory first, where no kernel expects free memory to
// start.
std::optional<u64> find_room(const std::vector<BootChunk>& chunks, u64 bytes, u64 memory_bytes) {
  for (u64 at = kConventionalFrom; at + bytes <= std::min(kConventionalTo, memory_bytes);
       at += kPageBytes) {
    if (!overlaps(chunks, at, at + bytes)) return at;
  }
  u64 at = kMiB;
  for (const BootChunk& c : chunks) at = std::max(at, align_up(c.end(), kPageBytes));
  if (at + bytes > memory_bytes) return std::nullopt;
  return at;
}

Segment flat(u16 selector, unsigned type) {
  Segment s;
  s.limit = 0xffffffff;
  s.selector = selector;
  s.attributes = static_cast<u16>(kSegPresent | kSegNotSystem | kSegAccessed | kSegGranularity |
                                  kSegBig | type);
  return s;
}

}  // namespace

bool MultibootImage::has_header(std::span<const u8> start) {
  return find_header(start).has_value();
}

Result<MultibootImage> MultibootImage::parse(std::span<const u8> file, u64 memory_bytes,
                                             const std::string& name) {
  const auto at = find_header(file);
  if (!at) return fail("{} has no Multiboot header", name);
  const u32 flags = load_le<u32>(file.data() + *at + 4);
  if ((flags & 0xffff & ~kKnownDemands) != 0) {
    return fail("{} asks for Multiboot features that do not exist (header flags {:#x})", name,
                flags);
  }
  Loader loader(file, memory_bytes, name);
  const bool elf = file.size() >= SELFMAG && std::memcmp(file.data(), ELFMAG, SELFMAG) == 0;
  if ((flags & kHasAddresses) != 0) {
    EMU_TRY(loader.add_by_addresses(*at));
  } else if (elf) {
    EMU_TRY(loader.add_elf());
  } else {
    return fail("{} is neither an ELF file nor says where it wants to be loaded", name);
  }
  return std::move(loader.image);
}

Result<MultibootBoot> MultibootBoot::prepare(const LinuxBootConfig& config,
                                             const MemoryLayout& memory) {
  auto file = read_file(config.kernel, kMaxFileBytes);
  if (!file) return file.error();
  auto image = MultibootImage::parse(*file, memory.low_bytes, config.kernel);
  if (!image) return image.error();
  MultibootBoot out;
  out.entry = image->entry;
  out.chunks = std::move(image->segments);
  auto modules = load_modules(config.initrd, memory.low_bytes, out.chunks);
  if (!modules) return modules.error();

  const std::vector<E820Entry> map = direct_boot_memory_map(memory);
  const std::string command_line =
      config.command_line.empty() ? config.kernel : config.kernel + " " + config.command_line;
  const std::string loader_name = "emu";
  u64 bytes = kInfoBytes + map.size() * kMapEntryBytes + command_line.size() + loader_name.size();
  for (const Module& m : *modules) bytes += kModuleBytes + m.arguments.size() + 1;
  bytes += 2;
  const auto at = find_room(out.chunks, bytes, memory.low_bytes);
  if (!at)
    return fail("{} leaves no memory for what it has to be told; use a larger -m", config.kernel);

  InfoWriter info(*at, bytes);
  info.put32(0, kInfoMemory | kInfoCommandLine | kInfoModules | kInfoMap | kInfoLoaderName);
  info.put32(4, kConventionalTo / kKiB);
  info.put32(8, memory.low_bytes > kMiB ? (memory.low_bytes - kMiB) / kKiB : 0);
  info.put_map(map);
  info.put_modules(*modules);
  info.put32(16, info.put_string(command_line));
  info.put32(64, info.put_string(loader_name));
  out.info_address = static_cast<u32>(*at);
  out.chunks.push_back(std::move(info.chunk));
  return out;
}

void MultibootBoot::enter(CpuState& state) const {
  state.cr0 = kCr0Pe | kCr0Et | kCr0Ne;
  state.segments[kCs] = flat(0x08, kSegCode | kSegReadable);
  for (const SegmentIndex index : {kEs, kSs, kDs, kFs, kGs}) {
    state.segments[index] = flat(0x10, kSegWritable);
  }
  state.gpr[kRax] = kLoaderMagic;
  state.gpr[kRbx] = info_address;
  state.rip = entry;
  state.rflags = kFlagFixed1;
}

}  // namespace emu
