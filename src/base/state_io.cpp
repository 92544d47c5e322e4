// SPDX-License-Identifier: Apache-2.0
#include "base/state_io.h"

#include <algorithm>

#include "base/bits.h"
#include "base/log.h"

namespace emu {
namespace {

constexpr u8 kTypeScalar = 1;
constexpr u8 kTypeBytes = 2;
constexpr u8 kTypeSection = 3;
constexpr std::size_t kFieldHeaderBytes = 2 + 1 + 4;
constexpr u32 kMaxSectionDepth = 32;

template <class T>
void append(std::vector<u8>& out, T v) {
  const std::size_t at = out.size();
  out.resize(at + sizeof v);
  store_le(out.data() + at, v);
}

}  // namespace

StateIo StateIo::loader(std::span<const u8> input) {
  StateIo io(Mode::kLoad, input);
  Frame root;
  io.parse(input, root);
  io.frames_.push_back(std::move(root));
  return io;
}

void StateIo::set_error(std::string message) {
  if (error_) return;
  error_ = true;
  message_ = std::move(message);
}

// Splits a section body into fields and subsections, checking every length against the input.
void StateIo::parse(std::span<const u8> body, Frame& frame) {
  while (!body.empty()) {
    if (body.size() < kFieldHeaderBytes) return set_error("state stream ends inside a field");
    const u16 tag = load_le<u16>(body.data());
    const u8 type = body[2];
    const u32 length = load_le<u32>(body.data() + 3);
    body = body.subspan(kFieldHeaderBytes);
    if (length > body.size()) return set_error("state stream is shorter than a field says");
    const auto data = body.first(length);
    body = body.subspan(length);
    if (type != kTypeSection) {
      if (!frame.fields.emplace(tag, std::pair{type, data}).second) {
        return set_error("state stream repeats a field");
      }
      continue;
    }
    if (data.empty() || data.size() < 1u + data[0] + 4u) {
      return set_error("state stream has a malformed section");
    }
    std::string name(reinterpret_cast<const char*>(data.data()) + 1, data[0]);
    if (!frame.sections.emplace(std::move(name), data.subspan(1u + data[0])).second) {
      return set_error("state stream repeats a section");
    }
  }
}

void StateIo::begin_section(std::string_view name, u32 version) {
  EMU_CHECK(name.size() < 256 && frames_.size() < kMaxSectionDepth);
  Frame frame;
  frame.name = frames_.empty() || frames_.back().name.empty()
                   ? std::string(name)
                   : frames_.back().name + "." + std::string(name);
  if (mode_ == Mode::kSave) {
    append<u16>(output_, 0);
    output_.push_back(kTypeSection);
    frame.length_at = output_.size();
    append<u32>(output_, 0);
    output_.push_back(static_cast<u8>(name.size()));
    output_.insert(output_.end(), name.begin(), name.end());
    append<u32>(output_, version);
  } else if (mode_ == Mode::kLoad && !error_) {
    auto& sections = frames_.back().sections;
    const auto found = sections.find(name);
    if (found != sections.end()) {
      const u32 stored = load_le<u32>(found->second.data());
      if (stored > version) {
        set_error(
            fmt::format("section {} has version {}, this build knows up to {}: use a newer emu",
                        frame.name, stored, version));
      } else {
        parse(found->second.subspan(4), frame);
      }
      sections.erase(found);
    }
  }
  frames_.push_back(std::move(frame));
}

void StateIo::end_section() {
  const Frame frame = std::move(frames_.back());
  frames_.pop_back();
  if (mode_ == Mode::kSave) {
    const std::size_t length = output_.size() - frame.length_at - 4;
    EMU_CHECK(length <= 0xffffffffu);
    store_le(output_.data() + frame.length_at, static_cast<u32>(length));
  } else if (mode_ == Mode::kLoad) {
    skipped_ += static_cast<u32>(frame.fields.size() + frame.sections.size());
  }
}

bool StateIo::take(u16 tag, u8 type, std::span<const u8>& out) {
  if (error_) return false;
  auto& fields = frames_.back().fields;
  const auto found = fields.find(tag);
  if (found == fields.end()) return false;
  if (found->second.first != type) {
    set_error(fmt::format("field {} of section {} has the wrong type", tag, frames_.back().name));
    return false;
  }
  out = found->second.second;
  fields.erase(found);
  return true;
}

void StateIo::put(u16 tag, u8 type, std::span<const u8> data) {
  append<u16>(output_, tag);
  output_.push_back(type);
  append<u32>(output_, static_cast<u32>(data.size()));
  output_.insert(output_.end(), data.begin(), data.end());
}

void StateIo::print(std::string_view name, const std::string& value) {
  if (!frames_.empty()) text_ += frames_.back().name + ".";
  text_ += fmt::format("{} = {}\n", name, value);
}

bool StateIo::transfer_scalar(u16 tag, std::string_view name, u64& raw, unsigned size,
                              bool is_bool) {
  const u64 value = raw & byte_mask(size);
  if (mode_ == Mode::kPrint) {
    print(name, fmt::format("{:#x}", value));
    return false;
  }
  if (mode_ == Mode::kSave) {
    u8 bytes[8];
    store_le(bytes, value);
    put(tag, kTypeScalar, std::span<const u8>(bytes, size));
    return false;
  }
  std::span<const u8> data;
  if (!take(tag, kTypeScalar, data)) return false;
  u64 loaded = 0;
  if (data.size() != size) {
    set_error(fmt::format("{}.{} has {} bytes instead of {}", frames_.back().name, name,
                          data.size(), size));
    return false;
  }
  std::copy(data.begin(), data.end(), reinterpret_cast<u8*>(&loaded));
  if (is_bool && loaded > 1) {
    set_error(fmt::format("{}.{} is neither 0 nor 1", frames_.back().name, name));
    return false;
  }
  raw = loaded;
  return true;
}

void StateIo::transfer_bytes(u16 tag, std::string_view name, std::span<u8> buffer) {
  if (mode_ == Mode::kSave) return put(tag, kTypeBytes, buffer);
  if (mode_ == Mode::kPrint) {
    std::string hex;
    for (u8 b : buffer) hex += fmt::format("{:02x}", b);
    return print(name, hex);
  }
  std::span<const u8> data;
  if (!take(tag, kTypeBytes, data)) return;
  if (data.size() != buffer.size()) {
    return set_error(fmt::format("{}.{} has {} bytes instead of {}", frames_.back().name, name,
                                 data.size(), buffer.size()));
  }
  std::copy(data.begin(), data.end(), buffer.begin());
}

void StateIo::field(u16 tag, std::string_view name, std::vector<u8>& bytes,
                    std::size_t limit_bytes) {
  if (!loading()) return transfer_bytes(tag, name, bytes);
  std::span<const u8> data;
  if (!take(tag, kTypeBytes, data)) return;
  if (data.size() > limit_bytes) {
    return set_error(fmt::format("{}.{} has {} bytes, at most {} are allowed", frames_.back().name,
                                 name, data.size(), limit_bytes));
  }
  bytes.assign(data.begin(), data.end());
}

void StateIo::field(u16 tag, std::string_view name, std::string& text, std::size_t limit_bytes) {
  std::vector<u8> bytes(text.begin(), text.end());
  field(tag, name, bytes, limit_bytes);
  if (loading()) text.assign(bytes.begin(), bytes.end());
}

void StateIo::check(bool valid, std::string_view what) {
  if (loading() && !valid) {
    set_error(fmt::format("{}: {}", frames_.empty() ? "" : frames_.back().name, what));
  }
}

Result<void> StateIo::finish() {
  if (error_) return Error{0, "cannot load the saved state: " + message_};
  for (const Frame& root : frames_) {  // what no end_section() has counted
    skipped_ += static_cast<u32>(root.fields.size() + root.sections.size());
  }
  frames_.clear();
  if (skipped_ != 0) {
    log(LogLevel::kWarning, "state",
        "{} fields of the saved state are unknown here and were skipped", skipped_);
  }
  return {};
}

}  // namespace emu
