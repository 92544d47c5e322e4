// SPDX-License-Identifier: Apache-2.0
// Translated blocks: found by guest bytes, RIP and mode; linked with each other; dropped when the
// guest changes their bytes.
// Threads: find() and block_at() take no lock and are safe while others change the cache (blocks
// live until clear(), which needs every vCPU out of generated code); the rest needs lock().
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/mapping.h"
#include "base/result.h"
#include "memory/guest_ram.h"
#include "tcg/arena.h"
#include "tcg/code_cache.h"
#include "tcg/emitted_block.h"

namespace emu {

// What a block is looked up by. `guest` is the host address of its first guest byte, so that a
// remapped guest-physical page does not hit stale code.
struct BlockKey {
  const u8* guest = nullptr;
  u64 rip = 0;
  u32 mode = 0;
  bool operator==(const BlockKey&) const = default;
};

// What lock-step compares about a block (lock_step.h).
struct BlockCheck {
  u32 runs_left = 0;
  u16 instructions = 0;
  u16 undefined_after = 0;   // status flags
  u16 undefined_inside = 0;  // the same at any point of the block
};

struct TranslatedBlock {
  BlockKey key;
  u32 length_bytes = 0;             // guest bytes
  const u8* second_page = nullptr;  // host address of the next page, if the block runs into it
  const u8* code = nullptr;
  u32 code_bytes = 0;
  std::atomic<bool> valid{true};
  u32 first_exit = 0;
  u32 exit_count = 0;
  u32 incoming = 0;  // id of the first linked exit that leads here; 0 ends the list
  std::atomic<TranslatedBlock*> hash_next{nullptr};
  std::span<const InstructionMapEntry> map;
  std::span<const PollSite> polls;
  std::span<const u8> bytes;                   // the guest's, as they were translated
  std::span<const u8* const> live_immediates;  // bytes that its code reads when it runs
  std::span<const Relocation> relocations;     // if movable
  BlockCheck check;
  bool movable = false;  // its code may be copied for another address of the same guest bytes
};

// A guest instruction of a block, from a host PC in it.
struct InstructionAt {
  const TranslatedBlock* block = nullptr;
  u64 rip = 0;
  u8 length = 0;
};

// A direct exit of a block; ids start at 1.
struct ExitRecord {
  TranslatedBlock* from;
  TranslatedBlock* to;  // null while unlinked
  u64 target_rip;
  const u8* patch;
  const u8* cold;
  u32 next_incoming;
  bool unshared;   // leads to the target's translation without shared checks
  u8 mode_change;  // the target's mode is this one's ^ mode_change
};
static_assert(sizeof(ExitRecord) == 48);  // there are many

class TranslationCache {
 public:
  [[nodiscard]] static Result<std::unique_ptr<TranslationCache>> create(u64 code_bytes);

  // The valid block with this key, or nullptr. Scalar code.
  [[nodiscard]] TranslatedBlock* find(const BlockKey& key) const noexcept;
  // The block (valid or not) whose code contains `pc`, or nullptr. Scalar code.
  [[nodiscard]] const TranslatedBlock* block_at(const u8* pc) const noexcept;
  // The guest instruction that `pc` (a host PC, or a return address minus 1) belongs to.
  [[nodiscard]] InstructionAt instruction_at(const u8* pc) const noexcept;
  [[nodiscard]] const ExitRecord& exit(u32 id) const noexcept { return exits_[id]; }

  [[nodiscard]] CodeCache& code() { return code_; }
  [[nodiscard]] std::mutex& mutex() { return mutex_; }
  // Everything allocated so far (the stubs) survives clear().
  void keep_from_here() { kept_bytes_ = code_.used_bytes(); }
  // Whether another block fits. A quarter of the code memory is used at first; a cache that fills
  // up again soon after clear() gets twice as much as before, up to all.
  [[nodiscard]] bool has_room() const;
  [[nodiscard]] u32 next_exit_id() const { return exit_count_; }

  // A page whose bytes a block depends on.
  struct PageUse {
    GuestRam* ram = nullptr;  // null: not RAM, nothing to watch
    u64 page = 0;             // index in *ram
    const u8* host = nullptr;
  };
  // Takes over what was emitted for code().next() with exit ids from next_exit_id(). With `cached`
  // false it is never found again. `bytes` are the guest bytes it was made from.
  TranslatedBlock* add(const BlockKey& key, std::span<const u8> bytes, EmittedBlock& emitted,
                       const PageUse& first, const PageUse& second, bool cached);
  // A valid block of the same bytes and mode that was mapped at another address, and of which
  // move() can make one for `key`; null if none is known.
  [[nodiscard]] const TranslatedBlock* movable(const BlockKey& key) const;
  // Adds a copy of `from` for `key`, as add() would. `page` is the one with its bytes.
  TranslatedBlock* move(const TranslatedBlock& from, const BlockKey& key, const PageUse& page);
  // Announces that bytes [from, to) of the page become code: before they are looked at for the last
  // time, so that a write is either seen in them or sees this.
  void announce(const PageUse& use, u64 from, u64 to);
  // Lets exit `id` go straight to `entry`, which belongs to or leads to `target`.
  void link(u32 id, TranslatedBlock& target, const u8* entry);
  // Drops every block that overlaps the bytes; appends the dropped ones to `dropped`.
  void invalidate(const GuestRam& ram, u64 ram_offset, u64 length_bytes,
                  std::vector<TranslatedBlock*>& dropped);
  // Takes the blocks of a page out of service and its code mark away, so that writing it is cheap.
  void park(const u8* host_page, std::vector<TranslatedBlock*>& dropped);
  // The page is watched again: its parked blocks whose bytes are still there are back, the others
  // are gone for good. Whether there were any of the former.
  bool unpark(const u8* host_page);
  // Forgets everything. No vCPU may be in generated code.
  void clear();

  // Whether the guest keeps overwriting exactly these bytes of a translation, so that a new one
  // had better read them when it runs. Needs the lock, as the next.
  [[nodiscard]] bool is_patched_often(const u8* at, u64 length) const;
  // A block made from these bytes, which reads those in `live` when it runs, is about to be added:
  // before its bytes are looked at for the last time, as announce().
  void settle_sites(const u8* from, u64 length_bytes, std::span<const u8* const> live);
  // `block`, just added, does so for these. While all that are made from the bytes do, writing them
  // drops nothing.
  void set_live_immediates(TranslatedBlock& block, std::span<const u8* const> immediates);
  // Whether that is so for a write of exactly [at, at + length). Scalar code, as touches_code().
  [[nodiscard]] bool is_live_immediate(const u8* at, u64 length) const noexcept;

  // Lets touches_code() know about pages of `ram`; without, it knows nothing and answers yes.
  void add_ram(const GuestRam& ram);
  // Whether a write to bytes [from, to) of a page may concern a translation. Scalar code; the write
  // itself comes first, and a fence.
  [[nodiscard]] bool touches_code(const u8* host_page, u64 from, u64 to) const noexcept;

  struct Counters {
    std::atomic<u64> blocks{0}, moves{0}, links{0}, invalidations{0}, clears{0}, parked{0},
        unparked{0};
  };
  [[nodiscard]] const Counters& counters() const { return counters_; }

 private:
  static constexpr unsigned kHashBits = 18;
  static constexpr u32 kMaxExits = 1u << 24;
  static constexpr u32 kMaxBlocks = 1u << 23;
  static constexpr unsigned kGranuleShift = 6;  // self-modification is tracked per 64 bytes
  struct PageCode {
    GuestRam* ram = nullptr;
    u64 page = 0;
    std::atomic<u64>* shared = nullptr;  // of RamCode
    u64 granules = 0;
    std::vector<TranslatedBlock*> blocks;
    std::vector<TranslatedBlock*> parked;
  };
  // For every page of a RAM the granules that hold code, to be read without the lock.
  struct RamCode {
    const u8* host = nullptr;
    u64 pages = 0;
    Mapping memory;
    std::atomic<u64>* granules = nullptr;
  };
  static constexpr unsigned kMaxRams = 8;
  // Bytes that were written while they were part of a translation.
  struct PatchSite {
    std::atomic<const u8*> at{nullptr};
    std::atomic<u32> length{0};
    std::atomic<bool> live{false};  // every translation made from them reads them when it runs
    u32 hits = 0;
  };
  static constexpr unsigned kPatchSites = 256;
  static constexpr u32 kPatchesToBeLive = 4;

  [[nodiscard]] static std::size_t movable_index(const BlockKey& key);
  void relocate(const TranslatedBlock& from, u64 rip_delta);
  void enter(TranslatedBlock& block);
  TranslationCache(CodeCache code, Mapping buckets, Mapping exits, Mapping order);
  [[nodiscard]] static std::size_t hash(const BlockKey& key);
  void drop(TranslatedBlock& block);
  void withdraw(TranslatedBlock& block);
  void publish(TranslatedBlock& block);
  PageCode& page_code(const PageUse& use);
  void set_granules(PageCode& page, u64 granules);
  [[nodiscard]] static unsigned site_index(const u8* at) noexcept;
  void note_patch(const u8* at, u64 length);
  [[nodiscard]] bool all_live(const PatchSite& site) const;
  [[nodiscard]] static bool is_unchanged(const TranslatedBlock& block);
  void unlink_incoming(TranslatedBlock& block);
  void unlink_outgoing(TranslatedBlock& block);
  void watch(TranslatedBlock& block, const PageUse& use, u64 from, u64 to);
  [[nodiscard]] static u64 granules(u64 from, u64 to) noexcept;

  std::mutex mutex_;
  CodeCache code_;
  u64 kept_bytes_ = 0;
  u64 limit_bytes_ = 0;  // of code, for now
  std::chrono::steady_clock::time_point cleared_at_{};
  Mapping bucket_memory_, exit_memory_, order_memory_;
  std::atomic<TranslatedBlock*>* buckets_;
  ExitRecord* exits_;
  TranslatedBlock** order_;  // by ascending code address
  std::atomic<u32> block_count_{0};
  u32 exit_count_ = 1;
  // The movable block added last, by its bytes and mode; collisions forget.
  static constexpr unsigned kMovableBits = 17;
  std::unique_ptr<TranslatedBlock*[]> movable_ =
      std::make_unique<TranslatedBlock*[]>(std::size_t{1} << kMovableBits);
  std::vector<u8> moved_code_;  // what relocate() made
  u64 dropped_count_ = 0;       // blocks that nothing finds any more, since clear()
  Arena arena_;                 // blocks and what they point to
  std::vector<std::unique_ptr<SystemCall>> system_calls_;  // that code points to
  std::unordered_map<const u8*, PageCode> pages_;
  PatchSite sites_[kPatchSites];
  unsigned live_sites_ = 0;
  RamCode rams_[kMaxRams];
  std::atomic<unsigned> ram_count_{0};
  Counters counters_;
};

}  // namespace emu
