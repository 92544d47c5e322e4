// SPDX-License-Identifier: Apache-2.0
#include "machine/boot/linux_boot.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/bits.h"
#include "machine/boot/e820.h"
#include "machine/boot/text_screen.h"

namespace emu {
namespace {

// Below 640 KiB, where nothing else is when there is no firmware.
constexpr u64 kGdt = 0x11000;
constexpr u64 kPageTables = 0x12000;  // PML4, PDPT, four page directories
constexpr u64 kCommandLine = 0x20000;
constexpr u64 kStackTop = 0x10000;
constexpr u64 kCommandLineLimit = 0x10000;
constexpr u64 kMaxInitrdBytes = 3 * kGiB;
constexpr u64 kEntry64Offset = 0x200;

constexpr u16 kCodeSelector = 0x10, kDataSelector = 0x18;
constexpr u16 kFlat = kSegPresent | kSegNotSystem | kSegAccessed | kSegGranularity;

// Zero-page offsets.
constexpr std::size_t kRsdp = 0x070, kInitrdHigh = 0x0c0, kE820Count = 0x1e8, kHeader = 0x1f1,
                      kLoaderType = 0x210, kLoadFlags = 0x211, kCode32Start = 0x214,
                      kInitrdAddress = 0x218, kInitrdSize = 0x21c, kHeapEnd = 0x224,
                      kCommandLinePointer = 0x228, kVideoMode = 0x1fa, kE820Table = 0x2d0;

std::vector<u8> boot_params(const BzImage& image, const BootChunk& initrd, u64 rsdp_address,
                            u64 load_address, const MemoryLayout& memory) {
  std::vector<u8> page(kPageBytes);
  std::memcpy(page.data() + kHeader, image.file.data() + kHeader, image.header_bytes);
  u8* const p = page.data();
  store_le<u64>(p + kRsdp, rsdp_address);
  store_le<u16>(p + kVideoMode, 0xffff);                  // normal
  p[kLoaderType] = 0xff;                                  // no assigned number
  p[kLoadFlags] = static_cast<u8>(p[kLoadFlags] | 0x80);  // the heap end is valid
  store_le<u32>(p + kCode32Start, static_cast<u32>(load_address));
  store_le<u16>(p + kHeapEnd, 0xfe00);
  store_le<u32>(p + kCommandLinePointer, static_cast<u32>(kCommandLine));
  store_le<u32>(p + kInitrdAddress, static_cast<u32>(initrd.address));
  store_le<u32>(p + kInitrdSize, static_cast<u32>(initrd.bytes.size()));
  store_le<u32>(p + kInitrdHigh, 0);
  const std::vector<u8> map = pack_e820(direct_boot_memory_map(memory));
  p[kE820Count] = static_cast<u8>(map.size() / 20);
  std::memcpy(p + kE820Table, map.data(), map.size());
  return page;
}

// Flat segments at the selectors that the boot protocol names.
std::vector<u8> descriptors(bool long_mode) {
  std::vector<u8> table(4 * 8);
  store_le<u64>(table.data() + kCodeSelector,
                long_mode ? u64{0x00af9b000000ffff} : u64{0x00cf9b000000ffff});
  store_le<u64>(table.data() + kDataSelector, u64{0x00cf93000000ffff});
  return table;
}

// Identity map of the first 4 GiB in 2 MiB pages.
std::vector<u8> identity_map() {
  constexpr u64 kTable = 0x3, kLargePage = 0x83;  // present, writable; page size
  std::vector<u8> tables(6 * kPageBytes);
  store_le<u64>(tables.data(), (kPageTables + kPageBytes) | kTable);
  for (u64 i = 0; i < 4; ++i) {
    store_le<u64>(tables.data() + kPageBytes + i * 8,
                  (kPageTables + (2 + i) * kPageBytes) | kTable);
  }
  for (u64 i = 0; i < 2048; ++i) {
    store_le<u64>(tables.data() + 2 * kPageBytes + i * 8, (i << 21) | kLargePage);
  }
  return tables;
}

// The words of the BIOS data area that a kernel looks at.
BootChunk bios_data_area() {
  BootChunk chunk{0x400, std::vector<u8>(0x100)};
  store_le<u16>(chunk.bytes.data() + 0x00, 0x3f8);           // first serial port
  store_le<u16>(chunk.bytes.data() + 0x0e, kEbdaBase >> 4);  // extended BIOS data area
  store_le<u16>(chunk.bytes.data() + 0x13, kEbdaBase / kKiB);
  return chunk;
}

Result<BootChunk> place_initrd(const std::string& path, const BzImage& image, u64 kernel_end,
                               const MemoryLayout& memory) {
  BootChunk chunk;
  if (path.empty()) return chunk;
  auto contents = read_file(path, kMaxInitrdBytes);
  if (!contents) return fail("--initrd: {}", contents.error().message);
  const u64 top = std::min(memory.low_bytes, image.initrd_max + 1);
  const u64 bytes = contents->size();
  if (bytes > top || align_down(top - bytes, kPageBytes) < kernel_end) {
    return fail("{} MiB of memory are too little for this kernel and {}; use -m {}M",
                (memory.low_bytes + memory.high_bytes) / kMiB, path,
                align_up(kernel_end + bytes + 64 * kMiB, 64 * kMiB) / kMiB);
  }
  chunk.address = align_down(top - bytes, kPageBytes);
  chunk.bytes = std::move(*contents);
  return chunk;
}

Segment flat_segment(u16 selector, unsigned attributes) {
  Segment s;
  s.limit = 0xffffffff;
  s.selector = selector;
  s.attributes = static_cast<u16>(attributes);
  return s;
}

}  // namespace

Result<LinuxBoot> LinuxBoot::prepare(const LinuxBootConfig& config, const MemoryLayout& memory,
                                     u64 rsdp_address) {
  auto image = BzImage::read(config.kernel);
  if (!image) return image.error();
  if (config.command_line.size() > image->command_line_max ||
      config.command_line.size() >= kCommandLineLimit) {
    return fail("--append is {} bytes long; this kernel takes {}", config.command_line.size(),
                image->command_line_max);
  }
  const u64 needed = std::max<u64>(image->init_bytes, image->kernel().size());
  if (image->load_address + needed > memory.low_bytes) {
    return fail("{} needs {} MiB of memory to start; use -m {}M", config.kernel,
                (image->load_address + needed) / kMiB + 1,
                align_up(image->load_address + needed + 32 * kMiB, 64 * kMiB) / kMiB);
  }
  auto initrd = place_initrd(config.initrd, *image, image->load_address + needed, memory);
  if (!initrd) return initrd.error();

  LinuxBoot out;
  out.long_mode = image->has_64bit_entry;
  out.entry = image->load_address + (out.long_mode ? kEntry64Offset : 0);
  const std::span<const u8> kernel = image->kernel();
  out.chunks.push_back(bios_data_area());
  out.chunks.push_back(
      {kBootParams, boot_params(*image, *initrd, rsdp_address, image->load_address, memory)});
  out.chunks.push_back({kGdt, descriptors(out.long_mode)});
  if (out.long_mode) out.chunks.push_back({kPageTables, identity_map()});
  std::vector<u8> command_line(config.command_line.begin(), config.command_line.end());
  command_line.push_back(0);
  out.chunks.push_back({kCommandLine, std::move(command_line)});
  out.chunks.push_back({image->load_address, {kernel.begin(), kernel.end()}});
  if (!initrd->bytes.empty()) out.chunks.push_back(std::move(*initrd));
  return out;
}

void LinuxBoot::announce_text_mode() {
  for (BootChunk& chunk : chunks) {
    if (chunk.address == kBootParams) describe_text_mode(chunk.bytes);
  }
}

void LinuxBoot::enter(CpuState& state) const {
  state.cr0 = kCr0Pe | kCr0Et | kCr0Ne;
  state.gdtr.base = kGdt;
  state.gdtr.limit = 4 * 8 - 1;
  const unsigned code = kFlat | kSegCode | kSegReadable;
  state.segments[kCs] = flat_segment(kCodeSelector, code | (long_mode ? kSegLong : kSegBig));
  for (const SegmentIndex index : {kEs, kSs, kDs, kFs, kGs}) {
    state.segments[index] = flat_segment(kDataSelector, kFlat | kSegBig | kSegWritable);
  }
  if (long_mode) {
    state.cr0 |= kCr0Pg;
    state.cr3 = kPageTables;
    state.cr4 = kCr4Pae;
    state.efer = kEferLme | kEferLma;
  }
  std::fill(std::begin(state.gpr), std::end(state.gpr), 0);
  state.gpr[kRsi] = kBootParams;
  state.gpr[kRsp] = kStackTop;
  state.rip = entry;
  state.rflags = kFlagFixed1;
}

}  // namespace emu
