// SPDX-License-Identifier: Apache-2.0
#include "tcg/perf_map.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>

namespace emu {
namespace {

constexpr std::size_t kPendingBytes = 64 * kKiB;

}  // namespace

Result<std::unique_ptr<PerfMap>> PerfMap::create() {
  const std::string path = fmt::format("/tmp/perf-{}.map", ::getpid());
  UniqueFd fd(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!fd) return fail_errno(errno, "--perf-map: cannot write {}", path);
  return std::unique_ptr<PerfMap>(new PerfMap(std::move(fd)));
}

void PerfMap::add(const u8* code, u64 size_bytes, std::string_view name) {
  fmt::format_to(std::back_inserter(pending_), "{:x} {:x} {}\n",
                 __builtin_bit_cast(std::uintptr_t, code), size_bytes, name);
  if (pending_.size() >= kPendingBytes) flush();
}

void PerfMap::add_block(const u8* code, u64 size_bytes, u64 guest_rip) {
  add(code, size_bytes, fmt::format("guest_{:#x}", guest_rip));
}

// A profile without its last names is better than no machine: errors are ignored.
void PerfMap::flush() {
  for (std::string_view rest = pending_; !rest.empty();) {
    const ssize_t written = ::write(fd_.get(), rest.data(), rest.size());
    if (written <= 0) break;
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
  pending_.clear();
}

}  // namespace emu
