// SPDX-License-Identifier: Apache-2.0
#include "machine/machine.h"

#include <sys/stat.h>
#include <sys/sysinfo.h>

#include <ctime>
#include <future>

#include "block/counting_backend.h"
#include "block/crypt/luks.h"
#include "block/open_disk.h"
#include "kvm/kvm_accelerator.h"
#include "machine/boot/board_setup.h"
#include "machine/boot/text_screen.h"
#include "machine/engine_choice.h"
#include "machine/monitor_commands.h"
#include "machine/network_commands.h"
#include "tcg/tcg_accelerator.h"

namespace emu {
namespace {

// What the host could give at most: memory and swap.
Result<void> check_memory(u64 memory_bytes) {
  struct sysinfo info {};
  if (::sysinfo(&info) != 0) return {};
  const u64 total = (u64{info.totalram} + info.totalswap) * info.mem_unit;
  if (memory_bytes <= total) return {};
  return fail("--memory: the guest wants {} MiB, this host has {} MiB; use -m {}M or less",
              memory_bytes / kMiB, total / kMiB, total / kMiB / 2);
}

DiskFormat disk_format(const DriveConfig& drive) {
  if (!drive.format.empty()) {
    if (const auto named = parse_format_name(drive.format)) return *named;
  }
  return drive.media != DriveMedia::kDisk ? DiskFormat::kRaw : DiskFormat::kAuto;
}

// What a disk's file looks like from outside: a disk that was written to has another time.
std::string disk_identity(const std::string& file) {
  struct stat info {};
  if (file.empty() || ::stat(file.c_str(), &info) != 0) return {};
  return fmt::format("{} {}.{:09}", info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
}

// A unless B is asked for.
std::size_t floppy_position(const DriveConfig& drive) {
  return drive.position == 1 ? 1 : 0;
}

}  // namespace

Machine::Machine(const MachineConfig& config) : config_(config), io_(lock_) {}

Machine::~Machine() {
  control_.reset();
  io_.stop();
  {
    const std::lock_guard guard(lock_);
    run_networks(false);
  }
  if (pc_) unplug();  // before the memory it looks at
  pc_.reset();
}

Result<std::unique_ptr<Machine>> Machine::create(const MachineConfig& config,
                                                 const MachineStreams& streams) {
  EMU_TRY(check_memory(config.memory_bytes));
  std::unique_ptr<Machine> machine(new Machine(config));
  EMU_TRY(machine->open_drives());
  EMU_TRY(machine->load_firmware());
  auto nics = open_networks(config, machine->lock_);
  if (!nics) return nics.error();
  machine->nics_ = std::move(*nics);
  EMU_TRY(machine->build(streams));
  EMU_TRY(machine->make_engine());
  EMU_TRY(machine->reset_state());
  machine->commands_ = machine_commands(*machine);
  std::ranges::move(network_commands(*machine), std::back_inserter(machine->commands_));
  return machine;
}

// The IDE place of a drive without an index: the first that is free and that nobody asks for.
std::size_t Machine::free_ide_place() const {
  const auto wanted = [this](std::size_t place) {
    return std::any_of(config_.drives.begin(), config_.drives.end(), [place](const DriveConfig& d) {
      return d.media != DriveMedia::kFloppy && d.position == static_cast<int>(place);
    });
  };
  std::size_t free = 0;
  while (free < kMaxIdeDrives && (places_[free] != IdePlace::kEmpty || wanted(free))) ++free;
  return free;
}

Result<std::unique_ptr<BlockBackend>> Machine::open_drive(const DriveConfig& drive) {
  const bool cdrom = drive.media == DriveMedia::kCdrom;
  DiskOptions options;
  options.path = drive.file;
  options.format = disk_format(drive);
  options.read_only = drive.read_only || cdrom;
  options.throw_away_writes = drive.snapshot && !cdrom;
  options.cache = drive.cache;
  options.use_ring = drive.use_ring;
  if (!drive.key_file.empty()) {
    auto key = crypt::read_key_file(drive.key_file);
    if (!key) return key.error();
    options.passphrase = std::move(*key);
  }
  options.limits = {drive.bytes_per_second, drive.requests_per_second};
  auto disk = open_disk(options, io_);
  if (!disk) return disk.error();
  return std::unique_ptr<BlockBackend>(
      std::make_unique<CountingBackend>(std::move(*disk), disk_requests_));
}

Result<void> Machine::open_drives() {
  for (const DriveConfig& drive : config_.drives) {
    const std::size_t number = media_files_.size();
    media_files_.push_back(drive.file);
    std::unique_ptr<BlockBackend> disk;
    if (!drive.file.empty()) {
      auto opened = open_drive(drive);
      if (!opened) return opened.error();
      disk = std::move(*opened);
    }
    if (drive.media == DriveMedia::kFloppy) {
      disks_[kMaxIdeDrives + floppy_position(drive)] = std::move(disk);
      drive_of_place_[kMaxIdeDrives + floppy_position(drive)] = number;
      continue;
    }
    if (drive.interface != DriveInterface::kIde) {
      card_disks_.push_back({drive, disk.get()});
      disks_.push_back(std::move(disk));
      drive_of_place_.emplace_back(number);
      continue;
    }
    const std::size_t index =
        drive.position >= 0 ? static_cast<std::size_t>(drive.position) : free_ide_place();
    if (index == kMaxIdeDrives) return fail("more than four drives; the two IDE channels are full");
    places_[index] = drive.media == DriveMedia::kCdrom ? IdePlace::kCdrom : IdePlace::kDisk;
    serials_[index] = drive.serial;
    disks_[index] = std::move(disk);
    drive_of_place_[index] = number;
  }
  return {};
}

std::vector<BlockBackend*> Machine::disks() const {
  std::vector<BlockBackend*> all;
  for (const auto& disk : disks_) {
    if (disk != nullptr) all.push_back(disk.get());
  }
  return all;
}

Result<void> Machine::load_firmware() {
  if (!config_.linux_boot.kernel.empty()) {
    auto vga_bios = Firmware::find_vga_bios(config_.vga_firmware, config_.vga);
    if (!vga_bios) return vga_bios.error();
    firmware_.vga_bios = std::move(*vga_bios);
    return {};
  }
  auto firmware = Firmware::find(config_.firmware, config_.vga_firmware, config_.vga);
  if (!firmware) return firmware.error();
  firmware_ = std::move(*firmware);
  return {};
}

Result<void> Machine::build(const MachineStreams& streams) {
  const auto boot_index = [this](std::size_t place) {
    return drive_of_place_[place] ? config_.drives[*drive_of_place_[place]].boot_index : -1;
  };
  PcHost host{lock_, io_.clock(), io_, streams.serial};
  host.debug_console = streams.debug_console;
  host.audio = streams.audio;
  for (std::size_t i = 0; i < kMaxIdeDrives; ++i) {
    host.drives[i] = {places_[i], disks_[i].get(), serials_[i], boot_index(i)};
  }
  host.disk_cards = card_disks_;
  for (std::size_t i = 0; i < kMaxFloppies; ++i) {
    host.floppies[i] = disks_[kMaxIdeDrives + i].get();
    host.floppy_boot_indexes[i] = boot_index(kMaxIdeDrives + i);
  }
  host.request_reset = [this] { reset(); };
  host.request_power_off = [this] { ask_end(0, {}); };
  host.request_exit = [this](u32 value) { ask_end(static_cast<int>((value << 1 | 1) & 0xff), {}); };
  host.wall_clock = [this] { return wall_clock_seconds(); };
  host.vga_rom = firmware_.vga_bios;
  host.nics = nics_;
  auto pc = Pc::create(config_, host);
  if (!pc) return pc.error();
  pc_ = std::move(*pc);
  if (!firmware_.bios.empty()) EMU_TRY(pc_->map().set_bios(firmware_.bios));
  return {};
}

Result<void> Machine::make_engine() {
  CpuidConfig cpuid;
  cpuid.model = config_.cpu_model;
  cpuid.cpu_count = config_.cpus;
  cpuid.tsc_hz = io_.clock().tsc_hz();
  auto model = CpuidModel::create(cpuid);
  if (!model) return model.error();
  cpuid_ = std::make_unique<CpuidModel>(std::move(*model));
  AddressSpace& memory = pc_->map().memory();
  EngineMakers makers;
  makers.tcg = [&] { return plug_in(create_tcg(memory, io_.clock(), config_.translator)); };
  makers.kvm = [&] { return plug_in(create_kvm(memory, io_.clock(), make_kvm_host())); };
  makers.probe = [] { return probe_kvm(make_kvm_host()); };
  auto line = choose_engine(config_.engine, makers);
  if (!line) return line.error();
  engine_line_ = std::move(*line);
  return {};
}

// Takes the engine and gives each socket its processor; after an error there is none.
Result<void> Machine::plug_in(Result<std::unique_ptr<Accelerator>> engine) {
  if (!engine) return engine.error();
  unplug();
  engine_ = std::move(*engine);
  for (auto& processor : pc_->processors()) {
    auto vcpu = engine_->create_vcpu({processor->index(), processor->apic().id(), cpuid_.get()});
    if (!vcpu) {
      unplug();
      return vcpu.error();
    }
    processor->attach(std::move(*vcpu));
  }
  pc_->set_has_smm(engine_->has_smm());
  return {};
}

// Processors go before their engine.
void Machine::unplug() {
  for (auto& processor : pc_->processors()) processor->attach(nullptr);
  engine_.reset();
}

Result<void> Machine::reset_state() {
  Result<KernelBoot> boot = KernelBoot{};
  const bool direct = !config_.linux_boot.kernel.empty();
  const auto font = find_text_font(firmware_.vga_bios);
  if (direct) {
    boot = prepare_kernel(config_.linux_boot, pc_->map().layout(), {kDirectRsdp, !font.empty()});
    if (!boot) return boot.error();
  }
  const std::lock_guard guard(lock_);
  pc_->reset();
  if (direct) {
    configure_board(pc_->map().ports());
    place_tables(pc_->map().memory(), config_.memory_bytes, config_.cpus);
    if (!font.empty()) set_text_mode(pc_->map().ports(), pc_->map().memory(), font);
    for (const BootChunk& chunk : boot->chunks) {
      pc_->map().memory().write(chunk.address, chunk.bytes);
    }
  }
  const u64 engine_tsc = Frequency{io_.clock().tsc_hz(), 1}.ticks_at(io_.clock().now_ns());
  for (auto& processor : pc_->processors()) {
    CpuState state;
    reset_cpu(state, false);
    state.tsc_offset = u64{0} - engine_tsc;
    if (processor->index() != 0) state.activity = Activity::kWaitForSipi;
    if (direct) configure_memory_types(state, cpuid_->features());
    if (direct && processor->index() == 0) boot->enter(state);
    processor->vcpu().set_state(state);
  }
  return {};
}

void Machine::start() {
  EMU_CHECK(control_ == nullptr);
  io_.start();
  std::vector<Processor*> processors;
  for (auto& processor : pc_->processors()) processors.push_back(processor.get());
  RunControl::Actions actions;
  actions.serve = [this](RunControl::Request request, bool all_stopped) {
    return serve(request, all_stopped);
  };
  actions.stopped = [this](Processor&, const StopReason& reason) { vcpu_stopped(reason); };
  control_ = std::make_unique<RunControl>(std::move(processors), std::move(actions));
  resume();
}

bool Machine::serve(RunControl::Request request, bool all_stopped) {
  if (finished_) return false;
  const u64 asked = switches_asked_;
  if (!all_stopped) {
    stuck_ = true;
    const std::lock_guard guard(end_mutex_);
    end_.status = 1;
    end_.message = "a virtual processor did not stop (a bug in the engine); the disks were flushed";
  }
  switch (request) {
    case RunControl::Request::kResume: {
      const std::lock_guard guard(lock_);
      io_.clock().run();
      run_networks(true);
      paused_ = false;
      break;
    }
    case RunControl::Request::kPause: {
      const std::lock_guard guard(lock_);
      io_.clock().pause();
      run_networks(false);
      paused_ = true;
      break;
    }
    case RunControl::Request::kReset:
      return serve_reset();
    case RunControl::Request::kEnd:
      finish();
      return false;
  }
  const std::lock_guard guard(end_mutex_);
  switches_served_ = asked;
  end_changed_.notify_all();
  return !paused_;
}

bool Machine::serve_reset() {
  if (config_.on_reset == ResetPolicy::kExit) {
    ask_end(0, {});
    return false;
  }
  if (const auto done = reset_state(); !done) {
    ask_end(1, done.error().message);
    return false;
  }
  return !paused_;
}

void Machine::vcpu_stopped(const StopReason& reason) {
  if (reason.kind == StopReason::Kind::kError) {
    ask_end(1, reason.message);
  } else if (reason.kind == StopReason::Kind::kTripleFault) {
    if (config_.stop_on_triple_fault) {
      ask_end(1, "the guest's processor shut down (triple fault)");
    } else {
      reset();
    }
  }
}

void Machine::ask_end(int status, std::string message) {
  {
    const std::lock_guard guard(end_mutex_);
    if (end_asked_) return;  // the first reason counts
    end_asked_ = true;
    end_ = {status, std::move(message)};
  }
  if (control_) control_->request(RunControl::Request::kEnd);
}

void Machine::finish() {
  if (!stuck_) {  // a stuck vCPU may hold the machine lock
    const std::lock_guard guard(lock_);
    io_.clock().pause();
    run_networks(false);
  }
  paused_ = true;
  flush_disks();
  const std::lock_guard guard(end_mutex_);
  finished_ = true;
  end_changed_.notify_all();
}

// Machine lock held. Frames that come meanwhile wait in the backends.
void Machine::run_networks(bool running) {
  for (PcNic& nic : nics_) nic.backend->set_running(running);
}

void Machine::flush_disks() {
  for (BlockBackend* disk : disks()) {
    disk->drain();
    if (disk->read_only()) continue;
    const auto flushed = std::make_shared<std::promise<Result<void>>>();
    disk->submit({BlockOp::kFlush, 0, 0, {}},
                 [flushed](Result<void> result) { flushed->set_value(std::move(result)); });
    auto future = flushed->get_future();
    // Behind a stuck vCPU the completion may not get the machine lock; the flush itself is done.
    if (stuck_ && future.wait_for(std::chrono::seconds(5)) != std::future_status::ready) continue;
    if (const auto result = future.get(); !result) {
      const std::lock_guard guard(end_mutex_);
      end_.status = 1;
      end_.message =
          fmt::format("flushing {} failed: {}", disk->describe(), result.error().message);
    }
  }
}

void Machine::settle_disks() {
  for (BlockBackend* disk : disks()) disk->drain();
  if (control_ == nullptr) return;  // nothing was ever started
  std::promise<void> fence;         // completions were posted before it
  io_.post([&fence] { fence.set_value(); });
  fence.get_future().wait();
}

Result<void> Machine::transfer(StateIo& io) {
  const std::lock_guard guard(lock_);
  EMU_CHECK(paused_ && !io_.clock().running());
  if (io.loading()) pc_->reset();
  io.section("machine", 1, [&] {
    u64 memory_bytes = config_.memory_bytes;
    u32 cpus = config_.cpus;
    u64 now_ns = io_.clock().now_ns();
    io.field(1, "memory_bytes", memory_bytes);
    io.field(2, "cpus", cpus);
    io.field(3, "now_ns", now_ns);
    io.check(memory_bytes == config_.memory_bytes && cpus == config_.cpus && now_ns != kNever,
             "the snapshot is of a machine with another amount of memory or processors");
    if (io.loading() && io.ok()) io_.clock().set_now_ns(now_ns);
  });
  for (auto& processor : pc_->processors()) {
    CpuState state;
    processor->vcpu().state(state);
    io.section(fmt::format("cpu{}", processor->index()), 1, [&] { emu::transfer(state, io); });
    if (!io.loading() || !io.ok()) continue;
    processor->vcpu().set_state(state);
    if (state.smm) pc_->map().smm_changed(true);
  }
  pc_->transfer(io);
  transfer_disks(io);
  return io.finish();
}

// A guest that goes on with an older memory on a newer disk destroys its file systems: the disks
// must be as they were.
void Machine::transfer_disks(StateIo& io) {
  constexpr std::size_t kMaxIdentityBytes = 128;
  for (std::size_t i = 0; i < config_.drives.size(); ++i) {
    const std::string now = disk_identity(media_files_[i]);
    std::string saved = now;
    io.section(fmt::format("drive{}", i), 1,
               [&] { io.field(1, "identity", saved, kMaxIdentityBytes); });
    io.check(saved == now, fmt::format("{} was changed after the snapshot was taken; a guest that "
                                       "goes on from there would destroy its file systems",
                                       media_files_[i]));
  }
}

Result<void> Machine::can_be_saved() const {
  for (const DriveConfig& drive : config_.drives) {
    if (drive.snapshot && !drive.read_only && drive.media != DriveMedia::kCdrom) {
      return fail("cannot save: the changes to {} are thrown away at the end (--snapshot)",
                  drive.file);
    }
  }
  return {};
}

MachineEnd Machine::end() const {
  const std::lock_guard guard(end_mutex_);
  return end_;
}

std::string Machine::engine_counters() {
  std::string out;
  for (auto& processor : pc_->processors()) out += processor->vcpu().counters();
  return out;
}

std::span<const u8> Machine::text_font() const {
  return find_text_font(firmware_.vga_bios);
}

std::string Machine::engine_name() const {
  return engine_->name() == "tcg" ? "translator" : std::string(engine_->name());
}

void Machine::pause() {
  if (!control_) return;
  wants_to_run_ = false;
  ++switches_asked_;
  control_->request(RunControl::Request::kPause);
}

void Machine::resume() {
  if (!control_) return;
  wants_to_run_ = true;
  ++switches_asked_;
  control_->request(RunControl::Request::kResume);
}

void Machine::reset() {
  if (control_) control_->request(RunControl::Request::kReset);
}

void Machine::press_power_button() {
  io_.post([this] { pc_->press_power_button(); });
}

MachineActivity Machine::activity() {
  const MachineLock guard = lock();
  MachineActivity seen{disk_requests_, 0};
  for (const NetCard* card : pc_->net_cards())
    seen.network_frames += card->counters().sent_frames + card->counters().received_frames;
  return seen;
}

bool Machine::hears_power_button() {
  const std::lock_guard guard(lock_);
  return pc_->hears_power_button();
}

void Machine::request_quit() {
  ask_end(0, {});
}

bool Machine::wait_finished(std::chrono::milliseconds limit) {
  std::unique_lock guard(end_mutex_);
  return end_changed_.wait_for(guard, limit, [this] { return finished_.load(); });
}

void Machine::wait_paused() {
  const u64 asked = switches_asked_;
  std::unique_lock guard(end_mutex_);
  end_changed_.wait(guard, [&] { return finished_ || switches_served_ >= asked; });
}

i64 Machine::wall_clock_seconds() const {
  const std::time_t now = std::time(nullptr);
  if (config_.rtc_base == RtcBase::kFixed) return config_.rtc_fixed_seconds;
  if (config_.rtc_base == RtcBase::kUtc) return now;
  std::tm local{};
  ::localtime_r(&now, &local);
  return now + local.tm_gmtoff;
}

}  // namespace emu
