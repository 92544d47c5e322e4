// SPDX-License-Identifier: Apache-2.0
// Repeated string instructions, a page at a time with the host's own, and INS/OUTS.
// Source: Intel SDM vol. 2 REP, MOVS, STOS, LODS, CMPS, SCAS, INS, OUTS; vol. 1 7.3.9.
// Not modelled: a single-step trap after each iteration of a repeated instruction (one after all).
#include <Zydis/Mnemonic.h>

#include "cpu/flags.h"
#include "tcg/scalar_copy.h"
#include "tcg/system_operands.h"

namespace emu {
namespace {

constexpr u64 kOffsetMask = kPageBytes - 1;

enum class StringOp : u8 { kMovs, kStos, kLods, kCmps, kScas, kIns, kOuts };

StringOp op_of(u16 mnemonic) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_MOVSB:
    case ZYDIS_MNEMONIC_MOVSW:
    case ZYDIS_MNEMONIC_MOVSD:
    case ZYDIS_MNEMONIC_MOVSQ:
      return StringOp::kMovs;
    case ZYDIS_MNEMONIC_STOSB:
    case ZYDIS_MNEMONIC_STOSW:
    case ZYDIS_MNEMONIC_STOSD:
    case ZYDIS_MNEMONIC_STOSQ:
      return StringOp::kStos;
    case ZYDIS_MNEMONIC_LODSB:
    case ZYDIS_MNEMONIC_LODSW:
    case ZYDIS_MNEMONIC_LODSD:
    case ZYDIS_MNEMONIC_LODSQ:
      return StringOp::kLods;
    case ZYDIS_MNEMONIC_CMPSB:
    case ZYDIS_MNEMONIC_CMPSW:
    case ZYDIS_MNEMONIC_CMPSD:
    case ZYDIS_MNEMONIC_CMPSQ:
      return StringOp::kCmps;
    case ZYDIS_MNEMONIC_INSB:
    case ZYDIS_MNEMONIC_INSW:
    case ZYDIS_MNEMONIC_INSD:
      return StringOp::kIns;
    case ZYDIS_MNEMONIC_OUTSB:
    case ZYDIS_MNEMONIC_OUTSW:
    case ZYDIS_MNEMONIC_OUTSD:
      return StringOp::kOuts;
    default:
      return StringOp::kScas;
  }
}

// Flags of `a - b` in `bytes`, by the host.
u64 compare_flags(u64 a, u64 b, unsigned bytes) {
  const unsigned shift = 64 - 8 * bytes;  // CF ZF SF OF of the wide compare are the narrow one's
  u64 wide = 0;
  asm("cmp %2, %1\n\tpushfq\n\tpop %0" : "=r"(wide) : "r"(a << shift), "r"(b << shift) : "cc");
  u64 low = 0;
  asm("cmp %b2, %b1\n\tpushfq\n\tpop %0" : "=r"(low) : "q"(a), "q"(b) : "cc");
  constexpr u64 kFromWide = kFlagCf | kFlagZf | kFlagSf | kFlagOf;
  u64 flags = (wide & kFromWide) | (low & kFlagAf);
  // PF is of the low byte of the difference.
  if (__builtin_parity(static_cast<unsigned>((a - b) & 0xff)) == 0) flags |= kFlagPf;
  return flags;
}

class StringRun {
 public:
  StringRun(TcgCpu& t, const SystemCall& c)
      : t_(t),
        c_(c),
        s_(t.cpu()),
        op_(op_of(c.mnemonic)),
        size_(c.operand_bytes),
        mask_(byte_mask(c.address_bytes)),
        down_((s_.rflags & kFlagDf) != 0) {}

  void run();

 private:
  [[nodiscard]] bool reads_source() const {
    return op_ == StringOp::kMovs || op_ == StringOp::kLods || op_ == StringOp::kCmps ||
           op_ == StringOp::kOuts;
  }
  [[nodiscard]] bool uses_destination() const {
    return op_ != StringOp::kLods && op_ != StringOp::kOuts;
  }
  [[nodiscard]] bool writes_destination() const {
    return op_ == StringOp::kMovs || op_ == StringOp::kStos || op_ == StringOp::kIns;
  }
  void set_address(unsigned reg, u64 value) {
    if (c_.address_bytes == 2) {
      s_.gpr[reg] = (s_.gpr[reg] & ~u64{0xffff}) | (value & 0xffff);
    } else {
      s_.gpr[reg] = value & mask_;
    }
  }
  // Elements from `offset` that stay on one page and do not wrap; 0 if not even one does.
  [[nodiscard]] u64 room(u64 offset, u64 linear) const {
    if (down_) return room_below(offset, linear);
    const u64 page = (kPageBytes - (linear & kOffsetMask)) / size_;
    const u64 wrap = mask_ == ~u64{0} ? page : (mask_ - offset + 1) / size_;
    return page < wrap ? page : wrap;
  }
  // The same downwards; the first element is the one at the top.
  [[nodiscard]] u64 room_below(u64 offset, u64 linear) const {
    if (op_ != StringOp::kMovs && op_ != StringOp::kStos) return 0;
    const u64 in_page = linear & kOffsetMask;
    if (in_page + size_ > kPageBytes || mask_ - offset < size_ - 1) return 0;
    const u64 page = in_page / size_ + 1;
    const u64 wrap = offset / size_ + 1;
    return page < wrap ? page : wrap;
  }
  void advance(u64 elements);
  // One page's worth; 0: not possible in bulk; a fault has been delivered if faulted_.
  u64 bulk(u64 count);
  u64 bulk_port(const u8* from, u8* to, u64 n);
  bool element();
  [[nodiscard]] bool check(SegmentIndex index, u64 offset, u64 bytes, bool write, bool deliver);
  bool compare_bulk(const u8* a, const u8* b, u64 n, u64& done_count);

  TcgCpu& t_;
  const SystemCall& c_;
  CpuState& s_;
  StringOp op_;
  unsigned size_;
  u64 mask_;
  bool down_;
  bool faulted_ = false;
  bool stop_ = false;  // REPE/REPNE condition met
};

bool StringRun::check(SegmentIndex index, u64 offset, u64 bytes, bool write, bool deliver) {
  if (s_.code64() && index != kFs && index != kGs) return true;
  const Fault f = check_segment_access(s_, index, offset, static_cast<unsigned>(bytes), write);
  if (f && deliver) {
    t_.fault(f);
    faulted_ = true;
  }
  return !f;
}

void StringRun::advance(u64 elements) {
  const u64 delta = down_ ? u64{0} - elements * size_ : elements * size_;
  if (reads_source()) set_address(kRsi, (s_.gpr[kRsi] & mask_) + delta);
  if (uses_destination()) set_address(kRdi, (s_.gpr[kRdi] & mask_) + delta);
  if (c_.prefix != 0) set_address(kRcx, (s_.gpr[kRcx] & mask_) - elements);
}

template <class T>
u64 compare_run(const u8* a, const u8* b, u64 n, bool while_equal) {
  u64 i = 0;
  while (i < n) {
    T x, y;
    __builtin_memcpy(&x, a + i * sizeof(T), sizeof(T));
    __builtin_memcpy(&y, b + i * sizeof(T), sizeof(T));
    ++i;
    if ((x == y) != while_equal) break;
  }
  return i;
}

template <class T>
u64 scan_run(u64 value, const u8* b, u64 n, bool while_equal) {
  const T x = static_cast<T>(value);
  u64 i = 0;
  while (i < n) {
    T y;
    __builtin_memcpy(&y, b + i * sizeof(T), sizeof(T));
    ++i;
    if ((x == y) != while_equal) break;
  }
  return i;
}

void move_elements(u8* to, const u8* from, u64 n, unsigned size) {
  switch (size) {
    case 1:
      asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
      break;
    case 2:
      asm volatile("rep movsw" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
      break;
    case 4:
      asm volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
      break;
    default:
      asm volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
  }
}

// From the top down; `to` and `from` are the first elements.
void move_elements_down(u8* to, const u8* from, u64 n, unsigned size) {
  for (; n != 0; --n, to -= size, from -= size) {
    u64 value = 0;
    copy_bytes(reinterpret_cast<u8*>(&value), from, size);
    copy_bytes(to, reinterpret_cast<const u8*>(&value), size);
  }
}

void store_elements(u8* to, u64 value, u64 n, unsigned size) {
  switch (size) {
    case 1:
      asm volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(value) : "memory");
      break;
    case 2:
      asm volatile("rep stosw" : "+D"(to), "+c"(n) : "a"(value) : "memory");
      break;
    case 4:
      asm volatile("rep stosl" : "+D"(to), "+c"(n) : "a"(value) : "memory");
      break;
    default:
      asm volatile("rep stosq" : "+D"(to), "+c"(n) : "a"(value) : "memory");
  }
}

// Elements between a port and a page of RAM, as many as the device takes at once.
u64 StringRun::bulk_port(const u8* from, u8* to, u64 n) {
  const auto port = static_cast<u16>(s_.gpr[kRdx]);
  t_.save_vectors();
  const u64 bytes = op_ == StringOp::kIns
                        ? t_.bus().read_port_string(port, size_, {to, n * size_})
                        : t_.bus().write_port_string(port, size_, {from, n * size_});
  return bytes / size_;
}

u64 StringRun::bulk(u64 count) {
  u64 n = count;
  const auto source = static_cast<SegmentIndex>(c_.segment);
  const u64 si = s_.gpr[kRsi] & mask_;
  const u64 di = s_.gpr[kRdi] & mask_;
  const u64 source_linear = segment_linear(s_, source, si).value;
  const u64 target_linear = segment_linear(s_, kEs, di).value;
  if (reads_source()) {
    const u64 r = room(si, source_linear);
    n = n < r ? n : r;
  }
  if (uses_destination()) {
    const u64 r = room(di, target_linear);
    n = n < r ? n : r;
  }
  if (n == 0) return 0;
  const u64 below = down_ ? (n - 1) * size_ : 0;  // from the first element to the lowest
  if (reads_source() && !check(source, si - below, n * size_, false, false)) return 0;
  if (uses_destination() && !check(kEs, di - below, n * size_, writes_destination(), false)) {
    return 0;
  }
  Fault fault;
  const u8* from = nullptr;
  u8* to = nullptr;
  if (reads_source()) {
    from = t_.bulk_host(source_linear - below, false, fault);
    if (from == nullptr) return 0;
  }
  if (uses_destination()) {
    to = t_.bulk_host(target_linear - below, writes_destination(), fault);
    if (to == nullptr) return 0;
  }
  const u64 a = read_gpr(s_, kRax, size_);
  const bool while_equal = c_.prefix != 0xf2;
  u64 ran = n;
  switch (op_) {
    case StringOp::kIns:
    case StringOp::kOuts:
      ran = bulk_port(from, to, n);
      break;
    case StringOp::kMovs:
      // The order shows only where the ranges overlap.
      if (down_ && to < from + n * size_ && from < to + n * size_) {
        move_elements_down(to + below, from + below, n, size_);
      } else {
        move_elements(to, from, n, size_);
      }
      break;
    case StringOp::kStos:
      store_elements(to, a, n, size_);
      break;
    case StringOp::kLods: {
      u64 value = 0;
      copy_bytes(reinterpret_cast<u8*>(&value), from + (n - 1) * size_, size_);
      write_gpr(s_, kRax, size_, value);
      break;
    }
    case StringOp::kCmps:
      ran = size_ == 1   ? compare_run<u8>(from, to, n, while_equal)
            : size_ == 2 ? compare_run<u16>(from, to, n, while_equal)
            : size_ == 4 ? compare_run<u32>(from, to, n, while_equal)
                         : compare_run<u64>(from, to, n, while_equal);
      break;
    default:
      ran = size_ == 1   ? scan_run<u8>(a, to, n, while_equal)
            : size_ == 2 ? scan_run<u16>(a, to, n, while_equal)
            : size_ == 4 ? scan_run<u32>(a, to, n, while_equal)
                         : scan_run<u64>(a, to, n, while_equal);
  }
  if (op_ == StringOp::kCmps || op_ == StringOp::kScas) {
    u64 x = a;
    u64 y = 0;
    if (op_ == StringOp::kCmps) {
      x = 0;
      copy_bytes(reinterpret_cast<u8*>(&x), from + (ran - 1) * size_, size_);
    }
    copy_bytes(reinterpret_cast<u8*>(&y), to + (ran - 1) * size_, size_);
    s_.rflags = (s_.rflags & ~kFlagsArithmetic) | compare_flags(x, y, size_);
    stop_ = (x == y) != while_equal;
  }
  if (ran != 0) advance(ran);
  return ran;
}

// One element through the general path: any page, any memory, any direction.
bool StringRun::element() {
  const auto source = static_cast<SegmentIndex>(c_.segment);
  const u64 si = s_.gpr[kRsi] & mask_;
  const u64 di = s_.gpr[kRdi] & mask_;
  u64 a = read_gpr(s_, kRax, size_);
  u64 b = 0;
  if (reads_source()) {
    if (!check(source, si, size_, false, true)) return false;
    a = 0;
    if (!done(t_, t_.read_linear(segment_linear(s_, source, si).value, reinterpret_cast<u8*>(&a),
                                 size_, Privilege::kCurrent))) {
      return false;
    }
  }
  const u64 target = segment_linear(s_, kEs, di).value;
  if (uses_destination() && !check(kEs, di, size_, writes_destination(), true)) return false;
  const auto port = static_cast<u16>(s_.gpr[kRdx]);
  if (op_ == StringOp::kIns) {
    if (!done(t_, t_.probe_write(LinearAddr{target}, size_, Privilege::kCurrent))) return false;
    t_.save_vectors();
    a = t_.bus().read_port(port, size_);
  }
  if (writes_destination()) {
    if (!done(t_, t_.write_linear(target, reinterpret_cast<const u8*>(&a), size_,
                                  Privilege::kCurrent))) {
      return false;
    }
  } else if (uses_destination()) {
    if (!done(t_, t_.read_linear(target, reinterpret_cast<u8*>(&b), size_, Privilege::kCurrent))) {
      return false;
    }
    s_.rflags = (s_.rflags & ~kFlagsArithmetic) | compare_flags(a, b, size_);
    stop_ = (a == b) != (c_.prefix != 0xf2);
  }
  if (op_ == StringOp::kLods) write_gpr(s_, kRax, size_, a);
  if (op_ == StringOp::kOuts) {
    t_.save_vectors();
    t_.bus().write_port(port, size_, static_cast<u32>(a));
  }
  advance(1);
  return true;
}

void StringRun::run() {
  if (c_.prefix == 0) {
    element();
    return;
  }
  u64 left = s_.gpr[kRcx] & mask_;
  // A zero count leaves everything alone, but a 32-bit count register is written in 64-bit code.
  while (left != 0) {
    const u64 n = bulk(left);
    if (n == 0 && !element()) return;
    left = s_.gpr[kRcx] & mask_;
    if (stop_) break;
    if (left != 0 && t_.attention()) {
      s_.rip = c_.rip;
      t_.transferred();
      return;
    }
  }
}

}  // namespace

void system_string(TcgCpu& t, const SystemCall& c) noexcept {
  StringRun(t, c).run();
}

void system_string_io(TcgCpu& t, const SystemCall& c) noexcept {
  const auto port = static_cast<u16>(t.cpu().gpr[kRdx]);
  if (!has_io_privilege(t.cpu()) && !done(t, check_io(t.core(), port, c.operand_bytes))) return;
  StringRun(t, c).run();
}

}  // namespace emu
