/*
 * A link between two network namespaces, with delay, loss and outages, for kernels without netem.
 *
 *   tunlink NAMESPACE DEVICE NAMESPACE DEVICE
 *
 * makes a TUN device in each namespace and carries packets between them until its standard input ends. A line there,
 *
 *   DELAY LOSS DROP OFFLOAD
 *
 * sets the delay of one direction (microseconds), the packets that are lost (of a million), whether all are (0 or 1), and
 * whether the kernel may hand over segments of up to 64 kB (0 or 1): fast, but then a loss is a loss of 64 kB. Each line is
 * answered with `set`. It needs root and Linux.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

/* Packets until their time, one queue for each direction. */
struct packet {
  struct packet *next;
  uint64_t due;
  int length;
  char data[];
};
struct queue {
  struct packet *first, *last;
  long packets;
};
static const long queue_limit = 200000;
/* Reads of one device before the other one has its turn. */
static const int turn = 256;

static int device[2];
static struct queue queues[2];
static long delay, loss, drop, offload = 1;

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000ull + time.tv_nsec;
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static int open_device(const char *namespace, const char *name) {
  char path[200];
  snprintf(path, sizeof path, "/run/netns/%s", namespace);
  int file = open(path, O_RDONLY);
  if (file < 0 || setns(file, CLONE_NEWNET)) fail(path);
  close(file);
  int tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
  if (tun < 0) fail("/dev/net/tun");
  struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  int header = 10; /* struct virtio_net_hdr */
  if (ioctl(tun, TUNSETIFF, &request) || ioctl(tun, TUNSETVNETHDRSZ, &header)) fail("TUN");
  return tun;
}

static void set_offload(void) {
  unsigned long features = offload ? TUN_F_CSUM | TUN_F_TSO4 : 0;
  for (int i = 0; i < 2; i++)
    if (ioctl(device[i], TUNSETOFFLOAD, features)) perror("TUNSETOFFLOAD");
}

static void obey(void) {
  char line[256];
  int length = read(STDIN_FILENO, line, sizeof line - 1);
  if (length <= 0) exit(0);
  line[length] = 0;
  sscanf(line, "%ld %ld %ld %ld", &delay, &loss, &drop, &offload);
  set_offload();
  puts("set");
}

static void receive(int from) {
  static char data[70000];
  struct queue *queue = &queues[from];
  uint64_t due = now() + delay * 1000ull;
  for (int i = 0; i < turn; i++) {
    int length = read(device[from], data, sizeof data);
    if (length <= 0) return;
    if (drop || random() % 1000000 < loss || queue->packets > queue_limit) continue;
    struct packet *packet = malloc(sizeof *packet + length);
    if (!packet) fail("malloc");
    memcpy(packet->data, data, length);
    packet->length = length;
    packet->due = due;
    packet->next = 0;
    if (queue->last) queue->last->next = packet;
    else queue->first = packet;
    queue->last = packet;
    queue->packets++;
  }
}

static void send_due(int from) {
  struct queue *queue = &queues[from];
  uint64_t time = now();
  while (queue->first && queue->first->due <= time) {
    struct packet *packet = queue->first;
    if (write(device[1 - from], packet->data, packet->length) < 0 && errno == EAGAIN) return;
    queue->first = packet->next;
    if (!queue->first) queue->last = 0;
    queue->packets--;
    free(packet);
  }
}

static void wait_for_work(struct pollfd *files) {
  uint64_t due = 0, time = now();
  for (int i = 0; i < 2; i++)
    if (queues[i].first && (!due || queues[i].first->due < due)) due = queues[i].first->due;
  uint64_t wait = !due ? 5000000000ull : due > time ? due - time : 0;
  struct timespec timeout = {wait / 1000000000ull, wait % 1000000000ull};
  ppoll(files, 3, &timeout, 0);
}

int main(int count, char **names) {
  if (count != 5) {
    fprintf(stderr, "tunlink NAMESPACE DEVICE NAMESPACE DEVICE\n");
    return 2;
  }
  for (int i = 0; i < 2; i++) device[i] = open_device(names[1 + 2 * i], names[2 + 2 * i]);
  prctl(PR_SET_TIMERSLACK, 1);
  setvbuf(stdout, 0, _IOLBF, 0);
  set_offload();
  puts("up");
  for (;;) {
    struct pollfd files[3] = {{device[0], POLLIN, 0}, {device[1], POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    wait_for_work(files);
    if (files[2].revents) obey();
    for (int i = 0; i < 2; i++)
      if (files[i].revents & POLLIN) receive(i);
    for (int i = 0; i < 2; i++) send_due(i);
  }
}
