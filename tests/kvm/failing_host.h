// SPDX-License-Identifier: Apache-2.0
// A KvmHost that refuses one step of what passes through it.
#pragma once

#include <linux/kvm.h>

#include <memory>
#include <set>
#include <vector>

#include "kvm/kvm_host.h"

namespace emu {

// Passes everything on to the kernel but what it was told to refuse.
class FailingHost final : public KvmHost {
 public:
  explicit FailingHost(std::shared_ptr<KvmHost> real) : real_(std::move(real)) {}

  int open_device() override { return open_error != 0 ? -open_error : real_->open_device(); }
  long call(int fd, unsigned long request, u64 argument) override {
    seen.insert(request);
    if (request == refused && (!only_argument || argument == *only_argument) && skip-- <= 0) {
      return answer;
    }
    return real_->call(fd, request, argument);
  }
  Result<Mapping> map(int fd, u64 size_bytes) override {
    if (map_error != 0) return fail_errno(map_error, "cannot map a processor's shared memory");
    return real_->map(fd, size_bytes);
  }

  int open_error = 0;
  int map_error = 0;
  unsigned long refused = 0;
  std::optional<u64> only_argument;
  long answer = 0;  // -errno, or a value
  int skip = 0;     // how many to let pass
  std::set<unsigned long> seen;

 private:
  std::shared_ptr<KvmHost> real_;
};

}  // namespace emu
