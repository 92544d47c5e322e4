// SPDX-License-Identifier: Apache-2.0
// diskio DEVICE [SECONDS [KINDS]]: how fast a disk is in a guest, with O_DIRECT and Linux AIO, so
// that the guest's page cache has no part in it. For each kind of access one line: "disk: NAME
// MB/s". With KINDS, only those whose name contains it. A file (on the host) goes through the page
// cache, and is only read.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { kMaxDepth = 32 };
static double seconds_each = 1.5;

struct kind {
  const char *name;
  int write, random, depth;
  size_t bytes;
};
static const struct kind kinds[] = {
    {"seq-read-1m-1", 0, 0, 1, 1 << 20},   {"seq-read-1m-32", 0, 0, 32, 1 << 20},
    {"seq-read-4k-1", 0, 0, 1, 4096},      {"seq-read-4k-32", 0, 0, 32, 4096},
    {"rand-read-1m-1", 0, 1, 1, 1 << 20},  {"rand-read-1m-32", 0, 1, 32, 1 << 20},
    {"rand-read-4k-1", 0, 1, 1, 4096},     {"rand-read-4k-32", 0, 1, 32, 4096},
    {"seq-write-1m-1", 1, 0, 1, 1 << 20},  {"seq-write-1m-32", 1, 0, 32, 1 << 20},
    {"seq-write-4k-1", 1, 0, 1, 4096},     {"seq-write-4k-32", 1, 0, 32, 4096},
    {"rand-write-1m-1", 1, 1, 1, 1 << 20}, {"rand-write-1m-32", 1, 1, 32, 1 << 20},
    {"rand-write-4k-1", 1, 1, 1, 4096},    {"rand-write-4k-32", 1, 1, 32, 4096},
};

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint64_t dice = 88172645463325252u;
static uint64_t roll(void) {
  dice ^= dice << 13;
  dice ^= dice >> 7;
  return dice ^= dice << 17;
}

static void die(const char *what) {
  printf("disk: %s: %s\n", what, strerror(errno));
  exit(1);
}

// MB/s.
static double run(const struct kind *k, int fd, uint64_t disk_bytes, char *memory) {
  aio_context_t context = 0;
  if (syscall(SYS_io_setup, kMaxDepth, &context) != 0) die("io_setup");
  const uint64_t places = disk_bytes / k->bytes;
  uint64_t next = 0, moved = 0;
  struct iocb requests[kMaxDepth];
  struct io_event events[kMaxDepth];
  int idle[kMaxDepth], idle_count = 0;
  for (int i = 0; i < k->depth; ++i) idle[idle_count++] = i;
  const double start = now();
  int running = 0;
  for (int stop = 0; !stop || running != 0;) {
    struct iocb *batch[kMaxDepth];
    int n = 0;
    while (!stop && idle_count != 0) {
      const int i = idle[--idle_count];
      struct iocb *r = &requests[i];
      memset(r, 0, sizeof *r);
      r->aio_lio_opcode = k->write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
      r->aio_fildes = (uint32_t)fd;
      r->aio_buf = (uint64_t)(uintptr_t)(memory + (size_t)i * k->bytes);
      r->aio_nbytes = k->bytes;
      r->aio_offset = (int64_t)((k->random ? roll() : next++) % places * k->bytes);
      r->aio_data = (uint64_t)i;
      batch[n++] = r;
    }
    if (n != 0 && syscall(SYS_io_submit, context, n, batch) != n) die("io_submit");
    running += n;
    const long got = syscall(SYS_io_getevents, context, 1, kMaxDepth, events, NULL);
    if (got < 1) die("io_getevents");
    for (long e = 0; e < got; ++e) {
      if (events[e].res != (int64_t)k->bytes) die("a transfer failed");
      idle[idle_count++] = (int)events[e].data;
      moved += k->bytes;
    }
    running -= (int)got;
    stop = now() - start >= seconds_each;
  }
  const double seconds = now() - start;
  syscall(SYS_io_destroy, context);
  return (double)moved / seconds / 1e6;
}

int main(int argc, char **argv) {
  if (argc < 2) return 2;
  struct stat about;
  if (stat(argv[1], &about) != 0) die(argv[1]);
  const int is_file = S_ISREG(about.st_mode);
  const int fd = open(argv[1], is_file ? O_RDONLY : O_RDWR | O_DIRECT);
  if (fd < 0) die(argv[1]);
  if (argc > 2) seconds_each = atof(argv[2]);
  const uint64_t disk_bytes = (uint64_t)lseek(fd, 0, SEEK_END);
  char *memory = aligned_alloc(4096, (size_t)kMaxDepth << 20);
  memset(memory, 0x5a, (size_t)kMaxDepth << 20);
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; ++i) {
    if (argc > 3 && strstr(kinds[i].name, argv[3]) == NULL) continue;
    if (is_file && kinds[i].write) continue;
    printf("disk: %s %.1f\n", kinds[i].name, run(&kinds[i], fd, disk_bytes, memory));
    fflush(stdout);
  }
  return 0;
}
