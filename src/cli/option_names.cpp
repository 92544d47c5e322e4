// SPDX-License-Identifier: Apache-2.0
#include "cli/option_names.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>

namespace emu::cli {
namespace {

const OptionName* find_option(std::span<const OptionName> names, std::string_view word) {
  const auto it = std::find_if(names.begin(), names.end(), [word](const OptionName& option) {
    return option.name == word ||
           std::find(option.aliases.begin(), option.aliases.end(), word) != option.aliases.end();
  });
  return it == names.end() ? nullptr : &*it;
}

// Levenshtein distance.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replace = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, replace}));
    }
  }
  return row[b.size()];
}

// Walks the arguments; one per call of normalise_arguments or included file.
class Normaliser {
 public:
  Normaliser(std::span<const OptionName> names, std::vector<std::string>& out, int depth)
      : names_(names), out_(out), depth_(depth) {}

  Result<void> run(std::span<const std::string> arguments) {
    for (std::size_t i = 0; i < arguments.size(); ++i) {
      const std::string& argument = arguments[i];
      if (options_ended_ || argument.size() < 2 || (argument[0] != '-' && argument[0] != '@')) {
        out_.push_back(argument);
      } else if (argument[0] == '@') {
        EMU_TRY(include(argument.substr(1)));
      } else if (argument == "--") {
        options_ended_ = true;
        out_.push_back(argument);
      } else {
        EMU_TRY(option(arguments, i));
      }
    }
    return {};
  }

 private:
  Result<void> option(std::span<const std::string> arguments, std::size_t& i) {
    const std::string& spelled = arguments[i];
    const bool short_form = spelled[1] != '-';
    std::string word = spelled.substr(short_form ? 1 : 2);
    std::string value;
    bool has_value = false;
    if (const std::size_t equals = word.find('='); equals != std::string::npos) {
      value = word.substr(equals + 1);
      word.resize(equals);
      has_value = true;
    }
    const OptionName* found = find_option(names_, word);
    if (found == nullptr && short_form && !has_value) {  // -m512
      found = find_option(names_, word.substr(0, 1));
      if (found != nullptr && found->takes_value && word.size() > 1) {
        value = word.substr(1);
        has_value = true;
      } else {
        found = nullptr;
      }
    }
    if (found == nullptr) return unknown(spelled, word);
    if (found->takes_value && !has_value) {
      if (i + 1 >= arguments.size()) return fail("{} needs a value", spelled);
      value = arguments[++i];
    } else if (!found->takes_value && has_value) {
      return fail("{} takes no value", spelled.substr(0, spelled.find('=')));
    }
    return emit(*found, spelled, value);
  }

  Result<void> emit(const OptionName& found, const std::string& spelled, const std::string& value) {
    if (!found.takes_value) {
      out_.push_back(fmt::format("--{}", found.name));
    } else if (found.name == "config") {
      return include(value);
    } else if (found.name == "accel" && !value.empty()) {
      // "-accel kvm -accel tcg": the second is for when the first cannot run.
      const bool second =
          accel_.substr(0, accel_.find(',')) == "kvm" && value.substr(0, value.find(',')) == "tcg";
      accel_ = second ? accel_.insert(3, ":tcg") : value;
      out_.push_back("--accel=" + accel_);
    } else if (!value.empty()) {
      out_.push_back(fmt::format("--{}={}", found.name, value));
    } else if (found.name != "append" && found.name != "initrd") {
      return fail("{} needs a value", spelled);
    }
    return {};
  }

  Error unknown(const std::string& spelled, const std::string& word) const {
    const std::string near = nearest_option(word, names_);
    if (near.empty()) return fail("unknown option {}; emu --help lists all", spelled);
    return fail("unknown option {}; did you mean --{}?", spelled, near);
  }

  Result<void> include(const std::string& path) {
    if (depth_ >= 8) return fail("--config {}: configuration files include each other", path);
    std::ifstream file(path);
    if (!file) return fail_errno(errno, "cannot read the configuration file {}", path);
    std::vector<std::string> arguments;
    for (std::string line; std::getline(file, line);) {
      if (!line.empty() && line.back() == '\r') line.pop_back();
      if (line.empty() || line[0] == '#') continue;
      arguments.push_back("--" + line);
    }
    return Normaliser(names_, out_, depth_ + 1).run(arguments);
  }

  std::span<const OptionName> names_;
  std::vector<std::string>& out_;
  int depth_;
  bool options_ended_ = false;
  std::string accel_;  // as given before in this list
};

}  // namespace

Result<std::vector<std::string>> normalise_arguments(std::span<const std::string> arguments,
                                                     std::span<const OptionName> names) {
  std::vector<std::string> out;
  EMU_TRY(Normaliser(names, out, 0).run(arguments));
  return out;
}

std::string nearest_option(std::string_view word, std::span<const OptionName> names) {
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(word.size() / 3, 1) + 1;
  const auto consider = [&](std::string_view candidate, std::string_view name) {
    const std::size_t distance = edit_distance(word, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = name;
    }
  };
  for (const OptionName& option : names) {
    consider(option.name, option.name);
    for (const std::string& alias : option.aliases) {
      if (alias.size() > 1) consider(alias, option.name);
    }
  }
  return best;
}

}  // namespace emu::cli
