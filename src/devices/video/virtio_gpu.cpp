// SPDX-License-Identifier: Apache-2.0
// The commands.
#include "devices/video/virtio_gpu.h"

#include <algorithm>

#include "base/bits.h"
#include "devices/video/edid.h"

namespace emu {
namespace {

// 5.7.6.7: enum virtio_gpu_ctrl_type.
enum Type : u32 {
  kGetDisplayInfo = 0x100,
  kResourceCreate2d,
  kResourceUnref,
  kSetScanout,
  kResourceFlush,
  kTransferToHost2d,
  kResourceAttachBacking,
  kResourceDetachBacking,
  kGetCapsetInfo,
  kGetCapset,
  kGetEdid,
  kUpdateCursor = 0x300,
  kMoveCursor,
  kOkNoData = 0x1100,
  kOkDisplayInfo,
  kOkEdid = 0x1104,
  kErrorUnspecified = 0x1200,
  kErrorOutOfMemory,
  kErrorInvalidScanoutId,
  kErrorInvalidResourceId,
  kErrorInvalidContextId,
  kErrorInvalidParameter,
};

constexpr u64 kFeatureEdid = 1 << 1;
constexpr u32 kEventDisplay = 1;
constexpr u32 kFlagFence = 1;
constexpr unsigned kControlQueue = 0, kCursorQueue = 1;
// struct virtio_gpu_ctrl_hdr, and the longest command's fixed part.
constexpr std::size_t kHeaderBytes = 24, kFixedBytes = 56;
constexpr std::size_t kFlagsAt = 4, kFenceAt = 8;
constexpr u32 kScanouts = 1, kMaxScanouts = 16;  // of struct virtio_gpu_resp_display_info
constexpr std::size_t kEdidBytes = 1024;         // of struct virtio_gpu_resp_edid
constexpr std::size_t kPieceBytes = 16;          // struct virtio_gpu_mem_entry
constexpr std::size_t kMaxPiecesOfAll = 1 << 20;

void append(std::vector<u8>& out, u32 value) {
  out.resize(out.size() + 4);
  store_le(&out[out.size() - 4], value);
}

}  // namespace

VirtioGpu::VirtioGpu(AddressSpace& space, u32 class_code)
    : VirtioDevice(space, {"virtio-gpu", virtio::kTypeGpu, class_code, kConfigBytes}, {256, 16}) {}

u32 VirtioGpu::Command::word(std::size_t at) const {
  return load_le<u32>(&bytes[at]);
}

GpuRect VirtioGpu::Command::rect(std::size_t at) const {
  return {word(at), word(at + 4), word(at + 8), word(at + 12)};
}

u64 VirtioGpu::model_features() const {
  return kFeatureEdid;
}

// struct virtio_gpu_config (5.7.4).
void VirtioGpu::fill_config(std::span<u8> out) {
  store_le(&out[0], events_);
  store_le(&out[8], kScanouts);
}

void VirtioGpu::config_written(u64 offset, std::span<const u8> bytes) {
  constexpr u64 kEventsClearAt = 4;
  if (offset == kEventsClearAt && bytes.size() == 4) events_ &= ~load_le<u32>(bytes.data());
}

void VirtioGpu::set_preferred_size(u32 width, u32 height) {
  width = std::clamp(width, 64u, 4095u);  // as EDID can say it
  height = std::clamp(height, 64u, 4095u);
  if (width == preferred_width_ && height == preferred_height_) return;
  preferred_width_ = width;
  preferred_height_ = height;
  events_ |= kEventDisplay;
  config_changed();
}

void VirtioGpu::notified(unsigned queue) {
  each_chain(queue, [&](const VirtioChain& chain) { take_command(queue, chain); });
}

void VirtioGpu::take_command(unsigned queue, const VirtioChain& chain) {
  DmaList in;
  DmaList out;
  if (!chain.map_readable(memory(), in) || !chain.map_writable(memory(), out)) {
    return fail("a command is not in RAM");
  }
  std::array<u8, kFixedBytes> fixed{};
  std::vector<u8> answer(kHeaderBytes);
  if (in.read(0, fixed) < kHeaderBytes) return fail("a command without its header");
  std::vector<u8> data;
  const u32 type = execute({in, fixed, data});
  store_le(&answer[0], type);
  if ((load_le<u32>(&fixed[kFlagsAt]) & kFlagFence) != 0) {
    // All is done when it is answered; the fence and its context are passed back (5.7.6.7).
    store_le(&answer[kFlagsAt], kFlagFence);
    std::copy_n(fixed.begin() + kFenceAt, kHeaderBytes - kFenceAt, answer.begin() + kFenceAt);
  }
  answer.insert(answer.end(), data.begin(), data.end());
  complete(queue, chain, static_cast<u32>(out.write(0, answer)));
}

u32 VirtioGpu::execute(const Command& command) {
  switch (command.word(0)) {
    case kGetDisplayInfo:
      return display_info(command);
    case kGetEdid:
      return edid(command);
    case kResourceCreate2d:
      return create_resource(command);
    case kResourceUnref:
      return destroy_resource(command);
    case kSetScanout:
      return set_scanout(command);
    case kResourceFlush:
      return flush(command);
    case kTransferToHost2d:
      return take_pixels(command);
    case kResourceAttachBacking:
      return attach_backing(command);
    case kResourceDetachBacking:
      return detach_backing(command);
    case kUpdateCursor:
      return update_cursor(command, true);
    case kMoveCursor:
      return update_cursor(command, false);
    default:
      return kErrorUnspecified;
  }
}

u32 VirtioGpu::display_info(const Command& command) const {
  for (const u32 value : {0u, 0u, preferred_width_, preferred_height_, 1u, 0u}) {
    append(command.answer, value);
  }
  command.answer.resize(std::size_t{kMaxScanouts} * 24);
  return kOkDisplayInfo;
}

u32 VirtioGpu::edid(const Command& command) const {
  if (command.word(24) >= kScanouts) return kErrorInvalidScanoutId;
  const auto block = make_edid(preferred_width_, preferred_height_);
  append(command.answer, static_cast<u32>(block.size()));
  append(command.answer, 0);
  command.answer.insert(command.answer.end(), block.begin(), block.end());
  command.answer.resize(8 + kEdidBytes);
  return kOkEdid;
}

GpuResource* VirtioGpu::find(u32 id) {
  const auto it = resources_.find(id);
  return it != resources_.end() ? &it->second : nullptr;
}

u32 VirtioGpu::create_resource(const Command& command) {
  const u32 id = command.word(24), format = command.word(28);
  const u32 width = command.word(32), height = command.word(36);
  if (id == 0 || find(id) != nullptr) return kErrorInvalidResourceId;
  if (!GpuResource::is_format(format)) return kErrorInvalidParameter;
  if (width == 0 || width > GpuResource::kMaxSide) return kErrorInvalidParameter;
  if (height == 0 || height > GpuResource::kMaxSide) return kErrorInvalidParameter;
  u64 bytes = u64{width} * height * 4;
  for (const auto& [other, resource] : resources_) bytes += resource.size_bytes();
  if (bytes > GpuResource::kMaxBytes || resources_.size() >= kMaxResources) {
    return kErrorOutOfMemory;
  }
  resources_.emplace(id, GpuResource(format, width, height));
  return kOkNoData;
}

u32 VirtioGpu::destroy_resource(const Command& command) {
  const u32 id = command.word(24);
  if (resources_.erase(id) == 0) return kErrorInvalidResourceId;
  if (scanout_.resource == id) scanout_ = {};
  return kOkNoData;
}

u32 VirtioGpu::set_scanout(const Command& command) {
  const GpuRect rect = command.rect(24);
  const u32 id = command.word(44);
  if (command.word(40) >= kScanouts) return kErrorInvalidScanoutId;
  if (id == 0) {
    scanout_ = {};
    return kOkNoData;
  }
  const GpuResource* const resource = find(id);
  if (resource == nullptr) return kErrorInvalidResourceId;
  const bool is_empty = rect.width == 0 || rect.height == 0;
  if (is_empty || !rect.fits(resource->width(), resource->height())) return kErrorInvalidParameter;
  scanout_ = {id, rect};
  row_changed_.assign(rect.height, 0);
  mark_rows(0, rect.height);
  return kOkNoData;
}

u32 VirtioGpu::flush(const Command& command) {
  const GpuRect rect = command.rect(24);
  const u32 id = command.word(40);
  const GpuResource* const resource = find(id);
  if (resource == nullptr) return kErrorInvalidResourceId;
  if (!rect.fits(resource->width(), resource->height())) return kErrorInvalidParameter;
  if (id == scanout_.resource) {
    const i64 top = i64{rect.y} - scanout_.rect.y;
    mark_rows(top, top + rect.height);
  }
  return kOkNoData;
}

u32 VirtioGpu::take_pixels(const Command& command) {
  const GpuRect rect = command.rect(24);
  const u64 offset = load_le<u64>(&command.bytes[40]);
  GpuResource* const resource = find(command.word(48));
  if (resource == nullptr) return kErrorInvalidResourceId;
  if (!rect.fits(resource->width(), resource->height())) return kErrorInvalidParameter;
  return resource->take(rect, offset) ? kOkNoData : kErrorUnspecified;
}

u32 VirtioGpu::attach_backing(const Command& command) {
  constexpr std::size_t kPiecesAt = 32;
  GpuResource* const resource = find(command.word(24));
  const u32 count = command.word(28);
  if (resource == nullptr) return kErrorInvalidResourceId;
  if (count > GpuResource::kMaxPieces) return kErrorUnspecified;
  std::vector<u8> raw(count * kPieceBytes);
  if (command.in.read(kPiecesAt, raw) != raw.size()) return kErrorUnspecified;
  std::size_t in_use = count;
  for (const auto& [id, other] : resources_) in_use += other.backing_pieces();
  if (in_use > kMaxPiecesOfAll) return kErrorOutOfMemory;
  std::vector<VirtioBuffer> pieces;
  for (std::size_t at = 0; at < raw.size(); at += kPieceBytes) {
    pieces.push_back({load_le<u64>(&raw[at]), load_le<u32>(&raw[at + 8])});
  }
  return resource->attach(memory(), std::move(pieces)) ? kOkNoData : kErrorUnspecified;
}

u32 VirtioGpu::detach_backing(const Command& command) {
  GpuResource* const resource = find(command.word(24));
  if (resource == nullptr) return kErrorInvalidResourceId;
  resource->detach();
  return kOkNoData;
}

u32 VirtioGpu::update_cursor(const Command& command, bool new_picture) {
  if (command.word(24) >= kScanouts) return kErrorInvalidScanoutId;
  mark_cursor();
  cursor_.x = static_cast<i32>(command.word(28));
  cursor_.y = static_cast<i32>(command.word(32));
  if (new_picture) {
    const GpuResource* const resource = find(command.word(40));
    cursor_.shown = resource != nullptr && resource->width() == kCursorSide &&
                    resource->height() == kCursorSide;
    cursor_.pixels.assign(std::size_t{kCursorSide} * kCursorSide * 4, 0);
    std::array<u32, kCursorSide> row;
    for (u32 y = 0; cursor_.shown && y < kCursorSide; ++y) {
      resource->row(0, y, row);
      for (u32 x = 0; x < kCursorSide; ++x) {
        store_le(&cursor_.pixels[(std::size_t{y} * kCursorSide + x) * 4], row[x]);
      }
    }
  }
  mark_cursor();
  return kOkNoData;
}

void VirtioGpu::reset_model() {
  events_ = 0;
  scanout_ = {};
  cursor_ = {};
  resources_.clear();
}

void VirtioGpu::transfer_model(StateIo& io) {
  io.field(1, "events", events_);
  transfer_resources(io);
  io.field(3, "scanout", scanout_.resource);
  io.field(4, "x", scanout_.rect.x);
  io.field(5, "y", scanout_.rect.y);
  io.field(6, "width", scanout_.rect.width);
  io.field(7, "height", scanout_.rect.height);
  io.field(8, "cursor_shown", cursor_.shown);
  io.field(9, "cursor_x", cursor_.x);
  io.field(10, "cursor_y", cursor_.y);
  io.field(11, "cursor", cursor_.pixels, std::size_t{kCursorSide} * kCursorSide * 4);
  if (!io.loading()) return;
  const GpuResource* const shown = find(scanout_.resource);
  const GpuRect& rect = scanout_.rect;
  io.check(scanout_.resource == 0 || (shown != nullptr && rect.width != 0 && rect.height != 0 &&
                                      rect.fits(shown->width(), shown->height())),
           "virtio-gpu scanout");
  io.check(!cursor_.shown || cursor_.pixels.size() == std::size_t{kCursorSide} * kCursorSide * 4,
           "virtio-gpu cursor");
  if (!io.ok()) reset_model();
}

void VirtioGpu::transfer_resources(StateIo& io) {
  u32 count = static_cast<u32>(resources_.size());
  io.field(2, "resources", count);
  io.check(count <= kMaxResources, "virtio-gpu resources");
  if (io.loading()) resources_.clear();
  u64 bytes = 0;
  auto next = resources_.begin();
  for (u32 i = 0; i < count && io.ok(); ++i) {
    io.section(fmt::format("resource{}", i), 1, [&] {
      u32 id = io.loading() ? 0 : next->first;
      GpuResource loaded;
      io.field(20, "id", id);
      GpuResource& resource = io.loading() ? loaded : (next++)->second;
      resource.transfer(io);
      bytes += resource.size_bytes();
      io.check(id != 0 && bytes <= GpuResource::kMaxBytes, "virtio-gpu resource");
      if (io.loading() && io.ok()) resources_.insert_or_assign(id, std::move(loaded));
    });
  }
}

void VirtioGpu::resumed_model() {
  for (auto& [id, resource] : resources_) resource.resumed(memory());
  row_changed_.assign(scanout_.rect.height, 0);
  mark_rows(0, scanout_.rect.height);
}

}  // namespace emu
