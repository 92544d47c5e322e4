// SPDX-License-Identifier: Apache-2.0
// Names for generated code in perf(1): /tmp/perf-PID.map, a line `start size name` in hexadecimal
// for every translation.
// Source: tools/perf/Documentation/jit-interface.txt in the Linux source.
// Not modelled: code memory is used again when the cache was full; perf then shows either name.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/types.h"
#include "base/unique_fd.h"

namespace emu {

class PerfMap {
 public:
  // Starts the file of this process anew. Errors: /tmp cannot be written.
  [[nodiscard]] static Result<std::unique_ptr<PerfMap>> create();
  ~PerfMap() { flush(); }
  PerfMap(const PerfMap&) = delete;
  PerfMap& operator=(const PerfMap&) = delete;

  // Names host code. The caller holds the translation cache's lock.
  void add(const u8* code, u64 size_bytes, std::string_view name);
  void add_block(const u8* code, u64 size_bytes, u64 guest_rip);
  // Writes out what was added.
  void flush();

 private:
  explicit PerfMap(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
  std::string pending_;
};

}  // namespace emu
