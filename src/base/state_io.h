// SPDX-License-Identifier: Apache-2.0
// StateIo: the one walk behind snapshots, migration, crash dumps and engine comparison.
//
// Stream: section{name_length u8, name, version u32, length u32}, field{tag u16, type u8, length
// u32, bytes}, little-endian. A section may be a field of another. Tags are never reused; a field a
// reader does not know is skipped and counted, one it misses keeps its current (reset) value.
// A stream is untrusted: loading validates every length and never reads outside its input.
#pragma once

#include <array>
#include <concepts>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/result.h"
#include "base/types.h"

namespace emu {

template <class T>
concept StateScalar = std::integral<T> || std::is_enum_v<T>;

class StateIo {
 public:
  enum class Mode : u8 { kSave, kLoad, kPrint };

  [[nodiscard]] static StateIo saver() { return StateIo(Mode::kSave, {}); }
  // `input` must outlive the StateIo.
  [[nodiscard]] static StateIo loader(std::span<const u8> input);
  // Produces "section.field = value" lines in text().
  [[nodiscard]] static StateIo printer() { return StateIo(Mode::kPrint, {}); }

  [[nodiscard]] bool loading() const { return mode_ == Mode::kLoad; }
  // False after the first error; later calls do nothing.
  [[nodiscard]] bool ok() const { return !error_; }
  // The first error of a load, or success; warns of fields that were skipped.
  [[nodiscard]] Result<void> finish();
  [[nodiscard]] const std::vector<u8>& bytes() const { return output_; }
  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] u32 skipped_fields() const { return skipped_; }

  // Runs `body()` inside a named section. Absent while loading: body still runs, and every field
  // in it keeps its value.
  template <class F>
  void section(std::string_view name, u32 version, F&& body) {
    begin_section(name, version);
    body();
    end_section();
  }

  // One integer, bool or enum. While loading, a bool other than 0/1 or a value of another size is
  // an error. Enums and indices must be range-checked by the owner: see check().
  template <StateScalar T>
  void field(u16 tag, std::string_view name, T& value) {
    u64 raw = static_cast<u64>(value);
    if (transfer_scalar(tag, name, raw, sizeof(T), std::is_same_v<T, bool>)) {
      value = static_cast<T>(raw);
    }
  }

  // A fixed array of scalars or of arrays of scalars, stored as its bytes.
  template <class T, std::size_t N>
  void field(u16 tag, std::string_view name, std::array<T, N>& values) {
    static_assert(std::is_trivially_copyable_v<T> && std::has_unique_object_representations_v<T>);
    transfer_bytes(tag, name, std::span<u8>(reinterpret_cast<u8*>(values.data()), sizeof(values)));
  }
  template <StateScalar T, std::size_t N>
  void field(u16 tag, std::string_view name, T (&values)[N]) {
    transfer_bytes(tag, name, std::span<u8>(reinterpret_cast<u8*>(values), sizeof(values)));
  }

  // Exactly `buffer.size()` bytes.
  void transfer_bytes(u16 tag, std::string_view name, std::span<u8> buffer);
  // A byte string of at most `limit_bytes`.
  void field(u16 tag, std::string_view name, std::vector<u8>& bytes, std::size_t limit_bytes);
  void field(u16 tag, std::string_view name, std::string& text, std::size_t limit_bytes);

  // While loading: marks the stream as invalid unless `valid`. Use after range-dependent fields.
  void check(bool valid, std::string_view what);

 private:
  struct Frame {
    std::string name;
    std::size_t length_at = 0;                                 // kSave: where the length goes
    std::map<u16, std::pair<u8, std::span<const u8>>> fields;  // kLoad: not yet consumed
    std::map<std::string, std::span<const u8>, std::less<>> sections;
  };

  StateIo(Mode mode, std::span<const u8> input) : mode_(mode), input_(input) {}
  void begin_section(std::string_view name, u32 version);
  void end_section();
  bool transfer_scalar(u16 tag, std::string_view name, u64& raw, unsigned size, bool is_bool);
  [[nodiscard]] bool take(u16 tag, u8 type, std::span<const u8>& out);
  void put(u16 tag, u8 type, std::span<const u8> data);
  void print(std::string_view name, const std::string& value);
  void parse(std::span<const u8> body, Frame& frame);
  void set_error(std::string message);

  Mode mode_;
  std::span<const u8> input_;
  std::vector<u8> output_;
  std::string text_;
  std::vector<Frame> frames_;
  bool error_ = false;
  std::string message_;
  u32 skipped_ = 0;
};

}  // namespace emu
