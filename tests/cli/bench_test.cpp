// SPDX-License-Identifier: Apache-2.0
// `emu bench`: what the guest's words become, statistics, table, JSON, HTML, options; and one short
// comparison of everything that this host has.
#include "cli/bench/bench.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "cli/bench/boot.h"
#include "cli/bench/boot_marks.h"
#include "cli/bench/built_in.h"
#include "cli/bench/child.h"
#include "cli/bench/results.h"

namespace emu::cli::bench {
namespace {

void say(GuestReport& report, std::string_view text, i64 at_ns) {
  report.feed({reinterpret_cast<const u8*>(text.data()), text.size()}, at_ns);
}

TEST(BenchReport, WorkIsTimedBetweenItsMarks) {
  GuestReport report;
  say(report, "hello\ncall 0\nC 0 cd88b6c1\n", 1000);
  say(report, "B\n", 5000);
  say(report, "E", 9000);
  say(report, " 0 10\nbye\n", 20000);
  EXPECT_EQ(report.first_byte_ns(), 1000);
  EXPECT_TRUE(report.finished());
  EXPECT_FALSE(report.without_syscall());
  EXPECT_EQ(report.work()[kInteger].checksum, 0xcd88b6c1u);
  EXPECT_EQ(report.work()[kInteger].runs, 16u);
  EXPECT_EQ(report.work()[kInteger].took_ns, 4000);
  EXPECT_EQ(report.work()[kCalls].runs, 0u);
}

TEST(BenchReport, MarksThatCameTogetherSayNothing) {
  GuestReport report;
  say(report, "B\nE 0 10\n", 5000);
  EXPECT_EQ(report.work()[kInteger].runs, 0u);
}

TEST(BenchReport, NoWordsOfAGuestDoHarm) {
  GuestReport report;
  for (const char* line :
       {"E 0 10", "E 99 1", "E", "B", "E 0", "E 0 0", "E 0 x", "C 7fffffffffff 1", "fault",
        "fault zz", "", " ", "E  1", "B B", "call"}) {
    say(report, line, 5);
    say(report, "\n", 6);
  }
  say(report, std::string(100'000, 'E') + "\n", 7);
  for (const WorkReport& work : report.work()) EXPECT_EQ(work.runs, 0u);
  EXPECT_FALSE(report.finished());
}

TEST(BenchReport, AFaultOfTheGuestIsTold) {
  GuestReport report;
  say(report, "hello\nfault 000000000000000d 0000000000000010 0000000001000123 0\n", 5);
  const GuestRun run = read_report(report, 1);
  EXPECT_NE(run.error.find("exception 13 (error 0x10) at 0x1000123"), std::string::npos)
      << run.error;
}

TEST(BenchReport, RunsCrossAPipe) {
  GuestRun run;
  run.values = {{"integer", 1.5}};
  run.checksums = {{"integer", ~u64{0}}};
  run.without_syscall = true;
  run.error = "no /dev/kvm";
  const GuestRun back = unpack(pack(run));
  EXPECT_EQ(back.values, run.values);
  EXPECT_EQ(back.checksums, run.checksums);
  EXPECT_TRUE(back.without_syscall);
  EXPECT_EQ(back.error, "no /dev/kvm");
  EXPECT_FALSE(unpack("").error.empty());
  EXPECT_FALSE(unpack("{\"values\":").error.empty());
}

TEST(BenchReport, CountersBecomeEventsPerSecond) {
  std::map<std::string, double> values;
  add_counters("entries 100\nexits_io 40\ntranslated_bytes 2048\n  link 3\nodd\n", 2, values);
  EXPECT_EQ(values, (std::map<std::string, double>{
                        {"exits-all", 50}, {"exits-io", 20}, {"translated", 2}}));
}

TEST(BenchReport, TimesBecomeRates) {
  GuestRun run;
  run.values = {{"integer", 1000}, {"latency", 4096 * 5}, {"bandwidth", 1 << 20}};
  std::array<u64, kWorkCount> counts{};
  counts[kInteger] = 3000;
  const auto values = in_units(run, counts);
  EXPECT_DOUBLE_EQ(values.at("integer"), 3000);  // MIPS: 3000 instructions in 1000 ns
  EXPECT_DOUBLE_EQ(values.at("latency"), 5);
  EXPECT_DOUBLE_EQ(values.at("bandwidth"), 1);
}

TEST(BenchStatistics, MedianAndHalfOfTheRange) {
  EXPECT_DOUBLE_EQ(summarize({3, 1, 2}).median, 2);
  EXPECT_DOUBLE_EQ(summarize({3, 1, 2}).spread, 0.5);
  EXPECT_DOUBLE_EQ(summarize({4, 1, 2, 3}).median, 2.5);
  EXPECT_DOUBLE_EQ(summarize({7}).spread, 0);
  EXPECT_DOUBLE_EQ(summarize({0, 0}).spread, 0);
}

TEST(BenchStatistics, NumbersAreReadable) {
  EXPECT_EQ(number_text(1234567.8), "1,234,568");
  EXPECT_EQ(number_text(999), "999");
  EXPECT_EQ(number_text(12.34), "12.3");
  EXPECT_EQ(number_text(1.234), "1.23");
  EXPECT_EQ(number_text(3), "3");
  EXPECT_EQ(number_text(0), "0");
}

Results example() {
  Results r;
  r.subject = "a <b> \"disk\"";
  r.host = "a host";
  r.repeats = 3;
  r.host_cpus = 2;
  r.metrics = {{"work", "work", "MIPS", true},
               {"wait", "wait", "ms", false, Metric::Group::kTime},
               {"memory", "memory", "MiB", false, Metric::Group::kMachine}};
  r.columns = {{"native", "", {{"work", {100, 101, 99}}, {"wait", {10, 10, 10}}}, {{"work", 7}}},
               {"kvm", "cannot run: there is no /dev/kvm", {}, {}},
               {"translator",
                "",
                {{"work", {50, 50, 51}}, {"wait", {20, 20, 20}}, {"memory", {5}}},
                {{"work", 7}}}};
  return r;
}

TEST(BenchResults, AreComparedWithNative) {
  const Results r = example();
  EXPECT_EQ(reference_of(r)->name, "native");
  EXPECT_DOUBLE_EQ(times_slower(r, r.columns[2], r.metrics[0]), 2);  // more is better
  EXPECT_DOUBLE_EQ(times_slower(r, r.columns[2], r.metrics[1]), 2);  // less is better
  EXPECT_EQ(times_slower(r, r.columns[2], r.metrics[2]), 0);
  EXPECT_EQ(times_slower(r, r.columns[1], r.metrics[0]), 0);
  EXPECT_EQ(times_slower(r, r.columns[0], r.metrics[0]), 0);
}

TEST(BenchResults, ANoisyHostIsCalledNoisy) {
  Results r = example();
  EXPECT_FALSE(is_noisy(r));
  EXPECT_EQ(table_text(r).find("noisy"), std::string::npos);
  r.columns[0].samples = {{"work", {100, 140, 80}}, {"wait", {10, 14, 8}}};
  EXPECT_TRUE(is_noisy(r));
  EXPECT_NE(table_text(r).find("noisy host"), std::string::npos);
  r = example();
  r.load = 4;
  EXPECT_TRUE(is_noisy(r));
}

TEST(BenchResults, DifferentChecksumsAreWrong) {
  Results r = example();
  EXPECT_TRUE(wrong_work(r).empty());
  r.columns[2].checksums["work"] = 8;
  EXPECT_EQ(wrong_work(r), std::vector<std::string>{"work"});
  EXPECT_NE(table_text(r).find("WRONG"), std::string::npos);
}

TEST(BenchResults, TheTableSaysWhyAColumnIsEmpty) {
  const std::string table = table_text(example());
  EXPECT_NE(table.find("kvm: cannot run: there is no /dev/kvm\n"), std::string::npos) << table;
  EXPECT_NE(table.find("2x"), std::string::npos);
  EXPECT_EQ(table.find(" \n"), std::string::npos);
}

TEST(BenchResults, TheJsonHasTheSame) {
  const auto json = nlohmann::json::parse(json_text(example()));
  EXPECT_EQ(json["columns"][2]["name"], "translator");
  EXPECT_EQ(json["columns"][2]["results"]["work"]["median"], 50.0);
  EXPECT_EQ(json["columns"][2]["results"]["work"]["times_slower"], 2.0);
  EXPECT_EQ(json["columns"][2]["results"]["work"]["samples"].size(), 3u);
  EXPECT_EQ(json["columns"][1]["missing"], "cannot run: there is no /dev/kvm");
  EXPECT_EQ(json["noisy"], false);
}

TEST(BenchResults, ThePageStandsAlone) {
  const std::string page = html_text(example());
  EXPECT_NE(page.find("<svg"), std::string::npos);
  EXPECT_NE(page.find("prefers-color-scheme: dark"), std::string::npos);
  EXPECT_NE(page.find("a &lt;b&gt; &quot;disk&quot;"), std::string::npos);
  for (const char* word : {"http://", "https://", "src=", "href=", "<b>", "nan", "inf\""}) {
    EXPECT_EQ(page.find(word), std::string::npos) << word;
  }
  std::size_t opened = 0, closed = 0;
  for (std::size_t at = 0; (at = page.find("<svg", at)) != std::string::npos; ++at) ++opened;
  for (std::size_t at = 0; (at = page.find("</svg>", at)) != std::string::npos; ++at) ++closed;
  EXPECT_EQ(opened, closed);
}

TEST(BenchResults, NothingMeasuredIsNoPlotAndNoCrash) {
  Results r = example();
  for (Column& c : r.columns) {
    c.samples.clear();
    c.missing = "no";
  }
  r.load = 100;
  EXPECT_EQ(reference_of(r), nullptr);
  EXPECT_EQ(table_text(r).find("MIPS"), std::string::npos);
  EXPECT_EQ(table_text(r).find("noisy"), std::string::npos);
  EXPECT_FALSE(table_text(r).empty());
  EXPECT_FALSE(html_text(r).empty());
  EXPECT_TRUE(nlohmann::json::accept(json_text(r)));
}

TEST(BenchOptionsTest, OwnOptionsAndTheMachines) {
  const auto o = parse_bench_options(std::vector<std::string>{
      "--repeats=3", "-m", "1G", "--html", "a.html", "disk.qcow2", "--json", "--until", "ok"});
  ASSERT_TRUE(o);
  EXPECT_EQ(o->repeats, 3u);
  EXPECT_EQ(o->html, "a.html");
  EXPECT_EQ(o->until, "ok");
  EXPECT_TRUE(o->json);
  EXPECT_EQ(o->machine, (std::vector<std::string>{"-m", "1G", "disk.qcow2"}));
  EXPECT_TRUE(o->wants("kvm"));
  EXPECT_FALSE(o->wants("qemu"));
}

TEST(BenchOptionsTest, MistakesAreNamed) {
  for (const std::vector<std::string>& wrong :
       std::vector<std::vector<std::string>>{{"--repeats=0"},
                                             {"--repeats=x"},
                                             {"--repeats"},
                                             {"--engines=vax"},
                                             {"--engines="},
                                             {"--time-limit=-1"},
                                             {"--qemu", "disk.img"}}) {
    EXPECT_FALSE(parse_bench_options(wrong)) << wrong[0];
    EXPECT_EQ(run_bench(wrong), 2) << wrong[0];
  }
  EXPECT_EQ(run_bench(std::vector<std::string>{"--html", "/nonexistent/page.html"}), 1);
  const auto engines = parse_bench_options(std::vector<std::string>{"--engines=native,tcg"});
  ASSERT_TRUE(engines);
  EXPECT_TRUE(engines->wants("translator"));
  EXPECT_FALSE(engines->wants("kvm"));
}

TEST(BenchChild, ItsEndIsNoticed) {
  const auto well =
      run_in_child([] { return std::string(100'000, 'x'); }, std::chrono::seconds(60));
  ASSERT_TRUE(well);
  EXPECT_EQ(well->output.size(), 100'000u);
  EXPECT_GT(well->peak_mib, 0);
  const auto dead = run_in_child(
      []() -> std::string {
        ::raise(SIGKILL);
        return {};
      },
      std::chrono::seconds(60));
  EXPECT_NE(dead.error().message.find("signal 9"), std::string::npos);
  const auto slow = run_in_child(
      []() -> std::string {
        for (;;) ::pause();
      },
      std::chrono::seconds(1));
  EXPECT_NE(slow.error().message.find("within 1 s"), std::string::npos);
}

TEST(BenchBoot, MarksAreToldByTexts) {
  BootMarks marks("");
  marks.screen(" \n \n", 1);
  EXPECT_TRUE(marks.seen().empty());
  marks.more("debug", "Booting fr", 10);
  marks.more("serial", "Welcome to GRUB!", 11);  // between two halves on another stream
  marks.more("debug", "om 0000:7c00\n", 12);
  marks.screen("Linux version 6.1", 13);
  EXPECT_FALSE(marks.finished());
  marks.more("serial", "\ndebian login: ", 14);
  marks.more("serial", "\ndebian login: ", 15);
  EXPECT_TRUE(marks.finished());
  const std::map<std::string, i64> expected{
      {"first-output", 10}, {"firmware", 12}, {"kernel", 13}, {"user-space", 14}};
  EXPECT_EQ(marks.seen(), expected);
}

TEST(BenchBoot, UserSpaceIsWhatOneSays) {
  BootMarks marks("ready.");
  marks.more("serial", std::string(100'000, 'x') + " login:", 1);
  EXPECT_FALSE(marks.finished());
  marks.more("serial", "read", 2);
  marks.more("serial", "y.", 3);
  EXPECT_TRUE(marks.finished());
}

TEST(BenchBoot, DisksAreNeverChangedAndNothingIsShown) {
  BenchOptions options;
  options.machine = {"-m", "64", "--vnc", ":7", "-serial", "stdio", "disk.img"};
  const auto config = machine_to_compare(options);
  ASSERT_TRUE(config);
  ASSERT_EQ(config->drives.size(), 1u);
  EXPECT_TRUE(config->drives[0].snapshot);
  EXPECT_EQ(config->display, DisplayKind::kNone);
  EXPECT_EQ(config->serial.kind, SerialKind::kNone);
  EXPECT_TRUE(config->vnc.empty());
  for (const std::vector<std::string>& wrong : std::vector<std::vector<std::string>>{
           {"-m", "64"}, {"--help"}, {"--no-such-option", "disk.img"}}) {
    options.machine = wrong;
    EXPECT_FALSE(machine_to_compare(options)) << wrong[0];
  }
}

// A guest that ends at once, with and without the words that were waited for.
TEST(BenchBoot, AnEngineThatDoesNotGetThereSaysWhy) {
  BenchOptions options;
  options.repeats = 1;
  options.engines = {"translator"};
  MachineConfig config;
  config.linux_boot.kernel = "/nonexistent/kernel";
  const Results r = compare_boots(options, config);
  ASSERT_EQ(r.columns.size(), 1u);
  EXPECT_NE(r.columns[0].missing.find("/nonexistent/kernel"), std::string::npos);
  EXPECT_NE(table_text(r).find("translator: cannot run"), std::string::npos);
}

// The whole thing, short: every column runs or says why not, and all compute the same.
TEST(Bench, TheBuiltInGuestRunsUnderWhatIsHere) {
  BenchOptions options;
  options.repeats = 1;
  options.work_ms = 1;
  const Results r = compare_built_in(options);
  EXPECT_TRUE(wrong_work(r).empty()) << table_text(r);
  for (const Column& c : r.columns) {
    if (c.name == "kvm" && !c.missing.empty()) continue;  // what this host has
    EXPECT_EQ(c.missing, "") << c.name;
    for (unsigned w = 0; w < kWorkCount; ++w) {
      EXPECT_TRUE(c.samples.contains(work_id(w))) << c.name << " " << work_id(w);
    }
    EXPECT_EQ(c.checksums.size(), std::size_t{kWorkCount}) << c.name;
  }
}

}  // namespace
}  // namespace emu::cli::bench
