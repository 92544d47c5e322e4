// SPDX-License-Identifier: Apache-2.0
// An ATA hard disk: moving data.
#include "devices/storage/ata_disk.h"

#include <algorithm>
#include <optional>

#include "base/bits.h"

namespace emu {

using namespace ata;

namespace {

// The first `length_bytes` of the pieces.
std::vector<std::span<u8>> first_bytes(const std::vector<std::span<u8>>& pieces, u64 length_bytes) {
  std::vector<std::span<u8>> taken;
  for (const auto& piece : pieces) {
    if (length_bytes == 0) break;
    taken.push_back(piece.first(std::min<u64>(piece.size(), length_bytes)));
    length_bytes -= taken.back().size();
  }
  return taken;
}

}  // namespace

AtaDisk::AtaDisk(Wires wires, BlockBackend& backend, DriveIdentity identity)
    : IdeDrive(std::move(wires)), backend_(backend), identity_(std::move(identity)) {
  const u64 track = u64{default_geometry_.heads} * default_geometry_.sectors_per_track;
  default_geometry_.cylinders = static_cast<u32>(std::clamp<u64>(sectors() / track, 1, 16383));
}

void AtaDisk::power_on() {
  task_ = Task::kReadPio;
  is_ext_ = is_multiple_ = is_forced_ = false;
  lba_ = remaining_ = chunk_ = trim_at_ = trim_end_ = 0;
  heads_ = static_cast<u8>(default_geometry_.heads);
  sectors_per_track_ = static_cast<u8>(default_geometry_.sectors_per_track);
  multiple_sectors_ = kMaxMultipleSectors;
  write_cache_ = smart_ = true;
  is_standby_ = false;
  transfer_mode_ = 0x08;
  IdeDrive::power_on();
}

void AtaDisk::set_signature() {
  TaskFile& r = registers();
  r.count = 1;
  r.low = 1;
  r.mid = 0;
  r.high = 0;
}

bool AtaDisk::execute_data(u8 command) {
  using enum Task;
  constexpr bool kExt = true;
  constexpr bool kMultiple = true;
  constexpr bool kFua = true;
  const auto data = [&]() -> std::optional<DataCommand> {
    switch (command) {
      case kReadSectors:
      case kReadSectorsOnce:
        return DataCommand{kReadPio};
      case kReadSectorsExt:
        return DataCommand{kReadPio, kExt};
      case ata::kReadMultiple:
        return DataCommand{kReadPio, !kExt, kMultiple};
      case kReadMultipleExt:
        return DataCommand{kReadPio, kExt, kMultiple};
      case kWriteSectors:
      case kWriteSectorsOnce:
        return DataCommand{kWritePio};
      case kWriteSectorsExt:
        return DataCommand{kWritePio, kExt};
      case ata::kWriteMultiple:
        return DataCommand{kWritePio, !kExt, kMultiple};
      case kWriteMultipleExt:
        return DataCommand{kWritePio, kExt, kMultiple};
      case kWriteMultipleFuaExt:
        return DataCommand{kWritePio, kExt, kMultiple, kFua};
      case ata::kReadDma:
      case kReadDmaOnce:
        return DataCommand{Task::kReadDma};
      case kReadDmaExt:
        return DataCommand{Task::kReadDma, kExt};
      case ata::kWriteDma:
      case kWriteDmaOnce:
        return DataCommand{Task::kWriteDma};
      case kWriteDmaExt:
        return DataCommand{Task::kWriteDma, kExt};
      case kWriteDmaFuaExt:
        return DataCommand{Task::kWriteDma, kExt, false, kFua};
      default:
        return std::nullopt;
    }
  }();
  if (data) start_data(*data);
  return data.has_value();
}

void AtaDisk::start_data(const DataCommand& command) {
  if (command.is_multiple && multiple_sectors_ == 0) return abort();
  const bool writes = command.task == Task::kWritePio || command.task == Task::kWriteDma;
  if (writes && backend_.read_only()) return abort();
  task_ = command.task;
  is_ext_ = command.is_ext;
  is_multiple_ = command.is_multiple;
  is_forced_ = command.is_forced;
  if (!take_range(is_ext_)) return abort(kIdnf);
  switch (task_) {
    case Task::kReadPio:
      return read_chunk();
    case Task::kWritePio:
      return ask_for_chunk(false);
    default:
      return wait_for_dma();
  }
}

// Loads lba_ and remaining_ from the registers. False: not on the disk.
bool AtaDisk::take_range(bool is_ext) {
  const TaskFile& r = registers();
  remaining_ = is_ext ? u64{r.previous_count} << 8 | r.count : r.count;
  if (remaining_ == 0) remaining_ = is_ext ? 65536 : 256;
  lba_ = address(is_ext);
  return range_fits(lba_, remaining_, sectors());
}

u64 AtaDisk::address(bool is_ext) {
  const TaskFile& r = registers();
  const u64 low = u64{r.high} << 16 | u64{r.mid} << 8 | r.low;
  if (is_ext) {
    return u64{r.previous_high} << 40 | u64{r.previous_mid} << 32 | u64{r.previous_low} << 24 | low;
  }
  if ((r.device & kDeviceLba) != 0) return u64{r.device & 0xfu} << 24 | low;
  const u64 cylinder = u64{r.high} << 8 | r.mid;
  const u64 head = r.device & 0xfu;
  if (r.low == 0 || r.low > sectors_per_track_ || head >= heads_) return ~u64{0};
  return (cylinder * heads_ + head) * sectors_per_track_ + r.low - 1;
}

void AtaDisk::show_address(u64 lba, bool is_ext) {
  TaskFile& r = registers();
  if (!is_ext && (r.device & kDeviceLba) == 0) {
    const u64 track = lba / sectors_per_track_;
    r.low = static_cast<u8>(lba % sectors_per_track_ + 1);
    r.mid = static_cast<u8>(track / heads_);
    r.high = static_cast<u8>(track / heads_ >> 8);
    r.device = static_cast<u8>((r.device & 0xf0) | (track % heads_ & 0xf));
    return;
  }
  r.low = static_cast<u8>(lba);
  r.mid = static_cast<u8>(lba >> 8);
  r.high = static_cast<u8>(lba >> 16);
  if (!is_ext) {
    r.device = static_cast<u8>((r.device & 0xf0) | (lba >> 24 & 0xf));
    return;
  }
  r.previous_low = static_cast<u8>(lba >> 24);
  r.previous_mid = static_cast<u8>(lba >> 32);
  r.previous_high = static_cast<u8>(lba >> 40);
}

u64 AtaDisk::block_bytes() const {
  return (is_multiple_ ? multiple_sectors_ : 1) * kSectorBytes;
}

// The buffer holds a whole number of the largest blocks, so chunks end where blocks do.
void AtaDisk::read_chunk() {
  chunk_ = std::min(remaining_, kMaxBufferBytes / kSectorBytes);
  start_backend();
}

void AtaDisk::ask_for_chunk(bool interrupt) {
  chunk_ = std::min(remaining_, kMaxBufferBytes / kSectorBytes);
  receive_data(chunk_ * kSectorBytes, block_bytes(), interrupt);
}

void AtaDisk::data_in_done() {
  if (chunk_ == 0) return succeed_quietly();  // IDENTIFY and the like
  lba_ += chunk_;
  remaining_ -= chunk_;
  chunk_ = 0;
  if (remaining_ != 0) return read_chunk();
  registers().count = 0;
  show_address(lba_ - 1, is_ext_);
  succeed_quietly();
}

void AtaDisk::data_out_done() {
  start_backend();
}

void AtaDisk::run_dma() {
  if (task_ == Task::kFetchTrim) return fetch_trim();
  start_backend();
}

void AtaDisk::issue() {
  switch (task_) {
    case Task::kReadPio:
    case Task::kWritePio:
      return issue_pio();
    case Task::kReadDma:
    case Task::kWriteDma:
      return issue_dma();
    case Task::kFlush:
      return issue_flush();
    case Task::kFetchTrim:
      return fetch_trim();
    case Task::kTrim:
      return issue_trim();
  }
}

void AtaDisk::issue_pio() {
  if (chunk_ == 0) return abort();  // only after a load of nonsense
  BlockRequest request;
  request.op = task_ == Task::kReadPio ? BlockOp::kRead : BlockOp::kWrite;
  request.offset_bytes = lba_ * kSectorBytes;
  request.buffers = {std::span(buffer()).first(chunk_ * kSectorBytes)};
  submit(std::move(request), [this](const Result<void>& result) {
    if (!result) return failed(result.error());
    if (task_ == Task::kReadPio) return send_data(chunk_ * kSectorBytes, block_bytes());
    lba_ += chunk_;
    remaining_ -= chunk_;
    chunk_ = 0;
    if (remaining_ != 0) return ask_for_chunk(true);
    written();
  });
}

// All sectors that the descriptor table has room for go in one request.
void AtaDisk::issue_dma() {
  const bool to_memory = task_ == Task::kReadDma;
  auto mapping = std::make_shared<DmaMapping>(dma().map(remaining_ * kSectorBytes, to_memory));
  const u64 count = mapping->length_bytes() / kSectorBytes;
  if (count == 0) {
    dma().run_dry();
    return wait_for_dma();
  }
  BlockRequest request;
  request.op = to_memory ? BlockOp::kRead : BlockOp::kWrite;
  request.offset_bytes = lba_ * kSectorBytes;
  request.buffers = first_bytes(mapping->pieces(), count * kSectorBytes);
  submit(std::move(request), [this, mapping, count](const Result<void>& result) {
    dma_moved(*mapping, count, result);
  });
}

void AtaDisk::dma_moved(const DmaMapping& mapping, u64 count, const Result<void>& result) {
  if (task_ == Task::kReadDma) mapping.publish(dma().memory());  // also what a failed read left
  if (!result) {
    dma().fail();
    return failed(result.error());
  }
  lba_ += count;
  remaining_ -= count;
  if (remaining_ != 0) {  // the guest may give another table, or reset
    dma().run_dry();
    return wait_for_dma();
  }
  dma().finish();
  if (task_ == Task::kReadDma) return all_moved();
  written();
}

// Data is with the backend; without a write cache it must be on stable storage, too.
void AtaDisk::written() {
  if (is_forced_ || !write_cache_) return start_flush();
  all_moved();
}

void AtaDisk::all_moved() {
  registers().count = 0;
  show_address(lba_ - 1, is_ext_);
  succeed();
}

void AtaDisk::failed(const Error& error) {
  if (complaints_.pass())
    log(LogLevel::kError, "ide", "{}: sector {}: {}", backend_.describe(), lba_, error.message);
  show_address(lba_, is_ext_);
  const bool was_read = task_ == Task::kReadPio || task_ == Task::kReadDma;
  abort(was_read ? kUnc : kAbrt);
}

void AtaDisk::start_flush() {
  remaining_ = 0;
  task_ = Task::kFlush;
  start_backend();
}

void AtaDisk::issue_flush() {
  BlockRequest request;
  request.op = BlockOp::kFlush;
  submit(std::move(request), [this](const Result<void>& result) {
    if (!result) return failed(result.error());
    succeed();
  });
}

// DATA SET MANAGEMENT: the guest's ranges come in like written data, one at most 16 blocks long.
void AtaDisk::start_trim() {
  const TaskFile& r = registers();
  const u64 blocks = u64{r.previous_count} << 8 | r.count;
  if ((r.features & 1) == 0 || blocks == 0 || blocks > 16 || backend_.read_only()) return abort();
  task_ = Task::kFetchTrim;
  trim_end_ = blocks * kSectorBytes;
  wait_for_dma();
}

void AtaDisk::fetch_trim() {
  const DmaMapping mapping = dma().map(trim_end_, false);
  if (mapping.length_bytes() < trim_end_) {
    dma().run_dry();
    return wait_for_dma();
  }
  auto out = buffer().begin();
  for (const auto& piece : mapping.pieces()) out = std::copy(piece.begin(), piece.end(), out);
  dma().finish();
  keep_buffer(trim_end_);
  task_ = Task::kTrim;
  trim_at_ = 0;
  start_backend();
}

// Range: bits 0-47 first sector, 48-63 count; a count of 0 is padding.
void AtaDisk::issue_trim() {
  u64 first = 0;
  u64 count = 0;
  for (; trim_at_ < trim_end_ && count == 0; trim_at_ += 8) {
    const u64 range = load_le<u64>(&buffer()[trim_at_]);
    first = bits(range, 0, 48);
    count = bits(range, 48, 16);
  }
  if (count == 0) return succeed();
  lba_ = first;
  if (!range_fits(first, count, sectors())) return abort(kIdnf);
  BlockRequest request;
  request.op = BlockOp::kDiscard;
  request.offset_bytes = first * kSectorBytes;
  request.length_bytes = count * kSectorBytes;
  submit(std::move(request), [this](const Result<void>& result) {
    if (!result) return failed(result.error());
    issue_trim();
  });
}

void AtaDisk::transfer(StateIo& io) {
  IdeDrive::transfer(io);
  io.field(100, "task", task_);
  io.field(101, "is_ext", is_ext_);
  io.field(102, "is_multiple", is_multiple_);
  io.field(103, "is_forced", is_forced_);
  io.field(104, "lba", lba_);
  io.field(105, "remaining", remaining_);
  io.field(106, "chunk", chunk_);
  io.field(107, "trim_at", trim_at_);
  io.field(108, "trim_end", trim_end_);
  io.field(109, "heads", heads_);
  io.field(110, "sectors_per_track", sectors_per_track_);
  io.field(111, "multiple_sectors", multiple_sectors_);
  io.field(112, "write_cache", write_cache_);
  io.field(113, "smart", smart_);
  io.field(114, "is_standby", is_standby_);
  io.field(115, "transfer_mode", transfer_mode_);
  if (!io.loading()) return;
  io.check(task_ <= Task::kTrim, "disk task");
  io.check(chunk_ <= kMaxBufferBytes / kSectorBytes && chunk_ <= remaining_ && remaining_ <= 65536,
           "disk transfer size");
  io.check(trim_at_ % 8 == 0 && trim_end_ % 8 == 0 && trim_end_ <= 16 * kSectorBytes, "trim list");
  io.check(heads_ >= 1 && heads_ <= 16 && sectors_per_track_ >= 1, "disk geometry");
  io.check(multiple_sectors_ <= kMaxMultipleSectors && (multiple_sectors_ != 0 || !is_multiple_),
           "sectors per block");
}

}  // namespace emu
