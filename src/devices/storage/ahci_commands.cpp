// SPDX-License-Identifier: Apache-2.0
// The ATA commands of a disk behind an AHCI port.
// Source: ATA8-ACS 7; Serial ATA 3.0: 13.6 (READ and WRITE FPDMA QUEUED), 13.7 (queued error log).
#include <algorithm>

#include "base/bits.h"
#include "devices/storage/ahci_port.h"
#include "devices/storage/ata_spec.h"

namespace emu {

using namespace ahci;

namespace {

constexpr u8 kReadLogExt = 0x2f, kReadLogDmaExt = 0x47;
constexpr u64 kPageBytes512 = 512;
constexpr u8 kQueuedErrorLog = 0x10;

// Bytes of a register FIS: features 3, LBA 4-6, device 7, LBA 8-10, features 11, count 12-13.
u64 lba48(const std::array<u8, 64>& fis) {
  return u64{fis[4]} | u64{fis[5]} << 8 | u64{fis[6]} << 16 | u64{fis[8]} << 24 |
         u64{fis[9]} << 32 | u64{fis[10]} << 40;
}

void seal(std::span<u8> page) {
  u8 sum = 0;
  for (const u8 b : page.first(511)) sum = static_cast<u8>(sum + b);
  page[511] = static_cast<u8>(-sum);
}

}  // namespace

AhciPort::Range AhciPort::range28(const Fis& fis) const {
  const u64 first = u64{fis[4]} | u64{fis[5]} << 8 | u64{fis[6]} << 16 | u64{fis[7] & 15u} << 24;
  return {first, fis[12] == 0 ? 256u : fis[12]};
}

AhciPort::Range AhciPort::range48(const Fis& fis) const {
  const u64 count = load_le<u16>(&fis[12]);
  return {lba48(fis), count == 0 ? 65536 : count};
}

void AhciPort::execute(u64 id, Request& request) {
  const Fis& fis = request.fis;
  switch (fis[2]) {
    case kReadFpdma:
    case kWriteFpdma: {
      const u64 count = u64{fis[3]} | u64{fis[11]} << 8;
      request.is_queued = true;
      if (fis[2] == kWriteFpdma && ((fis[7] & 0x80) != 0 || !write_cache_))
        request.flushes_after = backend_;
      ci_ &= ~(1u << request.slot);  // the disk has taken it (5.6.2.1); PxSACT tells its end
      return move_data(id, request, fis[2] == kReadFpdma, {lba48(fis), count == 0 ? 65536 : count});
    }
    case ata::kReadDmaExt:
    case ata::kReadSectorsExt:
    case ata::kReadMultipleExt:
      return move_data(id, request, true, range48(fis));
    case ata::kReadDma:
    case ata::kReadDmaOnce:
    case ata::kReadSectors:
    case ata::kReadMultiple:
      return move_data(id, request, true, range28(fis));
    case ata::kWriteDmaExt:
    case ata::kWriteSectorsExt:
    case ata::kWriteMultipleExt:
    case ata::kWriteDmaFuaExt:
    case ata::kWriteMultipleFuaExt:
      if (fis[2] == ata::kWriteDmaFuaExt || fis[2] == ata::kWriteMultipleFuaExt || !write_cache_)
        request.flushes_after = backend_;
      return move_data(id, request, false, range48(fis));
    case ata::kWriteDma:
    case ata::kWriteDmaOnce:
    case ata::kWriteSectors:
    case ata::kWriteMultiple:
      if (!write_cache_) request.flushes_after = backend_;
      return move_data(id, request, false, range28(fis));
    default:
      return execute_other(id, request);
  }
}

void AhciPort::execute_other(u64 id, Request& request) {
  const Fis& fis = request.fis;
  switch (fis[2]) {
    case ata::kIdentifyDevice: {
      std::array<u8, kPageBytes512> page{};
      DiskIdentifyState state;
      state.sectors = sectors();
      state.default_geometry.cylinders =
          static_cast<u32>(std::min<u64>(sectors() / (16 * 63), 16383));
      state.current_geometry = state.default_geometry;
      state.write_cache = write_cache_;
      state.smart = smart_;
      state.transfer_mode = transfer_mode_;
      fill_identify(page, identity_, state);
      make_serial(page);
      return send_page(id, request, page);
    }
    case ata::kFlushCache:
    case ata::kFlushCacheExt:
      if (!backend_->read_only()) requests_.submit(id, *backend_, {BlockOp::kFlush, 0, 0, {}});
      return requests_.release(id);
    case ata::kDataSetManagement:
      return trim(id, request);
    case kReadLogExt:
    case kReadLogDmaExt:
      return read_log(id, request);
    case ata::kSetFeatures:
      return set_features(id, request);
    case ata::kSmart:
      return smart(id, request);
    case ata::kReadVerify:
    case ata::kReadVerifyExt: {
      const Range r = fis[2] == ata::kReadVerify ? range28(fis) : range48(fis);
      return range_fits(r.first, r.count, sectors()) ? succeed(id) : abort(id, ata::kIdnf);
    }
    case ata::kCheckPowerMode:
    case ata::kStandbyImmediate:
    case ata::kIdleImmediate:
    case ata::kStandby:
    case ata::kIdle:
    case ata::kSleep:
    case ata::kSetMultiple:
    case ata::kInitializeParameters:
    case ata::kExecuteDiagnostic:
      return succeed(id);
    default:
      return abort(id, ata::kAbrt);
  }
}

void AhciPort::move_data(u64 id, Request& request, bool is_read, const Range& range) {
  if (!range_fits(range.first, range.count, sectors())) return abort(id, ata::kIdnf);
  if (!is_read && backend_->read_only()) return abort(id, ata::kAbrt);
  const u64 bytes = range.count * kPageBytes512;
  const u64 header = list_base() + u64{request.slot} * kHeaderBytes;
  if (!map_prds(header, bytes, is_read, request.data) || request.data.length_bytes() != bytes) {
    if (complaints_.pass())
      log(LogLevel::kWarning, "ahci", "a command's memory is not RAM, or too short");
    return abort(id, ata::kAbrt);
  }
  request.reads = is_read;
  request.moved_bytes = bytes;
  requests_.submit(id, *backend_,
                   {is_read ? BlockOp::kRead : BlockOp::kWrite, range.first * kPageBytes512, 0,
                    request.data.pieces()});
  requests_.release(id);
}

void AhciPort::send_page(u64 id, Request& request, std::span<const u8> bytes) {
  const u64 header = list_base() + u64{request.slot} * kHeaderBytes;
  DmaList list;
  if (!map_prds(header, bytes.size(), true, list)) return abort(id, ata::kAbrt);
  request.moved_bytes = list.write(0, bytes);
  succeed(id, request.fis[2] != kReadLogDmaExt);
}

// A disk on a serial link: its speed, queue depth and what it can do are words of their own.
void AhciPort::make_serial(std::span<u8> page) const {
  const auto put = [page](unsigned word, u16 value) { store_le(&page[word * 2], value); };
  put(75, kSlots - 1);                             // queue depth
  put(76, 1u << 8 | 1u << 2 | 1u << 1);            // queuing, 3 and 1.5 Gbit/s
  put(80, 0x1f0);                                  // up to ATA8-ACS
  put(84, load_le<u16>(&page[84 * 2]) | 1u << 5);  // general purpose logging
  put(87, load_le<u16>(&page[87 * 2]) | 1u << 5);
  put(93, 0);                  // no cable to sense
  put(222, 0x1000 | 1u << 5);  // serial transport
  seal(page);
}

void AhciPort::read_log(u64 id, Request& request) {
  const Fis& fis = request.fis;
  const u64 bytes = range48(fis).count * kPageBytes512;
  const u8 log_address = fis[4];
  if (bytes > 16 * kPageBytes512) return abort(id, ata::kAbrt);
  std::vector<u8> pages(bytes);
  if (log_address == 0) {  // directory: version, and one page of log 10h
    pages[0] = 1;
    pages[2 * kQueuedErrorLog] = 1;
  } else if (log_address == kQueuedErrorLog) {
    pages[0] = failed_tag_;
    pages[2] = ata::kDrdy | ata::kDsc | ata::kErr;
    pages[3] = failed_error_;
    seal(std::span(pages).first(kPageBytes512));
    failed_tag_ = 0x80;
  } else {
    return abort(id, ata::kAbrt);
  }
  send_page(id, request, pages);
}

void AhciPort::set_features(u64 id, Request& request) {
  switch (request.fis[3]) {
    case 0x02:
      write_cache_ = true;
      return succeed(id);
    case 0x82:
      write_cache_ = false;
      if (!backend_->read_only()) requests_.submit(id, *backend_, {BlockOp::kFlush, 0, 0, {}});
      return requests_.release(id);
    case 0x03:
      transfer_mode_ = request.fis[12];
      return succeed(id);
    case 0x05:  // power management, read look-ahead, defaults: nothing to do
    case 0x85:
    case 0x55:
    case 0xaa:
    case 0x66:
    case 0xcc:
      return succeed(id);
    default:
      return abort(id, ata::kAbrt);
  }
}

// Self-monitoring: the disk is always well.
void AhciPort::smart(u64 id, Request& request) {
  const Fis& fis = request.fis;
  constexpr u8 kReadData = 0xd0, kReadThresholds = 0xd1, kReadLog = 0xd5, kEnable = 0xd8,
               kDisable = 0xd9, kAutosave = 0xd2, kOffline = 0xd4, kReturnStatus = 0xda;
  if (fis[5] != 0x4f || fis[6] != 0xc2 || (!smart_ && fis[3] != kEnable))
    return abort(id, ata::kAbrt);
  switch (fis[3]) {
    case kReadData:
    case kReadThresholds:
    case kReadLog: {
      std::array<u8, kPageBytes512> page{};
      page[0] = fis[3] == kReadLog ? 1 : 0x10;  // structure version
      if (fis[3] == kReadData) {
        page[362] = 0x02;  // offline collection completed
        page[367] = 0x11;  // capabilities
        page[368] = 0x03;
        page[370] = 0x01;
      }
      seal(page);
      return send_page(id, request, page);
    }
    case kEnable:
    case kDisable:
      smart_ = fis[3] == kEnable;
      return succeed(id);
    case kAutosave:
    case kOffline:
    case kReturnStatus:
      return succeed(id);
    default:
      return abort(id, ata::kAbrt);
  }
}

// DATA SET MANAGEMENT, trim: ranges of sector (48 bits) and count (16 bits); a count of 0 is
// padding.
void AhciPort::trim(u64 id, Request& request) {
  const u64 blocks = load_le<u16>(&request.fis[12]);
  if ((request.fis[3] & 1) == 0 || blocks == 0 || blocks > 16 || backend_->read_only())
    return abort(id, ata::kAbrt);
  std::vector<u8> ranges(blocks * kPageBytes512);
  DmaList list;
  const u64 header = list_base() + u64{request.slot} * kHeaderBytes;
  if (!map_prds(header, ranges.size(), false, list) || list.read(0, ranges) != ranges.size())
    return abort(id, ata::kAbrt);
  request.moved_bytes = ranges.size();
  std::vector<Range> found;
  for (std::size_t at = 0; at < ranges.size(); at += 8) {
    const u64 raw = load_le<u64>(&ranges[at]);
    const Range range{bits(raw, 0, 48), bits(raw, 48, 16)};
    if (range.count == 0) continue;
    if (!range_fits(range.first, range.count, sectors())) return abort(id, ata::kIdnf);
    found.push_back(range);
  }
  for (const Range& range : found) {
    requests_.submit(
        id, *backend_,
        {BlockOp::kDiscard, range.first * kPageBytes512, range.count * kPageBytes512, {}});
  }
  requests_.release(id);
}

}  // namespace emu
