// SPDX-License-Identifier: Apache-2.0
// The PC's interrupt paths under each engine, and with each place for interrupt controllers that
// KVM knows, with a whole machine around it: local APIC timer, 8259 and I/O APIC from the 8254,
// levels and MSI from the HPET, INIT and SIPI; and what was saved under one going on under each
// other. The guests are flat 32-bit code without paging, a handful of instructions, which slow
// partial KVMs execute too. Source: Intel SDM vol. 3, 11.4 to 11.6 (local APIC); 82093AA data
// sheet; 8254 and 8259A data sheets; IA-PC HPET specification 1.0a, 2.3.9 (FSB delivery).
#include <fcntl.h>
#include <sys/mman.h>

#include "cpu/pv_clock_spec.h"
#include "engine_guest.h"
#include "kvm/kvm_chips.h"
#include "machine/machine.h"
#include "machine/snapshot_file.h"

namespace emu {
namespace {

using namespace asmjit::x86;

constexpr u32 kBase = 0x100000, kIdt = 0x101000, kCode = 0x102000, kHandlers = 0x103000;
constexpr u32 kGdt = 0x100800, kPointers = 0x100900, kEnd = 0x105000, kStack = 0x180000;
constexpr u32 kApic = 0xfee00000, kIoApic = 0xfec00000, kHpet = 0xfed00000;
constexpr u32 kEoi = kApic + 0xb0, kSpurious = kApic + 0xf0, kIcrLow = kApic + 0x300,
              kIcrHigh = kApic + 0x310;
constexpr u32 kLvtTimer = kApic + 0x320, kLvtLint0 = kApic + 0x350;
constexpr u32 kInitialCount = kApic + 0x380, kDivide = kApic + 0x3e0;

// Which engine, and under KVM who has the interrupt controllers.
enum class Kind : u8 { kTranslator, kKvmUser, kKvmSplit, kKvmKernel };
constexpr Kind kKinds[] = {Kind::kTranslator, Kind::kKvmUser, Kind::kKvmSplit, Kind::kKvmKernel};

std::string kind_name(Kind kind) {
  constexpr const char* kNames[] = {"translator", "kvm_user", "kvm_split", "kvm_kernel"};
  return kNames[static_cast<unsigned>(kind)];
}

ChipPlace place_of(Kind kind) {
  if (kind == Kind::kKvmKernel) return ChipPlace::kKernel;
  return kind == Kind::kKvmSplit ? ChipPlace::kSplit : ChipPlace::kUser;
}

// Why this host has no such engine; empty if it has.
std::string kind_missing(Kind kind) {
  if (kind == Kind::kTranslator) return {};
  const auto vm = KvmVm::open(make_kvm_host());
  if (!vm) return vm.error().message;
  const auto chips = KvmChips::create(**vm, place_of(kind));
  return chips ? "" : chips.error().message;
}

// A Multiboot image; port E9h is its voice and port F4h its end.
class BoardGuest {
 public:
  BoardGuest() : image_(kEnd - kBase) {
    const u32 header[] = {0x1badb002, 0x10000, 0u - 0x1badb002 - 0x10000, kBase, kBase, 0,
                          kEnd,       kCode};
    std::memcpy(at(kBase), header, sizeof header);
    const u64 gdt[] = {0, 0x00cf9b000000ffff, 0x00cf93000000ffff};
    std::memcpy(at(kGdt), gdt, sizeof gdt);
    put_pointer(kPointers, sizeof gdt - 1, kGdt);
    put_pointer(kPointers + 8, 0x7ff, kIdt);
  }

  void program(const std::function<void(Assembler&)>& body) {
    assemble(kCode, [&](Assembler& a) {
      a.lgdt(ptr(kPointers));
      a.lidt(ptr(kPointers + 8));
      a.mov(esp, kStack);
      a.mov(dword_ptr(kSpurious), 0x1ff);
      body(a);
    });
  }
  // The interrupt that says `letter` and ends the guest.
  void last_interrupt(unsigned vector, char letter) {
    interrupt(vector, [letter](Assembler& a) { say_and_end(a, letter); });
  }
  // Up to 256 bytes of code, its end included.
  void interrupt(unsigned vector, const std::function<void(Assembler&)>& body) {
    const u32 address = kHandlers + 256 * handlers_++;
    u8* const gate = at(kIdt + 8 * vector);
    store_le<u32>(gate, (address & 0xffff) | 8u << 16);
    store_le<u32>(gate + 4, (address & 0xffff0000) | 0x8e00);
    assemble(address, body);
  }
  static void say(Assembler& a, char letter) {
    a.mov(eax, letter);
    a.out(0xe9, al);
  }
  static void say_and_end(Assembler& a, char letter) {
    say(a, letter);
    a.out(0xf4, al);
    wait(a);
  }
  // The end of a handler that interrupted wait(): some partial KVMs have no 32-bit IRET.
  static void back_to_waiting(Assembler& a) {
    a.add(esp, 12);
    a.sti();
    wait(a);
  }
  static void wait(Assembler& a) {
    const auto here = a.newLabel();
    a.bind(here);
    a.hlt();
    a.jmp(here);
  }

  // What it said, or why it did not come to its end.
  std::string run(Kind engine, unsigned cpus = 1) {
    Board board;
    if (const auto made = make(board, engine, cpus); !made) return made.error().message;
    board.machine->start();
    return last_words(board);
  }
  // The same, saved once it has said `until` and gone on under another engine.
  std::string run(Kind engine, const std::string& until, Kind then) {
    const std::string path = ::testing::TempDir() + "board-" + kind_name(engine) + ".state";
    Board first, second;
    if (const auto made = make(first, engine, 1); !made) return made.error().message;
    first.voice.pauses_after = until;
    first.machine->start();
    while (!first.has_said(until) && !first.machine->wait_finished(std::chrono::milliseconds(1))) {
    }
    first.machine->wait_paused();
    const auto saved = save_to_file(*first.machine, path);
    first.machine.reset();
    if (!saved) return saved.error().message;
    if (const auto made = make(second, then, 1); !made) return made.error().message;
    const auto loaded = load_from_file(*second.machine, path);
    ::unlink(path.c_str());
    if (!loaded) return loaded.error().message;
    second.machine->start();
    return first.voice.said + last_words(second);
  }

 private:
  struct Voice final : CharBackend {
    void send(std::span<const u8> bytes) override {
      said.append(bytes.begin(), bytes.end());
      if (!pauses_after.empty() && said.ends_with(pauses_after)) machine->pause();
    }
    void set_receiver(CharReceiver*) override {}
    Machine* machine = nullptr;
    std::string pauses_after;  // where the guest is to stand still; empty: nowhere
    std::string said;          // machine lock
  };
  struct Board {
    UniqueFd file;
    NullChar serial;
    Voice voice;
    std::unique_ptr<Machine> machine;
    bool has_said(const std::string& text) {
      const auto lock = machine->lock();
      return voice.said.find(text) != std::string::npos;
    }
  };
  Result<void> make(Board& board, Kind engine, unsigned cpus) {
    board.file.reset(::memfd_create("guest", 0));
    EXPECT_EQ(::write(board.file.get(), image_.data(), image_.size()),
              static_cast<ssize_t>(image_.size()));
    MachineConfig config;
    config.engine = engine == Kind::kTranslator ? EngineChoice::kTcg : EngineChoice::kKvm;
    if (engine != Kind::kTranslator) config.kvm_chips = place_of(engine);
    config.memory_bytes = 16 * kMiB;
    config.cpus = cpus;
    config.linux_boot.kernel = fmt::format("/proc/self/fd/{}", board.file.get());
    config.debug_exit_port = 0xf4;
    config.stop_on_triple_fault = true;
    auto machine = Machine::create(config, {board.serial, &board.voice});
    if (!machine) return machine.error();
    board.machine = std::move(*machine);
    board.voice.machine = board.machine.get();
    return {};
  }
  static std::string last_words(Board& board) {
    if (!board.machine->wait_finished(std::chrono::seconds(30))) {
      const auto lock = board.machine->lock();
      return "it hangs: " + board.voice.said;
    }
    const MachineEnd end = board.machine->end();
    return end.message.empty() ? board.voice.said : end.message;
  }
  u8* at(u32 address) { return image_.data() + (address - kBase); }
  void put_pointer(u32 address, u64 limit, u32 base) {
    store_le<u16>(at(address), static_cast<u16>(limit));
    store_le<u32>(at(address) + 2, base);
  }
  void assemble(u32 address, const std::function<void(Assembler&)>& body) {
    asmjit::CodeHolder code;
    code.init(asmjit::Environment(asmjit::Arch::kX86), address);
    Assembler a(&code);
    body(a);
    code.flatten();
    code.relocateToBase(address);
    code.copyFlattenedData(at(address), kEnd - address);
  }

  std::vector<u8> image_;
  u32 handlers_ = 0;
};

class BoardTest : public ::testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    if (const std::string missing = kind_missing(GetParam()); !missing.empty()) {
      GTEST_SKIP() << missing;
    }
  }
  // Saved under this engine once it has said `until`, and gone on under each other one.
  void expect_everywhere(BoardGuest& g, const std::string& until, const std::string& said,
                         bool (*can)(Kind) = nullptr) {
    for (const Kind other : kKinds) {
      if (!kind_missing(other).empty() || (can != nullptr && !can(other))) continue;
      EXPECT_EQ(g.run(GetParam(), until, other), said) << "then " << kind_name(other);
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Accel, BoardTest, ::testing::ValuesIn(kKinds),
                         [](const auto& each) { return kind_name(each.param); });

// Whether a handler finds its own vector in service. Some emulated KVMs' local APICs do not note it
// there, and so know of no interrupt's end.
bool notes_service(Kind kind) {
  BoardGuest g;
  g.interrupt(0x46, [](Assembler& a) {
    a.mov(eax, dword_ptr(kApic + 0x120));  // ISR of vectors 40h to 5Fh
    a.shr(eax, 6);
    a.and_(eax, 1);
    a.add(eax, '0');
    a.out(0xe9, al);
    a.out(0xf4, al);
    BoardGuest::wait(a);
  });
  g.program([](Assembler& a) {
    a.mov(dword_ptr(kIcrLow), 0x40000 | 0x46);
    a.sti();
    BoardGuest::wait(a);
  });
  return g.run(kind) != "0";
}

#define SKIP_WITHOUT_SERVICE(kind) \
  if (!notes_service(kind)) GTEST_SKIP() << "this KVM's local APIC notes nothing in service"

// 8254 channel 0 counts down once, some milliseconds.
void start_pit(Assembler& a) {
  a.mov(eax, 0x30);
  a.out(0x43, al);
  a.mov(eax, 0x10);
  a.out(0x40, al);
  a.out(0x40, al);
}

TEST_P(BoardTest, TheLocalApicsTimerInterrupts) {
  BoardGuest g;
  g.last_interrupt(0x40, 'T');
  g.program([](Assembler& a) {
    a.mov(dword_ptr(kDivide), 0xb);
    a.mov(dword_ptr(kLvtTimer), 0x40);
    a.mov(dword_ptr(kInitialCount), 1'000'000);
    a.sti();
    BoardGuest::wait(a);
  });
  EXPECT_EQ(g.run(GetParam()), "T");
}

TEST_P(BoardTest, TheTimerReachesTheProcessorThroughTheIoApic) {
  BoardGuest g;
  g.last_interrupt(0x41, 'I');
  g.program([](Assembler& a) {
    a.mov(dword_ptr(kIoApic), 0x15);  // input 2, where the timer is
    a.mov(dword_ptr(kIoApic + 0x10), 0);
    a.mov(dword_ptr(kIoApic), 0x14);
    a.mov(dword_ptr(kIoApic + 0x10), 0x41);
    a.mov(eax, 0xff);  // the 8259 stays out of it
    a.out(0x21, al);
    start_pit(a);
    a.sti();
    BoardGuest::wait(a);
  });
  EXPECT_EQ(g.run(GetParam()), "I");
}

TEST_P(BoardTest, TheTimerReachesTheProcessorThroughThe8259) {
  BoardGuest g;
  g.last_interrupt(0x20, 'P');
  g.program([](Assembler& a) {
    a.mov(dword_ptr(kLvtLint0), 0x700);  // ExtINT
    for (const auto& [port, value] : {std::pair{0x20, 0x11}, {0x21, 0x20}, {0x21, 4}, {0x21, 1}}) {
      a.mov(eax, value);
      a.out(port, al);
    }
    a.mov(eax, 0xfe);
    a.out(0x21, al);
    start_pit(a);
    a.sti();
    BoardGuest::wait(a);
  });
  EXPECT_EQ(g.run(GetParam()), "P");
}

TEST_P(BoardTest, TheHpetInterruptsByMessage) {
  BoardGuest g;
  g.last_interrupt(0x45, 'M');
  g.program([](Assembler& a) {
    a.mov(dword_ptr(kHpet + 0x110), 0x45);
    a.mov(dword_ptr(kHpet + 0x114), kApic);
    a.mov(dword_ptr(kHpet + 0x108), 100'000);
    a.mov(dword_ptr(kHpet + 0x10c), 0);
    a.mov(dword_ptr(kHpet + 0x100), 1 << 14 | 1 << 2);
    a.mov(dword_ptr(kHpet + 0x10), 1);
    a.sti();
    BoardGuest::wait(a);
  });
  EXPECT_EQ(g.run(GetParam()), "M");
}

// Input 20, where the HPET's first comparator holds its line until it is told to let go: served
// twice, then let go.
TEST_P(BoardTest, ALevelComesBackUntilItIsServed) {
  SKIP_WITHOUT_SERVICE(GetParam());
  BoardGuest g;
  g.interrupt(0x46, [](Assembler& a) {
    BoardGuest::say(a, 'L');
    a.inc(ebx);
    const auto again = a.newLabel(), last = a.newLabel();
    a.cmp(ebx, 2);
    a.jb(again);
    a.ja(last);
    a.mov(dword_ptr(kHpet + 0x20), 1);
    a.mov(dword_ptr(kEoi), 0);
    a.mov(dword_ptr(kIcrLow), 0x40000 | 0x31);  // nothing is left: a message to itself comes next
    BoardGuest::back_to_waiting(a);
    a.bind(again);
    a.mov(dword_ptr(kEoi), 0);
    BoardGuest::back_to_waiting(a);
    a.bind(last);
    BoardGuest::say_and_end(a, '!');
  });
  g.last_interrupt(0x31, '.');
  g.program([](Assembler& a) {
    a.xor_(ebx, ebx);
    a.mov(dword_ptr(kIoApic), 0x39);
    a.mov(dword_ptr(kIoApic + 0x10), 0);
    a.mov(dword_ptr(kIoApic), 0x38);
    a.mov(dword_ptr(kIoApic + 0x10), 0x8046);
    a.mov(dword_ptr(kHpet + 0x108), 1000);
    a.mov(dword_ptr(kHpet + 0x10c), 0);
    a.mov(dword_ptr(kHpet + 0x100), 20 << 9 | 1 << 2 | 1 << 1);
    a.mov(dword_ptr(kHpet + 0x10), 1);
    a.sti();
    BoardGuest::wait(a);
  });
  EXPECT_EQ(g.run(GetParam()), "LL.");
}

// Counter 2 between the gate and the output of port 61h, as kernels time their processor.
TEST_P(BoardTest, TheSpeakersCounterCountsBehindItsGate) {
  BoardGuest g;
  g.program([](Assembler& a) {
    a.mov(eax, 1);
    a.out(0x61, al);
    a.mov(eax, 0xb0);
    a.out(0x43, al);
    a.mov(eax, 0x20);
    a.out(0x42, al);
    a.out(0x42, al);
    const auto poll = a.newLabel(), early = a.newLabel();
    a.in(al, 0x61);
    a.test(al, 0x20);
    a.jnz(early);
    a.bind(poll);
    a.in(al, 0x61);
    a.test(al, 0x20);
    a.jz(poll);
    BoardGuest::say_and_end(a, 'o');
    a.bind(early);
    BoardGuest::say_and_end(a, 'e');
  });
  EXPECT_EQ(g.run(GetParam()), "o");
}

// The HPET in place of the 8254 and the RTC: counter 0 keeps silent.
TEST_P(BoardTest, TheHpetReplacesTheTimer) {
  BoardGuest g;
  g.last_interrupt(0x41, 'H');
  g.program([](Assembler& a) {
    a.mov(dword_ptr(kIoApic), 0x15);
    a.mov(dword_ptr(kIoApic + 0x10), 0);
    a.mov(dword_ptr(kIoApic), 0x14);
    a.mov(dword_ptr(kIoApic + 0x10), 0x41);
    a.mov(eax, 0xff);  // the 8259 stays out of it
    a.out(0x21, al);
    a.mov(dword_ptr(kHpet + 0x108), 2'000'000);  // 20 ms; the 8254 would take 3.5 ms
    a.mov(dword_ptr(kHpet + 0x10c), 0);
    a.mov(dword_ptr(kHpet + 0x100), 1 << 2);
    a.mov(dword_ptr(kHpet + 0x10), 3);
    start_pit(a);
    a.sti();
    BoardGuest::wait(a);
  });
  EXPECT_EQ(g.run(GetParam()), "H");
}

// The timer is armed under one engine and goes off under the other.
TEST_P(BoardTest, ArmedTimersGoOffUnderTheOtherEngine) {
  BoardGuest g;
  g.last_interrupt(0x40, 'T');
  g.program([](Assembler& a) {
    a.mov(dword_ptr(kDivide), 0xb);
    a.mov(dword_ptr(kLvtTimer), 0x40);
    a.mov(dword_ptr(kInitialCount), 50'000'000);  // 50 ms
    a.mov(eax, 's');
    a.out(0xe9, al);
    a.sti();
    BoardGuest::wait(a);
  });
  expect_everywhere(g, "s", "sT");
}

// 8259 masks and vectors, a periodic 8254, and LINT0, set up under the first.
TEST_P(BoardTest, ThePeriodicTimerGoesOnThroughThe8259UnderTheOtherEngine) {
  BoardGuest g;
  g.last_interrupt(0x20, 'P');
  g.program([](Assembler& a) {
    a.mov(dword_ptr(kLvtLint0), 0x700);
    for (const auto& [port, value] : {std::pair{0x20, 0x11},
                                      {0x21, 0x20},
                                      {0x21, 4},
                                      {0x21, 1},
                                      {0x21, 0xfe},
                                      {0x43, 0x34},
                                      {0x40, 0},
                                      {0x40, 0x80},
                                      {0xe9, 's'}}) {
      a.mov(eax, value);
      a.out(port, al);
    }
    a.sti();
    BoardGuest::wait(a);
  });
  expect_everywhere(g, "s", "sP");
}

// A level that is in service when the machine is saved: its end is heard under the other engine.
TEST_P(BoardTest, ALevelInServiceEndsUnderTheOtherEngine) {
  SKIP_WITHOUT_SERVICE(GetParam());
  BoardGuest g;
  g.interrupt(0x46, [](Assembler& a) {
    const auto second = a.newLabel();
    a.inc(ebx);
    a.cmp(ebx, 2);
    a.je(second);
    BoardGuest::say(a, 's');
    a.mov(dword_ptr(kEoi), 0);
    BoardGuest::back_to_waiting(a);
    a.bind(second);
    BoardGuest::say_and_end(a, 'L');
  });
  g.program([](Assembler& a) {
    a.xor_(ebx, ebx);
    a.mov(dword_ptr(kIoApic), 0x39);
    a.mov(dword_ptr(kIoApic + 0x10), 0);
    a.mov(dword_ptr(kIoApic), 0x38);
    a.mov(dword_ptr(kIoApic + 0x10), 0x8046);
    a.mov(dword_ptr(kHpet + 0x108), 1000);
    a.mov(dword_ptr(kHpet + 0x10c), 0);
    a.mov(dword_ptr(kHpet + 0x100), 20 << 9 | 1 << 2 | 1 << 1);
    a.mov(dword_ptr(kHpet + 0x10), 1);
    a.sti();
    BoardGuest::wait(a);
  });
  expect_everywhere(g, "s", "sL", notes_service);
}

TEST_P(BoardTest, AnInterruptAboveTheTaskPriorityGoesFirst) {
  BoardGuest g;
  g.last_interrupt(0x31, 'a');
  g.last_interrupt(0x51, 'b');
  g.program([](Assembler& a) {
    a.mov(dword_ptr(kApic + 0x80), 0x40);       // TPR
    a.mov(dword_ptr(kIcrLow), 0x40000 | 0x31);  // to itself
    a.mov(dword_ptr(kIcrLow), 0x40000 | 0x51);
    a.sti();
    BoardGuest::wait(a);
  });
  EXPECT_EQ(g.run(GetParam()), "b");
}

// KVM's clock: the guest names a place, and finds a scale for its time stamps there. The place and
// what is in it go on under the other engine.
TEST_P(BoardTest, TheGuestsClockIsThereUnderTheOtherEngine) {
  BoardGuest g;
  constexpr u32 kPlace = 0x140000;
  g.program([](Assembler& a) {
    const auto wrong = a.newLabel();
    a.mov(ecx, kMsrPvSystemTime);
    a.mov(eax, kPlace | 1);
    a.xor_(edx, edx);
    a.wrmsr();
    BoardGuest::say(a, 's');
    a.mov(ecx, kMsrPvSystemTime);
    a.rdmsr();
    a.cmp(eax, kPlace | 1);
    a.jne(wrong);
    a.cmp(dword_ptr(kPlace + 24), 0);  // the multiplier
    a.je(wrong);
    a.test(dword_ptr(kPlace), 1);
    a.jnz(wrong);
    a.mov(eax, dword_ptr(kPlace + 28));  // shift, flags
    a.test(eax, 0x100);
    a.jz(wrong);
    BoardGuest::say_and_end(a, 'c');
    a.bind(wrong);
    BoardGuest::say_and_end(a, 'w');
  });
  expect_everywhere(g, "s", "sc");
}

TEST_P(BoardTest, TheSecondProcessorStartsByInitAndSipi) {
  BoardGuest g;
  g.program([](Assembler& a) {
    // mov al, 'A'; out e9h, al; out f4h, al; hlt
    a.mov(dword_ptr(0x8000), 0xe9e641b0);
    a.mov(dword_ptr(0x8004), 0xf4f4e6);
    a.mov(dword_ptr(kIcrHigh), 1 << 24);
    a.mov(dword_ptr(kIcrLow), 0x4500);
    a.mov(dword_ptr(kIcrHigh), 1 << 24);
    a.mov(dword_ptr(kIcrLow), 0x4608);
    BoardGuest::wait(a);
  });
  EXPECT_EQ(g.run(GetParam(), 2), "A");
}

}  // namespace
}  // namespace emu
