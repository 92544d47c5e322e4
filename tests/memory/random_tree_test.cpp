// SPDX-License-Identifier: Apache-2.0
// Random region trees against a model that asks the tree anew for every single byte.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "memory/address_space.h"
#include "memory/recording_handler.h"

namespace emu {
namespace {

constexpr u64 kSpaceBytes = 160;
constexpr AccessSizes kSizes{1, 8, true};

// What one byte of an address space is.
struct Cell {
  bool is_ram = false;
  bool writable = false;
  const IoHandler* handler = nullptr;
  u64 offset = 0;  // into the RAM block or the handler's window
  bool operator==(const Cell&) const = default;
};

// The model's copy of a region, resolved byte by byte.
struct Node {
  std::unique_ptr<Region> region;
  std::unique_ptr<RecordingHandler> handler;
  Region::Kind kind{};
  u64 size = 0;
  u64 offset = 0;
  u64 inner_offset = 0;  // into RAM, or of an alias into its target
  int priority = 0;
  bool enabled = true;
  bool read_only = false;
  Node* parent = nullptr;
  Node* target = nullptr;
  std::vector<Node*> children;  // in the order they were added

  [[nodiscard]] bool resolve(u64 at, bool protect, Cell& cell) const {
    if (!enabled || at >= size) return false;
    protect = protect || read_only;
    std::vector<Node*> order(children.rbegin(), children.rend());
    std::stable_sort(order.begin(), order.end(),
                     [](Node* a, Node* b) { return a->priority > b->priority; });
    for (const Node* child : order) {
      if (at >= child->offset && child->resolve(at - child->offset, protect, cell)) return true;
    }
    switch (kind) {
      case Region::Kind::kContainer:
        return false;
      case Region::Kind::kAlias:
        return target->resolve(at + inner_offset, protect, cell);
      case Region::Kind::kMmio:
        cell = {false, false, handler.get(), at};
        return true;
      case Region::Kind::kRam:
        cell = {true, !protect, nullptr, at + inner_offset};
        return true;
      case Region::Kind::kRom:
        cell = {true, false, handler.get(), at + inner_offset};
        return true;
    }
    return false;
  }
};

// Adds up listener calls; must equal the view at all times.
class Ledger final : public AddressSpaceListener {
 public:
  void range_removed(const FlatRange& r) override {
    EXPECT_FALSE(adding_) << "a removal after an addition";
    const auto it = ranges_.find(r.start);
    ASSERT_NE(it, ranges_.end());
    EXPECT_EQ(it->second, r);
    ranges_.erase(it);
  }
  void range_added(const FlatRange& r) override {
    adding_ = true;
    EXPECT_TRUE(ranges_.emplace(r.start, r).second);
  }
  void commit() override { adding_ = false; }
  void compare(const FlatView& view) const {
    ASSERT_EQ(ranges_.size(), view.ranges().size());
    for (const FlatRange& r : view.ranges()) EXPECT_EQ(ranges_.at(r.start), r);
  }

 private:
  std::map<u64, FlatRange> ranges_;
  bool adding_ = false;
};

class RandomTree {
 public:
  explicit RandomTree(unsigned seed) : random_(seed) {
    ram_ = std::move(*GuestRam::create("random", kPageBytes));
    make(Region::Kind::kContainer, kSpaceBytes);
    for (int i = 0; i < 14; ++i) make_random();
    space_ = std::make_unique<AddressSpace>(*nodes_[0]->region);
    space_->add_listener(ledger_);
  }
  ~RandomTree() {
    space_->remove_listener(ledger_);
    space_.reset();
  }

  void step() {
    Node& n = *nodes_[1 + pick(nodes_.size() - 1)];
    switch (pick(6)) {
      case 0:
        place(n);
        break;
      case 1:
        n.region->set_enabled(n.enabled = !n.enabled);
        break;
      case 2:
        n.region->set_offset(n.offset = pick(kSpaceBytes));
        break;
      case 3:
        protect(n);
        break;
      case 4:
        if (n.kind == Region::Kind::kAlias) n.region->set_alias_offset(n.inner_offset = pick(60));
        break;
      default:
        unplace(n);
        break;
    }
  }

  void check() const {
    const auto view = space_->view();
    u64 end = 0;
    for (const FlatRange& r : view->ranges()) {
      EXPECT_GE(r.start, end);
      end = r.start + r.length_bytes;
    }
    for (u64 at = 0; at < kSpaceBytes + 8; ++at) {
      Cell expected;
      const bool found = nodes_[0]->resolve(at, false, expected);
      const FlatRange* r = view->find(at);
      ASSERT_EQ(r != nullptr, found) << at << "\n" << space_->describe();
      if (r != nullptr) {
        ASSERT_TRUE(cell_of(*r, at) == expected) << at << "\n" << space_->describe();
      }
    }
    ledger_.compare(*view);
  }

 private:
  static Cell cell_of(const FlatRange& r, u64 at) {
    const u64 in = at - r.start;
    if (r.ram == nullptr) return {false, false, r.handler, r.handler_offset + in};
    return {true, r.writable, r.handler, r.ram_offset + in};
  }

  u64 pick(u64 below) { return std::uniform_int_distribution<u64>(0, below - 1)(random_); }

  Node& make(Region::Kind kind, u64 size) {
    auto node = std::make_unique<Node>();
    node->kind = kind;
    node->size = size;
    const std::string name = fmt::format("n{}", nodes_.size());
    if (kind == Region::Kind::kMmio || kind == Region::Kind::kRom)
      node->handler = std::make_unique<RecordingHandler>(size, kSizes);
    if (kind == Region::Kind::kRam || kind == Region::Kind::kRom) node->inner_offset = pick(200);
    if (kind == Region::Kind::kAlias) {
      node->target = nodes_[1 + pick(nodes_.size() - 1)].get();
      node->inner_offset = pick(40);
    }
    node->region = make_region(*node, name);
    nodes_.push_back(std::move(node));
    return *nodes_.back();
  }

  std::unique_ptr<Region> make_region(Node& n, const std::string& name) {
    switch (n.kind) {
      case Region::Kind::kRam:
        return Region::ram(name, *ram_, n.inner_offset, n.size);
      case Region::Kind::kRom:
        return Region::rom(name, *ram_, n.inner_offset, n.size, n.handler.get());
      case Region::Kind::kMmio:
        return Region::mmio(name, n.size, *n.handler, kSizes);
      case Region::Kind::kAlias:
        return Region::alias(name, *n.target->region, n.inner_offset, n.size);
      case Region::Kind::kContainer:
        break;
    }
    return Region::container(name, n.size);
  }

  void make_random() {
    const auto kind = static_cast<Region::Kind>(nodes_.size() == 1 ? 1 : pick(5));
    Node& n = make(kind, 1 + pick(64));
    place(n);
  }

  // Only below older nodes that no alias leads back from: that keeps the tree free of cycles.
  void place(Node& n) {
    if (n.parent != nullptr) return;
    Node& parent = *nodes_[pick(2) == 0 ? 0 : pick(index_of(n))];
    if (&parent == &n || (&parent != nodes_[0].get() && reaches(n, parent))) return;
    n.parent = &parent;
    n.offset = pick(kSpaceBytes);
    n.priority = static_cast<int>(pick(3)) - 1;
    parent.children.push_back(&n);
    parent.region->add(*n.region, n.offset, n.priority);
  }
  void unplace(Node& n) {
    if (n.parent == nullptr) return;
    std::erase(n.parent->children, &n);
    n.parent->region->remove(*n.region);
    n.parent = nullptr;
  }
  void protect(Node& n) {
    if (n.kind == Region::Kind::kRom || n.kind == Region::Kind::kMmio) return;
    n.region->set_read_only(n.read_only = !n.read_only);
  }
  [[nodiscard]] bool reaches(const Node& from, const Node& to) const {
    if (&from == &to) return true;
    if (from.target != nullptr && reaches(*from.target, to)) return true;
    return std::any_of(from.children.begin(), from.children.end(),
                       [&](const Node* child) { return reaches(*child, to); });
  }
  [[nodiscard]] u64 index_of(const Node& n) const {
    for (u64 i = 0; i < nodes_.size(); ++i) {
      if (nodes_[i].get() == &n) return i;
    }
    return 0;
  }

  std::mt19937 random_;
  std::unique_ptr<GuestRam> ram_;
  std::vector<std::unique_ptr<Node>> nodes_;
  Ledger ledger_;
  std::unique_ptr<AddressSpace> space_;
};

TEST(RandomTree, FlatViewEqualsTheByteByByteModel) {
  for (unsigned seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    RandomTree tree(seed);
    tree.check();
    for (int i = 0; i < 60 && !::testing::Test::HasFatalFailure(); ++i) {
      tree.step();
      tree.check();
    }
  }
}

// Any mixture of sizes and offsets reads and writes the same bytes as one access per byte.
TEST(RandomAccess, SplitAccessesMoveTheRightBytes) {
  std::mt19937 random(7);
  auto pick = [&](u64 below) { return std::uniform_int_distribution<u64>(0, below - 1)(random); };
  for (int i = 0; i < 400; ++i) {
    const unsigned max_log = static_cast<unsigned>(pick(4));
    const AccessSizes sizes{1, static_cast<u8>(1 << max_log), pick(2) == 0};
    RecordingHandler device(64, sizes);
    auto root = Region::container("root", kGiB);
    auto window = Region::mmio("device", 64, device, sizes);
    root->add(*window, 0x100);
    AddressSpace space(*root);
    std::vector<u8> bytes(1 + pick(20));
    const u64 at = pick(64 - bytes.size());
    space.read(0x100 + at, bytes);
    for (u64 b = 0; b < bytes.size(); ++b) ASSERT_EQ(bytes[b], at + b);
    for (u8& b : bytes) b = static_cast<u8>(b ^ 0xFF);
    space.write(0x100 + at, bytes);
    for (u64 b = 0; b < 64; ++b) {
      const bool is_written = b >= at && b < at + bytes.size();
      ASSERT_EQ(device.byte(b), is_written ? (b ^ 0xFF) : b);
    }
  }
}

// Reads of registers wider than the access see the right byte lanes.
TEST(RandomAccess, WidenedReadsSeeTheRightLanes) {
  std::mt19937 random(8);
  auto pick = [&](u64 below) { return std::uniform_int_distribution<u64>(0, below - 1)(random); };
  for (int i = 0; i < 400; ++i) {
    const unsigned min_log = 1 + static_cast<unsigned>(pick(3));
    const AccessSizes sizes{static_cast<u8>(1 << min_log), 8, pick(2) == 0};
    RecordingHandler device(64, sizes);
    auto root = Region::container("root", kGiB);
    auto window = Region::mmio("device", 64, device, sizes);
    root->add(*window, 0x100);
    AddressSpace space(*root);
    std::vector<u8> bytes(1 + pick(20));
    const u64 at = pick(64 - bytes.size());
    space.read(0x100 + at, bytes);
    for (u64 b = 0; b < bytes.size(); ++b) ASSERT_EQ(bytes[b], at + b);
  }
}

}  // namespace
}  // namespace emu
