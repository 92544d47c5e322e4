// SPDX-License-Identifier: Apache-2.0
// `emu doctor`: its table, its JSON, its exit status.
#include "cli/doctor/doctor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "machine/engine_report.h"

namespace emu::cli {
namespace {

using State = HostCheck::State;

TEST(Doctor, LooksAtEverythingAGuestNeeds) {
  const auto checks = check_host();
  for (const char* name :
       {"kvm", "translator", "processor", "memory", "firmware", "display", "sound", "tap"}) {
    const auto found = std::ranges::find(checks, name, &HostCheck::name);
    ASSERT_NE(found, checks.end()) << name;
    EXPECT_FALSE(found->text.empty()) << name;
    EXPECT_EQ(found->state == State::kProblem, !found->fix.empty()) << name;
  }
}

TEST(Doctor, SaysWhyProgramsDoNotRunNatively) {
  const EngineReport report = inspect_engines();
  if (!report.translator_missing.empty()) GTEST_SKIP() << report.translator_missing;
  const auto checks = check_host();
  const auto found = std::ranges::find(checks, "translator", &HostCheck::name);
  ASSERT_NE(found, checks.end());
  const std::string wanted =
      report.native_user_missing.empty() ? "at the host's speed" : report.native_user_missing;
  EXPECT_NE(found->text.find(wanted), std::string::npos) << found->text;
}

TEST(Doctor, SaysWhetherAllIsWell) {
  const std::vector<HostCheck> well{{"a", State::kOk, "fine", ""}, {"b", State::kOff, "none", ""}};
  const std::vector<HostCheck> ill{{"a", State::kProblem, "broken", "mend it"}};
  EXPECT_NE(describe_checks(well, false).find("all is well"), std::string::npos);
  EXPECT_NE(describe_checks(ill, false).find("-> mend it"), std::string::npos);
  EXPECT_EQ(describe_checks(ill, false).find("all is well"), std::string::npos);
}

TEST(Doctor, TheJsonHasTheSame) {
  const std::vector<HostCheck> checks{{"kvm", State::kProblem, "a \"quoted\" reason", "mend it"}};
  const auto json = nlohmann::json::parse(describe_checks(checks, true));
  EXPECT_EQ(json["ok"], false);
  EXPECT_EQ(json["checks"][0]["name"], "kvm");
  EXPECT_EQ(json["checks"][0]["state"], "problem");
  EXPECT_EQ(json["checks"][0]["text"], "a \"quoted\" reason");
  EXPECT_EQ(json["checks"][0]["fix"], "mend it");
}

TEST(Doctor, RefusesWhatItDoesNotKnow) {
  EXPECT_EQ(run_doctor(std::vector<std::string>{"--yaml"}), 2);
}

}  // namespace
}  // namespace emu::cli
