// SPDX-License-Identifier: Apache-2.0
#include "ui/terminal/terminal_keys.h"

#include <array>
#include <optional>
#include <string_view>
#include <utility>

namespace emu {
namespace {

// HID usages.
constexpr KeyCode kA = 0x04, kDigit1 = 0x1E, kDigit0 = 0x27, kEnter = 0x28, kEscape = 0x29;
constexpr KeyCode kBackspace = 0x2A, kTab = 0x2B, kSpace = 0x2C, kF1 = 0x3A;
constexpr KeyCode kInsert = 0x49, kHome = 0x4A, kPageUp = 0x4B, kDelete = 0x4C, kEnd = 0x4D;
constexpr KeyCode kPageDown = 0x4E, kRight = 0x4F, kLeft = 0x50, kDown = 0x51, kUp = 0x52;
constexpr KeyCode kLeftCtrl = 0xE0, kLeftShift = 0xE1, kLeftAlt = 0xE2;

// Punctuation keys from usage 2Dh on, without and with Shift; 32h is not on US keyboards.
constexpr std::string_view kPlain = "-=[]\\\x01;'`,./";
constexpr std::string_view kShifted = "_+{}|\x01:\"~<>?";
constexpr std::string_view kShiftedDigits = "!@#$%^&*()";

std::optional<KeyStroke> from_printable(char c) {
  if (c == ' ') return KeyStroke{.code = kSpace};
  if (c >= 'a' && c <= 'z') return KeyStroke{.code = static_cast<KeyCode>(kA + c - 'a')};
  if (c >= 'A' && c <= 'Z') {
    return KeyStroke{.code = static_cast<KeyCode>(kA + c - 'A'), .shift = true};
  }
  if (c == '0') return KeyStroke{.code = kDigit0};
  if (c >= '1' && c <= '9') return KeyStroke{.code = static_cast<KeyCode>(kDigit1 + c - '1')};
  if (const auto i = kShiftedDigits.find(c); i != std::string_view::npos) {
    return KeyStroke{.code = static_cast<KeyCode>(kDigit1 + i), .shift = true};
  }
  if (const auto i = kPlain.find(c); i != std::string_view::npos) {
    return KeyStroke{.code = static_cast<KeyCode>(0x2D + i)};
  }
  if (const auto i = kShifted.find(c); i != std::string_view::npos) {
    return KeyStroke{.code = static_cast<KeyCode>(0x2D + i), .shift = true};
  }
  return std::nullopt;
}

std::optional<KeyStroke> from_byte(u8 byte) {
  switch (byte) {
    case 0x00:
      return KeyStroke{.code = kSpace, .ctrl = true};
    case '\b':
    case 0x7F:
      return KeyStroke{.code = kBackspace};
    case '\t':
      return KeyStroke{.code = kTab};
    case '\r':
    case '\n':
      return KeyStroke{.code = kEnter};
    case 0x1B:
      return KeyStroke{.code = kEscape};
    default:
      break;
  }
  if (byte >= 0x80) return std::nullopt;
  if (byte >= 0x20) return from_printable(static_cast<char>(byte));
  // Control characters: 01h-1Ah are letters, 1Ch-1Fh \ ] ^ _ (Shift left out, as typed with Ctrl).
  auto stroke = from_printable(static_cast<char>(byte <= 0x1A ? byte + 0x60 : byte + 0x40));
  if (stroke) stroke->ctrl = true;
  return stroke;
}

// CSI n ~ (VT220 editing and function keys).
std::optional<KeyCode> from_number(u32 number) {
  constexpr std::array<std::pair<u8, KeyCode>, 20> kKeys{
      {{1, kHome},     {2, kInsert},  {3, kDelete},  {4, kEnd},      {5, kPageUp},
       {6, kPageDown}, {7, kHome},    {8, kEnd},     {11, kF1},      {12, kF1 + 1},
       {13, kF1 + 2},  {14, kF1 + 3}, {15, kF1 + 4}, {17, kF1 + 5},  {18, kF1 + 6},
       {19, kF1 + 7},  {20, kF1 + 8}, {21, kF1 + 9}, {23, kF1 + 10}, {24, kF1 + 11}}};
  for (const auto& [code, key] : kKeys) {
    if (code == number) return key;
  }
  return std::nullopt;
}

// The final letter of CSI or SS3.
std::optional<KeyCode> from_letter(u8 letter) {
  switch (letter) {
    case 'A':
      return kUp;
    case 'B':
      return kDown;
    case 'C':
      return kRight;
    case 'D':
      return kLeft;
    case 'F':
      return kEnd;
    case 'H':
      return kHome;
    case 'P':
    case 'Q':
    case 'R':
    case 'S':
      return static_cast<KeyCode>(kF1 + letter - 'P');
    default:
      return std::nullopt;
  }
}

// Parses what follows ESC [ or ESC O; returns how many bytes that was.
std::size_t take_sequence(std::span<const u8> rest, std::vector<KeyStroke>& out) {
  std::array<u32, 2> numbers{0, 1};  // the key, and 1 + modifier bits
  std::size_t which = 0;
  std::size_t i = 0;
  for (; i < rest.size() && rest[i] < 0x40; ++i) {
    if (rest[i] == ';') which = 1;
    if (rest[i] >= '0' && rest[i] <= '9') {
      if (which == 1 && numbers[1] == 1 && rest[i - 1] == ';') numbers[1] = 0;
      numbers[which] = (numbers[which] * 10 + rest[i] - '0') % 1000;
    }
  }
  if (i == rest.size()) return i;
  const auto key = rest[i] == '~' ? from_number(numbers[0]) : from_letter(rest[i]);
  const u32 held = numbers[1] - 1;
  if (key) {
    out.push_back({*key, (held & 1) != 0, (held & 4) != 0, (held & 2) != 0});
  } else if (rest[i] == 'Z') {
    out.push_back({kTab, true, false, false});
  }
  return i + 1;
}

}  // namespace

void append_key_strokes(std::span<const u8> typed, std::vector<KeyStroke>& out) {
  std::size_t i = 0;
  while (i < typed.size()) {
    const u8 byte = typed[i++];
    const bool has_next = byte == 0x1B && i < typed.size();
    if (has_next && (typed[i] == '[' || typed[i] == 'O') && i + 1 < typed.size()) {
      i += 1 + take_sequence(typed.subspan(i + 1), out);
      continue;
    }
    const bool alt = has_next && typed[i] != 0x1B;
    auto stroke = from_byte(alt ? typed[i++] : byte);
    if (!stroke) continue;
    stroke->alt = alt;
    out.push_back(*stroke);
  }
}

void type_key_stroke(KeyboardSink& keyboard, const KeyStroke& stroke) {
  const std::array<std::pair<KeyCode, bool>, 4> keys{{{kLeftCtrl, stroke.ctrl},
                                                      {kLeftAlt, stroke.alt},
                                                      {kLeftShift, stroke.shift},
                                                      {stroke.code, true}}};
  for (const auto& [code, used] : keys) {
    if (used) keyboard.key(code, true);
  }
  for (auto key = keys.rbegin(); key != keys.rend(); ++key) {
    if (key->second) keyboard.key(key->first, false);
  }
}

}  // namespace emu
