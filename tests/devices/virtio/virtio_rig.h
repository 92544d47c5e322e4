// SPDX-License-Identifier: Apache-2.0
// What a virtio driver does, step by step: it finds the device through its PCI capabilities,
// negotiates, lays out a split ring, and makes chains available.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "base/bits.h"
#include "devices/pci/pci_rig.h"
#include "devices/storage/ide_rig.h"
#include "devices/virtio/virtio_pci.h"

namespace emu {

// A PCI bus with RAM; BARs are placed as firmware would.
struct VirtioRig : PciRig {
  static constexpr u64 kRamBytes = 4 * kMiB;
  static constexpr u64 kModernBase = 0xfe000000, kMsixBase = 0xfe010000;
  static constexpr u16 kLegacyBase = 0xc000;
  static constexpr u8 kDevfn = pci::devfn(4, 0);
  // Where the tests' rings are, one page each for the three parts of a queue.
  static constexpr u64 kRings = 0x10000, kRingStride = 0x4000;

  VirtioRig() { memory->add(*ram_region, 0); }

  void plug(std::unique_ptr<VirtioDevice> device,
            VirtioPci::Interface interface = VirtioPci::Interface::kTransitional) {
    pci =
        std::make_unique<VirtioPci>(bus, kDevfn, "virtio-under-test", std::move(device), interface);
    pci->reset();
    place_bars();
  }
  void place_bars() {
    write(kDevfn, 0x10, kLegacyBase);
    write(kDevfn, 0x14, kMsixBase);
    write(kDevfn, 0x20, kModernBase);
    write(kDevfn, 0x24, 0);
    write(kDevfn, 4, 7, 2);  // I/O, memory, bus master
  }

  // Offset of the vendor capability of this kind in configuration space, or 0.
  u8 find_capability(u8 kind) {
    for (u8 at = static_cast<u8>(read(kDevfn, 0x34, 1)); at != 0;
         at = static_cast<u8>(read(kDevfn, at + 1u, 1))) {
      if (read(kDevfn, at, 1) == 9 && read(kDevfn, at + 3u, 1) == kind) return at;
    }
    return 0;
  }
  u8 msix_at() {
    u8 at = static_cast<u8>(read(kDevfn, 0x34, 1));
    while (at != 0 && read(kDevfn, at, 1) != 0x11) at = static_cast<u8>(read(kDevfn, at + 1u, 1));
    return at;
  }
  // A modern window's address, as its capability gives it.
  u64 window(u8 kind) { return kModernBase + read(kDevfn, find_capability(kind) + 8u); }
  u64 common(u32 offset, unsigned size) {
    return memory_space.load(window(virtio::kCapCommon) + offset, size);
  }
  void set_common(u32 offset, unsigned size, u64 value) {
    memory_space.store(window(virtio::kCapCommon) + offset, size, value);
  }
  u64 device_config(u32 offset, unsigned size) {
    return memory_space.load(window(virtio::kCapDevice) + offset, size);
  }
  u8 isr() { return static_cast<u8>(memory_space.load(window(virtio::kCapIsr), 1)); }

  u64 offered() {
    u64 features = 0;
    for (u32 half = 0; half < 2; ++half) {
      set_common(virtio::kDeviceFeatureSelect, 4, half);
      features |= common(virtio::kDeviceFeature, 4) << (32 * half);
    }
    return features;
  }
  void accept(u64 features) {
    for (u32 half = 0; half < 2; ++half) {
      set_common(virtio::kDriverFeatureSelect, 4, half);
      set_common(virtio::kDriverFeature, 4, features >> (32 * half) & 0xffffffff);
    }
  }
  void status(u8 value) { set_common(virtio::kDeviceStatus, 1, value); }
  u8 status() { return static_cast<u8>(common(virtio::kDeviceStatus, 1)); }

  // 3.1.1 with all queues of size `size`. MSI-X is off: interrupts come through INTx.
  void start(u64 features, u16 size = 8) {
    status(0);
    status(1);
    status(3);
    accept(features | virtio::kFeatureVersion1);
    status(11);
    ASSERT_EQ(status(), 11);
    queue_size = size;
    packed = (features & virtio::kFeaturePacked) != 0;
    const u64 queues = common(virtio::kNumQueues, 2);
    next.assign(queues, Next{});
    for (u64 q = 0; q < queues; ++q) {
      std::vector<u8> zeros(kRingStride);
      memory_space.write(ring(q), zeros);
      set_common(virtio::kQueueSelect, 2, q);
      set_common(virtio::kQueueSize, 2, size);
      const u64 parts[] = {descriptors(q), driver_part(q), device_part(q)};
      for (u32 i = 0; i < 3; ++i) {
        set_common(virtio::kQueueDescriptors + 8 * i, 4, parts[i] & 0xffffffff);
        set_common(virtio::kQueueDescriptors + 8 * i + 4, 4, parts[i] >> 32);
      }
      set_common(virtio::kQueueEnable, 2, 1);
    }
    status(15);
  }

  static u64 ring(u64 queue) { return kRings + queue * kRingStride; }
  static u64 descriptors(u64 queue) { return ring(queue); }
  static u64 driver_part(u64 queue) { return ring(queue) + 0x1000; }
  static u64 device_part(u64 queue) { return ring(queue) + 0x2000; }

  struct Piece {
    u64 address;
    u32 length;
    bool write = false;
  };
  void put_split(u64 at, const Piece& piece, u16 flags, u16 next_index) {
    memory_space.store(at, 8, piece.address);
    memory_space.store(at + 8, 4, piece.length);
    memory_space.store(at + 12, 2, flags | (piece.write ? virtio::kDescriptorWrite : 0u));
    memory_space.store(at + 14, 2, next_index);
  }
  // Makes a chain available whose descriptors start at `head` of the table.
  void offer(u64 queue, const std::vector<Piece>& pieces, u16 head = 0) {
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      const u16 index = static_cast<u16>(head + i);
      const bool last = i + 1 == pieces.size();
      put_split(descriptors(queue) + index * 16u, pieces[i], last ? 0 : virtio::kDescriptorNext,
                static_cast<u16>(index + 1));
    }
    publish(queue, head);
  }
  void publish(u64 queue, u16 head) {
    u16& index = next[queue].available;
    memory_space.store(driver_part(queue) + 4 + 2u * (index % queue_size), 2, head);
    memory_space.store(driver_part(queue) + 2, 2, ++index);
  }
  void notify(u64 queue) { memory_space.store(window(virtio::kCapNotify) + 4 * queue, 2, queue); }
  [[nodiscard]] u16 used_index(u64 queue) {
    return static_cast<u16>(memory_space.load(device_part(queue) + 2, 2));
  }
  struct Used {
    u32 id;
    u32 length;
    bool operator==(const Used&) const = default;
  };
  [[nodiscard]] Used used(u64 queue, u16 index) {
    const u64 at = device_part(queue) + 4 + 8u * (index % queue_size);
    return {static_cast<u32>(memory_space.load(at, 4)),
            static_cast<u32>(memory_space.load(at + 4, 4))};
  }

  struct Next {
    u16 available = 0;
    bool wrap = true;
  };
  std::unique_ptr<GuestRam> ram = std::move(*GuestRam::create("ram", kRamBytes));
  std::unique_ptr<Region> ram_region = Region::ram("ram", *ram, 0, kRamBytes);
  std::unique_ptr<VirtioPci> pci;
  u16 queue_size = 8;
  bool packed = false;
  std::vector<Next> next;
};

}  // namespace emu
