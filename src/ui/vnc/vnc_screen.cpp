// SPDX-License-Identifier: Apache-2.0
#include "ui/vnc/vnc_screen.h"

#include <algorithm>
#include <cstdlib>
#include <mutex>

#include "base/check.h"
#include "ui/vnc/vnc_keys.h"

namespace emu {
namespace {

constexpr KeyCode kKeyV = 0x19, kLeftCtrl = 0xE0, kLeftAlt = 0xE2, kRightCtrl = 0xE4,
                  kRightAlt = 0xE6;
constexpr std::size_t kMostClipboardBytes = KeyTyper::kMostStrokes;
constexpr int kMostWaitMs = 2000;  // for the rest of a message
constexpr i32 kExtendedKeyEncoding = -258;
constexpr u8 kQemuMessage = 255, kExtendedKeySubMessage = 0;

VncScreen& of(const rfbClientRec* client) {
  return *static_cast<VncScreen*>(client->screen->screenData);
}

void on_key(rfbBool down, rfbKeySym keysym, rfbClientRec* client) {
  of(client).key_event(down != 0, keysym);
}

void on_pointer(int buttons, int x, int y, rfbClientRec* client) {
  of(client).pointer_event(static_cast<u32>(buttons), x, y);
}

void on_cut_text(char* text, int length, rfbClientRec* client) {
  if (text == nullptr || length <= 0) return;
  const std::size_t bytes = std::min(static_cast<std::size_t>(length), kMostClipboardBytes);
  of(client).set_clipboard({text, bytes});
}

// The guest is told; the answer is the picture's new size, if and when it follows.
int on_desktop_size(int width, int height, int, rfbExtDesktopScreen*, rfbClientRec* client) {
  if (client->viewOnly != FALSE || width < 1 || height < 1) {
    return rfbExtDesktopSize_ResizeProhibited;
  }
  of(client).size_asked(static_cast<u32>(width), static_cast<u32>(height));
  return rfbExtDesktopSize_Success;
}

void on_gone(rfbClientRec* client) {
  // The library took these with calloc() and forgets them.
  while (rfbExtensionData* const first = client->extensions) {
    client->extensions = first->next;
    std::free(first);
  }
  of(client).client_gone();
}

rfbNewClientAction on_new(rfbClientRec* client) {
  client->clientGoneHook = on_gone;
  of(client).client_came();
  return RFB_CLIENT_ACCEPT;
}

void put_u32(u8* bytes, u32 value) {
  for (unsigned i = 0; i < 4; ++i) bytes[i] = static_cast<u8>(value >> (24 - 8 * i));
}

u32 get_u32(const u8* bytes) {
  return u32{bytes[0]} << 24 | u32{bytes[1]} << 16 | u32{bytes[2]} << 8 | bytes[3];
}

// Says yes to scan codes: a rectangle without pixels, of that encoding.
rfbBool enable_extended_keys(rfbClientRec* client, void**, int encoding) {
  if (encoding != kExtendedKeyEncoding) return FALSE;
  std::array<u8, 16> update{};  // message 0, one rectangle at 0,0 of size 0
  update[3] = 1;
  put_u32(&update[12], static_cast<u32>(kExtendedKeyEncoding));
  return rfbWriteExact(client, reinterpret_cast<char*>(update.data()), update.size()) > 0 ? TRUE
                                                                                          : FALSE;
}

rfbBool take_extended_key(rfbClientRec* client, void*, const rfbClientToServerMsg* message) {
  if (message->type != kQemuMessage) return FALSE;
  std::array<u8, 11> rest{};  // sub-message, down (2), keysym (4), scan code (4)
  if (rfbReadExact(client, reinterpret_cast<char*>(rest.data()), rest.size()) <= 0) return FALSE;
  if (rest[0] != kExtendedKeySubMessage) return FALSE;
  if (client->viewOnly == FALSE) {
    of(client).xt_key_event((rest[1] | rest[2]) != 0, get_u32(&rest[7]));
  }
  return TRUE;
}

// The library keeps one list of extensions for the process.
void register_extensions() {
  static std::once_flag once;
  std::call_once(once, [] {
    static std::array<int, 2> encodings{kExtendedKeyEncoding, 0};
    static rfbProtocolExtension extension{};
    extension.newClient = [](rfbClientRec*, void**) -> rfbBool { return TRUE; };
    extension.pseudoEncodings = encodings.data();
    extension.enablePseudoEncoding = enable_extended_keys;
    extension.handleMessage = take_extended_key;
    rfbRegisterProtocolExtension(&extension);
    rfbLogEnable(FALSE);  // it writes to stderr about every client
  });
}

void set_pixel_format(rfbPixelFormat& format) {
  format.depth = 24;
  format.redShift = 16;
  format.greenShift = 8;
  format.blueShift = 0;
}

}  // namespace

void VncScreen::Deleter::operator()(rfbScreenInfo* screen) const {
  rfbShutdownServer(screen, TRUE);
  rfbScreenCleanup(screen);
}

VncScreen::VncScreen(MachineControl& control, std::string password)
    : control_(control), password_(std::move(password)), pointer_(control) {
  register_extensions();
  frame_.width = 640;
  frame_.height = 400;
  frame_.pixels.resize(std::size_t{frame_.width} * frame_.height);
  screen_.reset(rfbGetScreen(nullptr, nullptr, static_cast<int>(frame_.width),
                             static_cast<int>(frame_.height), 8, 3, 4));
  EMU_CHECK(screen_ != nullptr);
  set_pixel_format(screen_->serverFormat);
  screen_->frameBuffer = reinterpret_cast<char*>(frame_.pixels.data());
  screen_->screenData = this;
  screen_->desktopName = "emu";
  screen_->autoPort = FALSE;  // we listen ourselves
  screen_->port = 0;
  screen_->ipv6port = 0;
  screen_->alwaysShared = TRUE;
  screen_->cursor = nullptr;  // the guest draws its own
  screen_->maxClientWait = kMostWaitMs;
  screen_->deferUpdateTime = 0;
  screen_->kbdAddEvent = on_key;
  screen_->ptrAddEvent = on_pointer;
  screen_->setXCutText = on_cut_text;
  screen_->newClientHook = on_new;
  screen_->setDesktopSizeHook = on_desktop_size;
  if (!password_.empty()) {
    passwords_[0] = password_.data();
    screen_->authPasswdData = passwords_.data();
    screen_->passwordCheck = rfbCheckPasswordByList;
  }
  rfbInitServer(screen_.get());
}

VncScreen::~VncScreen() = default;

void VncScreen::add_client(UniqueFd socket) {
  rfbNewClient(screen_.get(), socket.release());
}

void VncScreen::client_gone() {
  --clients_;
  release_keys();
  pointer_.release();
  buttons_ = 0;
}

void VncScreen::resize() {
  const int width = static_cast<int>(frame_.width);
  const int height = static_cast<int>(frame_.height);
  rfbNewFramebuffer(screen_.get(), reinterpret_cast<char*>(frame_.pixels.data()), width, height, 8,
                    3, 4);
  set_pixel_format(screen_->serverFormat);
  rfbClientIterator* const clients = rfbGetClientIterator(screen_.get());
  while (rfbClientRec* const client = rfbClientIteratorNext(clients)) {
    screen_->setTranslateFunction(client);
  }
  rfbReleaseClientIterator(clients);
}

void VncScreen::refresh() {
  DisplaySource* const display = control_.display();
  if (display == nullptr) return;
  bool changed = false;
  {
    const MachineLock lock = control_.lock();
    changed = display->render(frame_);
  }
  if (!changed || frame_.width == 0 || frame_.height == 0) return;
  const bool is_moved = screen_->frameBuffer != reinterpret_cast<char*>(frame_.pixels.data());
  if (is_moved || screen_->width != static_cast<int>(frame_.width) ||
      screen_->height != static_cast<int>(frame_.height)) {
    resize();
    return;
  }
  rfbMarkRectAsModified(screen_.get(), 0, static_cast<int>(frame_.changed_top), screen_->width,
                        static_cast<int>(frame_.changed_bottom));
}

void VncScreen::serve(int wait_ms) {
  refresh();
  typer_.step(control_, std::chrono::steady_clock::now());
  const int wait = typer_.is_busy() ? static_cast<int>(KeyTyper::kPause.count()) : wait_ms;
  rfbProcessEvents(screen_.get(), wait * 1000L);
}

void VncScreen::key_event(bool pressed, u32 keysym) {
  if (const auto code = key_of_keysym(keysym)) send_key(*code, pressed);
}

void VncScreen::xt_key_event(bool pressed, u32 xt_code) {
  if (const auto code = key_of_xt_code(xt_code)) send_key(*code, pressed);
}

void VncScreen::send_key(KeyCode code, bool pressed) {
  if (code >= down_.size() || (!pressed && !down_[code])) return;
  const bool chord =
      (down_[kLeftCtrl] || down_[kRightCtrl]) && (down_[kLeftAlt] || down_[kRightAlt]);
  if (pressed && chord && code == kKeyV) {
    release_keys();
    typer_.add(clipboard_);
    return;
  }
  KeyboardSink* const keyboard = control_.keyboard();
  if (keyboard == nullptr) return;
  down_[code] = pressed;
  const MachineLock lock = control_.lock();
  keyboard->key(code, pressed);
}

void VncScreen::release_keys() {
  for (KeyCode code = 0; code < down_.size(); ++code) send_key(code, false);
}

void VncScreen::size_asked(u32 width, u32 height) {
  DisplaySource* const display = control_.display();
  if (display == nullptr) return;
  const MachineLock lock = control_.lock();
  display->prefer_size(width, height);
}

void VncScreen::pointer_event(u32 buttons, i64 x, i64 y) {
  const u32 pressed = buttons & ~buttons_;
  const i32 wheel = ((pressed & 8) != 0 ? 1 : 0) - ((pressed & 16) != 0 ? 1 : 0);
  pointer_.point(x, y, frame_.width, frame_.height, wheel);
  constexpr std::array<MouseButton, 3> kButtons{MouseButton::kLeft, MouseButton::kMiddle,
                                                MouseButton::kRight};
  for (unsigned i = 0; i < kButtons.size(); ++i) {
    pointer_.button(kButtons[i], (buttons >> i & 1) != 0);
  }
  buttons_ = buttons;
}

}  // namespace emu
