// SPDX-License-Identifier: Apache-2.0
// What the host refuses, step by step: one sentence that says what and what to do, and nothing left
// behind. The steps after opening need a KVM to pass the others on to.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <thread>

#include "base/bits.h"
#include "cpu/cpuid_model.h"
#include "failing_host.h"
#include "kvm/kvm_accelerator.h"
#include "kvm/kvm_probe.h"
#include "kvm/kvm_table.h"
#include "kvm/kvm_vm.h"

namespace emu {
namespace {

std::size_t open_descriptors() {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    (void)entry;
    ++count;
  }
  return count;
}

// A bus on which nothing is.
class EmptyBus final : public CpuBus {
 public:
  u32 read_port(u16, unsigned) override { return ~0u; }
  void write_port(u16, unsigned, u32) override {}
  u64 read_mmio(PhysAddr, unsigned) override { return ~u64{0}; }
  void write_mmio(PhysAddr, unsigned, u64) override {}
  std::optional<u8> acknowledge_interrupt() override { return std::nullopt; }
  u8 task_priority() override { return 0; }
  void set_task_priority(u8) override {}
  std::optional<u64> read_msr(u32) override { return std::nullopt; }
  bool write_msr(u32, u64) override { return false; }
  void smm_changed(bool) override {}
};

// A machine of some RAM, as far as it can be made.
class Attempt {
 public:
  explicit Attempt(std::shared_ptr<KvmHost> host, const KvmOptions& options = {})
      : root_(Region::container("root", u64{1} << 40)),
        ram_(*GuestRam::create("ram", kMiB)),
        region_(Region::ram("ram", *ram_, 0, kMiB)),
        space_(*root_),
        model_(*CpuidModel::create({"default", 1, 2'000'000'000, 1'000'000'000})) {
    root_->add(*region_, 0);
    auto engine = create_kvm(space_, clock_, std::move(host), options);
    if (!engine) {
      error = engine.error();
      return;
    }
    engine_ = std::move(*engine);
    auto cpu = engine_->create_vcpu({0, 0, &model_});
    if (cpu) {
      cpu_ = std::move(*cpu);
    } else {
      error = cpu.error();
    }
  }
  StopReason run() { return cpu_->run(bus_); }
  VCpu* cpu() { return cpu_.get(); }
  Accelerator& engine() { return *engine_; }
  u8* ram() { return ram_->host(); }
  Region& region() { return *region_; }
  const CpuidModel& model() const { return model_; }
  std::optional<Error> error;

 private:
  FakeClock clock_;
  EmptyBus bus_;
  std::unique_ptr<Region> root_;
  std::unique_ptr<GuestRam> ram_;
  std::unique_ptr<Region> region_;
  AddressSpace space_;
  CpuidModel model_;
  std::unique_ptr<Accelerator> engine_;
  std::unique_ptr<VCpu> cpu_;
};

std::string open_message(int code) {
  auto host = std::make_shared<FailingHost>(make_kvm_host());
  host->open_error = code;
  const Attempt attempt(host);
  return attempt.error ? attempt.error->message : "";
}

TEST(KvmFailures, EachReasonNotToOpenHasItsRemedy) {
  EXPECT_NE(open_message(ENOENT).find("there is no /dev/kvm"), std::string::npos);
  EXPECT_NE(open_message(ENOENT).find("modprobe"), std::string::npos);
  EXPECT_NE(open_message(EACCES).find("usermod -aG kvm"), std::string::npos);
  EXPECT_NE(open_message(ENODEV).find("firmware"), std::string::npos);
  EXPECT_NE(open_message(EBUSY).find("another hypervisor"), std::string::npos);
  EXPECT_NE(open_message(EMFILE).find("ulimit"), std::string::npos);
}

TEST(KvmFailures, ProbingTellsTheStatesApart) {
  const auto verdict = [](int code, HostFacts facts) { return explain_open_error(code, facts); };
  HostFacts facts;
  facts.intel = facts.vmx_or_svm = true;
  EXPECT_EQ(verdict(ENOENT, facts).fix,
            "sudo modprobe kvm_intel; if that is refused, switch VT-x on in the firmware setup");
  facts.module_loaded = true;
  EXPECT_NE(verdict(ENOENT, facts).fix.find("mknod"), std::string::npos);
  facts.module_loaded = facts.intel = false;
  EXPECT_NE(verdict(ENOENT, facts).fix.find("sudo modprobe kvm_amd"), std::string::npos);
  EXPECT_EQ(verdict(ENODEV, facts).state, KvmState::kNoModule);
  facts.vmx_or_svm = false;
  EXPECT_NE(verdict(ENOENT, facts).fix.find("firmware setup"), std::string::npos);
  facts.virtual_machine = true;
  EXPECT_NE(verdict(ENOENT, facts).fix.find("nested"), std::string::npos);
  facts.container = true;
  EXPECT_NE(verdict(ENOENT, facts).fix.find("--device /dev/kvm"), std::string::npos);
  facts.container = false;
  EXPECT_NE(verdict(EACCES, facts).fix.find("usermod"), std::string::npos);
  facts.user_in_group = true;
  EXPECT_NE(verdict(EACCES, facts).fix.find("chmod"), std::string::npos);
}

class KvmSteps : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto vm = KvmVm::open(make_kvm_host());
    if (!vm) GTEST_SKIP() << vm.error().message;
  }
  // A host that answers `request` with `answer`.
  static std::shared_ptr<FailingHost> refusing(unsigned long request, long answer = -EIO) {
    auto host = std::make_shared<FailingHost>(make_kvm_host());
    host->refused = request;
    host->answer = answer;
    return host;
  }
  static std::string message_of(const std::shared_ptr<FailingHost>& host,
                                const KvmOptions& options = {}) {
    const Attempt attempt(host, options);
    return attempt.error ? attempt.error->message : "";
  }
};

TEST_F(KvmSteps, EveryStepThatFailsIsASentenceAndLeavesNothingBehind) {
  const std::pair<unsigned long, const char*> steps[] = {
      {KVM_GET_API_VERSION, "version"},
      {KVM_GET_VCPU_MMAP_SIZE, "shares"},
      {KVM_CREATE_VM, "create a virtual machine"},
      {KVM_SET_IDENTITY_MAP_ADDR, "identity map"},
      {KVM_SET_TSS_ADDR, "TSS"},
      {KVM_ENABLE_CAP, "model-specific registers"},
      {KVM_X86_SET_MSR_FILTER, "local APIC"},
      {KVM_SET_USER_MEMORY_REGION, "guest memory at 0x0"},
      {KVM_CREATE_VCPU, "create processor 0"},
      {kKvmGetSupportedCpuid, "CPUID"},
      {kKvmSetCpuid2, "CPUID of processor 0"},
      {KVM_SET_SREGS2, "control registers"},
      {KVM_SET_REGS, "registers"},
      {KVM_SET_DEBUGREGS, "debug registers"},
      {KVM_SET_XCRS, "XCR0"},
      {kKvmSetXsave, "vector registers"},
      {kKvmSetMsrs, "model-specific registers"},
      {KVM_SET_VCPU_EVENTS, "events"},
  };
  (void)message_of(refusing(KVM_CREATE_VCPU));  // whatever is opened once and for all
  const std::size_t before = open_descriptors();
  for (const auto& [request, words] : steps) {
    const std::string message = message_of(refusing(request));
    EXPECT_NE(message.find(words), std::string::npos) << words << ": " << message;
    EXPECT_NE(message.find("--accel=tcg"), std::string::npos) << message;
    EXPECT_EQ(open_descriptors(), before) << words;
  }
}

// With interrupt controllers in the kernel, asked for by name.
TEST_F(KvmSteps, EveryStepOfTheKernelsChipsIsASentenceToo) {
  struct Step {
    ChipPlace place;
    unsigned long request;
    const char* words;
  };
  const Step steps[] = {
      {ChipPlace::kKernel, KVM_CREATE_IRQCHIP, "run interrupt controllers"},
      {ChipPlace::kKernel, KVM_CREATE_PIT2, "run an 8254 timer"},
      {ChipPlace::kKernel, kKvmSetGsiRouting, "connect interrupt lines"},
      {ChipPlace::kKernel, KVM_SET_MP_STATE, "let a processor wait"},
      {ChipPlace::kSplit, KVM_ENABLE_CAP, "run local APICs"},
      {ChipPlace::kSplit, KVM_SET_MP_STATE, "let a processor wait"},
      {ChipPlace::kSplit, KVM_GET_SREGS2, "control registers"},
  };
  (void)message_of(refusing(KVM_CREATE_VCPU));
  const std::size_t before = open_descriptors();
  for (const Step& step : steps) {
    const std::string message = message_of(refusing(step.request), {step.place, false});
    EXPECT_NE(message.find(step.words), std::string::npos) << step.words << ": " << message;
    EXPECT_NE(message.find("--accel=tcg"), std::string::npos) << message;
    EXPECT_EQ(open_descriptors(), before) << step.words;
  }
}

TEST_F(KvmSteps, ChipsThatWereOnlyTheDefaultAreDoneWithout) {
  const std::pair<unsigned long, long> refusals[] = {
      {KVM_CREATE_IRQCHIP, -EEXIST}, {KVM_CREATE_PIT2, -ENOMEM}, {kKvmSetGsiRouting, -EINVAL}};
  (void)message_of(refusing(KVM_CREATE_VCPU));
  const std::size_t before = open_descriptors();
  for (const auto& [request, answer] : refusals) {
    Attempt attempt(refusing(request, answer), {ChipPlace::kKernel, true});
    ASSERT_FALSE(attempt.error) << attempt.error->message;
    EXPECT_EQ(attempt.engine().chips(), nullptr);
  }
  EXPECT_EQ(open_descriptors(), before);
  auto host = refusing(KVM_CHECK_EXTENSION, 0);
  host->only_argument = KVM_CAP_PIT2;
  EXPECT_NE(message_of(host, {ChipPlace::kKernel, false}).find("no 8254 timer: use"),
            std::string::npos);
  EXPECT_EQ(message_of(host, {ChipPlace::kKernel, true}), "");
}

// Once it runs, the machine hears of each refusal: as an error where it waits, else at run().
TEST_F(KvmSteps, ChipsThatFailLaterSaySo) {
  auto host = std::make_shared<FailingHost>(make_kvm_host());
  Attempt attempt(host, {ChipPlace::kKernel, false});
  if (attempt.error) GTEST_SKIP() << attempt.error->message;
  EngineChips& chips = *attempt.engine().chips();
  const auto refused = [&](unsigned long request) {
    host->refused = request;
    host->answer = -EIO;
  };
  const auto says = [](const auto& result, const char* words) {
    ASSERT_FALSE(result) << words;
    EXPECT_NE(result.error().message.find(words), std::string::npos) << words;
  };
  refused(KVM_GET_IRQCHIP);
  says(chips.pic(0), "show its 8259");
  says(chips.io_apic(), "show its I/O APIC");
  refused(KVM_SET_IRQCHIP);
  says(chips.set_pic(1, {}), "state of an 8259");
  says(chips.set_io_apic({}), "state of an I/O APIC");
  refused(KVM_GET_PIT2);
  says(chips.pit(), "show its 8254");
  refused(KVM_SET_PIT2);
  says(chips.set_pit({}), "state of an 8254");
  refused(KVM_GET_LAPIC);
  says(chips.local_apic(0), "show its local APIC");
  refused(kKvmGetMsrs);
  says(chips.local_apic(0), "show MSR 0x1b");
  refused(KVM_SET_LAPIC);
  EngineLocalApic apic;
  apic.base = 0xfee00900;
  says(chips.set_local_apic(0, apic), "state of a local APIC");
  refused(kKvmSetMsrs);
  says(chips.set_local_apic(0, apic), "take MSR 0x1b");
  says(chips.local_apic(7), "no processor 7");
  refused(KVM_IRQ_LINE);
  chips.set_line(4, true);
  const StopReason reason = attempt.run();
  EXPECT_EQ(reason.kind, StopReason::Kind::kError);
  EXPECT_NE(reason.message.find("take interrupt 4"), std::string::npos) << reason.message;
}

TEST_F(KvmSteps, MessagesThatCannotBeDeliveredEndTheRunUnlessNobodyListens) {
  auto host = std::make_shared<FailingHost>(make_kvm_host());
  Attempt attempt(host, {ChipPlace::kSplit, false});
  if (attempt.error) GTEST_SKIP() << attempt.error->message;
  EngineChips& chips = *attempt.engine().chips();
  host->refused = KVM_SIGNAL_MSI;
  host->answer = -EPERM;
  EXPECT_FALSE(chips.send_message({0xfee00000, 0x4041}));
  host->answer = 1;
  EXPECT_TRUE(chips.send_message({0xfee00000, 0x4041}));
  host->refused = kKvmSetGsiRouting;
  host->answer = -EINVAL;
  const std::optional<EngineMessage> one[] = {EngineMessage{0xfee00000, 0xc041}};
  EXPECT_FALSE(chips.set_level_messages(one));
  host->refused = KVM_SIGNAL_MSI;
  EXPECT_FALSE(chips.send_message({0xfee00000, 0x4041}));
  EXPECT_EQ(attempt.run().kind, StopReason::Kind::kError);
}

TEST_F(KvmSteps, AnOldKernelIsToldWhatItLacks) {
  auto host = refusing(KVM_CHECK_EXTENSION, 0);
  host->only_argument = KVM_CAP_READONLY_MEM;
  EXPECT_NE(message_of(host).find("too old, it has no read-only memory"), std::string::npos);
  EXPECT_NE(message_of(refusing(KVM_GET_API_VERSION, 11)).find("version 11"), std::string::npos);
  EXPECT_EQ(probe_kvm(host).state, KvmState::kTooOld);
}

TEST_F(KvmSteps, NonsenseSizesAreRefused) {
  EXPECT_NE(message_of(refusing(KVM_GET_VCPU_MMAP_SIZE, 7)).find("makes no sense"),
            std::string::npos);
}

TEST_F(KvmSteps, OutOfMemoryNamesTheRemedy) {
  const std::string message = message_of(refusing(KVM_SET_USER_MEMORY_REGION, -ENOMEM));
  EXPECT_NE(message.find("give the guest less (-m)"), std::string::npos) << message;
}

TEST_F(KvmSteps, MoreProcessorsThanSupported) {
  auto host = std::make_shared<FailingHost>(make_kvm_host());
  const Attempt attempt(host);
  ASSERT_FALSE(attempt.error);
  host->refused = KVM_CHECK_EXTENSION;
  host->answer = 4;
  const auto cpu = const_cast<Attempt&>(attempt).engine().create_vcpu({4, 4, &attempt.model()});
  ASSERT_FALSE(cpu);
  EXPECT_NE(cpu.error().message.find("4 processors at most: use --cpus 4"), std::string::npos);
}

TEST_F(KvmSteps, ADeviceThatGoesAwayEndsTheRun) {
  auto host = refusing(KVM_RUN, -ENODEV);
  Attempt attempt(host);
  ASSERT_FALSE(attempt.error);
  const StopReason reason = attempt.run();
  EXPECT_EQ(reason.kind, StopReason::Kind::kError);
  EXPECT_NE(reason.message.find("refused to run the guest: No such device"), std::string::npos)
      << reason.message;
  EXPECT_EQ(attempt.run().kind, StopReason::Kind::kError);  // and stays so
}

TEST_F(KvmSteps, MemoryThatCannotMoveEndsTheRun) {
  auto host = std::make_shared<FailingHost>(make_kvm_host());
  Attempt attempt(host);
  ASSERT_FALSE(attempt.error);
  host->refused = KVM_SET_USER_MEMORY_REGION;
  host->answer = -EINVAL;
  attempt.region().set_offset(2 * kMiB);
  const StopReason reason = attempt.run();
  EXPECT_EQ(reason.kind, StopReason::Kind::kError);
  EXPECT_NE(reason.message.find("guest memory"), std::string::npos) << reason.message;
}

TEST_F(KvmSteps, ARunStaysUnharmedByInterruptedCalls) {
  auto host = refusing(KVM_RUN, -EINTR);
  Attempt attempt(host);
  ASSERT_FALSE(attempt.error);
  std::thread kicker([&] { attempt.cpu()->kick(); });
  EXPECT_EQ(attempt.run().kind, StopReason::Kind::kKicked);
  kicker.join();
}

TEST_F(KvmSteps, TheProbeNamesTheStepThatFailed) {
  const KvmVerdict v = probe_kvm(refusing(KVM_CREATE_VCPU, -EIO));
  EXPECT_EQ(v.state, KvmState::kRefused);
  EXPECT_NE(v.reason.find("create a processor"), std::string::npos) << v.reason;
  EXPECT_EQ(probe_kvm(refusing(KVM_RUN, -EIO)).state, KvmState::kRefused);
}

TEST_F(KvmSteps, TheProbeGivesAVerdictOnThisHost) {
  const KvmVerdict v = probe_kvm(make_kvm_host());
  EXPECT_GT(v.ns_per_instruction, 0);
  EXPECT_EQ(v.usable(), v.reason.empty());
  EXPECT_TRUE(v.state == KvmState::kUsable || v.state == KvmState::kEmulated) << v.reason;
}

}  // namespace
}  // namespace emu
