// SPDX-License-Identifier: Apache-2.0
// The PC's interrupt paths under each engine, with a whole machine around it: local APIC timer,
// 8259 and I/O APIC from the 8254, MSI from the HPET, INIT and SIPI. The guests are flat 32-bit
// code without paging, a handful of instructions, which slow partial KVMs execute too.
// Source: Intel SDM vol. 3, 11.4 to 11.6 (local APIC); 82093AA data sheet; 8254 and 8259A data
// sheets; IA-PC HPET specification 1.0a, 2.3.9 (FSB delivery).
#include <fcntl.h>
#include <sys/mman.h>

#include "engine_guest.h"
#include "machine/machine.h"
#include "machine/snapshot_file.h"

namespace emu {
namespace {

using namespace asmjit::x86;

constexpr u32 kBase = 0x100000, kIdt = 0x101000, kCode = 0x102000, kHandlers = 0x103000;
constexpr u32 kGdt = 0x100800, kPointers = 0x100900, kEnd = 0x105000, kStack = 0x180000;
constexpr u32 kApic = 0xfee00000, kIoApic = 0xfec00000, kHpet = 0xfed00000;
constexpr u32 kSpurious = kApic + 0xf0, kIcrLow = kApic + 0x300, kIcrHigh = kApic + 0x310;
constexpr u32 kLvtTimer = kApic + 0x320, kLvtLint0 = kApic + 0x350;
constexpr u32 kInitialCount = kApic + 0x380, kDivide = kApic + 0x3e0;

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
    const u32 address = kHandlers + 64 * handlers_++;
    u8* const gate = at(kIdt + 8 * vector);
    store_le<u32>(gate, (address & 0xffff) | 8u << 16);
    store_le<u32>(gate + 4, (address & 0xffff0000) | 0x8e00);
    assemble(address, [&](Assembler& a) { say_and_end(a, letter); });
  }
  static void say_and_end(Assembler& a, char letter) {
    a.mov(eax, letter);
    a.out(0xe9, al);
    a.out(0xf4, al);
    wait(a);
  }
  static void wait(Assembler& a) {
    const auto here = a.newLabel();
    a.bind(here);
    a.hlt();
    a.jmp(here);
  }

  // What it said, or why it did not come to its end.
  std::string run(Engine engine, unsigned cpus = 1) {
    Board board;
    if (const auto made = make(board, engine, cpus); !made) return made.error().message;
    board.machine->start();
    return last_words(board);
  }
  // The same, saved once it has said `until` and gone on under another engine.
  std::string run(Engine engine, const std::string& until, Engine then) {
    const std::string path = ::testing::TempDir() + "board-" + engine_name(engine) + ".state";
    Board first, second;
    if (const auto made = make(first, engine, 1); !made) return made.error().message;
    first.machine->start();
    while (!first.has_said(until) && !first.machine->wait_finished(std::chrono::milliseconds(1))) {
    }
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
    void send(std::span<const u8> bytes) override { said.append(bytes.begin(), bytes.end()); }
    void set_receiver(CharReceiver*) override {}
    std::string said;  // machine lock
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
  Result<void> make(Board& board, Engine engine, unsigned cpus) {
    board.file.reset(::memfd_create("guest", 0));
    EXPECT_EQ(::write(board.file.get(), image_.data(), image_.size()),
              static_cast<ssize_t>(image_.size()));
    MachineConfig config;
    config.engine = engine == Engine::kKvm ? EngineChoice::kKvm : EngineChoice::kTcg;
    config.memory_bytes = 16 * kMiB;
    config.cpus = cpus;
    config.linux_boot.kernel = fmt::format("/proc/self/fd/{}", board.file.get());
    config.debug_exit_port = 0xf4;
    config.stop_on_triple_fault = true;
    auto machine = Machine::create(config, {board.serial, &board.voice});
    if (!machine) return machine.error();
    board.machine = std::move(*machine);
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

class BoardTest : public Engines {};
INSTANTIATE_TEST_SUITE_P(Accel, BoardTest, ::testing::Values(Engine::kTranslator, Engine::kKvm),
                         [](const auto& each) { return engine_name(each.param); });

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

// The timer is armed under one engine and goes off under the other.
TEST_P(BoardTest, ArmedTimersGoOffUnderTheOtherEngine) {
  const Engine other = GetParam() == Engine::kKvm ? Engine::kTranslator : Engine::kKvm;
  if (const std::string missing = engine_missing(other); !missing.empty()) {
    GTEST_SKIP() << missing;
  }
  BoardGuest g;
  g.last_interrupt(0x40, 'T');
  g.program([](Assembler& a) {
    a.mov(dword_ptr(kDivide), 0xb);
    a.mov(dword_ptr(kLvtTimer), 0x40);
    a.mov(dword_ptr(kInitialCount), 1'000'000'000);  // a second
    a.mov(eax, 's');
    a.out(0xe9, al);
    a.sti();
    BoardGuest::wait(a);
  });
  EXPECT_EQ(g.run(GetParam(), "s", other), "sT");
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
