// SPDX-License-Identifier: Apache-2.0
// `emu img` against Debian's qemu-img: what one makes the other reads, and both say the same.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "cli/img/commands.h"

namespace emu::cli::img {
namespace {

using Json = nlohmann::json;

struct Outcome {
  int status = 0;
  std::string text;
};

Outcome shell(const std::string& command) {
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  Outcome o;
  char buffer[4096];
  while (const std::size_t n = std::fread(buffer, 1, sizeof buffer, pipe)) o.text.append(buffer, n);
  const int status = ::pclose(pipe);
  o.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
  return o;
}

// A folder with a half-compressible disk `src.raw` in it; commands run there.
class Img : public ::testing::Test {
 protected:
  void SetUp() override {
    if (shell("qemu-img --version").status != 0) GTEST_SKIP() << "needs qemu-img (qemu-utils)";
    std::error_code missing;
    std::string name = std::filesystem::is_directory("/dev/shm", missing) ? "/dev/shm" : "/tmp";
    name += "/emu-img-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    dir_ = name;
    std::mt19937 random(5);
    std::string bytes(6 << 20, '\0');
    for (std::size_t at = 0; at + 70000 < bytes.size(); at += 1 + random() % 400000) {
      const std::size_t length = 1 + random() % 60000;
      const bool text = random() % 2 == 0;
      for (std::size_t i = 0; i < length; ++i)
        bytes[at + i] = static_cast<char>(text ? "emu img "[i % 8] : random());
    }
    std::ofstream(file("src.raw"), std::ios::binary) << bytes;
  }
  void TearDown() override {
    std::error_code ignored;
    if (!dir_.empty()) std::filesystem::remove_all(dir_, ignored);
  }
  [[nodiscard]] std::string file(const std::string& name) const { return dir_ + "/" + name; }

  // Runs `emu img LINE` in this process; names with a dot in them are files of the folder.
  Outcome emu(const std::string& line) {
    std::vector<std::string> words;
    std::istringstream in(line);
    for (std::string word; in >> word;) {
      if (word == "''") word.clear();
      const bool is_file = word.find('.') != std::string::npos && word[0] != '-' &&
                           word.find('=') == std::string::npos && word[0] != '@';
      if (!word.empty() && word[0] == '@') word.erase(0, 1);
      words.push_back(is_file ? file(word) : word);
    }
    ::testing::internal::CaptureStdout();
    Outcome o;
    o.status = run_img(words);
    std::fflush(stdout);
    o.text = ::testing::internal::GetCapturedStdout();
    return o;
  }
  Outcome qemu(const std::string& line) { return shell("cd " + dir_ + " && qemu-img " + line); }
  void ok(const std::string& line) { EXPECT_EQ(emu(line).status, 0) << line; }
  void qemu_ok(const std::string& line) {
    const Outcome o = qemu(line);
    EXPECT_EQ(o.status, 0) << line << "\n" << o.text;
  }
  void expect_same_json(const std::string& line, const std::string& name) {
    Json ours = Json::parse(emu(line + " --json " + name).text);
    Json theirs = Json::parse(qemu(line + " --output=json " + file(name)).text);
    if (theirs.is_object()) theirs.erase("children");
    if (ours.is_object()) ours.erase("problems");
    EXPECT_EQ(ours, theirs) << line;
  }
  std::string dir_;
};

class ImgOptions : public Img, public ::testing::WithParamInterface<const char*> {};

TEST_P(ImgOptions, ConvertedImagesAreEqualInBothDirections) {
  const std::string options = GetParam();
  ok("convert -O qcow2 " + options + " src.raw ours.qcow2");
  qemu_ok("check -q ours.qcow2");
  qemu_ok("compare -q src.raw ours.qcow2");
  expect_same_json("info", "ours.qcow2");
  qemu_ok("convert -O qcow2 " + options + " src.raw theirs.qcow2");
  ok("compare -q src.raw theirs.qcow2");
  ok("compare -q -s ours.qcow2 theirs.qcow2");
  expect_same_json("check", "theirs.qcow2");
  ok("convert -f qcow2 theirs.qcow2 back.raw");
  qemu_ok("compare -q -f raw -F raw src.raw back.raw");
}

INSTANTIATE_TEST_SUITE_P(
    Options, ImgOptions,
    ::testing::Values("", "-c", "-o compat=0.10", "-c -o compat=0.10", "-S 0",
                      "-o cluster_size=512,refcount_bits=64",
                      "-c -o cluster_size=4k,refcount_bits=1",
                      "-c -o compression_type=zstd,cluster_size=2M", "-o extended_l2=on",
                      "-c -o extended_l2=on,cluster_size=16k", "-o preallocation=metadata",
                      "-o preallocation=full,lazy_refcounts=on", "-o preallocation=falloc"));

TEST_F(Img, CreatedImagesAreWhatQemuMakes) {
  for (const char* options :
       {"", "-o cluster_size=512", "-o compat=0.10", "-o extended_l2=on,cluster_size=1M",
        "-o compression_type=zstd,refcount_bits=2,lazy_refcounts=on"}) {
    ok(fmt::format("create -q -f qcow2 {} new.qcow2 100000k", options));
    qemu_ok("check -q new.qcow2");
    qemu_ok(fmt::format("create -q -f qcow2 {} theirs.qcow2 100000k", options));
    Json ours = Json::parse(qemu("info --output=json new.qcow2").text);
    Json theirs = Json::parse(qemu("info --output=json theirs.qcow2").text);
    for (const char* key : {"virtual-size", "cluster-size", "format", "format-specific"})
      EXPECT_EQ(ours[key], theirs[key]) << options;
    EXPECT_EQ(Json::parse(emu(fmt::format("measure --json -O qcow2 {} --size 3G", options)).text),
              Json::parse(
                  qemu(fmt::format("measure --output=json -O qcow2 {} --size 3G", options)).text));
    EXPECT_EQ(
        Json::parse(emu(fmt::format("measure --json -O qcow2 {} src.raw", options)).text),
        Json::parse(qemu(fmt::format("measure --output=json -O qcow2 {} src.raw", options)).text));
  }
  ok("create -q new.raw 5M");
  EXPECT_EQ(std::filesystem::file_size(file("new.raw")), 5u << 20);
}

TEST_F(Img, EveryFormatIsConvertedToEveryOther) {
  const std::vector<std::string> formats{"raw", "qcow2", "vmdk", "vdi", "vpc", "vhdx"};
  for (const std::string& from : formats) {
    ok(fmt::format("convert -O {} src.raw from.{}", from, from));
    for (const std::string& to : formats) {
      ok(fmt::format("convert -f {} -O {} from.{} to.{}", from, to, from, to));
      qemu_ok(fmt::format("compare -q -f raw -F {} src.raw to.{}", to, to));
    }
  }
  ok("convert -O vmdk -o subformat=streamOptimized src.raw stream.vmdk");
  qemu_ok("compare -q src.raw stream.vmdk");
}

TEST_F(Img, MistakesAreRefusedWithASentence) {
  EXPECT_EQ(emu("create -f qcow2 a.img").status, 1);
  EXPECT_EQ(emu("create -f qcow2 a.img @1.5X").status, 1);
  EXPECT_EQ(emu("create -f qcow2 -o cluster_size=3k a.img 1M").status, 1);
  EXPECT_EQ(emu("create -f qcow2 -o no_such=1 a.img 1M").status, 1);
  EXPECT_EQ(emu("create -f qcow2 -b missing.img -F raw a.img").status, 1);
  EXPECT_EQ(emu("convert -O nonsense src.raw a.img").status, 1);
  EXPECT_EQ(emu("convert src.raw src.raw").status, 1);
  EXPECT_EQ(emu("resize src.raw 1M").status, 1);
  EXPECT_EQ(emu("info missing.img").status, 1);
  EXPECT_EQ(emu("frobnicate").status, 1);
}

TEST_F(Img, AnOverlayIsComparedCommittedAndRebased) {
  qemu_ok("convert -O qcow2 src.raw base.qcow2");
  ok("create -q -f qcow2 -b @base.qcow2 -F qcow2 top.qcow2");
  qemu_ok("info top.qcow2");
  shell("cd " + dir_ + " && qemu-io -c 'write -P 9 1M 300k' -c 'write -z 3M 1M' top.qcow2");
  EXPECT_EQ(emu("compare -q top.qcow2 base.qcow2").status, 1);
  qemu_ok("convert top.qcow2 expected.raw");
  ok("compare -q top.qcow2 expected.raw");
  expect_same_json("info --backing-chain", "top.qcow2");

  // Another base, then none at all.
  ok("create -q -f qcow2 other.qcow2 4M");
  ok("rebase -b @other.qcow2 -F qcow2 top.qcow2");
  qemu_ok("compare -q top.qcow2 expected.raw");
  ok("rebase -b '' top.qcow2");
  qemu_ok("compare -q top.qcow2 expected.raw");
  qemu_ok("check -q top.qcow2");
  ok("rebase -u -b @base.qcow2 -F qcow2 top.qcow2");
  ok("commit -q top.qcow2");
  qemu_ok("check -q base.qcow2");
  qemu_ok("check -q top.qcow2");
  qemu_ok("compare -q base.qcow2 expected.raw");
  qemu_ok("compare -q top.qcow2 expected.raw");
  EXPECT_LT(Json::parse(emu("check --json top.qcow2").text)["allocated-clusters"], 1);
}

TEST_F(Img, SnapshotsAreMadeAppliedAndDeleted) {
  for (const char* options :
       {"-o cluster_size=4k", "", "-c", "-o compat=0.10", "-o extended_l2=on"}) {
    std::filesystem::remove(file("disk.qcow2"));
    qemu_ok(fmt::format("convert -O qcow2 {} src.raw disk.qcow2", options));
    ok("snapshot -c first disk.qcow2");
    qemu_ok("check -q disk.qcow2");
    shell("cd " + dir_ + " && qemu-io -c 'write -P 3 2M 1M' -c 'discard 4M 1M' disk.qcow2");
    ok("snapshot -c second disk.qcow2");
    qemu_ok("snapshot -c third disk.qcow2");
    shell("cd " + dir_ + " && qemu-io -c 'write -P 4 0 2M' disk.qcow2");
    qemu_ok("check -q disk.qcow2");
    qemu_ok("convert -l second disk.qcow2 second.raw");
    ok("convert -l second disk.qcow2 ours.raw");
    ok("compare -q second.raw ours.raw");
    ok("snapshot -a first disk.qcow2");
    qemu_ok("compare -q disk.qcow2 src.raw");
    qemu_ok("check -q disk.qcow2");
    ok("snapshot -d first disk.qcow2");
    qemu_ok("check -q disk.qcow2");
    qemu_ok("compare -q disk.qcow2 src.raw");
    qemu_ok("snapshot -a second disk.qcow2");
    qemu_ok("compare -q disk.qcow2 second.raw");
    ok("snapshot -d @2 disk.qcow2");
    ok("snapshot -d third disk.qcow2");
    qemu_ok("check -q disk.qcow2");
    qemu_ok("compare -q disk.qcow2 second.raw");
    EXPECT_EQ(Json::parse(emu("snapshot --json disk.qcow2").text), Json::array());
  }
}

TEST_F(Img, DisksAreResized) {
  for (const char* options :
       {"-o cluster_size=512", "-o compat=0.10", "", "-o extended_l2=on", "-c"}) {
    std::filesystem::remove(file("disk.qcow2"));
    qemu_ok(fmt::format("convert -O qcow2 {} src.raw disk.qcow2", options));
    ok("resize -q disk.qcow2 +70M");
    qemu_ok("check -q disk.qcow2");
    ok("compare -q disk.qcow2 src.raw");
    ok("resize -q --shrink disk.qcow2 @3000000");
    qemu_ok("check -q disk.qcow2");
    ok("resize -q disk.qcow2 6M");
    shell("cd " + dir_ +
          " && cp src.raw cut.raw && truncate -s 3000320 cut.raw && "
          "truncate -s 6M cut.raw");
    qemu_ok("compare -q disk.qcow2 cut.raw");
    qemu_ok("check -q disk.qcow2");
  }
  ok("resize -q src.raw +1M");
  EXPECT_EQ(std::filesystem::file_size(file("src.raw")), 7u << 20);
}

TEST_F(Img, GrowingAnOverlayDoesNotShowItsLargerBase) {
  qemu_ok("create -q -f qcow2 -b src.raw -F raw top.qcow2 1M");
  ok("resize -q top.qcow2 5M");
  EXPECT_EQ(
      shell("cd " + dir_ + " && qemu-io -c 'read -P 0 1M 4M' top.qcow2 | grep -c 'failed'").text,
      "0\n");
}

TEST_F(Img, DamageIsFoundAndRepaired) {
  qemu_ok("convert -O qcow2 src.raw disk.qcow2");
  // A count that is too high, and one that is too low (the refcount block is cluster 2).
  std::fstream io(file("disk.qcow2"), std::ios::in | std::ios::out | std::ios::binary);
  const char counts[] = {0, 7, 0, 0};
  io.seekp(2 * 65536 + 10 * 2);
  io.write(counts, sizeof counts);
  io.close();
  EXPECT_EQ(emu("check -q disk.qcow2").status, 2);
  EXPECT_EQ(qemu("check -q disk.qcow2").status, 2);
  ok("check -q -r all disk.qcow2");
  qemu_ok("check -q disk.qcow2");
  ok("compare -q disk.qcow2 src.raw");
}

TEST_F(Img, MapNamesTheLayerThatStoresEachStretch) {
  qemu_ok("create -q -f qcow2 base.qcow2 4M");
  shell("cd " + dir_ + " && qemu-io -c 'write -P 1 0 1M' -c 'write -P 1 3M 64k' base.qcow2");
  qemu_ok("create -q -f qcow2 -b base.qcow2 -F qcow2 top.qcow2");
  shell("cd " + dir_ + " && qemu-io -c 'write -P 2 512k 64k' -c 'write -z 3M 64k' top.qcow2");
  expect_same_json("map", "top.qcow2");
  expect_same_json("map", "base.qcow2");
}

TEST_F(Img, BitmapsAreMadeShownAndCopied) {
  qemu_ok("create -q -f qcow2 disk.qcow2 4M");
  ok("bitmap --add disk.qcow2 a");
  ok("bitmap --add --disable -g 64k disk.qcow2 b");
  shell("cd " + dir_ + " && qemu-io -c 'write 1M 100k' disk.qcow2");
  ok("bitmap --merge a --enable disk.qcow2 b");
  expect_same_json("info", "disk.qcow2");
  ok("convert -O qcow2 --bitmaps disk.qcow2 copy.qcow2");
  qemu_ok("check -q copy.qcow2");
  qemu_ok("convert -O qcow2 --bitmaps disk.qcow2 theirs.qcow2");
  EXPECT_EQ(Json::parse(emu("info --json copy.qcow2").text)["format-specific"],
            Json::parse(emu("info --json theirs.qcow2").text)["format-specific"]);
  ok("bitmap --clear disk.qcow2 b");
  ok("bitmap --remove disk.qcow2 a");
  EXPECT_EQ(emu("bitmap --remove disk.qcow2 a").status, 1);
  EXPECT_EQ(emu("bitmap disk.qcow2 a").status, 1);
  qemu_ok("bitmap --remove disk.qcow2 b");
  qemu_ok("check -q disk.qcow2");
}

TEST_F(Img, PartsOfADiskAreListedAndCopied) {
  qemu_ok("convert -O qcow2 src.raw disk.qcow2");
  expect_same_json("map -s 1M -l 3M", "disk.qcow2");
  expect_same_json("map --start-offset=5M --max-length=3M", "disk.qcow2");
  for (const char* part : {"bs=64k count=7", "bs=1000 skip=17", "bs=1M count=9", "skip=99999"}) {
    ok(std::string("dd ") + part + " if=" + file("disk.qcow2") + " of=" + file("ours.raw"));
    qemu_ok(std::string("dd ") + part + " if=disk.qcow2 of=theirs.raw");
    EXPECT_EQ(shell("cd " + dir_ + " && cmp ours.raw theirs.raw").text, "") << part;
  }
  EXPECT_EQ(emu("dd of=" + file("ours.raw")).status, 1);
  EXPECT_EQ(emu("compare src.raw nothing.raw").status, 2);
}

}  // namespace
}  // namespace emu::cli::img
