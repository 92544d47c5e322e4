// SPDX-License-Identifier: Apache-2.0
// --accel against what the host has: who is tried, in which order, and what the user is told.
#include "machine/engine_choice.h"

#include <gtest/gtest.h>

namespace emu {
namespace {

// Makers that note who was asked.
struct Host {
  KvmVerdict verdict;
  std::string kvm_error, tcg_error;
  std::string tried;

  Result<std::string> choose(EngineChoice choice) {
    EngineMakers makers;
    makers.probe = [this] {
      tried += "probe ";
      return verdict;
    };
    makers.kvm = [this]() -> Result<void> {
      tried += "kvm ";
      if (!kvm_error.empty()) return fail("{}", kvm_error);
      return {};
    };
    makers.tcg = [this]() -> Result<void> {
      tried += "tcg ";
      if (!tcg_error.empty()) return fail("{}", tcg_error);
      return {};
    };
    return choose_engine(choice, makers);
  }
};

TEST(EngineChoice, AutoTakesAUsableKvm) {
  Host host;
  EXPECT_EQ(*host.choose(EngineChoice::kAuto), "kvm.");
  EXPECT_EQ(host.tried, "probe kvm ");
}

TEST(EngineChoice, AutoSaysWhyItTranslatesAndWhatToDo) {
  Host host;
  host.verdict = {KvmState::kNoPermission, "/dev/kvm exists but you may not open it",
                  "sudo usermod -aG kvm $USER, then log in again"};
  EXPECT_EQ(*host.choose(EngineChoice::kAuto),
            "translator. /dev/kvm exists but you may not open it: sudo usermod -aG kvm $USER, then "
            "log in again.");
  EXPECT_EQ(host.tried, "probe tcg ");
}

TEST(EngineChoice, AutoFallsBackIfKvmFailsAfterAll) {
  Host host;
  host.kvm_error = "this host's KVM runs 4 processors at most";
  EXPECT_EQ(*host.choose(EngineChoice::kAuto),
            "translator. This host's KVM runs 4 processors at most.");
}

TEST(EngineChoice, KvmNeverFallsBackAndIsNotProbed) {
  Host host;
  host.kvm_error = "no";
  const auto line = host.choose(EngineChoice::kKvm);
  ASSERT_FALSE(line);
  EXPECT_EQ(line.error().message, "no");
  EXPECT_EQ(host.tried, "kvm ");
}

TEST(EngineChoice, KvmThenTcgTriesBothInOrder) {
  Host host;
  EXPECT_EQ(*host.choose(EngineChoice::kKvmOrTcg), "kvm, as asked.");
  host.kvm_error = "no";
  host.tried.clear();
  EXPECT_EQ(*host.choose(EngineChoice::kKvmOrTcg), "translator. No.");
  EXPECT_EQ(host.tried, "kvm tcg ");
}

TEST(EngineChoice, TheTranslatorIsTakenWithoutALookAtKvm) {
  Host host;
  EXPECT_EQ(*host.choose(EngineChoice::kTcg), "translator, as asked.");
  EXPECT_EQ(host.tried, "tcg ");
  host.tcg_error = "needs BMI2";
  EXPECT_FALSE(host.choose(EngineChoice::kTcg));
}

}  // namespace
}  // namespace emu
