// SPDX-License-Identifier: Apache-2.0
#include <sys/mman.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "base/bits.h"
#include "base/check.h"
#include "tcg/code_cache.h"

namespace emu {
namespace {

constexpr u64 kReleaseBytes = 2 * kMiB;

}  // namespace

Result<CodeCache> CodeCache::create(u64 size_bytes) {
  size_bytes = align_up(size_bytes, kPageBytes);
  UniqueFd fd(::memfd_create("emu-code", MFD_CLOEXEC));
  if (!fd || ::ftruncate(fd.get(), static_cast<off_t>(size_bytes)) != 0) {
    return fail_errno(errno, "cannot make a code cache of {} MiB", size_bytes / kMiB);
  }
  // SAFETY: two views of memory nobody else has; the writable one is never executable and the
  // executable one never writable.
  void* write =
      ::mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd.get(), 0);
  if (write == MAP_FAILED) return fail_errno(errno, "cannot map the code cache");
  Mapping write_mapping(write, size_bytes);
  void* execute =
      ::mmap(nullptr, size_bytes, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_NORESERVE, fd.get(), 0);
  if (execute == MAP_FAILED) {
    return fail_errno(errno,
                      "cannot map executable memory: is a policy (SELinux execmem) against it?");
  }
  return CodeCache(std::move(write_mapping), Mapping(execute, size_bytes), size_bytes);
}

const u8* CodeCache::append(const u8* bytes, u64 length_bytes) {
  EMU_CHECK(length_bytes <= free_bytes());
  // SAFETY: inside the writable view; nothing executes above used_.
  std::memcpy(write_.data() + used_, bytes, length_bytes);
  const u8* at = execute_.data() + used_;
  used_ = align_up(used_ + length_bytes, 64);
  if (used_ > size_bytes_) used_ = size_bytes_;
  if (used_ - released_at_ >= kReleaseBytes) release_written();
  return at;
}

// Pages of the writable view count a second time as this process's memory, and are rarely needed
// again.
void CodeCache::release_written() {
  // SAFETY: of a shared mapping this drops page table entries only; the memfd keeps the contents.
  (void)::madvise(write_.data(), align_up(used_, kPageBytes), MADV_DONTNEED);
  released_at_ = used_;
}

void CodeCache::patch32(const u8* at, u32 value) const {
  // SAFETY: `at` is inside the executable view; one store within a cache line, so that a processor
  // that fetches it sees the old or the new target.
  auto* p = reinterpret_cast<u32*>(write_.data() + (at - execute_.data()));
  __atomic_store_n(p, value, __ATOMIC_RELEASE);
}

}  // namespace emu
