// SPDX-License-Identifier: Apache-2.0
#include "machine/engine_choice.h"

namespace emu {
namespace {

std::string capitalized(std::string text) {
  if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') {
    text[0] = static_cast<char>(text[0] - 'a' + 'A');
  }
  return text;
}

std::string translator_because(const std::string& reason, const std::string& fix) {
  std::string line = "translator. " + capitalized(reason);
  if (!fix.empty()) line += ": " + fix;
  return line + ".";
}

Result<std::string> use_translator(const EngineMakers& makers, std::string line) {
  EMU_TRY(makers.tcg());
  return line;
}

// KVM was asked for by name: nothing is measured before it is tried.
Result<std::string> use_kvm(const EngineMakers& makers) {
  EMU_TRY(makers.kvm());
  return std::string("kvm, as asked.");
}

}  // namespace

Result<std::string> choose_engine(EngineChoice choice, const EngineMakers& makers) {
  switch (choice) {
    case EngineChoice::kTcg:
      return use_translator(makers, "translator, as asked.");
    case EngineChoice::kKvm:
      return use_kvm(makers);
    case EngineChoice::kKvmOrTcg: {
      auto line = use_kvm(makers);
      if (line) return line;
      return use_translator(makers, translator_because(line.error().message, ""));
    }
    case EngineChoice::kAuto:
      break;
  }
  const KvmVerdict verdict = makers.probe();
  if (!verdict.usable()) {
    return use_translator(makers, translator_because(verdict.reason, verdict.fix));
  }
  if (const auto made = makers.kvm(); !made) {
    return use_translator(makers, translator_because(made.error().message, ""));
  }
  return std::string("kvm.");
}

}  // namespace emu
