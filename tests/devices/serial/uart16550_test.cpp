// SPDX-License-Identifier: Apache-2.0
#include "devices/serial/uart16550.h"

#include "devices/recording_irq.h"
#include "devices/serial/recording_char.h"
#include "devices/transfer_test.h"

namespace emu {
namespace {

enum : u8 { RBR = 0, THR = 0, DLL = 0, IER = 1, DLM = 1, IIR = 2, FCR = 2, LCR = 3, MCR = 4 };
enum : u8 { LSR = 5, MSR = 6, SCR = 7 };

struct UartRig final : DeviceRig {
  RecordingChar line;
  Uart16550 uart{"com1", IrqLine(), clock, line};
  Device& device() override { return uart; }
  std::vector<RigWindow> windows() override { return {{&uart.ports(), 8}}; }
  void poke(u64 random) override {
    if (random % 8 == 0) uart.receive_break();
    if (random % 8 == 1) uart.set_modem_inputs(static_cast<u8>(random >> 8));
    if (uart.can_receive() != 0) {
      const u8 byte = static_cast<u8>(random);
      uart.receive({&byte, 1});
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Uart16550, TransferTest,
                         testing::Values(device_under_test<UartRig>("uart16550")),
                         device_under_test_name);

struct Uart : testing::Test {
  FakeClock clock;
  RecordingIrq irq;
  RecordingChar line;
  Uart16550 uart{"com1", irq.line(), clock, line};

  void out(u8 offset, u8 value) { uart.ports().write(offset, 1, value); }
  unsigned in(u8 offset) { return static_cast<unsigned>(uart.ports().read(offset, 1)); }
};

TEST_F(Uart, ResetValues) {
  EXPECT_EQ(in(IER), 0u);
  EXPECT_EQ(in(IIR), 0x01u);
  EXPECT_EQ(in(LCR), 0u);
  EXPECT_EQ(in(MCR), 0u);
  EXPECT_EQ(in(LSR), 0x60u);
  EXPECT_EQ(in(MSR), 0xb0u);
  EXPECT_FALSE(irq.level());
}

TEST_F(Uart, BytesLeaveAtOnceAndTheTransmitterStaysEmpty) {
  for (const char c : std::string("hello")) {
    EXPECT_EQ(in(LSR)&0x60, 0x60u);
    out(THR, static_cast<u8>(c));
  }
  EXPECT_EQ(line.take_text(), "hello");
  EXPECT_FALSE(irq.level());
}

TEST_F(Uart, DivisorLatchHidesDataAndIer) {
  out(LCR, 0x83);
  out(DLL, 0x34);
  out(DLM, 0x12);
  EXPECT_EQ(in(DLL), 0x34u);
  EXPECT_EQ(in(DLM), 0x12u);
  out(LCR, 0x03);
  EXPECT_EQ(in(IER), 0u);
  EXPECT_EQ(line.take_text(), "");
}

TEST_F(Uart, ScratchAndFifoDetection) {
  out(SCR, 0x5a);
  EXPECT_EQ(in(SCR), 0x5au);
  EXPECT_EQ(in(IIR)&0xc0, 0u);
  out(FCR, 0x01);
  EXPECT_EQ(in(IIR)&0xc0, 0xc0u);
}

TEST_F(Uart, TransmitterInterrupt) {
  out(IER, 0x02);
  EXPECT_TRUE(irq.level()) << "enabling it while the register is empty raises it";
  EXPECT_EQ(in(IIR), 0x02u);
  EXPECT_FALSE(irq.level()) << "reading IIR takes it back";
  EXPECT_EQ(in(IIR), 0x01u);
  static_cast<void>(irq.take_rises());
  out(THR, 'a');
  out(THR, 'b');
  EXPECT_EQ(irq.take_rises(), 2u) << "each write makes an edge for the 8259";
  EXPECT_EQ(in(IIR), 0x02u);
}

TEST_F(Uart, ReceiveWithoutFifo) {
  out(IER, 0x01);
  line.type("ab");
  EXPECT_EQ(line.waiting(), "b");
  EXPECT_TRUE(irq.level());
  EXPECT_EQ(in(IIR), 0x04u);
  EXPECT_EQ(in(LSR), 0x61u);
  EXPECT_EQ(in(RBR), unsigned{'a'});
  EXPECT_EQ(in(RBR), unsigned{'b'}) << "the freed register took the next byte";
  EXPECT_EQ(in(LSR), 0x60u);
  EXPECT_FALSE(irq.level());
}

TEST_F(Uart, FifoTriggerLevelAndTimeout) {
  out(LCR, 0x83);
  out(DLL, 1);  // 115200 baud: four characters are 347222 ns
  out(DLM, 0);
  out(LCR, 0x03);
  out(FCR, 0x81);  // trigger level 8
  out(IER, 0x01);
  line.type("1234567");
  EXPECT_FALSE(irq.level());
  clock.advance(347'221);
  EXPECT_FALSE(irq.level());
  clock.advance(1);
  EXPECT_TRUE(irq.level());
  EXPECT_EQ(in(IIR), 0xccu);
  EXPECT_EQ(in(RBR), unsigned{'1'});
  EXPECT_FALSE(irq.level()) << "a read takes the timeout back";
  line.type("89");
  EXPECT_EQ(in(IIR), 0xc4u);
  EXPECT_TRUE(irq.level());
}

TEST_F(Uart, FullFifoHoldsTheHostBack) {
  out(FCR, 0x01);
  line.type("0123456789abcdefXYZ");
  EXPECT_EQ(line.waiting(), "XYZ");
  for (int i = 0; i < 16; ++i) static_cast<void>(in(RBR));
  EXPECT_EQ(line.waiting(), "");
  EXPECT_EQ(in(RBR), unsigned{'X'});
  out(FCR, 0x03);
  EXPECT_EQ(in(LSR)&1, 0u) << "the reset emptied it";
}

TEST_F(Uart, InterruptPriorities) {
  out(MCR, 0x10);
  out(IER, 0x0f);
  out(MCR, 0x13);  // CTS and DSR come back
  out(THR, 'x');
  out(THR, 'y');  // overrun
  EXPECT_EQ(in(IIR), 0x06u);
  EXPECT_EQ(in(LSR), 0x63u);
  EXPECT_EQ(in(IIR), 0x04u);
  EXPECT_EQ(in(RBR), unsigned{'y'}) << "without FIFO the newer byte wins";
  EXPECT_EQ(in(IIR), 0x02u);
  EXPECT_EQ(in(IIR), 0x00u);
  EXPECT_EQ(in(MSR)&0xf0, 0x30u);
  EXPECT_EQ(in(IIR), 0x01u);
  EXPECT_FALSE(irq.level());
}

TEST_F(Uart, LoopbackConnectsModemLinesAndKeepsBytesInside) {
  out(MCR, 0x10);
  EXPECT_EQ(in(MSR)&0xf0, 0u);
  out(MCR, 0x1a);  // RTS and OUT2, the probe that Linux makes
  EXPECT_EQ(in(MSR)&0xf0, 0x90u);
  out(MCR, 0x14);
  EXPECT_EQ(in(MSR)&0xf0, 0x40u);
  out(MCR, 0x10);
  EXPECT_EQ(in(MSR)&0x04, 0x04u) << "the end of the ring";
  out(THR, 'q');
  EXPECT_EQ(in(RBR), unsigned{'q'});
  EXPECT_EQ(line.take_text(), "");
  line.type("z");
  EXPECT_EQ(line.waiting(), "z");
  out(MCR, 0x00);
  EXPECT_EQ(line.waiting(), "");
}

TEST_F(Uart, FifoOverrunLosesTheNewByte) {
  out(MCR, 0x10);
  out(FCR, 0x01);
  for (u8 i = 0; i < 17; ++i) out(THR, i);
  EXPECT_EQ(in(LSR), 0x63u);
  EXPECT_EQ(in(LSR), 0x61u);
  for (unsigned i = 0; i < 16; ++i) EXPECT_EQ(in(RBR), i);
  EXPECT_EQ(in(LSR), 0x60u);
}

TEST_F(Uart, BreakComesAsAZeroByteWithItsFlag) {
  out(FCR, 0x01);
  out(IER, 0x04);
  line.type("a");
  uart.receive_break();
  EXPECT_EQ(in(LSR), 0xe1u) << "an error is in the FIFO, but not at its head";
  EXPECT_FALSE(irq.level());
  EXPECT_EQ(in(RBR), unsigned{'a'});
  EXPECT_EQ(in(IIR), 0xc6u);
  EXPECT_EQ(in(LSR), 0xf1u);
  EXPECT_FALSE(irq.level());
  EXPECT_EQ(in(RBR), 0u);
}

TEST_F(Uart, ModemInputChangesInterrupt) {
  out(IER, 0x08);
  uart.set_modem_inputs(0x30);
  EXPECT_TRUE(irq.level());
  EXPECT_EQ(in(IIR), 0x00u);
  EXPECT_EQ(in(MSR), 0x38u);
  EXPECT_FALSE(irq.level());
}

}  // namespace
}  // namespace emu
