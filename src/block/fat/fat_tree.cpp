// SPDX-License-Identifier: Apache-2.0
// Walking the folder.
#include "block/fat/fat_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "base/log.h"
#include "base/unique_fd.h"

namespace emu::fat {
namespace {

struct CloseDir {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

class TreeReader {
 public:
  explicit TreeReader(const std::string& path) : path_(path) {}

  Result<std::vector<Node>> read(int root_fd) {
    Node root;
    root.is_folder = true;
    nodes_.push_back(std::move(root));
    EMU_TRY(read_folder(root_fd, 0, path_, 0));
    if (left_out_ != 0)
      log(LogLevel::kInfo, "block", "{}: {} links and special files are left out", path_,
          left_out_);
    return std::move(nodes_);
  }

 private:
  Result<void> read_folder(int fd, std::size_t number, const std::string& path, unsigned depth) {
    if (depth > kMaxDepth)
      return fail("{} lies more than {} folders deep, which fat: does not show", path, kMaxDepth);
    auto names = names_in(fd, path);
    if (!names) return names.error();
    for (const std::string& name : *names) {
      struct stat st {};
      if (::fstatat(fd, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) continue;  // gone meanwhile
      if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) {
        ++left_out_;
        continue;
      }
      EMU_TRY(add(fd, number, name, st, path + "/" + name, depth));
    }
    return {};
  }

  Result<void> add(int fd, std::size_t parent, const std::string& name, const struct stat& st,
                   const std::string& path, unsigned depth) {
    if (nodes_.size() >= kMaxNodes)
      return fail("{} holds more than {} files and folders, which fat: does not show", path_,
                  kMaxNodes - 1);
    Node node;
    node.name = name;
    node.parent = parent;
    node.is_folder = S_ISDIR(st.st_mode);
    node.changed_s = st.st_mtime;
    if (!node.is_folder) node.size_bytes = static_cast<u64>(st.st_size);
    if (node.size_bytes > kMaxFileBytes)
      return fail("{} is larger than the 4 GiB that a FAT file can have; move it elsewhere", path);
    const std::size_t number = nodes_.size();
    const bool is_folder = node.is_folder;
    nodes_.push_back(std::move(node));
    nodes_[parent].children.push_back(number);
    if (!is_folder) return {};
    const UniqueFd inner(
        ::openat(fd, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!inner) return fail_errno(errno, "cannot look into {}", path);
    return read_folder(inner.get(), number, path, depth + 1);
  }

  // Sorted, so that the same folder always makes the same disk.
  Result<std::vector<std::string>> names_in(int fd, const std::string& path) const {
    const int again = ::openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (again < 0) return fail_errno(errno, "cannot look into {}", path);
    const std::unique_ptr<DIR, CloseDir> dir(::fdopendir(again));
    if (!dir) return fail_errno(errno, "cannot look into {}", path);
    std::vector<std::string> names;
    while (const dirent* entry = ::readdir(dir.get())) {
      const std::string name = entry->d_name;
      if (name == "." || name == "..") continue;
      if (names.size() >= kMaxNodes)
        return fail("{} holds more than {} files and folders, which fat: does not show", path,
                    kMaxNodes - 1);
      names.push_back(name);
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  const std::string& path_;
  std::vector<Node> nodes_;
  u64 left_out_ = 0;
};

}  // namespace

Result<std::vector<Node>> read_tree(int root_fd, const std::string& path) {
  return TreeReader(path).read(root_fd);
}

}  // namespace emu::fat
