// SPDX-License-Identifier: Apache-2.0
// short ADDRESS PORT COUNT: so many HTTP requests for /small, each on a connection of its own.
// Says how many were answered with "small"; stops at the first that was not.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int ask(const struct sockaddr_in *to) {
  static const char request[] = "GET /small HTTP/1.0\r\n\r\n";
  char answer[1024];
  size_t have = 0;
  ssize_t got = 0;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0) return 0;
  if (connect(fd, (const struct sockaddr *)to, sizeof *to) == 0 &&
      write(fd, request, sizeof request - 1) == (ssize_t)(sizeof request - 1)) {
    while ((got = read(fd, answer + have, sizeof answer - have)) > 0) have += (size_t)got;
  }
  close(fd);
  return got == 0 && have > 5 && memcmp(answer + have - 5, "small", 5) == 0;
}

int main(int count, char **words) {
  struct sockaddr_in to = {.sin_family = AF_INET};
  int done = 0;
  if (count != 4 || inet_pton(AF_INET, words[1], &to.sin_addr) != 1) return 2;
  to.sin_port = htons((unsigned short)atoi(words[2]));
  while (done < atoi(words[3]) && ask(&to)) ++done;
  printf("%d\n", done);
  return 0;
}
