// SPDX-License-Identifier: Apache-2.0
// A virtual machine of the kernel's: opened, checked for what the engine needs, and set up.
// Source: Linux Documentation/virt/kvm/api.rst.
// Threads: read-only after open(); its KvmHost serves any thread.
#pragma once

#include <memory>
#include <string>

#include "base/unique_fd.h"
#include "kvm/kvm_host.h"

namespace emu {

// Why the kernel refused, for the user: "KVM refused to <what>: <system's text>. <what to do>."
[[nodiscard]] Error kvm_error(long result, std::string_view what);
// The same for opening the device: each reason with its remedy.
[[nodiscard]] Error kvm_open_error(long result);

class KvmVm {
 public:
  // Opens the device and makes an empty machine. Errors: no device, no permission, too old (which
  // capability is missing), busy.
  [[nodiscard]] static Result<std::unique_ptr<KvmVm>> open(std::shared_ptr<KvmHost> host);

  [[nodiscard]] KvmHost& host() const { return *host_; }
  [[nodiscard]] int device_fd() const { return device_.get(); }
  [[nodiscard]] int fd() const { return vm_.get(); }
  [[nodiscard]] long call(unsigned long request, u64 argument = 0) const {
    return host_->call(vm_.get(), request, argument);
  }
  template <class T>
  [[nodiscard]] long call_with(unsigned long request, T& argument) const {
    return host_->call_with(vm_.get(), request, argument);
  }
  // KVM_CHECK_EXTENSION: 0 if the kernel does not have it.
  [[nodiscard]] long capability(long number) const;
  [[nodiscard]] u64 run_bytes() const { return run_bytes_; }

 private:
  KvmVm() = default;
  [[nodiscard]] Result<void> check_device();
  [[nodiscard]] Result<void> create_machine();

  std::shared_ptr<KvmHost> host_;
  UniqueFd device_, vm_;
  u64 run_bytes_ = 0;
};

}  // namespace emu
