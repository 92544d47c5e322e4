// SPDX-License-Identifier: Apache-2.0
#include "devices/video/gpu_resource.h"

#include <optional>

#include "base/bits.h"

namespace emu {
namespace {

constexpr std::size_t kSavedPieceBytes = 12;

// Which byte of a pixel is which colour.
struct Order {
  u8 red, green, blue, alpha;
};

std::optional<Order> order_of(u32 format) {
  switch (format) {
    case 1:  // B8G8R8A8
    case 2:  // B8G8R8X8
      return Order{2, 1, 0, 3};
    case 3:  // A8R8G8B8
    case 4:  // X8R8G8B8
      return Order{1, 2, 3, 0};
    case 67:   // R8G8B8A8
    case 134:  // R8G8B8X8
      return Order{0, 1, 2, 3};
    case 68:   // X8B8G8R8
    case 121:  // A8B8G8R8
      return Order{3, 2, 1, 0};
    default:
      return std::nullopt;
  }
}

}  // namespace

bool GpuResource::is_format(u32 format) {
  return order_of(format).has_value();
}

GpuResource::GpuResource(u32 format, u32 width, u32 height)
    : format_(format), width_(width), height_(height), pixels_(u64{width} * height * 4) {}

bool GpuResource::attach(const AddressSpace& memory, std::vector<VirtioBuffer> pieces) {
  detach();
  for (const VirtioBuffer& piece : pieces) {
    if (backing_.add(memory, piece.address, piece.length_bytes, false)) continue;
    backing_ = DmaList();
    return false;
  }
  pieces_ = std::move(pieces);
  return true;
}

void GpuResource::detach() {
  pieces_.clear();
  backing_ = DmaList();
}

bool GpuResource::take(const GpuRect& rect, u64 offset) {
  const std::span<u8> all(pixels_);
  const u64 pitch = pitch_bytes();
  const u64 first = rect.y * pitch + u64{rect.x} * 4;
  if (rect.width == width_) {  // rows without gaps
    return backing_.read(offset, all.subspan(first, rect.height * pitch)) == rect.height * pitch;
  }
  const u64 bytes = u64{rect.width} * 4;
  for (u64 y = 0; y < rect.height; ++y) {
    u64 from = 0;
    if (__builtin_add_overflow(offset, y * pitch, &from)) return false;
    if (backing_.read(from, all.subspan(first + y * pitch, bytes)) != bytes) return false;
  }
  return true;
}

void GpuResource::row(u32 x, u32 y, std::span<u32> out) const {
  const u8* from = pixels_.data() + y * pitch_bytes() + u64{x} * 4;
  const Order order = *order_of(format_);
  for (u32& pixel : out) {
    pixel = u32{from[order.alpha]} << 24 | u32{from[order.red]} << 16 |
            u32{from[order.green]} << 8 | from[order.blue];
    from += 4;
  }
}

void GpuResource::transfer(StateIo& io) {
  io.field(1, "format", format_);
  io.field(2, "width", width_);
  io.field(3, "height", height_);
  io.field(4, "pixels", pixels_, kMaxBytes);
  io.check(is_format(format_) && width_ >= 1 && width_ <= kMaxSide && height_ >= 1 &&
               height_ <= kMaxSide && pixels_.size() == u64{width_} * height_ * 4,
           "virtio-gpu resource");
  std::vector<u8> raw(pieces_.size() * kSavedPieceBytes);
  for (std::size_t i = 0; i < pieces_.size(); ++i) {
    store_le(&raw[i * kSavedPieceBytes], pieces_[i].address);
    store_le(&raw[i * kSavedPieceBytes + 8], pieces_[i].length_bytes);
  }
  io.field(5, "backing", raw, kMaxPieces * kSavedPieceBytes);
  io.check(raw.size() % kSavedPieceBytes == 0, "virtio-gpu backing");
  if (!io.loading()) return;
  pieces_.clear();
  for (std::size_t at = 0; at + kSavedPieceBytes <= raw.size(); at += kSavedPieceBytes) {
    pieces_.push_back({load_le<u64>(&raw[at]), load_le<u32>(&raw[at + 8])});
  }
}

void GpuResource::resumed(const AddressSpace& memory) {
  if (!attach(memory, std::move(pieces_))) pieces_.clear();
}

}  // namespace emu
