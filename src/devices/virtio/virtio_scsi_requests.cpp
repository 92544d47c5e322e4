// SPDX-License-Identifier: Apache-2.0
// Commands that come through the request queues of a virtio SCSI host.
// Source: VIRTIO 1.2: 5.6.6.1; SPC-4 (T10/1731-D) 6.33 (REPORT LUNS).
#include <algorithm>

#include "base/bits.h"
#include "devices/virtio/virtio_scsi.h"
#include "devices/virtio/virtio_scsi_spec.h"

namespace emu {

using namespace virtio_scsi;

void VirtioScsi::start(unsigned queue, VirtioChain chain) {
  DmaList out;  // the driver's: header, command, data
  DmaList in;   // ours: response, sense, data
  std::vector<u8> header(kHeaderBytes + command_bytes_);
  if (!chain.map_readable(memory(), out) || !chain.map_writable(memory(), in) ||
      out.read(0, header) != header.size() || in.length_bytes() < response_bytes())
    return fail("a request without header or response, or with memory that is not RAM");
  Address address;
  std::copy_n(header.begin(), address.size(), address.begin());
  auto [id, request] = requests_.add();
  request.queue = queue;
  request.chain = std::move(chain);
  request.tag = load_le<u64>(&header[8]);
  request.response = in.part(0, response_bytes());
  const auto place = parse(address);
  if (!place || !has_target(place->target)) {
    Request done = requests_.take(id);
    return finish(done, {kBadTarget});
  }
  request.place = *place;
  execute(id, request, std::span(header).subspan(kHeaderBytes),
          out.part(header.size(), out.length_bytes() - header.size()),
          in.part(response_bytes(), in.length_bytes() - response_bytes()));
}

// REPORT LUNS, and what a place without a unit says, is the target's own.
ScsiPlan VirtioScsi::plan_without_unit(u8 target, std::span<const u8> command) const {
  switch (command[0]) {
    case scsi::kReportLuns:
      return report_luns(target, load_be<u32>(&command[6]));
    case scsi::kInquiry: {
      std::vector<u8> nobody(36);
      nobody[0] = scsi::kTypeNone;
      nobody[4] = 31;
      return ScsiPlan::answer(std::move(nobody), load_be<u16>(&command[3]));
    }
    case scsi::kRequestSense:
      return ScsiPlan::answer(fixed_sense(scsi::kNoSuchUnit), command[4]);
    default:
      return ScsiPlan::failure(scsi::kNoSuchUnit);
  }
}

// The list's length in bytes (4), reserved (4), then eight bytes a unit.
ScsiPlan VirtioScsi::report_luns(u8 target, u64 limit) const {
  std::vector<u8> out(8);
  std::vector<u8> luns;
  for (const Unit& unit : units_) {
    if (unit.place.target == target) luns.push_back(unit.place.lun);
  }
  if (std::ranges::find(luns, 0) == luns.end()) luns.push_back(0);  // always listed
  std::ranges::sort(luns);
  for (const u8 lun : luns) {
    out.resize(out.size() + 8);
    out[out.size() - 7] = lun;
  }
  store_be<u32>(&out[0], static_cast<u32>(out.size() - 8));
  return ScsiPlan::answer(std::move(out), limit);
}

void VirtioScsi::execute(u64 id, Request& request, std::span<const u8> command, const DmaList& out,
                         const DmaList& in) {
  Unit* const unit = find(request.place);
  request.offered_bytes = out.length_bytes() + in.length_bytes();
  const auto parameters = [&out](std::span<u8> to) {
    return static_cast<std::size_t>(out.read(0, to));
  };
  ScsiPlan plan = unit == nullptr || command[0] == scsi::kReportLuns
                      ? plan_without_unit(request.place.target, command)
                      : unit->unit->plan(command, parameters);
  const auto end = [&](Answer answer) {
    Request done = requests_.take(id);
    finish(done, answer);
  };
  if (plan.failed()) return end({kOk, scsi::kCheckCondition, 0, fixed_sense(plan.sense)});
  if (!plan.reply.empty()) {
    if (in.length_bytes() < plan.reply.size()) return end({kOverrun});
    request.data = in;
    request.reads = true;
    return end({kOk, scsi::kGood, request.data.write(0, plan.reply)});
  }
  const DmaList& side = plan.reads ? in : out;
  const u64 bytes = initiator_bytes(plan);
  if (plan.is_raw && plan.length_bytes > kMaxRawBytes)
    return end({kOk, scsi::kCheckCondition, 0, fixed_sense(scsi::kInvalidField)});
  if (side.length_bytes() < bytes) return end({kOverrun});
  request.data = side.part(0, bytes);
  if (unit != nullptr && unit->unit->backend() != nullptr) {
    request.backend = unit->unit->backend();
    submit_plan(requests_, id, request, plan, *request.backend);
  }
  requests_.release(id);
}

void VirtioScsi::ended(u64 id) {
  Request request = requests_.take(id);
  if (request.failed) {
    const scsi::Sense& sense = request.reads ? scsi::kReadError : scsi::kWriteError;
    return finish(request, {kOk, scsi::kCheckCondition, 0, fixed_sense(sense)});
  }
  finish_raw(request);
  finish(request, {kOk, scsi::kGood, request.data.length_bytes()});
}

void VirtioScsi::finish(Request& request, const Answer& answer) {
  std::vector<u8> response(response_bytes());
  const u64 sense = std::min<u64>(answer.sense.size(), sense_bytes_);
  const u64 rest = request.offered_bytes - std::min(request.offered_bytes, answer.moved_bytes);
  store_le(&response[0], static_cast<u32>(sense));
  store_le(&response[4], static_cast<u32>(rest));
  response[10] = answer.status;
  response[11] = answer.response;
  std::copy_n(answer.sense.begin(), sense, response.begin() + kResponseBytes);
  request.response.write(0, response);
  const u64 data = request.reads ? answer.moved_bytes : 0;
  complete(request.queue, request.chain, static_cast<u32>(response_bytes() + data));
}

}  // namespace emu
