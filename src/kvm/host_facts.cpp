// SPDX-License-Identifier: Apache-2.0
// What the host says about itself, and what a missing or closed /dev/kvm then means.
#include <cpuid.h>
#include <grp.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <vector>

#include "kvm/kvm_probe.h"

namespace emu {
namespace {

bool exists(const std::string& path) {
  return ::access(path.c_str(), F_OK) == 0;
}

bool file_mentions(const std::string& path, std::initializer_list<std::string_view> words) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  for (const std::string_view word : words) {
    if (text.str().find(word) != std::string::npos) return true;
  }
  return false;
}

bool in_container(const std::string& root) {
  return exists(root + "/.dockerenv") || exists(root + "/run/.containerenv") ||
         file_mentions(root + "/run/systemd/container", {""}) ||
         file_mentions(root + "/proc/1/environ", {"container="}) ||
         file_mentions(root + "/proc/1/cgroup", {"docker", "kubepods", "lxc", "containerd"});
}

bool in_kvm_group() {
  if (::geteuid() == 0) return true;
  const group* kvm = ::getgrnam("kvm");
  if (kvm == nullptr) return false;
  std::vector<gid_t> groups(static_cast<std::size_t>(std::max(::getgroups(0, nullptr), 0)));
  const int count = ::getgroups(static_cast<int>(groups.size()), groups.data());
  for (int i = 0; i < count; ++i) {
    if (groups[static_cast<std::size_t>(i)] == kvm->gr_gid) return true;
  }
  return ::getegid() == kvm->gr_gid;
}

}  // namespace

HostFacts HostFacts::collect(const std::string& root) {
  HostFacts facts;
  facts.container = in_container(root);
  facts.user_in_group = in_kvm_group();
  u32 a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(0, &a, &b, &c, &d) != 0) {
    facts.intel = b == 0x756e6547;  // "Genu"
  }
  if (__get_cpuid(1, &a, &b, &c, &d) != 0) {
    facts.virtual_machine = (c >> 31 & 1) != 0;
    facts.vmx_or_svm = (c >> 5 & 1) != 0;
  }
  if (__get_cpuid(0x80000001, &a, &b, &c, &d) != 0) {
    facts.vmx_or_svm = facts.vmx_or_svm || (c >> 2 & 1) != 0;
  }
  facts.module_loaded = exists(root + "/sys/module/" + (facts.intel ? "kvm_intel" : "kvm_amd"));
  return facts;
}

KvmVerdict explain_open_error(int code, const HostFacts& facts) {
  const std::string module = facts.intel ? "kvm_intel" : "kvm_amd";
  const std::string feature = facts.intel ? "VT-x" : "AMD-V (SVM)";
  KvmVerdict v;
  const auto missing = [&](KvmState state, const std::string& what) {
    v.state = state;
    if (facts.container) {
      v.reason = what + " in this container";
      v.fix = "start the container with --device /dev/kvm, if its host has it";
    } else if (!facts.vmx_or_svm && facts.virtual_machine) {
      v.reason = what + ": this is a virtual machine without nested virtualization";
      v.fix = "ask whoever runs the host to switch nested virtualization on";
    } else if (!facts.vmx_or_svm) {
      v.reason = what + ": the processor does not offer " + feature;
      v.fix = "switch " + feature + " on in the firmware setup, if it has it";
    } else if (facts.module_loaded && state == KvmState::kNoDevice) {
      v.reason = what + ", though the module " + module + " is loaded: nobody made the node";
      v.fix = "sudo mknod -m 660 /dev/kvm c 10 232 && sudo chgrp kvm /dev/kvm";
    } else {
      v.reason = what + ": the module " + module + " is not loaded";
      v.fix =
          fmt::format("sudo modprobe {}; if that is refused, switch {} on in the firmware setup",
                      module, feature);
    }
  };
  switch (code) {
    case ENOENT:
      missing(KvmState::kNoDevice, "there is no /dev/kvm");
      break;
    case ENODEV:
    case ENXIO:
      missing(KvmState::kNoModule, "/dev/kvm is only a name");
      break;
    case EACCES:
    case EPERM:
      v.state = KvmState::kNoPermission;
      v.reason = "/dev/kvm exists but you may not open it";
      if (code == EPERM || facts.container) {
        v.fix = "start the container with --device /dev/kvm, as a user who may open it";
      } else if (facts.user_in_group) {
        v.fix = "sudo chgrp kvm /dev/kvm && sudo chmod 660 /dev/kvm";
      } else {
        v.fix = "sudo usermod -aG kvm $USER, then log in again";
      }
      break;
    case EBUSY:
      v.state = KvmState::kRefused;
      v.reason = "/dev/kvm is busy: another hypervisor holds the processor";
      v.fix = "stop the other hypervisor";
      break;
    default:
      v.state = KvmState::kRefused;
      v.reason = fmt::format("/dev/kvm does not open: {}", std::strerror(code));
      v.fix = "look into the kernel's log (dmesg) for lines of kvm";
      break;
  }
  return v;
}

}  // namespace emu
