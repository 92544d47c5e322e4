// SPDX-License-Identifier: Apache-2.0
// Source: open(2), fsync(2), rename(2).
#include "machine/snapshot_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "base/scope_exit.h"
#include "base/unique_fd.h"
#include "machine/snapshot.h"

namespace emu {
namespace {

// Pauses a machine that runs, for as long as the object lives.
class PausedMachine {
 public:
  explicit PausedMachine(Machine& machine)
      : machine_(machine), was_running_(machine.wants_to_run()) {
    machine_.pause();
    machine_.wait_paused();
  }
  ~PausedMachine() {
    if (was_running_) machine_.resume();
  }
  PausedMachine(const PausedMachine&) = delete;
  PausedMachine& operator=(const PausedMachine&) = delete;

 private:
  Machine& machine_;
  const bool was_running_;
};

// Makes a rename in this folder last.
Result<void> sync_folder(const std::string& path) {
  const auto folder = std::filesystem::path(path).parent_path();
  const UniqueFd fd(::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0) return fail_errno(errno, "cannot save {}", path);
  return {};
}

Result<u64> write_state(Machine& machine, const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!fd) return fail_errno(errno, "cannot create {}", path);
  EMU_TRY(save_machine(machine, fd.get()));
  struct stat info {};
  if (::fsync(fd.get()) != 0 || ::fstat(fd.get(), &info) != 0) {
    return fail_errno(errno, "cannot write {}", path);
  }
  return static_cast<u64>(info.st_size);
}

}  // namespace

Result<u64> save_to_file(Machine& machine, const std::string& path) {
  EMU_TRY(machine.can_be_saved());
  const PausedMachine paused(machine);
  if (machine.finished()) return fail("cannot save: the machine has ended");
  if (!machine.paused()) return fail("cannot save: the machine was told to run on");
  const std::string partial = path + ".partial";
  const auto size = write_state(machine, partial);
  if (!size || std::rename(partial.c_str(), path.c_str()) != 0) {
    const Error error = size ? fail_errno(errno, "cannot create {}", path) : size.error();
    ::unlink(partial.c_str());
    return error;
  }
  EMU_TRY(sync_folder(path));
  return *size;
}

Result<void> load_from_file(Machine& machine, const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno(errno, "cannot open {}", path);
  const PausedMachine paused(machine);
  if (machine.finished()) return fail("cannot load: the machine has ended");
  if (!machine.paused()) return fail("cannot load: the machine was told to run on");
  if (const auto loaded = load_machine(machine, fd.get()); !loaded) {
    return fail("{}: {}", path, loaded.error().message);
  }
  return {};
}

}  // namespace emu
