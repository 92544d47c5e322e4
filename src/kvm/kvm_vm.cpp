// SPDX-License-Identifier: Apache-2.0
#include "kvm/kvm_vm.h"

#include <linux/kvm.h>

#include <cerrno>
#include <cstring>

namespace emu {
namespace {

constexpr int kApiVersion = 12;
constexpr u64 kMaxRunBytes = 1 * kMiB;
// Where VT-x without "unrestricted guest" keeps its own pages: below every BIOS, above the local
// APIC's window.
constexpr u64 kIdentityMapAt = 0xfeffc000;
constexpr u64 kTssAt = 0xfeffd000;

struct Needed {
  long number;
  const char* name;
};
constexpr Needed kNeeded[] = {
    {KVM_CAP_USER_MEMORY, "user memory"},
    {KVM_CAP_EXT_CPUID, "CPUID"},
    {KVM_CAP_USER_NMI, "NMI"},
    {KVM_CAP_VCPU_EVENTS, "processor events"},
    {KVM_CAP_DEBUGREGS, "debug registers"},
    {KVM_CAP_XSAVE, "XSAVE"},
    {KVM_CAP_XCRS, "XCR0"},
    {KVM_CAP_READONLY_MEM, "read-only memory"},
    {KVM_CAP_IMMEDIATE_EXIT, "immediate exits"},
    {KVM_CAP_SET_GUEST_DEBUG, "guest debugging"},
    {KVM_CAP_X86_USER_SPACE_MSR, "model-specific registers in user space"},
    {KVM_CAP_SREGS2, "control registers with page-directory pointers"},
    {KVM_CAP_X86_MSR_FILTER, "filters for model-specific registers"},
};

}  // namespace

Error kvm_error(long result, std::string_view what) {
  const int code = static_cast<int>(-result);
  const char* fix = "try --accel=tcg, which needs no KVM";
  if (code == ENOMEM) fix = "free memory on the host, or give the guest less (-m)";
  if (code == EMFILE || code == ENFILE) fix = "raise the limit on open files (ulimit -n)";
  if (code == EBUSY) fix = "another hypervisor holds the processor: stop it, or use --accel=tcg";
  return Error{code, fmt::format("KVM refused to {}: {}; {}", what, std::strerror(code), fix)};
}

Error kvm_open_error(long result) {
  const int code = static_cast<int>(-result);
  switch (code) {
    case ENOENT:
      return Error{code,
                   "there is no /dev/kvm: load the module (sudo modprobe kvm_intel or kvm_amd), "
                   "switch virtualization on in the firmware, or use --accel=tcg"};
    case EACCES:
    case EPERM:
      return Error{code,
                   "/dev/kvm exists but you may not open it: sudo usermod -aG kvm $USER, then log "
                   "in again; or use --accel=tcg"};
    case ENODEV:
    case ENXIO:
      return Error{code,
                   "/dev/kvm is only a name here: its module is not loaded, or virtualization is "
                   "off in the firmware; or use --accel=tcg"};
    default:
      return kvm_error(result, "open /dev/kvm");
  }
}

Result<std::unique_ptr<KvmVm>> KvmVm::open(std::shared_ptr<KvmHost> host) {
  std::unique_ptr<KvmVm> vm(new KvmVm);
  vm->host_ = std::move(host);
  const int fd = vm->host_->open_device();
  if (fd < 0) return kvm_open_error(fd);
  vm->device_.reset(fd);
  EMU_TRY(vm->check_device());
  EMU_TRY(vm->create_machine());
  return vm;
}

long KvmVm::capability(long number) const {
  const int fd = vm_ ? vm_.get() : device_.get();
  const long value = host_->call(fd, KVM_CHECK_EXTENSION, static_cast<u64>(number));
  return value < 0 ? 0 : value;
}

Result<void> KvmVm::check_device() {
  const long version = host_->call(device_.get(), KVM_GET_API_VERSION, 0);
  if (version < 0) return kvm_error(version, "say its version");
  if (version != kApiVersion) {
    return fail("KVM speaks version {} of its interface, not {}: use --accel=tcg", version,
                kApiVersion);
  }
  for (const Needed& needed : kNeeded) {
    if (capability(needed.number) != 0) continue;
    return fail(
        "this kernel's KVM is too old, it has no {}: use Linux 5.14 or later, or --accel=tcg",
        needed.name);
  }
  const long bytes = host_->call(device_.get(), KVM_GET_VCPU_MMAP_SIZE, 0);
  if (bytes < 0) return kvm_error(bytes, "say how much memory it shares");
  if (bytes < static_cast<long>(sizeof(kvm_run)) || static_cast<u64>(bytes) > kMaxRunBytes) {
    return fail("KVM shares {} bytes a processor, which makes no sense: use --accel=tcg", bytes);
  }
  run_bytes_ = static_cast<u64>(bytes);
  return {};
}

Result<void> KvmVm::create_machine() {
  long fd = -EINTR;
  while (fd == -EINTR) fd = host_->call(device_.get(), KVM_CREATE_VM, 0);
  if (fd < 0) return kvm_error(fd, "create a virtual machine");
  vm_.reset(static_cast<int>(fd));
  u64 identity_map = kIdentityMapAt;
  if (const long r = call_with(KVM_SET_IDENTITY_MAP_ADDR, identity_map); r < 0) {
    return kvm_error(r, "place its identity map");
  }
  if (const long r = call(KVM_SET_TSS_ADDR, kTssAt); r < 0) return kvm_error(r, "place its TSS");
  return {};
}

}  // namespace emu
