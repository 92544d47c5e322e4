// SPDX-License-Identifier: Apache-2.0
// The file that names generated code for perf(1).
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <sstream>

#include "tcg/small_guest.h"

namespace emu {
namespace {

TEST(PerfMap, NamesEveryTranslation) {
  const std::string path = "/tmp/perf-" + std::to_string(::getpid()) + ".map";
  {
    TcgOptions options;
    options.perf_map = true;
    SmallGuest g(options);
    g.assemble(SmallGuest::kCodeAt, [](asmjit::x86::Assembler& a) {
      a.mov(asmjit::x86::eax, 7);
      a.out(0xf4, asmjit::x86::eax);
      a.hlt();
    });
    g.run(g.long_mode());
    EXPECT_EQ(g.exit_value, 7u);
  }
  std::ifstream file(path);
  std::string line;
  bool stubs = false, block = false;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    u64 start = 0, size = 0;
    std::string name;
    words >> std::hex >> start >> size >> name;
    EXPECT_NE(start, 0u) << line;
    EXPECT_NE(size, 0u) << line;
    stubs = stubs || name == "emu_stubs";
    block = block || name == "guest_0x10000";
  }
  EXPECT_TRUE(stubs);
  EXPECT_TRUE(block);
  std::remove(path.c_str());
}

}  // namespace
}  // namespace emu
