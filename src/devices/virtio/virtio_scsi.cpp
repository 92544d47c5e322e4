// SPDX-License-Identifier: Apache-2.0
// The SCSI host itself: its units, configuration, task management and events.
#include "devices/virtio/virtio_scsi.h"

#include <algorithm>

#include "devices/storage/scsi_disk.h"
#include "devices/virtio/virtio_scsi_spec.h"

namespace emu {

using namespace virtio_scsi;

VirtioScsi::VirtioScsi(AddressSpace& memory, unsigned queues)
    : VirtioDevice(memory, {"virtio-scsi", virtio::kTypeScsi, 0x010000, kConfigBytes},
                   std::vector<u16>(kFirstRequestQueue + queues, kQueueSize)),
      sense_bytes_(kSenseBytes),
      command_bytes_(kCommandBytes) {
  EMU_CHECK(queues >= 1 && queues <= 64);
}

VirtioScsi::~VirtioScsi() = default;

void VirtioScsi::attach_disk(Place place, BlockBackend& backend, const DriveIdentity& identity) {
  EMU_CHECK(is_free(place));
  units_.push_back({place, std::make_unique<ScsiDisk>(backend, identity)});
}

CdromUnit& VirtioScsi::attach_cdrom(Place place, BlockBackend* medium,
                                    const DriveIdentity& identity) {
  EMU_CHECK(is_free(place));
  auto unit = std::make_unique<CdromUnit>(medium, identity, CdromUnit::Link::kScsi);
  CdromUnit& attached = *unit;
  attached.watch_medium(
      [this, place] { abort([place](const Request& r) { return r.place == place; }, kAborted); },
      [this, place] { medium_changed(place); });
  units_.push_back({place, std::move(unit)});
  return attached;
}

VirtioScsi::Unit* VirtioScsi::find(Place place) {
  const auto found = std::ranges::find(units_, place, &Unit::place);
  return found == units_.end() ? nullptr : &*found;
}

const VirtioScsi::Unit* VirtioScsi::find(Place place) const {
  const auto found = std::ranges::find(units_, place, &Unit::place);
  return found == units_.end() ? nullptr : &*found;
}

bool VirtioScsi::has_target(u8 target) const {
  return std::ranges::any_of(units_, [target](const Unit& u) { return u.place.target == target; });
}

// 1, the target, then a unit number of 14 bits in "flat" or "peripheral" addressing (5.6.6.1).
std::optional<VirtioScsi::Place> VirtioScsi::parse(const Address& address) {
  const unsigned kind = address[2] >> 6;
  const unsigned lun = (address[2] & 0x3fu) << 8 | address[3];
  if (address[0] != 1 || kind > 1 || lun >= kMaxLuns) return {};
  return Place{address[1], static_cast<u8>(lun)};
}

u64 VirtioScsi::model_features() const {
  return kFeatureInOut | kFeatureChange;
}

void VirtioScsi::fill_config(std::span<u8> out) {
  u8 last_target = 0;
  for (const Unit& unit : units_) last_target = std::max(last_target, unit.place.target);
  store_le(&out[0], queue_count() - kFirstRequestQueue);
  store_le(&out[4], u32{kQueueSize - 2});  // seg_max
  store_le(&out[8], u32{0xffff});          // max_sectors
  store_le(&out[12], u32{128});            // commands a unit
  store_le(&out[16], static_cast<u32>(kEventBytes));
  store_le(&out[kSenseSizeAt], sense_bytes_);
  store_le(&out[kCommandSizeAt], command_bytes_);
  store_le(&out[28], u16{0});  // max_channel
  store_le(&out[30], u16{last_target});
  store_le(&out[32], u32{kMaxLuns - 1});
}

// Sizes in between written bytes, and sizes that make no sense, are not taken.
void VirtioScsi::config_written(u64 offset, std::span<const u8> bytes) {
  if (bytes.size() != 4) return;
  const u32 value = load_le<u32>(bytes.data());
  if (offset == kSenseSizeAt && value <= 255) sense_bytes_ = value;
  if (offset == kCommandSizeAt && value >= ScsiUnit::kMaxCommandBytes && value <= 255)
    command_bytes_ = value;
}

u64 VirtioScsi::response_bytes() const {
  return kResponseBytes + sense_bytes_;
}

void VirtioScsi::notified(unsigned queue) {
  if (queue == kControlQueue)
    return each_chain(queue, [this](const VirtioChain& chain) { control(chain); });
  if (queue >= kFirstRequestQueue)
    return each_chain(queue, [this, queue](VirtioChain chain) { start(queue, std::move(chain)); });
  if (std::exchange(has_missed_events_, false)) post_event(kEventNone | kEventsMissed, {}, 0);
}

void VirtioScsi::control(const VirtioChain& chain) {
  DmaList in;
  DmaList out;
  std::array<u8, kTaskManagementBytes> message{};
  if (!chain.map_readable(memory(), in) || !chain.map_writable(memory(), out) ||
      in.read(0, message) < 4)
    return fail("a control request without a type, or with memory that is not RAM");
  const u32 type = load_le<u32>(message.data());
  const bool is_whole =
      in.length_bytes() >= (type == kTaskManagement ? kTaskManagementBytes : kEventRequestBytes);
  std::array<u8, 5> answer{};
  if (type == kTaskManagement) {
    answer[0] = is_whole ? manage_tasks(message) : kFailure;
    out.write(0, std::span(answer).first(1));
    return complete(kControlQueue, chain, 1);
  }
  u32 events = 0;
  answer[4] = kFailure;
  if (is_whole && (type == kEventQuery || type == kEventSubscribe))
    answer[4] = subscribe(message, type == kEventQuery, events);
  store_le(answer.data(), events);
  out.write(0, answer);
  complete(kControlQueue, chain, static_cast<u32>(answer.size()));
}

// Ends commands before their time. The host's file is waited for: it still uses their memory.
template <class Predicate>
void VirtioScsi::abort(Predicate&& is_one, u8 response) {
  for (const auto& entry : requests_.all()) {
    if (is_one(entry.second) && entry.second.backend != nullptr) entry.second.backend->drain();
  }
  for (Request& request : requests_.take_if(is_one)) finish(request, {response});
}

u8 VirtioScsi::manage_tasks(std::span<const u8> message) {
  Address address;
  std::ranges::copy(message.subspan(8, 8), address.begin());
  const u32 what = load_le<u32>(&message[4]);
  const u64 tag = load_le<u64>(&message[16]);
  const auto place = parse(address);
  if (!place || !has_target(place->target)) return kBadTarget;
  Unit* const unit = find(*place);
  if (unit == nullptr && what != kNexusReset) return kIncorrectLun;
  const auto of_unit = [&](const Request& r) { return r.place == *place; };
  const auto of_task = [&](const Request& r) { return r.place == *place && r.tag == tag; };
  const auto has = [&](const auto& is_one) {
    return std::ranges::any_of(requests_.all(), [&](const auto& e) { return is_one(e.second); });
  };
  switch (what) {
    case kAbortTask:
      abort(of_task, kAborted);
      return kOk;
    case kAbortTaskSet:
    case kClearTaskSet:
      abort(of_unit, kAborted);
      return kOk;
    case kNexusReset:
      abort([&](const Request& r) { return r.place.target == place->target; }, kReset);
      for (Unit& other : units_) {
        if (other.place.target == place->target) other.unit->reset();
      }
      return kOk;
    case kLogicalUnitReset:
      abort(of_unit, kReset);
      unit->unit->reset();
      return kOk;
    case kQueryTask:
      return has(of_task) ? kFunctionSucceeded : kOk;
    case kQueryTaskSet:
      return has(of_unit) ? kFunctionSucceeded : kOk;
    default:
      return kFunctionRejected;
  }
}

// Only changes of media are told.
u8 VirtioScsi::subscribe(std::span<const u8> message, bool is_query, u32& events) {
  Address address;
  std::ranges::copy(message.subspan(4, 8), address.begin());
  const auto place = parse(address);
  Unit* const unit = place ? find(*place) : nullptr;
  if (unit == nullptr) return place && has_target(place->target) ? kIncorrectLun : kBadTarget;
  const u32 known = unit->unit->device_type() == scsi::kTypeCdrom ? kMediaChange : 0;
  events = load_le<u32>(&message[12]) & known;
  if (!is_query) unit->subscribed = events;
  return kOk;
}

void VirtioScsi::medium_changed(Place place) {
  const Unit* unit = find(place);
  if (unit != nullptr && (unit->subscribed & kMediaChange) != 0)
    post_event(kEventNotify, place, kMediaChange);
  if (has_feature(kFeatureChange))
    post_event(kEventParameters, place,
               scsi::kMediumChanged.code | u32{scsi::kMediumChanged.qualifier} << 8);
}

// Without a buffer of the driver's an event is lost, and the next one says so (5.6.6.3).
void VirtioScsi::post_event(u32 event, Place place, u32 reason) {
  auto chain = next_chain(kEventQueue);
  if (!chain) {
    has_missed_events_ = is_running();
    return;
  }
  std::array<u8, kEventBytes> bytes{};
  store_le(&bytes[0], event | (std::exchange(has_missed_events_, false) ? kEventsMissed : 0));
  bytes[4] = 1;
  bytes[5] = place.target;
  bytes[6] = 0x40;
  bytes[7] = place.lun;
  store_le(&bytes[12], reason);
  DmaList out;
  if (!chain->map_writable(memory(), out) || out.length_bytes() < bytes.size())
    return fail("an event's buffer that is too small, or not RAM");
  out.write(0, bytes);
  complete(kEventQueue, *chain, static_cast<u32>(bytes.size()));
}

// Commands under way still use guest memory: they end before the driver may reuse it.
void VirtioScsi::reset_model() {
  for (Unit& unit : units_) {
    BlockBackend* backend = unit.unit->backend();
    if (!requests_.empty() && backend != nullptr) backend->drain();
    unit.unit->reset();
    unit.subscribed = 0;
  }
  requests_.clear();
  sense_bytes_ = kSenseBytes;
  command_bytes_ = kCommandBytes;
  has_missed_events_ = false;
}

void VirtioScsi::transfer_model(StateIo& io) {
  io.field(1, "sense_bytes", sense_bytes_);
  io.field(2, "command_bytes", command_bytes_);
  io.field(3, "has_missed_events", has_missed_events_);
  io.check(
      sense_bytes_ <= 255 && command_bytes_ >= ScsiUnit::kMaxCommandBytes && command_bytes_ <= 255,
      "virtio-scsi sizes");
  for (std::size_t i = 0; i < units_.size(); ++i) {
    io.section(fmt::format("unit{}", i), 1, [&] {
      io.field(1, "subscribed", units_[i].subscribed);
      units_[i].unit->transfer(io);
    });
  }
  requests_.transfer(io, 4, VirtQueue::kMaxSize * queue_count(), [&](Request& request) {
    u32 queue = request.queue;
    io.field(1, "queue", queue);
    io.check(queue >= kFirstRequestQueue && queue < queue_count(), "virtio-scsi queue");
    request.queue = std::clamp<u32>(queue, kFirstRequestQueue, queue_count() - 1);
    request.chain.transfer(io, 2);
  });
}

// A command that was under way when the state was saved is done again; that moves the same data.
void VirtioScsi::resumed_model() {
  for (Request& request : requests_.take_loaded()) start(request.queue, std::move(request.chain));
}

}  // namespace emu
