// SPDX-License-Identifier: Apache-2.0
#include "machine/snapshot.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "base/bits.h"

namespace emu {
namespace {

constexpr char kMagic[9] = "EMUSTATE";
constexpr u32 kVersion = 1;
constexpr u64 kEnd = ~u64{0};
constexpr u64 kMaxStateBytes = 256 * kMiB;
constexpr u64 kMaxPieceBytes = 4 * kMiB;

Result<void> write_all(int fd, std::span<const u8> bytes) {
  while (!bytes.empty()) {
    const ssize_t done = ::write(fd, bytes.data(), bytes.size());
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return fail_errno(errno, "cannot write the snapshot");
    bytes = bytes.subspan(static_cast<std::size_t>(done));
  }
  return {};
}

Result<void> read_all(int fd, std::span<u8> bytes) {
  while (!bytes.empty()) {
    const ssize_t done = ::read(fd, bytes.data(), bytes.size());
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return fail_errno(errno, "cannot read the snapshot");
    if (done == 0) return fail("the snapshot is truncated");
    bytes = bytes.subspan(static_cast<std::size_t>(done));
  }
  return {};
}

template <class T>
std::span<u8> raw(T& value) {
  return {reinterpret_cast<u8*>(&value), sizeof value};
}

bool all_zero(const u8* p, u64 bytes) {
  return p[0] == 0 && std::memcmp(p, p + 1, bytes - 1) == 0;
}

// Runs of pages with contents; holes of the memfd are skipped without touching them.
Result<void> save_ram(const GuestRam& ram, int fd) {
  for (u64 at = 0; at < ram.size_bytes();) {
    const off_t data = ::lseek(ram.fd(), static_cast<off_t>(at), SEEK_DATA);
    if (data < 0) break;  // ENXIO: nothing more
    const off_t hole = ::lseek(ram.fd(), data, SEEK_HOLE);
    const u64 end =
        hole < 0 ? ram.size_bytes() : std::min(static_cast<u64>(hole), ram.size_bytes());
    at = static_cast<u64>(data);
    while (at < end) {
      u64 length = std::min(end - at, kMaxPieceBytes);
      // SAFETY: [at, at + length) lies in the block; the vCPUs stand still.
      const u8* const p = ram.host() + at;
      if (!all_zero(p, length)) {
        u64 head[2]{at, length};
        EMU_TRY(write_all(fd, raw(head)));
        EMU_TRY(write_all(fd, {p, length}));
      }
      at += length;
    }
  }
  u64 end[2]{kEnd, 0};
  return write_all(fd, raw(end));
}

Result<void> load_ram(GuestRam& ram, int fd) {
  const auto size = static_cast<off_t>(ram.size_bytes());
  if (::fallocate(ram.fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, size) != 0) {
    // SAFETY: the whole block; the vCPUs stand still.
    std::memset(ram.host(), 0, ram.size_bytes());
  }
  for (;;) {
    u64 head[2];
    EMU_TRY(read_all(fd, raw(head)));
    if (head[0] == kEnd) break;
    if (head[1] > kMaxPieceBytes || !range_fits(head[0], head[1], ram.size_bytes())) {
      return fail("the snapshot is damaged: memory beyond the end of {}", ram.name());
    }
    // SAFETY: the range was checked just above.
    EMU_TRY(read_all(fd, {ram.host() + head[0], head[1]}));
  }
  ram.mark_written(0, ram.size_bytes());
  return {};
}

Result<void> load_checked(Machine& machine, int fd) {
  char magic[8];
  u32 version = 0;
  u64 length = 0;
  EMU_TRY(read_all(fd, raw(magic)));
  if (std::memcmp(magic, kMagic, sizeof magic) != 0) return fail("this file is no snapshot of emu");
  EMU_TRY(read_all(fd, raw(version)));
  if (version != kVersion) {
    return fail("the snapshot has version {}; this emu reads version {}", version, kVersion);
  }
  EMU_TRY(read_all(fd, raw(length)));
  if (length > kMaxStateBytes) return fail("the snapshot is damaged: its state is too long");
  std::vector<u8> bytes(length);
  EMU_TRY(read_all(fd, bytes));
  for (GuestRam* ram : machine.memory_blocks()) EMU_TRY(load_ram(*ram, fd));
  StateIo io = StateIo::loader(bytes);
  return machine.transfer(io);
}

}  // namespace

Result<void> save_machine(Machine& machine, int fd) {
  machine.settle_disks();
  StateIo io = StateIo::saver();
  EMU_TRY(machine.transfer(io));
  u32 version = kVersion;
  u64 length = io.bytes().size();
  EMU_TRY(write_all(fd, {reinterpret_cast<const u8*>(kMagic), 8}));
  EMU_TRY(write_all(fd, raw(version)));
  EMU_TRY(write_all(fd, raw(length)));
  EMU_TRY(write_all(fd, io.bytes()));
  for (const GuestRam* ram : machine.memory_blocks()) EMU_TRY(save_ram(*ram, fd));
  return {};
}

Result<void> load_machine(Machine& machine, int fd) {
  machine.settle_disks();
  const auto loaded = load_checked(machine, fd);
  if (!loaded) EMU_TRY(machine.return_to_reset());
  return loaded;
}

}  // namespace emu
