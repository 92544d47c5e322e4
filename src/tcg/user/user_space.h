// SPDX-License-Identifier: Apache-2.0
// One guest address space in a process of its own: which guest pages are mapped there. It is a
// TLB: pages come when they are missed, and flushes compare what is there with the guest's page
// tables as they are now.
#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "tcg/user/user_process.h"
#include "tcg/user/user_tables.h"

namespace emu {

class UserSpace {
 public:
  // A page as it is mapped.
  struct Entry {
    u32 packed = 0;  // (ram page + 1) << 3, kWritable, kExecutable, kRefused
    static constexpr u32 kWritable = 1, kExecutable = 2, kRefused = 4;
    [[nodiscard]] bool mapped() const { return packed != 0; }
    [[nodiscard]] bool writable() const { return (packed & kWritable) != 0; }
    [[nodiscard]] bool executable() const { return (packed & kExecutable) != 0; }
    // Code of a page that must not run natively: see user_scan.h.
    [[nodiscard]] bool refused() const { return (packed & kRefused) != 0; }
    [[nodiscard]] u64 ram_page() const { return (packed >> 3) - 1; }
  };
  // What scans of RAM pages found, for as long as their contents are the same.
  struct Scan {
    u64 hash = 0;
    bool refused = false;
  };
  using Scans = std::unordered_map<u64, Scan>;
  struct Counts {
    u64 pages = 0, calls = 0, flushes = 0, page_flushes = 0, scans = 0, refusals = 0;
  };

  // `xgetbv`: that instruction answers otherwise on the host than in the guest.
  // RAM pages that it maps writable are marked in `maybe_writable`.
  UserSpace(std::unique_ptr<UserProcess> process, const GuestRam& ram,
            std::vector<bool>& maybe_writable, Scans& scans, bool xgetbv, u64 cr3)
      : process_(std::move(process)),
        ram_(ram),
        maybe_writable_(maybe_writable),
        scans_(scans),
        xgetbv_(xgetbv),
        cr3_(cr3) {}

  [[nodiscard]] UserProcess& process() { return *process_; }
  [[nodiscard]] u64 cr3() const { return cr3_; }
  // Processor time that its process has spent on mapping pages, about.
  [[nodiscard]] u64 mapping_ns() const { return mapping_ns_; }
  // Of what size its code is from now on; another one makes it empty. False: see catch_up().
  [[nodiscard]] bool set_code_size(bool code32);
  // Becomes another address space, empty.
  [[nodiscard]] bool assign(u64 cr3);

  // Non-global and global entries alike may be out of date.
  void flush() { stale_ = true; }
  void flush_page(u64 linear);
  // Nobody may write RAM page `page` from now on.
  void revoke(u64 page);
  // Acts on what was noted. With CR3 being cr3(). False: the process is of no use any more.
  [[nodiscard]] bool catch_up(UserTables& tables, Counts& counts);

  [[nodiscard]] Entry entry(u64 linear) const;
  // Maps the page with `linear` as the tables have it, and neighbours. False as above.
  [[nodiscard]] bool fill(u64 linear, UserTables& tables, Counts& counts);

 private:
  struct Region {
    Entry pages[kUserRegionPages];
    u32 faults = 0;
  };
  // So many mappings since the process was empty: the host allows 65,530.
  static constexpr std::size_t kMostCalls = 24'000;

  void validate(u64 base, Region& region, UserTables& tables);
  [[nodiscard]] bool refuses(UserTables& tables, unsigned index, Counts& counts);
  [[nodiscard]] bool scan(UserTables& tables, unsigned index);
  void set(u64 linear, Entry& entry, Entry value);
  [[nodiscard]] bool send(Counts& counts);

  std::unique_ptr<UserProcess> process_;
  const GuestRam& ram_;
  std::vector<bool>& maybe_writable_;
  Scans& scans_;
  bool xgetbv_;
  bool code32_ = false;
  u64 cr3_ = 0;
  bool stale_ = false;
  std::vector<u64> flushed_;  // regions
  std::vector<u64> revoked_;  // RAM pages
  std::unordered_map<u64, std::unique_ptr<Region>> regions_;
  std::vector<UserProcess::Change> changes_;
  std::size_t calls_ = 0;
  u64 mapping_ns_ = 0;
};

}  // namespace emu
