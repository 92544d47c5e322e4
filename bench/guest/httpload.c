// SPDX-License-Identifier: Apache-2.0
// Small HTTP requests, one after the other, each on its own connection: httpload ADDRESS PORT
// SECONDS prints how many a second were answered in full.
// Source: RFC 9112, 2 and 6.3 (an answer that ends with the connection).
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int request(const struct sockaddr_in* to) {
  static const char kAsk[] = "GET /small HTTP/1.0\r\n\r\n";
  char answer[4096];
  size_t got = 0;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0 || connect(fd, (const struct sockaddr*)to, sizeof *to) != 0) exit(1);
  if (write(fd, kAsk, sizeof kAsk - 1) != (ssize_t)(sizeof kAsk - 1)) exit(1);
  for (;;) {
    ssize_t n = read(fd, answer + got, sizeof answer - got);
    if (n <= 0) break;
    got += (size_t)n;
  }
  close(fd);
  return got > 12 && memcmp(answer + 9, "200", 3) == 0;
}

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
  inet_pton(AF_INET, argv[1], &to.sin_addr);
  const double start = now(), seconds = atof(argv[3]);
  unsigned done = 0, bad = 0;
  while (now() - start < seconds) request(&to) ? ++done : ++bad;
  printf("httpload: %.1f a second, %u bad\n", done / (now() - start), bad);
  return 0;
}
