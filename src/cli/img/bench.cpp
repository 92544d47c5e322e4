// SPDX-License-Identifier: Apache-2.0
// emu img bench.
// Threads: as many as requests are to be under way, each with its own.
#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "block/create_image.h"
#include "block/open_disk.h"
#include "cli/img/arguments.h"
#include "cli/img/commands.h"

namespace emu::cli::img {
namespace {

constexpr Option kOptions[] = {
    {'f', "", true, "format"},
    {'c', "", true, "count"},
    {'d', "", true, "depth"},
    {'s', "", true, "size"},
    {'S', "", true, "step"},
    {'o', "", true, "offset"},
    {'w', "", false, "write"},
    {0, "pattern", true, "pattern"},
    {0, "flush-interval", true, "flush"},
    {'q', "quiet", false, "quiet"},
    {0, "output", true, "output"},
    {0, "json", false, "json"},
    {'t', "", true, "cache"},
    {'i', "", true, "aio"},
    {'n', "", false, "native"},
};

struct Plan {
  u64 count = 75000;
  u64 depth = 64;
  u64 request_bytes = 4096;
  u64 step_bytes = 4096;
  u64 offset = 0;
  u64 flush_every = 0;
  u8 pattern = 0;
  bool writes = false;
};

Result<Plan> read_plan(const Arguments& a) {
  Plan p;
  struct Field {
    const char* key;
    u64* into;
  };
  for (const Field& f :
       {Field{"count", &p.count}, Field{"depth", &p.depth}, Field{"size", &p.request_bytes},
        Field{"offset", &p.offset}, Field{"flush", &p.flush_every}}) {
    auto n = a.size(f.key, *f.into);
    if (!n) return n.error();
    *f.into = *n;
  }
  auto step = a.size("step", 0);
  auto pattern = a.size("pattern", 0);
  if (!step) return step.error();
  if (!pattern) return pattern.error();
  p.step_bytes = *step == 0 ? p.request_bytes : *step;
  p.pattern = static_cast<u8>(*pattern);
  p.writes = a.has("write");
  if (p.request_bytes == 0 || p.request_bytes > kGiB || p.depth == 0)
    return fail("-s takes up to 1G, -d at least 1");
  return p;
}

class Run {
 public:
  Run(DiskImage& image, const Plan& plan) : image_(image), plan_(plan) {}
  Result<void> run() {
    {
      std::vector<std::jthread> workers;
      for (u64 i = 0; i < std::min<u64>(plan_.depth, 64); ++i)
        workers.emplace_back([this] { work(); });
    }
    return first_error_;
  }

 private:
  void work() {
    std::vector<u8> bytes(plan_.request_bytes, plan_.pattern);
    const u64 places = (image_.size_bytes() - plan_.offset - plan_.request_bytes) + 1;
    for (u64 i = next_++; i < plan_.count; i = next_++) {
      const std::span<u8> one[] = {bytes};
      const u64 at = plan_.offset + (i * plan_.step_bytes) % places / 512 * 512;
      Result<void> done = plan_.writes ? image_.write(at, one) : image_.read(at, one);
      if (done && plan_.flush_every != 0 && i % plan_.flush_every == plan_.flush_every - 1)
        done = image_.flush();
      if (done) continue;
      const std::lock_guard lock(mutex_);
      if (first_error_) first_error_ = done;
      next_ = plan_.count;
    }
  }
  DiskImage& image_;
  const Plan& plan_;
  std::atomic<u64> next_{0};
  std::mutex mutex_;
  Result<void> first_error_;
};

}  // namespace

Result<int> bench(Words words) {
  auto a = Arguments::parse(words, kOptions);
  if (!a) return a.error();
  if (a->files().size() != 1) return fail("name one image");
  auto format = a->format("format");
  if (!format) return format.error();
  auto plan = read_plan(*a);
  if (!plan) return plan.error();
  auto image = open_image({.path = a->files()[0], .format = *format, .read_only = !plan->writes});
  if (!image) return image.error();
  if (plan->offset + plan->request_bytes > (*image)->size_bytes())
    return fail("the disk is smaller than one request");
  const auto begin = std::chrono::steady_clock::now();
  EMU_TRY(Run(**image, *plan).run());
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  const double bytes = static_cast<double>(plan->count * plan->request_bytes);
  const double mib_per_s = bytes / static_cast<double>(kMiB) / took.count();
  if (a->json()) {
    fmt::print("{}\n", nlohmann::ordered_json{{"seconds", took.count()},
                                              {"requests", plan->count},
                                              {"mib-per-second", mib_per_s}}
                           .dump(4));
  } else {
    fmt::print("{} {} requests of {}, {} at once: {:.3f} seconds, {:.0f} MiB/s\n", plan->count,
               plan->writes ? "write" : "read", size_text(plan->request_bytes), plan->depth,
               took.count(), mib_per_s);
  }
  return 0;
}

}  // namespace emu::cli::img
