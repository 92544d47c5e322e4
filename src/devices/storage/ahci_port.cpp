// SPDX-License-Identifier: Apache-2.0
// AHCI ports: registers, command slots, FISes, and the link.
#include "devices/storage/ahci_port.h"

#include <algorithm>

#include "base/bits.h"
#include "base/scope_exit.h"
#include "devices/storage/ata_spec.h"

namespace emu {

using namespace ahci;

namespace {

constexpr u32 kDiskSignature = 0x00000101, kCdromSignature = 0xeb140101;
constexpr u32 kLinkUp = 0x123;  // device present, 3 Gbit/s, active
constexpr u64 kMaxPrds = 65535;
constexpr u8 kReasonDone = atapi::kReasonCommand | atapi::kReasonToHost;

bool is_queued(u64 command) {
  return command == kReadFpdma || command == kWriteFpdma;
}

}  // namespace

void AhciPort::attach(BlockBackend& backend, const DriveIdentity& identity) {
  EMU_CHECK(!is_connected());
  backend_ = &backend;
  identity_ = identity;
}

u32 AhciPort::read(u32 offset) const {
  switch (offset) {
    case kPxClb:
      return clb_;
    case kPxClbu:
      return clbu_;
    case kPxFb:
      return fb_;
    case kPxFbu:
      return fbu_;
    case kPxIs:
      return is_;
    case kPxIe:
      return ie_;
    case kPxCmd:
      return cmd_;
    case kPxTfd:
      return !is_connected() ? 0x7f : u32{error_} << 8 | status_;
    case kPxSig:
      return !is_connected() ? ~0u : cdrom_ ? kCdromSignature : kDiskSignature;
    case kPxSsts:
      return !is_connected() || (sctl_ & 15) != 0 ? 0 : kLinkUp;
    case kPxSctl:
      return sctl_;
    case kPxSerr:
      return serr_;
    case kPxSact:
      return sact_;
    case kPxCi:
      return ci_;
    default:
      return 0;
  }
}

void AhciPort::write(u32 offset, u32 value) {
  switch (offset) {
    case kPxClb:
      clb_ = value & ~0x3ffu;
      return;
    case kPxClbu:
      clbu_ = value;
      return;
    case kPxFb:
      fb_ = value & ~0xffu;
      return;
    case kPxFbu:
      fbu_ = value;
      return;
    case kPxIs:
      is_ &= ~value;
      return;
    case kPxIe:
      ie_ = value & 0xfdc000ff;
      return;
    case kPxCmd:
      return write_command(value);
    case kPxSctl:
      return write_control(value);
    case kPxSerr:
      serr_ &= ~value;
      return;
    case kPxSact:
      if ((cmd_ & kCmdStart) != 0) sact_ |= value;
      return;
    case kPxCi:
      if ((cmd_ & kCmdStart) != 0) ci_ |= value;
      return run_slots();
    default:
      return;
  }
}

// Start and FIS receive take effect at once; their "running" bits follow (3.3.7).
void AhciPort::write_command(u32 value) {
  const u32 before = cmd_;
  if ((value & kCmdClo) != 0) status_ &= static_cast<u8>(~(ata::kBsy | ata::kDrq));
  cmd_ = value & kCmdWritable;
  if ((cmd_ & kCmdFre) != 0) cmd_ |= kCmdFr;
  if ((cmd_ & kCmdStart) != 0) cmd_ |= kCmdCr;
  if ((before & kCmdStart) != 0 && (cmd_ & kCmdStart) == 0) {
    forget_requests();
    ci_ = sact_ = 0;
    is_stopped_ = false;
  }
  if ((before & kCmdFre) == 0 && (cmd_ & kCmdFre) != 0 && is_connected()) send_signature();
  run_slots();
}

// DET 1 holds the link in reset; 0 afterwards lets it come up (3.3.11).
void AhciPort::write_control(u32 value) {
  const u32 before = std::exchange(sctl_, value & 0xfff);
  if ((before & 15) != 1 || (value & 15) != 0) return;
  forget_requests();
  ci_ = sact_ = 0;
  is_stopped_ = false;
  if (!is_connected()) return;
  serr_ |= 1u << 26;  // exchanged
  send_signature();
  raise(kIsConnect);
}

void AhciPort::send_signature() {
  status_ = ata::kDrdy | ata::kDsc;
  error_ = 1;  // diagnostics passed
  const u8 mid = cdrom_ ? 0x14 : 0, high = cdrom_ ? 0xeb : 0;
  std::array<u8, 20> fis{kFisRegisterToHost, 0, status_, error_, 1, mid, high, 0, 0, 0, 0, 0, 1};
  post_fis(kRxRegister, fis);
}

void AhciPort::post_fis(u32 at, std::span<const u8> fis) {
  if ((cmd_ & kCmdFre) == 0 || !wires_.may_access_memory()) return;
  DmaList target;
  if (target.add(wires_.memory, fis_base() + at, fis.size(), true)) target.write(0, fis);
}

void AhciPort::post_register_fis(u8 count) {
  std::array<u8, 20> fis{kFisRegisterToHost, 0x40, status_, error_};
  fis[12] = count;
  post_fis(kRxRegister, fis);
  raise(kIsDhr);
}

// Ends queued commands: `done` is a bit a tag.
void AhciPort::post_device_bits(u32 done, bool error) {
  std::array<u8, 8> fis{kFisSetDeviceBits, 0x40, static_cast<u8>(status_ & 0x77), error_};
  store_le(&fis[4], done);
  post_fis(kRxSetDeviceBits, fis);
  sact_ &= ~done;
  raise(error ? kIsSdb | kIsTfe : kIsSdb);
}

void AhciPort::raise(u32 bits) {
  is_ |= bits;
  wires_.interrupt_changed();
}

bool AhciPort::can_run() const {
  return (cmd_ & kCmdStart) != 0 && is_connected() && !is_stopped_ && wires_.may_access_memory();
}

// Queued commands may run together, others run alone and in order.
bool AhciPort::must_wait(unsigned slot) const {
  if (requests_.empty()) return false;
  const u64 header = list_base() + u64{slot} * kHeaderBytes;
  const u64 command = (wires_.memory.load(header + 8, 8) & ~u64{127}) + 2;
  return !requests_.all().begin()->second.is_queued || !is_queued(wires_.memory.load(command, 1));
}

void AhciPort::run_slots() {
  if (running_) return;  // a command that ended at once: the loop below goes on
  running_ = true;
  const ScopeExit done([this] { running_ = false; });
  for (unsigned slot = 0; slot < kSlots; ++slot) {
    const u32 bit = 1u << slot;
    if (!can_run()) return;
    if ((ci_ & bit & ~started_) == 0) continue;
    if (must_wait(slot)) return;
    started_ |= bit;
    start_slot(slot);
  }
}

// Command header: flags and PRD count (4 bytes), bytes moved (4), command table address (8).
void AhciPort::start_slot(unsigned slot) {
  const u64 header = list_base() + u64{slot} * kHeaderBytes;
  const u32 flags = static_cast<u32>(wires_.memory.load(header, 4));
  const u64 table = wires_.memory.load(header + 8, 8) & ~u64{127};
  auto [id, request] = requests_.add();
  request.slot = slot;
  wires_.memory.read(table, request.fis);
  if (request.fis[0] != kFisRegisterToDevice || (flags & 31) < 5) {
    static_cast<void>(requests_.take(id));
    is_stopped_ = true;
    return raise(kIsHbd);
  }
  if ((request.fis[1] & 0x80) == 0) {  // the control register: a software reset and its end
    const bool is_reset = (request.fis[15] & ata::kControlSrst) != 0;
    static_cast<void>(requests_.take(id));
    started_ &= ~(1u << slot);
    ci_ &= ~(1u << slot);
    if (!is_reset) send_signature();
    return;
  }
  if (cdrom_) return execute_on_cdrom(id, request);
  execute(id, request);
}

bool AhciPort::map_prds(u64 header, u64 limit_bytes, bool for_writing, DmaList& out) const {
  const u64 count = std::min(wires_.memory.load(header, 4) >> 16, kMaxPrds);
  u64 prd = (wires_.memory.load(header + 8, 8) & ~u64{127}) + kTablePrds;
  for (u64 i = 0; i < count && out.length_bytes() < limit_bytes; ++i, prd += kPrdBytes) {
    const u64 bytes = (wires_.memory.load(prd + 12, 4) & 0x3fffff) + 1;
    const u64 n = std::min(bytes, limit_bytes - out.length_bytes());
    if (!out.add(wires_.memory, wires_.memory.load(prd, 8) & ~u64{1}, n, for_writing)) return false;
  }
  return true;
}

void AhciPort::ended(u64 id) {
  const Request& request = requests_.all().at(id);
  if (request.is_packet) return end_packet(id, request.failed ? scsi::kReadError : scsi::kNoSense);
  if (request.failed) return abort(id, request.reads ? ata::kUnc : ata::kAbrt);
  succeed(id);
  run_slots();
}

void AhciPort::succeed(u64 id, bool was_pio) {
  const Request request = requests_.take(id);
  const u32 bit = 1u << request.slot;
  const u64 header = list_base() + u64{request.slot} * kHeaderBytes;
  if (!request.is_queued) {
    std::array<u8, 4> moved{};
    store_le(moved.data(), static_cast<u32>(request.moved_bytes));
    DmaList target;
    if (target.add(wires_.memory, header + 4, 4, true)) target.write(0, moved);
  }
  started_ &= ~bit;
  ci_ &= ~bit;
  status_ = ata::kDrdy | ata::kDsc;
  error_ = 0;
  if (request.is_queued) return post_device_bits(1u << (request.fis[12] >> 3), false);
  if (request.is_packet) return post_register_fis(kReasonDone);
  if (!was_pio) return post_register_fis();
  std::array<u8, 20> setup{kFisPioSetup, 0x60, ata::kDrdy | ata::kDsc | ata::kDrq, 0};
  setup[15] = status_;
  setup[16] = 0;
  setup[17] = 2;
  post_fis(kRxPioSetup, setup);
  raise(kIsPio);
}

// The port stops at an error until the guest has looked and restarts the list (6.2.2).
void AhciPort::abort(u64 id, u8 error) {
  const Request request = requests_.take(id);
  status_ = ata::kDrdy | ata::kDsc | ata::kErr;
  error_ = error;
  is_stopped_ = true;
  if (request.is_queued) {
    failed_tag_ = request.fis[12] >> 3;
    failed_error_ = error;
    return post_device_bits(0, true);
  }
  post_register_fis(request.is_packet ? kReasonDone : 0);
  raise(kIsTfe);
}

// Requests under way still use guest memory: they end before the guest may reuse it.
void AhciPort::forget_requests() {
  if (!requests_.empty()) drain();
  requests_.clear();
  started_ = 0;
}

void AhciPort::reset() {
  forget_requests();
  clb_ = clbu_ = fb_ = fbu_ = 0;
  is_ = ie_ = cmd_ = 0;
  sctl_ = serr_ = sact_ = ci_ = 0;
  is_stopped_ = false;
  write_cache_ = smart_ = true;
  transfer_mode_ = 0x45;
  failed_tag_ = 0x80;
  failed_error_ = 0;
  if (cdrom_) cdrom_->reset();
  status_ = ata::kDrdy | ata::kDsc;
  error_ = 1;
}

void AhciPort::transfer(StateIo& io) {
  io.field(1, "clb", clb_);
  io.field(2, "clbu", clbu_);
  io.field(3, "fb", fb_);
  io.field(4, "fbu", fbu_);
  io.field(5, "is", is_);
  io.field(6, "ie", ie_);
  io.field(7, "cmd", cmd_);
  io.field(8, "sctl", sctl_);
  io.field(9, "serr", serr_);
  io.field(10, "sact", sact_);
  io.field(11, "ci", ci_);
  io.field(12, "started", started_);
  io.field(13, "status", status_);
  io.field(14, "error", error_);
  io.field(15, "is_stopped", is_stopped_);
  io.field(16, "write_cache", write_cache_);
  io.field(17, "smart", smart_);
  io.field(18, "transfer_mode", transfer_mode_);
  io.field(19, "failed_tag", failed_tag_);
  io.field(20, "failed_error", failed_error_);
  if (cdrom_) cdrom_->transfer(io);
  if (!io.loading()) return;
  requests_.clear();
  io.check((started_ & ~ci_ & ~sact_) == 0, "ahci slots");
}

// Commands that were under way when the state was saved are done again; that moves the same data.
void AhciPort::resumed() {
  const bool mine =
      std::ranges::any_of(requests_.all(), [](const auto& r) { return r.second.waits != 0; });
  if (mine || !can_run()) return;
  ci_ |= std::exchange(started_, 0);
  run_slots();
}

}  // namespace emu
