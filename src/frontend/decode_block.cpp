// SPDX-License-Identifier: Apache-2.0
// Fetching, decoding and flag liveness of one block.
// Source: Intel SDM vol. 3 6.15 (#GP for instructions over 15 bytes), vol. 3 5.3 (CS limit).
#include "frontend/decode_block.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "cpu/cpu_state.h"
#include "cpu/fault.h"
#include "frontend/classify.h"
#include "frontend/decode_cache.h"

namespace emu {
namespace {

constexpr unsigned kMaxLength = 15;

// One decoder for every machine mode and stack width.
class Decoders {
 public:
  Decoders() {
    init(k64, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    init_pair(kCompat32, ZYDIS_MACHINE_MODE_LONG_COMPAT_32);
    init_pair(kCompat16, ZYDIS_MACHINE_MODE_LONG_COMPAT_16);
    init_pair(kLegacy32, ZYDIS_MACHINE_MODE_LEGACY_32);
    init_pair(kLegacy16, ZYDIS_MACHINE_MODE_LEGACY_16);
    init_pair(kReal16, ZYDIS_MACHINE_MODE_REAL_16);
  }

  [[nodiscard]] const ZydisDecoder& get(TranslationMode mode) const {
    if (mode.code64()) return decoders_[k64];
    const bool code16 = mode.code() == CodeSize::k16;
    unsigned index = code16 ? kLegacy16 : kLegacy32;
    if (mode.long_mode != 0) {
      index = code16 ? kCompat16 : kCompat32;
    } else if (code16 && (mode.protected_mode == 0 || mode.vm86 != 0)) {
      index = kReal16;
    }
    if (static_cast<CodeSize>(mode.stack_size) != CodeSize::k16) ++index;
    return decoders_[index];
  }

 private:
  enum : unsigned { k64, kCompat32, kCompat16 = 3, kLegacy32 = 5, kLegacy16 = 7, kReal16 = 9 };

  void init_pair(unsigned index, ZydisMachineMode mode) {
    init(index, mode, ZYDIS_STACK_WIDTH_16);
    init(index + 1, mode, ZYDIS_STACK_WIDTH_32);
  }
  void init(unsigned index, ZydisMachineMode mode, ZydisStackWidth width) {
    ZydisDecoder& d = decoders_[index];
    ZydisDecoderInit(&d, mode, width);
    // Never offered: their opcodes are the hint NOPs that they were before.
    ZydisDecoderEnableMode(&d, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
    ZydisDecoderEnableMode(&d, ZYDIS_DECODER_MODE_CET, ZYAN_FALSE);
    ZydisDecoderEnableMode(&d, ZYDIS_DECODER_MODE_CLDEMOTE, ZYAN_FALSE);
  }

  std::array<ZydisDecoder, 11> decoders_;
};

const ZydisDecoder& decoder_for(TranslationMode mode) {
  static const Decoders decoders;
  return decoders.get(mode);
}

void make_fault(GuestInstruction& g, u8 vector, u8 length) {
  g.kind = InstructionClass::kInvalid;
  g.ends_block = true;
  g.vector = vector;
  g.length = length;
  g.flags_read = static_cast<u16>(kFlagsArithmetic);
  g.flags_written = 0;
  g.info.mnemonic = ZYDIS_MNEMONIC_INVALID;
  g.info.length = length;
  g.info.operand_count = g.info.operand_count_visible = 0;
}

enum class Step : u8 { kDecoded, kNeedsMore };

// Decodes from `available` bytes already copied to g.bytes.
Step decode_one(GuestInstruction& g, TranslationMode mode, std::size_t available,
                DecodeCache* cache) {
  if (cache != nullptr && cache->find(g, mode, available)) return Step::kDecoded;
  const ZydisDecoder& decoder = decoder_for(mode);
  ZydisDecoderContext context;
  ZyanStatus status =
      ZydisDecoderDecodeInstruction(&decoder, &context, g.bytes, available, &g.info);
  if (ZYAN_SUCCESS(status)) {
    status =
        ZydisDecoderDecodeOperands(&decoder, &context, &g.info, g.operands, g.info.operand_count);
  }
  if (ZYAN_SUCCESS(status)) {
    g.length = g.info.length;
    classify(g, mode);
    if (cache != nullptr) cache->add(g, mode);
    return Step::kDecoded;
  }
  if (status == ZYDIS_STATUS_NO_MORE_DATA && available < kMaxLength) return Step::kNeedsMore;
  const bool too_long =
      status == ZYDIS_STATUS_NO_MORE_DATA || status == ZYDIS_STATUS_INSTRUCTION_TOO_LONG;
  make_fault(g, too_long ? kVectorGp : kVectorUd, 1);
  return Step::kDecoded;
}

class BlockDecoder {
 public:
  BlockDecoder(const FetchWindow& window, TranslationMode mode, const DecodeLimits& limits,
               GuestBlock& block, DecodeCache* cache)
      : window_(window), mode_(mode), limits_(limits), block_(block), cache_(cache) {}

  DecodeStatus run() {
    const unsigned maximum = mode_.single_step != 0 ? 1 : std::max(limits_.max_instructions, 1u);
    while (count_ < maximum) {
      if (block_.instructions.size() <= count_) block_.instructions.emplace_back();
      GuestInstruction& g = block_.instructions[count_];
      const Outcome outcome = next(g);
      if (outcome == Outcome::kNeedsNextPage) return DecodeStatus::kNeedsNextPage;
      if (outcome == Outcome::kEnd) break;
      ++count_;
      offset_ += g.length;
      if (g.ends_block || block_.crosses_page) break;
    }
    finish();
    return DecodeStatus::kOk;
  }

 private:
  enum class Outcome : u8 { kTaken, kEnd, kNeedsNextPage };

  Outcome next(GuestInstruction& g) {
    if (offset_ >= window_.page.size()) return Outcome::kEnd;
    g.rip = truncate(block_.rip + offset_);
    g.live_immediate = nullptr;
    if (g.rip > limits_.cs_limit) {
      if (count_ != 0) return Outcome::kEnd;
      make_fault(g, kVectorGp, 1);
      return Outcome::kTaken;
    }
    const std::size_t here = std::min<std::size_t>(window_.page.size() - offset_, kMaxLength);
    std::memcpy(g.bytes, window_.page.data() + offset_, here);
    if (decode_one(g, mode_, here, cache_) == Step::kNeedsMore) {
      if (count_ != 0) return Outcome::kEnd;
      if (window_.next_page.empty()) return Outcome::kNeedsNextPage;
      const std::size_t more = std::min<std::size_t>(window_.next_page.size(), kMaxLength - here);
      std::memcpy(g.bytes + here, window_.next_page.data(), more);
      if (decode_one(g, mode_, here + more, cache_) == Step::kNeedsMore)
        make_fault(g, kVectorGp, 1);
      block_.crosses_page = g.length > here;
    }
    if (g.rip + g.length - 1 > limits_.cs_limit) {
      if (count_ != 0) return Outcome::kEnd;
      make_fault(g, kVectorGp, 1);
    }
    return Outcome::kTaken;
  }

  [[nodiscard]] u64 truncate(u64 rip) const { return mode_.code64() ? rip : rip & 0xffffffffu; }

  void finish() {
    block_.instructions.resize(count_);
    block_.length_bytes = static_cast<u32>(offset_);
    block_.next_rip = truncate(block_.rip + offset_);
    u16 live = static_cast<u16>(kFlagsArithmetic);
    for (std::size_t i = count_; i-- > 0;) {
      GuestInstruction& g = block_.instructions[i];
      g.flags_live = live;
      live = static_cast<u16>((live & ~g.flags_written) | g.flags_read);
      g.flags_live_before = live;
    }
  }

  const FetchWindow& window_;
  TranslationMode mode_;
  const DecodeLimits& limits_;
  GuestBlock& block_;
  DecodeCache* cache_;
  std::size_t offset_ = 0;
  std::size_t count_ = 0;
};

}  // namespace

DecodeStatus decode_block(const FetchWindow& window, u64 rip, TranslationMode mode,
                          const DecodeLimits& limits, GuestBlock& block, DecodeCache* cache) {
  block.instructions.reserve(limits.max_instructions);  // entries are large
  block.mode = mode;
  block.rip = rip;
  block.crosses_page = false;
  block.length_bytes = 0;
  return BlockDecoder(window, mode, limits, block, cache).run();
}

}  // namespace emu
