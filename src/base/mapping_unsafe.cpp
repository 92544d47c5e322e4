// SPDX-License-Identifier: Apache-2.0
// The mmap calls behind Mapping.
// Source: mmap(2).
// Threads: one owner; no locks.
#include "base/mapping.h"

#include <sys/mman.h>

#include <cerrno>

#include "base/bits.h"

namespace emu {

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  if (this != &other) {
    reset();
    address_ = std::exchange(other.address_, nullptr);
    size_bytes_ = std::exchange(other.size_bytes_, 0);
  }
  return *this;
}

Result<Mapping> Mapping::anonymous(u64 size_bytes) {
  const u64 rounded = align_up(size_bytes, kPageBytes);
  // SAFETY: a fresh private mapping at an address of the kernel's choice; the Mapping owns it.
  void* p = ::mmap(nullptr, rounded, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) return fail_errno(errno, "cannot map {} bytes of memory", rounded);
  return Mapping(p, rounded);
}

void Mapping::reset() {
  // SAFETY: the range came from mmap and nobody else unmaps it.
  if (address_ != nullptr) ::munmap(address_, size_bytes_);
  address_ = nullptr;
  size_bytes_ = 0;
}

}  // namespace emu
