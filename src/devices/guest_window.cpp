// SPDX-License-Identifier: Apache-2.0
#include "devices/guest_window.h"

#include <algorithm>

namespace emu {

std::optional<GuestWindow> GuestWindow::map(const AddressSpace& memory, u64 address,
                                            u64 length_bytes, bool for_writing) {
  const AddressSpace::Pin view(memory);
  const FlatRange* r = view->find(address);
  if (r == nullptr || r->ram == nullptr || (for_writing && !r->writable)) return {};
  if (!range_fits(address - r->start, length_bytes, r->length_bytes)) return {};
  GuestWindow window;
  window.bytes_ = {r->host(address), length_bytes};
  window.ram_ = r->ram;
  window.ram_offset_ = r->ram_offset + (address - r->start);
  return window;
}

u16 GuestWindow::load_acquire(u64 offset) const {
  const u16 value = load<u16>(offset);
  std::atomic_thread_fence(std::memory_order_acquire);
  return value;
}

void GuestWindow::store_release(u64 offset, u16 value) {
  std::atomic_thread_fence(std::memory_order_release);
  store(offset, value);
}

bool DmaList::add(const AddressSpace& memory, u64 address, u64 length_bytes, bool for_writing) {
  const AddressSpace::Pin view(memory);
  const u64 before = length_bytes_;
  while (length_bytes != 0) {
    const FlatRange* r = view->find(address);
    if (r == nullptr || r->ram == nullptr || (for_writing && !r->writable)) {
      truncate(before);
      return false;
    }
    const u64 n = std::min(length_bytes, r->length_bytes - (address - r->start));
    const std::span<u8> bytes{r->host(address), n};
    const Place place{r->ram, r->ram_offset + (address - r->start), length_bytes_};
    if (!pieces_.empty() && places_.back().ram == place.ram &&
        places_.back().offset + pieces_.back().size() == place.offset) {
      pieces_.back() = {pieces_.back().data(), pieces_.back().size() + n};
    } else {
      pieces_.push_back(bytes);
      places_.push_back(place);
    }
    length_bytes_ += n;
    address += n;
    length_bytes -= n;
  }
  return true;
}

std::size_t DmaList::piece_with(u64& offset) const {
  if (offset >= length_bytes_) return pieces_.size();
  const auto behind = std::ranges::upper_bound(places_, offset, {}, &Place::start);
  const auto index = static_cast<std::size_t>(behind - places_.begin()) - 1;
  offset -= places_[index].start;
  return index;
}

u64 DmaList::read(u64 offset, std::span<u8> out) const {
  u64 done = 0;
  for (std::size_t i = piece_with(offset); i < pieces_.size() && done < out.size(); ++i) {
    const std::span<u8> piece = pieces_[i];
    const u64 n = std::min<u64>(piece.size() - offset, out.size() - done);
    std::copy_n(piece.begin() + static_cast<std::ptrdiff_t>(offset), n,
                out.begin() + static_cast<std::ptrdiff_t>(done));
    done += n;
    offset = 0;
  }
  return done;
}

u64 DmaList::write(u64 offset, std::span<const u8> in) {
  u64 done = 0;
  for (std::size_t i = piece_with(offset); i < pieces_.size() && done < in.size(); ++i) {
    const std::span<u8> piece = pieces_[i];
    const u64 n = std::min<u64>(piece.size() - offset, in.size() - done);
    std::copy_n(in.begin() + static_cast<std::ptrdiff_t>(done), n,
                piece.begin() + static_cast<std::ptrdiff_t>(offset));
    places_[i].ram->mark_written(places_[i].offset + offset, n);
    done += n;
    offset = 0;
  }
  return done;
}

void DmaList::truncate(u64 length_bytes) {
  while (length_bytes_ > length_bytes) {
    const u64 extra = std::min<u64>(length_bytes_ - length_bytes, pieces_.back().size());
    length_bytes_ -= extra;
    pieces_.back() = pieces_.back().first(pieces_.back().size() - extra);
    if (!pieces_.back().empty()) continue;
    pieces_.pop_back();
    places_.pop_back();
  }
}

DmaList DmaList::part(u64 offset, u64 length_bytes) const {
  EMU_CHECK(range_fits(offset, length_bytes, length_bytes_));
  DmaList out;
  const std::size_t first = piece_with(offset);
  for (std::size_t i = first; i < pieces_.size() && out.length_bytes_ < length_bytes; ++i) {
    const std::span<u8> piece = pieces_[i];
    const u64 n = std::min<u64>(piece.size() - offset, length_bytes - out.length_bytes_);
    out.pieces_.push_back(piece.subspan(offset, n));
    out.places_.push_back({places_[i].ram, places_[i].offset + offset, out.length_bytes_});
    out.length_bytes_ += n;
    offset = 0;
  }
  return out;
}

void DmaList::publish() const {
  for (std::size_t i = 0; i < pieces_.size(); ++i)
    places_[i].ram->mark_written(places_[i].offset, pieces_[i].size());
}

}  // namespace emu
