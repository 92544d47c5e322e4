// SPDX-License-Identifier: Apache-2.0
// The commands that a disk controller works on, from their start to their end: counts what the
// backend still owes each, keeps late answers from requests that a reset forgot, and adds the flush
// that a write without a cache in front of it needs. AHCI, NVMe, virtio-blk and virtio-scsi have
// this in common.
// Threads: the machine lock is held by every caller; backends answer through the Executor, under
// that lock.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/state_io.h"
#include "block/block_backend.h"
#include "devices/guest_window.h"

namespace emu {

// What every controller's request has; its own things stand in a derived struct.
struct DiskRequest {
  DmaList data;
  unsigned waits = 0;   // for that many answers, and for release()
  bool failed = false;  // one of them was an error
  bool reads = false;   // `data` is the guest's to read when the request ends
  // What is flushed before the request ends, if everything before has succeeded; null: nothing.
  BlockBackend* flushes_after = nullptr;
};

template <class Request>
class DiskRequests {
 public:
  // `who` is for the log. `ended` is told when a request has got all its answers; it calls take().
  DiskRequests(std::string_view who, std::function<void(u64 id)> ended)
      : who_(who), ended_(std::move(ended)) {}

  // A new request. It does not end before release() or take().
  [[nodiscard]] std::pair<u64, Request&> add() {
    const u64 id = next_id_++;
    Request& request = requests_[id];
    request.waits = 1;
    return {id, request};
  }
  // Everything that the request needs was submitted.
  void release(u64 id) { answered(id); }
  // Asks `backend` on behalf of a request that is there.
  void submit(u64 id, BlockBackend& backend, BlockRequest block) {
    ++requests_.at(id).waits;
    backend.submit(std::move(block), [this, id, &backend, alive = std::weak_ptr<char>(alive_)](
                                         const Result<void>& result) {
      if (alive.expired()) return;
      if (!result) note_failure(id, backend, result.error());
      answered(id);
    });
  }
  // Removes a request, whatever it waits for, and gives it to the caller.
  [[nodiscard]] Request take(u64 id) { return std::move(requests_.extract(id).mapped()); }
  // A request that a saved state had under way; it waits for nothing yet.
  [[nodiscard]] Request& add_loaded() { return requests_[next_id_++]; }
  // Those of them that nothing has been done for since, in their order.
  [[nodiscard]] std::vector<Request> take_loaded() {
    return take_if([](const Request& request) { return request.waits == 0; });
  }
  // The number of requests under way as field `tag`, `most` at most, and of each in its own section
  // what `each(request)` transfers. Loaded ones then wait for take_loaded().
  template <class Each>
  void transfer(StateIo& io, u16 tag, std::size_t most, Each&& each) {
    u32 count = static_cast<u32>(requests_.size());
    io.field(tag, "requests", count);
    io.check(count <= most, "requests of a disk controller");
    if (io.loading()) requests_.clear();
    auto next = requests_.begin();
    for (u32 i = 0; i < count && io.ok(); ++i) {
      io.section(fmt::format("request{}", i), 1,
                 [&] { each(io.loading() ? add_loaded() : (next++)->second); });
    }
  }
  // Forgets all; what the backend still answers goes nowhere. The guest's memory is safe only if
  // the backend was drained before.
  void clear() {
    for (const auto& entry : requests_) publish(entry.second);
    requests_.clear();
  }
  // The same for those that `is_one(request)` is true of; they are given back, in their order.
  template <class Predicate>
  [[nodiscard]] std::vector<Request> take_if(Predicate&& is_one) {
    std::vector<Request> out;
    for (auto at = requests_.begin(); at != requests_.end();) {
      if (!is_one(std::as_const(at->second))) {
        ++at;
        continue;
      }
      publish(at->second);
      out.push_back(std::move(at->second));
      at = requests_.erase(at);
    }
    return out;
  }

  [[nodiscard]] bool empty() const { return requests_.empty(); }
  [[nodiscard]] std::size_t size() const { return requests_.size(); }
  // By id, which is the order of their start: pairs of id and request.
  [[nodiscard]] const std::map<u64, Request>& all() const { return requests_; }
  [[nodiscard]] std::map<u64, Request>& all() { return requests_; }

 private:
  void note_failure(u64 id, const BlockBackend& backend, const Error& error) {
    const auto found = requests_.find(id);
    if (found == requests_.end()) return;
    found->second.failed = true;
    if (complaints_.pass())
      log(LogLevel::kError, who_, "{}: {}", backend.describe(), error.message);
  }
  // What the backend put there, also if it failed in the end or nobody waits for it any more.
  static void publish(const Request& request) {
    if (request.reads) request.data.publish();
  }
  void answered(u64 id) {
    const auto found = requests_.find(id);
    if (found == requests_.end()) return;  // forgotten by a reset
    Request& request = found->second;
    if (--request.waits != 0) return;
    BlockBackend* const flushed = std::exchange(request.flushes_after, nullptr);
    if (flushed != nullptr && !request.failed)
      return submit(id, *flushed, {BlockOp::kFlush, 0, 0, {}});
    publish(request);
    ended_(id);
  }

  std::string_view who_;
  std::function<void(u64)> ended_;
  RateLimit complaints_{20};
  std::map<u64, Request> requests_;
  u64 next_id_ = 0;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace emu
