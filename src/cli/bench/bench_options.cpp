// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>
#include <sstream>

#include "cli/bench/bench.h"
#include "cli/option_values.h"

namespace emu::cli::bench {
namespace {

constexpr const char* kColumns[] = {"native", "kvm", "translator", "qemu"};

Result<std::vector<std::string>> parse_engines(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream words(text);
  for (std::string word; std::getline(words, word, ',');) {
    if (word == "tcg") word = "translator";
    if (std::ranges::find(kColumns, word) == std::end(kColumns)) {
      return fail("--engines={}: there are native, kvm, translator and qemu", text);
    }
    out.push_back(word);
  }
  if (out.empty()) return fail("--engines: name at least one of native, kvm, translator, qemu");
  return out;
}

// Options with a value, as "--name value" or "--name=value".
class Arguments {
 public:
  explicit Arguments(std::span<const std::string> all) : all_(all) {}
  [[nodiscard]] bool empty() const { return all_.empty(); }
  [[nodiscard]] const std::string& front() const { return all_.front(); }
  void drop() { all_ = all_.subspan(1); }
  // The value if `name` stands here; both are taken then.
  [[nodiscard]] std::optional<std::string> take_value(const std::string& name) {
    if (front().starts_with(name + "=")) {
      std::string value = front().substr(name.size() + 1);
      drop();
      return value;
    }
    if (front() != name || all_.size() < 2) return std::nullopt;
    std::string value = all_[1];
    all_ = all_.subspan(2);
    return value;
  }

 private:
  std::span<const std::string> all_;
};

Result<void> take_number(unsigned& out, const std::string& name, const std::string& text,
                         u64 most) {
  const auto value = parse_number(name, text, 1, most);
  if (!value) return value.error();
  out = static_cast<unsigned>(*value);
  return {};
}

Result<void> take_one(BenchOptions& options, Arguments& arguments) {
  if (const auto v = arguments.take_value("--repeats")) {
    return take_number(options.repeats, "--repeats", *v, 100);
  }
  if (const auto v = arguments.take_value("--time-limit")) {
    return take_number(options.limit_s, "--time-limit", *v, 3600);
  }
  if (const auto v = arguments.take_value("--until")) {
    options.until = *v;
    return {};
  }
  if (const auto v = arguments.take_value("--html")) {
    options.html = *v;
    return {};
  }
  if (const auto v = arguments.take_value("--engines")) {
    auto engines = parse_engines(*v);
    if (!engines) return engines.error();
    options.engines = std::move(*engines);
    return {};
  }
  const std::string word = arguments.front();
  arguments.drop();
  for (const char* const name : {"--repeats", "--time-limit", "--until", "--html", "--engines"}) {
    if (word == name) return fail("{} wants a value", name);
  }
  if (word == "--json") {
    options.json = true;
  } else if (word == "--qemu") {
    options.qemu = true;
  } else if (word == "--help" || word == "-h") {
    options.help = true;
  } else if (word == "--quick") {
    options.repeats = 2;
    options.work_ms = 4;
  } else {
    options.machine.push_back(word);
  }
  return {};
}

}  // namespace

bool BenchOptions::wants(const std::string& column) const {
  if (engines.empty()) return column != "qemu" || qemu;
  return std::ranges::find(engines, column) != engines.end() || (column == "qemu" && qemu);
}

Result<BenchOptions> parse_bench_options(std::span<const std::string> arguments) {
  BenchOptions options;
  Arguments rest(arguments);
  while (!rest.empty()) EMU_TRY(take_one(options, rest));
  if (!options.machine.empty() && options.wants("qemu")) {
    return fail("--qemu is for the built-in guest: other guests' options are not translated");
  }
  return options;
}

}  // namespace emu::cli::bench
