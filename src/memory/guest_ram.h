// SPDX-License-Identifier: Apache-2.0
// A block of guest RAM (or ROM contents) in host memory, with per-page write tracking.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "base/mapping.h"
#include "base/result.h"
#include "base/types.h"
#include "base/unique_fd.h"

namespace emu {

// Who wants to know that a page was written. Bits of the per-page flag byte. A set bit means
// "written since that client last cleared it".
enum class DirtyClient : u8 { kDisplay = 1, kMigration = 2 };

// Told when bytes change that an engine has translated. Called by whoever writes, after the write,
// from any thread.
class CodeWriteObserver {
 public:
  virtual ~CodeWriteObserver() = default;
  virtual void code_written(u64 ram_offset, u64 length_bytes) = 0;
};

// Host memory for guest RAM. Offsets are bytes from the block's start; guest-physical placement is
// the address space's business. Reading, writing and marking are lock-free; guest data races are
// the guest's own.
class GuestRam {
 public:
  // Zeroed, lazily committed memory backed by a memfd. `size_bytes` is a multiple of 4096 above 0.
  // Every page starts out as written. Errors: the host has or grants less than `size_bytes`.
  [[nodiscard]] static Result<std::unique_ptr<GuestRam>> create(std::string name, u64 size_bytes);
  ~GuestRam();
  GuestRam(const GuestRam&) = delete;
  GuestRam& operator=(const GuestRam&) = delete;

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] u64 size_bytes() const { return mapping_.size_bytes(); }
  // Host address of the block's first byte; stable for its life.
  [[nodiscard]] u8* host() const { return mapping_.data(); }
  // The memfd behind the block, for engines that map it again.
  [[nodiscard]] int fd() const { return fd_.get(); }

  // Must follow every write to [offset, offset + length): sets the dirty bits of all clients and
  // tells the observer if a page there holds translated code. The range must lie inside the block.
  void mark_written(u64 offset, u64 length_bytes) {
    if (length_bytes == 0) return;
    const u64 last = (offset + length_bytes - 1) / kPageBytes;
    for (u64 page = offset / kPageBytes; page <= last; ++page) {
      // A locked operation even if nothing changes: it orders the caller's write before the look at
      // the code mark, as set_code() orders the mark before the translator's look at the bytes.
      const u8 before = flags_[page].fetch_or(kAllClients);
      if ((before & kHasCode) != 0) [[unlikely]]
        notify_code_written(page, offset, length_bytes);
    }
  }

  // Whether the page (index from the block's start) was written since `client` last cleared it;
  // `test_and_clear` clears. Engines that let guests write without marking keep the page "written"
  // for them: see set_write_tracking().
  [[nodiscard]] bool test_and_clear_dirty(DirtyClient client, u64 page);
  [[nodiscard]] bool is_dirty(DirtyClient client, u64 page) const {
    return (flags_[page].load(std::memory_order_relaxed) & static_cast<u8>(client)) != 0;
  }

  // Code marks: set by the translator for pages that it has translated from.
  // Set the mark before reading the bytes, so that no write falls in between unnoticed.
  void set_code(u64 page, bool has_code);
  [[nodiscard]] bool has_code(u64 page) const {
    return (flags_[page].load(std::memory_order_relaxed) & kHasCode) != 0;
  }
  // At most one observer; nullptr removes it. Not while vCPUs run.
  void set_code_observer(CodeWriteObserver* observer) { observer_.store(observer); }

  // Whether fast paths may write the page without mark_written(): all clients already see it as
  // dirty and it holds no code. An engine must ask before it caches a writable translation, and
  // drop such translations when a listener says that a page was cleaned.
  [[nodiscard]] bool fast_writable(u64 page) const {
    const u8 f = flags_[page].load(std::memory_order_relaxed);
    return (f & kHasCode) == 0 && (f & tracked_) == tracked_;
  }
  // Which clients want exact tracking on this block (default none). A block without a client for
  // it is always fast-writable unless it holds code. Turning it on makes every page "written" for
  // the client, since what was written before is not known. Not while vCPUs run.
  void set_tracked(DirtyClient client, bool on);

  // Called when test_and_clear_dirty() made pages not fast-writable, so that engines drop cached
  // writable translations. At most one; nullptr removes it.
  class CleanObserver {
   public:
    virtual ~CleanObserver() = default;
    virtual void page_cleaned(const GuestRam& ram, u64 page) = 0;
  };
  void set_clean_observer(CleanObserver* observer) { clean_observer_.store(observer); }

 private:
  static constexpr u8 kHasCode = 0x80;
  static constexpr u8 kAllClients =
      static_cast<u8>(DirtyClient::kDisplay) | static_cast<u8>(DirtyClient::kMigration);
  GuestRam(std::string name, UniqueFd fd, Mapping mapping);
  void notify_code_written(u64 page, u64 offset, u64 length_bytes);

  std::string name_;
  UniqueFd fd_;
  Mapping mapping_;
  std::unique_ptr<std::atomic<u8>[]> flags_;
  u8 tracked_ = 0;
  std::atomic<CodeWriteObserver*> observer_{nullptr};
  std::atomic<CleanObserver*> clean_observer_{nullptr};
};

}  // namespace emu
