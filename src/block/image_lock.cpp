// SPDX-License-Identifier: Apache-2.0
// Image locks, and the search for who holds them.
// Not modelled: a holder in another pid namespace or machine cannot be named.
#include "block/image_lock.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <optional>

#include "base/types.h"

namespace emu {
namespace {

constexpr u64 kPermissionBase = 100;
constexpr u64 kNotSharedBase = 200;
// Permission numbers in qemu's order: consistent read 0, write 1, write unchanged 2, resize 3.
constexpr unsigned kRead = 1u << 0;
constexpr unsigned kWrite = 1u << 1;
constexpr unsigned kResize = 1u << 3;
constexpr unsigned kPermissions = 4;

struct flock range_lock(short type, u64 start) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(start);
  lock.l_len = 1;
  return lock;
}

// Takes a shared lock on each byte of the set. False: this file system has no such locks.
bool take(int fd, u64 base, unsigned set) {
  for (unsigned i = 0; i < kPermissions; ++i) {
    if ((set >> i & 1) == 0) continue;
    struct flock lock = range_lock(F_RDLCK, base + i);
    if (::fcntl(fd, F_OFD_SETLK, &lock) != 0) return false;
  }
  return true;
}

// Whether somebody else locks one of the bytes.
bool is_taken(int fd, u64 base, unsigned set) {
  for (unsigned i = 0; i < kPermissions; ++i) {
    if ((set >> i & 1) == 0) continue;
    struct flock lock = range_lock(F_WRLCK, base + i);
    if (::fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK) return true;
  }
  return false;
}

struct DirCloser {
  void operator()(DIR* dir) const { ::closedir(dir); }
};
using Dir = std::unique_ptr<DIR, DirCloser>;

template <class F>
void each_number(const std::string& path, F&& visit) {
  const Dir dir(::opendir(path.c_str()));
  if (!dir) return;
  while (const dirent* entry = ::readdir(dir.get())) {
    char* end = nullptr;
    const long number = std::strtol(entry->d_name, &end, 10);
    if (*entry->d_name != 0 && *end == 0) visit(number);
  }
}

bool has_lock(const std::string& fdinfo) {
  std::ifstream in(fdinfo);
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("lock:")) return true;
  }
  return false;
}

// An open file description lock carries no pid (fcntl reports -1), so look for a descriptor that is
// open on the same inode, and prefer one whose fdinfo shows a lock.
std::optional<long> find_holder(int own_fd) {
  struct stat own {};
  if (::fstat(own_fd, &own) != 0) return std::nullopt;
  std::optional<long> locked;
  std::optional<long> opened;
  each_number("/proc", [&](long pid) {
    const std::string process = "/proc/" + std::to_string(pid);
    each_number(process + "/fd", [&](long fd) {
      if (pid == ::getpid() && fd == own_fd) return;
      struct stat st {};
      const std::string link = process + "/fd/" + std::to_string(fd);
      if (::stat(link.c_str(), &st) != 0 || st.st_dev != own.st_dev || st.st_ino != own.st_ino)
        return;
      opened = pid;
      if (has_lock(process + "/fdinfo/" + std::to_string(fd))) locked = pid;
    });
  });
  return locked ? locked : opened;
}

std::string name_of_holder(int own_fd) {
  const auto pid = find_holder(own_fd);
  if (!pid) return "another program (its process is not visible from here)";
  if (*pid == ::getpid()) return fmt::format("this same emu (pid {})", *pid);
  std::ifstream in("/proc/" + std::to_string(*pid) + "/comm");
  std::string command;
  std::getline(in, command);
  return fmt::format("{} (pid {})", command.empty() ? "a process" : command, *pid);
}

}  // namespace

Result<void> lock_image(int fd, const std::string& path, bool for_writing) {
  const unsigned wanted = for_writing ? kRead | kWrite | kResize : kRead;
  const unsigned not_shared = kWrite | kResize;
  if (!take(fd, kPermissionBase, wanted) || !take(fd, kNotSharedBase, not_shared)) return {};
  if (!is_taken(fd, kNotSharedBase, wanted) && !is_taken(fd, kPermissionBase, not_shared))
    return {};
  const std::string holder = name_of_holder(fd);
  return Error{EAGAIN,
               fmt::format("{} is in use by {}; stop it first, or work on a copy{}", path, holder,
                           for_writing ? " (two writers would destroy the image)" : "")};
}

}  // namespace emu
