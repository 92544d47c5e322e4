// SPDX-License-Identifier: Apache-2.0
// Directory entries: long names in UTF-16, and the short ones that go with them.
// Source: Microsoft "FAT: General Overview of On-Disk Format" 1.03, "Long Directory Entries",
// "Name Limits and Character Sets".
#include <algorithm>
#include <map>
#include <set>

#include "base/bits.h"
#include "block/fat/fat_tree.h"

namespace emu::fat {
namespace {

constexpr u8 kAttributeLabel = 0x08;
constexpr u8 kAttributeFolder = 0x10;
constexpr u8 kAttributeFile = 0x20;
constexpr u8 kAttributeLongName = 0x0f;
constexpr u8 kLastLongEntry = 0x40;
constexpr std::size_t kUnitsPerEntry = 13;
constexpr std::size_t kMaxUnits = 255;
constexpr std::string_view kLabel = "EMU FOLDER ";

// Code points of UTF-8; bytes that are none become '_'.
std::u32string code_points(std::string_view text) {
  std::u32string out;
  for (std::size_t i = 0; i < text.size();) {
    const u8 first = static_cast<u8>(text[i++]);
    const unsigned more = first < 0x80 ? 0 : first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
    char32_t c = more == 0 ? first : first & (0x3fu >> more);
    bool is_good = first < 0x80 || (first >= 0xc2 && first < 0xf5);
    std::size_t used = 0;
    for (; is_good && used < more; ++used) {
      const u8 next = i + used < text.size() ? static_cast<u8>(text[i + used]) : u8{0};
      is_good = (next & 0xc0) == 0x80;
      c = c << 6 | (next & 0x3f);
    }
    constexpr char32_t kSmallest[] = {0, 0x80, 0x800, 0x10000};
    is_good = is_good && c >= kSmallest[more] && c < 0x110000 && (c < 0xd800 || c >= 0xe000);
    if (is_good) i += more;
    out.push_back(is_good ? c : U'_');
  }
  return out;
}

// The long name: characters that FAT forbids become '_', and so does a dot or space at the end.
std::u16string long_name(const std::string& name) {
  std::u16string out;
  for (const char32_t c : code_points(name)) {
    const bool is_forbidden =
        c < 0x20 || c == 0x7f || std::u32string_view(U"\"*/:<>?\\|").find(c) != std::string::npos;
    if (c >= 0x10000) {
      out.push_back(static_cast<char16_t>(0xd800 + ((c - 0x10000) >> 10)));
      out.push_back(static_cast<char16_t>(0xdc00 + ((c - 0x10000) & 0x3ff)));
    } else {
      out.push_back(is_forbidden ? u'_' : static_cast<char16_t>(c));
    }
  }
  if (out.size() > kMaxUnits) out.resize(kMaxUnits);
  if (out.back() == u'.' || out.back() == u' ') out.back() = u'_';
  return out;
}

std::u16string folded(std::u16string name) {
  for (char16_t& c : name) {
    if (c >= u'a' && c <= u'z') c = static_cast<char16_t>(c - 32);
  }
  return name;
}

// What a short name keeps of a part, in upper case; characters it cannot have become '_'.
std::string short_part(std::u16string_view part, std::size_t max) {
  std::string out;
  for (const char16_t c : part) {
    if (c == u' ' || c == u'.') continue;
    const char16_t upper = c >= u'a' && c <= u'z' ? static_cast<char16_t>(c - 32) : c;
    const bool is_plain = (upper >= u'A' && upper <= u'Z') || (upper >= u'0' && upper <= u'9') ||
                          (upper < 0x80 && std::u16string_view(u"$%'-_@~`!(){}^#&").find(upper) !=
                                               std::u16string_view::npos);
    if (out.size() < max) out.push_back(is_plain ? static_cast<char>(upper) : '_');
  }
  return out;
}

class Directory {
 public:
  explicit Directory(Node& folder) : folder_(folder) {}

  void add_label() { append_short(std::string(kLabel), kAttributeLabel, 0, 0); }
  void add_dots(const Node& own, const Node& above) {
    append_short(".          ", kAttributeFolder, 0, own.changed_s);
    append_short("..         ", kAttributeFolder, 0, above.changed_s);
  }

  void add(const Node& child) {
    std::u16string name = long_name(child.name);
    // Two names that differ in case only are one for FAT.
    for (unsigned n = 2; !long_names_.insert(folded(name)).second; ++n) {
      const std::string mark = "~" + std::to_string(n);
      name = long_name(child.name).substr(0, kMaxUnits - mark.size());
      name.append(mark.begin(), mark.end());
    }
    const std::string short_name = unique_short_name(name);
    append_long(name, short_name);
    folder_.entry_at.push_back(folder_.directory.size());
    append_short(short_name, child.is_folder ? kAttributeFolder : kAttributeFile, child.size_bytes,
                 child.changed_s);
  }

 private:
  // Eleven bytes: "READMETXT", padded. Always with "~N", which keeps it apart from long names.
  std::string unique_short_name(const std::u16string& name) {
    const auto dot = name.rfind(u'.');
    const bool has_extension = dot != std::u16string::npos && dot != 0;
    const std::u16string_view whole = name;
    const std::string base = short_part(whole.substr(0, has_extension ? dot : whole.size()), 8);
    std::string extension = has_extension ? short_part(whole.substr(dot + 1), 3) : "";
    extension.resize(3, ' ');
    u32& next = next_number_[base.substr(0, 2) + extension];
    for (;;) {
      const std::string mark = "~" + std::to_string(++next);
      std::string out = base.substr(0, 8 - mark.size()) + mark;
      out.resize(8, ' ');
      out += extension;
      if (short_names_.insert(out).second) return out;
    }
  }

  void append_long(const std::u16string& name, const std::string& short_name) {
    u8 sum = 0;
    for (const char c : short_name)
      sum = static_cast<u8>((sum << 7 | sum >> 1) + static_cast<u8>(c));
    const std::size_t entries = (name.size() + kUnitsPerEntry - 1) / kUnitsPerEntry;
    for (std::size_t i = entries; i-- != 0;) {
      u8 entry[kEntryBytes] = {};
      entry[0] = static_cast<u8>((i + 1) | (i + 1 == entries ? kLastLongEntry : 0u));
      entry[11] = kAttributeLongName;
      entry[13] = sum;
      for (std::size_t n = 0; n < kUnitsPerEntry; ++n) {
        const std::size_t at = i * kUnitsPerEntry + n;
        const u16 unit = at < name.size() ? name[at] : at == name.size() ? u16{0} : u16{0xffff};
        store_le<u16>(entry + (n < 5    ? 1 + n * 2
                               : n < 11 ? 14 + (n - 5) * 2
                                        : 28 + (n - 11) * 2),
                      unit);
      }
      folder_.directory.insert(folder_.directory.end(), entry, entry + kEntryBytes);
    }
  }

  void append_short(const std::string& name, u8 attributes, u64 size_bytes, std::time_t changed) {
    u8 entry[kEntryBytes] = {};
    std::copy_n(name.begin(), 11, entry);
    entry[11] = attributes;
    std::tm t{};
    ::localtime_r(&changed, &t);
    const int year = std::clamp(t.tm_year - 80, 0, 127);  // since 1980
    const auto date = static_cast<u16>(year << 9 | (t.tm_mon + 1) << 5 | t.tm_mday);
    const auto time =
        static_cast<u16>(t.tm_hour << 11 | t.tm_min << 5 | std::min(t.tm_sec / 2, 29));
    store_le<u16>(entry + 22, time);
    store_le<u16>(entry + 24, date);
    store_le<u32>(entry + 28, static_cast<u32>(size_bytes));
    folder_.directory.insert(folder_.directory.end(), entry, entry + kEntryBytes);
  }

  Node& folder_;
  std::set<std::u16string> long_names_;
  std::set<std::string> short_names_;
  std::map<std::string, u32> next_number_;
};

}  // namespace

Result<void> make_directories(std::vector<Node>& nodes, const std::string& path) {
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (!nodes[i].is_folder) continue;
    Directory directory(nodes[i]);
    if (i == 0) directory.add_label();
    if (i != 0) directory.add_dots(nodes[i], nodes[nodes[i].parent]);
    for (const std::size_t child : nodes[i].children) directory.add(nodes[child]);
    if (nodes[i].directory.size() > kMaxDirectoryBytes)
      return fail("{} has a folder ({}) with more names than FAT allows", path,
                  i == 0 ? "itself" : nodes[i].name);
  }
  return {};
}

void set_first_cluster(u8* entry, u32 cluster) {
  store_le<u16>(entry + 20, static_cast<u16>(cluster >> 16));
  store_le<u16>(entry + 26, static_cast<u16>(cluster));
}

}  // namespace emu::fat
