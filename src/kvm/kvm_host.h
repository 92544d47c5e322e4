// SPDX-License-Identifier: Apache-2.0
// What the engine asks of the host's kernel. Everything that /dev/kvm can be asked goes through
// this interface, so that a test can refuse any step of it. Source: Linux
// Documentation/virt/kvm/api.rst. Threads: any; call(fd, KVM_RUN) blocks the caller while the guest
// runs.
#pragma once

#include <memory>

#include "base/mapping.h"
#include "base/result.h"
#include "base/types.h"

namespace emu {

class KvmHost {
 public:
  virtual ~KvmHost() = default;
  // Opens the device for reading and writing: a descriptor, or -errno.
  [[nodiscard]] virtual int open_device() = 0;
  // One ioctl: its result, or -errno. `argument` is a number or an address, as `request` wants.
  virtual long call(int fd, unsigned long request, u64 argument) = 0;
  template <class T>
  long call_with(int fd, unsigned long request, T& argument) {
    return call(fd, request, reinterpret_cast<u64>(&argument));
  }
  // Maps a processor's shared pages. Errors: the host's, as errno.
  [[nodiscard]] virtual Result<Mapping> map(int fd, u64 size_bytes) = 0;
};

// The kernel's own /dev/kvm, or another path (tests).
[[nodiscard]] std::shared_ptr<KvmHost> make_kvm_host(std::string device = "/dev/kvm");

// The signal that gets a thread out of KVM_RUN. prepare installs a handler that does nothing, once
// a process; send goes to one thread of this process and is harmless if that is gone.
void prepare_kick_signal();
void send_kick_signal(int thread_id);
[[nodiscard]] int this_thread_id();

// Sends the calling thread that signal every millisecond while it lives.
class RepeatedKick {
 public:
  RepeatedKick();
  ~RepeatedKick();
  RepeatedKick(const RepeatedKick&) = delete;
  RepeatedKick& operator=(const RepeatedKick&) = delete;

 private:
  void* timer_ = nullptr;
  bool armed_ = false;
};

}  // namespace emu
