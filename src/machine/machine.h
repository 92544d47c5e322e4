// SPDX-License-Identifier: Apache-2.0
// A whole PC with its engine, threads and disks: made from a configuration, run, and ended.
// Threads: as MachineControl says; create() and the destructor on one thread.
#pragma once

#include <condition_variable>
#include <memory>
#include <string>
#include <vector>

#include "cpu/cpuid_model.h"
#include "machine/boot/firmware.h"
#include "machine/boot/kernel_boot.h"
#include "machine/control.h"
#include "machine/io_thread.h"
#include "machine/machine_config.h"
#include "machine/pc.h"
#include "machine/run_control.h"

namespace emu {

// Where the machine's byte streams end; they outlive the machine.
struct MachineStreams {
  CharBackend& serial;
  CharBackend* debug_console = nullptr;  // null: the ports are not there
  AudioSink* audio = nullptr;            // null: nobody listens
};

// How a machine ended.
struct MachineEnd {
  int status = 0;       // for the process: 0 power-off, debug-exit's value, 1 error
  std::string message;  // why, for people; may be empty
};

class Machine final : public MachineControl {
 public:
  // Opens images and firmware and builds the machine, paused at its reset state. Errors: one
  // sentence with the fix.
  [[nodiscard]] static Result<std::unique_ptr<Machine>> create(const MachineConfig& config,
                                                               const MachineStreams& streams);
  // Stops everything; disks were flushed if finished().
  ~Machine() override;

  // Lets the guest run; once.
  void start();
  [[nodiscard]] MachineEnd end() const;
  // "disk.qcow2 (qcow2, 3.1 of 20 GiB)" of every drive.
  [[nodiscard]] std::vector<std::string> describe_drives() const;
  // The same with the drives' names, and the state of trays.
  [[nodiscard]] std::vector<std::string> drive_lines();
  [[nodiscard]] std::string engine_counters();
  // "translator. <why not KVM>: <what to do>."
  [[nodiscard]] const std::string& engine_line() const { return engine_line_; }

  // Why the machine cannot be saved to a file and resumed later: a disk whose changes are thrown
  // away at the end. An error, or success.
  [[nodiscard]] Result<void> can_be_saved() const;

  // Whether resume() was the last thing asked for, also before it takes effect.
  [[nodiscard]] bool wants_to_run() const { return wants_to_run_; }

  // For snapshots; the machine is paused or was not started yet. transfer() covers everything but
  // the contents of memory_blocks(). Errors: another configuration, damaged state.
  [[nodiscard]] Result<void> transfer(StateIo& io);
  [[nodiscard]] std::vector<GuestRam*> memory_blocks() { return pc_->memory_blocks(); }
  // Puts another disc or floppy into a drive ("ide1-cd0", "cdrom", "floppy0", "fda"), or with an
  // empty name takes out what is there. Errors: no such drive; the file's; a tray that the guest
  // locked, unless by `force` (it is asked to unlock it).
  [[nodiscard]] Result<void> change_medium(const std::string& drive, const std::string& file,
                                           bool force);
  // Waits until no disk request is in flight.
  void settle_disks();
  [[nodiscard]] Result<void> return_to_reset() { return reset_state(); }
  // Whether a vCPU did not stop when the machine ended: nothing but the process's end helps.
  [[nodiscard]] bool is_stuck() const { return stuck_; }

  // MachineControl
  [[nodiscard]] MachineLock lock() override { return MachineLock(lock_); }
  void pause() override;
  void resume() override;
  [[nodiscard]] bool paused() const override { return paused_; }
  void reset() override;
  void press_power_button() override;
  [[nodiscard]] bool hears_power_button() override;
  void request_quit() override;
  [[nodiscard]] bool finished() const override { return finished_; }
  [[nodiscard]] bool wait_finished(std::chrono::milliseconds limit) override;
  [[nodiscard]] DisplaySource* display() override { return pc_->display(); }
  [[nodiscard]] KeyboardSink* keyboard() override { return pc_->keyboard(); }
  [[nodiscard]] MouseSink* mouse() override { return pc_->mouse(); }
  [[nodiscard]] TabletSink* tablet() override { return pc_->tablet(); }
  [[nodiscard]] MachineActivity activity() override;
  [[nodiscard]] std::string guest_name() const override { return config_.name; }
  [[nodiscard]] std::string engine_name() const override;
  [[nodiscard]] std::span<const u8> text_font() const override;
  [[nodiscard]] std::span<const ControlCommand> commands() const override { return commands_; }
  // Waits until a pause() that was asked for has taken effect (or a later resume(), or the machine
  // ended).
  void wait_paused();

  [[nodiscard]] Pc& pc() { return *pc_; }
  [[nodiscard]] const std::vector<PcNic>& nics() const { return nics_; }
  [[nodiscard]] VmClock& clock() { return io_.clock(); }

 private:
  explicit Machine(const MachineConfig& config);
  [[nodiscard]] Result<void> open_drives();
  [[nodiscard]] Result<std::unique_ptr<BlockBackend>> open_drive(const DriveConfig& drive);
  [[nodiscard]] std::size_t free_ide_place() const;
  // A drive whose medium can be changed is a CD-ROM drive or a floppy drive.
  [[nodiscard]] static bool is_floppy_place(std::size_t index) {
    return index >= kMaxIdeDrives && index < kFirstCard;
  }
  [[nodiscard]] CdromUnit* cdrom_at(std::size_t index) const;
  [[nodiscard]] std::string drive_name(std::size_t index) const;
  [[nodiscard]] Result<std::size_t> find_drive(const std::string& name) const;
  void note_medium(std::size_t index, const std::string& file);
  [[nodiscard]] std::vector<BlockBackend*> disks() const;
  [[nodiscard]] Result<void> load_firmware();
  void run_networks(bool running);
  [[nodiscard]] Result<void> build(const MachineStreams& streams);
  [[nodiscard]] Result<void> make_engine();
  [[nodiscard]] Result<void> plug_in(Result<std::unique_ptr<Accelerator>> engine);
  void unplug();
  [[nodiscard]] Result<void> reset_state();
  [[nodiscard]] bool serve(RunControl::Request request, bool all_stopped);
  void vcpu_stopped(const StopReason& reason);
  [[nodiscard]] bool serve_reset();
  void finish();
  void ask_end(int status, std::string message);
  void flush_disks();
  void transfer_disks(StateIo& io);
  [[nodiscard]] i64 wall_clock_seconds() const;

  const MachineConfig config_;
  std::mutex lock_;  // the machine lock
  IoThread io_;
  // Drives by place: the IDE places, the floppy drives, then those with controllers of their own.
  static constexpr std::size_t kFirstCard = kMaxIdeDrives + kMaxFloppies;
  std::vector<std::unique_ptr<BlockBackend>> disks_ =
      std::vector<std::unique_ptr<BlockBackend>>(kFirstCard);
  // The number in config_.drives of what is at these places, and the file that each drive of
  // config_.drives has now.
  std::vector<std::optional<std::size_t>> drive_of_place_ =
      std::vector<std::optional<std::size_t>>(kFirstCard);
  std::vector<std::string> media_files_;
  u64 disk_requests_ = 0;               // of all disks; under the machine lock
  std::vector<PcDiskCard> card_disks_;  // those from kFirstCard on, as the board wants them
  IdePlaces places_{};
  std::array<std::string, kMaxIdeDrives> serials_;
  std::vector<PcNic> nics_;
  Firmware firmware_;
  std::unique_ptr<Pc> pc_;
  std::unique_ptr<CpuidModel> cpuid_;
  std::unique_ptr<Accelerator> engine_;
  std::string engine_line_;
  std::unique_ptr<RunControl> control_;
  std::vector<ControlCommand> commands_;

  std::atomic<bool> paused_{true};
  std::atomic<bool> wants_to_run_{false};
  std::atomic<u64> switches_asked_{0};  // calls of pause() and resume()
  u64 switches_served_ = 0;             // as many of them are; end_mutex_
  std::atomic<bool> finished_{false};
  std::atomic<bool> stuck_{false};
  mutable std::mutex end_mutex_;
  std::condition_variable end_changed_;
  MachineEnd end_;
  bool end_asked_ = false;
};

}  // namespace emu
