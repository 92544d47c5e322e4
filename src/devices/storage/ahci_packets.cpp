// SPDX-License-Identifier: Apache-2.0
// A CD drive behind an AHCI port: the PACKET command.
// Source: Serial ATA AHCI 1.3.1: 4.2.3 (ACMD), 5.3.8; ATA/ATAPI-7 volume 1 6.32.
#include <algorithm>
#include <vector>

#include "base/bits.h"
#include "devices/storage/ahci_port.h"
#include "devices/storage/ata_spec.h"

namespace emu {

using namespace ahci;

namespace {

constexpr u32 kHeaderAtapi = 1u << 5;

}  // namespace

CdromUnit& AhciPort::attach_cdrom(BlockBackend* medium, const DriveIdentity& identity) {
  EMU_CHECK(!is_connected());
  cdrom_ = std::make_unique<CdromUnit>(medium, identity, CdromUnit::Link::kAtapi);
  cdrom_->watch_medium([this] { medium_leaves(); }, [] {});
  return *cdrom_;
}

void AhciPort::drain() {
  BlockBackend* const used = cdrom_ ? cdrom_->backend() : backend_;
  if (used != nullptr) used->drain();
}

// Commands that still read the old disc end now, as if they had found none.
void AhciPort::medium_leaves() {
  drain();
  std::vector<u64> ids;
  for (const auto& entry : requests_.all()) ids.push_back(entry.first);
  for (const u64 id : ids) end_packet(id, scsi::kNoMedium);
}

void AhciPort::execute_on_cdrom(u64 id, Request& request) {
  switch (request.fis[2]) {
    case ata::kPacket:
      return run_packet(id, request);
    case ata::kIdentifyPacketDevice:
      return identify_cdrom(id, request);
    case ata::kSetFeatures:
      if (request.fis[3] == 0x03) transfer_mode_ = request.fis[12];
      return succeed(id);
    case ata::kDeviceReset:
    case ata::kCheckPowerMode:
    case ata::kIdleImmediate:
    case ata::kStandbyImmediate:
    case ata::kSleep:
    case ata::kFlushCache:
      return succeed(id);
    default:
      return abort(id, ata::kAbrt);
  }
}

void AhciPort::identify_cdrom(u64 id, Request& request) {
  std::array<u8, 512> page{};
  atapi::fill_identify_packet(page, cdrom_->identity(), transfer_mode_);
  store_le(&page[76 * 2], u16{1u << 2 | 1u << 1});  // 3 and 1.5 Gbit/s
  store_le(&page[93 * 2], u16{0});                  // no cable to sense
  send_page(id, request, page);
}

void AhciPort::run_packet(u64 id, Request& request) {
  const u64 header = list_base() + u64{request.slot} * kHeaderBytes;
  const u64 table = wires_.memory.load(header + 8, 8) & ~u64{127};
  request.is_packet = true;
  if ((wires_.memory.load(header, 4) & kHeaderAtapi) == 0) return abort(id, ata::kAbrt);
  std::array<u8, ScsiUnit::kMaxCommandBytes> command{};
  wires_.memory.read(table + kTablePacket, std::span(command).first(atapi::kPacketBytes));
  ScsiPlan plan = cdrom_->plan(command, [](std::span<u8>) { return std::size_t{0}; });
  if (plan.failed()) return end_packet(id, plan.sense);
  const u64 bytes = plan.reads ? initiator_bytes(plan) : plan.reply.size();
  if (plan.is_raw && plan.length_bytes > kMaxRawBytes) return end_packet(id, scsi::kInvalidField);
  if (bytes == 0) return end_packet(id, scsi::kNoSense);
  if (!map_prds(header, bytes, true, request.data) ||
      (plan.reads && request.data.length_bytes() != bytes)) {
    if (complaints_.pass())
      log(LogLevel::kWarning, "ahci", "a packet's memory is not RAM, or too short");
    return end_packet(id, scsi::kInvalidField);
  }
  if (!plan.reads) {
    request.moved_bytes = request.data.write(0, plan.reply);
    return end_packet(id, scsi::kNoSense);
  }
  request.moved_bytes = bytes;
  submit_plan(requests_, id, request, plan, *cdrom_->backend());
  requests_.release(id);
}

// Without sense all is well. A failure's sense is asked for by the next packet.
void AhciPort::end_packet(u64 id, const scsi::Sense& sense) {
  cdrom_->remember(sense);
  if (sense != scsi::kNoSense) return abort(id, static_cast<u8>(sense.key << 4 | ata::kAbrt));
  finish_raw(requests_.all().at(id));
  succeed(id);
  run_slots();
}

}  // namespace emu
