// A wrong wall clock for one process, by LD_PRELOAD: what it reads is the machine's plus the seconds (8 bytes) in the
// file that WRONG_CLOCK names, which may change while it runs. The monotonic clock is as it is.
//
// Not libfaketime: that one allocates before it is set up, and asks for the time while it allocates; a program with
// an allocator of its own that asks for the time as well, as tidemill's, ends there. This one asks the kernel, and
// allocates nothing.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

typedef int (*timed_wait)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);

static volatile const int64_t *wrong_by_s;
static timed_wait real_timed_wait;

static int64_t wrong_by(void) { return wrong_by_s ? *wrong_by_s : 0; }

__attribute__((constructor)) static void open_clock(void) {
  const char *path = getenv("WRONG_CLOCK");
  int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0) return;
  void *mapped = mmap(NULL, sizeof *wrong_by_s, PROT_READ, MAP_SHARED, file, 0);
  close(file);
  if (mapped != MAP_FAILED) wrong_by_s = mapped;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  int failed = (int)syscall(SYS_clock_gettime, clock, now);
  if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += wrong_by();
  return failed;
}

int gettimeofday(struct timeval *now, void *zone) {
  (void)zone;
  struct timespec read;
  int failed = clock_gettime(CLOCK_REALTIME, &read);
  now->tv_sec = read.tv_sec;
  now->tv_usec = read.tv_nsec / 1000;
  return failed;
}

time_t time(time_t *out) {
  struct timespec read;
  clock_gettime(CLOCK_REALTIME, &read);
  if (out) *out = read.tv_sec;
  return read.tv_sec;
}

// A deadline that was reckoned from the wrong clock lies nearer to it than to the kernel's, by which glibc waits.
int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *deadline) {
  struct timespec right, until = *deadline;
  int64_t wrong = wrong_by();
  syscall(SYS_clock_gettime, CLOCK_REALTIME, &right);
  int64_t ahead = deadline->tv_sec - right.tv_sec;
  if (wrong && llabs(ahead - wrong) < llabs(ahead)) until.tv_sec -= wrong;
  if (!real_timed_wait) real_timed_wait = (timed_wait)dlsym(RTLD_NEXT, "pthread_cond_timedwait");
  return real_timed_wait(condition, mutex, &until);
}
