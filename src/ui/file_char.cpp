// SPDX-License-Identifier: Apache-2.0
#include "ui/file_char.h"

#include <fcntl.h>

#include <cerrno>

namespace emu {

Result<std::unique_ptr<FileChar>> FileChar::create(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  if (!fd) return fail_errno(errno, "cannot write serial output to {}", path);
  return std::make_unique<FileChar>(std::move(fd));
}

}  // namespace emu
