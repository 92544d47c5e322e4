// SPDX-License-Identifier: Apache-2.0
// Everything that decides what machine is built: plain data, filled in by the command line.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/types.h"
#include "block/cache_mode.h"
#include "net/net_options.h"
#include "tcg/tcg_options.h"

namespace emu {

// kAuto: KVM if it is real and fast; kKvmOrTcg: KVM if it works at all.
enum class EngineChoice : u8 { kAuto, kKvm, kTcg, kKvmOrTcg };
enum class DriveMedia : u8 { kDisk, kCdrom, kFloppy };
// What a disk or CD-ROM drive is plugged into.
enum class DriveInterface : u8 { kIde, kVirtio, kNvme, kAhci, kScsi, kUsb };
enum class SerialKind : u8 { kNone, kNull, kStdio, kFile };
enum class DisplayKind : u8 { kAuto, kWindow, kTerminal, kNone };
enum class VgaKind : u8 { kStd, kVirtio, kCirrus, kNone };
enum class UsbKind : u8 { kTablet, kMouse, kKeyboard, kHub };
// The controller that USB devices are plugged into: the PIIX3's, or one on a PCI card.
enum class UsbController : u8 { kUhci, kXhci, kNecXhci };
enum class VirtioInputKind : u8 { kKeyboard, kMouse, kTablet };
enum class ResetPolicy : u8 { kReboot, kExit };
enum class RtcBase : u8 { kUtc, kLocalTime, kFixed };

// One disk, CD-ROM or floppy drive.
struct DriveConfig {
  std::string file;    // empty: a CD-ROM drive without a medium
  std::string format;  // empty: recognised from the contents
  DriveMedia media = DriveMedia::kDisk;
  DriveInterface interface = DriveInterface::kIde;
  bool read_only = false;
  bool snapshot = false;  // writes are kept in a temporary overlay and then forgotten
  // 0..3: primary master to secondary slave; of a floppy 0 (A) or 1 (B); -1: the next free one.
  int position = -1;
  int boot_index = -1;   // starts before all that have a larger one, or none (-1)
  int scsi_target = -1;  // 0..255; -1: the next free one
  unsigned scsi_lun = 0;
  unsigned queues = 0;  // virtio: how many; 0: one for each processor
  CacheMode cache = CacheMode::kWriteBack;
  bool use_ring = true;      // io_uring, if the host has it
  std::string key_file;      // of an encrypted image: the file with its passphrase
  u64 bytes_per_second = 0;  // limits; 0: none
  u64 requests_per_second = 0;
  bool packed_rings = false;  // virtio: offer them
  std::string serial;         // empty: made up from the drive's number
  std::string usb_port;       // kUsb: as of UsbConfig

  bool operator==(const DriveConfig&) const = default;
};

// One USB device. `port` is "2", or "1.3" for the third port of the hub in port 1; empty: the next
// free one, of the controller's own first.
struct UsbConfig {
  UsbKind kind = UsbKind::kTablet;
  std::string port;

  bool operator==(const UsbConfig&) const = default;
};

// Where a byte stream (serial port, debug console) goes.
struct CharConfig {
  SerialKind kind = SerialKind::kNone;
  std::string path;  // kFile

  bool operator==(const CharConfig&) const = default;
};

// One network card and the network it is on.
struct NicConfig {
  std::string model;          // empty: the default one
  std::string mac;            // "52:54:00:12:34:56"; empty: made from the machine's name and image
  unsigned queues = 1;        // pairs; virtio-net only
  u16 mtu = 0;                // told to the driver; virtio-net only; 0: nothing is
  bool packed_rings = false;  // offered beside split ones; virtio-net only
  u16 port = 0x300;           // of ne2k_isa: a multiple of 32 up to 3E0h
  unsigned irq = 5;           // of ne2k_isa: 3..15
  int boot_index = -1;        // among the cards, to start from the network; -1: after all others
  NetOptions network;

  bool operator==(const NicConfig&) const = default;
};

// A kernel that is started without firmware.
struct LinuxBootConfig {
  std::string kernel;
  std::string initrd;
  std::string command_line;

  bool operator==(const LinuxBootConfig&) const = default;
};

struct MachineConfig {
  std::string name = "emu";
  EngineChoice engine = EngineChoice::kAuto;
  std::string cpu_model = "max";
  unsigned cpus = 1;
  u64 memory_bytes = 2 * kGiB;
  std::vector<DriveConfig> drives;
  std::vector<NicConfig> nics;
  LinuxBootConfig linux_boot;     // used if `kernel` is not empty
  std::string firmware;           // empty: Debian's SeaBIOS
  std::string vga_firmware;       // empty: Debian's, beside it
  std::string boot_order = "cd";  // c: hard disk, d: CD-ROM, n: network, a: floppy
  bool boot_menu = false;
  CharConfig serial;
  CharConfig debug_console;  // ports 402h and E9h
  std::string monitor;  // "stdio" (Ctrl-A c if the serial port is there), "unix:PATH", or empty
  std::string load;     // the saved state to go on from, or empty
  VgaKind vga = VgaKind::kStd;
  DisplayKind display = DisplayKind::kAuto;
  bool full_screen = false;      // the window's
  std::string vnc;               // a VNC server's address, or empty
  std::string record;            // video file, or empty
  std::string screenshot;        // PNG file, or empty
  std::string screenshot_after;  // seconds, or a text on the screen; empty: when the machine ends
  std::string audio = "auto";    // "none", "sdl", "wav:FILE"; auto: SDL beside a window
  bool ac97 = false;             // a sound card
  bool hda = false;              // another; not both
  bool sb16 = false;             // a third, on the ISA bus; it may be there beside one of them
  bool usb = false;              // a USB controller even without devices
  UsbController usb_controller = UsbController::kUhci;
  std::vector<UsbConfig> usb_devices;
  std::vector<VirtioInputKind> virtio_inputs;
  std::optional<u16> debug_exit_port;
  ResetPolicy on_reset = ResetPolicy::kReboot;
  bool stop_on_triple_fault = false;
  RtcBase rtc_base = RtcBase::kUtc;
  i64 rtc_fixed_seconds = 0;  // kFixed: seconds since 1970-01-01 00:00 UTC at start
  TcgOptions translator;
  bool print_counters = false;  // the engine's, when the machine stops
  bool quiet = false;

  bool operator==(const MachineConfig&) const = default;
};

inline constexpr unsigned kMaxCpus = 64;
inline constexpr unsigned kMaxIdeDrives = 4;
inline constexpr unsigned kMaxDiskCards = 20;
inline constexpr unsigned kMaxDriveQueues = 16;
inline constexpr unsigned kMaxFloppies = 2;
inline constexpr unsigned kMaxNics = 8;
inline constexpr unsigned kMaxUsbDevices = 16;
inline constexpr unsigned kMaxVirtioInputs = 4;
inline constexpr u64 kMinMemoryBytes = 1 * kMiB;
inline constexpr u64 kMaxMemoryBytes = 1 * kTiB;

}  // namespace emu
