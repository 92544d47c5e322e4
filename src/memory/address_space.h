// SPDX-License-Identifier: Apache-2.0
// Address spaces (guest-physical memory, and I/O ports): a tree of overlapping regions, flattened
// into an immutable sorted view that readers use without a lock.
// Source: QEMU docs/devel/memory.rst (regions with priorities), reduced to what a PC needs.
// Threads: the tree changes under the machine lock; views and RAM are read from any thread.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/types.h"
#include "memory/guest_ram.h"
#include "memory/io_handler.h"

namespace emu {

class AddressSpace;

// A node of the tree. Children overlay their parent's range at an offset; of overlapping siblings
// the one with the higher priority wins, of equal ones the one added last. A disabled region shows
// what lies beneath it. Regions are owned by whoever makes them (a device, the machine) and must
// outlive their place in the tree; destroying one removes it.
// Threads: changes need the machine lock.
class Region {
 public:
  enum class Kind : u8 { kContainer, kRam, kRom, kMmio, kAlias };

  // An empty range that only holds children.
  static std::unique_ptr<Region> container(std::string name, u64 size_bytes);
  // [ram_offset, ram_offset + size_bytes) of `ram`, readable, writable and executable.
  static std::unique_ptr<Region> ram(std::string name, GuestRam& ram, u64 ram_offset,
                                     u64 size_bytes);
  // The same, but guest writes go to `on_write` (offsets in the region), or nowhere if null.
  static std::unique_ptr<Region> rom(std::string name, GuestRam& ram, u64 ram_offset,
                                     u64 size_bytes, IoHandler* on_write = nullptr);
  // Device registers. `size_bytes` is a multiple of `sizes.min_bytes`.
  static std::unique_ptr<Region> mmio(std::string name, u64 size_bytes, IoHandler& handler,
                                      AccessSizes sizes = {});
  // A second view of [target_offset, target_offset + size_bytes) of another region (with its
  // children). Shows nothing once the target is gone.
  static std::unique_ptr<Region> alias(std::string name, Region& target, u64 target_offset,
                                       u64 size_bytes);
  ~Region();
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  // Overlays `child` at `offset`. A region has at most one parent.
  void add(Region& child, u64 offset, int priority = 0);
  void remove(Region& child);
  // Moving, enabling and resizing a placed region republishes the views of its address spaces.
  void set_offset(u64 offset);
  void set_enabled(bool enabled);
  // Alias only: shows another part of the target.
  void set_alias_offset(u64 target_offset);
  // Whether guest writes to RAM shown by this region (for a container or an alias: by anything
  // inside it) are kept from the memory (PAM write enable). They vanish then. ROMs always are.
  void set_read_only(bool read_only);

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] Kind kind() const { return kind_; }
  [[nodiscard]] u64 size_bytes() const { return size_bytes_; }
  [[nodiscard]] u64 offset() const { return offset_; }
  [[nodiscard]] bool enabled() const { return enabled_; }
  [[nodiscard]] GuestRam* backing() const { return ram_; }
  [[nodiscard]] bool read_only() const { return read_only_; }

 private:
  friend class AddressSpace;
  friend class Flattener;
  Region(std::string name, Kind kind, u64 size_bytes);
  void changed();
  void collect_spaces(std::vector<AddressSpace*>& found, int depth) const;

  std::string name_;
  Kind kind_;
  u64 size_bytes_;
  u64 offset_ = 0;
  int priority_ = 0;
  bool enabled_ = true;
  bool read_only_ = false;
  Region* parent_ = nullptr;
  std::vector<Region*> children_;  // highest precedence first
  GuestRam* ram_ = nullptr;
  u64 ram_offset_ = 0;  // kRam, kRom: into ram_; kAlias: into target_
  IoHandler* handler_ = nullptr;
  AccessSizes sizes_{};
  Region* target_ = nullptr;
  std::vector<Region*> aliases_;       // that show this region
  std::vector<AddressSpace*> spaces_;  // whose root this is
};

// One piece of a flattened address space: [start, start + length_bytes) is uniform.
struct FlatRange {
  u64 start = 0;
  u64 length_bytes = 0;
  GuestRam* ram = nullptr;       // RAM or ROM contents; null for MMIO
  u64 ram_offset = 0;            // of `start`, into *ram
  bool writable = false;         // RAM: guest writes reach the memory directly
  IoHandler* handler = nullptr;  // MMIO, or a ROM's write handler; may be null
  u64 handler_offset = 0;        // of `start`, in the handler's window
  u64 handler_size = 0;          // the handler's whole window
  AccessSizes sizes{};
  const char* name = "";  // the region's; valid while that lives

  bool operator==(const FlatRange&) const = default;
  [[nodiscard]] bool contains(u64 a) const { return a - start < length_bytes; }
  // RAM only: host address of guest address `a`.
  [[nodiscard]] u8* host(u64 a) const { return ram->host() + ram_offset + (a - start); }
};

// Sorted, disjoint ranges; gaps are open bus. Immutable once published.
class FlatView : public std::enable_shared_from_this<FlatView> {
 public:
  explicit FlatView(std::vector<FlatRange> ranges);
  // The range that contains `address`, or nullptr. Valid as long as the view.
  [[nodiscard]] const FlatRange* find(u64 address) const {
    // A branch-free binary search over the starts alone: the ranges themselves are large.
    const u64* base = starts_.data();
    std::size_t n = starts_.size();
    if (n == 0) return nullptr;
    while (n > 1) {
      const std::size_t half = n / 2;
      base += base[half] <= address ? half : 0;
      n -= half;
    }
    const FlatRange& r = ranges_[static_cast<std::size_t>(base - starts_.data())];
    return r.contains(address) ? &r : nullptr;
  }
  // The first byte after `address` that a range covers, or 2^64 - 1 if none does: the end of a gap.
  [[nodiscard]] u64 next_start(u64 address) const;
  [[nodiscard]] std::span<const FlatRange> ranges() const { return ranges_; }

 private:
  std::vector<FlatRange> ranges_;
  std::vector<u64> starts_;  // of ranges_, in step
};

// Gets the difference whenever a new view is published: KVM turns it into memory slots, the
// translator drops TLB entries. Called with the machine lock held, removals before additions; the
// new view is already visible to readers. Must not change the tree.
class AddressSpaceListener {
 public:
  virtual ~AddressSpaceListener() = default;
  virtual void range_removed(const FlatRange& range) = 0;
  virtual void range_added(const FlatRange& range) = 0;
  virtual void commit() {}
};

// An address space over a root region.
// Reads and writes of any length and alignment are split at range borders and into the sizes each
// device implements. Open bus reads as all ones; writes to it vanish. An access that runs past the
// last byte of the 64-bit space wraps to its first. Nothing here ever fails.
class AddressSpace {
 public:
  explicit AddressSpace(Region& root);
  ~AddressSpace();
  AddressSpace(const AddressSpace&) = delete;
  AddressSpace& operator=(const AddressSpace&) = delete;

  // Keeps the view that was current at its making alive: cheaper than view(), for short use on one
  // thread. A reader that holds one never waits, and makes nobody wait.
  class Pin {
   public:
    explicit Pin(const AddressSpace& space) : space_(space) {
      space.readers_.fetch_add(1);
      view_ = space.current_.load();
    }
    ~Pin() {
      if (space_.readers_.fetch_sub(1) == 1 && space_.has_retired_.load()) space_.reclaim();
    }
    Pin(const Pin&) = delete;
    Pin& operator=(const Pin&) = delete;
    const FlatView& operator*() const { return *view_; }
    const FlatView* operator->() const { return view_; }

   private:
    const AddressSpace& space_;
    const FlatView* view_;
  };

  // The current view; keeps it alive. Any thread, no lock.
  [[nodiscard]] std::shared_ptr<const FlatView> view() const;

  // RAM accesses need no lock; accesses that reach a device need the machine lock. DMA writes mark
  // RAM as written.
  void read(u64 address, std::span<u8> out) const;
  void write(u64 address, std::span<const u8> in) const;
  // 1, 2, 4 or 8 bytes, little-endian, zero-extended.
  [[nodiscard]] u64 load(u64 address, unsigned size) const;
  void store(u64 address, unsigned size, u64 value) const;
  // As IoHandler's: repeated accesses to one device register, as far as its device takes them.
  [[nodiscard]] u64 read_string(u64 address, unsigned size, std::span<u8> out) const;
  [[nodiscard]] u64 write_string(u64 address, unsigned size, std::span<const u8> in) const;
  // If [address, address + size) holds `expected`, replaces it by `desired`; whether it did. One
  // atomic step on naturally aligned RAM, else a load and a store. `size` is 1, 2, 4 or 8 bytes.
  bool compare_exchange(u64 address, unsigned size, u64 expected, u64 desired) const;

  // Host memory behind [address, address + length) if it is plain RAM in one piece (and writable,
  // if asked), else an empty span. It stays valid as long as the GuestRam. Whoever writes through
  // it must call GuestRam::mark_written.
  [[nodiscard]] std::span<u8> ram_span(u64 address, u64 length_bytes, bool for_writing) const;

  // Groups changes: views are published once, when the last transaction ends.
  class Transaction {
   public:
    explicit Transaction(AddressSpace& space) : space_(space) { ++space_.transaction_depth_; }
    ~Transaction() {
      if (--space_.transaction_depth_ == 0 && space_.stale_) space_.publish();
    }
    Transaction(const Transaction&) = delete;
    Transaction& operator=(const Transaction&) = delete;

   private:
    AddressSpace& space_;
  };

  // The listener hears the current ranges as added, then every change. It must outlive its place.
  void add_listener(AddressSpaceListener& listener);
  void remove_listener(AddressSpaceListener& listener);
  // "start-end name kind" lines, for people.
  [[nodiscard]] std::string describe() const;

 private:
  friend class Region;
  void publish();
  void region_changed();
  void root_destroyed();
  void reclaim() const;

  Region* root_;  // null once it is destroyed
  // Readers count themselves in, then load current_. A replaced view waits in retired_ until the
  // count was seen at zero after it was replaced: no reader can hold it then.
  mutable std::atomic<u64> readers_{0};
  std::atomic<const FlatView*> current_{nullptr};
  mutable std::atomic<bool> has_retired_{false};
  mutable std::mutex retired_mutex_;
  mutable std::vector<std::shared_ptr<const FlatView>> retired_;
  std::shared_ptr<const FlatView> owner_;  // of current_
  std::vector<AddressSpaceListener*> listeners_;
  int transaction_depth_ = 0;
  bool stale_ = false;
  bool publishing_ = false;
};

}  // namespace emu
