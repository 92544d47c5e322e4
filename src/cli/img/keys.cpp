// SPDX-License-Identifier: Apache-2.0
// Source: qemu-img(1): --object, --image-opts; qemu(1): "-object secret".
#include "cli/img/keys.h"

#include <array>

#include "block/crypt/luks.h"

namespace emu::cli::img {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

std::string find(const Pairs& pairs, std::string_view name) {
  for (const auto& [key, value] : pairs) {
    if (key == name) return value;
  }
  return {};
}

// RFC 4648, 4. Errors: other characters.
Result<std::string> decode_base64(const std::string& text) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  unsigned bits = 0;
  unsigned value = 0;
  for (const char c : text) {
    if (c == '=' || c == '\n' || c == '\r') continue;
    const auto digit = kDigits.find(c);
    if (digit == std::string_view::npos) return fail("the secret is not in base64");
    value = (value << 6 | static_cast<unsigned>(digit)) & 0xffffff;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    out.push_back(static_cast<char>(value >> bits & 0xff));
  }
  return out;
}

Result<Pairs> parse_object(const std::string& text) {
  const auto comma = text.find(',');
  if (text.substr(0, comma) != "secret" || comma == std::string::npos)
    return fail("--object {}: only secret,id=ID,file=FILE (or data=TEXT) is known", text);
  const std::array<std::string, 2> words{"--object", text.substr(comma + 1)};
  constexpr std::array kOnly{kObject};
  auto parsed = Arguments::parse(words, kOnly);
  if (!parsed) return parsed.error();
  return parsed->key_values("object");
}

Result<std::string> passphrase_of(const Pairs& secret) {
  std::string text = find(secret, "data");
  if (const std::string file = find(secret, "file"); !file.empty()) {
    auto read = crypt::read_key_file(file);
    if (!read) return read;
    text = std::move(*read);
  }
  const std::string format = find(secret, "format");
  if (format == "base64") return decode_base64(text);
  if (!format.empty() && format != "raw")
    return fail("a secret's format is raw or base64, not \"{}\"", format);
  return text;
}

// Without an id: that of --key-file, which may be empty.
Result<std::string> find_passphrase(const Arguments& a, const std::string& id) {
  if (id.empty()) {
    if (!a.has("key-file")) return std::string();
    return crypt::read_key_file(a.value("key-file"));
  }
  for (const std::string& object : a.all("object")) {
    auto secret = parse_object(object);
    if (!secret) return secret.error();
    if (find(*secret, "id") == id) return passphrase_of(*secret);
  }
  return fail("there is no secret {}; add --object secret,id={},file=FILE", id, id);
}

Result<void> read_image_opts(const std::string& text, DiskOptions& options, std::string& id) {
  const std::array<std::string, 2> words{"--object", text};
  constexpr std::array kOnly{kObject};
  auto parsed = Arguments::parse(words, kOnly);
  if (!parsed) return parsed.error();
  auto pairs = parsed->key_values("object");
  if (!pairs) return pairs.error();
  for (const auto& [key, value] : *pairs) {
    if (key == "driver") {
      auto format = parse_format_name(value);
      if (!format) return format.error();
      options.format = *format;
    } else if (key == "file.filename" || key == "filename") {
      options.path = value;
    } else if (key == "encrypt.key-secret" || key == "key-secret") {
      id = value;
    } else if (key != "file.driver" && key != "encrypt.format") {
      return fail(
          "--image-opts: unknown key {}; known are driver, file.filename and "
          "encrypt.key-secret (luks: key-secret)",
          key);
    }
  }
  return {};
}

}  // namespace

Result<DiskOptions> source_options(const Arguments& a, const std::string& name,
                                   std::string_view format_key) {
  DiskOptions options;
  options.read_only = true;
  options.lock = !a.has("share");
  std::string id;
  if (a.has("image-opts")) {
    EMU_TRY(read_image_opts(name, options, id));
  } else {
    auto format = a.format(format_key);
    if (!format) return format.error();
    options.path = name;
    options.format = *format;
  }
  auto passphrase = find_passphrase(a, id);
  if (!passphrase) return passphrase.error();
  options.passphrase = std::move(*passphrase);
  return options;
}

Result<void> take_secret(const Arguments& a, CreateRequest& request) {
  std::string id;
  std::erase_if(request.options, [&](const auto& option) {
    const bool is_id = option.first == "key-secret" || option.first == "encrypt.key-secret";
    if (is_id) id = option.second;
    return is_id;
  });
  auto passphrase = find_passphrase(a, id);
  if (!passphrase) return passphrase.error();
  request.passphrase = std::move(*passphrase);
  return {};
}

}  // namespace emu::cli::img
