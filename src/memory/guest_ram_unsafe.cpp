// SPDX-License-Identifier: Apache-2.0
// Guest RAM: a shared mapping of a memfd, and the per-page flag bytes.
// Source: memfd_create(2), mmap(2), sysinfo(2).
// Threads: see guest_ram.h.
#include <sys/mman.h>
#include <sys/sysinfo.h>

#include <algorithm>
#include <cerrno>

#include "memory/guest_ram.h"

namespace emu {
namespace {

// RAM plus swap of this host. Pages of a memfd are only committed when touched: without this check
// a guest that is too large would start and be killed later.
u64 host_memory_bytes() {
  struct sysinfo info {};
  if (::sysinfo(&info) != 0) return ~u64{0};
  return (u64{info.totalram} + u64{info.totalswap}) * info.mem_unit;
}

}  // namespace

Result<std::unique_ptr<GuestRam>> GuestRam::create(std::string name, u64 size_bytes) {
  EMU_CHECK(size_bytes != 0 && size_bytes % kPageBytes == 0);
  if (const u64 host = host_memory_bytes(); size_bytes > host) {
    return fail(
        "guest memory \"{}\" of {} MiB is more than the {} MiB that this host has: ask for less",
        name, size_bytes / kMiB, host / kMiB);
  }
  UniqueFd fd(::memfd_create(name.c_str(), MFD_CLOEXEC));
  if (!fd) return fail_errno(errno, "cannot create guest memory \"{}\"", name);
  if (::ftruncate(fd.get(), static_cast<off_t>(size_bytes)) != 0)
    return fail_errno(errno, "cannot reserve {} MiB for guest memory \"{}\"", size_bytes / kMiB,
                      name);
  // SAFETY: a fresh shared mapping at an address of the kernel's choice; Mapping unmaps it.
  void* p =
      ::mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd.get(), 0);
  if (p == MAP_FAILED)
    return fail_errno(errno, "cannot map {} MiB for guest memory \"{}\"", size_bytes / kMiB, name);
  Mapping mapping(p, size_bytes);
  // SAFETY: advice about our own mapping; huge pages are a matter of speed, so refusal is fine.
  (void)::madvise(p, size_bytes, MADV_HUGEPAGE);
  return std::unique_ptr<GuestRam>(
      new GuestRam(std::move(name), std::move(fd), std::move(mapping)));
}

GuestRam::GuestRam(std::string name, UniqueFd fd, Mapping mapping)
    : name_(std::move(name)),
      fd_(std::move(fd)),
      mapping_(std::move(mapping)),
      flags_(new std::atomic<u8>[mapping_.size_bytes() / kPageBytes]) {
  for (u64 page = 0; page < size_bytes() / kPageBytes; ++page)
    flags_[page].store(kAllClients, std::memory_order_relaxed);
}

GuestRam::~GuestRam() = default;

void GuestRam::notify_code_written(u64 page, u64 offset, u64 length_bytes) {
  CodeWriteObserver* observer = observer_.load();
  if (observer == nullptr) return;
  const u64 from = std::max(offset, page * kPageBytes);
  const u64 to = std::min(offset + length_bytes, (page + 1) * kPageBytes);
  observer->code_written(from, to - from);
}

bool GuestRam::test_and_clear_dirty(DirtyClient client, u64 page) {
  const u8 bit = static_cast<u8>(client);
  const u8 before = flags_[page].fetch_and(static_cast<u8>(~bit));
  if ((before & bit) == 0) return false;
  if ((tracked_ & bit) != 0) {
    if (CleanObserver* observer = clean_observer_.load()) observer->page_cleaned(*this, page);
  }
  return true;
}

void GuestRam::set_code(u64 page, bool has_code) {
  if (has_code)
    flags_[page].fetch_or(kHasCode);
  else
    flags_[page].fetch_and(static_cast<u8>(~kHasCode));
}

void GuestRam::set_tracked(DirtyClient client, bool on) {
  const u8 bit = static_cast<u8>(client);
  if (!on) {
    tracked_ = static_cast<u8>(tracked_ & ~bit);
    return;
  }
  for (u64 page = 0; page < size_bytes() / kPageBytes; ++page) flags_[page].fetch_or(bit);
  tracked_ = static_cast<u8>(tracked_ | bit);
}

}  // namespace emu
