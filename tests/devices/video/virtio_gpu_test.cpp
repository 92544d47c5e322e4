// SPDX-License-Identifier: Apache-2.0
// A virtio-gpu as its driver sees it: commands, and what is then on the screen.
#include "devices/video/virtio_gpu.h"

#include <gtest/gtest.h>

#include "devices/transfer_test.h"
#include "devices/video/virtio_vga.h"
#include "devices/virtio/virtio_rig.h"

namespace emu {
namespace {

constexpr u64 kCommand = 0x100000, kAnswer = 0x110000, kPixels = 0x200000;
constexpr u32 kBgrx = 2, kBgra = 1, kOk = 0x1100;

struct GpuRig : VirtioRig {
  VirtioGpu* gpu = nullptr;

  GpuRig() {
    auto made = std::make_unique<VirtioGpu>(memory_space, 0x038000);
    gpu = made.get();
    plug(std::move(made), VirtioPci::Interface::kModern);
    start(2);
  }
  // Sends 32-bit words behind a header of this type; the answer's type.
  u32 send(u32 type, const std::vector<u32>& words, u64 queue = 0, u32 answer_bytes = 2048) {
    std::vector<u8> bytes(24 + words.size() * 4);
    store_le(&bytes[0], type);
    for (std::size_t i = 0; i < words.size(); ++i) store_le(&bytes[24 + i * 4], words[i]);
    memory_space.write(kCommand, bytes);
    memory_space.store(kAnswer, 4, 0);
    offer(queue, {{kCommand, static_cast<u32>(bytes.size())}, {kAnswer, answer_bytes, true}});
    notify(queue);
    return static_cast<u32>(memory_space.load(kAnswer, 4));
  }
  u32 answer(u32 at) { return static_cast<u32>(memory_space.load(kAnswer + 24 + at, 4)); }
  u32 create(u32 id, u32 width, u32 height, u32 format = kBgrx) {
    return send(0x101, {id, format, width, height});
  }
  u32 attach(u32 id, u64 address, u32 bytes) {
    return send(0x106, {id, 1, static_cast<u32>(address), 0, bytes, 0});
  }
  u32 scan_out(u32 id, u32 width, u32 height) { return send(0x103, {0, 0, width, height, 0, id}); }
  u32 take(u32 id, GpuRect r, u32 offset) {
    return send(0x105, {r.x, r.y, r.width, r.height, offset, 0, id, 0});
  }
  u32 flush(u32 id, GpuRect r) { return send(0x104, {r.x, r.y, r.width, r.height, id, 0}); }
  void pixel(u32 index, u32 value) { memory_space.store(kPixels + index * u64{4}, 4, value); }
  // A screen of 32 x 8, all black.
  void show_screen() {
    EXPECT_EQ(create(1, 32, 8), kOk);
    EXPECT_EQ(attach(1, kPixels, 32 * 8 * 4), kOk);
    EXPECT_EQ(scan_out(1, 32, 8), kOk);
  }
};

TEST(VirtioGpu, ShowsWhatWasTransferredAndFlushed) {
  GpuRig rig;
  rig.show_screen();
  Frame frame;
  EXPECT_TRUE(rig.gpu->render(frame));
  EXPECT_EQ(frame.width, 32u);
  EXPECT_EQ(frame.height, 8u);
  EXPECT_FALSE(rig.gpu->render(frame));
  rig.pixel(3 * 32 + 5, 0x00123456);
  rig.pixel(4 * 32 + 5, 0x00654321);
  EXPECT_EQ(rig.take(1, {5, 3, 1, 1}, (3 * 32 + 5) * 4), kOk);
  EXPECT_FALSE(rig.gpu->render(frame)) << "not flushed";
  EXPECT_EQ(rig.flush(1, {5, 3, 1, 1}), kOk);
  EXPECT_TRUE(rig.gpu->render(frame));
  EXPECT_EQ(frame.changed_top, 3u);
  EXPECT_EQ(frame.changed_bottom, 4u);
  EXPECT_EQ(frame.pixels[3 * 32 + 5], 0x123456u);
  EXPECT_EQ(frame.pixels[4 * 32 + 5], 0u) << "not transferred";
  EXPECT_EQ(rig.take(1, {0, 4, 32, 4}, 4 * 32 * 4), kOk);
  EXPECT_EQ(rig.flush(1, {0, 4, 32, 4}), kOk);
  rig.gpu->render(frame);
  EXPECT_EQ(frame.pixels[4 * 32 + 5], 0x654321u);
}

TEST(VirtioGpu, EveryFormatHasItsOrderOfBytes) {
  const std::pair<u32, u32> kFormats[] = {{1, 0x44112233},  {2, 0x44112233},  {3, 0x33221144},
                                          {4, 0x33221144},  {67, 0x44332211}, {134, 0x44332211},
                                          {68, 0x11223344}, {121, 0x11223344}};
  for (const auto& [format, stored] : kFormats) {
    GpuRig rig;
    EXPECT_EQ(rig.create(1, 1, 1, format), kOk);
    EXPECT_EQ(rig.attach(1, kPixels, 4), kOk);
    rig.pixel(0, stored);
    EXPECT_EQ(rig.take(1, {0, 0, 1, 1}, 0), kOk);
    EXPECT_EQ(rig.scan_out(1, 1, 1), kOk);
    Frame frame;
    rig.gpu->render(frame);
    EXPECT_EQ(frame.pixels.at(0), 0x112233u) << "format " << format;
  }
}

TEST(VirtioGpu, CursorLiesOverThePicture) {
  GpuRig rig;
  rig.show_screen();
  EXPECT_EQ(rig.create(2, 64, 64, kBgra), kOk);
  EXPECT_EQ(rig.attach(2, kPixels + 0x10000, 64 * 64 * 4), kOk);
  rig.memory_space.store(kPixels + 0x10000, 4, 0xFFFF8040);      // opaque
  rig.memory_space.store(kPixels + 0x10000 + 4, 4, 0x80404040);  // half, premultiplied
  rig.pixel(2 * 32 + 11, 0x00FFFFFF);
  EXPECT_EQ(rig.take(1, {0, 0, 32, 8}, 0), kOk);
  EXPECT_EQ(rig.take(2, {0, 0, 64, 64}, 0), kOk);
  EXPECT_EQ(rig.send(0x300, {0, 10, 2, 0, 2, 0, 0, 0}, 1), kOk);
  Frame frame;
  rig.gpu->render(frame);
  EXPECT_EQ(frame.pixels[2 * 32 + 10], 0xFF8040u);
  EXPECT_EQ(frame.pixels[2 * 32 + 11], 0xBFBFBFu);
  EXPECT_EQ(rig.send(0x301, {0, 0xFFFFFFFF, 0xFFFFFFFF, 0, 0, 0, 0, 0}, 1), kOk) << "upper left";
  rig.gpu->render(frame);
  EXPECT_EQ(frame.pixels[2 * 32 + 10], 0u);
  EXPECT_EQ(rig.send(0x300, {0, 0, 0, 0, 0, 0, 0, 0}, 1), kOk) << "hidden";
}

TEST(VirtioGpu, TellsTheSizeThatTheWindowHas) {
  GpuRig rig;
  EXPECT_EQ(rig.send(0x100, {}), 0x1101u);
  EXPECT_EQ(rig.answer(8), 1280u);
  rig.gpu->set_preferred_size(1000, 700);
  EXPECT_NE(rig.isr() & virtio::kIsrConfig, 0u);
  EXPECT_EQ(rig.device_config(0, 4), 1u) << "events_read: display";
  rig.memory_space.store(rig.window(virtio::kCapDevice) + 4, 4, 1);
  EXPECT_EQ(rig.device_config(0, 4), 0u);
  EXPECT_EQ(rig.send(0x100, {}), 0x1101u);
  EXPECT_EQ(rig.answer(8), 1000u);
  EXPECT_EQ(rig.answer(12), 700u);
  EXPECT_EQ(rig.answer(16), 1u) << "enabled";
  EXPECT_EQ(rig.send(0x10A, {0, 0}), 0x1104u);
  EXPECT_EQ(rig.answer(0), 128u);
  // The detailed timing's active pixels (EDID 1.4, 3.10.2).
  const auto byte = [&](u32 at) {
    return static_cast<u32>(rig.memory_space.load(kAnswer + 32 + at, 1));
  };
  EXPECT_EQ(byte(54 + 2) | (byte(54 + 4) & 0xF0) << 4, 1000u);
  EXPECT_EQ(byte(54 + 5) | (byte(54 + 7) & 0xF0) << 4, 700u);
}

TEST(VirtioGpu, RefusesWhatMakesNoSense) {
  GpuRig rig;
  EXPECT_EQ(rig.create(0, 8, 8), 0x1203u) << "id 0";
  EXPECT_EQ(rig.create(1, 8, 8, 99), 0x1205u) << "format";
  EXPECT_EQ(rig.create(1, 0, 8), 0x1205u);
  EXPECT_EQ(rig.create(1, 16385, 8), 0x1205u);
  EXPECT_EQ(rig.create(1, 16384, 16384), 0x1201u) << "too much memory";
  EXPECT_EQ(rig.create(1, 8, 8), kOk);
  EXPECT_EQ(rig.create(1, 8, 8), 0x1203u) << "there already";
  EXPECT_EQ(rig.attach(1, 0xF0000000, 4096), 0x1200u) << "not RAM";
  EXPECT_EQ(rig.send(0x106, {1, 0xFFFFFFFF}), 0x1200u) << "pieces that are not there";
  EXPECT_EQ(rig.take(1, {0, 0, 8, 8}, 0), 0x1200u) << "no backing";
  EXPECT_EQ(rig.attach(1, kPixels, 64), kOk);
  EXPECT_EQ(rig.take(1, {0, 0, 8, 8}, 0), 0x1200u) << "backing too small";
  EXPECT_EQ(rig.take(1, {1, 0, 8, 1}, 0), 0x1205u);
  EXPECT_EQ(rig.take(1, {0xFFFFFFFF, 0, 2, 1}, 0), 0x1205u);
  EXPECT_EQ(rig.scan_out(1, 9, 8), 0x1205u);
  EXPECT_EQ(rig.scan_out(7, 8, 8), 0x1203u);
  EXPECT_EQ(rig.send(0x103, {0, 0, 8, 8, 1, 1}), 0x1202u);
  EXPECT_EQ(rig.flush(1, {0, 0, 8, 9}), 0x1205u);
  EXPECT_EQ(rig.send(0x10A, {3, 0}), 0x1202u);
  EXPECT_EQ(rig.send(0x777, {}), 0x1200u);
  EXPECT_EQ(rig.scan_out(1, 8, 8), kOk);
  EXPECT_TRUE(rig.gpu->is_showing());
  EXPECT_EQ(rig.send(0x102, {1, 0}), kOk);
  EXPECT_FALSE(rig.gpu->is_showing()) << "what was shown is gone";
}

TEST(VirtioGpu, FencesComeBack) {
  GpuRig rig;
  std::vector<u8> bytes(24);
  store_le<u32>(&bytes[0], 0x100);
  store_le<u32>(&bytes[4], 1);
  store_le<u64>(&bytes[8], 0x1122334455667788);
  rig.memory_space.write(kCommand, bytes);
  rig.offer(0, {{kCommand, 24}, {kAnswer, 408, true}});
  rig.notify(0);
  EXPECT_EQ(rig.memory_space.load(kAnswer + 4, 4), 1u);
  EXPECT_EQ(rig.memory_space.load(kAnswer + 8, 8), 0x1122334455667788u);
  EXPECT_EQ(rig.used(0, 0).length, 408u);
}

// The card, showing a picture.
struct VirtioVgaRig final : DeviceRig {
  VirtioRig rig;
  std::unique_ptr<VirtioVga> card;
  Frame frame;
  VirtioVgaRig() {
    auto memory = VgaMemory::create(256 * kKiB, {});
    card = std::make_unique<VirtioVga>(rig.bus, clock, pci::devfn(2, 0), std::move(*memory));
    card->reset();
  }
  Device& device() override { return *card; }
  std::vector<PciFunction*> functions() override { return {card.get()}; }
  void poke(u64 random) override {
    card->prefer_size(static_cast<u32>(random & 0xFFF), static_cast<u32>(random >> 12 & 0xFFF));
    card->render(frame);
  }
};
INSTANTIATE_TEST_SUITE_P(VirtioVga, TransferTest,
                         testing::Values(device_under_test<VirtioVgaRig>("virtio_vga")),
                         device_under_test_name);

TEST(VirtioGpu, PictureSurvivesASnapshot) {
  GpuRig from;
  from.show_screen();
  from.pixel(7, 0xABCDEF);
  EXPECT_EQ(from.take(1, {0, 0, 32, 8}, 0), kOk);
  StateIo save = StateIo::saver();
  from.pci->transfer(save);
  ASSERT_TRUE(save.finish());
  GpuRig to;
  StateIo load = StateIo::loader(save.bytes());
  to.pci->transfer(load);
  ASSERT_TRUE(load.finish());
  to.pci->resumed();
  Frame frame;
  ASSERT_TRUE(to.gpu->is_showing());
  EXPECT_TRUE(to.gpu->render(frame));
  EXPECT_EQ(frame.pixels.at(7), 0xABCDEFu);
}

}  // namespace
}  // namespace emu
