// SPDX-License-Identifier: Apache-2.0
// Every operand form of every mnemonic this host has, with random operands and states: the
// translation must leave what the original leaves. EMU_INSTRUCTION_RUNS sets the instances a form
// (default 6), EMU_INSTRUCTION_SEED the seed, EMU_INSTRUCTION_ONLY a substring of the forms to run,
// EMU_INSTRUCTION_TABLE a file for the coverage table.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <set>

#include "frontend/host_features.h"
#include "instruction_forms.h"
#include "instruction_host_unsafe.h"
#include "instruction_state.h"

namespace emu::instruction_test {
namespace {

u64 environment_number(const char* name, u64 otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 0) : otherwise;
}

std::string environment_text(const char* name) {
  const char* text = std::getenv(name);
  return text != nullptr ? text : "";
}

// Why a form is not compared with the host; empty if it is.
std::string exclusion(const GuestInstruction& g) {
  switch (g.kind) {
    case InstructionClass::kSystem:
      return "system operation in C++: tested by small guests";
    case InstructionClass::kControl:
      return "control transfer: tested by small guests";
    case InstructionClass::kInvalid:
      return "raises #UD: not available on this host or never offered";
    default:
      break;
  }
  switch (g.info.mnemonic) {
    case ZYDIS_MNEMONIC_SWAPGS:
    case ZYDIS_MNEMONIC_CLI:
    case ZYDIS_MNEMONIC_PUSHFQ:
      return "system state that the test process does not have: tested by small guests";
    case ZYDIS_MNEMONIC_RDRAND:
    case ZYDIS_MNEMONIC_RDSEED:
      return "result differs from run to run";
    default:
      return "";
  }
}

// With an empty mask a fault is implementation-specific (SDM vol. 2 MASKMOVDQU).
bool is_mask_move(ZydisMnemonic mnemonic) {
  return mnemonic == ZYDIS_MNEMONIC_MASKMOVQ || mnemonic == ZYDIS_MNEMONIC_MASKMOVDQU ||
         mnemonic == ZYDIS_MNEMONIC_VMASKMOVDQU;
}

struct Row {
  unsigned forms = 0, passed = 0, failed = 0;
  std::set<std::string> excluded;
};

class InstructionTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { host_ = std::make_unique<Host>(); }
  static void TearDownTestSuite() { host_.reset(); }

  void run_forms(bool code64) {
    runs_ = environment_number("EMU_INSTRUCTION_RUNS", 6);
    const u64 seed = environment_number("EMU_INSTRUCTION_SEED", 1);
    const std::string only = environment_text("EMU_INSTRUCTION_ONLY");
    code64_ = code64;
    mode_ = test_mode(code64);
    for (const auto& [name, form] : find_forms(code64)) {
      if (name.find(only) == std::string::npos) continue;
      Row& row = rows_[form.mnemonic];
      ++row.forms;
      const std::string why = exclusion(decode(form.encodings[0], kNativeCode, mode_));
      if (!why.empty()) {
        row.excluded.insert(why);
        continue;
      }
      random_.seed(seed ^ std::hash<std::string>{}(name));
      if (run_form(name, form)) {
        ++row.passed;
      } else {
        ++row.failed;
      }
    }
    write_table();
  }

 private:
  bool run_form(const std::string& name, const Form& form) {
    for (u64 i = 0; i < runs_; ++i) {
      const auto& encoding = form.encodings[i % form.encodings.size()];
      std::vector<u8> bytes = vary(encoding, name, kNativeCode, mode_, random_);
      const Variant variant = kVariants[i % std::size(kVariants)];
      if (!run_instance(name, bytes, variant)) return false;
    }
    return true;
  }

  bool run_instance(const std::string& name, std::vector<u8> bytes, Variant variant) {
    const bool fault = variant == Variant::kFault;
    GuestInstruction g = decode(bytes, kNativeCode, mode_);
    if (!randomize(bytes, g, code64_, fault, random_, before_)) return true;
    g = decode(bytes, kNativeCode, mode_);
    native_ = before_;
    host_->run_native(bytes, code64_, native_);
    if (fault && native_.outcome != 14) return true;  // another fault came first
    if (fault && is_mask_move(g.info.mnemonic)) return true;
    emitted_ = before_;
    host_->run_emitted(bytes, mode_, variant, emitted_);
    if (is_tie(g)) return true;
    const std::string differences = compare(g, code64_, native_, emitted_);
    if (differences.empty()) return true;
    report(name, bytes, variant, differences);
    return false;
  }

  // Two faults at once, and ours is the page fault that the host looks at later: a misaligned
  // operand that is not mapped either, and x87 stores that an unmasked exception suppresses.
  [[nodiscard]] bool is_tie(const GuestInstruction& g) const {
    if (emitted_.outcome != 14) return false;
    return native_.outcome == 13 ||
           (native_.outcome == kContinued && g.info.meta.isa_ext == ZYDIS_ISA_EXT_X87);
  }

  void report(const std::string& name, const std::vector<u8>& bytes, Variant variant,
              const std::string& differences) {
    std::string text;
    for (const u8 b : bytes) text += fmt::format("{:02x} ", b);
    std::string listing;
    const std::vector<u8>& code = host_->last_block().code;
    for (std::size_t at = 0; at < code.size();) {
      ZydisDisassembledInstruction d;
      if (!ZYAN_SUCCESS(ZydisDisassembleIntel(ZYDIS_MACHINE_MODE_LONG_64, kEmitted + at, &code[at],
                                              code.size() - at, &d))) {
        break;
      }
      listing += fmt::format("    {:#x} {}\n", kEmitted + at, d.text);
      at += d.info.length;
    }
    ADD_FAILURE() << name << ": " << text << " " << disassemble(bytes, kNativeCode, code64_)
                  << (code64_ ? " (64-bit" : " (32-bit") << ", variant "
                  << static_cast<int>(variant) << ")\n"
                  << differences << " before:\n"
                  << describe(before_) << listing;
  }

  // One table for both modes: what the 64-bit run found is kept until the 32-bit one has run.
  void write_table() {
    tables_[code64_ ? 0 : 1] = rows_;
    const std::string path = environment_text("EMU_INSTRUCTION_TABLE");
    if (path.empty() || code64_) return;
    std::ofstream out(path);
    out << "# Instructions against the host CPU\n\n"
           "Every mnemonic Zydis knows: operand forms found in 64-bit and 32-bit code, how many "
           "of\n"
           "them did what the host does, and why others are not compared. Made by\n"
           "`EMU_INSTRUCTION_TABLE=FILE build/test_tcg --gtest_filter='InstructionTest.*'`.\n\n"
           "| mnemonic | forms 64 | passed | forms 32 | passed | not compared |\n"
           "|---|---|---|---|---|---|\n";
    for (unsigned m = 1; m <= ZYDIS_MNEMONIC_MAX_VALUE; ++m) write_row(out, m);
  }

  static void write_row(std::ofstream& out, unsigned number) {
    const auto mnemonic = static_cast<ZydisMnemonic>(number);
    const Row &wide = tables_[0][mnemonic], &narrow = tables_[1][mnemonic];
    std::set<std::string> reasons = wide.excluded;
    reasons.insert(narrow.excluded.begin(), narrow.excluded.end());
    std::string why;
    for (const std::string& e : reasons) why += (why.empty() ? "" : "; ") + e;
    if (wide.forms + narrow.forms == 0) why = "no such instruction on the processors offered";
    out << fmt::format("| {} | {} | {} | {} | {} | {} |\n", ZydisMnemonicGetString(mnemonic),
                       wide.forms, wide.passed, narrow.forms, narrow.passed, why);
  }

  static std::unique_ptr<Host> host_;
  static std::map<ZydisMnemonic, Row> tables_[2];
  u64 runs_ = 0;
  bool code64_ = true;
  TranslationMode mode_;
  Random random_;
  MachineState before_, native_, emitted_;
  std::map<ZydisMnemonic, Row> rows_;

 protected:
  static Host& host() { return *host_; }
};

std::unique_ptr<Host> InstructionTest::host_;
std::map<ZydisMnemonic, Row> InstructionTest::tables_[2];

TEST_F(InstructionTest, Code64) {
  run_forms(true);
}

TEST_F(InstructionTest, Code32) {
  if (!host().has_compatibility_mode()) GTEST_SKIP() << "no 32-bit code segment on this host";
  run_forms(false);
}

}  // namespace
}  // namespace emu::instruction_test
