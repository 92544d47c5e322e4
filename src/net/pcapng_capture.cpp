// SPDX-License-Identifier: Apache-2.0
#include "net/pcapng_capture.h"

#include <cerrno>
#include <chrono>
#include <vector>

#include "base/bits.h"

namespace emu {
namespace {

constexpr u32 kSectionHeader = 0x0a0d0d0a, kInterface = 1, kPacket = 6, kByteOrder = 0x1a2b3c4d;
constexpr u16 kEthernet = 1;
constexpr u16 kTimeResolution = 9, kFlags = 2, kEnd = 0;  // options
constexpr u32 kInbound = 1, kOutbound = 2;

template <class T>
void put(std::vector<u8>& out, T value) {
  out.resize(out.size() + sizeof value);
  store_le(&out[out.size() - sizeof value], value);
}

// Type, length, body, length.
void write_block(std::FILE* file, u32 type, const std::vector<u8>& body) {
  std::vector<u8> block;
  const auto length = static_cast<u32>(body.size() + 12);
  put(block, type);
  put(block, length);
  block.insert(block.end(), body.begin(), body.end());
  put(block, length);
  std::fwrite(block.data(), 1, block.size(), file);
}

}  // namespace

Result<std::unique_ptr<PcapngCapture>> PcapngCapture::create(const std::string& path,
                                                             std::unique_ptr<NetBackend> inner) {
  File file(std::fopen(path.c_str(), "wbe"));
  if (!file) return fail_errno(errno, "--capture: cannot write {}", path);
  std::unique_ptr<PcapngCapture> out(new PcapngCapture(std::move(file), std::move(inner)));
  out->write_header();
  return out;
}

PcapngCapture::~PcapngCapture() {
  inner_->set_receiver(nullptr);
}

void PcapngCapture::write_header() {
  std::vector<u8> section;
  put(section, kByteOrder);
  put(section, u16{1});
  put(section, u16{0});
  put(section, ~u64{0});  // section length: not known
  write_block(file_.get(), kSectionHeader, section);
  std::vector<u8> interface;
  put(interface, kEthernet);
  put(interface, u16{0});
  put(interface, u32{0});  // no limit
  put(interface, kTimeResolution);
  put(interface, u16{1});
  put(interface, u32{9});  // nanoseconds; three bytes of padding
  put(interface, u32{kEnd});
  write_block(file_.get(), kInterface, interface);
  std::fflush(file_.get());
}

void PcapngCapture::write_packet(std::span<const u8> frame, u32 direction) {
  const auto now =
      std::chrono::system_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
  std::vector<u8> body;
  put(body, u32{0});  // interface
  put(body, static_cast<u32>(static_cast<u64>(now) >> 32));
  put(body, static_cast<u32>(now));
  put(body, static_cast<u32>(frame.size()));
  put(body, static_cast<u32>(frame.size()));
  body.insert(body.end(), frame.begin(), frame.end());
  body.resize(align_up(body.size(), 4));
  put(body, kFlags);
  put(body, u16{4});
  put(body, direction);
  put(body, u32{kEnd});
  write_block(file_.get(), kPacket, body);
}

void PcapngCapture::send(std::span<const u8> frame, const Offload& offload) {
  write_packet(frame, kOutbound);
  inner_->send(frame, offload);
}

void PcapngCapture::set_receiver(NetReceiver* receiver) {
  receiver_ = receiver;
  inner_->set_receiver(receiver == nullptr ? nullptr : this);
}

void PcapngCapture::set_running(bool running) {
  if (!running) std::fflush(file_.get());
  inner_->set_running(running);
}

bool PcapngCapture::receive(std::span<const u8> frame, const Offload& offload) {
  if (receiver_ == nullptr) return true;
  if (!receiver_->receive(frame, offload)) return false;
  write_packet(frame, kInbound);
  return true;
}

bool PcapngCapture::takes_offloads() const {
  return receiver_ != nullptr && receiver_->takes_offloads();
}

void PcapngCapture::received() {
  if (receiver_ != nullptr) receiver_->received();
}

}  // namespace emu
