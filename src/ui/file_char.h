// SPDX-License-Identifier: Apache-2.0
// A serial port whose output goes to a file (or a named pipe, or a terminal device).
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "devices/ports/character.h"
#include "ui/output_queue.h"

namespace emu {

// Never delivers input.
class FileChar final : public CharBackend {
 public:
  // Creates or empties `path`. Errors: the host's reason, naming the path.
  [[nodiscard]] static Result<std::unique_ptr<FileChar>> create(const std::string& path);
  explicit FileChar(UniqueFd fd) : fd_(std::move(fd)), output_(fd_.get()) {}

  void send(std::span<const u8> bytes) override { output_.send(bytes); }
  void set_receiver(CharReceiver*) override {}

 private:
  UniqueFd fd_;
  OutputQueue output_;
};

}  // namespace emu
