// SPDX-License-Identifier: Apache-2.0
// NVMe: registers, doorbells, queues, interrupts.
#include "devices/storage/nvme_controller.h"

#include <algorithm>

#include "base/bits.h"
#include "base/scope_exit.h"

namespace emu {

using namespace nvme;

namespace {

// QEMU's identity: guests and boot loaders know it.
constexpr PciIdentity kIdentity{
    .vendor = 0x1b36, .device = 0x0010, .revision = 2, .class_code = 0x010802, .interrupt_pin = 1};
constexpr u32 kRegisterBytes = 0x2000, kMsixTableAt = 0x2000, kMsixPbaAt = 0x3000,
              kBarBytes = 0x4000;
constexpr u32 kMaxEntries = 2048;
// CAP (3.1.1): contiguous queues, 7.5 s to get ready, NVM commands, pages of 4 to 64 KiB.
constexpr u64 kCapValue =
    (kMaxEntries - 1) | u64{1} << 16 | u64{15} << 24 | u64{1} << 37 | u64{4} << 52;

}  // namespace

NvmeController::NvmeController(PciBus& bus, u8 devfn, const std::string& name,
                               BlockBackend& backend, std::string serial)
    : PciDevice(bus, devfn, name, kIdentity), backend_(backend), serial_(std::move(serial)) {
  registers_region_ =
      Region::mmio(name + ".registers", kRegisterBytes, registers_, AccessSizes{4, 4, false});
  bar_ = Region::container(name, kBarBytes);
  bar_->add(*registers_region_, 0);
  msix_ = &add_msix(kMaxQueues, {0, *bar_, kMsixTableAt, kMsixPbaAt});
  add_bar(0, BarKind::kMemory64, *bar_);
}

NvmeController::~NvmeController() = default;

u64 NvmeController::read_register(u64 offset, unsigned) {
  switch (offset) {
    case kCap:
      return kCapValue & 0xffffffff;
    case kCap + 4:
      return kCapValue >> 32;
    case kVs:
      return kVersion;
    case kIntms:
    case kIntmc:
      return interrupt_mask_;
    case kCc:
      return cc_;
    case kCsts:
      return csts_;
    case kAqa:
      return aqa_;
    case kAsq:
      return asq_ & 0xffffffff;
    case kAsq + 4:
      return asq_ >> 32;
    case kAcq:
      return acq_ & 0xffffffff;
    case kAcq + 4:
      return acq_ >> 32;
    default:
      return 0;
  }
}

void NvmeController::write_register(u64 offset, unsigned, u64 value) {
  const u32 v = static_cast<u32>(value);
  const auto set_half = [v, offset](u64& wide_register) {
    const unsigned shift = offset % 8 * 8;
    wide_register = (wide_register & ~(u64{0xffffffff} << shift)) | u64{v} << shift;
    wide_register &= ~u64{0xfff};
  };
  if (offset >= kDoorbells) return ring_doorbell(static_cast<u32>((offset - kDoorbells) / 4), v);
  switch (offset) {
    case kIntms:
      interrupt_mask_ |= v;
      return update_interrupt();
    case kIntmc:
      interrupt_mask_ &= ~v;
      return update_interrupt();
    case kCc:
      return write_configuration(v);
    case kAqa:
      aqa_ = v & 0x0fff0fff;
      return;
    case kAsq:
    case kAsq + 4:
      return set_half(asq_);
    case kAcq:
    case kAcq + 4:
      return set_half(acq_);
    default:
      return;
  }
}

void NvmeController::write_configuration(u32 value) {
  const bool was_enabled = (cc_ & kCcEnable) != 0;
  const bool is_enabled = (value & kCcEnable) != 0;
  const u32 before = std::exchange(cc_, value & 0x00ffcff1);
  // Shutdown (3.1.5): what was written goes to stable storage; that is done when the status says.
  if ((value & 0xc000) != 0 && (before & 0xc000) == 0) {
    csts_ |= kCstsShutDown;
    if (!backend_.read_only())
      backend_.submit({BlockOp::kFlush, 0, 0, {}}, [](const Result<void>&) {});
  } else if ((value & 0xc000) == 0) {
    csts_ &= ~(3u << 2);
  }
  if (!was_enabled && is_enabled) enable();
  if (was_enabled && !is_enabled) disable();
}

// The admin queues come from AQA, ASQ and ACQ (3.1.8 to 3.1.10).
void NvmeController::enable() {
  sqs_[0] = {};
  cqs_[0] = {};
  sqs_[0].exists = cqs_[0].exists = true;
  sqs_[0].base = asq_;
  cqs_[0].base = acq_;
  sqs_[0].size = (aqa_ & 0xfff) + 1;
  cqs_[0].size = (aqa_ >> 16 & 0xfff) + 1;
  cqs_[0].interrupts = true;
  const bool sane = (cc_ >> 7 & 15) <= 4 && (cc_ >> 4 & 7) == 0 && sqs_[0].size >= 2 &&
                    cqs_[0].size >= 2 && bus_master();
  if (!sane || !map_queue(sqs_[0]) || !map_queue(cqs_[0])) return fatal("bad admin queues");
  csts_ = (csts_ & ~kCstsFatal) | kCstsReady;
}

// Requests under way still use guest memory: they end before the guest may reuse it.
void NvmeController::disable() {
  if (!requests_.empty()) backend_.drain();
  requests_.clear();
  event_requests_.clear();
  sqs_.fill({});
  for (CompletionQueue& queue : cqs_) queue = {};
  features_ = {};
  features_[kFeatureWriteCache] = 1;
  csts_ = 0;
  interrupt_mask_ = 0;
  update_interrupt();
}

void NvmeController::fatal(std::string_view why) {
  if (complaints_.pass()) log(LogLevel::kWarning, "nvme", "{}: {}", name(), why);
  csts_ |= kCstsFatal;
  sqs_.fill({});
  for (CompletionQueue& queue : cqs_) queue = {};
  requests_.clear();
}

bool NvmeController::map_queue(SubmissionQueue& queue) {
  const auto window =
      GuestWindow::map(bus().wires().dma, queue.base, queue.size * kCommandBytes, false);
  if (window) queue.memory = *window;
  return window.has_value();
}

bool NvmeController::map_queue(CompletionQueue& queue) {
  const auto window =
      GuestWindow::map(bus().wires().dma, queue.base, queue.size * kCompletionBytes, true);
  if (window) queue.memory = *window;
  return window.has_value();
}

// Doorbells alternate: tail of submission queue n, head of completion queue n.
void NvmeController::ring_doorbell(u32 index, u32 value) {
  if ((csts_ & (kCstsReady | kCstsFatal)) != kCstsReady || index / 2 >= kMaxQueues) return;
  const u16 number = static_cast<u16>(index / 2);
  if (index % 2 == 0) {
    SubmissionQueue& queue = sqs_[number];
    if (!queue.exists || value >= queue.size) return;
    queue.tail = value;
    return process(number);
  }
  CompletionQueue& queue = cqs_[number];
  if (!queue.exists || value >= queue.size) return;
  queue.head = value;
  post(number);
  update_interrupt();
  for (u16 n = 0; n < kMaxQueues; ++n) {  // some may have waited for room
    if (sqs_[n].exists && sqs_[n].cq == number) process(n);
  }
}

void NvmeController::process(u16 number) {
  if (processing_) return;  // a command that ended at once: the loop below goes on
  processing_ = true;
  const ScopeExit done([this] { processing_ = false; });
  SubmissionQueue& queue = sqs_[number];
  while (queue.exists && queue.head != queue.tail && queue.in_flight < queue.size && bus_master() &&
         (csts_ & kCstsFatal) == 0) {
    Command command;
    std::atomic_thread_fence(std::memory_order_acquire);
    const auto from = queue.memory.bytes().subspan(queue.head * kCommandBytes, kCommandBytes);
    std::ranges::copy(from, command.begin());
    queue.head = queue.head + 1 == queue.size ? 0 : queue.head + 1;
    ++queue.in_flight;
    if (number == 0) {
      execute_admin(command);
    } else {
      execute_io(number, command);
    }
  }
}

void NvmeController::complete(u16 sq, u16 command_id, u16 status, u32 result) {
  const u16 cq = sqs_[sq].cq;
  cqs_[cq].waiting.push_back({result, sq, command_id, status});
  post(cq);
}

// A queue is full when its tail is just behind its head.
void NvmeController::post(u16 number) {
  CompletionQueue& queue = cqs_[number];
  bool posted = false;
  while (queue.exists && !queue.waiting.empty() && bus_master()) {
    const u32 next = queue.tail + 1 == queue.size ? 0 : queue.tail + 1;
    if (next == queue.head) break;
    const Completion done = queue.waiting.front();
    queue.waiting.pop_front();
    const u64 at = queue.tail * kCompletionBytes;
    SubmissionQueue& from = sqs_[done.sq];
    queue.memory.store(at, done.result);
    queue.memory.store(at + 4, u32{0});
    queue.memory.store(at + 8, static_cast<u16>(from.head));
    queue.memory.store(at + 10, done.sq);
    queue.memory.store(at + 12, done.command_id);
    // The phase is what the guest polls: last.
    queue.memory.store_release(at + 14, static_cast<u16>(done.status << 1 | (queue.phase ? 1 : 0)));
    queue.tail = next;
    if (next == 0) queue.phase = !queue.phase;
    if (from.in_flight != 0) --from.in_flight;
    posted = true;
  }
  if (!posted || !queue.interrupts) return;
  if (!send_message(queue.vector)) update_interrupt();
}

// INTx: asserted while any completion queue holds what the guest has not taken (7.5.1).
void NvmeController::update_interrupt() {
  bool level = false;
  for (const CompletionQueue& queue : cqs_) {
    const bool masked = queue.vector < 32 && (interrupt_mask_ >> queue.vector & 1) != 0;
    level |= queue.exists && queue.interrupts && !masked && queue.head != queue.tail;
  }
  set_intx(level && !messages_enabled());
}

void NvmeController::reset() {
  disable();
  cc_ = aqa_ = 0;
  asq_ = acq_ = 0;
  reset_config();
}

void NvmeController::transfer(StateIo& io) {
  io.section(name(), 1, [&] {
    transfer_config(io);
    io.field(1, "cc", cc_);
    io.field(2, "csts", csts_);
    io.field(3, "aqa", aqa_);
    io.field(4, "asq", asq_);
    io.field(5, "acq", acq_);
    io.field(6, "interrupt_mask", interrupt_mask_);
    io.field(7, "features", features_);
    for (unsigned i = 0; i < kMaxQueues; ++i) {
      io.section(fmt::format("sq{}", i), 1, [&] { transfer_queue(io, sqs_[i]); });
      io.section(fmt::format("cq{}", i), 1, [&] { transfer_queue(io, cqs_[i]); });
    }
    transfer_requests(io);
  });
}

void NvmeController::transfer_queue(StateIo& io, SubmissionQueue& queue) {
  io.field(1, "exists", queue.exists);
  io.field(2, "base", queue.base);
  io.field(3, "size", queue.size);
  io.field(4, "cq", queue.cq);
  io.field(5, "head", queue.head);
  io.field(6, "tail", queue.tail);
  io.field(7, "in_flight", queue.in_flight);
  if (!io.loading()) return;
  io.check(queue.cq < kMaxQueues, "nvme queue number");
  io.check(!queue.exists || (queue.size >= 2 && queue.size <= 4096 && queue.head < queue.size &&
                             queue.tail < queue.size && queue.in_flight <= queue.size),
           "nvme submission queue");
  if (!io.ok()) queue = {};
}

void NvmeController::transfer_queue(StateIo& io, CompletionQueue& queue) {
  constexpr std::size_t kEntry = 10;
  std::vector<u8> waiting(queue.waiting.size() * kEntry);
  for (std::size_t i = 0; i < queue.waiting.size(); ++i) {
    store_le(&waiting[i * kEntry], queue.waiting[i].result);
    store_le(&waiting[i * kEntry + 4], queue.waiting[i].sq);
    store_le(&waiting[i * kEntry + 6], queue.waiting[i].command_id);
    store_le(&waiting[i * kEntry + 8], queue.waiting[i].status);
  }
  io.field(1, "exists", queue.exists);
  io.field(2, "base", queue.base);
  io.field(3, "size", queue.size);
  io.field(4, "vector", queue.vector);
  io.field(5, "interrupts", queue.interrupts);
  io.field(6, "head", queue.head);
  io.field(7, "tail", queue.tail);
  io.field(8, "phase", queue.phase);
  io.field(9, "waiting", waiting, kEntry * 4096 * kMaxQueues);
  if (!io.loading()) return;
  io.check(!queue.exists || (queue.size >= 2 && queue.size <= 4096 && queue.head < queue.size &&
                             queue.tail < queue.size && queue.vector < kMaxQueues),
           "nvme completion queue");
  queue.waiting.clear();
  for (std::size_t at = 0; at + kEntry <= waiting.size(); at += kEntry) {
    const u16 sq = load_le<u16>(&waiting[at + 4]);
    io.check(sq < kMaxQueues, "nvme completion");
    if (sq >= kMaxQueues) break;
    queue.waiting.push_back({load_le<u32>(&waiting[at]), sq, load_le<u16>(&waiting[at + 6]),
                             load_le<u16>(&waiting[at + 8])});
  }
  if (!io.ok()) queue = {};
}

// Commands under way: queue number, then the 64 bytes.
void NvmeController::transfer_requests(StateIo& io) {
  constexpr std::size_t kEntry = 2 + kCommandBytes;
  std::vector<u8> commands;
  for (const auto& [id, request] : requests_.all()) {
    commands.push_back(static_cast<u8>(request.sq));
    commands.push_back(0);
    commands.insert(commands.end(), request.command.begin(), request.command.end());
  }
  std::vector<u8> events;
  for (const u16 id : event_requests_) {
    events.push_back(static_cast<u8>(id));
    events.push_back(static_cast<u8>(id >> 8));
  }
  io.field(8, "commands", commands, kEntry * 4096 * kMaxQueues);
  io.field(9, "events", events, 64);
  if (!io.loading()) return;
  requests_.clear();
  event_requests_.clear();
  for (std::size_t at = 0; at + kEntry <= commands.size(); at += kEntry) {
    Request& request = requests_.add_loaded();
    request.sq = commands[at];
    io.check(request.sq >= 1 && request.sq < kMaxQueues, "nvme command");
    std::copy_n(commands.begin() + static_cast<std::ptrdiff_t>(at) + 2, kCommandBytes,
                request.command.begin());
  }
  for (std::size_t at = 0; at + 2 <= events.size(); at += 2)
    event_requests_.push_back(load_le<u16>(&events[at]));
  if (!io.ok()) requests_.clear();
}

// Commands that were under way when the state was saved are done again; that moves the same data.
void NvmeController::resumed() {
  resume_config();
  for (SubmissionQueue& queue : sqs_) {
    if (queue.exists && !map_queue(queue)) fatal("a queue is not in RAM");
  }
  for (CompletionQueue& queue : cqs_) {
    if (queue.exists && !map_queue(queue)) fatal("a queue is not in RAM");
  }
  if ((csts_ & kCstsFatal) != 0) return;
  for (const Request& request : requests_.take_loaded()) execute_io(request.sq, request.command);
}

}  // namespace emu
