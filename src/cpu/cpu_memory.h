// SPDX-License-Identifier: Apache-2.0
// The memory accesses a processor makes on its own account: descriptor tables, stacks during
// delivery, task segments, page tables.
#pragma once

#include "base/types.h"
#include "cpu/fault.h"

namespace emu {

// Whose rights count for an access.
enum class Privilege : u8 {
  kCurrent,     // CPL decides; explicit access by an instruction
  kSupervisor,  // implicit supervisor access (GDT, LDT, IDT, TSS), whatever CPL is
  kUser,        // as if CPL were 3 (stack of an outer level)
};

// Implemented by each engine (and by tests over a flat array). Linear accesses honour paging and
// may cross pages; they either succeed entirely or fault without any effect.
class CpuMemory {
 public:
  virtual ~CpuMemory() = default;
  // `size` is 1, 2, 4 or 8 bytes; the value is zero-extended.
  virtual Fault read(LinearAddr address, unsigned size, u64& value, Privilege who) = 0;
  virtual Fault write(LinearAddr address, unsigned size, u64 value, Privilege who) = 0;
  // Faults as a write of [address, address + length) would; changes nothing but A/D bits.
  virtual Fault probe_write(LinearAddr address, u64 length_bytes, Privilege who) = 0;
  // Atomic compare-and-swap of a naturally aligned word; false if it held something else.
  // For descriptor accessed/busy bits.
  virtual Fault compare_exchange(LinearAddr address, unsigned size, u64 expected, u64 desired,
                                 bool& swapped) = 0;

  // Guest-physical, for page walks and SMRAM: no paging, no faults; open bus where nothing is.
  virtual u64 read_phys(PhysAddr address, unsigned size) = 0;
  virtual void write_phys(PhysAddr address, unsigned size, u64 value) = 0;
  virtual bool compare_exchange_phys(PhysAddr address, unsigned size, u64 expected,
                                     u64 desired) = 0;
};

}  // namespace emu
