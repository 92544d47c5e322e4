// SPDX-License-Identifier: Apache-2.0
// Whether this host's KVM is there, permitted, real and fast; and if not, why and what to do.
// Source: Linux Documentation/virt/kvm/api.rst; Intel SDM vol. 2 CPUID leaf 1 (VMX, hypervisor
// bits); AMD APM vol. 3 leaf 80000001h (SVM). Threads: any.
#pragma once

#include <memory>
#include <string>

#include "kvm/kvm_host.h"

namespace emu {

enum class KvmState : u8 {
  kUsable,
  kNoDevice,      // no /dev/kvm
  kNoPermission,  // not for this user
  kNoModule,      // the node is there, its driver is not
  kTooOld,        // without something the engine needs
  kRefused,       // a step of making a machine failed: busy, out of memory, broken
  kEmulated,      // it executes kernel-mode code in software
};

// What the host says about itself. Hints for the remedy; never a verdict.
struct HostFacts {
  bool container = false;
  bool virtual_machine = false;  // the hypervisor bit
  bool intel = false;            // else taken for AMD
  bool vmx_or_svm = false;
  bool module_loaded = false;  // kvm_intel or kvm_amd
  bool user_in_group = false;  // this process may use what group kvm may

  // `root` is prepended to the paths looked at.
  [[nodiscard]] static HostFacts collect(const std::string& root = "");
};

struct KvmVerdict {
  KvmState state = KvmState::kUsable;
  std::string reason;             // one clause for people, without a period; empty if usable
  std::string fix;                // what to do about it; empty if there is nothing to do
  double ns_per_instruction = 0;  // ring 0, long mode; 0: not measured
  bool keeps_paging = false;      // 32-bit paging survives KVM_SET_SREGS

  [[nodiscard]] bool usable() const { return state == KvmState::kUsable; }
};

// Makes a scratch machine, runs some thousand instructions in it and throws it away; under 50 ms.
[[nodiscard]] KvmVerdict probe_kvm(std::shared_ptr<KvmHost> host,
                                   const HostFacts& facts = HostFacts::collect());
// Why this kernel does not run a machine's interrupt controllers, in one sentence; empty: it does,
// or there is no KVM to ask.
[[nodiscard]] std::string missing_kernel_chips(std::shared_ptr<KvmHost> host);
// What an errno of opening /dev/kvm means on a host with these facts.
[[nodiscard]] KvmVerdict explain_open_error(int code, const HostFacts& facts);

}  // namespace emu
